"""The film strip: one solution under every saved policy of its run, played and scrubbed in the browser."""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register

_mount = register("film_strip", "views", "tokens", "solution")


def film_strip(
    payload: dict,
    *,
    key: str,
    step: int,
    token: int,
    lens: str,
    has_group: bool,
    about: dict,
    on_change: Callable[[], None],
) -> None:
    """Draw a film.

    Args:
        payload: from `credit_view.film_payload`.
        key: the session-state key; `st.session_state[key]["view"]` is what was changed in the browser, some of
            {"step": int, "token": int, "lens": str}.
        step, token, lens: what is selected; a later value that differs from what the browser reported is followed.
        has_group: whether the solution was sampled in a group, for the words beside the value curve.
        about: what a saved picture says above it, from `formats.about`.
        on_change: called after a selection changed.
    """
    data = {**payload, "step": step, "token": token, "lens": lens, "has_group": has_group, "about": about}
    _mount(key=key, data=as_data(data), on_view_change=on_change)
