"""Small records in the reader's own browser (localStorage): Python reads them once and tells which to write or
remove.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.components.assets import as_data, component_script

_mount = st.components.v2.component("browser_store", js=component_script("browser_store"))


def browser_store(changes: dict[str, Any], *, is_known: bool, key: str) -> dict[str, Any] | None:
    """Write `changes` (name -> what to keep, None to remove) and return what the browser held when the page was opened.

    is_known: whether what it held need not be told again. Returns None until the browser has spoken. The records are
    whatever somebody's browser held: check them.
    """
    data = {"changes": changes, "is_known": is_known}
    held = _mount(key=key, data=as_data(data), on_held_change=lambda: None).held
    return held if isinstance(held, dict) else None
