"""The address that the browser shows, changed without an entry in its history: for what follows by itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from app import state
from app.components.assets import as_data, component_script

_mount = st.components.v2.component("address_bar", js=component_script("address_bar"))


def follow(**values: Any) -> None:
    """Write values to the address like `state.put`, for what follows by itself: they take the place of the address that
    is shown, so that Back never visits one that nobody opened. To be called at every run of the page: the browser
    changes it first, and then tells."""
    address = st.query_params.to_dict()
    wanted = {name: text for name, text in address.items() if name not in values}
    wanted |= {name: state.text_of(value) for name, value in values.items() if value is not None}
    if wanted != address and _shows(state.page(), urlencode(wanted)):
        state.put(**values)


def bring_back(page: str, query: str) -> None:
    """Let the browser show `query` in place of the bare address at which the menu has just opened `page`. Python reads
    it already."""
    _mount(key="address_bar.arrived", data=as_data({"page": page, "query": query, "is_told": True}))


def _shows(page: str, query: str) -> bool:
    """Ask the browser to show `query` while it is at `page`; True in the run in which it has said so."""
    data = as_data({"page": page, "query": query})
    return _mount(key="address_bar", data=data, on_shown_change=lambda: None).shown == query
