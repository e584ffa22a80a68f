"""What a teacher's link fixes: controls that are hidden with the value they keep, large type, the word that unlocks.

    ?chapter=2&hide=step:20,onward&large=1&lock=9f86d081

A hidden control's value stands behind its name in `hide`; the same name elsewhere in the address is not looked at. A
link is a convenience and not a wall: whoever opens the course from the menu has every control.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import streamlit as st

LARGE, HIDE, LOCK, CHAPTER = "large", "hide", "lock", "chapter"
ONWARD = "onward"
"""Hides the contents and the next chapter."""
_LOCK_DIGITS = 8
_UNLOCKED, _TEACHER = "course.unlocked", "course.teacher"


@dataclass(frozen=True)
class Link:
    """hidden: control -> the text of the value it keeps; lock: `lock_of` the word, "" for none."""

    hidden: dict[str, str] = field(default_factory=dict)
    is_large: bool = False
    lock: str = ""
    is_held: bool = False
    """A class's teacher holds the reveals back (`gate.holds`); no part of an address."""

    def query(self) -> dict[str, str]:
        """Its query parameters, without the chapter and the controls that stay visible."""
        parts = [f"{name}:{value}" if value else name for name, value in self.hidden.items()]
        found = {HIDE: ",".join(parts), LARGE: "1" if self.is_large else "", LOCK: self.lock}
        return {name: value for name, value in found.items() if value}

    def reader_query(self) -> dict[str, str]:
        """What of it goes along when the reader moves on: the large type, and nothing that was fixed for one
        chapter.
        """
        return {LARGE: "1"} if self.is_large else {}

    @property
    def is_unlocked(self) -> bool:
        """Whether what follows a prediction may be seen: the class goes on, and there is no lock, or this session has
        the word."""
        return not self.is_held and (not self.lock or self.lock in st.session_state.get(_UNLOCKED, ()))


def current() -> Link:
    """The link of the address."""
    parts = st.query_params.get(HIDE, "").split(",")
    hidden = {name: value for name, _, value in (part.partition(":") for part in parts) if name}
    return Link(hidden, st.query_params.get(LARGE) == "1", st.query_params.get(LOCK, ""))


def lock_of(word: str) -> str:
    """The short hash of a word, however it is capitalised and spaced; "" for none."""
    word = "".join(word.split()).casefold()
    return hashlib.sha256(f"vimpo-lab {word}".encode()).hexdigest()[:_LOCK_DIGITS] if word else ""


def is_lock(lock: str) -> bool:
    """Whether some word can have this hash."""
    return len(lock) == _LOCK_DIGITS and set(lock) <= set("0123456789abcdef")


def unlock(lock: str) -> None:
    """Let this session see what follows a prediction under this lock."""
    st.session_state[_UNLOCKED] = {*st.session_state.get(_UNLOCKED, ()), lock}


def as_teacher(lock: str) -> None:
    """Lock again in this session, with a button instead of the word."""
    st.session_state[_UNLOCKED] = st.session_state.get(_UNLOCKED, set()) - {lock}
    st.session_state[_TEACHER] = lock


def is_teacher_of(lock: str) -> bool:
    """Whether this session opened the link as its teacher."""
    return st.session_state.get(_TEACHER) == lock
