"""Who trains in a class and who waits, in words that students, the teacher and the projector read alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app import cache, gate, live
from app.components.live_curves import ALGORITHM_NAMES
from app.live import wait_words
from app.text import as_plain
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import rough_time
from vimpo_core.runs.folder import ACTIVE, JobSummary
from vimpo_core.runs.waits import Wait
from vimpo_core.types import RunState


@dataclass(frozen=True)
class Place:
    """A job that is not over: who has it, what it trains, and how it stands, as markdown."""

    job: JobSummary
    who: str
    what: str
    stands: str


def places() -> list[Place]:
    """All jobs that are not over, in the order of their turns."""
    waits, names, owners = cache.waits(cache.own_folder()), gate.room().names(), gate.room().owners()
    jobs = {job.job_id: job for job in cache.runs_dir().jobs() if job.state in ACTIVE}
    return [
        Place(jobs[job_id], _who(jobs[job_id], names, owners), _what(jobs[job_id]), _stands(jobs[job_id], wait))
        for job_id, wait in waits.items()
        if job_id in jobs
    ]


def _who(job: JobSummary, names: Mapping[int, str], owners: Mapping[str, int]) -> str:
    owner = owners.get(job.run_ids[0])
    return as_plain(names[owner]) if owner in names else "The teacher"


def _what(job: JobSummary) -> str:
    try:
        sights = [live.live_run(str(cache.own_folder()), run_id).look() for run_id in job.run_ids]
    except (Mistake, OSError):  # half-written
        return as_plain(", ".join(job.run_ids))
    rules = " + ".join(dict.fromkeys(ALGORITHM_NAMES[sight.config.algorithm] for sight in sights))
    steps = [sight.last_step for sight in sights if sight.last_step is not None]
    at_work = job.state != RunState.QUEUED
    return as_plain(rules) + (f", step {min(steps)} of {sights[0].config.steps}" if steps and at_work else "")


def _stands(job: JobSummary, wait: Wait) -> str:
    if job.state == RunState.QUEUED:
        return f"waits, {wait_words(wait, 'it')}" if wait.ahead else "is next"
    state = "holds still" if job.state == RunState.PAUSED else "trains"
    return f"{state}, about {rough_time(wait.left)} left" if wait.left is not None else state
