"""The token tree with its controls, the terms of a path and both descents: drawn, walked and played in the browser."""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register
from app.components.hues import SHADES, SOFT

_mount = register("tree_lab", "views")
_HUES = {theme: {"vimpo": SHADES[theme]["vimpo"][0], "soft": SOFT[theme]} for theme in SHADES}


def tree_lab(payload: dict, *, key: str, on_change: Callable[[], None]) -> None:
    """Draw the lab.

    Args:
        payload: from `tree_lab.tree_payload`, with what app/tree/tree_lab.py adds.
        key: the session-state key; `st.session_state[key]["view"]` is what the browser asks for: {"n": int, the number
            of the question, "has": the version of the frames it holds, and the names that changed}.
        on_change: called after it asked.
    """
    _mount(key=key, data=as_data({**payload, "hues": _HUES}), on_view_change=on_change)
