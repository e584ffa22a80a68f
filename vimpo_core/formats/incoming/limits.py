"""What a process that reads other people's files may use. It does nothing else, and may be killed at any moment."""

from __future__ import annotations

import contextlib
import os

from vimpo_core.mistake import Mistake

MEMORY = 3 * 2**30
"""Address space, bytes, which libraries that are loaded take some of: what is really used stays far below."""
CPU_SECONDS = 900
WALL_SECONDS = 1800.0
_OPEN_FILES = 256


def apply(has_no_end: bool = False) -> None:
    """Put the limits on this process, for good. has_no_end: it follows a run, for as long as that takes."""
    limits = {"RLIMIT_AS": MEMORY, "RLIMIT_NOFILE": _OPEN_FILES, "RLIMIT_CORE": 0}
    for name, most in (limits if has_no_end else limits | {"RLIMIT_CPU": CPU_SECONDS}).items():
        with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):  # not every system has every one
            import resource

            resource.setrlimit(getattr(resource, name), (most, most))
    if hasattr(os, "nice"):
        os.nice(5)


def too_much() -> Mistake:
    """What to say where the process met a limit, or the system killed it."""
    return Mistake(
        f"reading this takes more than {MEMORY / 2**30:g} GiB of memory or {CPU_SECONDS} s, so it was stopped and "
        "nothing was written. Bring fewer steps at a time."
    )
