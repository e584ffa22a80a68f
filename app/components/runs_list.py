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
_VIEWED = ("q", "sort", "tag", "runs", "said")
"""What changes with a search, a tick or an act."""
_ACTIONS = ("whole", "undo", "delete", "tag", "save", "resume", "unfollow")
_MOST_KEYS = 5000

_mount = register("runs_list")


def runs_list(
    payload: dict[str, Any], key: str, on_view: Callable[[], None], on_act: Callable[[], None], is_whole: bool = True
) -> None:
    """Draw the list. While it follows runs that train (not `is_whole`), only the rows that have changed since it was
    sent whole are sent.

    Args:
        payload: groups of rows, the tags there are, what the address says (q, sort, tag, runs), what was last said.
        on_view: called after a search, a sort or a tick: `viewed(key)` says how the list is now.
        on_act: called when something is to be done: `asked(key)` says what.
    """
    _mount(
        key=key,
        data=as_data(_to_send(payload, f"{key}.sent", is_whole)),
        height="content",
        on_view_change=on_view,
        on_act_change=on_act,
    )


def _to_send(payload: dict[str, Any], kept: str, is_whole: bool) -> dict[str, Any]:
    """The payload with a version, or what of it is not as in the one that `kept` remembers: {"since": its version,
    "changed": key of a row -> row}, and what the address and the last act say."""
    frame, rows = _taken_apart(payload)
    before, version = st.session_state.get(kept, (None, 0))
    if is_whole or before is None or before[0] != frame:
        st.session_state[kept] = (frame, rows), version + 1
        limits = {"longestName": LONGEST_NAME, "longestTag": LONGEST_TAG, "longestNote": LONGEST_NOTE}
        return {**payload, **limits, "version": version + 1}
    changed = {name: row for name, row in rows.items() if row != before[1][name]}
    return {name: payload[name] for name in _VIEWED} | {"since": version, "changed": changed}


def _taken_apart(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which rows there are, under which headings, and all else that a list is made of; and the rows by key."""
    groups = [{**group, "rows": [row["key"] for row in group["rows"]]} for group in payload["groups"]]
    rows = {row["key"]: row for group in payload["groups"] for row in group["rows"]}
    return {name: payload[name] for name in payload if name not in _VIEWED} | {"groups": groups}, rows


def forget_what_was_sent(key: str) -> None:
    """The list is sent whole the next time: a browser has not got what it would be told the changes of."""
    st.session_state.pop(f"{key}.sent", None)


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
