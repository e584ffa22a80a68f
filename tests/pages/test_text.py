"""Sentences on a page: a name keeps its letters, an error of the system is told in words."""

import pytest

from app.text import as_code, as_plain, as_sentence
from tests.pages.opening import open_page, words
from tests.support.fakes import make_fake_run

SAID = [
    ("steps must be more than 3, got 2.", "Steps must be more than 3, got 2\\."),
    ("vimpo-6 is not there.", "vimpo\\-6 is not there\\."),
    ("log-probabilities differ", "Log\\-probabilities differ"),
    ("vimpo-beta is not there", "vimpo\\-beta is not there"),
    ("step's end", "Step's end"),
    ("grpo is not there.", "grpo is not there\\."),
    ("lora_rank cannot change.", "lora\\_rank cannot change\\."),
    ("run.db is damaged.", "run\\.db is damaged\\."),
    ("run vimpo-6 is finished", "Run vimpo\\-6 is finished"),
    ("'x' is odd", "'x' is odd"),
    ("", ""),
]


@pytest.mark.parametrize(("said", "shown"), SAID)
def test_a_sentence_starts_with_a_capital_unless_it_starts_with_a_name(said, shown):
    assert as_sentence(said) == shown
    assert as_sentence(ValueError(said)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" the", "`␣the`"),
        (":material/home:", "`:material∕home:`"),
        ("a b ", "`a b␣`"),
        ("  ", "`␣␣`"),
        ("`", "`ˋ`"),
        ("\n", "`⏎`"),
        ("9", "`9`"),
    ],
)
def test_spaces_at_the_ends_of_a_token_are_seen_in_a_sentence(text, shown):
    assert as_code(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see http://a.b/c", "see http\\::gray[]//a\\.b/c"),
        ("www.a.b", "www:gray[]\\.a\\.b"),
        ("x@a.b", "x:gray[]@a\\.b"),
        (":material/home: :smile:", "\\::gray[]material/home\\: \\::gray[]smile\\:"),
        ("a -> b <-> c", "a \\-:gray[]\\> b \\<:gray[]\\-:gray[]\\> c"),
        ("at 10:30, file: x --steps 3", "at 10\\:30, file\\: x \\-\\-steps 3"),
        ("\x1b[31m\u202e", "␛\\[31m⟨RLO⟩"),
        ("Title\n===", "Title\n\\=\\=\\="),
    ],
)
def test_what_streamlit_looks_for_in_plain_text_is_parted_so_that_it_stays_text(text, shown):
    assert as_plain(text) == shown  # tests/pages/test_canary_browser.py sees that it does


def test_an_error_of_the_system_is_told_without_its_number():
    shown = as_sentence(OSError(28, "No space left on device", "/runs/vimpo-1"))
    assert "Errno" not in shown and "the disk is full" in shown and shown.startswith("/runs/vimpo")


def test_a_link_that_leads_nowhere_shows_no_none(runs):
    make_fake_run(runs.path, steps=1, prompts_per_step=1, group_size=2)
    shown = words(open_page("compare", runs="vimpo-6")) + words(open_page("inspector", run="vimpo-6"))
    assert "vimpo-6" in shown and "Vimpo-6" not in shown and "None" not in shown
