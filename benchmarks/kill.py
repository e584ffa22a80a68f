"""kill -9 at random moments of real training, resume after each, compare with an undisturbed run of the same seed.

    python -m vimpo_core bench kill --json

VIMPO and GRPO are one job, stepped in turn by a worker process. Each kill comes a random time after the worker took its
lock or made its first step. What a reader had seen by then must still be there, and in the end every metric, solution
and adapter must equal those of the undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.kills import measure
from vimpo_core.config import TrainConfig

STEPS = 40
LONGEST_LIFE = 0.5
"""Seconds a worker may live on: with some ten steps a second, twenty kills are spread over most of the run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="How many kills (default: 20).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    configs = [TrainConfig(algorithm=a, steps=STEPS) for a in ("vimpo", "grpo")]
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), configs, arguments.repeats, LONGEST_LIFE)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<12} {value}")


if __name__ == "__main__":
    main()
