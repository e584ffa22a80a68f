"""Begin at the top where another text is shown under the same path, such as the next chapter. It draws nothing."""

from __future__ import annotations

import streamlit as st

from app.components.assets import as_data, component_script

_mount = st.components.v2.component("page_top", js=component_script("page_top"))


def page_top(text: str) -> None:
    """text: which one is shown; the page scrolls to its top when another is."""
    _mount(key="page-top", data=as_data({"text": text}))
