"""Every page on a phone: nothing scrolls sideways, and no word of a plot is cut."""

import json

import pytest
from playwright.sync_api import expect

from app.course.chapters import ALL
from tests.pages.in_browser import BUNDLED, cut_words, expect_as_wide_as_its_window
from tests.support.browser import settle, visiting
from tests.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = {
    "": "Look closer",
    "train": "What to expect: the bundled runs",
    f"inspect?run={BUNDLED}": "Alternatives here",
    f"inspect?run={BUNDLED}&more=rules": "Every rule",
    f"inspect?run={BUNDLED}&more=sums": "holds",
    f"inspect?run={BUNDLED}&more=scatter": "Every reward enters VIMPO",
    f"inspect?run={BUNDLED}&more=take": "The same numbers again",
    f"scorecard?run={BUNDLED}": "The most instructive solutions",
    "compare": "What the experiments say",
    "runs": "Tick runs to compare them",
    "tree": "Tree lab",
    "teach": "Open it as a student",
    "teach?part=plan": "Common misconceptions",
    "notation": "What differs from the paper",
    "learn": "Who gets the blame?",
    **{f"learn?chapter={chapter.number}": chapter.title for chapter in ALL},
    "learn?chapter=7": "Does it hold?",
}
"""Address -> words that are there once the page has been drawn."""


@pytest.fixture(scope="module")
def phone(browser, address):
    """A phone whose reader has answered every chapter rightly, so that all of it is seen. Put away before the server
    ends.
    """
    answers = {
        chapter.key: {
            question.key: [next(o.key for o in question.options if o.is_right), []] for question in chapter.questions
        }
        for chapter in ALL
    }
    kept = {f"vimpo-lab.course.{key}": json.dumps(record) for key, record in answers.items()}
    with visiting(browser, width=390, height=844) as context:
        context.add_init_script(f"if (location.protocol === 'http:') Object.assign(localStorage, {json.dumps(kept)})")
        yield context


@pytest.mark.parametrize("path", PAGES)
def test_on_a_phone_no_page_scrolls_sideways_and_no_word_of_a_plot_is_cut(phone, address, path):
    page = phone.new_page()
    page.goto(f"{address}/{path}")
    expect(page.get_by_text(PAGES[path]).first).to_be_visible()
    settle(page)
    expect_as_wide_as_its_window(page)
    eventually(lambda: cut_words(page) == [], lambda: cut_words(page))
    page.close()
