"""The views of a solution in a real browser: they open in sight, below the strip; what a click and the keyboard do."""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import BUNDLED, expect_no_sideways_scrolling
from tests.support.sweeps import sweep
from tests.support.waiting import eventually

pytestmark = pytest.mark.browser


def open_section(page, address, more, query=""):
    page.goto(f"{address}/inspect?run={BUNDLED}&more={more}{query}")
    expect(page.get_by_role("button", name="Curve and numbers")).to_be_visible()


def points(page):
    return page.locator(".scatter").get_by_role("option")


def test_all_checks_of_a_bundled_solution_hold_once_the_model_has_answered(page, address):
    open_section(page, address, "sums")
    line = page.get_by_role("row").filter(has_text="Averaged over the vocabulary")
    expect(line).to_contain_text("holds")
    expect(page.get_by_text("does not hold")).to_have_count(0)
    expect(page.get_by_text("hold for all 128 solutions")).to_be_visible()


def test_the_scatter_is_saved_as_a_picture_and_a_click_on_a_point_opens_that_solution(page, address):
    open_section(page, address, "scatter", "&group=0&sample=0")
    expect(points(page)).to_have_count(128)
    with page.expect_download() as got:
        page.locator(".scatter").get_by_role("button", name="PNG").click()
    assert got.value.suggested_filename == "reward-against-telescope.png"
    assert got.value.path().read_bytes()[:4] == b"\x89PNG"
    page.locator(".scatter .point.wrong .mark").first.hover(force=True)
    # Points can lie on each other: the one on top is named, and opened.
    said = page.locator(".scatter .point.active").get_attribute("aria-label")
    sample, group = map(int, re.search(r"solution (\d+) of prompt (\d+)", said).groups())
    page.locator(".scatter .point.active .mark").click(force=True)
    expect(page).to_have_url(re.compile(rf"group={group}&.*sample={sample - 1}(&|$)"))
    expect(page.locator(".scatter .point.chosen")).to_have_attribute("aria-label", said)


def test_the_keyboard_walks_along_the_sum_and_enter_opens(page, address):
    open_section(page, address, "scatter", "&group=0&sample=0")
    page.locator('.scatter .point[tabindex="0"]').focus()
    page.keyboard.press("Home")
    expect(page.locator(".scatter .tip")).to_be_visible()
    sums = []
    for _ in range(3):
        text = page.locator(".scatter .point:focus").get_attribute("aria-label")
        sums.append(float(re.search(r"add up to ([+−]?[\d.]+)", text)[1].replace("−", "-")))
        page.keyboard.press("ArrowRight")
    assert sums == sorted(sums)
    page.keyboard.press("End")
    said = page.locator(".scatter .point:focus").get_attribute("aria-label")
    page.keyboard.press("Enter")
    expect(page.locator(".scatter .point.chosen")).to_have_attribute("aria-label", said)
    expect(page.locator(".scatter .point:focus")).to_have_count(1)


def test_the_link_follows_the_selected_token(page, address):
    open_section(page, address, "take", "&token=3")
    link = page.get_by_test_id("stCode").first
    expect(link).to_contain_text("token=3&")
    page.locator('.strip-host[data-strip="lens"]').get_by_role("option").nth(5).click()
    expect(link).to_contain_text("token=5&")
    with page.expect_download() as got:
        page.get_by_role("button", name="Web page").click()
    assert '"token": 5' in got.value.path().read_text(encoding="utf-8")


@pytest.mark.parametrize("more", sweep(["sums", "scatter", "take"], ["scatter"]))
def test_no_section_scrolls_sideways(page, address, more):
    open_section(page, address, more)
    expect_no_sideways_scrolling(page, height=900)


def test_a_tab_opens_in_sight_below_the_strip_and_one_press_brings_back_curve_and_card(page, address):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{address}/inspect?run={BUNDLED}&token=3")
    expect(page.locator(".card .formulas")).to_be_visible()
    tabs = page.get_by_role("radiogroup", name="Views of this solution")
    at = tabs.bounding_box()["y"]
    tabs.get_by_role("radio", name="Film strip").click()
    expect(page).to_have_url(re.compile("token=3&more=film"))
    map_ = page.locator(".film-strip .map svg")
    expect(map_).to_be_visible()
    assert tabs.bounding_box()["y"] == at, "the tabs stay where they are"
    assert map_.bounding_box()["y"] < 600
    page.locator(".film-strip .play").click()
    eventually(lambda: map_.bounding_box()["y"] + map_.bounding_box()["height"] < 901)  # a page scrolls by whole pixels
    expect(page.locator(".film-strip .play")).to_be_in_viewport()
    expect(page.locator(".card .formulas")).to_be_hidden()
    expect(page.locator('.strip-host[data-strip="lens"]').get_by_role("option", selected=True)).to_have_text("+")
    page.get_by_role("button", name="Curve and numbers").click()
    expect(page.locator(".card .formulas")).to_be_visible()
    expect(page.locator(".credit-view .left .curve svg")).to_be_visible()
    expect(map_).to_be_visible()


def test_on_a_phone_a_link_to_a_tab_begins_at_the_strip_not_at_the_pickers(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    open_section(page, address, "scatter")
    page.wait_for_function("() => document.querySelector('.st-key-telescope').getBoundingClientRect().top < 400")
