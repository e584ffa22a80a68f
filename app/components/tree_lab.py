"""The token tree with its controls, the terms of a path and both descents: drawn, walked and played in the browser."""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register
from app.components.hues import SOFT, style_of

_mount = register("tree_lab", "views")
_STYLES = {"local": style_of("vimpo"), "soft": style_of(SOFT)}


def tree_lab(payload: dict, *, key: str, on_change: Callable[[], None]) -> None:
    """Draw the lab.

    Args:
        payload: from `tree_lab.tree_payload`, with what app/tree/tree_lab.py adds.
        key: the session-state key; `st.session_state[key]["view"]` is what the browser asks for: {"n": int, the number
            of the question, "has": the version of the frames it holds, and the names that changed}.
        on_change: called after it asked.
    """
    _mount(key=key, data=as_data({**payload, "styles": _STYLES}), on_view_change=on_change)
