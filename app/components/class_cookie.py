"""A cookie of this browser: which seat of the class it has. It draws nothing."""

from __future__ import annotations

import streamlit as st

from app.components.assets import as_data, component_script

_mount = st.components.v2.component("class_cookie", js=component_script("class_cookie"))


def class_cookie(name: str, value: str) -> None:
    """Keep `value` under `name` for this browser, for half a day; other sites do not get it."""
    _mount(key="class-cookie", data=as_data({"name": name, "value": value}))
