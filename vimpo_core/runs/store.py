"""One run, one directory, one SQLite file.

    run_dir/run.db      header, settings, state; a row a metric, a solution, an adapter snapshot; the resume state
    run_dir/run.lock    held by the process that trains the run (`flock`): who holds it is alive, no clock decides

A step is one transaction: its metrics, its solutions, its snapshot and the state to go on from are there together or
not at all. One process writes; every other one opens the file read-only, one short connection a call, so a `RunStore`
may be used from any thread. The store knows arrays and texts, not what they mean: it never computes a credit.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vimpo_core import files
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import overlay, trace_rows
from vimpo_core.runs.locks import exclusive, is_held
from vimpo_core.types import SCHEMA_VERSION, CreditTrace, RunState, StepRecord, known

DB_NAME = "run.db"
CLASS_NAME = "class.db"
LOCK_NAME = "run.lock"
APPLICATION_ID = 0x56494D50
"""What SQLite's header says of who wrote the file ("VIMP"); runs of earlier versions say 0 and are known by their
tables.
"""

_BUSY_SECONDS = 5.0
"""How long a connection waits for another one's short transaction."""
_PAGE_OVERHEAD = 1.2
"""Bytes on disk a byte of a record, roughly: rows do not fill their pages."""
_LOG_MEGABYTES = 5
"""SQLite's write-ahead log grows to 1000 pages of 4 KiB and a transaction before it is used again from its start."""

_SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE steps (step INTEGER PRIMARY KEY, trace_count INTEGER NOT NULL);
CREATE TABLE metrics (
    step INTEGER NOT NULL, name TEXT NOT NULL, value REAL,
    nonfinite TEXT,  -- "nan", "inf" or "-inf" where value is NULL
    is_timing INTEGER NOT NULL,
    PRIMARY KEY (step, name)
) WITHOUT ROWID;
CREATE TABLE traces (
    step INTEGER NOT NULL, group_id INTEGER NOT NULL, sample_idx INTEGER NOT NULL,
    reward REAL, group_mean_reward REAL, record TEXT NOT NULL,
    ids BLOB NOT NULL, mask BLOB NOT NULL,
    logprob BLOB, ref_logprob BLOB, kl BLOB, entropy BLOB, sampler_logprob BLOB,
    topk_ids BLOB, topk_logprob BLOB, topk_ref_logprob BLOB, topk_text BLOB,
    PRIMARY KEY (step, group_id, sample_idx)
);
CREATE TABLE snapshots (step INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, blob BLOB NOT NULL);
CREATE TABLE resume_state (
    id INTEGER PRIMARY KEY CHECK (id = 1), step INTEGER NOT NULL, sha256 TEXT NOT NULL, blob BLOB NOT NULL
);
"""

_SQLITE_WORDS = {
    "readonly database": "the disk or the folder is read-only. Make it writable, or copy the run elsewhere.",
    "unable to open database file": "its folder is read-only, or gone. Make it writable, or copy the run elsewhere.",
    "disk I/O error": "the disk could not read or write. Check whether it, or your share of it, is full, then the disk "
    "itself, and copy what matters elsewhere.",
    "is locked": "another process kept it busy for seconds. Try again.",
}
"""What SQLite's errors mean to a person, by what they say."""
_LOG_OF = "log_of"
"""Key of the inode of the file whose log is written."""
HIDDEN = ".new-"
"""Prefix of the folder in which a run is made."""
REPORTS_NAME = "truth.json"
"""File of a run that never changes: scorecards kept with it."""
ADAPTERS_NAME = "adapters"
"""Folder of a run that was handed over: the adapters that came with it, a folder each."""
_LEFT_AFTER_SECONDS = 3600
_FIRST_PAGE = 4096
_OWN_TABLE = b"CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL)"

_COLUMNS = ", ".join(trace_rows.COLUMNS)
_VALUES = ", ".join("?" * len(trace_rows.COLUMNS))
_SELECT_TRACES = f"SELECT {_COLUMNS} FROM traces"
INSERT_TRACE = f"INSERT INTO traces ({_COLUMNS}) VALUES ({_VALUES})"


class StoreError(OSError):
    """Something could not be written; nothing of it was kept. `is_disk_full` says whether freeing space helps,
    `is_busy` whether waiting does: another process is at the file.
    """

    def __init__(self, sentence: str, is_disk_full: bool = False, is_busy: bool = False):
        super().__init__(sentence)
        self.is_disk_full, self.is_busy = is_disk_full, is_busy


_at_work: Counter[tuple[int, int]] = Counter()
_at_files = threading.RLock()
"""Databases (device, inode) that this process has connections to, each as often as it has. Such a file is never opened
but by SQLite: POSIX takes all of a process's locks on a file away when any of its descriptors is closed, and another
process would then write into the middle of what this one is writing.
"""


class _Connection(sqlite3.Connection):
    """One that is counted in `_at_work` until it is closed."""

    file: tuple[int, int] | None = None

    def close(self) -> None:
        super().close()
        with _at_files:
            if self.file is not None:
                _at_work[self.file] -= 1
                self.file = None

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


def _connected(path: Path, mode: str, **options) -> _Connection:
    """A connection to the database of a run."""
    with _at_files:
        connection = sqlite3.connect(
            _uri(path, mode), uri=True, timeout=_BUSY_SECONDS, isolation_level=None, factory=_Connection, **options
        )
        connection.file = _identity(path)
        if connection.file is not None:
            _at_work[connection.file] += 1
    return connection


def is_run(folder: Path) -> bool:
    """Whether the lab made this folder, readable or damaged: its `run.db` bears the lab's mark, or is no database any
    more and has the lab's lock file beside it. Follows no link, opens no database, never raises."""
    db = folder / DB_NAME
    try:
        if folder.is_symlink() or db.is_symlink() or not db.is_file():
            return False
        with _at_files:
            if _at_work.get(_identity(db) or (0, 0)):
                return True
            with open(db, "rb") as file:
                page = file.read(_FIRST_PAGE)
    except OSError:
        return False
    if not page.startswith(b"SQLite format 3\0"):
        lock = folder / LOCK_NAME
        return lock.is_file() and not lock.is_symlink()
    return int.from_bytes(page[68:72]) == APPLICATION_ID or _OWN_TABLE in page


def remove_leftovers(runs_dir: Path) -> None:
    """Remove the hidden folders of runs and copies whose making was killed: those that hold nothing else than that
    writes, and nothing younger than an hour, as somebody may be at it. What cannot be removed stays."""
    databases = (name + log for name in (DB_NAME, CLASS_NAME) for log in ("", "-journal", "-wal", "-shm"))
    written = {*databases, LOCK_NAME, ADAPTERS_NAME, REPORTS_NAME}
    for folder in runs_dir.glob(f"{HIDDEN}*"):
        with suppress(OSError):
            inside = list(folder.iterdir())
            is_old = all(time.time() - at.stat().st_mtime > _LEFT_AFTER_SECONDS for at in (folder, *inside))
            if is_old and not folder.is_symlink() and {file.name for file in inside} <= written:
                for file in inside:
                    shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
                folder.rmdir()


@dataclass(frozen=True)
class Overview:
    """What a list of runs shows, read in one go.

    replayed: of a fork that makes its parent's steps again, the last one it has made and the seconds it took for all.
    """

    header: dict
    state: RunState
    message: str
    last_step: int | None
    replayed: tuple[int, float] | None = None


class RunStore:
    """The run in `run_dir`. Reading works from any thread and process; writing is for the holder of `lock()`."""

    def __init__(self, run_dir: Path, writable: bool):
        self.run_dir = Path(run_dir)
        self.run_id = self.run_dir.name
        self._db = self.run_dir / DB_NAME
        self._writable = writable
        self._write_lock = threading.RLock()
        self._writer: _Connection | None = None
        self._file: tuple[int, int] | None = None
        self._config = self._checked_config()

    # ---- making and opening

    @classmethod
    def create(
        cls, run_dir: Path, config: TrainConfig, header: dict, past: tuple[RunStore, int] | None = None
    ) -> RunStore:
        """Make a queued run in `run_dir`, which must not exist; `header` adds to what the settings already say.

        past: another run and one of its steps: its records up to that step are copied, all but the resume state.
        The folder appears whole: it is filled under a hidden name first.

        Raises:
            Mistake: `run_dir` exists.
            StoreError: it cannot be written.
        """
        run_dir = Path(run_dir)
        if run_dir.exists():
            raise Mistake(f"a run named {run_dir.name!r} already exists. Choose another name or delete it first.")
        try:
            run_dir.parent.mkdir(parents=True, exist_ok=True)
            hidden = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=run_dir.parent))
        except OSError as error:
            raise write_error(f"The folder for run {run_dir.name}", error) from error
        try:
            hidden.chmod(0o755)
            _write_new_db(hidden / DB_NAME, config, {**default_header(run_dir.name, config), **header}, past)
            (hidden / LOCK_NAME).touch()
            hidden.rename(run_dir)
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(hidden, ignore_errors=True)
            raise write_error(f"Run {run_dir.name}", error) from error
        return cls(run_dir, writable=True)

    @classmethod
    def open(cls, run_dir: Path, writable: bool = False) -> RunStore:
        """Open an existing run. Raises Mistake, one sentence, if it is missing, half-written or from a newer
        version.
        """
        return cls(run_dir, writable)

    def _checked_config(self) -> TrainConfig:
        if not self._db.is_file() or self._db.stat().st_size == 0:
            what = f"has no {DB_NAME}" if not self._db.is_file() else f"has an empty {DB_NAME}"
            what = what if self.run_dir.is_dir() else "does not exist"
            raise Mistake(f"run {self.run_id} is unreadable: its folder {what}. Copy the run here again.")
        with self._reading() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise Mistake(
                    f"run {self.run_id} was written by a newer version (format {version}, this one reads up to "
                    f"{SCHEMA_VERSION}). Update VIMPO Lab to open it."
                )
            settings = self._get(connection, "config") if version else None
            if settings is None:
                raise Mistake(f"run {self.run_id} is half-written: it holds no settings. Delete it and train again.")
        try:
            return TrainConfig.from_dict(settings)
        except (TypeError, ValueError) as error:
            raise Mistake(f"run {self.run_id} has settings that this version does not know: {error}") from error

    def close(self) -> None:
        """End writing: everything moves from the write-ahead log into `run.db`, which then stands on its own."""
        with self._write_lock:
            if self._writer is not None:
                _leave_wal(self._writer)
                self._writer.close()
                self._writer = None

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def __del__(self):
        writer = getattr(self, "_writer", None)
        if writer is not None:
            writer.close()

    # ---- what the run is

    def config(self) -> TrainConfig:
        """The settings the run was made with."""
        return self._config

    def header(self) -> dict:
        """schema_version, run_id, algorithm, model, ref, tokenizer_sha256, beta, gae_lambda, temperature, kl_estimator,
        job_id, name, created (ISO) and command. Hashes are None until the worker has loaded the model.
        `tokenizer_sha256` is of the vocabulary alone; `tokenization_sha256`, which older runs lack, of all that decides
        how text is cut. `remark`, where there is one, is what always has to be said of the run: its message ends with
        it."""
        with self._reading() as connection:
            return self._get(connection, "header")

    def imported(self) -> dict | None:
        """Of a run that another tool recorded, where it came from and what is in it (`formats.incoming.assemble`);
        None for the lab's own."""
        return self.header().get("imported")

    def update_header(self, fields: dict) -> None:
        """Replace some header fields, such as the hashes of the model once it is loaded."""
        self.change_header(lambda header: fields)

    def change_header(self, change: Callable[[dict], dict]) -> dict:
        """Replace the header fields that `change` returns, given the header as it is: nobody writes it in between.
        Returns the whole of it.
        """
        with self._transaction("The header") as connection:
            header = self._get(connection, "header")
            header |= change(header)
            self._put(connection, "header", header)
        return header

    def overview(self) -> Overview:
        """Header, state, message and last step in one short connection."""
        with self._reading() as connection:
            header = self._get(connection, "header")
            last_step = _last_step(connection)
            state, message = self._status(connection)
            replayed = self._get(connection, "replayed")
            return Overview(header, state, message, last_step, replayed and tuple(replayed))

    def state(self) -> RunState:
        """Where the run is in its life. A run that says running while nobody holds its lock is interrupted."""
        with self._reading() as connection:
            return self._status(connection)[0]

    def message(self) -> str:
        """What happened, in a sentence, where the state alone does not say it; else empty."""
        with self._reading() as connection:
            return self._status(connection)[1]

    def set_state(self, state: RunState, message: str = "") -> None:
        """Write state and message. Raises StoreError if that fails."""
        with self._transaction("The state") as connection:
            self._put(connection, "status", [str(state), message])

    def set_replayed(self, replayed: tuple[int, float] | None, message: str) -> None:
        """How far a fork that makes its parent's steps again is, see `Overview`; None: at the beginning."""
        with self._transaction("The state") as connection:
            self._put(connection, "status", [str(RunState.RUNNING), message])
            self._put(connection, "replayed", replayed)

    def _status(self, connection: sqlite3.Connection) -> tuple[RunState, str]:
        state, message = self._get(connection, "status")
        if state in (RunState.RUNNING, RunState.PAUSED) and not is_held(self.run_dir / LOCK_NAME):
            # A worker writes its last word before it lets go of the lock: read again before calling it dead.
            state, message = self._get(connection, "status")
            if state in (RunState.RUNNING, RunState.PAUSED):
                state, message = RunState.INTERRUPTED, self._interrupted(connection)
        remark = self._get(connection, "header").get("remark", "")
        return RunState(state), f"{message} {remark}".strip()

    def _interrupted(self, connection: sqlite3.Connection) -> str:
        last_step = _last_step(connection)
        if self._get(connection, "header").get("imported"):
            return f"It is not followed any more: its steps up to {last_step} are here. Follow its folder to go on."
        return lost_log_sentence(last_step) if self.lost_its_log() else _interrupted_sentence(last_step)

    def lost_its_log(self) -> bool:
        """Whether the run was cut off while it was being written and its write-ahead log, with the newest steps, is
        gone: as when `run.db` was copied alone. Where it is the file that was written, an empty log lost nothing. Only
        asked of runs that nobody trains."""
        try:
            with self._reading() as connection:
                has_log = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
                is_copy = self._get(connection, _LOG_OF) != self._db.stat().st_ino
            log = self._db.with_name(f"{DB_NAME}-wal")
            return has_log and is_copy and not (log.is_file() and log.stat().st_size)
        except (Mistake, OSError):
            return False

    def lock(self):
        """Context manager: the exclusive right to train this run. Raises LockedError if another process has it."""
        return exclusive(
            self.run_dir / LOCK_NAME,
            f"run {self.run_id} is already running in another process. Wait for it to end, or stop it first.",
        )

    # ---- writing

    def commit_step(self, record: StepRecord) -> None:
        """Store a step, all of it or nothing.

        Raises:
            Mistake: the step is not after the last one, or an array's shape does not fit its tokens.
            StoreError: it could not be written (a full disk says how much to free); the run is as before.
        """
        rows = [trace_rows.to_row(trace) for trace in record.traces]
        metrics = _metric_rows(record)
        size = _size(rows) + len(record.resume_state) + len(record.snapshot or b"")
        with self._transaction(f"Step {record.step}", self._space_needed(record.step, size)) as connection:
            last = _last_step(connection)
            if last is not None and record.step <= last:
                raise ValueError(f"step {record.step} of run {self.run_id} cannot follow step {last}.")
            connection.execute("INSERT INTO steps VALUES (?, ?)", (record.step, len(rows)))
            connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", metrics)
            connection.executemany(INSERT_TRACE, rows)
            if record.resume_state:
                connection.execute(
                    "INSERT OR REPLACE INTO resume_state VALUES (1, ?, ?, ?)",
                    (record.step, _sha256(record.resume_state), record.resume_state),
                )
            if record.snapshot is not None:
                connection.execute(
                    "INSERT INTO snapshots VALUES (?, ?, ?)",
                    (record.step, _sha256(record.snapshot), record.snapshot),
                )

    def grow(self, steps: int, header: dict) -> None:
        """Of a run that is followed while another tool trains it: it has so many steps by now, and this in its
        header."""
        with self._transaction("The settings") as connection:
            settings = {**self._get(connection, "config"), "steps": steps}
            self._config = TrainConfig.from_dict(settings)
            self._put(connection, "config", settings)
            self._put(connection, "header", {**self._get(connection, "header"), **header})

    def begin_rescoring(self, asked: dict) -> tuple[dict, set[tuple[int, int, int]]]:
        """Begin a re-scoring, or go on with the one of the same "key": returns what was said of it last, and step,
        group_id and sample_idx of the solutions that are kept of it. What another one kept is dropped."""
        with self._transaction("The re-scoring") as connection:
            header = self._get(connection, "header")
            if (begun := header.get("rescoring")) and begun["key"] == asked["key"]:
                return begun, overlay.kept(connection)
            overlay.take_back(connection, overlay.KEPT)
            self._put(connection, "header", {**header, "rescoring": asked})
        return asked, set()

    def keep_rescored(self, traces: Iterable[CreditTrace], asked: dict) -> None:
        """Keep some solutions of a re-scoring until all are there; nothing shows them before. asked: what is said of it
        by now.

        Raises Mistake where another re-scoring was begun, StoreError if it could not be written.
        """
        rows = [trace_rows.to_row(trace) for trace in traces]
        with self._transaction("The re-scoring", f"{math.ceil(_PAGE_OVERHEAD * _size(rows) / 1e6)} MB") as connection:
            header = self._get(connection, "header")
            if header.get("rescoring", {}).get("key") != asked["key"]:
                raise Mistake(
                    f"another re-scoring of run {self.run_id} was begun, so this one ends. Wait for that one."
                )
            overlay.put(connection, overlay.KEPT, rows)
            self._put(connection, "header", {**header, "rescoring": asked})

    def rescoring(self) -> tuple[dict, int] | None:
        """A re-scoring that was begun and is not done: what was asked for, and how many solutions are kept of it."""
        asked = self.header().get("rescoring")
        if asked is None:
            return None
        with self._reading() as connection:
            return asked, len(overlay.kept(connection))

    def put_rescored(self, traces: Iterable[CreditTrace], note: dict) -> dict:
        """Lay solutions that were scored again over the recorded ones, with those that were kept of this re-scoring,
        all of them or none, with a note of how, which the header lists. Returns the note with its number `n` and its
        number of `rows`.

        Raises StoreError if it could not be written.
        """
        rows = [trace_rows.to_row(trace) for trace in traces]
        with self._transaction("The re-scoring", f"{math.ceil(_PAGE_OVERHEAD * _size(rows) / 1e6)} MB") as connection:
            header = self._get(connection, "header")
            header.pop("rescoring", None)
            before = header.get("rescored", [])
            n = 1 + max((one["n"] for one in before), default=0)
            note = {**note, "n": n, "rows": overlay.put(connection, n, rows) + overlay.show(connection, n)}
            self._put(connection, "header", {**header, "rescored": [*before, note]})
        return note

    def drop_rescoring(self) -> None:
        """Forget a re-scoring that is not done, with what was kept of it."""
        with self._transaction("The dropping") as connection:
            header = self._get(connection, "header")
            overlay.take_back(connection, overlay.KEPT)
            header.pop("rescoring", None)
            self._put(connection, "header", header)

    def undo_rescored(self) -> dict:
        """Take the last re-scoring back: its solutions are again what they were before it. Returns its note.

        Raises Mistake where there is none.
        """
        with self._transaction("The taking back") as connection:
            header = self._get(connection, "header")
            if not header.get("rescored"):
                raise Mistake(f"nothing of run {self.run_id} was scored again, so there is nothing to take back.")
            *before, last = header["rescored"]
            overlay.take_back(connection, last["n"])
            self._put(connection, "header", {**header, "rescored": before})
        return last

    def compact(
        self,
        keep_trace_steps: set[int] | None,
        keep_resume_state: bool,
        keep_snapshot_steps: set[int] | None = None,
    ) -> None:
        """Make the run small, for good: drop the solutions and snapshots of other steps (None keeps all of them) and,
        unless kept, the resume state. Afterwards it opens from a read-only disk."""
        with self._transaction("The smaller run") as connection:
            if keep_trace_steps is not None:
                kept = json.dumps(sorted(keep_trace_steps))
                connection.execute("DELETE FROM traces WHERE step NOT IN (SELECT value FROM json_each(?))", (kept,))
                connection.execute(
                    "UPDATE steps SET trace_count = 0 WHERE step NOT IN (SELECT value FROM json_each(?))",
                    (kept,),
                )
            if keep_snapshot_steps is not None:
                kept = json.dumps(sorted(keep_snapshot_steps))
                connection.execute("DELETE FROM snapshots WHERE step NOT IN (SELECT value FROM json_each(?))", (kept,))
            if not keep_resume_state:
                connection.execute("DELETE FROM resume_state")
        with self._write_lock:
            try:
                connection = self._open_writer()
                _leave_wal(connection)
                connection.execute("VACUUM")
            except sqlite3.Error as error:
                raise write_error("The smaller run", error) from error
            self.close()

    def _space_needed(self, step: int, size: int) -> str:
        """How much disk the rest of the run takes if its steps are like this one, its write-ahead log included."""
        steps_left = max(self._config.steps - step + 1, 1)
        megabytes = math.ceil(_PAGE_OVERHEAD * steps_left * size / 1e6 + _LOG_MEGABYTES)
        return f"{megabytes} MB for the {steps_left} steps left"

    @contextmanager
    def _transaction(self, what: str, space_needed: str = "a few MB") -> Iterator[sqlite3.Connection]:
        """Everything inside is committed together; on any error nothing is."""
        with self._write_lock:
            try:
                connection = self._open_writer()
                self._refuse_gone(what)
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if self._writer is not None and self._writer.in_transaction:
                    with suppress(sqlite3.Error):  # the first error is the one to tell
                        self._writer.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise write_error(f"{what} of run {self.run_id}", error, space_needed) from error
                raise

    def _open_writer(self) -> sqlite3.Connection:
        if not self._writable:
            raise ValueError(f"run {self.run_id} is open for reading only. Open it with writable=True to change it.")
        if self._writer is None:
            self._writer = _connected(self._db, "rw", check_same_thread=False)
            self._file = self._writer.file
            self._writer.execute("PRAGMA synchronous = FULL")
            self._note_log()
            with suppress(sqlite3.OperationalError):  # readers are in the way: the rollback journal is as safe
                self._writer.execute("PRAGMA journal_mode = WAL")
        return self._writer

    def _note_log(self) -> None:
        """Write down which file a log belongs to from now on, before there is one: a copy of it is another file."""
        writer, file = known(self._writer), known(self._file)
        if self._get(writer, _LOG_OF) != file[1]:
            self._put(writer, _LOG_OF, file[1])

    def _refuse_gone(self, what: str) -> None:
        """Raises StoreError where the file that is open is not in its folder any more: what is written into it would be
        seen by nobody.
        """
        if not self._db.is_file():
            raise StoreError(
                f"{what} of run {self.run_id} was not kept: its folder is gone from {self.run_dir.parent.name}, moved "
                "or deleted while it was being written. Put it back, then resume; nothing earlier was changed."
            )

    # ---- reading

    def last_step(self) -> int | None:
        """The newest committed step, None before the first."""
        with self._reading() as connection:
            return _last_step(connection)

    def metrics(self, after: int = -1, timings: bool = True) -> list[dict]:
        """One dict a step later than `after`, ascending: {"step": n, name: value}; None where it was not finite.

        With timings=False only what the same seed reproduces bit for bit.
        """
        query = "SELECT step, name, value FROM metrics WHERE step > ? AND is_timing <= ? ORDER BY step, is_timing, name"
        found: dict[int, dict] = {}
        with self._reading() as connection:
            for (step,) in connection.execute("SELECT step FROM steps WHERE step > ? ORDER BY step", (after,)):
                found[step] = {"step": step}
            for step, name, value in connection.execute(query, (after, int(timings))):
                # A step committed between the two reads waits for the next call.
                if step in found:
                    found[step][name] = value
        return list(found.values())

    def ends(self, names: Iterable[str]) -> dict[str, tuple[float, float]]:
        """First and last value of some metrics, those that were recorded at all."""
        query = "SELECT value FROM metrics WHERE name = ? AND value IS NOT NULL ORDER BY step {} LIMIT 1"
        found = {}
        with self._reading() as connection:
            for name in names:
                first = connection.execute(query.format("ASC"), (name,)).fetchone()
                last = connection.execute(query.format("DESC"), (name,)).fetchone() if first else None
                if first and last:
                    found[name] = (first[0], last[0])
        return found

    def trace_steps(self) -> list[int]:
        """The steps whose solutions are stored, ascending."""
        with self._reading() as connection:
            return [
                step for (step,) in connection.execute("SELECT step FROM steps WHERE trace_count > 0 ORDER BY step")
            ]

    def traces(self, step: int, as_recorded: bool = False) -> list[CreditTrace]:
        """The solutions of a step, by group_id, then sample_idx; those that were scored again as they are since, unless
        `as_recorded`. Raises Mistake naming the steps that have any."""
        rows = self._trace_rows("WHERE step = ?", (step,), as_recorded)
        if not rows:
            raise Mistake(f"run {self.run_id} holds no solutions of step {step}. {_which(self.trace_steps())}")
        return self._of_this_run([trace_rows.from_row(row) for row in rows])

    def trace(self, step: int, group_id: int, sample_idx: int) -> CreditTrace:
        """One solution, as it was scored last. Raises Mistake naming what the step has."""
        return self._trace(step, group_id, sample_idx, as_recorded=False)

    def recorded_trace(self, step: int, group_id: int, sample_idx: int) -> CreditTrace:
        """One solution as it was recorded, whatever was scored again. Raises Mistake as `trace`."""
        return self._trace(step, group_id, sample_idx, as_recorded=True)

    def _trace_rows(self, where: str, values: tuple, as_recorded: bool) -> list[tuple]:
        with self._reading() as connection:
            rows = connection.execute(f"{_SELECT_TRACES} {where} ORDER BY group_id, sample_idx", values).fetchall()
            return rows if as_recorded else overlay.laid_over(connection, rows, where, values)

    def _trace(self, step, group_id, sample_idx, as_recorded) -> CreditTrace:
        rows = self._trace_rows("WHERE step = ? AND group_id = ?", (step, group_id), as_recorded)
        group = self._of_this_run([trace_rows.from_row(row) for row in rows])
        found = next((trace for trace in group if trace.sample_idx == sample_idx), None)
        if found is None:
            traces = self.traces(step)
            raise Mistake(
                f"step {step} of run {self.run_id} has no solution {sample_idx} of prompt {group_id}. It has prompts "
                f"{traces[0].group_id} to {traces[-1].group_id}, solutions {min(t.sample_idx for t in traces)} to "
                f"{max(t.sample_idx for t in traces)}."
            )
        return found

    def _of_this_run(self, traces: list[CreditTrace]) -> list[CreditTrace]:
        """The traces of whole groups with what the others of their group earned and the run's settings."""
        rewards: dict[int, list[float]] = {}
        for trace in traces:
            rewards.setdefault(trace.group_id, []).append(trace.reward)
        return [t.with_(group_rewards=tuple(rewards[t.group_id]), config=self._config) for t in traces]

    def rescored(self) -> list[dict]:
        """How solutions were scored again, the last time at the end: model, reference, temperature, when, rows, n."""
        return self.header().get("rescored", [])

    def rescored_rows(self, step: int) -> set[tuple[int, int]]:
        """group_id and sample_idx of the solutions of a step that were scored again."""
        with self._reading() as connection:
            return overlay.keys(connection, step)

    def snapshot_steps(self) -> list[int]:
        """The steps whose adapter is stored, ascending."""
        with self._reading() as connection:
            return [step for (step,) in connection.execute("SELECT step FROM snapshots ORDER BY step")]

    def snapshot(self, step: int) -> bytes:
        """The adapter of the policy after `step` updates (safetensors). Raises Mistake if absent or damaged."""
        with self._reading() as connection:
            row = connection.execute("SELECT sha256, blob FROM snapshots WHERE step = ?", (step,)).fetchone()
        if row is None:
            raise Mistake(f"run {self.run_id} holds no adapter of step {step}. {_which(self.snapshot_steps())}")
        return self._intact(f"the adapter of step {step}", *row)

    def resume_state(self) -> bytes | None:
        """What training goes on from (safetensors); None before the first step. Raises Mistake if damaged."""
        with self._reading() as connection:
            row = connection.execute("SELECT sha256, blob FROM resume_state").fetchone()
        return None if row is None else self._intact("the state to resume from", *row)

    def copied(self) -> bytes:
        """Its database with all that is committed, as one file that needs no log beside it; also while it is being
        written."""
        with self._reading() as connection:
            copy = bytearray(connection.serialize())
        copy[18:20] = b"\1\1"  # SQLite's header: no write-ahead log belongs to it
        return bytes(copy)

    def copy_to(self, path: Path) -> None:
        """Its database with all that is committed, as the file `path`, which needs no log beside it; also while it is
        being written. Raises Mistake where it cannot be read, StoreError where the copy cannot be written."""
        with self._reading() as connection:
            try:
                copy = sqlite3.connect(_uri(path, "rwc"), uri=True, isolation_level=None)
            except sqlite3.Error as error:
                raise write_error(f"A copy of run {self.run_id}", error) from error
            try:
                connection.backup(copy)  # in one go: the writer is not kept waiting, and no step comes in between
                copy.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.Error as error:
                if is_disk_full(error):
                    raise write_error(f"A copy of run {self.run_id}", error) from error
                raise
            finally:
                copy.close()

    def check(self) -> None:
        """Raises Mistake where SQLite finds a page of the database damaged."""
        with self._reading() as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            raise Mistake(f"run {self.run_id} cannot be read ({said}). Restore it from a copy.")

    def _intact(self, what: str, sha256: str, blob: bytes) -> bytes:
        if _sha256(blob) != sha256:
            raise Mistake(
                f"{what} in run {self.run_id} does not match its checksum: the file was damaged. "
                "Use another step, or restore the run from a copy."
            )
        return blob

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of this call's own."""
        connection = None
        try:
            connection = _connected(self._db, "ro")
            yield connection
        except (sqlite3.Error, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise Mistake(self._why_unreadable(error)) from error
        finally:
            if connection is not None:
                connection.close()

    def _why_unreadable(self, error: Exception) -> str:
        if is_busy(error):
            return f"run {self.run_id} cannot be read now: {reason(error)}"
        if not self._db.is_file():
            return f"run {self.run_id} cannot be read: its folder is gone. Put it back, or open another run."
        if self._db.with_name(f"{DB_NAME}-wal").exists() and not os.access(self.run_dir, os.W_OK):
            return (
                f"run {self.run_id} cannot be read here: it was cut off while it was being written, and its last "
                f"steps are in {DB_NAME}-wal, which can be read on a writable disk only. Copy its whole folder to "
                f"one; nothing is lost."
            )
        said = str(error).rstrip(".")
        if not os.access(self.run_dir.parent, os.W_OK):  # it could not be deleted
            return f"run {self.run_id} cannot be read ({said}). Restore it from a copy."
        return f"run {self.run_id} cannot be read ({said}). Restore it from a copy, or delete it."

    @staticmethod
    def _get(connection: sqlite3.Connection, key: str):
        row = connection.execute("SELECT value FROM run WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    @staticmethod
    def _put(connection: sqlite3.Connection, key: str, value) -> None:
        connection.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, json.dumps(value)))


# ---- rows


def _metric_rows(record: StepRecord) -> list[tuple]:
    rows = []
    for values, is_timing in ((record.metrics, 0), (record.timings, 1)):
        for name, value in values.items():
            number = float(value)
            is_finite = math.isfinite(number)
            rows.append(
                (
                    record.step,
                    name,
                    number if is_finite else None,
                    None if is_finite else str(number),
                    is_timing,
                )
            )
    return rows


def _size(rows: list[tuple]) -> int:
    return sum(len(value) for row in rows for value in row if isinstance(value, bytes | str))


def _last_step(connection: sqlite3.Connection) -> int | None:
    return connection.execute("SELECT max(step) FROM steps").fetchone()[0]


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


# ---- files and words


def default_header(run_id: str, config: TrainConfig) -> dict:
    unknown_hash = {"id": config.model, "revision": None}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "algorithm": config.algorithm,
        "model": unknown_hash,
        "ref": unknown_hash,
        "tokenizer_sha256": None,
        "beta": config.beta,
        "gae_lambda": config.gae_lambda,
        "temperature": 1.0,
        "kl_estimator": "exact",
        "job_id": None,
        "name": run_id,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": "",
    }


def _write_new_db(path: Path, config: TrainConfig, header: dict, past: tuple[RunStore, int] | None) -> None:
    parent = None if past is None else past[0].run_dir / DB_NAME
    with ExitStack() as held:
        if parent is not None:  # counts for the connection to which it is attached
            held.enter_context(closing(_connected(parent, "ro")))
        connection = held.enter_context(closing(new_database(path, parent)))
        if past is not None:
            for table in ("steps", "metrics", "traces", "snapshots"):
                connection.execute(f"INSERT INTO main.{table} SELECT * FROM parent.{table} WHERE step <= ?", (past[1],))
        seal(connection, config, header, RunState.QUEUED)


def new_database(path: Path, parent: Path | None = None) -> sqlite3.Connection:
    """A run's empty tables, inside a transaction that `seal` ends. parent: a database to copy from, as `parent`."""
    connection = sqlite3.connect(_uri(path, "rwc"), uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        if parent is not None:
            connection.execute("ATTACH ? AS parent", (_uri(parent, "ro"),))
        connection.executescript(f"BEGIN;{_SCHEMA}")
    except BaseException:
        connection.close()
        raise
    return connection


def seal(connection: sqlite3.Connection, config: TrainConfig, header: dict, state: RunState) -> None:
    """Settings, header and state of a new run, and the end of its transaction."""
    for key, value in (("config", config.to_dict()), ("header", header), ("status", [str(state), ""])):
        connection.execute("INSERT INTO run VALUES (?, ?)", (key, json.dumps(value)))
    # The version number goes in last, with the rest: a file that has it is whole.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _leave_wal(connection: sqlite3.Connection) -> None:
    """Back to a rollback journal, so that a copy of `run.db` alone is the run; readers passing by are outwaited."""
    for _ in range(20):
        with suppress(sqlite3.OperationalError):
            if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete":
                return
        time.sleep(0.01)
    with suppress(sqlite3.OperationalError):  # still complete, only in two files
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def _interrupted_sentence(last_step: int | None) -> str:
    if last_step is None:
        return "The process died before its first step. Resume starts it again."
    return f"The process died after step {last_step}, which is safe. Resume goes on from there."


def lost_log_sentence(last_step: int | None) -> str:
    held = "its steps" if last_step is None else f"the steps after {last_step}, if there were any"
    return (
        f"{DB_NAME}-wal, which held {held}, is missing: {DB_NAME} was copied without it. Copy it from where the run "
        f"was trained to beside {DB_NAME}, or resume "
        f"{'from the start' if last_step is None else f'from step {last_step}'}."
    )


def _which(steps: list[int]) -> str:
    if not steps:
        return "It holds none at all."
    shown = ", ".join(map(str, steps)) if len(steps) <= 12 else f"{len(steps)} steps from {steps[0]} to {steps[-1]}"
    return f"It has {shown}."


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of SQLite or the system means that there is no space left."""
    if isinstance(error, OSError):
        return error.errno in files.FULL or getattr(error, "is_disk_full", False)
    return isinstance(error, sqlite3.Error) and "database or disk is full" in str(error)


def is_busy(error: BaseException) -> bool:
    """Whether an error of SQLite means that another connection is at the file, and that waiting helps."""
    return isinstance(error, sqlite3.OperationalError) and "is locked" in str(error)


def write_error(what: str, error: Exception, space_needed: str = "a few MB") -> StoreError:
    if is_disk_full(error):
        return StoreError(
            f"{what} was not kept: the disk is full. Free at least {space_needed}, then resume; nothing earlier is "
            f"lost.",
            is_disk_full=True,
        )
    return StoreError(
        f"{what} could not be written: {reason(error)} Nothing of it was kept; what was there before is.",
        is_busy=is_busy(error),
    )


def reason(error: Exception) -> str:
    """Why SQLite or the system could not do something, as a sentence."""
    if isinstance(error, sqlite3.Error):
        return next((words for sign, words in _SQLITE_WORDS.items() if sign in str(error)), f"{error}.")
    return files.in_words(error)
