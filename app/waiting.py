"""Asking a service process and waiting, with progress and Cancel, while the page stays usable; answers are kept for all
browsers.

A `Question` says what is asked and all that a page says about it. A session has one request a name: a new one cancels
the old one. A page that asks by itself calls `answer`; one that asks at a press calls `send` there, then
`answer(pending(name))`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pebble import ProcessExpired

from app.components.part import part
from app.text import BUG, as_sentence
from vimpo_core.files import is_of_the_system
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import percent
from vimpo_core.service import scoring
from vimpo_core.service.progress import Progress

_TICK_SECONDS = 0.3
_KEPT = 256


@dataclass(frozen=True)
class Question:
    """What is asked of a service process, and what a page says while it waits and when nothing comes of it.

    name: of the request in this session.
    key: what is asked, hashable; what a run is asked starts with its `cache.origin`. Name and key keep the answer.
    ask: sends it, with `timeout` (and `progress`, where `tells_progress`) as further arguments.
    doing: what the progress bar says. limit: seconds.
    if_long, if_ended: what to do then. again: the button that asks again; "" where the page has another way.
    """

    name: str
    key: tuple
    ask: Callable[..., Future]
    doing: str
    limit: float
    cancelled: str = "Cancelled: nothing was measured."
    if_long: str = ""
    if_ended: str = ""
    again: str = "Try again"
    tells_progress: bool = False
    process: str = "scoring process"


@dataclass
class _Request:
    question: Question
    future: Future
    started: float
    progress: Progress | None
    begun: float | None = None
    """When the process took it up: until then it stands behind others, and its limit does not run."""
    is_over: bool = False
    """As `ahead` saw it last."""


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> None:
    """Let the scoring process start before something is asked of it."""
    scoring.scoring_service().warm_up()


@st.cache_resource(max_entries=1, show_spinner=False)
def _answers() -> dict[tuple[str, tuple], Any]:
    """Name and key of a question -> its answer, for all browsers, the oldest first."""
    return {}


def _keep(question: Question, answer: Any) -> None:
    answers = _answers()
    answers[question.name, question.key] = answer
    for old in list(answers)[:-_KEPT]:
        answers.pop(old, None)


def kept(question: Question) -> Any | None:
    """The answer, if it has come to anybody."""
    return _answers().get((question.name, question.key))


def pending(name: str) -> Question | None:
    """What this session asked last under a name, answered or not."""
    request = st.session_state.get(name)
    return request and request.question


def forget(name: str) -> None:
    st.session_state.pop(name, None)


def cancel(name: str) -> None:
    if request := st.session_state.get(name):
        request.future.cancel()


def send(question: Question, patience: float = 0.0) -> None:
    """Ask in place of what was asked under the name before, unless the answer is kept.

    patience: seconds to wait at once, so that a quick answer is drawn without a sign of waiting.
    """
    cancel(question.name)
    progress = None
    if (answer := kept(question)) is not None:
        future = Future()
        future.set_result(answer)
    elif question.tells_progress:
        progress = Progress()
        future = question.ask(timeout=question.limit, progress=progress)
    else:
        future = question.ask(timeout=question.limit)
    st.session_state[question.name] = _Request(question, future, time.monotonic(), progress)
    futures.wait([future], timeout=patience)


def ahead(question: Question, patience: float = 0.0) -> Any | None:
    """The answer where it has come already; else None, and it is asked for unless this session did before."""
    if (answer := kept(question)) is not None:
        return answer
    if (asked := pending(question.name)) is None or asked.key != question.key:
        send(question, patience)
    request = st.session_state[question.name]
    request.is_over = request.future.done()
    if not request.is_over or request.future.cancelled() or request.future.exception() is not None:
        return None
    _keep(question, request.future.result())
    return kept(question)


def is_underway(question: Question) -> bool:
    """Whether this session was waiting for the answer when it last looked."""
    asked = pending(question.name)
    return asked is not None and asked.key == question.key and not st.session_state[question.name].is_over


def answer(question: Question, patience: float = 0.0) -> Any | None:
    """The answer, or progress with Cancel until it comes; None meanwhile, and after a failure that is said on the
    page.
    """
    found = ahead(question, patience)
    if found is None and is_underway(question):
        part(_wait, run_every=_TICK_SECONDS)(st.session_state[question.name])
    elif found is None:
        say_why_not(question)
        name, label = question.name, question.again
        if label:
            st.button(label, icon=":material/refresh:", key=f"{name}.again", on_click=forget, args=(name,))
    return found


def say_why_not(question: Question) -> None:
    """A sentence on why what was asked came to nothing."""
    try:
        st.session_state[question.name].future.result(timeout=0)
    except CancelledError:
        st.info(question.cancelled)
    except TimeoutError:
        _warn(f"This took longer than {question.limit:g} s and was ended. {question.if_long}")
    except Mistake as error:
        _warn(as_sentence(error))
    except ProcessExpired:
        _warn(f"The {question.process} ended unexpectedly. {question.if_ended}")
    except Exception as bug:
        if is_of_the_system(bug):
            _warn(as_sentence(bug))
            return
        st.error(BUG, icon=":material/bug_report:")
        st.exception(bug)


def _warn(sentence: str) -> None:
    st.warning(sentence.rstrip(), icon=":material/error:")


def _wait(request: _Request) -> None:
    if request.future.done():
        st.rerun()
    _draw_progress(request)


def show_progress(question: Question) -> None:
    """How far this session's request is, with Cancel; for a page that looks again by itself."""
    _draw_progress(st.session_state[question.name])


def _draw_progress(request: _Request) -> None:
    share, said = _how_far(request, time.monotonic())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(1.0, share), f"{request.question.doing}, {said}")
        st.button("Cancel", on_click=request.future.cancel)


def _how_far(request: _Request, now: float) -> tuple[float, str]:
    """Share done, and how long it has been worked on; before the process takes it up, how long it has waited for
    that.
    """
    share = request.progress.share() if request.progress else 0.0
    if request.begun is None and (share or request.future.running()):
        request.begun = now
    if request.begun is None:
        return 0.0, f"behind what was asked before, {now - request.started:.0f} s"
    worked = now - request.begun
    if request.progress is None:
        return worked / request.question.limit, f"{worked:.0f} of at most {request.question.limit:g} s"
    left = f", about {worked * (1 - share) / share:.0f} s left" if share > 0.05 else ""
    return share, f"{percent(share)} after {worked:.0f} s{left}"
