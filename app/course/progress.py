"""What the reader has answered: kept in the reader's own browser, a record a chapter, and in this session while it
lasts.

Nothing of it is stored by the server. What comes back from the browser may have been changed by anybody: only answers
that the chapters' own questions offer are taken over.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.components.browser_store import browser_store

_ANSWERS, _CHANGED, _IS_LOADED, _UNTOLD = "course.answers", "course.changed", "course.loaded", "course.untold"
_MOST_DETAILS, _MOST_DETAIL = 4, 10_000


@dataclass(frozen=True)
class Answer:
    """What was committed to: the key of an option; `details`: a few whole numbers that say more, such as the marked
    token.
    """

    choice: str
    details: tuple[int, ...] = ()


def answer(chapter: str, question: str) -> Answer | None:
    """The reader's answer to a question of a chapter; None before one was given."""
    return _answers().get(chapter, {}).get(question)


def keep(chapter: str, question: str, choice: str, details: tuple[int, ...] = ()) -> None:
    """Keep an answer, for good: the reveal follows from it."""
    _answers().setdefault(chapter, {})[question] = Answer(choice, details)
    _note(chapter)


def reset(chapter: str) -> None:
    """Forget a chapter's answers."""
    _answers().pop(chapter, None)
    _note(chapter)


def reset_all() -> None:
    """Forget every answer."""
    for chapter in list(_answers()):
        reset(chapter)


def everything() -> dict[str, dict[str, Answer]]:
    """chapter -> question -> answer."""
    return _answers()


def is_done(chapter) -> bool:
    """Whether every question of a `chapters.Chapter` was answered."""
    given = _answers().get(chapter.key)
    return bool(given) and all(question.key in given for question in chapter.questions)


def is_untold() -> bool:
    """Whether the browser has not been told of the newest change: a part of the page ran again, and not the whole."""
    return st.session_state.get(_UNTOLD, False)


def in_browser(chapters) -> None:
    """Take over what the browser kept, once a session, and let it keep what was answered since. Call once a page."""
    st.session_state[_UNTOLD] = False
    is_loaded = st.session_state.get(_IS_LOADED, False)
    held = browser_store(_changes(), is_known=is_loaded, key="course.store")
    if held is None or is_loaded:
        return
    st.session_state[_IS_LOADED] = True
    found = _valid(held, chapters)
    # What was answered in this session before the browser spoke is newer.
    st.session_state[_ANSWERS] = {key: found.get(key, {}) | _answers().get(key, {}) for key in {*found, *_answers()}}
    if found:
        st.rerun()


def _answers() -> dict[str, dict[str, Answer]]:
    return st.session_state.setdefault(_ANSWERS, {})


def _note(chapter: str) -> None:
    st.session_state.setdefault(_CHANGED, set()).add(chapter)
    st.session_state[_UNTOLD] = True


def _changes() -> dict[str, dict | None]:
    """The records changed in this session, None for one that was reset: no other tab's records are touched."""
    return {
        chapter: {question: [given.choice, list(given.details)] for question, given in _answers()[chapter].items()}
        if chapter in _answers()
        else None
        for chapter in sorted(st.session_state.get(_CHANGED, ()))
    }


def _valid(held: dict, chapters) -> dict[str, dict[str, Answer]]:
    """Of what the browser holds, the answers to questions that exist."""
    found: dict[str, dict[str, Answer]] = {}
    for chapter in chapters:
        record = held.get(chapter.key)
        for question in chapter.questions if isinstance(record, dict) else ():
            match record.get(question.key):
                case [str() as choice, list() as details] if _fits(question, choice, details):
                    found.setdefault(chapter.key, {})[question.key] = Answer(choice, tuple(details))
    return found


def _fits(question, choice: str, details: list) -> bool:
    is_small = len(details) <= _MOST_DETAILS and all(type(d) is int and 0 <= d < _MOST_DETAIL for d in details)
    return is_small and any(option.key == choice for option in question.options)
