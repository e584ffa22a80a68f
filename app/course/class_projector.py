"""The board of a class for the projector: large, followed by itself, and nothing on it changes anything.

Whoever has its link may see it, so it says what a class may know and no more; whatever goes wrong stands in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import segno
import streamlit as st

from app import cache, gate
from app.course import class_answers, class_pin, class_queue
from app.course.chapters import Chapter
from app.text import as_code

_LOOK_SECONDS = 2.0
_MOST_LISTED = 6
_STYLE = """<style>
:is([data-testid="stHeader"], [data-testid="stSidebar"], [data-testid="stElementToolbar"]) { display: none; }
[data-testid="stMainBlockContainer"] { padding: 1.5rem 2rem; }
[data-testid="stMarkdownContainer"] :is(h2, h3, h4) { padding: 0 0 0.25rem; }
@media (min-width: 1000px) { .stApp { zoom: 1.5; } }
</style>"""


def board(there: tuple[Chapter, ...]) -> None:
    st.html(_STYLE)
    st.fragment(_quietly(_all), run_every=_LOOK_SECONDS)(there)


def _quietly(draw: Callable[..., None]) -> Callable[..., None]:
    """Nobody in the room can do anything about an error: the board says that it looks again, and does."""

    def guarded(*arguments) -> None:
        try:
            draw(*arguments)
        except Exception:
            logging.getLogger(__name__).exception("the board for the projector")
            st.caption("One moment.")

    return guarded


def _all(there: tuple[Chapter, ...]) -> None:
    grid = st.grid(2, min_column_width=330, gap="large")
    with grid.cell():
        _how_to_come_in()
        _training()
    with grid.cell():
        _pinned()
        _question(there)


def _how_to_come_in() -> None:
    room = gate.room()
    st.markdown(f"### {as_code(gate.url())}")
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.image(segno.make(gate.url(), error="m").svg_data_uri(scale=5, border=2, light="white"), width=180)
        with st.container(width="content", gap="small"):
            joined = room.seats()[0]
            st.markdown(f"#### Join code  \n## {as_code(room.code())}")
            st.markdown(f"{joined} {'has' if joined == 1 else 'have'} joined.")


def _training() -> None:
    st.markdown("#### Training")
    if cache.runs_dir().queue.is_paused():
        st.markdown("The queue waits until your teacher lets it go on.")
    places = class_queue.places()
    for place in places[:_MOST_LISTED]:
        st.markdown(f"**{place.who}**: {place.what}, {place.stands}")
    if len(places) > _MOST_LISTED:
        st.markdown(f"and {len(places) - _MOST_LISTED} more")
    if not places:
        st.markdown("Nothing is being trained.")


def _pinned() -> None:
    pin = gate.room().pinned()
    if pin is not None and (said := class_pin.words(pin)):
        st.markdown(f":material/keep: Pinned: {said}  \nIt stands at the top of Start.")


def _question(there: tuple[Chapter, ...]) -> None:
    key = gate.room().shown_chapter()
    chapter = next((one for one in there if one.key == key), there[0])  # as on the teacher's board
    st.markdown(f"#### {chapter.number} {chapter.title}")
    st.markdown(class_answers.STANDS[gate.room().phases().get(chapter.key, "free")])
    class_answers.answers(chapter)
