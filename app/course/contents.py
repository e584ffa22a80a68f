"""The contents of the course: what there is, how long it takes, what this reader has done."""

from __future__ import annotations

import streamlit as st

from app import gate, routes, state
from app.course import hand_in, progress
from app.course.chapters import PARTS, Chapter, Part
from app.course.lesson import TEXT_WIDTH
from app.course.link import CHAPTER


def asked_for(there: tuple[Chapter, ...]) -> Chapter | None:
    """The chapter of the address; None for the contents."""
    notes: list[str] = []
    number = state.chosen(CHAPTER, [chapter.number for chapter in there], None, notes, int)
    if notes:
        st.info("The link asks for a chapter that is not there. These are:")
    return next((chapter for chapter in there if chapter.number == number), None)


def contents(there: tuple[Chapter, ...]) -> None:
    st.title("The course", anchor=False)
    kept = "What you answered stays in this browser."
    if gate.is_student():
        kept = "What you answer is handed in to your teacher, under the name that your browser has in the class."
    st.markdown(
        "For somebody who knows softmax and gradient descent, but no reinforcement learning. In each chapter you "
        f"commit to a prediction before you see what happens. {kept}",
        width=TEXT_WIDTH,
    )
    for part in PARTS:
        if chapters := [chapter for chapter in there if chapter.part == part]:
            _part(part, chapters)
    st.divider()
    with st.container(horizontal=True):
        st.page_link(routes.NOTATION, label="Every symbol, explained", icon=":material/functions:")
        st.page_link(routes.TEACH, label="For teachers", icon=":material/co_present:")
    with st.container(horizontal=True):
        hand_in.offer(there)
        if any(progress.everything().values()):
            st.button(
                "Forget all my answers",
                on_click=progress.reset_all,
                help="For the next person at this computer.",
            )


def _part(part: Part, chapters: list[Chapter]) -> None:
    minutes = sum(chapter.minutes for chapter in chapters)
    st.markdown(f"#### {part.title}\n{part.teaser} Alone: about {minutes} minutes.", width=TEXT_WIDTH)
    for chapter in chapters:
        _line(chapter)


def _line(chapter: Chapter) -> None:
    is_done = progress.is_done(chapter)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", width=900):
        st.markdown(f"##### {chapter.number}", width=24)
        with st.container(gap=None):
            st.markdown(f"**{chapter.title}**  \n{chapter.teaser}")
        st.caption(f"{chapter.minutes} minutes", width=90)
        done = ":material/check_circle: done" if is_done else ""
        st.markdown(done, width=80)
        if st.button(
            "Read again" if is_done else "Open",
            key=f"course.open.{chapter.key}",
            width=120,
            help=f"Chapter {chapter.number}: {chapter.title}",
        ):
            st.switch_page(routes.LEARN, query_params={CHAPTER: str(chapter.number)})
