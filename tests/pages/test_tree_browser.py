"""The tree lab in a real browser: a slider redraws, a leaf toggles, arrow keys walk, the descent plays; links restore
it.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import every_text
from tests.support.browser import count_sent, settle

pytestmark = pytest.mark.browser


def open_tree(page, address, query=""):
    page.goto(f"{address}/tree?{query}")
    expect(page.locator(".tree-lab .node").first).to_be_visible()


def node(page, letters):
    """The node of a path in a tree of three tokens."""
    index = 0
    for letter in letters:
        index = 3 * index + 1 + "abc".index(letter)
    return page.locator(f'.tree-lab .node[data-index="{index}"]').first


def caption(page):
    return page.locator(".tree-lab .trees figcaption").first


def set_slider(page, name, position):
    page.locator(f'.tree-lab [data-control="{name}"] input').fill(str(position))


def test_the_beta_slider_redraws_the_tree_and_goes_to_the_address(page, address):
    open_tree(page, address, "depth=4&policy=local")
    expect(page.locator(".tree-lab .node")).to_have_count(121)
    before = caption(page).inner_text()
    set_slider(page, "beta", 100)
    expect(page).to_have_url(re.compile(r"beta=2\.0"))
    expect(caption(page)).not_to_have_text(before)
    expect(page.locator('.tree-lab [data-control="beta"] output')).to_have_text("2")


def test_dragging_a_slider_asks_one_question_at_a_time_and_ends_at_the_last_value(page, address):
    sent = count_sent(page)
    open_tree(page, address, "policy=local")
    settle(page)
    before = len(sent)
    page.locator('.tree-lab [data-control="beta"] input').evaluate(
        """(input) => { for (let k = 0; k <= 90; k++) {
            input.value = k; input.dispatchEvent(new Event("input", { bubbles: true }));
        } }"""
    )
    expect(page).to_have_url(re.compile(r"beta=1\.3"))
    assert len(sent) - before <= 4  # the first value, then the newest: never ninety


def test_a_click_on_a_leaf_changes_its_reward_and_a_reload_keeps_it(page, address):
    open_tree(page, address, "policy=local")
    leaf = node(page, "aaa")
    expect(leaf).to_have_attribute("data-reward", "1")
    before = caption(page).inner_text()
    leaf.locator(".mark").click()
    expect(leaf).to_have_attribute("data-reward", "0")
    expect(page).to_have_url(re.compile("rewards="))
    expect(caption(page)).not_to_have_text(before)
    page.reload()
    expect(node(page, "aaa")).to_have_attribute("data-reward", "0")
    page.get_by_role("button", name="Reset").click()
    expect(node(page, "aaa")).to_have_attribute("data-reward", "1")
    expect(page).to_have_url(re.compile(r"/tree\??$"))


def test_arrow_keys_walk_a_path_and_its_terms_add_up_on_the_screen(page, address):
    open_tree(page, address, "policy=local&path=start")
    node(page, "").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(node(page, "bab")).to_be_focused()
    said = re.compile(r"^b after ba, probability 0\.\d\d, value")
    expect(node(page, "bab")).to_have_attribute("aria-label", said)
    expect(page.locator(".tree-lab .terms h4")).to_have_text("Path bab, local fixed point")
    rows = page.locator(".tree-lab .terms tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    number = lambda text: round(1000 * float(text.replace("−", "-")))  # noqa: E731
    value = number(rows[0][-1])
    for *_, rho, kappa, delta, after in rows[1:]:
        assert number(rho) - number(kappa) == number(delta)
        value += number(delta)
        assert value == number(after)
    expect(page.locator(".tree-lab .terms .sum")).to_contain_text("residual 0.000")
    expect(page).to_have_url(re.compile("path=bab"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("rewards="))
    expect(node(page, "bab")).to_be_focused()


def test_pointing_at_a_path_shows_its_terms_without_asking_the_server(page, address):
    sent = count_sent(page)
    open_tree(page, address, "policy=soft&loss=rho")
    settle(page)
    before = len(sent)
    node(page, "cc").hover()
    expect(page.locator(".tree-lab .terms h4")).to_have_text("Path cc, soft optimum")
    expect(page.locator(".tree-lab .terms .sum")).to_contain_text("So far")
    assert len(sent) == before


def test_the_reference_of_an_edge_can_be_set_and_its_siblings_share_the_rest(page, address):
    open_tree(page, address, "policy=reference&path=b")
    page.get_by_label("Reference: b at the start, probability in percent").fill("40")
    expect(page).to_have_url(re.compile(r"ref=\.\d+-40-\d+"))
    expect(node(page, "b").locator(".edge-name")).to_have_text("b .40")


@pytest.mark.parametrize("loss, goes_to, keeps_off", [("kappa", "local", "soft"), ("rho", "soft", "local")])
def test_the_descent_plays_to_its_own_optimum_without_asking_the_server(page, address, loss, goes_to, keeps_off):
    sent = count_sent(page)
    open_tree(page, address, f"loss={loss}&policy=descent&at=35")
    settle(page)
    before = len(sent)
    shown = every_text(page, page.locator(".tree-lab .at-step"), sent)
    page.locator(".tree-lab .play").click()
    expect(page).to_have_url(re.compile("at=60"))
    expect(page.locator(".tree-lab .play")).to_contain_text("Play")
    assert shown.items() >= {f"step {step} of 60": before for step in range(36, 61)}.items()
    names = {"local": "the local fixed point", "soft": "the soft optimum"}
    where = page.locator(".tree-lab .where")
    expect(where).to_contain_text(f"0.000 to {names[goes_to]}")
    expect(where).not_to_contain_text(f"0.000 to {names[keeps_off]}")
    page.get_by_role("button", name="Rewind").click()
    page.get_by_role("button", name="Step").click()
    expect(page.locator(".tree-lab .at-step")).to_have_text("step 1 of 60")


def test_play_from_another_view_fetches_the_frames_and_starts(page, address):
    open_tree(page, address)
    page.locator(".tree-lab .play").click()
    expect(page.locator(".tree-lab .at-step")).to_have_text(re.compile(r"step [1-9]\d? of 60"))
    page.keyboard.press("Escape")
    expect(page.locator(".tree-lab .play")).to_contain_text("Play")
    expect(page).to_have_url(re.compile("policy=descent"))


def test_with_reduced_motion_nothing_moves_by_itself_and_nothing_slides(page, address):
    page.emulate_media(reduced_motion="reduce")
    open_tree(page, address, "policy=descent")
    page.locator(".tree-lab .play").click()
    expect(page.locator(".tree-lab .at-step")).to_have_text(re.compile(r"step [1-9]\d? of 60"))
    assert "moving" not in page.locator(".tree-lab").get_attribute("class")
    duration = node(page, "a").locator(".edge").evaluate("(e) => getComputedStyle(e).transitionDuration")
    assert duration == "0s"
