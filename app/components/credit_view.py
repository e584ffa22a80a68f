"""The credit view: one solution as coloured tokens, value curve and formula card, linked in the browser.

All numbers go over at once; Python hears only which token and lens are selected. Token text reaches the page through
`textContent` alone, never through `html=`.
"""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register

_mount = register("credit_view", "views", "tokens", "solution")


def credit_view(
    payload: dict,
    *,
    key: str,
    token: int,
    lens: str,
    name: str,
    about: dict,
    is_folded: bool = False,
    on_change: Callable[[], None] | None = None,
) -> None:
    """Draw a solution.

    Args:
        payload: from `credit_view.inspector_payload`.
        key: the session-state key; after a selection `st.session_state[key]["view"]` is {"token": int, "lens": str}.
        token, lens: what is selected at first; a later value that differs from what the browser reported is followed.
        name: which policy the first strip is read off.
        about: what a saved picture says above it, from `formats.about`.
        is_folded: only the strip is shown, and a press that brings back the rest: something else is drawn below.
        on_change: called after a selection changed.
    """
    data = {
        **payload,
        "token": token,
        "lens": lens,
        "name": name,
        "about": about,
        "folded": is_folded,
    }
    _mount(key=key, data=as_data(data), on_view_change=on_change or (lambda: None))
