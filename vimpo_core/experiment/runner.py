"""Carries out an experiment: its tuning runs, then its final runs, several at a time, each in a process of its own.

Everything known of a run is in its folder, so a rerun repeats nothing that is finished and goes on with what is not. A
process that dies takes its run along and no other. Where the processes are is the business of `Places`: here they are
on this machine, in `on_ray` on a cluster. No torch here: the processes import it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, Self

from pebble import ProcessPool

from vimpo_core.experiment import results, run
from vimpo_core.experiment.plan import Arm, Plan, Settings, block_label, groups
from vimpo_core.experiment.results import Measurement, Result
from vimpo_core.experiment.run import Job, Measure
from vimpo_core.files import in_words
from vimpo_core.lm.sources import BUNDLED
from vimpo_core.mistake import Mistake
from vimpo_core.rules import RULES, Extra
from vimpo_core.runs import worker
from vimpo_core.runs.locks import exclusive
from vimpo_core.runs.store import RunStore
from vimpo_core.runs.worker import MakeTrainer
from vimpo_core.service.helper_process import end_with_parent
from vimpo_core.tasks.registry import task_of
from vimpo_core.types import known

LOCK_NAME = "experiment.lock"
RUNS_NAME = "runs"
_LOOK_SECONDS = 1.0
"""How often the progress of running runs is looked up."""

_SECONDS_A_TOKEN = 1e-4
_SAMPLING_SHARE = 0.25
_UPDATE_SHARE = 0.35
"""CPU seconds a sampled token of the bundled model, and which parts of them sampling and an update are, roughly; used
until a finished run says better."""


@dataclass(frozen=True)
class Trial:
    """One point of an arm's ranges with the results there are, one a tuning seed."""

    settings: Settings
    results: list[Result]
    missing: int

    def score(self, choose_by: str) -> float:
        """Mean validation accuracy over the tuning seeds."""
        how = choose_by.removesuffix("_accuracy")
        return sum(r.accuracy(how) for r in self.results) / len(self.results)

    @property
    def has_diverged(self) -> bool:
        return any(result.has_diverged for result in self.results)


@dataclass(frozen=True)
class Outcome:
    """What is known of one arm in one block. chosen: the tuned settings, None as long as a trial is missing.
    results: by final seed, None where there is none."""

    block: Settings
    arm: Arm
    trials: list[Trial]
    chosen: Settings | None
    results: dict[int, Result | None]


@dataclass(frozen=True)
class Progress:
    """Where an experiment is. Steps weigh the runs, as tuning runs may be shorter; steps of running ones are counted.

    steps_found: those that were done before this session.
    """

    stage: str
    runs_done: int
    runs_total: int
    steps_done: int
    steps_total: int
    steps_found: int


class Places(Protocol):
    """Where the runs of an experiment are carried out; their folders come to lie in its own. Left by an error, it ends
    what is under way at once, or as soon as that has brought back what it has.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind, error, where) -> None: ...

    def begin(self, job: Job) -> None:
        """Have a run carried out as soon as there is room for it."""

    def ended(self, seconds: float) -> list[tuple[Job, str]]:
        """The runs that ended since it was last asked, each with "" or a sentence why it has no result; where there are
        none, waits that long for one."""

    def steps_made(self) -> int:
        """Steps of the runs that are under way."""


MakePlaces = Callable[[Path, MakeTrainer, Measure], Places]
"""From the folder of the runs, and how they are trained and measured."""


def run_all(
    plan: Plan,
    out: Path,
    jobs: int,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    make_trainer: MakeTrainer = worker.make_trainer,
    measure: Measure = run.measured,
    make_places: MakePlaces | None = None,
) -> dict[str, str]:
    """Tune, then make the final runs; returns run_id -> sentence for runs that came to no result.

    make_places: where they are carried out; default: on this machine, at most `jobs` at a time.

    Raises:
        LockedError: this experiment is running in another process.
        OSError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    make_places = make_places or partial(_Processes, jobs=jobs)
    with exclusive(out / LOCK_NAME, f"this experiment is already running in {out}. Wait for it, or use another --out."):
        stages = _Stages(out, on_progress)
        with make_places(out / RUNS_NAME, make_trainer, measure) as places:
            final = final_jobs(plan, out, even_untuned=True)
            failed = stages.carry_out(places, "tuning", tuning_jobs(plan), final)
            return failed | stages.carry_out(places, "final", final_jobs(plan, out), [])


class _Stages:
    """Runs the jobs of one stage after the other, and keeps count over both."""

    def __init__(self, out: Path, on_progress):
        self._runs_dir, self._on_progress = out / RUNS_NAME, on_progress
        self._done: list[Job] = []
        self._steps_found = 0

    def carry_out(self, places: Places, name: str, jobs: list[Job], later: list[Job]) -> dict[str, str]:
        """Returns run_id -> sentence for the jobs without a result. `later`: jobs of the next stage, to count them."""
        everything = [*self._done, *jobs, *later]
        left = [job for job in jobs if results.load(self._runs_dir / job.run_id, job.measurement) is None]
        found = [job for job in jobs if job not in left]
        self._done += found
        self._steps_found += _steps(found)
        for job in left:
            places.begin(job)
        failed: dict[str, str] = {}
        n_left = len(left)
        while True:
            self._on_progress(
                Progress(
                    stage=name,
                    runs_done=len(self._done),
                    runs_total=len(everything),
                    steps_done=_steps(self._done) + places.steps_made(),
                    steps_total=_steps(everything),
                    steps_found=self._steps_found,
                )
            )
            if not n_left:
                return failed
            for job, why in places.ended(_LOOK_SECONDS):
                n_left -= 1
                self._done.append(job)
                if why:  # whatever befell one run, the others go on
                    failed[job.run_id] = why


def _steps(jobs: list[Job]) -> int:
    return sum(job.config.steps for job in jobs)


def _last_step(run_dir: Path) -> int:
    """How far a run is; 0 while its folder is being made."""
    try:
        return RunStore.open(run_dir).last_step() or 0
    except Mistake:
        return 0


class _Processes:
    """Processes of this machine that are reused run after run, as importing torch takes seconds; on an error they are
    ended at once.
    """

    def __init__(self, runs_dir: Path, make_trainer: MakeTrainer, measure: Measure, jobs: int):
        self._runs_dir, self._make_trainer, self._measure = runs_dir, make_trainer, measure
        # Spawned, so that each is a child of this process with nothing of its threads or open files.
        spawned = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=jobs, context=spawned, initializer=end_with_parent)
        self._pending: dict[Future, Job] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, where) -> None:
        self._pool.close() if kind is None else self._pool.stop()
        self._pool.join()

    def begin(self, job: Job) -> None:
        arguments = self._runs_dir, job, self._make_trainer, self._measure, partial(run.lives, os.getpid())
        self._pending[self._pool.schedule(run.carry_out, args=arguments)] = job

    def ended(self, seconds: float) -> list[tuple[Job, str]]:
        done = wait(self._pending, timeout=seconds, return_when=FIRST_COMPLETED).done
        return [(self._pending.pop(future), sentence(future.exception())) for future in done]

    def steps_made(self) -> int:
        running = [self._runs_dir / job.run_id for future, job in self._pending.items() if future.running()]
        return sum(map(_last_step, running))


def sentence(error: BaseException | None) -> str:
    """Why a run came to no result, in one line; "" for no error."""
    return "" if error is None else next(iter(in_words(error).splitlines()), "") or type(error).__name__


# ---- which runs there are


def tuning_jobs(plan: Plan) -> list[Job]:
    """Every trial of every arm in every block, once; seed by seed."""
    if plan.tune is None:
        return []
    arms = [(block, arm) for block, arm in groups(plan) if arm.ranges]
    return _once(
        _tuning_job(plan, arm, block, settings, seed)
        for seed in plan.tune.seeds
        for block, arm in arms
        for settings in arm.trials(plan.tune.trials)
    )


def final_jobs(plan: Plan, out: Path, even_untuned: bool = False) -> list[Job]:
    """The runs with the final seeds of all arms whose tuning is done, seed by seed, so that an early stop leaves pairs.

    even_untuned: the other arms too, at some point of their ranges, to count and price them.
    """
    chosen = []
    for block, arm in groups(plan):
        settings = chosen_settings(plan, arm, trials(plan, arm, block, out))
        if settings is None and even_untuned:
            settings = arm.first_point
        if settings is not None:
            chosen.append((block, arm, settings))
    return _once(
        _final_job(plan, arm, block, settings, seed)
        for seed, (block, arm, settings) in itertools.product(plan.seeds, chosen)
    )


def _tuning_job(plan: Plan, arm: Arm, block: Settings, settings: Settings, seed: int) -> Job:
    tune = known(plan.tune)
    config = plan.config(arm, block, settings, seed, tune.steps)
    return Job(_run_name("tuning", arm, block, seed), config, Measurement("validation", tune.validation_prompts))


def _final_job(plan: Plan, arm: Arm, block: Settings, settings: Settings, seed: int) -> Job:
    config = plan.config(arm, block, settings, seed, plan.steps)
    return Job(_run_name("", arm, block, seed), config, Measurement("test", plan.test_prompts, plan.credit))


def _run_name(stage: str, arm: Arm, block: Settings, seed: int) -> str:
    return ", ".join(part for part in (arm.name, stage, block_label(block), f"seed {seed}") if part)


def _once(jobs: Iterable[Job]) -> list[Job]:
    """Two arms may come to the same settings: such a run is made once and counts for both."""
    return list({job.run_id: job for job in jobs}.values())


# ---- what they came to


def outcomes(plan: Plan, out: Path) -> list[Outcome]:
    """All that is on disk of an experiment, block by block, arm by arm."""
    found = []
    for block, arm in groups(plan):
        tried = trials(plan, arm, block, out)
        chosen = chosen_settings(plan, arm, tried)
        by_seed = {
            seed: None if chosen is None else _load(out, _final_job(plan, arm, block, chosen, seed))
            for seed in plan.seeds
        }
        found.append(Outcome(block, arm, tried, chosen, by_seed))
    return found


def trials(plan: Plan, arm: Arm, block: Settings, out: Path) -> list[Trial]:
    """An arm's trials with the results there are; none for an arm without ranges."""
    if plan.tune is None or not arm.ranges:
        return []
    found = []
    for settings in arm.trials(plan.tune.trials):
        loaded = [_load(out, _tuning_job(plan, arm, block, settings, seed)) for seed in plan.tune.seeds]
        known = [result for result in loaded if result is not None]
        found.append(Trial(settings, known, len(loaded) - len(known)))
    return found


def chosen_settings(plan: Plan, arm: Arm, tried: list[Trial]) -> Settings | None:
    """The best trial's settings, the earlier one of equals; one that diverged only if all did. None while one is
    missing.
    """
    if not arm.ranges:
        return {}
    if any(trial.missing for trial in tried):
        return None
    sound = [trial for trial in tried if not trial.has_diverged] or tried
    return max(sound, key=lambda trial: trial.score(known(plan.tune).choose_by)).settings


def _load(out: Path, job: Job) -> Result | None:
    return results.load(out / RUNS_NAME / job.run_id, job.measurement)


# ---- how long it will take


@dataclass(frozen=True)
class Forecast:
    """Runs of an experiment, those that are done, and the CPU seconds that the others will take, roughly; None where
    nothing says what a run of their model costs."""

    tuning_runs: int
    final_runs: int
    done: int
    cpu_seconds: float | None


def forecast(plan: Plan, out: Path) -> Forecast:
    """Count the runs; price them by finished runs of the same model and algorithm, else, of the bundled model, by the
    tokens that they will sample."""
    tuning, final = tuning_jobs(plan), final_jobs(plan, out, even_untuned=True)
    known = {job.run_id: result for job in (*tuning, *final) if (result := _load(out, job))}
    prices: dict[tuple[str, str], list[float]] = {}
    for result in known.values():
        cost = (result.cpu_seconds + result.measuring_cpu_seconds) / result.config["steps"]
        prices.setdefault((result.config.get("model", BUNDLED), result.config["algorithm"]), []).append(cost)
    priced = [_price(job, prices) for job in (*tuning, *final) if job.run_id not in known]
    whole = [price for price in priced if price is not None]
    return Forecast(len(tuning), len(final), len(known), sum(whole) if len(whole) == len(priced) else None)


def _price(job: Job, prices: dict[tuple[str, str], list[float]]) -> float | None:
    known = prices.get((job.config.model, job.config.algorithm))
    if known:
        return job.config.steps * sum(known) / len(known)
    if job.config.model != BUNDLED:
        return None
    config, length = job.config, task_of(job.config).typical_length
    extras = RULES[config.algorithm].extras
    # From every prefix of a solution, on average half of it is left to sample.
    tries = config.vine_rollouts * length / 2 if Extra.MONTE_CARLO in extras else 0
    if Extra.REFERENCE_RATE in extras:
        tries = config.reference_rollouts / config.group_size
    work = 1 + _SAMPLING_SHARE * tries + _UPDATE_SHARE * (config.updates_per_batch - 1)
    return config.steps * config.batch_size * length * work * _SECONDS_A_TOKEN
