"""Asking a service process and waiting, with progress and Cancel, while the page stays usable; answers are kept for all
browsers.

A `Question` says what is asked and all that a page says about it. A session has one request a name: a new one cancels
the old one. A page that asks by itself calls `answer`; one that asks at a press calls `send` there, then
`answer(pending(name))`. What no page asks for any more, or somebody else was told meanwhile, is not worked on.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Hashable
from concurrent import futures
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import cache
from app.components.part import part
from app.text import BUG, as_sentence
from vimpo_core.files import is_of_the_system
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import percent
from vimpo_core.service import scoring
from vimpo_core.service.helper_process import ENDED, Asked
from vimpo_core.service.progress import Progress

_TICK_SECONDS, _TICK_AHEAD, _LONGEST_TICK = 0.3, 0.05, 3.0
"""How often a page looks for its answer: the more questions are ahead of it the less often, as fifty pages that look
three times a second leave the server time for nothing else."""
_KEPT, _KEPT_BYTES = 256, 32_000_000
"""How many answers are kept, and how much they may weigh together as they came; in memory some twice that."""
_GONE_SECONDS = 10.0
"""A browser that is away for longer has closed the page: a bad line is back sooner."""
_LOOKED = "waiting.looked"


@dataclass(frozen=True)
class Question:
    """What is asked of a service process, and what a page says while it waits and when nothing comes of it.

    name: of the request in this session.
    key: what is asked, hashable; what a run is asked starts with its `cache.origin`. Name and key keep the answer.
    ask: sends it, with what `HelperProcess.ask` takes as further arguments: `timeout`, `asker`, `is_wanted`, and
        `progress`, where `tells_progress`.
    until: it is given up when the page is left ("page"), or its browser is gone for good ("browser"), or never ("end").
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
    until: Literal["page", "browser", "end"] = "page"


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
    is_cancelled: bool = False
    """By the reader; what was given up as the page was away is asked anew when it is back."""

    def cancel(self) -> None:
        self.is_cancelled = True
        self.future.cancel()


def _ahead(future: Future) -> int:
    """How many questions are before it, in the queue of a process."""
    return future.ahead() if isinstance(future, Asked) else 0


class _Answers:
    """Name and key of a question -> its answer, for all browsers: the newest, as many as may be kept."""

    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[Any, int]] = {}
        self._lock = threading.Lock()

    def __contains__(self, asked: Hashable) -> bool:
        return asked in self._found

    def get(self, asked: Hashable) -> Any | None:
        return self._found.get(asked, (None, 0))[0]

    def keep(self, asked: Hashable, answer: Any) -> None:
        weight = len(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        with self._lock:
            self._found.pop(asked, None)
            self._found[asked] = answer, weight
            total = sum(weight for _, weight in self._found.values())
            for old in list(self._found)[:-1]:
                if len(self._found) <= _KEPT and total <= _KEPT_BYTES:
                    break
                total -= self._found.pop(old)[1]

    def keep_result(self, asked: Hashable, future: Future) -> None:
        if not future.cancelled() and future.exception() is None:
            self.keep(asked, future.result())


class _Wanted:
    """Whether somebody still waits for an answer: the browser is there, and nobody else was told it. For any thread."""

    def __init__(self, session: str, asked: Hashable, answers: _Answers):
        self._session, self._asked, self._answers = session, asked, answers
        self._seen = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if not runtime.exists() or runtime.get_instance().get_client(self._session) is not None:
            self._seen = now
        return now - self._seen < _GONE_SECONDS and self._asked not in self._answers


@st.cache_resource(max_entries=1, show_spinner=False)
def warm_up() -> None:
    """Let the scoring process start before something is asked of it. Where it cannot, whoever asks is told."""
    with suppress(OSError):
        scoring.scoring_service().warm_up()


@st.cache_resource(max_entries=1, show_spinner=False)
def _answers() -> _Answers:
    return _Answers()


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
        request.cancel()


def begin_page() -> None:
    """Before a page is drawn."""
    st.session_state[_LOOKED] = set()


def end_page() -> None:
    """After a whole page was drawn: what was asked for a page, and this one did not look at, nobody waits for."""
    looked = st.session_state.get(_LOOKED, ())
    for name, request in list(st.session_state.items()):
        is_left = isinstance(request, _Request) and request.question.until == "page" and name not in looked
        if is_left and not request.future.done():
            request.cancel()
            forget(name)


def send(question: Question, patience: float = 0.0) -> None:
    """Ask in place of what was asked under the name before, unless the answer is kept.

    patience: seconds to wait at once, so that a quick answer is drawn without a sign of waiting.
    """
    cancel(question.name)
    asked, answers, progress = (question.name, question.key), _answers(), None
    _look_at(question.name)
    if (answer := answers.get(asked)) is not None:
        future = Future()
        future.set_result(answer)
    else:
        how: dict[str, Any] = {"timeout": question.limit, "asker": _asker()}
        if question.until != "end":
            how["is_wanted"] = _Wanted(_session(), asked, answers)
        if question.tells_progress:
            how["progress"] = progress = Progress()
        future = question.ask(**how)
        future.add_done_callback(partial(answers.keep_result, asked))
    st.session_state[question.name] = _Request(question, future, time.monotonic(), progress)
    futures.wait([future], timeout=patience)


def _session() -> str:
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context else ""


def _asker() -> Hashable:
    """Whose turn it is, in the queue of a process: a browser's of a class, else a tab's."""
    member = st.session_state.get(cache.MEMBER)
    return _session() if member is None else member.number


def _look_at(name: str) -> None:
    st.session_state.setdefault(_LOOKED, set()).add(name)


def ahead(question: Question, patience: float = 0.0) -> Any | None:
    """The answer where it has come already; else None, and it is asked for unless this session did before."""
    asked = st.session_state.get(question.name)
    is_asked = asked is not None and asked.question.key == question.key
    if (answer := kept(question)) is not None:
        if is_asked:
            asked.is_over = True
        return answer
    if not is_asked or (asked.future.cancelled() and not asked.is_cancelled):
        send(question, patience)
    _look_at(question.name)
    request = st.session_state[question.name]
    request.is_over = request.future.done()
    if not request.is_over or request.future.cancelled() or request.future.exception() is not None:
        return None
    _answers().keep_result((question.name, question.key), request.future)
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
        part(_wait, run_every=tick(question))(st.session_state[question.name])
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
    except ENDED:
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
        st.button("Cancel", on_click=request.cancel)


def place(question: Question) -> str:
    """Where this session's request stands, as "3 questions ahead"; "" once it is worked on or where it was not sent."""
    request = st.session_state.get(question.name)
    return questions(request.future) if request and request.question.key == question.key else ""


def tick(question: Question) -> float:
    """Seconds after which to look for the answer again."""
    request = st.session_state.get(question.name)
    return min(_LONGEST_TICK, _TICK_SECONDS + _TICK_AHEAD * (_ahead(request.future) if request else 0))


def questions(future: Future) -> str:
    """ "3 questions ahead", of what has been asked of a process; "" where there are none."""
    before = _ahead(future)
    return f"{before} question{'' if before == 1 else 's'} ahead" if before else ""


def _how_far(request: _Request, now: float) -> tuple[float, str]:
    """Share done, and how long it has been worked on; before the process takes it up, how many questions are before it
    and how long it has waited.
    """
    share = request.progress.share() if request.progress else 0.0
    if request.begun is None and (share or request.future.running()):
        request.begun = now
    if request.begun is None:
        return 0.0, f"{questions(request.future) or 'the process is starting'}, {now - request.started:.0f} s"
    worked = now - request.begun
    if request.progress is None:
        return worked / request.question.limit, f"{worked:.0f} of at most {request.question.limit:g} s"
    left = f", about {worked * (1 - share) / share:.0f} s left" if share > 0.05 else ""
    return share, f"{percent(share)} after {worked:.0f} s{left}"
