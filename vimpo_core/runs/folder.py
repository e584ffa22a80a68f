"""A folder of runs and the queue of jobs that train them. The web pages and the command line share it.

    runs_dir/RUN_ID/        one run each (`store`); a folder that the lab did not make is none, and is left alone
    runs_dir/.bin/          runs that were deleted in the last week (`run_bin`)
    runs_dir/app.db         the queue and the names people gave to runs; short transactions, written by anyone
    runs_dir/class.db       who is in a class, whose runs are whose, hand-ins (`service.classroom`)
    runs_dir/worker.lock    held by the one process that trains (`worker`)
    runs_dir/worker.log     what that process had to say

A job is one run, or several that are stepped in turn. One job is trained at a time; the others wait in order. This
module never trains: it writes down what is wanted, and the worker reads it between steps.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import math
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vimpo_core import files, paths
from vimpo_core.config import TrainConfig
from vimpo_core.lm import adapter_files, sources
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT
from vimpo_core.runs import forks, labels, listing
from vimpo_core.runs.locks import is_held
from vimpo_core.runs.names import LONGEST_NAME, Named, default_name, new_name, told_apart
from vimpo_core.runs.queue import COMMANDS, Command, JobQueue, JobSummary
from vimpo_core.runs.run_bin import KEPT, Deleted, RunBin
from vimpo_core.runs.store import DB_NAME, RunStore, StoreError, is_run, lost_log_sentence, remove_leftovers
from vimpo_core.tasks import registry
from vimpo_core.types import RunState

QUEUE_NAME = "app.db"
WORKER_LOCK_NAME = "worker.lock"
WORKER_LOG_NAME = "worker.log"
WAIT_OPTION, BEGIN = "--wait", b"begin\n"
"""What has a worker wait when it has loaded what it needs, and what it is then told on its standard input."""

ACTIVE = (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED)
WAKE_SECONDS, COMING_SECONDS = 5.0, 120.0
"""How long somebody who waits leaves it at a worker that died on its way to its lock before starting another, and at
one that is still on its way: on a busy machine a second one would only take the first one's time.
"""
_started: dict[Path, tuple[subprocess.Popen | Exception, float]] = {}
"""Runs folder -> the worker that this process started there last, or why it could not, and when (monotonic)."""
_ready: dict[Path, subprocess.Popen] = {}
"""Runs folder -> the worker that was started ahead of time and waits to be told; see `ready_worker`."""
_ready_lock = threading.Lock()
_ANOTHER = "VIMPO_RUNS_DIR names it, or --runs-dir."
_seen: set[Path] = set()
"""Folders in which this process has seen runs."""
_NAMED = 5
"""How many folders that are no runs are named."""


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs. A folder that cannot be read has algorithm "", steps 0 and default settings;
    its `message` says what is wrong."""

    run_id: str
    name: str
    algorithm: str
    state: RunState
    message: str
    steps: int
    last_step: int | None
    created: str
    config: TrainConfig
    job_id: str | None
    read_only: bool
    imported: dict | None = None
    """Of a run that another tool recorded: `RunStore.imported`."""
    rescored: str = ""
    """Which re-scoring lies uppermost."""
    given_name: str = ""
    """The name as it was given; `name` says more where an earlier run of the folder has the same."""
    tags: tuple[str, ...] = ()
    note: str = ""
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """First and last value of the metrics that a list shows (`listing.SHOWN`), those that were recorded."""

    @property
    def version(self) -> str:
        """Tells apart what its solutions are now from what they were, and from those of a run of the same name."""
        return f"{self.created} {self.rescored}".strip()

    @property
    def tool(self) -> str:
        """The tool that recorded it; "" for the lab's own."""
        return self.imported["tool"] if self.imported else ""


class RunsDir:
    """The runs in `path`; nothing is created before the first run is. With read_only=True nothing ever is."""

    def __init__(self, path: Path, read_only: bool = False):
        self.path = Path(path)
        self.read_only = read_only
        self.queue = JobQueue(self.path / QUEUE_NAME)
        self.bin = RunBin(self.path)

    # ---- looking

    def list(self) -> builtins.list[RunSummary]:
        """All runs, newest first. A damaged one is listed with the sentence that says so; never raises."""
        is_known = True
        try:
            names, jobs = self.queue.names(), self.jobs()
        except (Mistake, StoreError) as error:  # a queue that cannot be read hides names, not runs
            names, jobs = {}, []
            is_known = isinstance(error, Mistake)
        newest_job = {run_id: job for job in jobs for run_id in job.run_ids}
        found = [self._summary(run_id, names, newest_job.get(run_id), is_known) for run_id in self._run_ids()]
        if found:
            _seen.add(self.path.absolute())
        found.sort(key=lambda run: (run.created, run.run_id))
        apart = told_apart([_named(run) for run in found])
        return [dataclasses.replace(run, name=name) for run, name in zip(found, apart, strict=True)][::-1]

    def gone(self) -> str:
        """A sentence where the folder is not there any more though this process has seen runs in it, else "": nothing
        is made in its place, which the folder would hide when it comes back.
        """
        if self.path.is_dir() or self.path.absolute() not in _seen:
            return ""
        return (
            f"The runs folder {self.path.name} is gone: it was there a while ago, and was moved or deleted since, or "
            "its disk was taken out. Put it back, or start the lab again to begin a new one."
        )

    def others(self) -> builtins.list[str]:
        """Folders in here that are no runs of the lab, by name: they are never listed as runs, changed or deleted."""
        return [folder.name for folder in _folders(self.path) if not is_run(folder)]  # one look: runs come and go

    def open(self, run_id: str) -> RunStore:
        """A run, for reading. Raises Mistake naming the runs there are, or what is wrong with this one."""
        return RunStore.open(self._run_dir(run_id))

    def open_writable(self, run_id: str) -> RunStore:
        """A run, for the process that will hold its lock."""
        self._refuse_read_only("train")
        return RunStore.open(self._run_dir(run_id), writable=True)

    def jobs(self) -> builtins.list[JobSummary]:
        """All jobs in the order they were submitted. One that says running without a living worker is interrupted."""
        return [self._resolved(job) for job in self.queue.jobs()]

    def has_worker(self) -> bool:
        """Whether a worker is alive in this folder."""
        return is_held(self.path / WORKER_LOCK_NAME)

    def may_change(self, run_id: str) -> bool:
        """Whether who asks may change this run."""
        return not self.read_only

    # ---- changing

    def rename(self, run_id: str, name: str) -> None:
        """Give a run a name. Raises Mistake on an empty or over-long one."""
        self._refuse_read_only("rename")
        self._run_dir(run_id)
        self.queue.set_name(run_id, _checked_name(name))

    def label(
        self, run_id: str, add: Iterable[str] = (), remove: Iterable[str] = (), note: str | None = None
    ) -> dict[str, Any]:
        """Give a run some tags, take some away, and write its note anew (None: leave it), also while it trains. The
        tags that are not named stay as they are. Returns the tags and the note that it has now.

        Raises Mistake for a tag or a note that cannot be kept, or a run that cannot be read; StoreError.
        """
        self._refuse_read_only("tag or note")
        with self.open_writable(run_id) as store:
            header = store.change_header(lambda header: labels.changed(header, add, remove, note))
        return {"tags": list(labels.tags_of(header)), "note": labels.note_of(header)}

    def delete(self, run_id: str) -> Deleted:
        """Move a run to the bin, from where `restore` brings it back for a week.

        Raises Mistake while it is queued, running or paused; OSError where the folder cannot be moved.
        """
        self._refuse_read_only("delete")
        self._run_dir(run_id)
        if job := self._active_job_of(run_id):
            raise Mistake(f"run {run_id} is {job.state} and cannot be deleted. Stop it first.")
        if self._is_followed(run_id):
            raise Mistake(
                f"run {run_id} is followed while another tool trains it and cannot be deleted. Stop that first."
            )
        deleted = self.bin.put(run_id)
        self._move_name(run_id, deleted.entry)
        self.tidy()
        return deleted

    def restore(self, wanted: str) -> str:
        """Bring a deleted run back: `wanted` is its entry in the bin, or its id for the one that was deleted last.

        Returns its id: its own, unless another run has that now. Raises Mistake naming what the bin holds.
        """
        self._refuse_read_only("restore")
        entries = self.bin.entries()
        found = next((e for e in entries if wanted in (e.entry, e.run_id)), None)
        if found is None:
            there = ", ".join(e.run_id for e in entries[:10])
            raise Mistake(
                f"no deleted run {wanted!r} in {self.path.name}. "
                f"{f'There is {there}.' if there else 'Its bin is empty.'}"
            )
        run_id = self.bin.restore(found)
        self._move_name(found.entry, run_id)
        return run_id

    def deleted_name(self, entry: Deleted) -> str:
        """What a run in the bin is called; its id where that cannot be read."""
        with contextlib.suppress(Mistake, StoreError):
            names = self.queue.names()
            if name := _line(names.get(entry.entry) or names.get(entry.run_id) or ""):
                return name
        with contextlib.suppress(Mistake, OSError):
            return _line(RunStore.open(self.bin.path / entry.entry).header()["name"]) or entry.run_id
        return entry.run_id

    def tidy(self) -> None:
        """Remove for good what was deleted more than a week ago, and what killed starts left."""
        self._forget(self.bin.empty(datetime.now(UTC) - KEPT))
        remove_leftovers(self.path)

    def empty_bin(self) -> builtins.list[Deleted]:
        """Remove for good everything that was deleted; returns what that was."""
        self._refuse_read_only("remove")
        removed = self.bin.empty(datetime.max.replace(tzinfo=UTC))
        self._forget(removed)
        return removed

    def models(self) -> builtins.list[str]:
        """The models of its runs, the one used last first, without the bundled one."""
        used = [run.config.model for run in self.list() if run.algorithm]
        return [model for model in dict.fromkeys(used) if model not in (sources.BUNDLED, sources.NOT_CHOSEN)]

    def submit(self, configs: builtins.list[TrainConfig], name: str = "") -> str:
        """Make one queued run a config and one job of them all, stepped in turn. Returns the job's id.

        Call `ensure_worker` to have it trained. Without a name the runs are named after their settings.

        Raises:
            Mistake: no config, a bad name, or a model that cannot be trained.
            StoreError: it could not be written; nothing is left of it.
        """
        self._refuse_read_only("train")
        if not configs:
            raise Mistake("a job needs at least one run, got none. Choose an algorithm.")
        name = _checked_name(name) if name.strip() else ""
        configs = [settled(config) for config in configs]
        made: builtins.list[RunStore] = []
        try:
            self._make_folder()
            number = self._free_number(configs)
            others = [] if name else [_named(run) for run in self.list()[::-1]]
            for run_id, config in zip(_ids(configs, number), configs, strict=True):
                if name:
                    label = name if len(configs) == 1 else f"{name}: {default_name(config)}"
                else:
                    label = new_name(config, others)
                    others.append((default_name(config), config))
                header = {"job_id": f"job-{number}", "name": label, "command": command_line(config)}
                header["created"] = listing.new_moment(self.path)
                made.append(RunStore.create(self.path / run_id, config, header))
            self.queue.add(f"job-{number}", [store.run_id for store in made])
        except BaseException:
            for store in made:
                shutil.rmtree(store.run_dir, ignore_errors=True)
            raise
        return f"job-{number}"

    def place(self, word: str) -> Path:
        """Where a run that is no training may be made, WORD-N; nothing is there. Raises StoreError."""
        self._refuse_read_only("add to")
        self._make_folder()
        taken = {*_names(self.path), *(entry.run_id for entry in self.bin.entries())}
        while (run_id := f"{word}-{self.queue.next_number()}") in taken:
            pass
        return self.path / run_id

    def fork(
        self,
        run_id: str,
        step: int,
        config: TrainConfig,
        optimizer: forks.Optimizer = "replay",
        name: str = "",
        source: RunsDir | None = None,
    ) -> str:
        """Make one queued run that has the records 0..step of `run_id` and goes on from there with other settings.

        The update after record `step` is the first one made with `config`; `forks` says what `optimizer` means.
        `source`: the folder of the parent, where it is not this one. Returns the job's id; call `ensure_worker` to have
            it trained.

        Raises:
            Mistake: no such run or step, or a setting that cannot change; the sentence names it.
            StoreError: it could not be written; nothing is left of it.
        """
        self._refuse_read_only("fork")
        parent = (source or self).open(run_id)
        _refuse_imported(parent, "forked")
        fork = forks.fork_header(parent, step, config, optimizer)
        named = forks.default_name(fork["name"], step, parent.config(), config)
        name = _checked_name(name) if name.strip() else _shortened(named)
        self._make_folder()
        number = self._free_number([config])
        (new_id,) = _ids([config], number)
        command = forks.command_line(run_id, step, parent.config(), config, optimizer)
        header = {"job_id": f"job-{number}", "name": name, "command": command, "fork": fork}
        header |= forks.base_of(parent) | {"created": listing.new_moment(self.path)}
        made = RunStore.create(self.path / new_id, config, header, past=(parent, step))
        try:
            self.queue.add(f"job-{number}", [new_id])
        except BaseException:
            shutil.rmtree(made.run_dir, ignore_errors=True)
            raise
        return f"job-{number}"

    def resume(self, run_ids: builtins.list[str]) -> str:
        """Put runs that are stopped, interrupted or diverged back in the queue as one job, each from its own last step.

        Returns the job's id. Raises Mistake, changing nothing, if one of them is finished, running or queued.
        """
        self._refuse_read_only("resume")
        if not run_ids:
            raise Mistake("resume needs at least one run, got none. Name a run.")
        stores = [self.open_writable(run_id) for run_id in dict.fromkeys(run_ids)]
        for store in stores:
            _refuse_imported(store, "resumed")
            self._refuse_resume(store)
        job_id = f"job-{self.queue.next_number()}"
        for store in stores:
            with store:
                store.set_state(RunState.QUEUED)
        self.queue.add(job_id, [store.run_id for store in stores])
        return job_id

    def command(self, job_id: str, command: Command) -> None:
        """Ask a job to play, pause, make a single step or stop. A waiting job that is stopped leaves the queue.

        Raises Mistake if the command or the job does not exist, or the job is over.
        """
        if command not in COMMANDS:
            raise Mistake(f"unknown command {command!r}. Known: {', '.join(COMMANDS)}.")
        job = self._job(job_id)
        if job.state not in ACTIVE:
            raise Mistake(f"{job_id} is {job.state} and takes no command. Resume its runs to go on.")
        if command == "stop" and self.queue.move(job_id, RunState.QUEUED, RunState.STOPPED):
            self._stop_unstarted(job)
        else:
            self.queue.set_command(job_id, command)

    def pause_queue(self, is_paused: bool) -> None:
        """Let no further job begin, or let them. Raises Mistake, StoreError."""
        self._refuse_read_only("train")
        self.queue.pause(is_paused)
        if not is_paused:
            self.ensure_worker()

    def ensure_worker(self) -> None:
        """Start a worker unless one is at work or nothing waits. It outlives this process and its terminal."""
        self._refuse_read_only("train")
        if self.has_worker() or not self.queue.has_waiting():
            return
        worker = self._told_to_begin()
        if worker is None:
            with open(self.path / WORKER_LOG_NAME, "ab") as log:
                worker = _spawned(_worker_command(self.path.absolute()), stdin=subprocess.DEVNULL, output=log)
        _started[self.path.absolute()] = worker, time.monotonic()

    def ready_worker(self) -> None:
        """Start a worker ahead of time, unless one is at work or ready: it loads what every run needs, so that the
        next run begins at once. It touches nothing before `ensure_worker` tells it to begin, and ends with this process
        or after a while if that never comes. Where none can be started, the next run starts one."""
        path = self.path.absolute()
        with _ready_lock:
            waits = _ready.get(path)
            if self.read_only or self.has_worker() or (waits is not None and waits.poll() is None):
                return
            with contextlib.suppress(OSError):
                command = [*_worker_command(path), WAIT_OPTION]
                _ready[path] = _spawned(command, stdin=subprocess.PIPE, output=subprocess.DEVNULL)

    def _told_to_begin(self) -> subprocess.Popen | None:
        """The worker that was ready, which has been told; None where none is."""
        with _ready_lock:
            worker = _ready.pop(self.path.absolute(), None)
        if worker is None or worker.poll() is not None or worker.stdin is None:
            return None
        try:
            worker.stdin.write(BEGIN)
            worker.stdin.close()
        except OSError:
            return None
        return worker

    def wake_worker(self) -> None:
        """`ensure_worker` for those who wait and ask again and again: one that died is replaced, and one that is on its
        way, or dies at once each time, is not started at every look. A failure is told by `waking_words`."""
        worker, at = _started.get(self.path.absolute(), (None, -math.inf))
        is_coming = worker is not None and not isinstance(worker, Exception) and worker.poll() is None
        if time.monotonic() - at < (COMING_SECONDS if is_coming else WAKE_SECONDS):
            return
        try:
            self.ensure_worker()
        except (Mistake, OSError) as error:
            _started[self.path.absolute()] = error, time.monotonic()

    def waking_words(self) -> str:
        """What becomes of a job that is next while no worker is at work yet: a worker starts, or why it does not."""
        if self.queue.is_paused():
            return "the queue waits until the teacher lets it go on."
        worker, _ = _started.get(self.path.absolute(), (None, 0.0))
        again = f"It is tried again every {WAKE_SECONDS:g} seconds."
        if isinstance(worker, Exception):
            return f"the training process cannot be started: {files.in_words(worker)} {again}"
        if worker is not None and worker.poll() not in (None, 0) and not self.has_worker():
            died = f"the training process died (exit code {worker.poll()})"
            return f"{died}; {WORKER_LOG_NAME} in the runs folder says why. {again}"
        return "the training process is starting."

    # ---- inside

    def _run_ids(self) -> builtins.list[str]:
        return [folder.name for folder in _folders(self.path) if is_run(folder)]

    def _run_dir(self, run_id: str) -> Path:
        # The listing keeps an id from a link inside this folder, and looks into no other run.
        if not run_id.startswith(".") and run_id in _names(self.path) and is_run(self.path / run_id):
            return self.path / run_id
        run_ids = self._run_ids()
        if run_id in self.others():
            raise Mistake(
                f"the folder {run_id!r} in {self.path.name} is not a run of this lab, or its {DB_NAME} is damaged from "
                "the first byte. It is left alone."
            )
        there = f"It has {', '.join(run_ids[:10])}{', ...' if len(run_ids) > 10 else ''}."
        raise Mistake(f"no run {run_id!r} in {self.path.name}. {there if run_ids else 'It is empty.'}")

    def _make_folder(self) -> None:
        if said := self.gone():
            raise StoreError(said)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            said = files.in_words(error)
            raise StoreError(f"The runs folder {self.path.name} cannot be made. {said} {_ANOTHER}") from error
        if not os.access(self.path, os.W_OK):
            raise StoreError(f"The runs folder {self.path.name} is not writable. Choose another one: {_ANOTHER}")

    def _forget(self, removed: builtins.list[Deleted]) -> None:
        """Names of runs that are gone for good. A queue that cannot be written keeps them: ids are not given out
        twice.
        """
        left = {*self._run_ids(), *(entry.run_id for entry in self.bin.entries())}
        with contextlib.suppress(Mistake, StoreError):
            for name in {name for entry in removed for name in (entry.entry, entry.run_id)} - left:
                self.queue.forget_name(name)

    def _move_name(self, old: str, new: str) -> None:
        """What was kept as the name of `old` is that of `new` from now on. A queue that cannot be written keeps it as
        it is.
        """
        with contextlib.suppress(Mistake, StoreError):
            if name := self.queue.names().get(old):
                self.queue.set_name(new, name)
                self.queue.forget_name(old)

    def _summary(self, run_id: str, names: dict[str, str], job: JobSummary | None, is_known: bool) -> RunSummary:
        """is_known: whether the queue could be read, so that a run without a job is in none."""
        try:
            store, seen, ends = listing.look(self.path / run_id)
            config = store.config()
        except (Mistake, OSError) as error:
            return _unreadable(run_id, names.get(run_id, run_id), files.in_words(error), self.read_only)
        state, message, name = seen.state, seen.message, _line(names.get(run_id, seen.header["name"])) or run_id
        if state == RunState.QUEUED and is_known and (job is None or job.state not in ACTIVE):
            state = unstarted(job)
            if store.lost_its_log():
                message = lost_log_sentence(seen.last_step)
            elif state == RunState.INTERRUPTED:
                message = "The process died before this run's turn came. Resume puts it back in the queue."
        return RunSummary(
            run_id=run_id,
            name=name,
            algorithm=config.algorithm,
            state=state,
            message=message,
            steps=config.steps,
            last_step=seen.last_step,
            created=seen.header["created"],
            config=config,
            job_id=job.job_id if job else seen.header["job_id"],
            read_only=self.read_only,
            imported=seen.header.get("imported"),
            rescored=version_of(seen.header).removeprefix(seen.header["created"]).strip(),
            given_name=name,
            tags=labels.tags_of(seen.header),
            note=labels.note_of(seen.header),
            ends=ends,
        )

    def _resolved(self, job: JobSummary) -> JobSummary:
        if job.state not in (RunState.RUNNING, RunState.PAUSED):
            return job
        if not self.has_worker():
            # A worker writes how the job ended before it lets go of its lock: read again before calling it dead.
            again = next((j for j in self.queue.jobs() if j.job_id == job.job_id), job)
            return dataclasses.replace(again, state=RunState.INTERRUPTED) if again.state == job.state else again
        with contextlib.suppress(Mistake):
            if any(self.open(run_id).state() == RunState.PAUSED for run_id in job.run_ids):
                return dataclasses.replace(job, state=RunState.PAUSED)
        return job

    def _job(self, job_id: str) -> JobSummary:
        jobs = {job.job_id: job for job in self.queue.jobs()}
        if job_id not in jobs:
            raise Mistake(f"no job {job_id!r}. The newest are {', '.join(list(jobs)[-5:]) or 'none'}.")
        return self._resolved(jobs[job_id])

    def _active_job_of(self, run_id: str) -> JobSummary | None:
        return next((job for job in self.jobs() if run_id in job.run_ids and self._works_on(job, run_id)), None)

    def _works_on(self, job: JobSummary, run_id: str) -> bool:
        """Whether the job still has something to do for this run: a pair goes on when one member has diverged."""
        if job.state not in ACTIVE:
            return False
        try:
            return self.open(run_id).state() in ACTIVE
        except Mistake:
            return False

    def _is_followed(self, run_id: str) -> bool:
        try:
            seen = self.open(run_id).overview()
        except Mistake:
            return False
        return bool(seen.header.get("imported")) and seen.state == RunState.RUNNING

    def _refuse_resume(self, store: RunStore) -> None:
        state = store.state()
        if state == RunState.FINISHED:
            raise Mistake(f"run {store.run_id} is finished: all its {store.config().steps} steps are done.")
        if state in (RunState.RUNNING, RunState.PAUSED):
            raise Mistake(f"run {store.run_id} is already {state}. Use play, pause or stop.")
        if self._active_job_of(store.run_id):
            raise Mistake(f"run {store.run_id} is already queued. It starts when the running job ends.")

    def _refuse_read_only(self, what: str) -> None:
        if self.read_only:
            raise Mistake(f"these runs are read-only: you cannot {what} them. Train a run of your own instead.")

    def _free_number(self, configs: builtins.list[TrainConfig]) -> int:
        number = self.queue.next_number()
        in_bin = {entry.run_id for entry in self.bin.entries()}
        while any((self.path / run_id).exists() or run_id in in_bin for run_id in _ids(configs, number)):
            number = self.queue.next_number()
        return number

    def _stop_unstarted(self, job: JobSummary) -> None:
        for run_id in job.run_ids:
            with self.open_writable(run_id) as store:
                store.set_state(RunState.STOPPED)


def unstarted(job: JobSummary | None) -> RunState:
    """How a run stands that says it is queued while its job waits no longer: of a cancelled job the queue hears
    before its runs do, and one whose process died tells them nothing."""
    return RunState.STOPPED if job is not None and job.state == RunState.STOPPED else RunState.INTERRUPTED


def version_of(header: dict) -> str:
    """`RunSummary.version` by a run's header."""
    uppermost = [f"#{one['n']} {one.get('when', '')}" for one in header.get("rescored", [])[-1:]]
    return " ".join([header["created"], *uppermost]).strip()


def _refuse_imported(store: RunStore, what: str) -> None:
    if store.imported() is not None:
        raise Mistake(
            f"run {store.run_id} was recorded by another tool and cannot be {what}: its adapters and optimizer are not "
            "here. Train a run of your own, or re-score its solutions with the model that wrote them."
        )


def _spawned(command: list[str], stdin, output) -> subprocess.Popen:
    """A process that outlives this one and its terminal."""
    process = subprocess.Popen(
        command,
        env=paths.child_environment(),
        cwd=ROOT,
        stdin=stdin,
        stdout=output,
        stderr=output,
        close_fds=True,
        start_new_session=True,
    )
    # Somebody has to collect its exit status, or it stays in the process table as long as the web server lives.
    threading.Thread(target=process.wait, name="worker-wait", daemon=True).start()
    return process


def _worker_command(runs_dir: Path) -> list[str]:
    return [sys.executable, "-m", "vimpo_core.runs.worker", str(runs_dir)]


def left_alone(names: list[str]) -> str:
    """What to say of folders that are no runs; "" where there are none."""
    if not names:
        return ""
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    if len(names) == 1:
        return f"1 other folder is not a run of this lab and is left alone: {shown}."
    return f"{len(names)} other folders are not runs of this lab and are left alone: {shown}."


def settled(config: TrainConfig) -> TrainConfig:
    """The settings as a run keeps them: its model as `sources.settled` has it, the rank of an adapter that it begins
    with, and the whole path of its task's file.

    Raises Mistake where the model is not on this machine or cannot be trained, as far as its files tell.
    """
    model = sources.settled(config.model)
    sources.find(model)
    adapter = sources.adapter_of(model)
    rank = config.lora_rank if adapter is None else adapter_files.rank(adapter)
    return dataclasses.replace(config, model=model, lora_rank=rank, task=registry.whole(config.task))


def command_line(config: TrainConfig) -> str:
    """The command that makes the same run: the settings that differ from the defaults, and always the main ones."""
    options = []
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.name in ("algorithm", "steps", "seed") or value != f.default:
            options += [
                f"--{f.name.replace('_', '-')}",
                f"{value!r}" if isinstance(value, float) else str(value),
            ]
    return shlex.join(["python", "-m", "vimpo_core", "train", *options])


def _folders(path: Path) -> list[Path]:
    """The folders in `path` by name, hidden ones left out; a link to a folder is among them."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(d for d in path.iterdir() if d.is_dir() and not d.name.startswith("."))
    return []


def _names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()} if path.is_dir() else set()


def _unreadable(run_id: str, name: str, message: str, read_only: bool) -> RunSummary:
    return RunSummary(
        run_id=run_id,
        name=name,
        algorithm="",
        state=RunState.INTERRUPTED,
        message=message,
        steps=0,
        last_step=None,
        created="",
        config=TrainConfig(),
        job_id=None,
        read_only=read_only,
        given_name=name,
    )


def _named(run: RunSummary) -> Named:
    return run.given_name, run.config if run.algorithm and not run.imported else None


def _ids(configs: list[TrainConfig], number: int) -> list[str]:
    """vimpo-7 and grpo-7 for job 7; vimpo-7 and vimpo-7-2 when an algorithm comes twice."""
    ids: list[str] = []
    for config in configs:
        copies = sum(earlier.algorithm == config.algorithm for earlier in configs[: len(ids)])
        ids.append(f"{config.algorithm.replace('_', '-')}-{number}" + (f"-{copies + 1}" if copies else ""))
    return ids


def _checked_name(name: str) -> str:
    name = _line(name)
    if not name or len(name) > LONGEST_NAME:
        raise Mistake(f"a run's name must have 1 to {LONGEST_NAME} characters, got {len(name)}. Use another one.")
    return name


def _line(name: str) -> str:
    """A name as it is shown: one line of what can be seen, whoever gave it."""
    return " ".join(labels.plain(name).split())


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
