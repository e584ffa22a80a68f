"""The table of solutions in a real browser: sorting asks nobody, a row is one entry of the history, text is text."""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED, focused
from tests.support.browser import count_sent, settle

pytestmark = pytest.mark.browser


def rows(page):
    return page.locator(".solution-table tbody tr")


def test_sorting_and_filtering_ask_nobody_and_a_row_is_one_entry_of_the_history(page, address):
    sent = count_sent(page)
    page.goto(f"{address}/inspect?run={BUNDLED}&more=table&group=0&sample=0")
    expect(rows(page)).to_have_count(128)
    settle(page)
    before, entries = len(sent), page.evaluate("history.length")
    table = page.locator(".solution-table")
    table.get_by_role("button", name="Wrong and missed").click()
    table.get_by_role("columnheader", name="Lowest").get_by_role("button").click()
    expect(table.get_by_role("columnheader", name="Lowest")).to_have_attribute("aria-sort", "ascending")
    lowest = [float(text.replace("−", "-")) for text in table.locator("td.of-lowest").all_inner_texts()]
    assert lowest == sorted(lowest) and len(sent) == before
    table.get_by_role("button", name="Next").click()
    expect(page).to_have_url(re.compile("only=missed&sort=lowest"))
    rows(page).first.focus()
    page.keyboard.press("j")
    expect(table.locator(".place")).to_have_text(f"2 of {len(lowest)}")
    expect(rows(page).nth(1)).to_have_attribute("aria-selected", "true")
    settle(page)
    page.keyboard.press("ArrowDown")
    assert focused(page, "(at) => at.getAttribute('aria-rowindex')") == "4"
    assert page.evaluate("history.length") == entries + 2
    page.go_back()
    expect(table.locator(".place")).to_have_text(f"1 of {len(lowest)}")
