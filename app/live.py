"""Runs as they happen: each new step is read from disk once, for all browsers that look at the run; how they stand, in
words.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app import cache
from app.components.live_curves import run_payload
from app.text import as_sentence
from vimpo_core.config import TrainConfig
from vimpo_core.numbers import rough_time
from vimpo_core.runs import forks
from vimpo_core.runs.folder import ACTIVE
from vimpo_core.runs.store import RunStore
from vimpo_core.runs.waits import Wait
from vimpo_core.types import RUN_STATE_ADVICE, CreditTrace, RunState

_PACE_STEPS = 10
FRESH_SECONDS = 0.2
"""Browsers that ask within this time of each other share one look at the disk."""


_NOT_MEASURED = "how long is not known yet, as nothing like what is ahead was trained here before"
RESUMABLE = (RunState.STOPPED, RunState.INTERRUPTED, RunState.DIVERGED)


@dataclass(frozen=True)
class Sight:
    """What was seen of a run: `rows` are its metrics so far, ascending; `curves` their payload for the live curves."""

    run_id: str
    config: TrainConfig
    state: RunState
    message: str
    rows: list[dict[str, Any]]
    curves: dict[str, Any]
    to_replay: int = 0
    seconds_a_replayed: float | None = None
    """Steps of the parent that a fork has yet to make again, and how long one has taken so far; None before the
    first.
    """

    @property
    def is_going_on(self) -> bool:
        return self.state in ACTIVE

    @property
    def reached(self) -> int | None:
        """The step that training is at: the last one, or the one that a fork has made again. -1 before a replay's
        first.
        """
        return None if self.last_step is None else self.last_step - self.to_replay

    @property
    def seconds_left(self) -> float | None:
        """Time for what is ahead, at the pace of the last few steps; None before there is a pace."""
        recent = [row["wall_seconds"] for row in self.rows[-_PACE_STEPS:] if row.get("wall_seconds") is not None]
        pace = self.seconds_a_replayed or (sum(recent) / len(recent) if recent else None)
        return None if pace is None else (self.config.steps - self.reached) * pace

    @property
    def last_step(self) -> int | None:
        return self.rows[-1]["step"] if self.rows else None

    @property
    def mean_length(self) -> float | None:
        """Measured mean solution length in tokens, None before the first step."""
        return self.rows[-1].get("length_mean") if self.rows else None


class LiveRun:
    """One run that may still grow. `look` and `solutions` may be called from any session's thread."""

    def __init__(self, store: RunStore):
        self._store = store
        self._lock = threading.Lock()
        self._created = ""
        self._sight: Sight | None = None
        self._looked_at = 0.0
        self._solutions: tuple[int, list[CreditTrace]] | None = None

    def look(self, fresh: bool = False) -> Sight:
        """The run as it is now, or (unless `fresh`) a moment ago. Raises Mistake or OSError when its folder has gone or
        cannot be read.
        """
        with self._lock:
            if fresh or self._sight is None or time.monotonic() - self._looked_at > FRESH_SECONDS:
                self._sight = self._read()
                self._looked_at = time.monotonic()
            return self._sight

    def solutions(self, step: int) -> list[CreditTrace]:
        """The solutions of a step; the newest asked for is kept. Raises Mistake when the step has none."""
        with self._lock:
            self._look_whose()
            if self._solutions is None or self._solutions[0] != step:
                self._solutions = (step, self._store.traces(step))
            return self._solutions[1]

    def _look_whose(self) -> None:
        """Forget everything, the settings too, when another run of the same name has taken this one's place."""
        created = self._store.header()["created"]
        if created != self._created:
            self._store = RunStore.open(self._store.run_dir)
            self._created, self._sight, self._solutions = created, None, None

    def _read(self) -> Sight:
        self._look_whose()
        seen, config = self._store.overview(), self._store.config()
        known = self._sight.rows if self._sight else []
        new = self._store.metrics(after=known[-1]["step"] if known else -1)
        if self._sight and not new:
            rows, curves = known, self._sight.curves
        else:
            # A new list: other sessions may still be reading the old one.
            rows = known + new
            curves = run_payload(self._store.run_id, config, rows)
        last = rows[-1]["step"] if rows else None
        made, seconds = seen.replayed or (None, 0.0)
        to_replay = forks.steps_to_replay(seen.header, last, made)
        pace = None
        if to_replay and made is not None:
            pace = seconds / (made - forks.first_replayed(seen.header) + 1)
        return Sight(self._store.run_id, config, seen.state, seen.message, rows, curves, to_replay, pace)


@st.cache_resource(max_entries=64, show_spinner=False)
def live_run(folder: str, run_id: str) -> LiveRun:
    """The shared reader of one run. Raises Mistake when there is no such run, or only half of one."""
    return LiveRun(RunStore.open(Path(folder) / run_id))


def seconds_left(sights: list[Sight]) -> float | None:
    """Time for what is ahead of a job's runs; None before there is a pace.

    They are stepped in turn, so their times add up; a run that has ended takes none.
    """
    ahead = [sight.seconds_left for sight in sights if sight.is_going_on]
    return None if None in ahead else sum(ahead)


def state_line(state: RunState, message: str) -> str:
    """State, what happened, and what to do next, as markdown. What broke off says both by itself."""
    is_said = message and state in (RunState.INTERRUPTED, RunState.DIVERGED)
    said = [as_sentence(message) if message else "", "" if is_said else RUN_STATE_ADVICE[state]]
    return " ".join(part for part in (f"**{state.capitalize()}.**", *said) if part)


def wait_words(wait: Wait, of_whom: str) -> str:
    """ "2 ahead of you, about 1 min 40 s". of_whom: "you", or whatever waits."""
    if wait.ahead == 0:
        return "next"
    said = f"{wait.ahead} ahead of {of_whom}"
    if wait.is_held:
        return f"{said}; for how long is not known while the queue, or a run ahead, holds still"
    return f"{said}, about {rough_time(wait.seconds)}" if wait.seconds is not None else f"{said}; {_NOT_MEASURED}"


def get_ready() -> None:
    """Have a training process load what a run needs, for somebody who may press Play next."""
    runs = cache.runs_dir()
    if not any(job.state in ACTIVE for job in runs.queue.jobs()):
        runs.ready_worker()
