"""Solutions in pieces of words in a browser, on an exported page: the same view without a server."""

import pytest
from playwright.sync_api import expect

from tests.support import words
from tests.support.browser import visiting
from vimpo_core.formats import export
from vimpo_core.formats.export import Taken
from vimpo_core.formats.reproduce import Place

pytestmark = pytest.mark.browser
HEADER = {
    "run_id": "run-1",
    "name": "words",
    "algorithm": "vimpo",
    "model": {"id": "fake", "sha256": "0" * 64, "adapter_sha256": None},
}


@pytest.fixture
def opened(browser, tmp_path):
    """Open a solution as a page of its own."""

    def open_page(context, tokens, **changes):
        trace = words.word_trace(tokens, first_wrong=61, **changes)
        group = [trace, trace.with_(sample_idx=1, reward=1.0 - trace.reward)]  # GRPO has something to push
        path = tmp_path / "solution.html"
        export.write(Taken(HEADER, group, 0, Place("run-1", 0, True, True), 0.1, 1.0, token=61), "html", path)
        page = context.new_page()
        page.goto(path.as_uri())
        expect(page.locator(".card .token-number")).to_have_text("token #61")
        return page

    with visiting(browser, width=800) as context:
        yield lambda tokens, **changes: open_page(context, tokens, **changes)


def test_a_long_solution_is_folded_and_what_is_selected_unfolds(opened):
    page = opened(words.lengthened(words.PROSE, 2000))
    strip, other = (page.locator(f'.strip-host[data-strip="{which}"]') for which in ("lens", "grpo"))
    assert strip.locator(".token").count() < 500
    fold = strip.locator(".fold").first
    before = int(fold.get_attribute("data-from")) - 1
    strip.locator(f'.token[data-index="{before}"]').click()
    page.keyboard.press("ArrowRight")
    expect(strip.locator(f'.token[data-index="{before + 1}"]')).to_be_focused()
    expect(other.locator(f'.token[data-index="{before + 1}"]')).to_have_attribute("aria-selected", "true")
    strip.locator(".fold").first.click()
    for each in (strip, other):
        expect(each.locator(".fold")).to_have_count(0)
        expect(each.locator(".token")).to_have_count(2001)
    page.keyboard.press("End")
    expect(page.locator(".card .token-number")).to_have_text("token #2000")


def test_lines_words_and_cut_characters_are_drawn_as_one_reads_them(opened):
    page = opened([*words.pieces(words.CHARACTERS), *words.pieces(words.PROSE)])
    strip = page.locator('.strip-host[data-strip="lens"]')
    smile = strip.locator(".unit", has_text="\U0001f642")
    assert smile.get_by_role("option").count() == 4
    assert ', part 2 of 4 of "' in smile.get_by_role("option").nth(1).get_attribute("aria-label").replace("“", '"')
    assert strip.locator(".glyph", has_text="\u202e").count() == 0, "hidden characters are marks"
    note = strip.locator(".wrong-note")
    line = note.locator("xpath=..")
    lowest = max(token.bounding_box()["y"] + token.bounding_box()["height"] for token in line.locator(".token").all())
    assert note.bounding_box()["y"] >= lowest, "the note of a mistake is never printed over tokens"
    rows = "(words) => words.every((word) => word.getClientRects().length === 1)"
    assert strip.locator(".word").evaluate_all(rows), "no line breaks inside a word"
    button = page.get_by_role("button", name="As the model saw it")
    expect(page.locator(".prompt-strip")).to_be_hidden()
    button.click()
    expect(page.locator(".prompt-strip")).to_be_visible()
    assert page.locator(".prompt-strip .step").count() == 3
