"""What a chapter asks of the scoring process: asked ahead of time, kept for all browsers, waited for when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import streamlit as st

from app import waiting

_KEPT = 64


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _place(key: tuple) -> list:
    """The place of one answer, for all browsers: empty until it came."""
    return []


def ahead(name: str, key: tuple, ask: Callable[[], Future], patience: float = 0.0) -> Any | None:
    """The answer where it has come already; else None, and it is being worked on.

    Args:
        name: of the request in this session: a new one under the same name cancels the old one.
        key: what is asked, hashable; ask: sends it (a method of `scoring.scoring_service()`).
        patience: seconds to wait for it at once.
    """
    if _place(key):
        return _place(key)[0]
    request = waiting.pending(name)
    if request is None or request.asked != key:
        request = waiting.send(name, key, ask, patience)
    is_done = request is not None and request.future.done() and not request.future.cancelled()
    if is_done and request.future.exception() is None:
        _place(key).append(request.future.result())
        return _place(key)[0]
    return None


def wait_for(name: str, key: tuple, ask: Callable[[], Future], doing: str, limit: float) -> Any | None:
    """The answer, or progress with Cancel until it comes; None meanwhile, and after a failure that is said on the page.

    doing: what the progress bar says; limit: seconds, the `timeout` that `ask` passes on.
    """
    answer = ahead(name, key, ask)
    if answer is not None:
        return answer
    request = waiting.pending(name)
    if request is None:
        return None
    if not request.future.done():
        waiting.wait(request, doing, limit)
        return None
    waiting.result(
        request,
        cancelled="Cancelled: nothing was measured.",
        too_long=f"This took longer than {limit:g} s and was ended.",
        ended="The scoring process ended unexpectedly.",
    )
    if st.button("Try again", icon=":material/refresh:", key=f"{name}.again"):
        waiting.forget(name)
        st.rerun()
    return None
