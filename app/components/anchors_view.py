"""A solution's value by both anchors as two curves over its tokens; a position is chosen with the pointer or the keys."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from app.components.assets import as_data, read_asset, read_assets, read_script
from vimpo_core.views.credit_view import with_version
from vimpo_core.views.lessons import Anchored

_mount = st.components.v2.component(
    "anchors_view",
    html=read_asset("anchors_view/anchors_view.html"),
    css=read_assets("shared/views.css", "anchors_view/anchors_view.css"),
    js=read_script("shared/mounting.js", "shared/drawing.js", "anchors_view/anchors_view.js"),
    isolate_styles=True,
)


def anchors_view(found: Anchored, anchor: str, *, key: str, at: int) -> None:
    """Draw the curves.

    Args:
        anchor: "start", "end" or "both".
        at: position that is chosen at first, 0 to T: before that token.
    """
    _mount(key=key, data=as_data(with_version(asdict(found) | {"anchor": anchor, "at": at})))
