"""The address bar holds what a page shows: read with checks, written by the widgets' callbacks.

A value that does not fit falls back to the default, leaves the address, and a sentence says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

Value = TypeVar("Value")


def chosen(
    name: str, options: Sequence[Value], default: Value, notes: list[str], parse: Callable[[str], Any] = str
) -> Value:
    """The option that the address names, else `default`.

    Args:
        name: of the query parameter.
        options: what may be chosen; `parse` turns the address's text into one of them.
        notes: gets a sentence when the address holds something else.
    """
    text = st.query_params.get(name)
    if text is None:
        return default
    try:
        value = parse(text)
    except ValueError:
        value = None
    if value in options:
        return value
    _drop(name, text, default, notes)
    return default


def number(name: str, low: float, high: float, default: float, notes: list[str]) -> float:
    """The finite number from `low` to `high` that the address names, else `default`, with a sentence in `notes`."""
    text = st.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and low <= value <= high:
        return value
    _drop(name, text, default, notes)
    return default


def put(**values: Any) -> None:
    """Write values to the address; None removes one."""
    for name, value in values.items():
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = f"{value:g}" if isinstance(value, float) else str(value)


def bound(name: str, value: Any, *forget: str) -> dict[str, Any]:
    """Arguments that tie a widget to the address: it shows `value`, a change writes `name` and forgets `forget`.

    Returns the `key`, `on_change` and `args` to pass to the widget.
    """
    key = f"url.{name}"
    st.session_state[key] = value
    return {"key": key, "on_change": _write, "args": (name, key, *forget)}


def _write(name: str, key: str, *forget: str) -> None:
    put(**{name: st.session_state[key]}, **dict.fromkeys(forget))


def _drop(name: str, text: str, default: Any, notes: list[str]) -> None:
    st.query_params.pop(name, None)
    shown = text if len(text) <= 30 else text[:30] + "…"
    instead = "" if default is None or default == "" else f"; showing {default} instead"
    notes.append(f"The link asks for {name} {shown!r}, which is not there{instead}.")
