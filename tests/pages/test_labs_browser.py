"""Chapters 5 and 6 over the real lab processes: a press moves the network, a failure is trained in front of the
reader.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import expect_no_sideways_scrolling

pytestmark = pytest.mark.browser


def commit(page, option):
    page.get_by_text(option).click()
    page.get_by_role("button", name="Commit and see").click()


def test_the_actor_moves_nothing_until_the_value_loss_has(page, address):
    page.goto(f"{address}/learn?chapter=5")
    commit(page, "None: nothing moves at all")
    expect(page.get_by_text("Before any press policy and reference are one network")).to_be_visible()
    for lever, says in (
        ("Step the actor", "The actor moved nothing."),
        ("Step the value loss", "In its gradient every token of a solution is pushed alike"),
        ("Step the actor", "It looked at no reward"),
    ):
        page.get_by_role("button", name=lever).click()
        expect(page.get_by_text(says)).to_be_visible()
    expect(page).to_have_url(re.compile("press=ava"))
    expect(page.get_by_role("img", name=re.compile("^log π, this press: up to"))).not_to_have_count(0)
    expect_no_sideways_scrolling(page)


@pytest.mark.slow
def test_a_failure_is_trained_live_to_its_verdict(page, address):
    page.goto(f"{address}/learn?chapter=6&failure=loss_zero")
    commit(page, "V becomes flat, and it learns as well as before")
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text("The actor's loss never left 0")).to_be_visible()
    expect(page.get_by_text("Way out.")).to_be_visible()
    expect_no_sideways_scrolling(page)
