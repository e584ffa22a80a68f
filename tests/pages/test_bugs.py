"""What a page shows of what went wrong: a mistake of the reader's in one sentence, a bug as one, with a way to report
it.
"""

from unittest import mock

import pytest
from streamlit.navigation.page import StreamlitPage
from streamlit.testing.v1 import AppTest

from app.components.part import part
from app.text import BUG
from tests.support.waiting import PATIENCE
from vimpo_core import __version__
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT


def opened_with(error: Exception) -> AppTest:
    """The app with a page that raises this."""

    def run(page):
        raise error

    with mock.patch.object(StreamlitPage, "run", run):
        return AppTest.from_file(ROOT / "app" / "streamlit_app.py", default_timeout=PATIENCE).run()


def test_a_mistake_is_one_sentence():
    at = opened_with(Mistake("run vimpo-1 was deleted. Choose another one."))
    assert not at.exception
    assert [error.value for error in at.error] == ["Run vimpo\\-1 was deleted\\. Choose another one\\."]


@pytest.mark.parametrize("bug", [ValueError("too many values to unpack"), KeyError("td_terms")])
def test_a_bug_is_shown_as_one_and_says_how_to_report_it(bug):
    at = opened_with(bug)
    assert [error.value for error in at.error] == [BUG]
    assert "Report it" in BUG and __version__ in BUG
    assert bug.args[0] in at.exception[0].message and at.exception[0].stack_trace


def test_a_mistake_in_a_part_that_runs_by_itself_is_one_sentence_too_and_a_bug_in_it_is_a_bug():
    def drawing(error):
        def draw():
            raise error

        with mock.patch.object(StreamlitPage, "run", lambda page: part(draw)()):
            return AppTest.from_file(ROOT / "app" / "streamlit_app.py", default_timeout=PATIENCE).run()

    at = drawing(Mistake("the adapter of step 5 is damaged. Choose another step."))
    assert not at.exception
    assert [error.value for error in at.error] == ["The adapter of step 5 is damaged\\. Choose another step\\."]
    at = drawing(KeyError("td_terms"))
    assert [error.value for error in at.error] == [BUG] and at.exception
