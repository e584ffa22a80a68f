"""Asking the service process for something and waiting for it, with progress and Cancel, while the page stays usable."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pebble import ProcessExpired

from app.text import BUG, as_sentence
from vimpo_core.mistake import Mistake
from vimpo_core.service import scoring

_TICK_SECONDS = 0.3


@dataclass
class Request:
    """One request of a session: what was asked, its future, when it was sent."""

    asked: tuple
    future: Future
    started: float
    share: Callable[[], float] | None = None
    """Of the work done, 0 to 1, where the work says so."""


def pending(key: str) -> Request | None:
    """The session's request under this key, done or not."""
    return st.session_state.get(key)


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> None:
    """Let the scoring process start before something is asked of it."""
    scoring.scoring_service().warm_up()


def send(
    key: str,
    asked: tuple,
    ask: Callable[[], Future],
    patience: float = 0.0,
    share: Callable[[], float] | None = None,
) -> Request | None:
    """Ask for something new under this key; what was asked for before is cancelled. None after a sentence on the page.

    patience: seconds to wait at once, so that a quick answer is drawn without a sign of waiting.
    share: tells the share done, see `Request`.
    """
    if (old := pending(key)) is not None:
        old.future.cancel()
    try:
        future = ask()
    except Mistake as error:
        st.warning(as_sentence(error), icon=":material/error:")
        return None
    st.session_state[key] = Request(asked, future, time.monotonic(), share)
    if patience:
        futures.wait([future], timeout=patience)
    return st.session_state[key]


def forget(key: str) -> None:
    st.session_state.pop(key, None)


def wait(request: Request, doing: str, limit: float) -> None:
    """Progress and Cancel until the request is done; then the page runs again."""
    st.fragment(_wait, run_every=_TICK_SECONDS)(request, doing, limit)


def result(request: Request, cancelled: str, too_long: str, ended: str) -> Any | None:
    """What a request that is done has to say; None after a sentence: `cancelled`, `too_long`, `ended`, or a Mistake's own."""
    try:
        return request.future.result(timeout=0)
    except CancelledError:
        st.info(cancelled)
    except TimeoutError:
        st.warning(too_long, icon=":material/error:")
    except Mistake as error:
        st.warning(as_sentence(error), icon=":material/error:")
    except ProcessExpired:
        st.warning(ended, icon=":material/error:")
    except Exception as bug:
        st.error(BUG, icon=":material/bug_report:")
        st.exception(bug)
    return None


def _wait(request: Request, doing: str, limit: float) -> None:
    if request.future.done():
        st.rerun()
    waited = time.monotonic() - request.started
    with st.container(horizontal=True, vertical_alignment="center"):
        if request.share is None:
            st.progress(min(1.0, waited / limit), f"{doing}, {waited:.0f} of at most {limit:g} s")
        else:
            share = request.share()
            left = f", about {waited * (1 - share) / share:.0f} s left" if share > 0.05 else ""
            st.progress(share, f"{doing}, {share:.0%} after {waited:.0f} s{left}")
        st.button("Cancel", on_click=request.future.cancel)
