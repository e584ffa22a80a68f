"""What a word means, where it stands: a tap on a link to Notation opens it there. It draws nothing itself."""

from __future__ import annotations

import streamlit as st

from app.components.assets import as_data, component_script
from app.words.glossary import SYMBOLS, TERMS

_mount = st.components.v2.component("word_taps", js=component_script("word_taps"))


def word_taps() -> None:
    """To be called once on a page whose text has such links (`lesson.symbol`, `lesson.term`)."""
    found = {one.anchor: (one.name, f"{one.meaning}. Unit: {one.unit}.") for one in SYMBOLS.values()}
    found |= {one.anchor: (one.name, f"{one.meaning}.") for one in TERMS.values()}
    _mount(key="word-taps", data=as_data({"words": found}))
