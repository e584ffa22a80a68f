"""kill -9 at random moments of real training, resume after each, compare with an undisturbed run of the same seed.

    python -m vimpo_core bench kill --json

VIMPO and GRPO are one job, stepped in turn by a worker process. Each kill comes a random time after the worker took its
lock or made its first step. What a reader had seen by then must still be there, and in the end every metric, solution and adapter must equal
those of the undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.kills import assert_same_run, kill_and_resume
from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir

STEPS = 40
LONGEST_LIFE = 0.5
"""Seconds a worker may live on: with some ten steps a second, twenty kills are spread over most of the run."""


class RealWorker:
    """`worker.main` in a process of its own, forked where torch is imported already: kills land in steps, not in imports."""

    def __init__(self, runs_dir: Path):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["vimpo_core.trainer"])
        self._process = context.Process(target=worker.main, args=(runs_dir,))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode


def measure(folder: Path, configs: list[TrainConfig], kills: int, longest_life: float, seed: int = 0) -> dict:
    """kills, landed (those between first and last step), lost_steps, equal (bit for bit) and seconds."""
    start = time.monotonic()
    killed, undisturbed = RunsDir(folder / "killed"), RunsDir(folder / "undisturbed")
    result = kill_and_resume(killed.path, configs, RealWorker, kills, longest_life, seed)
    undisturbed.submit(configs)
    worker.main(undisturbed.path)
    try:
        for run_id in result.run_ids:
            assert_same_run(killed.open(run_id), undisturbed.open(run_id))
        difference = ""
    except AssertionError as error:
        difference = str(error)
    return {
        "kills": kills,
        "landed": result.landed,
        "lost_steps": result.lost_steps,
        "equal": not difference,
        "difference": difference,
        "seconds": time.monotonic() - start,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
