"""Where deleted runs lie for a week, so that a deletion can be undone.

    runs_dir/.bin/20261128T154722123456Z.vimpo-7/     the folder of run vimpo-7 as it was, whatever else lay in it

The name says when and what, so nothing has to be written on a disk that may be full. Only folders that hold a run of
the lab (`store.is_run`) are listed, restored or emptied; anything else in there is somebody else's.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vimpo_core.mistake import Mistake
from vimpo_core.runs.listing import later_than
from vimpo_core.runs.locks import LockedError, is_held
from vimpo_core.runs.store import LOCK_NAME, is_run

BIN_NAME = ".bin"
KEPT = timedelta(days=7)

_STAMP = "%Y%m%dT%H%M%S%fZ"
_ENTRY = re.compile(r"(\d{8}T\d{12}Z)\.(.+)", re.DOTALL)
_DOOMED = "emptying-"
"""Prefix of a folder that is being removed for good: what a cut-short removal left is known by it."""


@dataclass(frozen=True)
class Deleted:
    """A run in the bin; `entry` is its folder's name there."""

    entry: str
    run_id: str
    deleted: datetime

    @property
    def gone_after(self) -> datetime:
        return self.deleted + KEPT


class RunBin:
    """The bin of one runs folder. Nothing is created before the first deletion."""

    def __init__(self, runs_dir: Path):
        self._runs_dir = runs_dir
        self.path = runs_dir / BIN_NAME

    def entries(self) -> list[Deleted]:
        """What was deleted, the newest first."""
        if not self.path.is_dir() or self.path.is_symlink():
            return []
        found = [entry for folder in self.path.iterdir() if (entry := _read(folder))]
        return sorted(found, key=lambda entry: entry.entry, reverse=True)

    def put(self, run_id: str) -> Deleted:
        """Move a run here in one move. Raises LockedError if it is being trained, OSError or Mistake where it cannot be
        moved.
        """
        refusal = f"run {run_id} is running and cannot be deleted. Stop it first."
        run_dir = self._runs_dir / run_id
        if is_held(run_dir / LOCK_NAME):
            raise LockedError(refusal)
        if self.path.is_symlink():  # what lies behind it is not listed, so nothing could be brought back
            raise Mistake(
                f"{self.path} is a link, and deleted runs are kept in a folder of that name. Remove the link."
            )
        self.path.mkdir(exist_ok=True)
        # No lock is held while the folder moves: Windows does not rename a folder that has an open file in it.
        moment = later_than(entry.deleted for entry in self.entries())
        entry = Deleted(f"{moment.strftime(_STAMP)}.{run_id}", run_id, moment)
        moved = self.path / entry.entry
        run_dir.rename(moved)
        if is_held(moved / LOCK_NAME):  # somebody began to train it in that moment
            moved.rename(run_dir)
            raise LockedError(refusal)
        return entry

    def restore(self, entry: Deleted) -> str:
        """Move a run back; returns its id, another one where its own was taken meanwhile."""
        run_id, copy = entry.run_id, 2
        while _is_there(self._runs_dir / run_id):
            run_id, copy = f"{entry.run_id}-restored-{copy - 1}", copy + 1
        (self.path / entry.entry).rename(self._runs_dir / run_id)
        return run_id

    def empty(self, before: datetime) -> list[Deleted]:
        """Remove for good what was deleted before then; returns what that was. What cannot be removed now stays."""
        removed = []
        for entry in self.entries():
            folder = self.path / entry.entry
            if entry.deleted < before and not is_held(folder / LOCK_NAME):
                # Out of sight in one move, even if removing it is cut short.
                doomed = self.path / (_DOOMED + entry.entry)
                try:
                    folder.rename(doomed)
                except OSError:
                    continue
                removed.append(entry)
        if self.path.is_dir() and not self.path.is_symlink():
            for doomed in self.path.glob(f"{_DOOMED}*"):
                if _ENTRY.fullmatch(doomed.name.removeprefix(_DOOMED)) and not doomed.is_symlink():
                    shutil.rmtree(doomed, ignore_errors=True)
        return removed


def _read(folder: Path) -> Deleted | None:
    match = _ENTRY.fullmatch(folder.name)
    if match is None or not is_run(folder):
        return None
    try:
        deleted = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Deleted(folder.name, match[2], deleted)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
