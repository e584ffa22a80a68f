"""What a class answered to a chapter's questions: how many while the reveal waits, then the bars."""

from __future__ import annotations

import streamlit as st

from app import gate
from app.course.chapters import Chapter
from app.course.histogram import histogram

STANDS = {
    "free": "Open: whoever has answered sees which answer is right.",
    "held": "The reveal waits.",
    "closed": "Closed: no more answers are taken, and the reveal waits.",
}


def answers(chapter: Chapter) -> None:
    """How many have answered while answers are taken and held, for the bars may name what waits to be revealed."""
    found, phase = gate.room().hand_ins(), gate.room().phases().get(chapter.key, "free")
    for question in chapter.questions:
        counts = found.get((chapter.key, question.key))
        if counts and phase == "held":
            st.markdown(f"**{counts.total()}** {'has' if counts.total() == 1 else 'have'} answered.")
        elif counts:
            histogram(chapter, question, counts, phase == "free")
    if not any((chapter.key, question.key) in found for question in chapter.questions):
        st.caption("Nobody has answered yet.")
