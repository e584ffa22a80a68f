"""What goes wrong, reproduced: choose one, predict, press, and watch it happen by real training in a process of its
own.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import waiting
from app.components.curve_plots import curve_plots
from app.components.part import part
from app.components.words_explained import words_explained
from app.text import as_plain, as_sentence
from vimpo_core.files import in_words
from vimpo_core.labs.failures import FAILURES, Failure, Point
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.service.labs import Told, lab_service

LIMIT_SECONDS = 90
WORDS = (
    *("actor", "adam", "batch", "dead-group", "gradient", "kl", "nat", "reinforce", "surrogate", "token", "whitened"),
    *("policy", "reference", "actor_coef", "beta", "rho", "kappa", "td_terms", "ratio", "value_loss"),
)
"""What their texts say, in the glossary."""
_TICK_SECONDS = 0.3
_GONE_SECONDS = 3.0
"""A browser that has not asked for that long looks no more."""
_LEFT_SECONDS = 15.0
"""A demonstration that nobody has looked at for that long is given up."""
_KEPT = 64


@dataclass
class Demonstration:
    """One run of a failure, shared by everybody who looks at it; safe to share between threads."""

    told: Told
    future: Future
    _seen: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _points: list[Point] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self):
        self.future.add_done_callback(lambda _: self.so_far())

    def so_far(self) -> list[Point]:
        """What has been measured; kept here when it is done, and its file goes."""
        with self._lock:
            if self._points is not None:
                return self._points
            is_done = self.future.done()
            found = self.told.so_far()
            if is_done:
                self._points = found
                self.told.close()
            return found

    def looked_at_by(self, session: str) -> None:
        with self._lock:
            self._seen[session] = time.monotonic()

    def is_left_to_others(self, session: str) -> bool:
        """This session looks no more. True if another one still does."""
        with self._lock:
            self._seen.pop(session, None)
            return any(time.monotonic() - at < _GONE_SECONDS for at in self._seen.values())


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> None:
    """Let the process that trains start before the first demonstration."""
    lab_service().warm_up_failures()


_lock = threading.Lock()


def _demonstrations() -> dict[tuple[str, int], Demonstration]:
    return _demonstrations_on(bases.stamp("bundled"))


@st.cache_resource(max_entries=1, show_spinner=False)
def _demonstrations_on(model: tuple) -> dict[tuple[str, int], Demonstration]:
    """Those that were made with the bundled model as its files are now."""
    return {}


def show(key: str, seed: int) -> None:
    """A failure's question, its button, and what is measured, as it comes."""
    failure = FAILURES[key]
    st.markdown(f"#### {as_plain(failure.title)}")
    st.markdown(f"**Before you press:** {as_plain(failure.question)}")
    st.caption(f"{as_plain(failure.setup)}, seed {seed}. Compared: {as_plain(' · '.join(failure.settings))}.")
    words_explained(*WORDS)
    running = _demonstrations().get((key, seed))
    if running is None or running.future.cancelled() or _is_left(key, seed, running):
        st.button(
            "Show it",
            type="primary",
            icon=":material/play_arrow:",
            key=f"failures.show.{key}.{seed}",
            on_click=_start,
            args=(key, seed),
        )
        if problem := st.session_state.pop(_problem_key(key, seed), None):
            st.warning(as_sentence(problem), icon=":material/error:")
        return
    is_live = not running.future.done()
    part(_watch, run_every=_TICK_SECONDS if is_live else None)(key, seed, is_live)


def _left(key: str, seed: int) -> str:
    """Where a session keeps the demonstration that it cancelled for itself alone."""
    return f"failures.left.{key}.{seed}"


def _is_left(key: str, seed: int, running: Demonstration) -> bool:
    return st.session_state.get(_left(key, seed)) is running


def _problem_key(key: str, seed: int) -> str:
    return f"failures.problem.{key}.{seed}"


def _session() -> str:
    return get_script_run_ctx().session_id


def _is_looked_at(seen: dict[str, float]) -> bool:
    return any(time.monotonic() - at < _LEFT_SECONDS for at in list(seen.values()))


def _start(key: str, seed: int) -> None:
    """Start it, unless another browser did meanwhile: then both look at the same one."""
    st.session_state.pop(_left(key, seed), None)
    with _lock:
        running = _demonstrations().get((key, seed))
        if running is not None and not running.future.cancelled():
            return
        try:
            told, seen = Told(), {_session(): time.monotonic()}
            who = {"asker": _session(), "is_wanted": partial(_is_looked_at, seen)}
            future = lab_service().reproduce(key, seed, told, timeout=LIMIT_SECONDS, **who)
        except (OSError, RuntimeError) as error:
            st.session_state[_problem_key(key, seed)] = (
                f"The training could not be started. {as_sentence(in_words(error).rstrip('.'))}. Try it again."
            )
            return
        _demonstrations()[key, seed] = Demonstration(told, future, seen)
        for old in [at for at, other in _demonstrations().items() if other.future.done()][:-_KEPT]:
            _demonstrations().pop(old)


def _cancel(key: str, seed: int) -> None:
    """Stop looking; who looks last ends the training."""
    with _lock:
        running = _demonstrations().get((key, seed))
        if running is None or running.future.done():
            return
        if running.is_left_to_others(_session()):
            st.session_state[_left(key, seed)] = running
            return
        _demonstrations().pop((key, seed), None)
    running.future.cancel()
    lab_service().warm_up_failures()  # its process is killed: the next one starts now, not at the next press


def _again(key: str, seed: int, old: Demonstration) -> None:
    with _lock:
        if _demonstrations().get((key, seed)) is old:  # else somebody else pressed it just now
            _demonstrations().pop((key, seed), None)
    _start(key, seed)


def _watch(key: str, seed: int, was_live: bool) -> None:
    failure, running = FAILURES[key], _demonstrations().get((key, seed))
    if running is None or running.future.done() == was_live or _is_left(key, seed, running):
        st.rerun()
    running.looked_at_by(_session())
    points = running.so_far()
    if was_live:
        _progress(failure, seed, running, points)
    curve_plots(failure.plots, points, key=f"failures.plots.{key}.{seed}")
    if not was_live:
        _finish(failure, seed, running, points)


def _progress(failure: Failure, seed: int, running: Demonstration, points: list[Point]) -> None:
    updates = failure.configs[0].steps
    last = max((p["x"] for p in points if failure.plots[p["plot"]].x_label == "updates"), default=None)
    seconds = time.monotonic() - running.started
    if last is not None:
        doing = f"training, update {last} of {updates}, {seconds:.0f} s"
    elif running.future.running():
        doing = f"starting, {seconds:.0f} s"
    else:
        before = waiting.questions(running.future) or "waiting until another failure has been shown"
        doing = f"{before}, {seconds:.0f} s"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(1.0, (last or 0) / updates), doing)
        st.button("Cancel", key=f"failures.cancel.{failure.key}.{seed}", on_click=_cancel, args=(failure.key, seed))


def _finish(failure: Failure, seed: int, running: Demonstration, points: list[Point]) -> None:
    if problem := _problem(running.future):
        st.warning(as_sentence(problem), icon=":material/error:")
    else:
        st.markdown(failure.verdict(points))
        st.markdown(f"**Why.** {as_plain(failure.why)}")
        st.markdown(f"**Way out.** {as_plain(failure.way_out)}")
    st.button(
        "Run it again",
        icon=":material/refresh:",
        key=f"failures.again.{failure.key}.{seed}",
        on_click=_again,
        args=(failure.key, seed, running),
        help="The same seed gives the same numbers. Choose another to see what is luck.",
    )


def _problem(future: Future) -> str:
    """Why a demonstration came to no result, "" if it did."""
    try:
        future.result(timeout=0)
    except CancelledError:
        return "Cancelled: what was measured until then stands above."
    except TimeoutError:
        return f"This took longer than {LIMIT_SECONDS} s and was ended. Try it again when the machine is less busy."
    except Mistake as error:
        return str(error)
    except Exception as error:
        return f"The training ended unexpectedly ({type(error).__name__}). Run it again."
    return ""
