"""The runs of an experiment on a Ray cluster, each a task of its own: `runner.Places` on many machines.

The nodes need what requirements.txt installs and no folder shared with this machine. This code and the bundled model
are sent along; what a run has recorded comes back every `KEEP_SECONDS`, before it is measured, and at its end, and then
lies here like a run of this machine. So a run that was lost with its node goes on elsewhere from what came back last,
one whose result is here is never begun again, and Ctrl-C, or the death of this process, leaves what a rerun goes on
from. Ray is imported when a cluster is asked for, torch on the nodes alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from vimpo_core.experiment import results, run, runner
from vimpo_core.experiment.results import Measurement
from vimpo_core.experiment.run import Job, Measure, Place
from vimpo_core.files import write_whole
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT, models_dir
from vimpo_core.runs.store import DB_NAME, LOCK_NAME, RunStore
from vimpo_core.runs.worker import MakeTrainer

KEEP_SECONDS = 30.0
"""How often what a run has recorded comes back while it trains: so much is made again at most when its node is lost."""
LOOK_SECONDS = 1.0
"""How often a run tells how far it is, and asks whether to go on."""
LONGEST_GOODBYE = 60.0
"""Seconds that interrupted runs have to end their step and to bring back what they have."""
TRIES = 3
"""How often a run is begun whose node or process is lost, before it counts as failed: it may be what kills them."""

_SENT = ("vimpo_core", "assets/reference", "assets/problems")
"""What goes to the nodes of the repository."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """What there is of a run: its database in one file, and its result as text where it has one."""

    database: bytes
    result: str | None

    @classmethod
    def of(cls, run_dir: Path) -> Kept | None:
        """None where there is no run yet."""
        if not (run_dir / DB_NAME).exists():
            return None
        result = run_dir / results.RESULT_NAME
        text = result.read_text(encoding="utf-8") if result.exists() else None
        return cls(RunStore.open(run_dir).copied(), text)

    def put_down(self, run_dir: Path, is_welcome: Callable[[RunStore], None] = lambda store: None) -> None:
        """Make it the run in `run_dir`, whole or not at all, in place of what was there.

        Raises what `is_welcome` raises of it, and OSError; then nothing has changed.
        """
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=run_dir.parent) as hidden:
            new = Path(hidden) / run_dir.name
            new.mkdir()
            write_whole(new / DB_NAME, self.database)
            (new / LOCK_NAME).touch()
            is_welcome(RunStore.open(new))
            if self.result is not None:
                write_whole(new / results.RESULT_NAME, self.result)
            if run_dir.exists():
                run_dir.rename(Path(hidden) / "before")
            new.rename(run_dir)


@dataclass(frozen=True)
class Told:
    """How far a run is, with what it has recorded where that was due."""

    step: int
    kept: Kept | None = None


@dataclass(frozen=True)
class Brought:
    """What a task returns. why: the sentence where there is no result."""

    node: str
    kept: Kept | None
    why: str


class Board:
    """Between the runs and this process: what they tell, and which of them are to stop. An actor on this node."""

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._stopped: set[str] = set()
        self._is_over = False

    def tell(self, task: str, told: Told) -> bool:
        """Returns whether to go on. What was brought stays until it is read."""
        waiting = self._told.get(task)
        self._told[task] = told if told.kept or not waiting else Told(told.step, waiting.kept)
        return not self._is_over and task not in self._stopped

    def read(self) -> dict[str, Told]:
        """What was told of each task since the last time."""
        told, self._told = self._told, {}
        return told

    def stop(self, task: str | None = None) -> None:
        """Have one task, or all of them, end after the step it is in."""
        if task is None:
            self._is_over = True
        else:
            self._stopped.add(task)


# ---- on a node


def cell(
    board, task: str, job: Job, kept: Kept | None, make_trainer: MakeTrainer, measure: Measure, code: dict, often: float
) -> Brought:
    """One run, from what there was of it to what there is now. often: seconds between two times that it brings back
    what it has.
    """
    import ray

    def tell(told: Told) -> bool:
        # Not by ray.get: a task that waits in it gives its CPU away, and another run would begin beside it.
        return board.tell.remote(task, told).future().result()

    node = f"{platform.node()} {ray.get_runtime_context().get_node_id()[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / job.run_id
        if kept is not None:
            kept.put_down(run_dir)
        if not tell(Told(0)):
            return Brought(node, kept, "It had not begun when the experiment was stopped.")
        try:
            place = Place(node, code)
            run.carry_out(run_dir.parent, job, make_trainer, _Kept(measure, tell), _Look(tell, often), place)
            why = ""
        except Exception as error:  # it comes back as a sentence, with what the run had got to
            why = runner.sentence(error)
        return Brought(node, Kept.of(run_dir), why)


class _Look:
    """Asked between two steps: tells how far the run is, now and then with all that it has, and passes the answer
    on.
    """

    def __init__(self, tell: Callable[[Told], bool], often: float):
        self._tell, self._often = tell, often
        self._looked = 0.0
        self._brought = time.monotonic()

    def __call__(self, store: RunStore) -> bool:
        now = time.monotonic()
        if now - self._looked < min(LOOK_SECONDS, self._often):
            return True
        is_due = now - self._brought >= self._often
        self._looked = now
        if is_due:
            self._brought = now
        return self._tell(Told(store.last_step() or 0, Kept.of(store.run_dir) if is_due else None))


class _Kept:
    """A measurement before which the trained run is brought back."""

    def __init__(self, measure: Measure, tell: Callable[[Told], bool]):
        self._measure, self._tell = measure, tell

    def __call__(self, store: RunStore, measurement: Measurement) -> dict:
        self._tell(Told(store.last_step() or 0, Kept.of(store.run_dir)))
        return self._measure(store, measurement)


# ---- on this machine


@dataclass
class _Task:
    """A run that is under way. ref: of what it will bring; tries: how often it may still be begun again."""

    name: str
    job: Job
    ref: Any
    tries: int
    steps: int = 0
    why_not: str = ""


class Cluster:
    """`runner.Places` on a Ray cluster.

    Args:
        address: of the cluster, as Ray writes it; "auto" is the one of this machine.
        tell: is told sentences for whoever waits.
        often: seconds between two times that a run brings back what it has.

    Raises:
        Mistake: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self,
        runs_dir: Path,
        make_trainer: MakeTrainer,
        measure: Measure,
        address: str = "auto",
        tell: Tell = lambda sentence: None,
        often: float = KEEP_SECONDS,
    ):
        self._runs_dir, self._tell = runs_dir, tell
        self._tasks: list[_Task] = []
        self._begun = 0
        self._largest_asked = 0
        self._ray = _connected(address)
        environment = results.environment()
        code = {name: environment[name] for name in ("commit", "is_dirty")}
        self._board = self._ray.remote(Board).options(num_cpus=0, scheduling_strategy=self._here()).remote()
        self._cell = self._ray.remote(cell)
        self._how = (make_trainer, measure, code, often)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, where) -> None:
        try:
            if kind is not None and self._tasks:
                with suppress(self._ray.exceptions.RayError, Mistake):  # then what came back before is what there is
                    self._say_goodbye()
        finally:
            self._ray.shutdown()

    def begin(self, job: Job) -> None:
        self._warn_if_too_large(job)
        self._send(job, TRIES)

    def ended(self, seconds: float) -> list[tuple[Job, str]]:
        by_ref = {task.ref: task for task in self._tasks}
        done, _ = self._ray.wait(list(by_ref), timeout=seconds)
        self._read_board()
        found = []
        for ref in done:
            task = by_ref[ref]
            self._tasks.remove(task)
            why = self._fetched(task)
            if why is not None:
                found.append((task.job, why))
        return found

    def steps_made(self) -> int:
        return sum(task.steps for task in self._tasks)

    def _here(self):
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)

    def _send(self, job: Job, tries: int) -> None:
        name = f"{job.run_id} {self._begun}"  # one that comes back after it was given up has another name
        self._begun += 1
        # Ray itself begins nothing again: it would start from the beginning, not from what came back.
        asked = self._cell.options(
            name=job.run_id, num_cpus=_cpus(job), num_gpus=int(job.config.device != "cpu"), max_retries=0
        )
        ref = asked.remote(self._board, name, job, Kept.of(self._runs_dir / job.run_id), *self._how)
        self._tasks.append(_Task(name, job, ref, tries - 1))

    def _fetched(self, task: _Task) -> str | None:
        """Put down what a task brought: "" or why there is no result; None where it was lost and is begun again."""
        errors = self._ray.exceptions
        lost = (errors.NodeDiedError, errors.WorkerCrashedError, errors.ObjectLostError, errors.OutOfMemoryError)
        try:
            brought: Brought = self._ray.get(task.ref)
        except lost as error:
            if task.tries:
                self._tell(f"{task.job.run_id} was lost with its node or process and is begun again.")
                self._send(task.job, task.tries)
                return None
            return f"It was lost {TRIES} times with its node or process ({type(error).__name__})."
        except errors.RayError as error:
            return f"Ray could not carry it out: {runner.sentence(error)}"
        why = self._kept(task, brought.kept) or brought.why
        return f"{why} (on {brought.node})" if why else ""

    def _kept(self, task: _Task, kept: Kept | None) -> str:
        """Put down what a run has. Returns why it does not belong here, if so: then the run is stopped."""
        if kept is None or task.why_not:
            return task.why_not
        try:
            kept.put_down(self._runs_dir / task.job.run_id, partial(run.refuse_mixture, runs_dir=self._runs_dir))
        except Mistake as error:
            task.why_not = runner.sentence(error)
            self._board.stop.remote(task.name)
        return task.why_not

    def _read_board(self) -> None:
        try:
            told = self._ray.get(self._board.read.remote())
        except self._ray.exceptions.RayError as error:
            raise Mistake(
                "the connection to the Ray cluster broke. Run the same command again: it goes on from what came back."
            ) from error
        for task in self._tasks:
            if news := told.get(task.name):
                task.steps = news.step
                self._kept(task, news.kept)

    def _say_goodbye(self) -> None:
        """Have the runs that are under way end their step and bring back what they have."""
        self._ray.get(self._board.stop.remote())
        under_way = [task for task in self._tasks if task.steps]
        self._tell(f"Stopping: {len(under_way)} runs end their step. Press Ctrl-C again to leave without it.")
        deadline = time.monotonic() + LONGEST_GOODBYE
        for task in under_way:
            self._ray.wait([task.ref], timeout=max(0.0, deadline - time.monotonic()))
        self._read_board()
        done, _ = self._ray.wait([task.ref for task in self._tasks], num_returns=len(self._tasks), timeout=0)
        for task in self._tasks:
            if task.ref in done:
                task.tries = 0
                self._fetched(task)

    def _warn_if_too_large(self, job: Job) -> None:
        asked = _cpus(job)
        largest = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]), default=0)
        if asked > largest and asked > self._largest_asked:
            self._largest_asked = asked
            self._tell(
                f"{job.name} asks for {asked} CPUs (its setting threads), and no node of the cluster has more than "
                f"{largest:g}: it waits until one comes."
            )


def _cpus(job: Job) -> int:
    return max(1, job.config.threads)


def places(address: str, tell: Tell) -> runner.MakePlaces:
    """What `runner.run_all` asks for."""
    return partial(Cluster, address=address, tell=tell)


def _connected(address: str):
    """The library, connected to the cluster as a driver whose tasks find this code."""
    try:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without a GPU sees none
        import ray
        import ray.exceptions
    except ImportError as error:
        raise Mistake(
            "--on ray needs the library ray, which is not installed. Install it: pip install -r requirements-ray.txt"
        ) from error
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about its own future
        for name in _SENT:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        settings = {"working_dir": folder, "env_vars": {"VIMPO_MODELS_DIR": str(models_dir())}}
        try:
            ray.init(address, runtime_env=settings, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = "on this machine" if address == "auto" else f"at {address}"
            raise Mistake(
                f"no Ray cluster could be reached {where}: {runner.sentence(error)} Start one (ray start --head), or "
                "name one: --ray-address HOST:PORT"
            ) from error
    return ray
