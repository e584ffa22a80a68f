"""What a list of runs shows of one, read once until its file changes: a folder may hold hundreds, and pages ask for
the list again and again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import DB_NAME, Overview, RunStore, is_run
from vimpo_core.types import RunState

SHOWN = ("sampled_accuracy", "greedy_accuracy", "validation_problems", "reward_mean")
"""Metrics that a list of runs shows."""
_KEPT = 4096
_BELIEVED = timedelta(days=366)
_SETTLED_NS = 2_000_000_000
"""A file that was changed this recently may change again within the same tick of its clock."""
_AT_REST = (RunState.FINISHED, RunState.STOPPED, RunState.DIVERGED, RunState.QUEUED)
"""States that the file says by itself: of the others somebody's lock has a say."""

Seen = tuple[RunStore, Overview, dict[str, tuple[float, float]]]
"""The run for reading, how it stands, and the first and last values of `SHOWN`."""
_seen: dict[Path, tuple[tuple, Seen]] = {}


def look(run_dir: Path) -> Seen:
    """How a run stands now. What is returned is shared: never change it. Raises Mistake or OSError where it cannot be
    read.
    """
    stamp = _stamp(run_dir)
    kept = _seen.get(run_dir)
    if kept is not None and stamp is not None and kept[0] == stamp:
        return kept[1]
    store = RunStore.open(run_dir)
    seen = store, store.overview(), store.ends(SHOWN)
    if stamp is not None and seen[1].state in _AT_REST and time.time_ns() - max(stamp[2::3]) > _SETTLED_NS:
        if len(_seen) >= _KEPT:
            _seen.clear()
        _seen[run_dir] = stamp, seen
    else:
        _seen.pop(run_dir, None)
    return seen


def new_moment(runs_dir: Path) -> str:
    """When a run that is made in this folder now is made, ISO: later than every other one here, so that the order of
    the runs, and the names that follow from it, outlast a clock that is set back.
    """
    moments = []
    for folder in runs_dir.iterdir() if runs_dir.is_dir() else ():
        with suppress(Mistake, OSError, ValueError, KeyError, TypeError):
            if is_run(folder):
                moments.append(datetime.fromisoformat(look(folder)[1].header["created"]))
    return later_than(moments).isoformat(timespec="microseconds")


def later_than(moments: Iterable[datetime]) -> datetime:
    """Now, or just after the newest of some moments where the clock was set back since. A moment more than a year ahead
    is another computer's mistake, and left out of account.
    """
    now = datetime.now(UTC)
    ahead = [moment for moment in moments if now <= moment < now + _BELIEVED]
    return max(ahead) + timedelta(microseconds=1) if ahead else now


def _stamp(run_dir: Path) -> tuple | None:
    """Tells apart what the run's files hold now from what they held: inode, size and time of each; None where they are
    gone."""
    try:
        found: tuple = ()
        for name in (DB_NAME, f"{DB_NAME}-wal"):
            try:
                at = os.stat(run_dir / name)
            except FileNotFoundError:
                found += (0, 0, 0)
            else:
                found += (at.st_ino, at.st_size, at.st_mtime_ns)
        return found if found[0] else None
    except OSError:
        return None
