"""What every page has alike: the title of its tab, and large type for those who ask for it.

?large=1 on any page, or "Large type" at its foot; it stays until it is put off, whatever page the menu leads to.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import state
from vimpo_core.solutions.visible_text import visible_text

LAB = "VIMPO Lab"
LARGE = "large"
_IS_LARGE, _PAGE = "look.large", "look.page"
_STYLE = "<style>.stApp { zoom: 1.35; }</style>"
_LONGEST_TITLE = 60


def begin(page: str) -> None:
    """To be called before a page is drawn. page: what the menu calls it."""
    st.session_state[_PAGE] = page
    name_tab()
    if asked := st.query_params.get(LARGE):
        st.session_state[_IS_LARGE] = asked == "1"
    if is_large():
        st.html(_STYLE)


def is_large() -> bool:
    return bool(st.session_state.get(_IS_LARGE))


def end(before: Callable[[], None]) -> None:
    """To be called after a page was drawn: the switch at its foot. before: draws what stands there before it."""
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="foot"):
        before()
        st.button(
            "Usual type" if is_large() else "Large type",
            key="look.switch",
            type="tertiary",
            icon=":material/format_size:",
            help="For a projector, on every page. A link that ends in large=1 opens a page so.",
            on_click=_switch,
        )


def name_tab(shown: str = "") -> None:
    """The tab of the browser names the page and what is shown on it, such as a run."""
    shown = visible_text(shown) if shown else ""
    cut = shown if len(shown) <= _LONGEST_TITLE else f"{shown[: _LONGEST_TITLE - 1]}…"
    st.set_page_config(page_title=" · ".join(filter(None, (st.session_state.get(_PAGE), cut, LAB))))


def _switch() -> None:
    st.session_state[_IS_LARGE] = not is_large()
    state.put(**{LARGE: 1 if is_large() else None})
