"""What if? in a real browser, on the bundled run and with the real service."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED, expect_no_sideways_scrolling

pytestmark = pytest.mark.browser


def open_branch(page, address, query=""):
    page.goto(f"{address}/inspect?run={BUNDLED}&more=branch{query}")


def force_first(page):
    page.locator('[class*="st-key-branch-force"] button').first.click()
    expect(page.locator(".pair-view .second-line")).to_be_visible()


def strip(page, side):
    return page.locator(f'.pair-view .strip-host[data-side="{side}"]')


def test_forcing_branching_again_and_exporting(page, address):
    open_branch(page, address)
    force_first(page)
    expect(page.locator(".pair-view .rates .rate-words")).to_have_count(2)
    expect(page.locator(".pair-view .tried-dot")).to_have_count(2)
    expect(strip(page, 0).locator(".token.fork")).to_have_count(1)
    expect(page.locator(".pair-view .endings section")).to_have_count(2)
    strip(page, 1).locator(".token").nth(4).click()
    expect(page.get_by_text(re.compile("Fork at token #4"))).to_contain_text("of the branch")
    page.get_by_label("Or type what to force", exact=True).fill("9")
    page.get_by_role("button", name="Force it").click()
    expect(page.get_by_test_id("stRadio").get_by_role("radio")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export the tree").click()
    exported = json.loads(download.value.path().read_text(encoding="utf-8"))
    first, second = exported["branches"]
    assert (first["parent"], second["parent"], second["forced"]) == ("", first["id"], "9")
    strip(page, 0).locator(".token").nth(2).click()
    expect(page.get_by_text(re.compile("Fork at token #2"))).to_be_visible()
    page.locator(".credit-view:not(.pair-view) .strip-host .token").nth(1).click()
    expect(page.get_by_text(re.compile("Fork at token #1 "))).to_contain_text("of the solution above")


def test_an_edit_is_drawn_and_opened_in_typed_mode(page, address):
    open_branch(page, address, "&what=edit")
    field = page.get_by_role("textbox", name="Edit the solution")
    expect(field).not_to_have_value("")  # it is drawn empty and filled after that
    text = field.input_value()
    field.fill(text[:2] + "3" + text[2:])
    page.get_by_role("button", name="Compare with the original").click()
    expect(strip(page, 2).locator(".token")).to_have_count(len(text) + 1)
    expect(page.locator(".pair-view .readout")).to_contain_text("no counterpart")
    page.get_by_label("Difference to show").select_option("values")
    page.get_by_text("Every token in numbers").click()
    expect(page.locator(".numbers tbody tr")).to_have_count(len(text) + 1)
    page.get_by_role("button", name="Look closer").click()
    expect(page).to_have_url(re.compile("mode=typed"))
    expect(page.locator(".credit-view .strip-host[data-strip=lens] .token")).to_have_count(len(text) + 1)
    expect(page.get_by_role("textbox", name="Solution", exact=True)).to_have_value(text[:2] + "3" + text[2:])


def test_it_fits_the_window(themed_page, address):
    open_branch(themed_page, address)
    force_first(themed_page)
    expect_no_sideways_scrolling(themed_page)
