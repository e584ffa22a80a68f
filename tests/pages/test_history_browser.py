"""Back and the menu in a real browser: one press is one entry of the history, and no choice is lost."""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED
from tests.support.browser import settle

pytestmark = pytest.mark.browser

HERE = f"inspect?run={BUNDLED}&step=100&group=8&sample=2"


def open_inspect(page, address):
    page.goto(f"{address}/{HERE}")
    expect(page.get_by_text("Alternatives here")).to_be_visible()


def test_back_from_a_quick_pick_is_the_solution_that_was_left(page, address):
    open_inspect(page, address)
    page.get_by_role("button", name="First wrong one").click()
    expect(page).to_have_url(re.compile("group=0"))
    page.go_back()
    expect(page).to_have_url(f"{address}/{HERE}")
    expect(page.get_by_text("Alternatives here")).to_be_visible()


def test_back_from_inspect_leads_to_the_chapter_that_opened_it(page, address):
    page.goto(f"{address}/learn?chapter=1")
    page.get_by_role("option").nth(5).click()
    page.get_by_role("button", name="Blame #5").click()
    page.get_by_role("link", name="Open this solution in Inspect").click()
    expect(page.get_by_text("Alternatives here")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/learn\?chapter=1$"))
    expect(page.get_by_role("heading", name="Who gets the blame?")).to_be_visible()


def test_the_menu_leads_back_to_the_same_step_and_solution_and_back_goes_on_from_there(page, address):
    open_inspect(page, address)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.get_by_role("link", name="Inspect", exact=True).first.click()
    expect(page).to_have_url(f"{address}/{HERE}")
    expect(page.get_by_text("Alternatives here")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(f"{address}/runs")
    page.go_back()
    expect(page).to_have_url(f"{address}/{HERE}")


def test_on_inspect_each_press_is_one_entry_and_back_visits_what_was_opened_and_nothing_else(page, address):
    open_inspect(page, address)
    presses = [
        lambda: page.get_by_role("button", name="First wrong one").click(),
        lambda: page.locator('.strip-host[data-strip="lens"] .token').nth(3).click(),
        lambda: page.get_by_label("Lens", exact=True).select_option("surprisal"),
        lambda: page.get_by_role("radio", name="Does it add up?").click(),
        lambda: page.get_by_role("radio", name="Take it along").click(),
        lambda: page.get_by_role("radio", name="Token by token").click(),
        lambda: page.get_by_role("radio", name="Type your own").click(),
    ]
    opened, entries = [page.url], page.evaluate("history.length")
    for press in presses:
        settle(page)
        press()
        expect(page).not_to_have_url(opened[-1])
        opened.append(page.url)
    settle(page)
    assert page.evaluate("history.length") == entries + len(presses) and page.url == opened[-1]
    for was in reversed(opened[:-1]):
        page.go_back()
        expect(page).to_have_url(was)
        settle(page)
        assert page.url == was
