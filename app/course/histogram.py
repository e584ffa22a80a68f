"""What a class answered to one question, as bars."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from app.course.chapters import Chapter
from app.course.lesson import TEXT_WIDTH, Question


def histogram(chapter: Chapter, question: Question, counts: Counter[str], is_revealed: bool = True) -> None:
    """A bar an option, the right one marked once that may be seen; only options that the question has are counted."""
    total = sum(counts[option.key] for option in question.options)
    st.markdown(f"**{chapter.number} {chapter.title}:** {chapter.say(question.ask)}", width=TEXT_WIDTH)
    for option in question.options:
        mark = ":material/check: " if option.is_right and is_revealed else ""
        count = counts[option.key]
        share = count / total if total else 0.0
        st.progress(share, f"{mark}{chapter.say(option.text)}: **{count} of {total}**", width=TEXT_WIDTH)
