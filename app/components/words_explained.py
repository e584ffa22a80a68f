"""Words of the field, explained where they stand by one tap."""

from __future__ import annotations

import streamlit as st

from app.text import as_plain
from app.words.glossary import TERMS


def words_explained(*keys: str) -> None:
    """A button that opens what each of the words means: keys of TERMS."""
    with st.popover("What the words mean", icon=":material/dictionary:", type="tertiary"):
        st.markdown("\n".join(f"- **{as_plain(TERMS[key].name)}**: {as_plain(TERMS[key].meaning)}." for key in keys))
