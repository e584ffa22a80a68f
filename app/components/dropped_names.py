"""Files of a folder that is dropped on the page keep the folder in their names, as those of a chosen one do."""

from __future__ import annotations

import streamlit as st

from app.components.assets import component_script

_mount = st.components.v2.component("dropped_names", js=component_script("dropped_names"))


def name_dropped_files() -> None:
    _mount(key="dropped_names", data=[])
