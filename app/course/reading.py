"""One chapter on its page: heading and the chapter's own part."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import gate, routes
from app.components import look
from app.components.word_taps import word_taps
from app.course import chapters, hand_in
from app.course.chapters import Chapter
from app.course.lesson import PROBLEM, Lesson
from app.course.link import ONWARD, Link
from app.text import as_sentence


def read(chapter: Chapter, link: Link) -> None:
    look.name_tab(f"{chapter.number} {chapter.title}")
    link = replace(link, is_held=gate.holds(chapter.key))
    lesson = Lesson(chapter, chapters.after(chapter), link, chapters.is_last_of_part(chapter))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if ONWARD not in link.hidden and st.button("All chapters", type="tertiary", icon=":material/arrow_back:"):
            st.switch_page(routes.LEARN, query_params=link.reader_query())
        st.caption(f"Chapter {chapter.number} · {chapter.part.title} · about {chapter.minutes} minutes")
    st.title(chapter.title, anchor=False)
    word_taps()
    place = st.container()
    if gate.is_closed(chapter.key):
        place.info("Your teacher has closed the questions of this chapter: no more answers are taken.")
    chapter.module.show(lesson)
    if problem := st.session_state.pop(PROBLEM, ""):
        place.warning(as_sentence(problem), icon=":material/error:")
    for note in lesson.notes:
        place.info(as_sentence(note))
    if ONWARD in link.hidden:
        hand_in.offer(chapters.chapters())
