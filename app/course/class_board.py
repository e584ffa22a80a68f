"""The teacher's board of a class: how to come in, who waits, what was answered, how far a chapter is."""

from __future__ import annotations

import csv
import io

import segno
import streamlit as st

from app import cache, gate, routes
from app.components.part import part
from app.course import class_answers, class_pin, class_queue
from app.course.chapters import Chapter
from app.text import as_code, as_plain
from vimpo_core.files import as_cell, in_words
from vimpo_core.mistake import Mistake
from vimpo_core.types import RunState

_LOOK_SECONDS = 2.0
_PROBLEM, _CHAPTER = "class.board.problem", "class.chapter"
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
    chapter = _chapter(there)
    _phase(chapter)
    part(class_answers.answers, run_every=_LOOK_SECONDS)(chapter)
    st.markdown("#### Training")
    part(_queue, run_every=_LOOK_SECONDS)()
    st.markdown("#### Pinned for all")
    class_pin.choose()
    with st.expander("After the lesson"):
        _take_away(there)


def _how_to_come_in() -> None:
    with st.container(horizontal=True, gap="large", vertical_alignment="center"):
        st.image(segno.make(gate.url(), error="m").svg_data_uri(scale=5, border=2, light="white"), width=180)
        with st.container(width="content"):
            st.markdown(f"# {as_plain(gate.url())}")
            st.markdown(f"## Join code: {as_code(gate.room().code())}")
            part(_joined, run_every=_LOOK_SECONDS)()
            st.link_button(
                "Board for the projector",
                gate.board_link(),
                icon=":material/present_to_all:",
                help="The same in large type, without your controls. Its link opens nothing else, on any computer.",
            )


def _joined() -> None:
    names = sorted(gate.room().names().values())
    st.caption(f"Browsers that have joined: {len(names)}.")
    if names:
        with st.expander("Who"):
            st.markdown(as_plain(", ".join(names)))


def _chapter(there: tuple[Chapter, ...]) -> Chapter:
    """The chapter that the class is at, which the board for the projector shows."""
    by_key = {chapter.key: chapter for chapter in there}
    st.session_state.setdefault(_CHAPTER, gate.room().shown_chapter() or there[0].key)
    key = st.selectbox(
        "Chapter",
        list(by_key),
        format_func=lambda key: f"{by_key[key].number} {by_key[key].title}",
        key=_CHAPTER,
        on_change=_show_chapter,
        width=400,
        help="The board for the projector shows its answers.",
    )
    return by_key[key]


def _show_chapter() -> None:
    _try(lambda: gate.room().show_chapter(st.session_state[_CHAPTER]))


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


def _queue() -> None:
    runs = cache.runs_dir()
    is_paused = runs.queue.is_paused()
    st.toggle(
        "The queue waits",
        value=is_paused,
        key=f"class.paused.{is_paused}",
        on_change=_pause,
        args=(not is_paused,),
        help="What is being trained goes on; nothing after it begins until you let it.",
    )
    places = class_queue.places()
    runs.wake_worker()
    if not places:
        st.caption("Nothing is being trained.")
    for place in places:
        with st.container(horizontal=True, vertical_alignment="center"):
            runs_of = as_plain(", ".join(place.job.run_ids))
            st.markdown(f"**{place.who}**: {place.what}, {place.stands}  :small[{runs_of}]", width="content")
            st.button("Cancel", key=f"class.cancel.{place.job.job_id}", on_click=_cancel, args=(place.job.job_id,))
    _compare()


def _compare() -> None:
    """All that the class has trained to the end, each setting an arm and each student a seed of it: a curve of an arm
    goes as far as all its seeds have come."""
    owners, names = gate.room().owners(), gate.room().names()
    trained = [
        run.run_id
        for run in cache.summaries(cache.own_folder())
        if owners.get(run.run_id) in names and run.state == RunState.FINISHED
    ]
    if trained:
        said = "the finished run" if len(trained) == 1 else f"all {len(trained)} finished runs"
        st.page_link(
            routes.COMPARE,
            label=f"Compare {said} of your class",
            icon=":material/stacked_line_chart:",
            query_params={"runs": ",".join(trained)},
            help="Each student has a seed of their own, so runs of one setting are one arm with its interval.",
        )


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
            help="A row an answer, with the number of the browser and the name that it goes by.",
        )
        with st.popover("Delete the hand-ins", icon=":material/delete:"):
            st.markdown("All of them, for good. Runs stay.")
            st.button("Delete them", type="primary", on_click=_forget)


def _as_csv(there: tuple[Chapter, ...]) -> bytes:
    asked = [(chapter, question) for chapter in there for question in chapter.questions]
    options = {(c.key, q.key, o.key): (c.say(o.text), o.is_right) for c, q in asked for o in q.options}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["chapter", "question", "browser", "name", "choice", "when", "answer", "is_right"])
    names = gate.room().names()
    for chapter, question, browser, choice, when in gate.room().hand_in_rows():
        answer, is_right = options.get((chapter, question, choice), ("", ""))
        who = as_cell(names.get(browser, ""))
        said = [*map(as_cell, (chapter, question)), browser, who, as_cell(choice), when, as_cell(answer), is_right]
        writer.writerow(said)
    return text.getvalue().encode()


def _forget() -> None:
    _try(lambda: gate.room().forget_hand_ins())


def _try(change) -> None:
    try:
        change()
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)
