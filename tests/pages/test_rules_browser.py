"""Every rule in a real browser: columns are aligned, hovering asks nobody, keys and clicks lead everywhere, nothing
scrolls away.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED
from tests.support.browser import count_sent, settle
from vimpo_core.rules import RULES

pytestmark = pytest.mark.browser

ROWS = ".rules-view .rule-rows .rule-row"
SHOWN = len([rule for rule in RULES.values() if set(rule.needs) <= {"entropy"}])
"""Rules whose credit a bundled run holds: all but those by the critic, Monte Carlo, Σ π² or the reference's success
rate.
"""
ROW = list(RULES).index("grpo")
"""A rule that is shown, by its row."""


def open_rules(page, address, query=""):
    page.goto(f"{address}/inspect?run={BUNDLED}&step=100&more=rules&a=vimpo{query}")
    expect(page.locator(".rules-view .token").first).to_be_visible()
    expect(page.locator(".rule-diff tbody tr")).to_have_count(8)


def cell(page, rule, token):
    return page.locator(f'.rules-view .token[data-place="rules"][data-row="{rule}"][data-index="{token}"]')


def test_a_token_stands_in_one_column_hovering_asks_no_server_and_what_is_chosen_is_chosen_everywhere(page, address):
    sent = count_sent(page)
    open_rules(page, address)
    expect_columns(page)
    expect_hovering_needs_no_server(page, sent)
    choose_and_go_on_by_key(page)


def expect_columns(page):
    for token in (0, 9, 18):
        cells = page.locator(f'.rules-view .token[data-place="rules"][data-index="{token}"]')
        expect(cells).to_have_count(SHOWN)
        places = cells.evaluate_all("(cells) => cells.map((cell) => Math.round(cell.getBoundingClientRect().left))")
        assert len(places) == SHOWN == 10 and max(places) - min(places) <= 1


def expect_hovering_needs_no_server(page, sent):
    settle(page)
    before = len(sent)
    cell(page, ROW, 5).hover()
    expect(page.locator(f"{ROWS}.head .number")).to_contain_text("#5")
    expect(page.locator(f"{ROWS} .number").nth(ROW + 1)).to_have_text(re.compile(r"[−+]?\d+\.\d\d"))
    settle(page)
    assert len(sent) == before


def choose_and_go_on_by_key(page):
    cell(page, ROW, 5).click()
    expect(page).to_have_url(re.compile("token=5"))
    expect(page.locator(".credit-view .card .token-number")).to_have_text("token #5")
    expect(page.get_by_text(re.compile("numbers of token #5"))).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("token=6"))
    expect(cell(page, ROW, 6)).to_be_focused()
    page.get_by_role("radio", name="Credit in reward units").click()
    expect(page).to_have_url(re.compile("reading=credit"))
    expect(page.locator(".rules-view .legend-unit")).to_contain_text("In reward units")


def test_monte_carlo_credit_is_measured_and_a_solution_of_the_prompt_opens(page, address):
    open_rules(page, address, "&whole=group")
    page.get_by_role("button", name="Measure Monte Carlo values").click()
    expect(page.get_by_text(re.compile("16 tries from every prefix"))).to_be_visible()
    expect(page.locator(".rules-view .rule-rows .absent")).to_have_count(len(RULES) - SHOWN - 1)
    page.locator('.rules-view .token[data-place="group"][data-row="0"][data-index="2"]').click()
    expect(page).to_have_url(re.compile("sample=0"))
    expect(page.locator(".rules-view .group-rows .is-open .strip-title")).to_contain_text("1 ")
