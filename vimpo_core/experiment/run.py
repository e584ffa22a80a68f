"""One run of an experiment from its settings to its result, in the process that trains it. torch is imported when it
starts.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.experiment import results
from vimpo_core.experiment.results import Measurement, Result
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.folder import command_line
from vimpo_core.runs.locks import is_held
from vimpo_core.runs.store import LOCK_NAME, RunStore
from vimpo_core.runs.worker import MakeTrainer, Trains, drive, trainer_of
from vimpo_core.types import RunState, StepRecord, known

LONGEST_WAIT = 60.0
"""Seconds for which a run waits until the process of a killed experiment has let go of it, which it does at once."""

_ENDED = (RunState.FINISHED, RunState.DIVERGED)


class RunFailed(RuntimeError):
    """A run came to no result; the sentence says why. What it committed is kept, and a rerun goes on from there."""


@dataclass(frozen=True)
class Job:
    """One run that an experiment needs. `name` is what the app calls it."""

    name: str
    config: TrainConfig
    measurement: Measurement

    @property
    def run_id(self) -> str:
        return results.run_id(self.config)


@dataclass(frozen=True)
class Place:
    """A machine that is not the experiment's own. node: its name; code: commit and is_dirty of what was sent there."""

    node: str = ""
    code: dict = dataclasses.field(default_factory=dict)


Measure = Callable[[RunStore, Measurement], dict]


GoesOn = Callable[[RunStore], bool]
"""Asked of a run between its steps: whether it trains on."""


def carry_out(
    runs_dir: Path,
    job: Job,
    make_trainer: MakeTrainer,
    measure: Measure,
    goes_on: GoesOn = lambda store: True,
    place: Place | None = None,
) -> str:
    """Train, measure and make small one run; what of it is done already is not done again. Returns its run_id.

    Args:
        make_trainer: as in `worker`. measure: as `measured`.
        goes_on: once it says no, training stops after the step it is in.
        place: where this is, unless it is the machine of the experiment itself.

    Raises:
        RunFailed: training ended otherwise than finished or diverged, or the folder holds another run of this name.
    """
    started = time.time()
    run_dir = runs_dir / job.run_id
    if not run_dir.exists():
        RunStore.create(run_dir, job.config, {"name": job.name[:80], "command": command_line(job.config)})
    with RunStore.open(run_dir, writable=True) as store:
        if store.config() != job.config:
            raise RunFailed(
                f"run {job.run_id} has other settings than its name says: a default has changed since. "
                "Use another --out folder."
            )
        with _patient_lock(store):
            if results.load(run_dir, job.measurement) is None:
                _train(store, make_trainer, goes_on)
                _finish(store, job, measure, started, place or Place())
    return job.run_id


def _patient_lock(store: RunStore):
    deadline = time.monotonic() + LONGEST_WAIT
    while is_held(store.run_dir / LOCK_NAME) and time.monotonic() < deadline:
        time.sleep(0.1)
    return store.lock()


def _train(store: RunStore, make_trainer: MakeTrainer, goes_on: GoesOn) -> None:
    if store.state() in _ENDED:
        return
    try:
        trainer = trainer_of(store, make_trainer)
        refuse_mixture(store, store.run_dir.parent)
    except Mistake as error:
        store.set_state(RunState.STOPPED, f"It could not start: {error}")
        raise
    drive([(store, _Thin(trainer, store.config()))], lambda: "play" if goes_on(store) else "stop")
    if store.state() not in _ENDED:
        raise RunFailed(f"run {store.run_id} is {store.state()}. {store.message()}".strip())


def refuse_mixture(store: RunStore, runs_dir: Path) -> None:
    """Raise Mistake where another run of the experiment, one in `runs_dir`, was trained with other weights under the
    same name of a model.
    """
    config, own = store.config(), bases.recorded(store.header(), store.config())
    for folder in sorted(runs_dir.iterdir()):
        try:
            other = RunStore.open(folder)
            seen = other.overview()
        except Mistake:
            continue  # half made, or no run
        if other.config().model == config.model and seen.last_step is not None:
            expected = bases.recorded(seen.header, other.config())
            bases.refuse_other(expected, own, f"run {other.run_id} of this experiment", config.model)


def lives(parent: int, store: RunStore) -> bool:
    """Whether the process that this one works for still lives."""
    return os.getppid() == parent


class _Thin:
    """A trainer whose records keep their solutions only at the last step: nine tenths of what a step writes."""

    def __init__(self, trainer: Trains, config: TrainConfig):
        self._trainer, self._last_step = trainer, config.steps
        self.header = trainer.header

    @property
    def next_step(self) -> int:
        return self._trainer.next_step

    @property
    def done(self) -> bool:
        return self._trainer.done

    def step(self) -> StepRecord:
        record = self._trainer.step()
        return record if record.step == self._last_step else dataclasses.replace(record, traces=[])


def _finish(store: RunStore, job: Job, measure: Measure, started: float, place: Place) -> None:
    """Measure, make small, and only then write the result: where there is one, nothing is left to do."""
    snapshots = store.snapshot_steps()
    if not snapshots:
        raise RunFailed(f"run {store.run_id} ended before its first step. {store.message()}".strip())
    cpu = time.process_time()
    found = measure(store, job.measurement)
    measuring = time.process_time() - cpu
    store.compact({known(store.last_step())}, keep_resume_state=False, keep_snapshot_steps={snapshots[-1]})
    results.save(
        store.run_dir,
        Result(
            run_id=store.run_id,
            config=job.config.to_dict(),
            measurement=asdict(job.measurement),
            state=str(store.state()),
            message=store.message(),
            last_step=known(store.last_step()),
            evaluated_step=snapshots[-1],
            curves=results.curves(store),
            tokens_sampled=results.tokens_sampled(store),
            cpu_seconds=sum(row["cpu_seconds"] for row in store.metrics()),
            measuring_cpu_seconds=measuring,
            started=started,
            ended=time.time(),
            environment=results.environment() | place.code,
            node=place.node,
            **found,
        ),
    )


def measured(store: RunStore, measurement: Measurement) -> dict:
    """{"sampled", "greedy": one bool a problem, "credit": a truth report or None} of a run's newest snapshot. Imports
    torch.

    Samples, and the solutions whose credit is measured, are drawn with the run's own seed: arms of one seed share their
    draws, seeds do not. So what is averaged over seeds alone holds the noise of its solutions too.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure import evaluate
    from vimpo_core.runs import snapshots
    from vimpo_core.runs.snapshots import load_snapshot
    from vimpo_core.service import truth_report
    from vimpo_core.tasks.registry import task_of

    config, step = store.config(), snapshots.newest_snapshot(store)
    models.single_thread(config.threads)
    policy, task = load_snapshot(store.run_dir, step), task_of(config)
    with models.merged(policy) as model:
        found = evaluate.outcomes(policy, model, task, measurement.split, measurement.prompts, config.seed)
    asked = measurement.credit
    credit = (
        truth_report.truth_report(store, step, asked.set, asked.solutions, asked.rollouts, config.seed)
        if asked
        else None
    )
    return {**found, "credit": credit}
