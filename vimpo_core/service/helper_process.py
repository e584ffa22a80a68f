"""One child process that answers requests in turn, started when it is first needed and again after it died."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from pebble import ProcessPool

from vimpo_core.service.progress import Progress


class HelperProcess:
    """A pool of one process that outlives its process. Safe to share between threads.

    A request whose process dies, or that outlives its time, fails alone. Where the process was killed while it had
    nothing to do (as a system short of memory kills), pebble gives up the whole pool: then a new one takes its place.
    The process ends with the one that asks, however that ends, also in the middle of its work.
    """

    def __init__(self, niceness: int = 5, prepare: Callable[[], None] | None = None, is_fresh: bool = False):
        """prepare: called first in the process, instead of being nice; is_fresh: a new process for each request."""
        self._prepare = partial(_be_nice, niceness) if prepare is None else prepare
        self._is_fresh, self._lock = is_fresh, threading.Lock()
        self._pool, self._is_closed = self._new(), False

    def ask(
        self,
        function: Callable,
        *args: Any,
        timeout: float | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Future:
        """Ask for `function(*args, **options)`, which must be one of a module: `scoring.score_solution`, ...

        Args:
            timeout: seconds after which the work is killed.
            progress: handed to the function, which tells how far it is, and tidied away in the end.

        Returns:
            A future of what the function gives. Its result raises what the function raises (Mistake, one sentence,
            where the request is a bad one) or TimeoutError. `cancel()` kills the work, and what the process kept goes
            with it.
        """
        if progress is None:
            return self._schedule(partial(function, *args, **options), timeout)
        future = self._schedule(partial(function, *args, progress=progress, **options), timeout)
        future.add_done_callback(lambda _: progress.close())
        return future

    def _schedule(self, work: Callable, timeout: float | None) -> Future:
        with self._lock:
            try:
                return self._pool.schedule(work, timeout=timeout)
            except RuntimeError:
                if self._is_closed:
                    raise
                with suppress(RuntimeError):
                    self._pool.stop()
                self._pool = self._new()
                return self._pool.schedule(work, timeout=timeout)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._pool.stop()
            self._pool.join()

    def _new(self) -> ProcessPool:
        # spawn: a fork of a threaded web server can inherit a lock that nobody will ever release.
        return ProcessPool(
            max_workers=1,
            max_tasks=int(self._is_fresh),
            context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=[self._prepare],
        )


def _begin(prepare: Callable[[], None]) -> None:
    end_with_parent()
    prepare()


def end_with_parent() -> None:
    """In a process of multiprocessing: end it at once when the one that started it has died, even by kill -9."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def _outlive(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _be_nice(niceness: int) -> None:
    if hasattr(os, "nice"):
        os.nice(niceness)
