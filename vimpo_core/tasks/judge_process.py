"""A judge in a process of its own, that can be killed: other people's parsers and scorers can run for minutes, or
crash, on what a model writes. One process a library and program, started when it is first needed and again after it was
killed. PYTHONHASHSEED is fixed in it, so that what is walked in hash order is the same everywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as TooLong
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from pebble import ProcessExpired, ProcessPool

from vimpo_core.mistake import Mistake

LIMIT = 5.0
"""Seconds that an answer may take."""
_MEMORY = 6 * 2**30
"""Address space of a judge, bytes."""
_HASH_SEED = "0"
_environment = threading.Lock()


class Failed(str):
    """Why there is no result for an item, in words."""


class JudgeProcess:
    """Calls a function of a module on items, in a process that imports the module first. Safe to share between
    threads.
    """

    def __init__(self, module: str, limit: float = LIMIT):
        self._module, self._limit, self._lock = module, limit, threading.Lock()
        self._pool: ProcessPool | None = None

    def map(self, function: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        """`function(item, *shared)` of each item, in order; Failed where it raised, took too long or died.

        Raises Mistake that the function raises of all items alike, as when its library is missing.
        """
        items, work = list(items), (self._module, function, self._limit, shared)
        if not items:
            return []
        # Every item has its own alarm in the process; what no alarm can wake is killed, and asked for one by one.
        found = self._asked(work, items, 2 * self._limit + 0.2 * len(items))
        if isinstance(found, Failed) and len(items) > 1:
            return [one for item in items for one in self.map(function, [item], *shared)]
        return [found] if isinstance(found, Failed) else found

    def call(self, function: str, *arguments: Any, seconds: float) -> Any:
        """`function(*arguments)`; Failed as for `map`. Raises Mistake that it raises."""
        first, *rest = arguments
        found = self._asked((self._module, function, seconds, tuple(rest)), [first], seconds + self._limit)
        return found if isinstance(found, Failed) else found[0]

    def _asked(self, work, items, seconds) -> Any:
        limit = work[2]
        with self._lock:
            for is_last in (False, True):
                try:
                    if self._pool is None:
                        self._pool = self._new()
                    return self._pool.schedule(_each, args=[*work, items], timeout=seconds).result()
                except TooLong:
                    return Failed(f"the judge took longer than {limit:g} s and was stopped")
                except ProcessExpired:
                    return Failed("the judge's process died of it")
                except RuntimeError:  # pebble gave the pool up: its process was killed while it had nothing to do
                    self._drop()
                    if is_last:
                        raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(RuntimeError):
                pool.stop()
                pool.join()

    def _new(self) -> ProcessPool:
        return ProcessPool(max_workers=1, context=_FixedHashes(), initializer=_prepare, initargs=[self._module])


@functools.lru_cache(maxsize=8)
def judge_process(module: str) -> JudgeProcess:
    """This program's process for a module."""
    made = JudgeProcess(module)
    atexit.register(made.close)
    return made


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj):
        with _environment:
            before = os.environ.get("PYTHONHASHSEED")
            os.environ["PYTHONHASHSEED"] = _HASH_SEED
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                if before is None:
                    del os.environ["PYTHONHASHSEED"]
                else:
                    os.environ["PYTHONHASHSEED"] = before


class _FixedHashes(SpawnContext):
    """spawn, with PYTHONHASHSEED set: a fork of a threaded program can inherit a lock that nobody will ever release."""

    Process = _Process


# ---- in the process


class _Alarm(BaseException):
    """Not an Exception, which a library would swallow."""


def _prepare(module: str) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that asks
    with contextlib.suppress(Mistake):  # a missing library: said by whoever is asked
        importlib.import_module(module).prepare()


def _each(module: str, function: str, limit: float, shared: tuple, items: Sequence[Any]) -> list[Any]:
    work: Callable = getattr(importlib.import_module(module), function)
    return [_one(work, item, shared, limit) for item in items]


def _one(work, item, shared, limit) -> Any:
    has_alarm = hasattr(signal, "setitimer")
    try:
        if has_alarm:
            signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, limit)
        return work(item, *shared)
    except Mistake:
        raise
    except _Alarm:
        return Failed(f"the judge took longer than {limit:g} s and was stopped")
    except Exception as error:  # whatever somebody else's judge stumbles over
        return Failed(f"the judge failed: {type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}")
    finally:
        if has_alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_):
    raise _Alarm
