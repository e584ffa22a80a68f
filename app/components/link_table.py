"""A table whose numbers lead to what they come from. Markdown could say the same, but a browser takes ten times as long
over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from app.components.assets import as_data, register

_mount = register("link_table")


@dataclass(frozen=True)
class Piece:
    """Part of a cell: plain text, a link where `href` says where to, faint where `is_aside`."""

    text: str
    href: str = ""
    is_aside: bool = False


def link_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Sequence[Piece]]], key: str) -> None:
    """Draw a table: the first column heads its rows, the others are numbers.

    Args:
        caption: what the table holds, for screen readers.
        rows: a row, its cells, the pieces of a cell.
    """
    cells = [[[asdict(piece) for piece in cell] for cell in row] for row in rows]
    _mount(key=key, data=as_data({"caption": caption, "head": list(head), "rows": cells}), height="content")
