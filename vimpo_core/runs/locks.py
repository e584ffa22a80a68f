"""Locks that say who is alive. The kernel lets go of one when its process dies, however it dies: no clock decides."""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake

fcntl = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
"""None on Windows, where `is_held` falls back to trying the lock itself."""

_PROBE_SECONDS = 0.5
"""How long taking a lock outwaits readers that are just asking whether it is held."""


class LockedError(Mistake):
    """Another process holds the lock."""


@contextmanager
def exclusive(path: Path, sentence: str) -> Iterator[None]:
    """Hold the lock file at `path`. Raises LockedError(sentence) if somebody else does.

    The kernel lets go when the process dies, however it dies.
    """
    lock = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=_PROBE_SECONDS, poll_interval=0.01)
    except filelock.Timeout as error:
        raise LockedError(sentence) from error
    except OSError as error:
        raise Mistake(f"{path.name} in {path.parent.name} cannot be locked. {in_words(error)}") from error
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file at `path`. Creates nothing, and never stands in another asker's way."""
    if not path.exists():
        return False
    if fcntl is None:
        lock = filelock.FileLock(path, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return True
        lock.release()
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that any number of askers pass; it fails exactly when the exclusive lock is held.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(descriptor)
    return False
