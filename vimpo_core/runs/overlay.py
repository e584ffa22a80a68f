"""Rows that were scored again, laid over the recorded ones: a table of its own in the same file, so that nothing that
was recorded is overwritten, and a re-scoring can be taken back.

    rescored    n, the number of the re-scoring, and the columns of `traces`; of a solution the highest n is shown

Rows of a re-scoring that is not done yet have n = KEPT: nobody sees them before all of it is there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from vimpo_core.runs import trace_rows

KEPT = -1
_COLUMNS = ", ".join(trace_rows.COLUMNS)
_KEY = trace_rows.COLUMNS.index("step"), trace_rows.COLUMNS.index("group_id"), trace_rows.COLUMNS.index("sample_idx")


def put(connection: sqlite3.Connection, n: int, rows: Iterable[tuple]) -> int:
    """Add the rows of a re-scoring, as `trace_rows.to_row` makes them; returns how many they are."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS rescored (n INTEGER NOT NULL, {_COLUMNS}, "
        "PRIMARY KEY (step, group_id, sample_idx, n))"
    )
    marks = ", ".join("?" * (len(trace_rows.COLUMNS) + 1))
    return connection.executemany(
        f"INSERT INTO rescored (n, {_COLUMNS}) VALUES ({marks})", ((n, *row) for row in rows)
    ).rowcount


def take_back(connection: sqlite3.Connection, n: int) -> int:
    """Remove the rows of a re-scoring; returns how many they were."""
    return connection.execute("DELETE FROM rescored WHERE n = ?", (n,)).rowcount if _is_there(connection) else 0


def show(connection: sqlite3.Connection, n: int) -> int:
    """Make the rows that were kept those of re-scoring n; returns how many they are."""
    return connection.execute("UPDATE rescored SET n = ? WHERE n = ?", (n, KEPT)).rowcount


def kept(connection: sqlite3.Connection) -> set[tuple[int, int, int]]:
    """step, group_id and sample_idx of the rows that wait for the rest of theirs."""
    if not _is_there(connection):
        return set()
    return set(connection.execute("SELECT step, group_id, sample_idx FROM rescored WHERE n = ?", (KEPT,)))


def laid_over(connection: sqlite3.Connection, rows: list[tuple], where: str, values: tuple) -> list[tuple]:
    """Recorded rows, those that were scored again replaced. where, values: the condition that chose the recorded."""
    if not _is_there(connection):
        return rows
    newer = {
        _key(row): row
        for n, *row in connection.execute(f"SELECT n, {_COLUMNS} FROM rescored {where} ORDER BY n", values)
        if n != KEPT
    }
    return [tuple(newer.get(_key(row), row)) for row in rows]


def keys(connection: sqlite3.Connection, step: int) -> set[tuple[int, int]]:
    """group_id and sample_idx of the solutions of a step that were scored again."""
    if not _is_there(connection):
        return set()
    asked = "SELECT group_id, sample_idx FROM rescored WHERE step = ? AND n != ?"
    return set(connection.execute(asked, (step, KEPT)))


def _is_there(connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rescored'").fetchone())


def _key(row):
    return tuple(row[i] for i in _KEY)
