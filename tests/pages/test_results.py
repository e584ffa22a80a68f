"""The results page: the short answer from the files, every section folded, and nothing that a browser cannot open."""

import re

import pytest

from app.course import results
from app.words import verdicts
from tests.pages.opening import open_page, words
from vimpo_core.experiment import figures
from vimpo_core.paths import ROOT
from vimpo_core.views.rule_styles import DARK


def test_the_short_answer_counts_the_contests_as_their_intervals_say():
    found = [verdicts.match(noise, source=source) for source, noise, _ in verdicts.CONTESTS]
    said = words(open_page("results"))
    for how, of in (("sampled", lambda match: match.gap), ("greedy", lambda match: match.greedy)):
        gaps = [of(match) for match in found]
        above, below = sum(gap.low > 0 for gap in gaps), sum(gap.high < 0 for gap in gaps)
        neither = len(gaps) - above - below
        assert f"{how} accuracy is above GRPO's in {above}, below in {below}, and in {neither} the seeds" in said


def test_nothing_of_a_section_is_on_the_page_before_it_is_opened():
    said = words(open_page("results"))
    assert "| --- |" not in said and len(said.split()) < 250
    for section in results.sections():
        shown = words(open_page("results", open=section.key))
        assert section.text.splitlines()[0].replace("\\", "") in shown
        for row in re.findall(r"^\|.*\|$", section.text, flags=re.MULTILINE):
            assert set(row) <= set("|-: ") or row.replace("|  |", "| |") in shown


def test_the_sections_hold_the_whole_document():
    document = results.DOCUMENT.read_text(encoding="utf-8")
    found = results.sections()
    assert [section.title for section in found][:-1] == re.findall(r"^## (.+)$", document, flags=re.MULTILINE)
    for row in re.findall(r"^\|.*\|$", document, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", row)
        assert any(plain in section.text for section in found), row
    shown = [file for section in found for _, file in section.figures]
    assert shown == re.findall(r"!\[[^\]]*\]\(([^)]+)\)", document)
    linked = {file for section in found for _, file in section.reports}
    assert {f"results/{name}/report" for name, *_ in verdicts.CONTESTS} <= linked
    assert all((results.DOCUMENT.parent / f"{file}.html").is_file() for file in linked)


def test_no_link_leads_to_a_file():
    for section in results.sections():
        for address in re.findall(r"\]\(([^)]+)\)", section.text):
            assert address.startswith(("http", "notation#")), address


@pytest.mark.parametrize("value", ["EVIL", "9" * 99, ""])
def test_a_section_that_is_not_there_is_said(value):
    assert "not there" in open_page("results", open=value).info[0].value


def test_a_figure_takes_the_colours_of_the_theme():
    svg = (results.DOCUMENT.parent / "results/noise/figures/learning-1.svg").read_text()
    dark = figures.in_theme(svg, "dark", "#a9b2bd")
    assert DARK["vimpo"][0] in dark and "#fffffe" not in dark and "#26303b" not in dark
    assert "#6a43c9" in figures.in_theme(svg, "light", "#5b6470")


def test_every_link_to_a_section_leads_to_one():
    keys = {section.key for section in results.sections()}
    linked = set()
    for file in (ROOT / "app").rglob("*.py"):
        linked |= set(re.findall(r"results\?open=([a-z-]+)", file.read_text(encoding="utf-8")))
    assert linked and linked <= keys
