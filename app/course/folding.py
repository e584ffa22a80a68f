"""Parts of a page that stay folded: what is in them is neither on the page nor computed before they are opened. Those
that are open stand in the address.
"""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state

MORE = "more"
"""Names the open parts in the address."""


def fold(
    label: str, key: str, is_open: bool = False, width: int | Literal["stretch"] = "stretch"
) -> DeltaGenerator | None:
    """A folded part; where it is open, the container to draw into.

    is_open: whether it is open though the address does not name it.
    """
    widget = f"fold.{key}"
    st.session_state[widget] = is_open or key in opened()
    box = st.expander(label, width=width, key=widget, on_change=_keep, args=(key, widget))
    return box if box.open else None


def opened() -> list[str]:
    """The keys of the open parts, as the address names them."""
    return [key for key in st.query_params.get(MORE, "").split(",") if key]


def _keep(key: str, widget: str) -> None:
    others = [other for other in opened() if other != key]
    state.put(**{MORE: ",".join([*others, key] if st.session_state[widget] else others) or None})
