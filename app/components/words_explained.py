"""Words of the field, explained where they stand by one tap."""

from __future__ import annotations

import streamlit as st

from app.text import as_plain
from app.words.glossary import SYMBOLS, TERMS


def words_explained(*keys: str) -> None:
    """A button that opens what each of the words means: keys of TERMS, or of SYMBOLS."""
    with st.popover("What the words mean", icon=":material/dictionary:", type="tertiary"):
        st.markdown("\n".join(map(_line, keys)))


def _line(key: str) -> str:
    found = TERMS.get(key) or SYMBOLS[key]
    return f"- **{as_plain(found.name)}**: {as_plain(found.meaning)}."
