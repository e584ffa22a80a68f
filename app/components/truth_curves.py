"""Value curves and the advantages below them, on one axis of tokens; refilled in place while the truth is refined."""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register
from app.components.hues import SOFT, style_of

_mount = register("truth_curves", "views", "solution")
_STYLES = {"soft": style_of(SOFT), "critic": style_of("ppo"), "flat": style_of("grpo")}


def truth_curves(payload: dict, *, key: str, token: int, about: dict, on_change: Callable[[], None]) -> None:
    """Draw one solution's implied credit beside its truth.

    Args:
        payload: from `truth_curves.truth_payload`.
        key: the session-state key; after a selection `st.session_state[key]["view"]` is {"token": int}.
        token: what is selected; a later value that differs from what the browser reported is followed.
        about: what a saved picture says above it, from `formats.about`.
        on_change: called after a selection changed.
    """
    styles = _STYLES | {"implied": style_of(payload["algorithm"])}
    _mount(
        key=key, data=as_data({**payload, "token": token, "styles": styles, "about": about}), on_view_change=on_change
    )
