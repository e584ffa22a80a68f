"""A class on one server: who joined, whose runs are whose, what was handed in, what all are shown. One SQLite file.

    runs_dir/class.db

There are no accounts. A browser that gave the join code gets a random token, which it keeps in a cookie; the file
holds its hash alone, as it does of the teacher's key. What is written here is there at the next start, however the
server ended.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import secrets
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from vimpo_core.mistake import Mistake
from vimpo_core.runs.shared_file import SharedFile
from vimpo_core.runs.store import CLASS_NAME
from vimpo_core.runs.worker import IN_CLASS
from vimpo_core.service.class_names import checked_name, fresh_name, look_of

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
_LONGEST_VIEW = 1000
_VERSION = 2
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
CREATE TABLE IF NOT EXISTS names (member INTEGER PRIMARY KEY, name TEXT NOT NULL, look TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS stopped (run_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Member:
    """A browser of the class; its name is all that others see of it, and the teacher's has none."""

    number: int
    is_teacher: bool
    name: str = field(default="", compare=False)


@dataclass(frozen=True)
class Pin:
    """What the teacher pinned for all: the address of it on Inspect, which names at least the run."""

    view: dict[str, str]

    @property
    def run(self) -> str:
        """The run as links call it."""
        return self.view["run"]


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
                for table in ("members", "names", "owners", "stopped", "hand_ins", "about"):
                    connection.execute(f"DELETE FROM {table}")
            connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())
            connection.execute("INSERT OR IGNORE INTO about VALUES ('board', ?)", (secrets.token_urlsafe(8),))
            connection.execute("DELETE FROM wrong_codes")
        return key

    def board_key(self) -> str:
        """What the link of the board for the projector ends in: it opens that board, where nothing can be changed, and
        nothing else. It stays through restarts."""
        return self._said("board")

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
            left = max(1, math.ceil(wait))
            raise Mistake(f"too many wrong codes from here. Wait {left} second{'s' * (left > 1)}, then try again")
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
                "SELECT number, is_teacher, name FROM members LEFT JOIN names ON number = member WHERE token = ?",
                (_hash(token),),
            ).fetchone()
        if row is None:
            return None
        number, is_teacher, name = row
        return Member(number, bool(is_teacher), "" if is_teacher else name or self._named(number))

    def seats(self) -> tuple[int, int]:
        """(Students' browsers that joined, how many may)."""
        with self._file.connection() as connection:
            taken = _seated(connection)
            row = connection.execute("SELECT value FROM about WHERE key = 'seats'").fetchone()
        return taken, int(row[0]) if row else 0

    def _seat(self, connection: sqlite3.Connection, is_teacher: bool, now: float) -> str:
        token = secrets.token_urlsafe(24)
        made = connection.execute(
            "INSERT INTO members (token, is_teacher, joined) VALUES (?, ?, ?)", (_hash(token), is_teacher, now)
        )
        if not is_teacher:
            _give_name(connection, made.lastrowid)
        return token

    # ---- what they are called

    def names(self) -> dict[int, str]:
        """Number of a student's browser -> its name."""
        with self._file.connection() as connection:
            return dict(connection.execute("SELECT member, name FROM names"))

    def rename(self, typed: str, member: Member) -> str:
        """Call a student's browser otherwise from now on, in all that it has made, too. Returns the name.

        Raises Mistake: one that cannot be, or that looks like somebody else's.
        """
        name = checked_name(typed)
        with self._file.connection(writing=True) as connection:
            others = connection.execute(
                "SELECT count(*) FROM names WHERE look = ? AND member != ?", (look_of(name), member.number)
            ).fetchone()[0]
            if not others and not member.is_teacher:
                connection.execute(
                    "INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (member.number, name, look_of(name))
                )
        if others:
            raise Mistake("somebody in your class is called that, or nearly that. Choose another name")
        return name

    def _named(self, number: int) -> str:
        """The name of a browser that joined before browsers had names."""
        with self._file.connection(writing=True) as connection:
            row = connection.execute("SELECT name FROM names WHERE member = ?", (number,)).fetchone()
            return row[0] if row else _give_name(connection, number)

    # ---- whose runs are whose

    def owners(self) -> dict[str, int]:
        """run_id -> the number of the member whose it is."""
        with self._file.connection() as connection:
            return dict(connection.execute("SELECT run_id, member FROM owners"))

    def own(self, run_ids: list[str], member: Member) -> None:
        with self._file.connection(writing=True) as connection:
            connection.executemany("INSERT OR REPLACE INTO owners VALUES (?, ?)", [(r, member.number) for r in run_ids])

    def stopped_by_teacher(self) -> set[str]:
        """Runs of students that the teacher cancelled, until they are resumed."""
        with self._file.connection() as connection:
            return {run_id for (run_id,) in connection.execute("SELECT run_id FROM stopped")}

    def note_stopped(self, run_ids: list[str], is_stopped: bool) -> None:
        """Keep that the teacher cancelled these runs, or that they go on."""
        said = "INSERT OR IGNORE INTO stopped VALUES (?)" if is_stopped else "DELETE FROM stopped WHERE run_id = ?"
        with self._file.connection(writing=True) as connection:
            connection.executemany(said, [(run_id,) for run_id in run_ids])

    # ---- what all are shown

    def pin(self, view: dict[str, str], member: Member) -> None:
        """Offer a run, a step or a solution of it to everybody, in place of what was pinned before. view: its address
        on Inspect. Raises Mistake unless the teacher asks."""
        _refuse_student(member, "pin a run for all")
        said = json.dumps(view)
        if not view.get("run") or len(said) > _LONGEST_VIEW:
            raise Mistake("what is pinned must name a run. Choose one")
        self._say("pin", said)

    def unpin(self, member: Member) -> None:
        """Take back what is pinned. Raises Mistake unless the teacher asks."""
        _refuse_student(member, "take back what is pinned")
        self._say("pin", "")

    def pinned(self) -> Pin | None:
        """What is offered to everybody."""
        said = self._said("pin")
        return Pin(json.loads(said)) if said else None

    def shown_chapter(self) -> str:
        """The chapter whose questions the board for the projector shows; "" before the teacher chose one."""
        return self._said("chapter")

    def show_chapter(self, chapter: str) -> None:
        self._say("chapter", chapter)

    # ---- how far the class is

    def phases(self) -> dict[str, Phase]:
        """Chapter -> how far the class is with it; "free" where the teacher said nothing."""
        return _phases_of(self._said("phases"))

    def set_phase(self, chapter: str, phase: Phase) -> None:
        """Hold the reveals of a chapter, close its questions, or let everybody go on."""
        with self._file.connection(writing=True) as connection:  # one transaction: another chapter's is kept
            row = connection.execute("SELECT value FROM about WHERE key = 'phases'").fetchone()
            there = _phases_of(row[0] if row else "")
            changed = json.dumps(there | {chapter: phase})
            connection.execute("INSERT OR REPLACE INTO about VALUES ('phases', ?)", (changed,))

    # ---- hand-ins

    def hand_in(self, chapter: str, question: str, choice: str, member: Member) -> None:
        """A browser's answer to a question. A second one takes the place of the first only while the reveal is held:
        else whoever answers again has seen it.

        Raises Mistake where it is too long, or the question is closed.
        """
        longest = max(map(len, (chapter, question, choice)))
        if longest > _LONGEST_ANSWER:
            raise Mistake(f"an answer has at most {_LONGEST_ANSWER} characters, got {longest}")
        phase = self.phases().get(chapter, "free")
        if phase == "closed":
            raise Mistake("your teacher has closed this question, so your answer was not taken")
        how = "REPLACE" if phase == "held" else "IGNORE"
        with self._file.connection(writing=True) as connection:
            connection.execute(
                f"INSERT OR {how} INTO hand_ins VALUES (?, ?, ?, ?, ?)",
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


def _phases_of(said: str) -> dict[str, Phase]:
    return {chapter: phase for chapter, phase in json.loads(said or "{}").items() if phase in PHASES}


def _give_name(connection: sqlite3.Connection, number: int | None) -> str:
    """A name that nobody in the class has."""
    name = fresh_name({look for (look,) in connection.execute("SELECT look FROM names")})
    connection.execute("INSERT INTO names VALUES (?, ?, ?)", (number, name, look_of(name)))
    return name


def _refuse_student(member: Member, what: str) -> None:
    if not member.is_teacher:
        raise Mistake(f"only the teacher can {what}")


def _seated(connection: sqlite3.Connection) -> int:
    """How many students' browsers have joined."""
    return connection.execute("SELECT count(*) FROM members WHERE NOT is_teacher").fetchone()[0]


def _plain(code: str) -> str:
    """However it is capitalised and spaced."""
    return "".join(c for c in code[: 4 * LONGEST_CODE].casefold() if c.isalnum())


def _hash(secret: str) -> str:
    """Of a random token: nobody finds it by trying."""
    return hashlib.sha256(secret.encode()).hexdigest()
