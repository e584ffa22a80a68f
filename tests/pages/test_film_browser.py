"""The film strip in a real browser: it plays without the server, answers keys, and keeps to the address."""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED, every_text
from tests.support.browser import count_sent, settle
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser


def open_film(page, address, query=""):
    page.goto(f"{address}/inspect?run={BUNDLED}&more=film{query}")
    expect(page.locator(".film-strip .map svg")).to_be_visible()


def count_tokens(page) -> int:
    tokens = page.locator(".film-strip .strip .token")
    expect(tokens).not_to_have_count(0)
    return tokens.count()


def signs_of_cells(page) -> list[str]:
    return page.locator(".film-strip .cell").evaluate_all("(cells) => cells.map((c) => c.dataset.sign)")


def at_step(page):
    return page.locator(".film-strip .at-step")


def test_every_step_and_token_is_a_cell_the_first_wrong_token_is_red_and_the_lens_changes_them_all(page, address):
    open_film(page, address)
    tokens = count_tokens(page)
    expect(page.locator(".film-strip .cell")).to_have_count(11 * tokens)
    expect(page.locator(".film-strip .map .curve-wrong")).to_have_count(1)
    signs = signs_of_cells(page)
    assert set(signs[:tokens]) == {"0"}, "no credit at step 0"
    assert "-" in signs[tokens:]
    page.get_by_label("Lens of the film strip").select_option("entropy")
    eventually(lambda: set(signs_of_cells(page)) == {"amount"})
    expect(page).to_have_url(re.compile("lens=entropy"))


def test_play_runs_to_the_last_step_without_a_server_round_trip(page, address):
    sent = count_sent(page)
    open_film(page, address, "&film=80")
    settle(page)
    before = len(sent)
    shown = every_text(page, at_step(page), sent)
    page.locator(".film-strip .play").click()
    expect(page).to_have_url(re.compile(r"film=100"))
    expect(page.locator(".film-strip .play")).to_contain_text("Play")
    assert shown.items() >= {"step 90 of 100": before, "step 100 of 100": before}.items()


def test_arrow_keys_move_over_steps_and_tokens_and_the_credit_view_follows(page, address):
    open_film(page, address, "&film=50&token=4")
    page.locator(".film-strip .map .plot").focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(at_step(page)).to_have_text("step 40 of 100")
    expect(page).to_have_url(re.compile(r"film=40"))
    expect(page).to_have_url(re.compile(r"token=6"))
    expect(page.locator(".card .token-number")).to_have_text("token #6")


def test_the_scrubber_moves_the_curve_and_a_click_on_a_cell_selects_it(page, address):
    open_film(page, address)
    line = page.locator(".film-strip .now-line")
    at_first = line.get_attribute("d")
    page.get_by_label("Step of training").fill("3")
    expect(at_step(page)).to_have_text("step 30 of 100")
    expect(line).not_to_have_attribute("d", at_first)
    count = count_tokens(page)
    page.locator(".film-strip .cell").nth(5 * count + 2).click(force=True)
    expect(at_step(page)).to_have_text("step 50 of 100")
    expect(page.locator(".film-strip .map .readout")).to_contain_text("token #2")


def test_with_reduced_motion_nothing_slides_and_a_frame_stays_longer(page, address):
    page.emulate_media(reduced_motion="reduce")
    open_film(page, address, "&film=80")
    duration = page.locator(".film-strip .now-line").evaluate("(line) => getComputedStyle(line).transitionDuration")
    assert duration == "0s"
    page.evaluate(
        """() => {
            window.pauses = [];
            const real = setInterval;
            window.setInterval = (act, pause_ms) => { window.pauses.push(pause_ms); return real(act, pause_ms); };
        }"""
    )
    page.locator(".film-strip .play").click()
    expect(at_step(page)).to_have_text("step 100 of 100")
    assert page.evaluate("window.pauses") == [1200], "without it at most 700"


@pytest.mark.slow
def test_a_fork_from_the_form_trains_on_under_train(page, address):
    open_film(page, address, "&film=0")
    page.get_by_text("Train on from step 0").first.click()
    steps = page.get_by_label("Steps, the past included", exact=True)
    steps.fill("2")
    steps.press("Enter")
    page.get_by_text("New: starts at once").click()
    page.get_by_role("button", name="Train on from step 0").click()
    expect(page).to_have_url(re.compile("/train"))
    expect(page.get_by_text("Finished.")).to_be_visible()
    expect(page.get_by_text("step 2/2")).to_be_visible()
