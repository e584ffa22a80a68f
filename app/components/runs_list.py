"""The list of runs, which is searched, sorted, filtered and ticked in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components.assets import as_data, register
from vimpo_core.runs.labels import LONGEST_NOTE, LONGEST_TAG
from vimpo_core.runs.names import LONGEST_NAME

SORTS = tuple(f"{way}{name}" for name in ("made", "name", "state", "step", "first", "last") for way in ("-", ""))
"""What the rows may be sorted by, as in the address; the first is how they come."""
LONGEST_SEARCH = 100
_ACTIONS = ("undo", "delete", "tag", "save", "resume", "unfollow")
_MOST_KEYS = 5000

_mount = register("runs_list")


def runs_list(payload: dict[str, Any], key: str, on_view: Callable[[], None], on_act: Callable[[], None]) -> None:
    """Draw the list.

    Args:
        payload: groups of rows, the tags there are, what the address says (q, sort, tag, runs), what was last said.
        on_view: called after a search, a sort or a tick: `viewed(key)` says how the list is now.
        on_act: called when something is to be done: `asked(key)` says what.
    """
    limits = {"longestName": LONGEST_NAME, "longestTag": LONGEST_TAG, "longestNote": LONGEST_NOTE}
    _mount(
        key=key,
        data=as_data({**payload, **limits}),
        height="content",
        on_view_change=on_view,
        on_act_change=on_act,
    )


def viewed(key: str) -> dict[str, str]:
    """The search, the order, the tags and the ticked runs that the browser shows, as the address holds them."""
    said = st.session_state[key].get("view") or {}
    found = {name: value for name in ("q", "sort", "tag", "runs") if isinstance(value := said.get(name), str)}
    if found.get("sort") not in SORTS:
        found["sort"] = SORTS[0]
    return found | {"q": found.get("q", "")[:LONGEST_SEARCH]}


def asked(key: str) -> dict[str, Any] | None:
    """What the browser asks to be done: {"do", "keys", ...}; None where what came is nothing like it."""
    said = st.session_state[key].get("act")
    if not isinstance(said, dict) or said.get("do") not in _ACTIONS:
        return None
    texts = {name: value for name in ("do", "note", "name") if isinstance(value := said.get(name), str)}
    lists = {
        name: [one for one in value if isinstance(one, str)][:_MOST_KEYS]
        for name in ("keys", "add", "remove")
        if isinstance(value := said.get(name), list)
    }
    return {"keys": [], "add": [], "remove": []} | texts | lists
