"""A table that fits a phone: a row becomes a card there, every cell with the name of its column before it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import streamlit as st


def cards(key: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table; `assets/app.css` has the look of the cards.

    Args:
        key: unique on the page.
        heads: words of the lab's own, never anybody's text, as they stand in a style sheet too: a column's each; ""
            for one that needs none, such as the first, which is the card's title.
        rows: markdown, in one line a cell.
    """
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|" for cells in (heads, *rows)]
    lines.insert(1, f"|{'---|' * len(heads)}")
    named = "".join(
        f".st-key-cards-{key} td:nth-child({column}):not(:empty)::before {{ content: {json.dumps(f'{head}: ')}; }}"
        for column, head in enumerate(heads, 1)
        if head and column > 1
    )
    with st.container(key=f"cards-{key}"):
        st.markdown("\n".join(lines))
        st.html(f"<style>@media (max-width: 640px) {{ {named} }}</style>")
