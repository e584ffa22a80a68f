"""Solutions in a table that is sorted, filtered and walked through in the browser; a row opens its solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components.assets import as_data, register

FILTERS = ("all", "wrong", "right", "missed", "unjudged")
"""Which rows may be asked for; missed: the token to be found is known, and the run's own credit does not name it."""

_mount = register("solution_table")


def solution_table(
    payload: dict,
    *,
    key: str,
    current: str,
    only: str = "all",
    sort: dict | None = None,
    on_open: Callable[[], None],
) -> None:
    """Draw a table.

    Args:
        payload: from `solution_table.table_payload`.
        key: the session-state key.
        current: "STEP/GROUP/SAMPLE" of the solution that is marked; a later value that differs from what the browser
            reported is followed.
        only: a key of FILTERS; sort: {"key": column, "way": 1 or -1}. Both as it begins: later the browser has them.
        on_open: called after a row was opened; `opened(key)` then says which.
    """
    _mount(key=key, data=as_data({**payload, "current": current, "only": only, "sort": sort}), on_open_change=on_open)


def opened(key: str) -> dict[str, Any] | None:
    """The solution that was opened in the browser: {"step", "group", "sample"}, and how the table then was: {"only",
    "sort": "-length"}. None where what came is nothing like it.
    """
    said = st.session_state[key].get("open") or {}
    places = {name: said.get(name) for name in ("step", "group", "sample")}
    if not all(isinstance(place, int) for place in places.values()):
        return None
    only, sort = (said.get(name) for name in ("only", "sort"))
    return {**places, "only": only if only in FILTERS else "all", "sort": sort if isinstance(sort, str) else ""}
