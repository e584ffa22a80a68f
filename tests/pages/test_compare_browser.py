"""The Compare page in a real browser: reading values without the server, emphasis, saving, both themes."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import count_sent, settle
from tests.support.fakes import make_fake_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def link(served, address):
    small = {"prompts_per_step": 2, "group_size": 2, "eval_every": 5}
    keys = [
        make_fake_run(served.path, algorithm, 20, seed, **small)
        for algorithm in ("vimpo", "grpo")
        for seed in (0, 1, 2)
    ]
    return f"{address}/compare?runs={','.join(keys)}"


def open_compare(page, link):
    page.goto(link)
    expect(page.locator(".compare[data-drawn] .panel svg")).to_have_count(4)


def test_pointing_and_arrow_keys_read_values_and_the_legend_brings_an_arm_forward_without_the_server(page, link):
    sent = count_sent(page)
    open_compare(page, link)
    settle(page)
    before = len(sent)
    first = page.locator(".compare .panel svg").first
    first.hover()
    tip = page.locator(".compare .tip")
    expect(tip).to_contain_text(re.compile(r"step \d+"))
    expect(tip).to_contain_text(re.compile(r"GRPO[\d.]+ %[\d.]+ % to [\d.]+ %"))
    first.focus()
    page.keyboard.press("End")
    expect(tip).to_contain_text("step 20")
    page.locator(".compare .panel svg").last.focus()
    page.keyboard.press("Home")
    expect(tip).to_contain_text("mean of 3 seeds, step 0")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.locator(".compare .legend").get_by_role("button", name="GRPO").click()
    expect(page.locator('.compare .arm.back[data-arm="0"]')).to_have_count(4)
    expect(page.locator('.compare .arm.back[data-arm="1"]')).to_have_count(0)
    settle(page)
    assert len(sent) == before


def test_the_axis_redraws_and_stays_in_the_link_and_the_figure_is_saved(page, link):
    open_compare(page, link)
    page.get_by_role("radio", name="Sampled tokens").click()
    expect(page.locator(".compare text.axis").first).to_have_text("sampled tokens")
    expect(page).to_have_url(re.compile("x=tokens"))
    with page.expect_download() as got:
        page.locator(".compare").get_by_role("button", name="SVG").click()
    saved = got.value.path().read_text(encoding="utf-8")
    assert got.value.suggested_filename == "comparison.svg"
    assert (
        "Sampled accuracy" in saved
        and ">3 seeds<" in saved
        and re.search(r"GRPO: grpo-\d+, grpo-\d+ and grpo-\d+<", saved)
        and "oklab" not in saved
    )


def test_a_number_leads_to_its_runs(page, link):
    open_compare(page, link)
    row = page.locator(".link-table tbody tr").filter(has_text="GRPO").first
    with page.context.expect_page() as opened:
        row.locator("td").nth(1).get_by_role("link").click()
    expect(opened.value.get_by_text("Show all")).to_be_visible()
    expect(opened.value.get_by_role("checkbox", name=re.compile("GRPO, seed [012]"))).to_have_count(3)
