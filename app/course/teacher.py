"""The teacher's page: a link that fixes a chapter, the plan to print, the hand-ins of a class."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode, urlsplit

import streamlit as st

from app import routes
from app.course import hand_in
from app.course.chapters import Chapter
from app.course.histogram import histogram
from app.course.lesson import TEXT_WIDTH, Control, text_of
from app.course.link import CHAPTER, ONWARD, Link, as_teacher, lock_of
from app.text import as_plain
from vimpo_core.solutions.visible_text import visible_text


def build_link(there: tuple[Chapter, ...]) -> None:
    """The form of a link, and the link."""
    by_number = {chapter.number: chapter for chapter in there}
    number = st.selectbox(
        "Chapter",
        list(by_number),
        format_func=lambda n: f"{n} {by_number[n].title}",
        width=400,
        help="The link opens this chapter.",
    )
    chapter = by_number[number]
    values = {control: _choose(chapter, control) for control in chapter.controls}
    hides_onward = st.checkbox(
        "Hide the way to other chapters", help="Students stay with this one until you send the next link."
    )
    is_large = st.checkbox("Large type", help="For the projector.")
    word = st.text_input(
        "Word that unlocks the reveal",
        width=400,
        max_chars=40,
        help="Students commit to their predictions and then wait for this word. The link holds only a short hash of "
        "it. Empty: no lock.",
    )
    hidden = {control.name: text_of(value) for control, (value, is_hidden) in values.items() if is_hidden}
    link = Link(hidden | ({ONWARD: ""} if hides_onward else {}), is_large, lock_of(word))
    shown = {control.name: text_of(value) for control, (value, is_hidden) in values.items() if not is_hidden}
    query = {CHAPTER: str(number), **shown, **link.query()}
    _offer(query, link)


def _choose(chapter: Chapter, control: Control) -> tuple[Any, bool]:
    """The value that the link gives a control, and whether it hides it."""
    options, key = control.found(), f"teach.{chapter.key}.{control.name}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        choices = {
            "options": list(options),
            "format_func": control.label_of,
            "key": key,
            "help": control.help,
        }
        first = control.first()
        if control.kind == "slider":
            value = st.select_slider(control.label, **choices, value=first, width=400)
        else:
            value = st.selectbox(
                control.label, **choices, index=options.index(first) if first in options else 0, width=400
            )
        is_hidden = st.checkbox("Hide it", key=f"{key}.hidden", help=f"Students cannot change “{control.label}”.")
    return value, is_hidden


def _offer(query: dict[str, str], link: Link) -> None:
    address = (st.context.url or "").split("?")[0].removesuffix("teach") + "learn"
    st.markdown("**The link**")
    st.code(f"{address}?{urlencode(query, safe=':,')}", language=None, wrap_lines=True)
    if is_of_this_computer(address):
        st.warning(
            "Only this computer can open this address. To let a class in, start the app with `python -m vimpo_core "
            "class --name NAME`, where NAME is what the others type for this computer, and make the link there.",
            icon=":material/lan:",
            width=TEXT_WIDTH,
        )
    with st.container(horizontal=True):
        if st.button("Open it as the teacher", type="primary", help="There the reveal is a button of yours."):
            as_teacher(link.lock)
            st.switch_page(routes.LEARN, query_params=query)
        if st.button("Open it as a student"):
            st.switch_page(routes.LEARN, query_params=query)
    st.caption(
        "The link is a convenience, not a wall: somebody who opens the course from the menu has every control and no "
        "lock.",
        width=TEXT_WIDTH,
    )


def is_of_this_computer(address: str) -> bool:
    """Whether an address leads every computer to itself."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")


def read_hand_ins(there: tuple[Chapter, ...]) -> None:
    """Upload and histograms."""
    files = st.file_uploader(
        "Hand-ins of your class",
        type=["json"],
        accept_multiple_files=True,
        max_upload_size=1,
        help=f"The files that students downloaded, up to {hand_in.MOST_FILES} at once. Nothing is stored; only counts "
        f"are shown.",
    )
    if not files:
        return
    found = hand_in.counted(files, there)
    for problem in found.problems:
        st.warning(as_plain(visible_text(problem)), icon=":material/error:")
    st.markdown(f"**{found.files} hand-in{'' if found.files == 1 else 's'}**")
    for chapter in there:
        for question in chapter.questions:
            if counts := found.answers.get((chapter.key, question.key)):
                histogram(chapter, question, counts)
