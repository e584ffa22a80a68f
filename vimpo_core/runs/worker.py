"""The process that trains: takes jobs from the queue, steps their runs in turn, commits every record.

    python -m vimpo_core.runs.worker RUNS_DIR [--wait]

One worker a runs folder; a second one finds the lock taken and leaves. It outlives the web server that started it,
reads play, pause, step and stop between steps, and ends when the queue is empty. It may die at any moment: what was
committed stays, and its runs then show as interrupted. torch is imported when a run starts, not with this module; with
--wait before that, so that a run begins at once when the worker is told to.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

from vimpo_core import files
from vimpo_core.config import TrainConfig
from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.folder import BEGIN, WAIT_OPTION, WORKER_LOCK_NAME, WORKER_LOG_NAME, RunsDir
from vimpo_core.runs.forks import Deviates, ForkTrainer
from vimpo_core.runs.locks import LockedError, exclusive
from vimpo_core.runs.queue import JobSummary
from vimpo_core.runs.store import RunStore, StoreError, is_disk_full
from vimpo_core.types import Diverged, RunState, StepRecord, known

PAUSE_POLL_SECONDS = 0.05
"""How often a paused job looks for its next command."""
IN_CLASS = "VIMPO_CLASS"
"""Set where a class is served (`service.classroom`)."""
WAIT_SECONDS = 900.0
"""How long a worker that is ready waits: as long as somebody may read on before pressing Play."""

BUSY_SECONDS = 60.0
"""How long a step waits to be written while another process is at its file, beyond what each try waits."""
_BUSY_POLL_SECONDS = 0.1

_WORST_FIRST = (RunState.INTERRUPTED, RunState.STOPPED, RunState.DIVERGED, RunState.FINISHED)


class Trains(Protocol):
    """What `drive` needs of a trainer (`trainer.Trainer`)."""

    @property
    def next_step(self) -> int: ...

    @property
    def header(self) -> dict: ...

    @property
    def done(self) -> bool: ...

    def step(self) -> StepRecord: ...


MakeTrainer = Callable[[TrainConfig, bytes | None], Trains]
Pair = tuple[RunStore, Trains]


def make_trainer(config: TrainConfig, resume_state: bytes | None) -> Trains:
    """The real trainer; imports torch."""
    from vimpo_core.trainer import Trainer

    return Trainer(config, resume_state)


def main(
    runs_dir: Path,
    make_trainer: MakeTrainer = make_trainer,
    on_record: Callable[[RunStore, StepRecord], None] | None = None,
    only_job: str | None = None,
) -> bool:
    """Train what waits in the queue (or `only_job` alone) until nothing does. False if another worker is at work.

    After letting go of the lock it looks once more: a job submitted in that moment saw a worker alive and started none.
    """
    runs = RunsDir(runs_dir)
    while True:
        try:
            with exclusive(runs.path / WORKER_LOCK_NAME, "another worker is at work in this folder."):
                _patiently(lambda: _bury_the_dead(runs))
                while job := _patiently(lambda: runs.queue.take(only_job)):
                    state = run_job(runs, job, make_trainer, on_record)
                    _patiently(functools.partial(runs.queue.move, job.job_id, RunState.RUNNING, state))
                runs.tidy()
        except LockedError:
            return False
        except (Mistake, StoreError):  # the queue cannot be used: its job shows as interrupted once the lock is gone
            _log_traceback(runs.path)
            return True
        if only_job is not None:
            runs.ensure_worker()  # for jobs that waited behind this one
            return True
        if not runs.queue.has_waiting():
            return True


def run_job(runs: RunsDir, job: JobSummary, make_trainer: MakeTrainer, on_record=None) -> RunState:
    """Train the runs of one job. A run that cannot start is stopped with the reason; the others go on."""
    with ExitStack() as stack:
        started = [_start(stack, runs, run_id, make_trainer) for run_id in job.run_ids]
        pairs = [pair for pair in started if pair is not None]
        state = drive(pairs, _Commands(lambda: runs.queue.read_command(job.job_id)), on_record)
        return state if len(pairs) == len(started) else _worst([state, RunState.STOPPED])


class _Commands:
    """What is asked of a job; while the queue cannot be read, what was asked last, so that nobody who keeps it busy
    ends a training.
    """

    def __init__(self, read: Callable[[], str]):
        self._read, self._last = read, "play"

    def __call__(self) -> str:
        with suppress(StoreError):
            command = self._read()
            self._last = "pause" if command == "step" else command
            return command
        return self._last


def _patiently(do: Callable[[], Any]) -> Any:
    """`do()`, again and again while another process is at the file that it needs. Raises its StoreError in the end."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return do()
        except StoreError as error:
            if not error.is_busy or time.monotonic() > end:
                raise
        time.sleep(_BUSY_POLL_SECONDS)


def drive(
    pairs: list[Pair],
    read_command: Callable[[], str],
    on_record: Callable[[RunStore, StepRecord], None] | None = None,
) -> RunState:
    """Step the trainers in turn and commit each record, until all have ended or the command is to stop.

    The caller holds the lock of each store. `read_command` is asked between steps: "stop" acts at once, "pause" when
    every run has made its step of the round, "step" makes one record for each run; it is answered once a request.
    A run that diverges or fails ends alone. Ctrl-C stops like "stop".

    Returns:
        The job's state: the worst of its runs (interrupted, stopped, diverged, finished).
    """
    live = [pair for pair in pairs if not pair[1].done]
    outcomes = [_end(store, RunState.FINISHED, "") for store, trainer in pairs if trainer.done]
    due: list[Pair] = []  # who has yet to step in this round
    shown = None
    asked_again = False  # a further single step was asked for in the middle of this one
    try:
        while live:
            try:
                command = read_command()
            except Mistake as error:
                outcomes.append(_show(live, RunState.INTERRUPTED, None, _sentence(error)))
                break
            if command == "stop":
                outcomes.append(_show(live, RunState.STOPPED, shown))
                break
            if due:
                asked_again |= command == "step"
            elif command == "pause" and not asked_again:
                shown = _show(live, RunState.PAUSED, shown)
                time.sleep(PAUSE_POLL_SECONDS)
                continue
            else:
                due, asked_again = list(live), False
            shown = _show(live, RunState.RUNNING, shown)
            pair = due.pop(0)
            ended = _advance(*pair, on_record)
            if ended is not None:
                live.remove(pair)
                outcomes.append(ended)
    except KeyboardInterrupt:
        outcomes.append(_show(live, RunState.STOPPED, shown))
    return _worst(outcomes)


def _advance(store: RunStore, trainer: Trains, on_record) -> RunState | None:
    """One step of one run, committed. Returns its state if that was its last, else None.

    What a fork has to make again is there already: such a record is told to `on_record` but not kept.
    """
    try:
        recorded = store.last_step()
        record = trainer.step()
        is_again = recorded is not None and record.step <= recorded
        if is_again:
            _replayed(store, record, known(recorded))
        else:
            _patiently(functools.partial(store.commit_step, record))
    except Diverged as error:
        return _end(store, RunState.DIVERGED, _sentence(error))
    except Deviates as error:
        return _end(store, RunState.STOPPED, f"The replay ended: {_sentence(error)}")
    except Exception as error:
        _log_traceback(store.run_dir.parent)
        return _end(store, RunState.INTERRUPTED, _failure(trainer.next_step, error))
    if on_record is not None:
        on_record(store, record)
    return _end(store, RunState.FINISHED, "") if trainer.done and not is_again else None


def _replayed(store: RunStore, record: StepRecord, recorded: int) -> None:
    _, seconds = store.overview().replayed or (None, 0.0)
    done = f"Replaying the parent's steps: {record.step} of {recorded}." if record.step < recorded else ""
    store.set_replayed((record.step, seconds + record.timings.get("wall_seconds", 0.0)), done)


def _start(stack: ExitStack, runs: RunsDir, run_id: str, make_trainer: MakeTrainer) -> Pair | None:
    """Lock a run and build its trainer. None if that fails: the run is then stopped, its message says why."""
    try:
        store = runs.open_writable(run_id)
        stack.enter_context(store.lock())
    except Mistake:  # unreadable, deleted meanwhile, or trained by somebody else: not ours to mark
        _log_traceback(runs.path)
        return None
    stack.callback(store.close)
    try:
        trainer = trainer_of(store, make_trainer)
    except Exception as error:
        _log_traceback(runs.path)
        _end(store, RunState.STOPPED, f"It could not start: {_sentence(error)}")
        return None
    return store, trainer


def trainer_of(store: RunStore, make_trainer: MakeTrainer) -> Trains:
    """The trainer that goes on with a run from where it is; the caller holds the run's lock.

    Raises:
        Mistake: the model or the saved state cannot be loaded, or the run was begun with another model.

    A run that was begun on a graphics card goes on on the CPU where there is none; its message says so from then on.
    """
    store.set_state(RunState.RUNNING, "Loading the model.")
    config, state, header = store.config(), store.resume_state(), store.header()
    is_new_fork = state is None and "fork" in header
    if is_new_fork:
        store.set_replayed(None, "Loading the model.")
        trainer: Trains = ForkTrainer(store, make_trainer)
    else:
        trainer = make_trainer(config if state is None else bases.on_this_machine(config), state)
    if is_new_fork or state is not None:  # before its first step a run stands on nothing yet
        begun, now = (bases.recorded(h, config) for h in (header, trainer.header))
        bases.refuse_other(begun, now, f"run {store.run_id}", config.model)
        bases.refuse_other_marks(header, trainer.header, f"run {store.run_id}")
        bases.refuse_other_problems(header, trainer.header, f"run {store.run_id}")
    store.update_header(trainer.header | _moved(config, header, trainer.next_step))
    return trainer


def _moved(config: TrainConfig, header: dict, step: int) -> dict:
    """What the header says from now on of a run that goes on on another device than its settings have."""
    if "remark" in header or bases.on_this_machine(config) == config:
        return {}
    return {
        "remark": f"From step {step} on it was computed on the CPU, as this computer has no {config.device} device: "
        f"close to "
        "what that would have given, not bit for bit the same."
    }


def _show(live: list[Pair], state: RunState, shown: RunState | None, message: str = "") -> RunState:
    if state != shown:
        for store, _ in live:
            _end(store, state, message)
    return state


def _end(store: RunStore, state: RunState, message: str) -> RunState:
    # On a full disk even this may fail; once the lock is gone the run shows as interrupted by itself.
    with suppress(StoreError):
        _patiently(functools.partial(store.set_state, state, message))
    return state


def _bury_the_dead(runs: RunsDir) -> None:
    """Jobs that a killed worker left behind are over; their runs can be resumed."""
    for job in runs.queue.jobs():
        if job.state in (RunState.RUNNING, RunState.PAUSED):
            runs.queue.move(job.job_id, job.state, RunState.INTERRUPTED)


def _worst(outcomes: list[RunState]) -> RunState:
    return min(outcomes, key=_WORST_FIRST.index, default=RunState.STOPPED)


def _failure(step: int, error: Exception) -> str:
    if isinstance(error, StoreError):
        return str(error)
    if is_disk_full(error):
        return (
            f"Step {step} was not kept: the disk is full. Free at least 100 MB, then resume; nothing earlier is lost."
        )
    if files.is_short_of_memory(error):
        return (
            f"Step {step} was not made: there is not enough memory for it. Close other programs, then resume; or fork "
            "the run with a smaller micro-batch, which needs less. The steps before it are safe."
        )
    return f"Step {step} failed: {_sentence(error)} The steps before it are safe; {WORKER_LOG_NAME} has the details."


def _sentence(error: Exception) -> str:
    """The first line of an error, as a sentence."""
    text = next(iter(in_words(error).strip().splitlines()), "") or type(error).__name__
    return text if text[-1] in ".!?" else text + "."


def _log_traceback(runs_dir: Path) -> None:
    with suppress(OSError), open(runs_dir / WORKER_LOG_NAME, "a", encoding="utf-8") as log:
        log.write(f"{datetime.now().isoformat(timespec='seconds')}\n{traceback.format_exc()}\n")


def begins(told: IO[bytes], prepare: Callable[[], None] | None = None) -> bool:
    """Load what every run needs, then wait until somebody says to begin. False where nobody will: who started this
    process is gone, or has not said so for long."""
    (prepare or _load_what_runs_need)()
    given_up = threading.Timer(WAIT_SECONDS, os._exit, (0,))
    given_up.daemon = True
    given_up.start()
    try:
        return told.readline() == BEGIN
    finally:
        given_up.cancel()


def _load_what_runs_need() -> None:
    """torch, the bundled model and all that a step imports; what comes of it is thrown away."""
    with suppress(Exception):  # whatever is wrong is said when a run begins
        trainer = make_trainer(TrainConfig(prompts_per_step=1, group_size=2, eval_prompts=1), None)
        trainer.step()


def _write_to_the_log(runs_dir: Path) -> None:
    """What this process has to say from now on, even where Python itself says it, stands in the folder's log."""
    with suppress(OSError), open(runs_dir / WORKER_LOG_NAME, "ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)


def _step_back() -> None:
    """A lower priority than the pages have, and in a class the lowest. On Linux a process that leads a session of its
    own, as a worker does, competes as a group, whose priority is another number."""
    is_class = bool(os.environ.get(IN_CLASS))
    if hasattr(os, "nice"):
        os.nice(19 if is_class else 10)
    if is_class:
        with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write("19")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m vimpo_core.runs.worker", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs_dir", type=Path, help="folder with the runs and their queue")
    parser.add_argument(WAIT_OPTION, action="store_true", help="load everything, and begin when told to on stdin")
    arguments = parser.parse_args()
    _step_back()
    if not arguments.wait:
        main(arguments.runs_dir)
    elif begins(sys.stdin.buffer):
        _write_to_the_log(arguments.runs_dir)
        main(arguments.runs_dir)
