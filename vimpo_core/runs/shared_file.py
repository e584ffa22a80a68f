"""A small SQLite file beside the runs that every process writes: each call is one short transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import StoreError, is_busy, is_disk_full, reason

BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class SharedFile:
    """path: of the file, made at the first writing. schema, version: of its tables, made in one go with the number; a
    later version only adds to them, so a file of an earlier one gets what it lacks.

    what: how a sentence calls it, "The queue". if_damaged: what to do then, and what is lost with it.
    """

    path: Path
    schema: str
    version: int
    what: str
    if_damaged: str

    @contextmanager
    def connection(self, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for the block, in a transaction where it writes; reading where there is no file finds it empty.

        Raises Mistake, one sentence, where the file is damaged, newer or somebody else's; StoreError where it cannot be
        read or written. Nothing of the block is kept then.
        """
        target = self.path if writing or self.path.exists() else ":memory:"
        connection = None
        try:
            connection = sqlite3.connect(target, timeout=BUSY_SECONDS, isolation_level=None)
            self._prepare(connection)
            if writing:
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            if writing:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._error(error, writing) from error
        finally:
            if connection is not None:
                connection.close()  # an open transaction is rolled back

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # One statement: whoever makes the tables in this moment makes them between two looks, or not.
        version, tables = connection.execute(
            "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
        ).fetchone()
        if version > self.version:
            raise Mistake(
                f"{self.path.name} was written by a newer version (format {version}, this one reads up to "
                f"{self.version}). Update VIMPO Lab, or choose another runs folder."
            )
        if version == 0 and tables:
            raise Mistake(
                f"{self.path.name} in {self.path.parent.name} is another program's database, so it is left "
                "alone. Choose another runs folder."
            )
        if version < self.version:
            connection.executescript(f"BEGIN IMMEDIATE;{self.schema}PRAGMA user_version = {self.version};COMMIT;")

    def _error(self, error: sqlite3.Error, writing: bool) -> Exception:
        folder = self.path.parent.name
        if is_disk_full(error):
            return StoreError(
                f"{self.what} in {folder} was not changed: the disk is full. Free some MB, then try again; nothing "
                "earlier is lost.",
                is_disk_full=True,
            )
        if isinstance(error, sqlite3.OperationalError):
            what = f"{self.what} in {folder} could not be {'changed' if writing else 'read'}: {reason(error)}"
            return StoreError(what, is_busy=is_busy(error))
        return Mistake(f"the file {self.path.name} in {folder} is damaged ({error}). {self.if_damaged}")
