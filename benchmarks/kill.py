"""kill -9 at random moments of what the lab does, and what was there afterwards beside what had been done.

    python -m vimpo_core bench kill --json                               twenty kills of one training, bit for bit
    python -m vimpo_core bench kill --rounds 100 --folder killed         of web, worker, scoring process and all

The first: VIMPO and GRPO are one job, stepped in turn by a worker process. Each kill comes a random time after the
worker took its lock or made its first step. What a reader had seen by then must still be there, and in the end every
metric, solution and adapter must equal those of the undisturbed run, bit for bit.

With --rounds: a web process names, tags, notes, deletes, brings back, hands in and queues while the real trainer
trains, and asks for one of four kinds of job: training (and a solution scored), truth (V by trying), import (a file,
re-scored, backed up), experiment. In each round one kind of process, or all, is killed; then every step that was seen
and every act that was done must be there, no lock held by the dead, no run say that it trains, no half of a file be
shown, the queue be in order, the databases whole, the next answer the same as the first; in the end every run must
equal an undisturbed one, bit for bit. With --folder an interrupted one goes on where it was; --seed decides the rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.kill_rounds import run_rounds
from tests.support.kill_web import KINDS
from tests.support.kills import measure
from vimpo_core.config import TrainConfig

STEPS = 40
LONGEST_LIFE = 0.5
"""Seconds a worker may live on: with some ten steps a second, twenty kills are spread over most of the run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="How many kills of one training (default: 20).")
    parser.add_argument("--rounds", type=int, help="Rounds of kills of every kind of process instead.")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="Of --rounds (default: all four).")
    parser.add_argument("--seed", type=int, default=0, help="Which rounds (default: 0).")
    parser.add_argument("--folder", type=Path, help="Where to work; what was begun there goes on.")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        report = _rounds(folder, arguments) if arguments.rounds else _one_training(folder, arguments.repeats)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        if not isinstance(value, dict):
            print(f"{name:<14} {value}")
    for name, row in report.get("rows", {}).items():
        print(f"{name:<22}", "  ".join(f"{what} {count}" for what, count in row.items()))


def _one_training(folder: Path, repeats: int) -> dict:
    configs = [TrainConfig(algorithm=a, steps=STEPS) for a in ("vimpo", "grpo")]
    return measure(folder, configs, repeats, LONGEST_LIFE)


def _rounds(folder: Path, arguments: argparse.Namespace) -> dict:
    start = time.monotonic()
    tally = run_rounds(
        folder, arguments.rounds, tuple(arguments.kinds), arguments.seed, lambda said: print(said, file=sys.stderr)
    )
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "kills": sum(row.kills for row in tally.rows.values()),
        "at_work": sum(row.at_work for row in tally.rows.values()),
        "lost_steps": sum(row.lost_steps for row in tally.rows.values()),
        "lost_acts": sum(row.lost_acts for row in tally.rows.values()),
        "unclean_starts": sum(row.unclean for row in tally.rows.values()),
        "faults": tally.faults,
        "acts": tally.acts,
        "answers": tally.answers,
        "runs_compared": tally.first_answers.get("trained", 0),
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(tally.cpu_seconds + sum(s.ru_utime + s.ru_stime for s in spent), 1),
        "rows": {name: asdict(row) for name, row in tally.rows.items()},
    }


if __name__ == "__main__":
    main()
