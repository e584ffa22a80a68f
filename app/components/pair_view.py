"""Two solutions of one prompt, or two policies on one solution, beside each other: strips on one scale, both value
curves, success rates, how they ended.
"""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register

_mount = register("pair_view", "views", "tokens", "solution")


def pair_view(
    payload: dict, *, key: str, about: dict, token: int | None = None, on_select: Callable[[], None] | None = None
) -> None:
    """Draw a pair.

    Args:
        payload: from `pair_view.pair_payload` or `policies_payload`.
        token: of two policies, what is chosen; a later value that differs from what the browser reported is followed.
        key: the session-state key; after a click on a token `st.session_state[key]["token"]` is
            {"side": 0 | 1, "token": int}.
        about: what a saved picture says above it, from `formats.about`.
        on_select: called after that click.
    """
    data = {**payload, "token": token, "about": about}
    _mount(key=key, data=as_data(data), on_token_change=on_select or (lambda: None))
