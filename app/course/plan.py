"""The printable lesson plan: put together from the chapters' own data, so that it says what the chapters say."""

from __future__ import annotations

import streamlit as st

from app import state
from app.course.chapters import LESSON, PARTS, Chapter

LESSON_MINUTES = 50
ARRIVING_MINUTES = 2
CHAPTERS = "chapters"
"""The chosen chapters' numbers in the address."""
_PRINT = """<style>
@media print {
  header, [data-testid="stToolbar"], .st-key-teach-bar, .st-key-plan-choice { display: none !important; }
  .stApp, .stMain, [data-testid="stAppViewContainer"], [data-testid="stMain"] {
    position: static !important; overflow: visible !important; height: auto !important; display: block !important;
  }
  [data-testid="stMainBlockContainer"] { padding: 0 !important; max-width: none !important; }
  h3 { break-after: avoid; }
  li { break-inside: avoid; }
}
</style>"""


def plan(there: tuple[Chapter, ...]) -> None:
    """The choice of chapters and the plan of those chosen."""
    st.html(_PRINT)
    with st.container(key="plan-choice"):
        with st.container(horizontal=True):
            for part in PARTS:
                st.button(part.title, on_click=_choose, args=([c.number for c in there if c.part == part],))
        numbers = st.multiselect(
            "Chapters",
            [chapter.number for chapter in there],
            format_func={chapter.number: f"{chapter.number} {chapter.title}" for chapter in there}.get,
            help="Three of them make a lesson of fifty minutes. Every chapter stands alone.",
            key="plan.chapters",
            on_change=_keep,
            **_asked_for(there),
        )
        st.caption("Print this page with your browser: Ctrl P, or Cmd P on a Mac. The controls are left out.")
    chosen = [chapter for chapter in there if chapter.number in numbers]
    if not chosen:
        st.info("Choose at least one chapter.")
        return
    st.markdown(written(chosen), width=820)


def _asked_for(there: tuple[Chapter, ...]) -> dict[str, list[int]]:
    """The `default` of the choice: the chapters of the address, those of the lesson where it names none that is
    there."""
    if "plan.chapters" in st.session_state:
        return {}
    named = st.query_params.get(CHAPTERS, "").split(",")
    numbers = [chapter.number for chapter in there if str(chapter.number) in named]
    return {"default": numbers or [chapter.number for chapter in there if chapter.part == LESSON]}


def _choose(numbers: list[int]) -> None:
    st.session_state["plan.chapters"] = numbers
    _keep()


def _keep() -> None:
    state.put(**{CHAPTERS: ",".join(map(str, sorted(st.session_state["plan.chapters"]))) or None})


def written(chosen: list[Chapter]) -> str:
    """The plan as markdown."""
    minutes = sum(chapter.class_minutes for chapter in chosen)
    left = LESSON_MINUTES - minutes
    fits = (
        f"{minutes} minutes of chapters in a lesson of {LESSON_MINUTES}: {left} are left for arriving and for handing "
        f"in."
        if left >= 0
        else f"{minutes} minutes of chapters are {-left} too many for a lesson of {LESSON_MINUTES}: leave a chapter "
        f"out."
    )
    parts = [
        "## Who gets the blame? Credit for tokens",
        f"{fits} Students need a browser at the address of your server, and no account. They commit to a prediction "
        "before each reveal; with a lock word in the link nobody sees the reveal before you say the word.",
    ]
    start = min(max(0, left), ARRIVING_MINUTES)
    for chapter in chosen:
        parts.append(_of_chapter(chapter, start))
        start += chapter.class_minutes
    return "\n\n".join(parts)


def _of_chapter(chapter: Chapter, start: int) -> str:
    plan, say = chapter.plan, chapter.say
    lines = [
        f"### {start}–{start + chapter.class_minutes} min: {chapter.number} {chapter.title}",
        f"Read alone it takes about {chapter.minutes} minutes; the rest is for talking.",
        "",
        "**Aims.** Afterwards a student can:",
        *(f"- {say(aim)}" for aim in plan.aims),
        "",
        "**Timing**",
    ]
    for minutes, what in plan.timings:
        lines.append(f"- {start}–{start + minutes} min: {say(what)}")
        start += minutes
    lines += ["", "**The prediction**"]
    for question in chapter.questions:
        right = "; ".join(option.text for option in question.options if option.is_right)
        wrong = "; ".join(option.text for option in question.options if not option.is_right)
        lines.append(f"- {say(question.ask)} Expected in the end: **{say(right)}**. Also offered: {say(wrong)}.")
    lines += ["", "**Questions for the class**"]
    lines += [f"- {say(ask)} *Expected:* {say(answer)}" for ask, answer in plan.asks]
    lines += ["", "**Common misconceptions**"]
    lines += [f"- “{say(wrong)}” *Answer:* {say(right)}" for wrong, right in plan.misconceptions]
    return "\n".join(lines)
