"""A table whose numbers lead to what they come from. Markdown could say the same, but a browser takes ten times as long over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components.assets import as_data, read_asset, read_script

_mount = st.components.v2.component(
    "link_table",
    html=read_asset("link_table/link_table.html"),
    css=read_asset("link_table/link_table.css"),
    js=read_script("link_table/link_table.js"),
    isolate_styles=True,
)


@dataclass(frozen=True)
class Piece:
    """Part of a cell: plain text, a link where `href` says where to, faint where `is_aside`."""

    text: str
    href: str = ""
    is_aside: bool = False


def link_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Sequence[Piece]]], key: str
) -> None:
    """Draw a table: the first column heads its rows, the others are numbers.

    Args:
        caption: what the table holds, for screen readers.
        rows: a row, its cells, the pieces of a cell.
    """
    cells = [[[asdict(piece) for piece in cell] for cell in row] for row in rows]
    _mount(key=key, data=as_data({"caption": caption, "head": list(head), "rows": cells}), height="content")
