"""Is it right? and the Scorecard in a real browser: the truth refines in place, selection is shared, links lead on."""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser


def open_truth(page, address, query=""):
    page.goto(f"{address}/inspect?run={BUNDLED}&step=100&more=truth{query}")
    expect(page.locator(".truth .plot svg")).to_be_visible()


def test_the_truth_is_refined_by_itself_without_losing_the_drawing(page, address):
    open_truth(page, address)
    expect(page.get_by_text(re.compile("256 tries from each of"))).to_be_visible()
    expect(page.locator(".truth .readout")).to_contain_text("256 tries from each prefix")
    dots, tokens = page.locator(".truth .dot"), page.locator(".truth .curve-token")
    eventually(lambda: dots.count() == tokens.count() + 1)  # one in the key
    expect(page.locator(".truth .plot .curve-wrong")).to_have_count(1)
    for line in (".implied", ".tried", ".soft"):
        expect(page.locator(f".truth .plot {line}")).to_have_count(1)


def test_a_token_selected_here_is_selected_above_and_in_the_address(page, address):
    open_truth(page, address, "&token=2")
    expect(page.get_by_text(re.compile("256 tries from each of"))).to_be_visible()
    plot = page.locator(".truth .plot")
    expect(plot).to_have_attribute("aria-valuenow", "2")
    plot.focus()
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuenow", "3")
    expect(page).to_have_url(re.compile("token=3"))
    expect(page.locator(".credit-view:not(.truth) .card .token-number")).to_have_text("token #3")
    expect(plot).to_be_focused()


@pytest.mark.slow
def test_a_scorecard_is_measured_and_leads_to_a_solution_with_its_truth(page, address):
    page.goto(f"{address}/scorecard?run={BUNDLED}&step=50&solutions=64")
    expect(page.get_by_text("The most instructive solutions")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    with page.context.expect_page() as opened:
        page.locator(".solutions .closer").first.click()
    inspect = opened.value
    expect(inspect).to_have_url(re.compile("mode=typed"))
    expect(inspect.locator(".truth .plot svg")).to_be_visible()
    expect(inspect.locator(".truth .token-wrong")).to_have_text("first wrong")
