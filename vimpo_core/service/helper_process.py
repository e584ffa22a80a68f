"""One child process that answers requests in turn, started when it is first needed and again after it died."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from pebble import ProcessExpired, ProcessPool

from vimpo_core.service.progress import Progress
from vimpo_core.service.turns import Turns

_LOOK_SECONDS = 1.0
"""How often it is asked whether somebody still wants the answers."""
_GRACE_SECONDS = 1.0
"""What a request that nobody wants any more may still take: to start a process anew takes several times as long, and
all that the old one kept is lost with it."""

ENDED = (ProcessExpired, BrokenProcessPool)
"""What a request raises whose process died, while it worked or before it had begun."""


class Asked(Future):
    """The answer to a request, when it comes. `cancel()` takes it out of the queue, or ends its work."""

    def __init__(self, work: Callable, timeout: float | None, is_wanted: Callable[[], bool]):
        super().__init__()
        self.work, self.timeout, self.is_wanted = work, timeout, is_wanted
        self.inner: Future | None = None
        self.place: Callable[[], int] = lambda: 0

    def running(self) -> bool:
        """Whether the process has taken it up; until then its time does not run."""
        return self.inner is not None and self.inner.running()

    def ahead(self) -> int:
        """How many requests are before this one, that which is at work included."""
        return self.place()


class HelperProcess:
    """A queue before a pool of one process that outlives its process. Safe to share between threads.

    Requests are taken round by round (`turns.Turns`). One whose process dies, or that outlives its time, fails alone;
    one that is cancelled while it waits never reaches the process. Where the process was killed while it had nothing to
    do (as a system short of memory kills), pebble gives up the whole pool: then a new one takes its place. The process
    ends with the one that asks, however that ends, also in the middle of its work.
    """

    def __init__(
        self,
        niceness: int = 5,
        prepare: Callable[[], None] | None = None,
        is_fresh: bool = False,
        grace: float = _GRACE_SECONDS,
    ):
        """prepare: called first in the process, instead of being nice; is_fresh: a new process for each request; grace:
        seconds that a cancelled request may go on for before its process is killed."""
        self._prepare = partial(_be_nice, niceness) if prepare is None else prepare
        self._is_fresh, self._grace, self._lock = is_fresh, grace, threading.RLock()
        self._pool, self._is_closed = self._new(), False
        self._turns: Turns[Asked] = Turns()
        self._at_work: Asked | None = None
        self._looker: threading.Thread | None = None

    def ask(
        self,
        function: Callable,
        *args: Any,
        timeout: float | None = None,
        progress: Progress | None = None,
        asker: Hashable = None,
        is_wanted: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Asked:
        """Ask for `function(*args, **options)`, which must be one of a module: `scoring.score_solution`, ...

        Args:
            timeout: seconds after which the work is killed.
            progress: handed to the function, which tells how far it is, and tidied away in the end.
            asker: who asks; every asker has one request a round.
            is_wanted: whether somebody still waits for the answer; once nobody does it is cancelled. Asked from threads
                of this object's own.

        Returns:
            A future of what the function gives. Its result raises what the function raises (Mistake, one sentence,
            where the request is a bad one), TimeoutError, or one of `ENDED`. `cancel()` takes it out of the queue;
            where it is at work the process has a moment to end it, and is killed then, and what it kept goes with it.
        """
        if progress is not None:
            options["progress"] = progress
        asked = Asked(partial(function, *args, **options), timeout, is_wanted or (lambda: True))
        asked.place = partial(self._ahead, asked)
        if progress is not None:
            asked.add_done_callback(lambda _: progress.close())
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this process was closed")
            self._turns.add(asked, asker)
            if is_wanted is not None and self._looker is None:
                self._looker = threading.Thread(target=self._look, daemon=True)
                self._looker.start()
        asked.add_done_callback(lambda _: self._let_go(asked))
        self._go_on()
        return asked

    def close(self) -> None:
        with self._lock:
            self._is_closed, waiting = True, self._turns.waiting()
        for asked in waiting:
            asked.cancel()
        self._pool.stop()
        self._pool.join()

    def _go_on(self) -> None:
        """Give the process the next request that somebody wants, if it has none."""
        unwanted = []
        with self._lock:
            while self._at_work is None and not self._is_closed and (asked := self._turns.take()) is not None:
                if asked.cancelled() or not asked.is_wanted():
                    unwanted.append(asked)
                    continue
                self._at_work = asked
                asked.inner = self._schedule(asked.work, asked.timeout)
                asked.inner.add_done_callback(partial(self._answered, asked))
        for asked in unwanted:
            asked.cancel()

    def _answered(self, asked: Asked, inner: Future) -> None:
        with self._lock:
            if self._at_work is asked:
                self._at_work = None
        self._go_on()
        with suppress(InvalidStateError):  # cancelled meanwhile
            if inner.cancelled():
                asked.cancel()
            elif error := inner.exception():
                asked.set_exception(error)
            else:
                asked.set_result(inner.result())

    def _let_go(self, asked: Asked) -> None:
        """Called once a request is over, however it ended."""
        if not asked.cancelled():
            return
        asked.set_running_or_notify_cancel()  # who waits for it, waits no more
        with self._lock:
            self._turns.drop(asked)
            if self._at_work is asked:
                later = threading.Timer(self._grace, self._kill, [asked])
                later.daemon = True
                later.start()

    def _kill(self, asked: Asked) -> None:
        """End the process that still works on a request which nobody wants, and go on with another."""
        with self._lock:
            if self._at_work is not asked or self._is_closed:
                return
            old, self._pool, self._at_work = self._pool, self._new(), None
        self._go_on()
        with suppress(RuntimeError):
            old.stop()
            old.join()

    def _look(self) -> None:
        """Cancel what nobody wants any more, as long as there is something to do."""
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                asked = self._turns.waiting() + ([] if self._at_work is None else [self._at_work])
                if not asked or self._is_closed:
                    self._looker = None
                    return
            for one in asked:
                if not one.is_wanted():
                    one.cancel()

    def _ahead(self, asked: Asked) -> int:
        with self._lock:
            before = self._turns.ahead(asked)
            return 0 if before is None else before + (self._at_work is not None)

    def _schedule(self, work: Callable, timeout: float | None) -> Future:
        try:
            return self._pool.schedule(work, timeout=timeout)
        except RuntimeError:
            with suppress(RuntimeError):
                self._pool.stop()
            self._pool = self._new()
            return self._pool.schedule(work, timeout=timeout)

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
