"""The door of a class: who has given the join code comes in, and who looks is known by a cookie.

Outside of a class (`python -m vimpo_core class`) there is no door, and nothing here costs anything.
"""

from __future__ import annotations

import hmac
import os
from time import monotonic, sleep

import streamlit as st
from streamlit import runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import cache, routes
from app.components.class_cookie import class_cookie
from app.text import as_plain, as_sentence
from vimpo_core.mistake import Mistake
from vimpo_core.service.classroom import ENVIRONMENT, LONGEST_CODE, Classroom, Member

COOKIE = "vimpo-lab-class"
_TURNS: dict[str, tuple[float, float]] = {}
"""Session -> turns that it has left, and when that was; the last ones that asked."""
_SESSIONS = 2000
_BURST, _TURNS_A_SECOND = 20.0, 2.0
"""How often a browser may ask: so many at once, then so many a second."""
_UPLOADERS: set[str] = set()
"""Sessions of a class's teacher, who alone may hand files to the server."""
_TOKEN, _PROBLEM, _CODE = "class.token", "class.problem", "class.code"


BOARD, BOARD_KEY = "board", "show"
"""The page for the projector, and what its link opens it with."""


def is_class() -> bool:
    return cache.is_class()


def room() -> Classroom:
    return Classroom(cache.own_folder())


def url() -> str:
    """The address that students type."""
    return os.environ.get(ENVIRONMENT, "")


def come_in(page: str) -> bool:
    """Whether this browser may see the page of that path; otherwise the door is drawn."""
    if not is_class():
        return True
    _take_teachers_key()
    if page == BOARD and _has_board_key():
        st.session_state.pop(cache.MEMBER, None)  # whoever looks, changes nothing there
        return True
    if (member := _member()) is not None:
        st.session_state[cache.MEMBER] = member
        if member.is_teacher and (context := get_script_run_ctx()):
            _UPLOADERS.add(context.session_id)
        if token := st.session_state.get(_TOKEN):  # the cookie is there from the next visit on
            class_cookie(COOKIE, token)
        return True
    st.session_state.pop(cache.MEMBER, None)
    _door()
    return False


def take_turns() -> None:
    """No browser of a class takes more than its share: one that asks again and again waits while others work (nobody
    who clicks notices), and none clears what all share. Before anything is drawn: a run of the page that is asked for
    anew ends at the first thing that it draws, or that it looks up in its session."""
    context = get_script_run_ctx()
    if not is_class() or context is None:
        return
    _keep_caches()
    _refuse_uploads()
    now = monotonic()
    left, at = _TURNS.pop(context.session_id, (_BURST, now))
    left = min(_BURST, left + (now - at) * _TURNS_A_SECOND) - 1
    _TURNS[context.session_id] = max(left, 0.0), now
    while len(_TURNS) > _SESSIONS:
        _TURNS.pop(next(iter(_TURNS)), None)
    if left < 0:
        sleep(1 / _TURNS_A_SECOND)


def _keep_caches() -> None:
    """Streamlit lets every browser clear the caches that all share, in one message; a class has no use for that."""
    AppSession._handle_clear_cache_request = lambda session: None


def _refuse_uploads() -> None:
    """Streamlit takes files from every open page, as many as are sent, and holds them in memory; of a class the teacher
    alone is offered to bring any. Before it reads the first byte of one it asks whether there is such a session, and
    asks that nowhere else: from here on it hears of the teacher's alone."""
    server = runtime.get_instance()
    server.is_active_session = lambda session: session in _UPLOADERS and server.get_client(session) is not None


def member() -> Member | None:
    """Who looks; None outside of a class."""
    return st.session_state.get(cache.MEMBER)


def is_student() -> bool:
    """Whether a student of a class looks, who may not name files of this computer."""
    return (found := member()) is not None and not found.is_teacher


def name() -> str:
    """What a student's browser is called."""
    return found.name if (found := member()) is not None else ""


def who() -> None:
    """At the foot of every page: what this browser is called, for a student."""
    if is_student():
        st.page_link(routes.CLASSROOM, label=f"You are {as_plain(name())}", width="content")


def own_seed() -> int | None:
    """The seed of a student's runs, which no other browser of the class has; None outside of a class, and for its
    teacher."""
    return found.number if is_student() and (found := member()) else None


def board_link() -> str:
    """The address of the board for the projector. It opens nothing else."""
    return f"{url()}/{BOARD}?{BOARD_KEY}={room().board_key()}"


def hand_in(chapter: str, question: str, choice: str) -> None:
    """An answer of the course, for the class. Raises Mistake where the question is closed, StoreError."""
    if (found := member()) is not None and not found.is_teacher:
        room().hand_in(chapter, question, choice, found)


def holds(chapter: str) -> bool:
    """Whether the teacher of the class holds back the reveals of a chapter, for its students."""
    return is_student() and room().phases().get(chapter, "free") != "free"


def is_closed(chapter: str) -> bool:
    """Whether the teacher of the class takes no more answers to a chapter's questions from its students."""
    return is_student() and room().phases().get(chapter) == "closed"


def _member() -> Member | None:
    token = st.session_state.get(_TOKEN) or st.context.cookies.get(COOKIE)
    return room().member(token if isinstance(token, str) else None)


def _has_board_key() -> bool:
    key = room().board_key()
    return bool(key) and hmac.compare_digest(str(st.query_params.get(BOARD_KEY, "")).encode(), key.encode())


def _take_teachers_key() -> None:
    """The key of the teacher's link, which leaves the address at once."""
    if key := st.query_params.pop("key", None):
        try:
            st.session_state[_TOKEN] = room().join_as_teacher(key)
        except Mistake as error:
            st.session_state[_PROBLEM] = str(error)


def _door() -> None:
    st.title("VIMPO Lab", anchor=False)
    st.markdown("Your class is in here. Type the code that is on the board.")
    with st.form("class.door", border=False, width=400):
        st.text_input("Join code", key=_CODE, max_chars=LONGEST_CODE)
        st.form_submit_button("Come in", type="primary", on_click=_join)
    if problem := st.session_state.pop(_PROBLEM, None):
        st.error(as_sentence(problem), icon=":material/error:")


def _join() -> None:
    try:
        st.session_state[_TOKEN] = room().join(st.session_state[_CODE], str(st.context.ip_address or ""))
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = str(error)
