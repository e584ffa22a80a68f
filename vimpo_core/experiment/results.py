"""What a finished run of an experiment leaves behind: one JSON file in its folder, there whole or not at all. No
torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.experiment.plan import Credit
from vimpo_core.files import read_text, write_whole
from vimpo_core.paths import ROOT
from vimpo_core.runs.store import RunStore

RESULT_NAME = "result.json"
CURVES = ("sampled_accuracy", "greedy_accuracy", "kl_mean", "reward_mean")
"""Metrics whose course over the steps goes into a result."""

_LIBRARIES = ("torch", "transformers", "peft", "numpy")


@dataclass(frozen=True)
class Measurement:
    """What is measured of a trained run: problems of which split, and its credit or not."""

    split: str
    prompts: int
    credit: Credit | None = None


@dataclass(frozen=True)
class Result:
    """One trained and measured run.

    sampled, greedy: for each problem whether it was solved; the problems are the same for all runs of a task.
    evaluated_step: the snapshot that was measured; the last step, or an earlier one of a run that diverged.
    curves: metric -> [[steps], [values]]; None where a value was not finite.
    credit: `truth_report.truth_report` of that snapshot. Seconds are of training alone; `started`, `ended` are seconds
        since 1970.
    node: which machine of a cluster made it, empty for the experiment's own.
    """

    run_id: str
    config: dict
    measurement: dict
    state: str
    message: str
    last_step: int
    evaluated_step: int
    sampled: list[bool]
    greedy: list[bool]
    credit: dict | None
    curves: dict[str, list]
    tokens_sampled: float
    cpu_seconds: float
    measuring_cpu_seconds: float
    started: float
    ended: float
    environment: dict
    node: str = ""

    @property
    def has_diverged(self) -> bool:
        return self.state == "diverged"

    def accuracy(self, how: str) -> float:
        """Share of problems solved; `how` is "sampled" or "greedy"."""
        right = getattr(self, how)
        return sum(right) / len(right)

    def last(self, metric: str) -> float | None:
        """The newest finite value of a curve."""
        return next((value for value in reversed(self.curves[metric][1]) if value is not None), None)


def run_id(config: TrainConfig) -> str:
    """A folder name that the settings decide: those that differ from the defaults, so a new setting changes no old
    name.
    """
    changed = {
        f.name: getattr(config, f.name) for f in dataclasses.fields(config) if getattr(config, f.name) != f.default
    }
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:10]
    return f"{config.algorithm}-{config.seed}-{digest}"


def load(run_dir: Path, measurement: Measurement) -> Result | None:
    """The result of a run if it was measured in just this way, else None."""
    try:
        result = Result(**json.loads(read_text(run_dir / RESULT_NAME)))
    except (FileNotFoundError, ValueError, TypeError):  # none, damaged or of another version: measured again
        return None
    return result if result.measurement == asdict(measurement) else None


def save(run_dir: Path, result: Result) -> None:
    """Write the result in one move."""
    write_whole(run_dir / RESULT_NAME, json.dumps(asdict(result), allow_nan=False), make_folder=True)


def curves(store: RunStore) -> dict[str, list]:
    """`CURVES` as the store has them, each at the steps where it was measured."""
    rows = store.metrics()
    return {
        name: [[row["step"] for row in rows if name in row], [row[name] for row in rows if name in row]]
        for name in CURVES
    }


def tokens_sampled(store: RunStore) -> float:
    """All tokens that training sampled, those for Monte Carlo values and discarded ones included where they are
    counted.
    """
    size = store.config().batch_size
    return sum(row.get("tokens_sampled") or row["length_mean"] * size for row in store.metrics())


@lru_cache(maxsize=1)
def environment() -> dict:
    """commit, is_dirty, hardware and library versions of this process. `is_dirty`: what can change a run differs from
    the commit."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "vimpo_core", "assets/reference", "requirements.txt")
    return {
        "commit": commit or "unknown",
        "is_dirty": bool(changed),
        "hardware": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
    }


def _git(*arguments: str) -> str:
    try:
        # Without optional locks: looking must not get in the way of somebody's commit.
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
