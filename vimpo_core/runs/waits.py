"""How long jobs have to wait: the steps left of those ahead times the seconds that a step takes here.

A run says itself what its last steps took. One that has made none is taken to be as fast as the newest run in the
folder of the same kind: same settings but for those that cost no time, else same rule, model and problems, by the
number of solutions a step. Where there is none, nobody knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import forks, listing
from vimpo_core.runs.folder import ACTIVE, RunsDir
from vimpo_core.runs.queue import JobSummary
from vimpo_core.runs.store import RunStore
from vimpo_core.types import RunState

_RECENT_STEPS = 10
_COSTS_NOTHING = (
    *("seed", "steps", "beta", "beta_end", "actor_coef", "actor_schedule", "gae_lambda", "learning_rate"),
    *("lr_schedule", "warmup_steps", "reward_noise", "reward_noise_unit", "clip_low", "clip_high", "max_grad_norm"),
)
"""Settings that a step takes as long with, whatever they are."""
_KEPT = 4096
_paces: dict[tuple, float | None] = {}
"""Run folder, when it was made, its last step -> seconds a step."""


@dataclass(frozen=True)
class Wait:
    """Of a job: how many are ahead of it, and for how long.

    seconds: until its turn comes; None where that is not known. left: for its own steps, likewise.
    is_held: a job ahead holds still, or the queue does, so nobody knows.
    """

    ahead: int
    seconds: float | None
    left: float | None
    is_held: bool


def waits(runs: RunsDir) -> dict[str, Wait]:
    """Job -> its wait, of all that are not over, in the order of their turns."""
    active = [job for job in runs.jobs() if job.state in ACTIVE]
    if not active:
        return {}
    active.sort(key=lambda job: job.state == RunState.QUEUED)  # what is at work, then the others as they came
    known = _Paces(runs)
    found: dict[str, Wait] = {}
    before: float | None = 0.0
    is_held = runs.queue.is_paused()
    for ahead, job in enumerate(active):
        left, waits_on = known.left(job), is_held and job.state == RunState.QUEUED
        found[job.job_id] = Wait(ahead, None if waits_on else before, left, waits_on)
        is_held |= job.state == RunState.PAUSED
        before = None if before is None or left is None else before + left
    return found


class _Paces:
    """What a step takes in the runs of a folder, looked up as far as it is asked for."""

    def __init__(self, runs: RunsDir):
        self._runs = runs
        self._measured: list[tuple[TrainConfig, float]] | None = None

    def left(self, job: JobSummary) -> float | None:
        """Seconds for all that a job has to do yet; its runs are stepped in turn."""
        return _sum(self._left(self._runs.path / run_id) for run_id in job.run_ids)

    def _left(self, run_dir: Path) -> float | None:
        try:
            store, seen, _ = listing.look(run_dir)
        except (Mistake, OSError):  # deleted, or half-written: nothing that takes time
            return 0.0
        if seen.state not in ACTIVE:
            return 0.0
        config, last = store.config(), seen.last_step
        made, seconds = seen.replayed or (None, 0.0)
        to_replay = forks.steps_to_replay(seen.header, last, made)
        if to_replay and made is not None:
            pace: float | None = seconds / (made - forks.first_replayed(seen.header) + 1)
        else:
            pace = _pace(run_dir, seen.header["created"], last) or self._like(config)
        reached = -1 if last is None else last - to_replay
        return None if pace is None else max(0, config.steps - reached) * pace

    def _like(self, config: TrainConfig) -> float | None:
        if self._measured is None:
            found = [run for run in self._runs.list() if run.algorithm and not run.imported]
            paces = ((run, _pace(self._runs.path / run.run_id, run.created, run.last_step)) for run in found)
            self._measured = [(run.config, pace) for run, pace in paces if pace is not None]
        wanted = _kind(config)
        if (same := next((pace for other, pace in self._measured if _kind(other) == wanted), None)) is not None:
            return same
        alike = ((other, pace) for other, pace in self._measured if _rough(other) == _rough(config))
        return next((pace * _solutions(config) / _solutions(other) for other, pace in alike), None)


def _pace(run_dir: Path, created: str, last: int | None) -> float | None:
    """Mean seconds of a run's last steps; None before the first, or where it cannot be read."""
    if last is None:
        return None
    key = (run_dir, created, last)
    if key not in _paces:
        if len(_paces) >= _KEPT:
            _paces.clear()
        try:
            rows = RunStore.open(run_dir).metrics(after=last - _RECENT_STEPS)
        except (Mistake, OSError):
            return None
        taken = [row["wall_seconds"] for row in rows if row.get("wall_seconds") is not None]
        _paces[key] = sum(taken) / len(taken) if taken else None
    return _paces[key]


def _kind(config: TrainConfig) -> TrainConfig:
    plain = TrainConfig()
    return dataclasses.replace(config, **{name: getattr(plain, name) for name in _COSTS_NOTHING})


def _rough(config: TrainConfig) -> tuple:
    return config.algorithm, config.model, config.task, config.operands, config.updates_per_batch, config.vine_rollouts


def _solutions(config: TrainConfig) -> int:
    return config.prompts_per_step * config.group_size


def _sum(parts: Iterable[float | None]) -> float | None:
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
