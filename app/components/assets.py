"""What the components share: how one is registered, from the html, css and js of its folder, and how its data is
sent.
"""

from __future__ import annotations

import streamlit as st

from app.components.hues import hues_css
from vimpo_core.formats.es_modules import join_modules, read_asset

_GUARDED = """
import {{ guarded }} from "./shared/guard.js";
import draw from "./{name}/{name}.js";
export default guarded(draw);
"""


def register(name: str, *styles: str, hues: str = ""):
    """Register the component whose html, css and js lie in assets/components/<name>.

    Args:
        name: of the component, its folder and its files. The default export of its script draws it.
        styles: of assets/components/shared, in front of its own css.
        hues: selector of its root element, where the rules' hues are wanted in its css (`hues_css`).
    """
    sheets = [*(f"shared/{style}.css" for style in styles), f"{name}/{name}.css"]
    return st.components.v2.component(
        name,
        html=read_asset(f"{name}/{name}.html"),
        css=(hues_css(hues) if hues else "") + "".join(map(read_asset, sheets)),
        js=component_script(name),
        isolate_styles=True,
    )


def component_script(name: str) -> str:
    """A component's script with all that it imports. An error in it is said in the component's place (guard.js)."""
    return join_modules(_GUARDED.format(name=name))


def as_data(payload: dict) -> list[dict]:
    """`payload` as a component's `data`. In a list, because Streamlit searches a bare dict for data frames and imports
    pandas to recognise one: 0.2 s of the first page and 40 MB for nothing.
    """
    return [payload]
