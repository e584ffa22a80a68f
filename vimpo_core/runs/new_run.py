"""A run that is filled row by row and appears whole: for solutions that somebody else recorded.

    with NewRun(run_dir) as new:
        for ...: new.add(trace)
        new.finish(config, header, metrics)

Until `finish` it lies under a hidden name; without `finish` nothing is left of it. A solution's group mean is found
here, at the end, where it is not a number when it is added.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import listing, store, trace_rows
from vimpo_core.runs.store import ADAPTERS_NAME, DB_NAME, HIDDEN, INSERT_TRACE, LOCK_NAME, RunStore
from vimpo_core.types import CreditTrace, RunState

_MANY = 256
"""Rows that are handed to SQLite at once."""


class NewRun:
    """See the head of the module. Raises Mistake where `run_dir` exists, StoreError where it cannot be written."""

    def __init__(self, run_dir: Path, hidden: Path | None = None):
        """hidden: the folder to fill, beside `run_dir`, for one who may kill this process and clean up after it."""
        self.run_dir = Path(run_dir)
        if self.run_dir.exists():
            raise Mistake(f"a run named {run_dir.name!r} already exists. Choose another name or delete it first.")
        self._waiting: list[tuple] = []
        try:
            self.run_dir.parent.mkdir(parents=True, exist_ok=True)
            if hidden is not None:
                hidden.mkdir()
            self._hidden = hidden or Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self.run_dir.parent))
            self._connection: sqlite3.Connection | None = store.new_database(self._hidden / DB_NAME)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def __enter__(self) -> NewRun:
        return self

    def __exit__(self, *exc_info) -> None:
        self._close()
        shutil.rmtree(self._hidden, ignore_errors=True)

    def add(self, trace: CreditTrace) -> None:
        """One more solution; two of the same step, group and index cannot be. ValueError if an array's shape does not
        fit its tokens."""
        self._waiting.append(trace_rows.to_row(trace))
        if len(self._waiting) >= _MANY:
            self._write()

    def drop_step(self, step: int) -> None:
        """Forget the solutions of a step."""
        self._write()
        self._do("DELETE FROM traces WHERE step = ?", (step,))

    def keep(self, name: str, files: Mapping[str, Path]) -> None:
        """Keep a copy of an adapter's files (name -> where it lies) with the run."""
        try:
            (folder := self._hidden / ADAPTERS_NAME / name).mkdir(parents=True)
            for called, path in files.items():
                shutil.copyfile(path, folder / called)
        except OSError as error:
            raise self._error(error) from error

    def finish(
        self,
        config: TrainConfig,
        header: dict[str, Any],
        metrics: Mapping[int, Mapping[str, float]],
        state: RunState = RunState.FINISHED,
    ) -> RunStore:
        """Make it a run: metrics are those of each step; `header` adds to what the settings say."""
        self._write()
        self._do(
            "UPDATE traces SET group_mean_reward = (SELECT avg(reward) FROM traces AS t WHERE t.step = traces.step AND "
            "t.group_id = traces.group_id) WHERE group_mean_reward IS NULL"
        )
        self._do("INSERT INTO steps SELECT step, count(*) FROM traces GROUP BY step")
        for step, values in metrics.items():
            self._do("INSERT OR IGNORE INTO steps VALUES (?, 0)", (step,))
            for name, value in values.items():
                self._do("INSERT INTO metrics VALUES (?, ?, ?, NULL, 0)", (step, name, float(value)))
        assert self._connection is not None
        try:
            (self._hidden / LOCK_NAME).touch()
            made = {"created": listing.new_moment(self.run_dir.parent)}
            whole = {**store.default_header(self.run_dir.name, config), **made, **header}
            store.seal(self._connection, config, whole, state)
            self._close()
            self._hidden.chmod(0o755)
            self._hidden.rename(self.run_dir)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error
        return RunStore.open(self.run_dir)

    def _write(self) -> None:
        rows, self._waiting = self._waiting, []
        assert self._connection is not None
        try:
            self._connection.executemany(INSERT_TRACE, rows)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _do(self, statement: str, values: tuple = ()) -> None:
        assert self._connection is not None
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _error(self, error: Exception) -> store.StoreError:
        return store.write_error(f"Run {self.run_dir.name}", error)
