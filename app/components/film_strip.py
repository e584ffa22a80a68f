"""The film strip: one solution under every saved policy of its run, played and scrubbed in the browser."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components.assets import as_data, read_asset

_mount = st.components.v2.component(
    "film_strip",
    html=read_asset("film_strip.html"),
    css="".join(map(read_asset, ("tokens.css", "credit_view.css", "film_strip.css"))),
    js="".join(map(read_asset, ("token_strip.js", "lenses.js", "save_figure.js", "film_strip.js"))),
    isolate_styles=True,
)


def film_strip(
    payload: dict,
    *,
    key: str,
    step: int,
    token: int,
    lens: str,
    has_group: bool,
    on_change: Callable[[], None],
) -> None:
    """Draw a film.

    Args:
        payload: from `views.film_payload`.
        key: the session-state key; `st.session_state[key]["view"]` is what was changed in the browser, some of
            {"step": int, "token": int, "lens": str}.
        step, token, lens: what is selected; a later value that differs from what the browser reported is followed.
        has_group: whether the solution was sampled in a group, for the words beside the value curve.
        on_change: called after a selection changed.
    """
    data = {**payload, "step": step, "token": token, "lens": lens, "has_group": has_group}
    _mount(key=key, data=as_data(data), on_view_change=on_change)
