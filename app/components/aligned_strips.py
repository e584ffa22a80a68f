"""Several judgements of one solution below each other, the same token in the same column; a token is chosen in the top
row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components.assets import as_data, register
from vimpo_core.views.payload import with_version

_mount = register("aligned_strips", "tokens", hues=".aligned")


@dataclass(frozen=True)
class Row:
    """One judgement. values: a number a token to colour by, None inside where not finite; None instead of the list:
    only `picks` are shown, or `absent` where there are none. scale: {"max", "signed", "unit", "decimals"} as for token
    strips.
    picks: the tokens it points at. says: its sentence. note: what follows from it, where `credit_rows` draws it.
    """

    label: str
    says: str
    values: list[float | None] | None = None
    scale: dict | None = None
    picks: tuple[int, ...] = ()
    absent: str = ""
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A share from 0 to 1 (None: not known yet) with what it says; style: a key of RULES, or "" for grey."""

    label: str
    share: float | None
    says: str
    style: str = ""


def aligned_strips(
    *,
    key: str,
    text: Sequence[str],
    line_starts: Sequence[int],
    title: str,
    says: str = "",
    hint: str = "",
    rows: Sequence[Row] = (),
    first_wrong: int | None = None,
    token: int | None = None,
    bars: Sequence[Sequence[Bar]] | None = None,
    notes: Sequence[str] | None = None,
    on_change: Callable[[], None] | None = None,
) -> None:
    """Draw a solution and its judgements.

    Args:
        key: the session-state key; after a choice `st.session_state[key]["view"]` is {"token": int}.
        text: readable text of each token; line_starts: index of the first token of each step.
        title, says: what stands beside the top row; hint: what the line below says before a token is chosen.
        first_wrong: gets the red underline in every row; None hides it.
        token: what is chosen; a later value that differs from what the browser reported is followed.
        bars: for each token, bars that are shown while it is chosen; notes: for each token, a sentence about it.
        on_change: called after a choice.
    """
    payload = {
        "text": list(text),
        "line_starts": list(line_starts),
        "title": title,
        "says": says,
        "label": f"{title}, {len(text)} tokens",
        "hint": hint,
        "rows": [asdict(row) for row in rows],
        "first_wrong": first_wrong,
        "bars": None if bars is None else [[asdict(bar) for bar in of] for of in bars],
        "notes": None if notes is None else list(notes),
    }
    data = with_version(payload) | {"token": token}
    _mount(key=key, data=as_data(data), on_view_change=on_change or (lambda: None))


def chosen_token(key: str, count: int) -> int | None:
    """The token that was chosen in the browser, None before."""
    token = (st.session_state.get(key, {}).get("view") or {}).get("token")
    return token if isinstance(token, int) and 0 <= token < count else None
