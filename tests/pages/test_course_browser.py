"""The course as a person meets it: chapter 1 by keyboard alone, what the browser remembers, chapter 2 over real
scoring.
"""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from app.course.link import lock_of
from tests.pages.in_browser import focused
from tests.support.browser import settle

pytestmark = pytest.mark.browser


ROLE_AND_NAME = """(at) => [
    at?.getAttribute("role") ?? at?.tagName.toLowerCase(), at?.getAttribute("aria-label") ?? at?.innerText ?? "",
]"""


def tab_to(page, role, name=""):
    """Press Tab until something of this role whose name holds `name` has the focus."""
    settle(page)
    for _ in range(40):
        page.keyboard.press("Tab")
        found = focused(page, ROLE_AND_NAME)
        if found[0] == role and name in found[1]:
            return
    raise AssertionError(f"Tab never reached {role} {name!r}; it ended at {found}")


def test_chapter_1_by_keyboard_alone_and_the_browser_remembers_it(page, address):
    page.goto(f"{address}/learn?chapter=1")
    expect(page.get_by_role("option").first).to_be_visible()
    tab_to(page, "option")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("option").nth(5)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("button", name="Blame #5")).to_be_enabled()
    tab_to(page, "button", "Blame #5")
    page.keyboard.press("Enter")
    for row in (
        "GRPO would push",
        "VIMPO pushes",
        "Read off VIMPO’s policy: δ",
        "You",
        "Surprisal",
        "The truth, Q − V",
    ):
        expect(page.get_by_role("listbox", name=re.compile(f"^{row}, "))).to_be_visible()
    tab_to(page, "option")
    page.keyboard.press("End")
    expect(page.locator(".readout")).to_contain_text(re.compile(r"GRPO .*VIMPO .*δ .*Surprisal .*truth"))
    page.reload()
    expect(page.get_by_text("You marked #5")).to_be_visible()
    tab_to(page, "button", "Next: Two levers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Two levers")).to_be_visible()
    page.get_by_role("button", name="All chapters").click()
    expect(page.get_by_role("button", name="Read again")).to_have_count(1)


def test_chapter_2_a_wrong_answer_is_explained_and_the_bars_part_as_training_goes_on(page, address):
    page.goto(f"{address}/learn?chapter=2")
    page.get_by_text("Negative where the model found its own token unlikely").click()
    page.get_by_role("button", name="Commit and see").click()
    expect(page.get_by_text("a property of one network")).to_be_visible()
    policy, reference = (page.get_by_role("img", name=re.compile(f"^{who}")) for who in ("policy π", "reference π_ref"))
    before = [bar.get_attribute("aria-label").split(": ")[1] for bar in (policy, reference)]
    assert before[0] == before[1]
    page.get_by_role("slider", name="Training step").press("End")
    expect(page.get_by_text("After 100 updates")).to_be_visible()
    expect(policy).not_to_have_attribute("aria-label", f"policy π: {before[0]}")
    expect(reference).to_have_attribute("aria-label", f"reference π_ref: {before[1]}")
    expect(page).to_have_url(re.compile("step=100"))


def test_a_teachers_link_hides_and_locks_and_the_word_opens(page, address):
    link = f"{address}/learn?chapter=2&hide=run:vimpo-beta-0.1,step:100,onward&large=1&lock={lock_of('wombat')}&step=0&run=grpo"
    page.goto(link)
    page.get_by_text("0, for every token").click()
    page.get_by_role("button", name="Commit and see").click()
    page.get_by_label("Word", exact=True).fill("wombat")
    page.get_by_label("Word", exact=True).press("Enter")
    expect(page.get_by_text("After 100 updates")).to_be_visible()
    for role, name in (
        ("slider", "Training step"),
        ("combobox", "Run"),
        ("button", "All chapters"),
        ("button", "Next"),
    ):
        expect(page.get_by_role(role, name=name)).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download your hand-in").click()
    handed_in = json.loads(Path(download.value.path()).read_text())
    assert handed_in["answers"] == {"pair": {"zero": "zero"}}
    page.goto(f"{address}/teach?part=hand-ins")
    page.locator("input[type=file]").set_input_files(
        {"name": "one.json", "mimeType": "application/json", "buffer": json.dumps(handed_in).encode()}
    )
    expect(page.get_by_text("1 hand-in", exact=True)).to_be_visible()
    expect(page.get_by_text("0, for every token: 1 of 1")).to_be_visible()
