"""What goes wrong, reproduced: choose one, predict, press, and watch it happen by real training in a process of its own."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

import streamlit as st

from app.components.curve_plots import curve_plots
from app.text import as_plain, as_sentence
from vimpo_core.failures import FAILURES, Failure, Point
from vimpo_core.lab_service import Told, lab_service

SEED = 0
LIMIT_SECONDS = 90
_TICK_SECONDS = 0.3


@dataclass
class Demonstration:
    """One run of a failure, shared by everybody who looks at it. points: all, once it is done."""

    told: Told
    future: Future
    started: float = field(default_factory=time.monotonic)
    points: list[Point] | None = None

    def so_far(self) -> list[Point]:
        """What has been measured; kept here when it is done, and its file goes."""
        if self.points is not None:
            return self.points
        is_done = self.future.done()
        found = self.told.so_far()
        if is_done:
            self.points = found
            self.told.close()
        return found


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> None:
    """Let the process that trains start before the first demonstration."""
    lab_service().warm_up_failures()


_lock = threading.Lock()


@st.cache_resource(max_entries=1, show_spinner=False)
def _demonstrations() -> dict[tuple[str, int], Demonstration]:
    return {}


def show(key: str) -> None:
    """A failure's question, its button, and what is measured, as it comes."""
    failure = FAILURES[key]
    st.markdown(f"#### {as_plain(failure.title)}")
    st.markdown(f"**Before you press:** {as_plain(failure.question)}")
    st.caption(f"{as_plain(failure.setup)}, seed {SEED}. Compared: {as_plain(' · '.join(failure.settings))}.")
    running = _demonstrations().get((key, SEED))
    if running is None:
        if st.button("Show it", type="primary", icon=":material/play_arrow:", key=f"failures.show.{key}"):
            _start(key)
            st.rerun()
        return
    is_live = not running.future.done()
    st.fragment(_watch, run_every=_TICK_SECONDS if is_live else None)(key, is_live)


def _start(key: str) -> None:
    """Start it, unless another browser did meanwhile: then both look at the same one."""
    with _lock:
        if (key, SEED) not in _demonstrations():
            told = Told()
            future = lab_service().reproduce(key, SEED, told, timeout=LIMIT_SECONDS)
            _demonstrations()[key, SEED] = Demonstration(told, future)


def _forget(key: str) -> None:
    demonstration = _demonstrations().pop((key, SEED), None)
    if demonstration is not None:
        was_cut_off = demonstration.future.cancel()
        demonstration.told.close()
        if was_cut_off:  # its process is killed: the next one starts now, not at the next press
            lab_service().warm_up_failures()


def _watch(key: str, was_live: bool) -> None:
    failure, running = FAILURES[key], _demonstrations().get((key, SEED))
    if running is None or running.future.done() == was_live:
        st.rerun()
    points = running.so_far()
    if was_live:
        _progress(failure, running, points)
    curve_plots(failure.plots, points, key=f"failures.plots.{key}")
    if not was_live:
        _finish(failure, running, points)


def _progress(failure: Failure, running: Demonstration, points: list[Point]) -> None:
    last = max((point["x"] for point in points if point["plot"] == 0), default=0)
    seconds = time.monotonic() - running.started
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(
            min(1.0, last / failure.plots[0].x_max),
            f"training, update {last} of {failure.plots[0].x_max}, {seconds:.0f} s",
        )
        st.button("Cancel", key=f"failures.cancel.{failure.key}", on_click=_forget, args=(failure.key,))


def _finish(failure: Failure, running: Demonstration, points: list[Point]) -> None:
    if problem := _problem(running.future):
        st.warning(as_sentence(problem), icon=":material/error:")
    else:
        st.markdown(failure.verdict(points))
        st.markdown(f"**Why.** {as_plain(failure.why)}")
        st.markdown(f"**Way out.** {as_plain(failure.way_out)}")
    st.button(
        "Run it again", icon=":material/refresh:", key=f"failures.again.{failure.key}", on_click=_forget,
        args=(failure.key,), help="The same seed gives the same numbers.",
    )  # fmt: skip


def _problem(future: Future) -> str:
    """Why a demonstration came to no result, "" if it did."""
    try:
        future.result(timeout=0)
    except CancelledError:
        return "Cancelled: what was measured until then stands above."
    except TimeoutError:
        return f"This took longer than {LIMIT_SECONDS} s and was ended. Try it again when the machine is less busy."
    except ValueError as error:
        return str(error)
    except Exception as error:
        return f"The training ended unexpectedly ({type(error).__name__}). Run it again."
    return ""
