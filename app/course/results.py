"""The results as a page: the short answer first, then docs/results.md section by section, each folded until it is
opened.

docs/results.md is computed from the experiments' results.json; nothing of it is written again here. Its links lead to
files, which a browser of the app cannot open: they become the page where the same stands, a download, or the name of
the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import streamlit as st

from app import state
from app.components.cards import cards
from app.components.hues import INK
from app.course.difference_plot import Contest, difference_plot
from app.course.lesson import TEXT_WIDTH
from app.words import verdicts
from vimpo_core.experiment import figures
from vimpo_core.files import read_text
from vimpo_core.paths import ROOT

DOCUMENT = ROOT / "docs" / "results.md"
OPEN = "open"
"""The opened section in the address."""
_IMAGE = re.compile(r"^!\[(?P<words>[^\]]*)\]\((?P<file>[^)]+)\)$", re.MULTILINE)
_REPORTS = re.compile(r"^- \[(?P<words>[^\]]+)\]\((?P<file>results/[a-z_]+/report)\.md\)\n?", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]+)\]\((?P<file>[^)#:]+)\)")
_TABLE = re.compile(r"((?:^\|.*\|$\n?)+)", re.MULTILINE)
_IN_THE_APP = {"differences.md": "notation#differences"}


@dataclass(frozen=True)
class Section:
    """A part of the document. reports: (title, file without its ending); figures: (words, file), both below docs/."""

    key: str
    title: str
    text: str
    reports: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, str], ...]


def show() -> None:
    st.title("Results", anchor=False)
    _short_answer()
    notes: list[str] = []
    found = sections()
    opened = state.chosen(OPEN, [section.key for section in found], None, notes)
    for note in notes:
        st.info(note)
    for section in found:
        key = f"results.{section.key}"
        fold = st.expander(section.title, section.key == opened, key=key, on_change=_keep, args=(section.key, key))
        if fold.open:
            with fold:
                _section(section)


def _keep(section: str, key: str) -> None:
    state.put(**{OPEN: section if st.session_state[key] else None})


def _short_answer() -> None:
    contests = [
        Contest(words, found)
        for source, noise, words in verdicts.CONTESTS
        if (found := verdicts.match(noise, source=source))
    ]
    if not contests:
        st.info("No experiment is measured yet. `python -m vimpo_core experiment` makes them.")
        return
    st.markdown(
        f"**Does VIMPO learn better than GRPO?** {_counted(contests)} Every contest gave both rules equally many "
        "tuning trials, fresh seeds, and test problems that none of its trainings and trials saw; some had been looked "
        "at before, when the defaults were chosen.",
        width=TEXT_WIDTH,
    )
    difference_plot(contests, key="results.contests")


def _counted(contests: list[Contest]) -> str:
    """How often VIMPO was above, below, and neither, in both measures."""

    def said(how: str) -> str:
        leaders = [contest.gap(how).leader for contest in contests if contest.gap(how)]
        above, below, neither = (leaders.count(who) for who in ("first", "second", "open"))
        return f"{how} accuracy is above GRPO's in {above}, below in {below}, and in {neither} the seeds cannot tell"

    return f"Of {len(contests)} contests, VIMPO's {said(verdicts.HOW)}; its {said(verdicts.GREEDY)}."


def _section(section: Section) -> None:
    _text(section)
    theme = "dark" if st.context.theme.type == "dark" else "light"
    for words, file in section.figures:
        picture = figures.in_theme(read_text(DOCUMENT.parent / file), theme, INK[theme])
        st.image(picture, caption=words, width=TEXT_WIDTH, alt=words)
    if section.reports:
        st.markdown("**Every run, every trial of the tuning:**")
        with st.container(horizontal=True):
            for words, file in section.reports:
                _report(words, DOCUMENT.parent / f"{file}.html")


def _text(section: Section) -> None:
    """Its paragraphs, and its tables as such that are cards on a phone."""
    for place, block in enumerate(_TABLE.split(section.text)):
        if not block.startswith("| "):
            st.markdown(block)
            continue
        heads, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines())
        short = [[*row, *[""] * (len(heads) - len(row))] for row in rows]
        cards(f"results-{section.key}-{place}", heads, short)


def _report(words: str, path: Path) -> None:
    st.download_button(
        words,
        data=partial(path.read_bytes),
        file_name=f"{path.parent.name}.html",
        mime="text/html",
        on_click="ignore",
        icon=":material/download:",
        key=f"results.report.{path.parent.name}",
        disabled=not path.is_file(),
        help="The whole report, a page that any browser opens.",
    )


# --- the document ----------------------------------------------------------------------------------------------------


def sections(document: Path = DOCUMENT) -> tuple[Section, ...]:
    """The document's parts below its headings, how it was measured last."""
    return _sections(document, document.stat().st_mtime_ns) if document.is_file() else ()


@lru_cache(maxsize=2)
def _sections(document: Path, changed: int) -> tuple[Section, ...]:
    before, *parts = re.split(r"^## ", read_text(document), flags=re.MULTILINE)
    how = "How it was measured\n" + before.partition("\n")[2]
    return tuple(_read(part) for part in [*parts, how])


def _read(part: str) -> Section:
    title, _, text = part.partition("\n")
    key = "-".join(re.findall(r"[a-z]+", title.lower())[:5])
    reports = tuple((found["words"], found["file"]) for found in _REPORTS.finditer(text))
    drawn = tuple((found["words"], found["file"]) for found in _IMAGE.finditer(text))
    text = _LINK.sub(_in_the_app, _IMAGE.sub("", _REPORTS.sub("", text)))
    return Section(key, title, text.strip(), reports, drawn)


def _in_the_app(found: re.Match) -> str:
    """A link of the document as the app can follow it."""
    file = found["file"]
    if file in _IN_THE_APP:
        return f"[{found['words']}]({_IN_THE_APP[file]})"
    name = file.removeprefix("../") if file.startswith("../") else f"docs/{file}"
    return found["words"] if "/report" in name else f"{found['words']} (`{name}`)"
