"""How tests wait: for a state, never for a time. A busy machine takes longer, and what never comes is said in the
end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE = 180
"""Seconds after which a test says that it waited in vain: many times what anything takes, so only what never comes gets
here.
"""
PATIENCE_MS = 1000 * PATIENCE
NO_TIME = 0.01
"""Seconds that a request which `never_returns` is given, where its end by a time limit is what is tested."""

_LOOK_SECONDS = 0.01
_SELDOM_SECONDS = 0.1

Found = TypeVar("Found")


def eventually(condition: Callable[[], Found], otherwise: Callable[[], object] = lambda: "") -> Found:
    """What `condition()` says once it is true. Raises AssertionError with `otherwise()` when it never is. Looks more
    seldom the longer it takes: what is waited for needs the processor too.
    """
    began = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - began
        if waited > PATIENCE:
            raise AssertionError(f"waited {PATIENCE} s in vain. {otherwise()}")
        time.sleep(min(max(_LOOK_SECONDS, waited / 10), _SELDOM_SECONDS))
    return found


def never_returns(*_) -> None:
    """Work without an end, for a request that is to be killed."""
    while True:
        time.sleep(_LOOK_SECONDS)


def begins_and_never_returns(begun: Path) -> None:
    """The same, once its file is there: from then on the process reads no request, so it holds no lock that another one
    would wait for if it were killed.
    """
    begun.touch()
    never_returns()


def cpu_seconds(function: Callable, *arguments) -> float:
    """Seconds of this process's CPU that a call takes: other work on the machine does not count. For bounds far from
    the truth alone, milliseconds against minutes."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start
