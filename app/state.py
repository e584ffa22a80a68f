"""The address bar holds what a page shows: read with checks, written by the widgets' callbacks.

A value that does not fit falls back to the default, leaves the address, and a sentence says so. What a callback writes
goes out at once, so that one press is one entry of the browser's history. The menu leaves a page's address behind:
`arrive` brings back what the page last showed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

Value = TypeVar("Value")
KEEP_THEIR_ADDRESS = ("inspect", "scorecard", "compare", "runs")
"""Pages that the menu leads back to as they were left; Train follows the newest job, the course begins at its
contents.
"""
_PAGE, _SHOWN, _BACK_TO = "state.page", "state.shown", "state.back_to"


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
    """Write values to the address, all at once; None removes one.

    A press may bring the address from before the press before it, which the browser had not yet been told of: what was
    written last counts.
    """
    address = st.query_params.to_dict()
    newest = _shown().get(st.session_state.get(_PAGE), address) if address else {}
    wanted = {name: text_of(value) for name, value in values.items() if value is not None}
    changed = {name: text for name, text in newest.items() if name not in values} | wanted
    if changed != address:
        st.query_params.from_dict(changed)
    if not changed:
        st.session_state[_BACK_TO] = {}
    _remember(changed)


def page() -> str:
    """The path of the page that is shown; "" at Start."""
    return st.session_state.get(_PAGE, "")


def text_of(value: Any) -> str:
    """A value as an address holds it; a float comes back as the very same number."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def arrive(page: str) -> str:
    """To be called before a page is drawn: after the menu, which drops the address, it shows what it last showed.

    The entry of the browser's history that the menu made gets the address, which is returned: the browser
    has to be told (components/address_bar.py). "": it holds it already.
    """
    query = ""
    if page != st.session_state.get(_PAGE):
        st.session_state[_BACK_TO] = _shown().get(page, {})
    st.session_state[_PAGE] = page
    address = st.query_params.to_dict()
    if not address and page in KEEP_THEIR_ADDRESS and (address := st.session_state[_BACK_TO]):
        query = _bring_back(address)
    _remember(address)
    return query


def _bring_back(address: dict[str, str]) -> str:
    """Let the address be this one from here on, without a new entry of the history, which `st.query_params` would
    make."""
    run = get_script_run_ctx()
    with run.session_state.query_params() as parameters:
        for name, text in address.items():
            parameters.set_with_no_forward_msg(name, text)
    run.query_string = urlencode(address)
    return run.query_string


def _remember(address: dict[str, str]) -> None:
    _shown()[st.session_state.get(_PAGE)] = address


def _shown() -> dict[str | None, dict[str, str]]:
    """page -> the address that it last showed."""
    return st.session_state.setdefault(_SHOWN, {})


def bound(name: str, value: Any, *forget: str, unsaid: Any = None) -> dict[str, Any]:
    """Arguments that tie a widget to the address: it shows `value`, a change writes `name` and forgets `forget`; the
    value `unsaid` leaves the address without `name`.

    Returns the `key`, `on_change` and `args` to pass to the widget.
    """
    key = f"url.{name}"
    st.session_state[key] = value
    return {"key": key, "on_change": _write, "args": (name, key, unsaid, *forget)}


def segments(
    label: str,
    name: str,
    options: Mapping[Value, str],
    value: Value | None,
    *forget: str,
    required: bool = True,
    unsaid: Value | None = None,
    **look: Any,
) -> None:
    """Buttons side by side, one of them pressed, tied to the address like `bound`.

    Args:
        options: what may be chosen, and the words on its button.
        look: further arguments of `st.segmented_control`.
    """
    st.segmented_control(
        label,
        list(options),
        format_func=options.get,
        required=required,
        **look,
        **bound(name, value, *forget, unsaid=unsaid),
    )


def pick(
    label: str,
    name: str,
    options: Mapping[Value, str],
    default: Value,
    notes: list[str],
    *forget: str,
    parse: Callable[[str], Any] = str,
    **look: Any,
) -> Value:
    """What the address names, as `chosen`, and the `segments` that change it."""
    value = chosen(name, list(options), default, notes, parse)
    segments(label, name, options, value, *forget, **look)
    return value


def _write(name: str, key: str, unsaid: Any, *forget: str) -> None:
    value = st.session_state[key]
    put(**{name: None if value == unsaid else value}, **dict.fromkeys(forget))


def _drop(name: str, text: str, default: Any, notes: list[str]) -> None:
    put(**{name: None})
    shown = text if len(text) <= 30 else text[:30] + "…"
    instead = "" if default is None or default == "" else f"; showing {default} instead"
    notes.append(f"The link asks for {name} {shown!r}, which is not there{instead}.")
