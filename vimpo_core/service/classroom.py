"""A class on one server: who joined, whose runs are whose, what was handed in. One SQLite file beside the runs.

    runs_dir/class.db

There are no accounts. A browser that gave the join code gets a random token, which it keeps in a cookie; the file
holds its hash alone, as it does of the teacher's key. What is written here is there at the next start, however the
server ended.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from vimpo_core.config import TrainConfig
from vimpo_core.lm import sources
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import ACTIVE, RunsDir
from vimpo_core.runs.run_bin import Deleted
from vimpo_core.runs.shared_file import SharedFile
from vimpo_core.runs.store import CLASS_NAME
from vimpo_core.runs.worker import IN_CLASS
from vimpo_core.tasks import registry

Phase = Literal["free", "held", "closed"]
PHASES: tuple[str, ...] = ("free", "held", "closed")
"""Of a chapter: everybody sees a reveal once they answered; reveals wait; reveals wait and no answer is taken."""
ENVIRONMENT = IN_CLASS
"""Set for the web server of a class; `python -m vimpo_core class` does."""
SHORTEST_CODE, LONGEST_CODE = 4, 40
FREE_TRIES = 5
"""Wrong codes that an address may give before it is slowed."""
LONGEST_WAIT = 60
_FORGET_SECONDS = 900
_LONGEST_ANSWER = 200
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    number INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT UNIQUE NOT NULL,
    is_teacher INTEGER NOT NULL, joined REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS wrong_codes (address TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS owners (run_id TEXT PRIMARY KEY, member INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hand_ins (
    chapter TEXT NOT NULL, question TEXT NOT NULL, member INTEGER NOT NULL, choice TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (chapter, question, member)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Member:
    """A browser of the class; its number is all that others see of it."""

    number: int
    is_teacher: bool


class Classroom:
    """The file of a class. Every call is one short transaction on a connection of its own."""

    def __init__(self, runs_dir: Path):
        self.path = Path(runs_dir) / CLASS_NAME
        self._file = SharedFile(
            self.path,
            _SCHEMA,
            _VERSION,
            "The class",
            "Move it away and start the class again: the runs are not in it, only who joined, whose runs are whose, "
            "and the hand-ins.",
        )

    # ---- opening one

    def code(self) -> str:
        """The join code, as it was given; "" before there is one. It stands on the board for all to read."""
        return self._said("code")

    def open_up(self, code: str, seats: int, is_new: bool = False) -> str:
        """Begin a class, or go on with the one that is here, with this code; returns a new teacher's key.

        Who joined before, whose runs are whose and what was handed in stay, also where the code is another one; the key
        of before is worth nothing more. is_new: forget all of it; the runs stay.

        Raises Mistake on a code that is too short or long, or no seats; StoreError where the file cannot be written.
        """
        said = _plain(code)
        if not SHORTEST_CODE <= len(said) <= LONGEST_CODE:
            raise Mistake(
                f"a join code must have {SHORTEST_CODE} to {LONGEST_CODE} letters or digits, got {len(said)}. Choose a "
                "word that nobody guesses"
            )
        if not 1 <= seats <= 1000:
            raise Mistake(f"a class must have 1 to 1,000 students, got {seats}")
        key = secrets.token_urlsafe(16)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._file.connection(writing=True) as connection:
            about = {"code": code.strip(), "teacher": _hash(key), "seats": str(2 * seats)}
            if is_new:
                for table in ("members", "owners", "hand_ins", "about"):
                    connection.execute(f"DELETE FROM {table}")
            connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())
            connection.execute("DELETE FROM wrong_codes")
        return key

    # ---- who comes in

    def join(self, code: str, address: str, now: float | None = None) -> str:
        """The token of a browser that gave the right code.

        Raises Mistake, a sentence for the student: a wrong code, too many of them from this address, or no seat left.
        """
        now = time.time() if now is None else now
        with self._file.connection(writing=True) as connection:
            about = dict(connection.execute("SELECT key, value FROM about"))
            if "code" not in about:
                raise Mistake("this class is not open yet. Ask your teacher")
            connection.execute("DELETE FROM wrong_codes WHERE at < ? OR at > ?", (now - _FORGET_SECONDS, now + 1))
            tries, last = connection.execute(
                "SELECT count(*), max(at) FROM wrong_codes WHERE address = ?", (address,)
            ).fetchone()
            wait = 0 if tries < FREE_TRIES else min(2 ** (tries - FREE_TRIES + 1), LONGEST_WAIT) - (now - last)
            is_right = wait <= 0 and hmac.compare_digest(_plain(code).encode(), _plain(about["code"]).encode())
            if is_right:
                seats, taken = int(about["seats"]), _seated(connection)
                token = self._seat(connection, False, now) if taken < seats else ""
            elif wait <= 0:
                connection.execute("INSERT INTO wrong_codes VALUES (?, ?)", (address, now))
        if wait > 0:
            raise Mistake(f"too many wrong codes from here. Wait {max(1, round(wait))} seconds, then try again")
        if not is_right:
            raise Mistake("that is not the join code of this class. Look at the board, or ask your teacher")
        if not token:
            raise Mistake(f"all {seats} seats of this class are taken. Ask your teacher to make room with --students")
        return token

    def join_as_teacher(self, key: str) -> str:
        """The token of the browser that opened the teacher's link. Raises Mistake on another key."""
        with self._file.connection(writing=True) as connection:
            about = dict(connection.execute("SELECT key, value FROM about WHERE key = 'teacher'"))
            if not hmac.compare_digest(_hash(key), about.get("teacher", "")):
                raise Mistake(
                    "this is not the link of this class's teacher. The terminal that started the class shows it"
                )
            return self._seat(connection, True, time.time())

    def member(self, token: str | None) -> Member | None:
        """Who has this token; None for nobody."""
        if not token or len(token) > 100:
            return None
        with self._file.connection() as connection:
            row = connection.execute(
                "SELECT number, is_teacher FROM members WHERE token = ?", (_hash(token),)
            ).fetchone()
        return row and Member(row[0], bool(row[1]))

    def seats(self) -> tuple[int, int]:
        """(Students' browsers that joined, how many may)."""
        with self._file.connection() as connection:
            taken = _seated(connection)
            row = connection.execute("SELECT value FROM about WHERE key = 'seats'").fetchone()
        return taken, int(row[0]) if row else 0

    def _seat(self, connection: sqlite3.Connection, is_teacher: bool, now: float) -> str:
        token = secrets.token_urlsafe(24)
        connection.execute(
            "INSERT INTO members (token, is_teacher, joined) VALUES (?, ?, ?)", (_hash(token), is_teacher, now)
        )
        return token

    # ---- whose runs are whose

    def owners(self) -> dict[str, int]:
        """run_id -> the number of the member whose it is."""
        with self._file.connection() as connection:
            return dict(connection.execute("SELECT run_id, member FROM owners"))

    def own(self, run_ids: list[str], member: Member) -> None:
        with self._file.connection(writing=True) as connection:
            connection.executemany("INSERT OR REPLACE INTO owners VALUES (?, ?)", [(r, member.number) for r in run_ids])

    # ---- how far the class is

    def phases(self) -> dict[str, Phase]:
        """Chapter -> how far the class is with it; "free" where the teacher said nothing."""
        said = json.loads(self._said("phases") or "{}")
        return {chapter: phase for chapter, phase in said.items() if phase in PHASES}

    def set_phase(self, chapter: str, phase: Phase) -> None:
        """Hold the reveals of a chapter, close its questions, or let everybody go on."""
        self._say("phases", json.dumps(self.phases() | {chapter: phase}))

    # ---- hand-ins

    def hand_in(self, chapter: str, question: str, choice: str, member: Member) -> None:
        """A browser's answer to a question; a second one takes the place of the first.

        Raises Mistake where it is too long, or the question is closed.
        """
        longest = max(map(len, (chapter, question, choice)))
        if longest > _LONGEST_ANSWER:
            raise Mistake(f"an answer has at most {_LONGEST_ANSWER} characters, got {longest}")
        if self.phases().get(chapter) == "closed":
            raise Mistake("your teacher has closed this question, so your answer was not taken")
        with self._file.connection(writing=True) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO hand_ins VALUES (?, ?, ?, ?, ?)",
                (chapter, question, member.number, choice, time.time()),
            )

    def hand_ins(self) -> dict[tuple[str, str], Counter[str]]:
        """(Chapter, question) -> choice -> how many handed it in."""
        found: dict[tuple[str, str], Counter[str]] = {}
        with self._file.connection() as connection:
            for chapter, question, choice, count in connection.execute(
                "SELECT chapter, question, choice, count(*) FROM hand_ins GROUP BY chapter, question, choice"
            ):
                found.setdefault((chapter, question), Counter())[choice] = count
        return found

    def hand_in_rows(self) -> list[tuple[str, str, int, str, str]]:
        """(Chapter, question, browser's number, choice, when in UTC) of every hand-in, to be exported."""
        with self._file.connection() as connection:
            rows = connection.execute(
                "SELECT chapter, question, member, choice, at FROM hand_ins ORDER BY chapter, question, member"
            ).fetchall()
        return [(*row, datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")) for *row, at in rows]

    def forget_hand_ins(self) -> int:
        """Delete all of them for good; returns how many there were."""
        with self._file.connection(writing=True) as connection:
            return connection.execute("DELETE FROM hand_ins").rowcount

    # ---- inside

    def _said(self, key: str) -> str:
        with self._file.connection() as connection:
            row = connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return row[0] if row else ""

    def _say(self, key: str, value: str) -> None:
        with self._file.connection(writing=True) as connection:
            connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))


class ClassRuns(RunsDir):
    """The runs folder as a member of a class may change it: students their own runs, one job each; the teacher all."""

    def __init__(self, path: Path, room: Classroom, member: Member):
        super().__init__(path)
        self._room, self._member = room, member
        self._owners: dict[str, int] | None = None

    def submit(self, configs, name=""):
        self._refuse_second_job()
        self._refuse_files(configs)
        return self._owned(super().submit(configs, name))

    def fork(self, *arguments, **options):
        self._refuse_second_job()
        return self._owned(super().fork(*arguments, **options))

    def resume(self, run_ids):
        for run_id in run_ids:
            self._refuse_foreign(run_id, "resume")
        self._refuse_second_job()
        return super().resume(run_ids)

    def rename(self, run_id: str, name: str) -> None:
        self._refuse_foreign(run_id, "rename")
        super().rename(run_id, name)

    def label(self, run_id: str, *arguments, **options):
        self._refuse_foreign(run_id, "label")
        return super().label(run_id, *arguments, **options)

    def delete(self, run_id: str) -> Deleted:
        self._refuse_foreign(run_id, "delete")
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
        for job in self.queue.jobs():
            if job.job_id == job_id:
                for run_id in job.run_ids:
                    self._refuse_foreign(run_id, command)
        super().command(job_id, command)

    def may_change(self, run_id: str) -> bool:
        if self._owners is None:  # once for all runs of a list
            self._owners = self._room.owners()
        return self._member.is_teacher or self._owners.get(run_id) == self._member.number

    def _owned(self, job_id: str) -> str:
        job = next(job for job in self.queue.jobs() if job.job_id == job_id)
        self._room.own(list(job.run_ids), self._member)
        self._owners = None
        return job_id

    def _refuse_foreign(self, run_id: str, what: str) -> None:
        if not self.may_change(run_id):
            owner = self._room.owners().get(run_id)
            whose = "not yours" if owner is None else "another student's"
            raise Mistake(
                f"run {run_id} is {whose}, so you cannot {what} it. Ask your teacher, or train one of your own"
            )

    def _refuse_files(self, configs: list[TrainConfig]) -> None:
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
                f"you have a job already: {', '.join(job.run_ids)} is {job.state}. Wait for it to end, or stop it first"
            )


def _seated(connection: sqlite3.Connection) -> int:
    """How many students' browsers have joined."""
    return connection.execute("SELECT count(*) FROM members WHERE NOT is_teacher").fetchone()[0]


def _plain(code: str) -> str:
    """However it is capitalised and spaced."""
    return "".join(c for c in code[: 4 * LONGEST_CODE].casefold() if c.isalnum())


def _hash(secret: str) -> str:
    """Of a random token: nobody finds it by trying."""
    return hashlib.sha256(secret.encode()).hexdigest()
