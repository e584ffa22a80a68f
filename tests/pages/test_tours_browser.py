"""The tours in a real browser: the ring surrounds the real element, follows it, blocks nothing; a whole tour of
Inspect.
"""

import re

import pytest
from playwright.sync_api import expect

from app.course import tours
from tests.pages.in_browser import BUNDLED, expect_as_wide_as_its_window, focused
from tests.support.accessibility import grave_violations
from tests.support.browser import settle
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser

TARGETS = [step.target for step in tours.TOURS["inspect"]]


def start(page, address, number=1, run=BUNDLED):
    page.goto(f"{address}/inspect?run={run}&tour={number}")
    expect_step(page, number)


def expect_step(page, number):
    expect(page.locator(".tour .progress")).to_have_text(f"{number} of {len(TARGETS)}")


def target(page, number):
    return page.locator(TARGETS[number - 1]).first


def tokens(page):
    return page.locator('.strip-host[data-strip="lens"]').get_by_role("option")


def expect_ringed(page, number):
    """The ring surrounds the element closely, is in sight, and the note does not cover the element."""
    expect(page.locator(".ring")).to_be_visible()
    page.wait_for_function(_IS_RINGED, arg=[TARGETS[number - 1], 12], polling=100)  # it looks through the whole page


_IS_RINGED = """([selector, most]) => {
    const find = (selector, scope) => scope.querySelector(selector)
        ?? [...scope.querySelectorAll('*')].reduce((found, host) => found ?? (host.shadowRoot && find(selector, host.shadowRoot)), null);
    const box = (selector) => find(selector, document).getBoundingClientRect();
    const [ring, inner, note] = [box('.tour .ring'), box(selector), box('.tour .note')];
    const gaps = [inner.left - ring.left, inner.top - ring.top, ring.right - inner.right, ring.bottom - inner.bottom];
    const isApart = note.right <= inner.left || note.left >= inner.right || note.bottom <= inner.top || note.top >= inner.bottom;
    return gaps.every((gap) => gap >= 0 && gap <= most) && isApart && inner.top < innerHeight && inner.bottom > 0;
}"""


def choose_other_token(page):
    tokens(page).nth(2).click()


def walk_by_key(page):
    tokens(page).nth(2).focus()
    page.keyboard.press("ArrowRight")


def drag_left(label):
    def act(page):
        page.get_by_role("slider", name=label).first.focus()
        page.keyboard.press("ArrowLeft")

    return act


def choose_other_solution(page):
    page.locator(".st-key-url-sample").get_by_role("combobox").press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


ACTIONS = [
    choose_other_token,
    walk_by_key,
    lambda page: page.get_by_label("Lens", exact=True).select_option("surprisal"),
    drag_left("beta"),
    drag_left("Training step"),
    choose_other_solution,
    lambda page: page.get_by_role("radio", name="Does it add up?").click(),
]


def test_a_whole_tour_of_inspect(page, address):
    page.goto(f"{address}/inspect?run={BUNDLED}")
    page.get_by_role("button", name="Show me around").click()
    for number, act in enumerate(ACTIONS, 1):
        expect_step(page, number)
        expect_ringed(page, number)
        expect(page).to_have_url(re.compile(rf"[?&]tour={number}(&|$)"))
        expect(page.locator(".tour .said")).to_have_text("")
        act(page)
        expect(page.locator(".tour .said")).to_contain_text(tours.TOURS["inspect"][number - 1].said)
        expect(page.locator(".tour .spoken")).to_contain_text("Done.")
        page.locator(".tour .next").click()
    expect(page.locator(".tour")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("tour="))
    expect(page.get_by_role("button", name="Show me around")).to_be_focused()


def test_the_ring_follows_scrolling_and_a_narrow_window(page, address):
    start(page, address, 2)
    expect_ringed(page, 2)
    page.mouse.move(700, 500)
    page.mouse.wheel(0, 150)
    expect_ringed(page, 2)
    page.set_viewport_size({"width": 800, "height": 900})
    expect_ringed(page, 2)
    expect_as_wide_as_its_window(page)


def test_focus_goes_to_the_note_and_to_the_element_and_back_and_escape_ends(page, address):
    page.goto(f"{address}/inspect?run={BUNDLED}")
    page.get_by_role("button", name="Show me around").press("Enter")
    expect(page.get_by_role("dialog", name="Select a token")).to_be_focused()
    page.keyboard.press("F6")
    eventually(lambda: focused(page, "(at) => at?.getAttribute('role')") == "option")
    page.keyboard.press("F6")
    expect(page.get_by_role("dialog", name="Select a token")).to_be_focused()
    settle(page)
    page.keyboard.press("Escape")
    expect(page.locator(".tour")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("tour="))
    expect(page.get_by_role("button", name="Show me around")).to_be_focused()


def test_escape_closes_an_open_list_and_not_the_tour(page, address):
    start(page, address, 6)
    box = page.locator(".st-key-url-sample").get_by_role("combobox")
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-expanded", "true")  # tokens are options too
    page.keyboard.press("Escape")
    expect_step(page, 6)
    expect(page).to_have_url(re.compile("tour=6"))


def test_pointing_at_a_curve_counts_on_train(page, address):
    number = next(n for n, step in enumerate(tours.TOURS["train"], 1) if step.until)
    page.goto(f"{address}/train?tour={number}")
    expect(page.locator(".tour .progress")).to_have_text(f"{number} of {len(tours.TOURS['train'])}")
    expect(page.locator(".ring")).to_be_visible()
    expect(page.locator(".tour .said")).to_have_text("")
    page.get_by_role("img", name=re.compile("^Accuracy")).hover()
    expect(page.locator(".tour .said")).to_contain_text("VIMPO is drawn solid")


def test_what_is_not_on_the_page_is_said_and_can_be_skipped(page, address):
    page.goto(f"{address}/train?tour=3")
    expect(page.get_by_text("This is not on the page at the moment.")).to_be_visible()
    expect(page.locator(".ring")).to_be_hidden()
    page.locator(".tour .next").click()
    expect(page.locator(".tour .progress")).to_have_text("4 of 6")


def test_a_tour_has_no_grave_violation_and_scrolls_at_once_with_reduced_motion(themed_page, address):
    themed_page.emulate_media(reduced_motion="reduce")
    themed_page.add_init_script(
        "Element.prototype.scrollIntoView = function (how) { window.scrolled = how.behavior; };"
    )
    themed_page.set_viewport_size({"width": 800, "height": 700})
    start(themed_page, address, 2)
    settle(themed_page)
    themed_page.wait_for_function("window.scrolled === 'auto'")
    assert not (found := grave_violations(themed_page)), "\n".join(map(str, found))
