"""ARCHITECTURE's recipes for what pages offer: a further chapter is a file and a line, a further format an entry."""

import pytest
import streamlit as st

from app.course import chapters
from app.course.chapters import Chapter
from tests.pages.opening import open_inspect, open_page, words
from tests.support.fakes import make_fake_run
from vimpo_core import cli
from vimpo_core.formats.export import FORMATS, Format

CHAPTER = '''"""Chapter 8, Goodbye: one sentence."""

import streamlit as st

from app.course.effort import Effort
from app.course.lesson import Lesson, Plan

QUESTIONS = ()
CONTROLS = ()
EFFORT = Effort(words=20, predictions=0)
PLAN = Plan(aims=(), timings=(), asks=(), misconceptions=())


def numbers():
    return {}


def show(lesson: Lesson) -> None:
    st.write("This chapter was added by one file and one line.")
'''


@pytest.fixture
def further_chapter(monkeypatch, tmp_path):
    (tmp_path / "goodbye.py").write_text(CHAPTER, encoding="utf-8")
    monkeypatch.setattr(chapters, "__path__", [*chapters.__path__, str(tmp_path)])
    line = Chapter(8, "goodbye", "Goodbye", "The end.")
    monkeypatch.setattr(chapters, "ALL", (*chapters.ALL, line))
    return line


def test_a_further_chapter_is_listed_and_read(further_chapter):
    assert "Goodbye" in words(open_page("learn"))
    at = open_page("learn", chapter=8)
    assert not at.exception
    assert "This chapter was added by one file and one line." in words(at)
    assert chapters.after(chapters.ALL[-3]) == further_chapter  # homework too, after chapter 6


@pytest.fixture
def further_format(monkeypatch):
    text = Format("Plain text", "text/plain", "The tokens alone.", lambda taken: "".join(taken.trace.text).encode())
    monkeypatch.setitem(FORMATS, "txt", text)


def test_a_further_format_is_offered_on_the_page_and_by_the_command(
    runs, further_format, monkeypatch, tmp_path, capsys
):
    make_fake_run(runs.path, steps=6)
    offered = {}
    button = st.download_button

    def noted(label, data, *rest, **options):
        offered[label] = data()
        return button(label, data, *rest, **options)

    monkeypatch.setattr(st, "download_button", noted)
    assert not open_inspect(more="take", step=5, group=3, sample=4).exception
    solution = "".join(runs.open("vimpo-1").trace(5, 3, 4).text)
    assert offered["Plain text"].decode() == solution

    out = tmp_path / "solution.txt"
    asked = ["--step", "5", "--group", "3", "--sample", "4", "--format", "txt", "--out", str(out)]
    assert cli.main(["export", "vimpo-1", *asked, "--runs-dir", str(runs.path)]) == 0
    assert out.read_text() == solution
