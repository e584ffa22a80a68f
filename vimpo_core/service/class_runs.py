"""The runs folder as a member of a class may change it: students their own runs, one job each; the teacher all."""

from __future__ import annotations

import builtins
import dataclasses
import threading
import time
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.lm import sources
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import ACTIVE, RunsDir, RunSummary
from vimpo_core.runs.run_bin import Deleted
from vimpo_core.service.classroom import Classroom, Member
from vimpo_core.tasks import registry
from vimpo_core.types import RunState

LONGEST_PAUSE = 120.0
"""Seconds that a student's run may hold still while others wait for their turn."""
_one_at_a_time = threading.Lock()
"""Who asks whether they have a job, and then has one: two presses at once are one."""
_paused_since: dict[tuple[Path, str], float] = {}
"""Runs folder and job -> since when it has been seen to hold still while others wait (monotonic)."""
_LOOK_SECONDS = 2.0
_looked_at: dict[Path, float] = {}


def with_owners(found: list[RunSummary], room: Classroom) -> list[RunSummary]:
    """The runs of a class, each called after whose it is as well: "Amber Heron: VIMPO beta 0.1, seed 7"."""
    owners, names = room.owners(), room.names()
    return [
        dataclasses.replace(run, name=f"{names[owner]}: {run.name}")
        if (owner := owners.get(run.run_id)) in names
        else run
        for run in found
    ]


class ClassRuns(RunsDir):
    """See the head of this file; every refusal is a Mistake, a sentence for the student."""

    def __init__(self, path: Path, room: Classroom, member: Member):
        super().__init__(path)
        self._room, self._member = room, member
        self._owners: dict[str, int] | None = None

    def list(self) -> builtins.list[RunSummary]:
        return with_owners(super().list(), self._room)

    def submit(self, configs, name=""):
        self._refuse_files(configs)
        with _one_at_a_time:
            self._refuse_second_job()
            return self._owned(super().submit(configs, name))

    def fork(self, *arguments, **options):
        with _one_at_a_time:
            self._refuse_second_job()
            return self._owned(super().fork(*arguments, **options))

    def resume(self, run_ids):
        for run_id in run_ids:
            self._refuse_foreign(run_id, "resume")
        with _one_at_a_time:
            self._refuse_second_job()
            job_id = super().resume(run_ids)
        self._room.note_stopped(run_ids, is_stopped=False)
        return job_id

    def rename(self, run_id: str, name: str) -> None:
        self._refuse_to_change(run_id, "rename")
        super().rename(run_id, name)

    def label(self, run_id: str, *arguments, **options):
        self._refuse_to_change(run_id, "label")
        return super().label(run_id, *arguments, **options)

    def delete(self, run_id: str) -> Deleted:
        self._refuse_to_change(run_id, "delete")
        return super().delete(run_id)

    def restore(self, wanted: str) -> str:
        run_id = next((e.run_id for e in self.bin.entries() if wanted in (e.entry, e.run_id)), wanted)
        self._refuse_foreign(run_id, "bring back")
        return super().restore(wanted)

    def pause_queue(self, is_paused: bool) -> None:
        if not self._member.is_teacher:
            raise Mistake("only the teacher can let the queue wait")
        super().pause_queue(is_paused)

    def empty_bin(self):
        if not self._member.is_teacher:
            raise Mistake("only the teacher can empty the bin")
        return super().empty_bin()

    def command(self, job_id, command) -> None:
        run_ids = [run_id for job in self.queue.jobs() if job.job_id == job_id for run_id in job.run_ids]
        for run_id in run_ids:
            self._refuse_foreign(run_id, command)
        if command != "stop" or not self._member.is_teacher:
            super().command(job_id, command)
            return
        owners = self._room.owners()
        of_students = [run_id for run_id in run_ids if owners.get(run_id, self._member.number) != self._member.number]
        self._room.note_stopped(of_students, is_stopped=True)  # first: who waits looks no more once it is over
        try:
            super().command(job_id, command)
        except Exception:
            self._room.note_stopped(of_students, is_stopped=False)
            raise

    def wake_worker(self) -> None:
        """Those who wait also see to it that a run that holds still goes on: nobody keeps others waiting for long."""
        super().wake_worker()
        now = time.monotonic()
        if now - _looked_at.get(self.path, -_LOOK_SECONDS) >= _LOOK_SECONDS:
            _looked_at[self.path] = now
            self._let_go_on(now)

    def _let_go_on(self, now: float) -> None:
        """Only what a student holds still: the teacher may show a paused run to all."""
        jobs = [job for job in self.jobs() if job.state in ACTIVE]
        names, owners = self._room.names(), self._room.owners()
        held = [job.job_id for job in jobs if job.state == RunState.PAUSED and owners.get(job.run_ids[0]) in names]
        is_waited_for = any(job.state == RunState.QUEUED for job in jobs)
        for path, job_id in list(_paused_since):
            if path == self.path and (job_id not in held or not is_waited_for):
                del _paused_since[path, job_id]
        for job_id in held if is_waited_for else ():
            if now - _paused_since.setdefault((self.path, job_id), now) >= LONGEST_PAUSE:
                self.queue.set_command(job_id, "play")

    def may_change(self, run_id: str) -> bool:
        if self._owners is None:  # once for all runs of a list
            self._owners = self._room.owners()
        return self._member.is_teacher or self._owners.get(run_id) == self._member.number

    def _owned(self, job_id: str) -> str:
        job = next(job for job in self.queue.jobs() if job.job_id == job_id)
        self._room.own([*job.run_ids], self._member)
        self._owners = None
        return job_id

    def _refuse_foreign(self, run_id: str, what: str) -> None:
        if not self.may_change(run_id):
            owner = self._room.names().get(self._room.owners().get(run_id, 0))
            whose = f"{owner}'s" if owner else "not yours"
            raise Mistake(
                f"run {run_id} is {whose}, so you cannot {what} it. Ask your teacher, or train one of your own"
            )

    def _refuse_to_change(self, run_id: str, what: str) -> None:
        """What a student may do with a run of their own, but not while all are shown it."""
        self._refuse_foreign(run_id, what)
        pin = None if self._member.is_teacher else self._room.pinned()
        if pin is not None and pin.run == run_id:
            raise Mistake(
                f"run {run_id} is pinned for your class, so you cannot {what} it now. Ask your teacher to unpin it"
            )

    def _refuse_files(self, configs: builtins.list[TrainConfig]) -> None:
        """A student names nothing on the teacher's computer: only models and problems that runs here have already."""
        if self._member.is_teacher:
            return
        used = [run.config for run in self.list() if run.algorithm]
        models = {sources.BUNDLED, *(config.model for config in used)}
        tasks = {config.task for config in used}
        for config in configs:
            if config.model not in models:
                raise Mistake(
                    "in a class only the teacher can bring a model. Choose one that is there, or ask your teacher"
                )
            if registry.opens_file(config.task) and config.task not in tasks:
                raise Mistake("in a class only the teacher can bring problems. Choose some that are there")

    def _refuse_second_job(self) -> None:
        if self._member.is_teacher:
            return
        mine = {run_id for run_id, owner in self._room.owners().items() if owner == self._member.number}
        job = next((job for job in self.jobs() if job.state in ACTIVE and mine & set(job.run_ids)), None)
        if job is not None:
            raise Mistake(
                f"you have a job already, which is {job.state}: {', '.join(job.run_ids)}. Wait for it to end, or "
                "stop it first"
            )
