"""Which jobs wait, what is asked of each, and the names people gave to runs: one small SQLite file that anyone
writes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vimpo_core.mistake import Mistake
from vimpo_core.runs.shared_file import SharedFile
from vimpo_core.runs.store import StoreError, reason
from vimpo_core.types import RunState

Command = Literal["play", "pause", "step", "stop"]
COMMANDS: tuple[str, ...] = ("play", "pause", "step", "stop")

PAUSE_NAME = "queue.paused"
"""File beside the queue: while it lies there, no further job begins."""
_QUEUE_VERSION = 1
_QUEUE_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    position INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT UNIQUE NOT NULL, run_ids TEXT NOT NULL,
    state TEXT NOT NULL, command TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS names (run_id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, 0);
"""


@dataclass(frozen=True)
class JobSummary:
    """One entry of the queue, waiting, at work or past; `command` is what was last asked of it."""

    job_id: str
    run_ids: tuple[str, ...]
    state: RunState
    command: Command


class JobQueue:
    """The file with jobs and names. Every call is one short transaction on a connection of its own."""

    def __init__(self, path: Path):
        self._path = path
        self._file = SharedFile(
            path,
            _QUEUE_SCHEMA,
            _QUEUE_VERSION,
            "The queue",
            "Delete it: the runs are not in it, only their order and names.",
        )
        self._pause = path.with_name(PAUSE_NAME)

    def jobs(self) -> list[JobSummary]:
        """All jobs as they are written down, oldest first."""
        with self._file.connection() as connection:
            rows = connection.execute("SELECT job_id, run_ids, state, command FROM jobs ORDER BY position").fetchall()
        return [
            JobSummary(job_id, tuple(json.loads(ids)), RunState(state), command) for job_id, ids, state, command in rows
        ]

    def names(self) -> dict[str, str]:
        """run_id -> the name it was given later."""
        with self._file.connection() as connection:
            return dict(connection.execute("SELECT run_id, name FROM names").fetchall())

    def has_waiting(self) -> bool:
        """Whether a job may begin now."""
        return not self.is_paused() and any(job.state == RunState.QUEUED for job in self.jobs())

    def is_paused(self) -> bool:
        """Whether no job begins after the one at work; one that is asked for by name does."""
        return self._pause.exists()

    def pause(self, is_paused: bool) -> None:
        """Let no further job begin, or let them; it stays so at the next start. Raises StoreError."""
        try:
            if is_paused:
                self._pause.touch()
            else:
                self._pause.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"The queue in {self._path.parent.name} could not be changed: {reason(error)}") from error

    def next_number(self) -> int:
        """A number never given out before, so that an old link cannot lead to a new run."""
        with self._file.connection(writing=True) as connection:
            connection.execute("UPDATE counter SET last = last + 1")
            return connection.execute("SELECT last FROM counter").fetchone()[0]

    def add(self, job_id: str, run_ids: list[str]) -> None:
        with self._file.connection(writing=True) as connection:
            connection.execute(
                "INSERT INTO jobs (job_id, run_ids, state, command) VALUES (?, ?, ?, 'play')",
                (job_id, json.dumps(run_ids), str(RunState.QUEUED)),
            )

    def take(self, only_job: str | None = None) -> JobSummary | None:
        """The first waiting job, or `only_job` if it waits, now marked as running; None if there is none."""
        if only_job is None and self.is_paused():
            return None
        for job in self.jobs():
            wanted = job.state == RunState.QUEUED and only_job in (None, job.job_id)
            if wanted and self.move(job.job_id, RunState.QUEUED, RunState.RUNNING):
                return dataclasses.replace(job, state=RunState.RUNNING)
        return None

    def move(self, job_id: str, before: RunState, after: RunState) -> bool:
        """Change a job's state if it still is `before`; whether it was."""
        with self._file.connection(writing=True) as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ? WHERE job_id = ? AND state = ?", (str(after), job_id, str(before))
            )
            return changed.rowcount == 1

    def set_command(self, job_id: str, command: Command) -> None:
        with self._file.connection(writing=True) as connection:
            connection.execute("UPDATE jobs SET command = ? WHERE job_id = ?", (command, job_id))

    def read_command(self, job_id: str) -> Command:
        """What the job should do now. A single step is handed out once; after it the job is paused.

        Raises Mistake where there is no such job any more; StoreError.
        """
        with self._file.connection() as connection:
            row = connection.execute("SELECT command FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
            if row is None:
                raise Mistake(
                    f"{self._path.name} in {self._path.parent.name} was removed while {job_id} was being trained, so "
                    "training ended. Put it back if it was moved, then resume"
                )
            command = row[0]
            if command == "step":
                connection.execute("UPDATE jobs SET command = 'pause' WHERE job_id = ? AND command = 'step'", (job_id,))
        return command

    def set_name(self, run_id: str, name: str) -> None:
        with self._file.connection(writing=True) as connection:
            connection.execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (run_id, name))

    def forget_name(self, run_id: str) -> None:
        with self._file.connection(writing=True) as connection:
            connection.execute("DELETE FROM names WHERE run_id = ?", (run_id,))
