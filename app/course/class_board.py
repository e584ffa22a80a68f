"""The teacher's board of a class: how to come in, who waits, what was answered, how far a chapter is."""

from __future__ import annotations

import csv
import io

import segno
import streamlit as st

from app import cache, gate
from app.components.part import part
from app.course.chapters import Chapter
from app.course.histogram import histogram
from app.text import as_code, as_plain
from vimpo_core.files import as_cell, in_words
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import ACTIVE
from vimpo_core.types import RunState

_LOOK_SECONDS = 2.0
_PROBLEM = "class.board.problem"
_WORDS = {
    "free": "At their own pace",
    "held": "Hold the reveals",
    "closed": "Close the questions",
}


def board(there: tuple[Chapter, ...]) -> None:
    """All of it; the counts look again by themselves."""
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(as_plain(problem), icon=":material/error:")
    _how_to_come_in()
    chapter = st.selectbox(
        "Chapter", there, format_func=lambda one: f"{one.number} {one.title}", key="class.chapter", width=400
    )
    _phase(chapter)
    part(_answers, run_every=_LOOK_SECONDS)(chapter)
    st.markdown("#### Training")
    part(_queue, run_every=_LOOK_SECONDS)()
    with st.expander("After the lesson"):
        _take_away(there)


def _how_to_come_in() -> None:
    with st.container(horizontal=True, gap="large", vertical_alignment="center"):
        st.image(segno.make(gate.url(), error="m").svg_data_uri(scale=5, border=2, light="white"), width=180)
        with st.container():
            st.markdown(f"# {as_plain(gate.url())}")
            st.markdown(f"## Join code: {as_code(gate.room().code())}")
            part(_joined, run_every=_LOOK_SECONDS)()


def _joined() -> None:
    st.caption(f"Browsers that have joined: {gate.room().seats()[0]}.")


def _phase(chapter: Chapter) -> None:
    key = f"class.phase.{chapter.key}"
    st.session_state.setdefault(key, gate.room().phases().get(chapter.key, "free"))
    st.segmented_control(
        "Its questions",
        list(_WORDS),
        format_func=_WORDS.get,
        key=key,
        required=True,
        on_change=_set_phase,
        args=(chapter.key,),
        help="Hold: students answer, and what comes out waits for you; you see how many. Close: no more answers are "
        "taken, and you see them. Back to their own pace: it is revealed to all who answered.",
    )


def _set_phase(chapter: str) -> None:
    _try(lambda: gate.room().set_phase(chapter, st.session_state[f"class.phase.{chapter}"]))


def _answers(chapter: Chapter) -> None:
    found, phase = gate.room().hand_ins(), gate.room().phases().get(chapter.key, "free")
    is_open, is_revealed = phase == "held", phase == "free"
    for question in chapter.questions:
        counts = found.get((chapter.key, question.key))
        if counts and is_open:
            st.markdown(f"**{counts.total()}** have answered.")  # the bars may name what waits to be revealed
        elif counts:
            histogram(chapter, question, counts, is_revealed)
    if not any((chapter.key, question.key) in found for question in chapter.questions):
        st.caption("Nobody has answered yet.")


def _queue() -> None:
    runs, owners = cache.runs_dir(), gate.room().owners()
    waiting = [job for job in runs.jobs() if job.state in ACTIVE]
    is_paused = runs.queue.is_paused()
    st.toggle(
        "The queue waits",
        value=is_paused,
        key=f"class.paused.{is_paused}",
        on_change=_pause,
        args=(not is_paused,),
        help="What is being trained goes on; nothing after it begins until you let it.",
    )
    if not waiting:
        st.caption("Nothing is being trained.")
    for job in waiting:
        owner = owners.get(job.run_ids[0])
        who = "the teacher or the command line" if owner is None else f"browser {owner}"
        with st.container(horizontal=True, vertical_alignment="center"):
            state = "waits" if job.state == RunState.QUEUED else str(job.state)
            st.markdown(f"**{as_plain(', '.join(job.run_ids))}** {state}, of {who}")
            st.button("Cancel", key=f"class.cancel.{job.job_id}", on_click=_cancel, args=(job.job_id,))


def _pause(is_paused: bool) -> None:
    _try(lambda: cache.runs_dir().pause_queue(is_paused))


def _cancel(job_id: str) -> None:
    _try(lambda: cache.runs_dir().command(job_id, "stop"))


def _take_away(there: tuple[Chapter, ...]) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "The hand-ins (CSV)",
            lambda: _as_csv(there),
            "hand-ins.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help="A row an answer, with the browser's number. There are no names.",
        )
        with st.popover("Delete the hand-ins", icon=":material/delete:"):
            st.markdown("All of them, for good. Runs stay.")
            st.button("Delete them", type="primary", on_click=_forget)


def _as_csv(there: tuple[Chapter, ...]) -> bytes:
    asked = [(chapter, question) for chapter in there for question in chapter.questions]
    options = {(c.key, q.key, o.key): (c.say(o.text), o.is_right) for c, q in asked for o in q.options}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["chapter", "question", "browser", "choice", "when", "answer", "is_right"])
    for chapter, question, browser, choice, when in gate.room().hand_in_rows():
        answer, is_right = options.get((chapter, question, choice), ("", ""))
        writer.writerow([*map(as_cell, (chapter, question)), browser, as_cell(choice), when, as_cell(answer), is_right])
    return text.getvalue().encode()


def _forget() -> None:
    _try(lambda: gate.room().forget_hand_ins())


def _try(change) -> None:
    try:
        change()
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)
