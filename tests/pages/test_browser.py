"""The app in a real browser: what only a browser shows. One server for the whole file, real training, real scoring."""

import dataclasses
import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app import cache
from app.start import example
from tests.pages.in_browser import BUNDLED, expect_as_wide_as_its_window, focused
from tests.support.browser import count_sent, settle
from tests.support.fakes import FakeTrainer
from tests.support.waiting import eventually
from vimpo_core.config import TrainConfig
from vimpo_core.paths import DEMOS
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.types import RunState
from vimpo_core.views import rules_view

pytestmark = pytest.mark.browser

PAGES = {
    "": "Who gets the blame?",
    "train": "Credit that stays readable",
    "inspect": "Alternatives here",
    "runs": "Compare",
}
"""Address -> words at the end of what the page draws."""

SMALL = {"prompts_per_step": 2, "group_size": 4, "eval_prompts": 8}


def strip(page: Page, which: str):
    """The strip of the credit view that is coloured by a lens, or by what "grpo" or "vimpo" pushes."""
    return page.locator(f'.strip-host[data-strip="{which}"]')


def tokens(page: Page, which: str = "lens"):
    return strip(page, which).get_by_role("option")


def open_start(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("option").first).to_be_visible()


def open_inspect(page: Page, address: str, query: str = f"run={BUNDLED}") -> int:
    """Open the Inspect page; returns how many tokens the solution has."""
    page.goto(f"{address}/inspect?{query}")
    expect(page.get_by_text("Alternatives here")).to_be_visible()
    return tokens(page).count()


def expect_selected(page: Page, token: int) -> None:
    """All strips, the value curve, the card and the address agree on the selected token."""
    for which in ("lens", "grpo", "vimpo"):
        expect(tokens(page, which).nth(token)).to_have_attribute("aria-selected", "true")
        expect(strip(page, which).locator('[aria-selected="true"]')).to_have_count(1)
    expect(page.locator(".card .token-number")).to_have_text(f"token #{token}")
    centre = "(band) => Number(band.getAttribute('x')) + Number(band.getAttribute('width')) / 2"
    band = page.locator(".band.selection")
    label = page.locator(".curve-token").nth(token)
    eventually(lambda: abs(band.evaluate(centre) - float(label.get_attribute("x"))) < 1)
    expect(page).to_have_url(re.compile(rf"[?&]token={token}(&|$)"))


# --- every page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "theme"), [*((path, "light") for path in PAGES), ("runs", "dark")])
def test_page_opens_without_an_error_in_the_theme_that_is_preferred(page, address, path, theme):
    page.emulate_media(color_scheme=theme)
    page.goto(f"{address}/{path}")
    expect(page.get_by_text(PAGES[path], exact=True)).to_be_visible()
    white, paper = "rgb(255, 255, 255)", expect(page.locator(".stApp"))
    (paper.to_have_css if theme == "light" else paper.not_to_have_css)("background-color", white)
    expect(page.get_by_test_id("stException")).to_have_count(0)


# --- Start -----------------------------------------------------------------------------------------------------------


def numbers_of(page: Page, count: int) -> np.ndarray:
    """What the three rows say of each token, walked by the keys: [rows, tokens]."""
    page.locator(".credit-rows .host").first.get_by_role("option").first.focus()
    said = []
    for token in range(count):
        page.keyboard.press("Enter" if token == 0 else "ArrowRight")
        said.append(page.locator(".readout").inner_text())
        assert said[-1].startswith(f"#{token} ")
    found = [re.findall(r"(?:GRPO|VIMPO|δ) ([-+]?[0-9.]+)", one.replace("−", "-")) for one in said]
    return np.array(found, float).T


def test_start_shows_the_numbers_of_every_rule_at_any_lambda_and_beta_asks_nobody_and_is_after_back_as_it_was_left(
    page, address
):
    sent = count_sent(page)
    open_start(page, address)
    settle(page)
    asked = len(sent)
    found = example.picture()
    traces, index = cache.traces(found.folder, found.run.run_id, found.run.created, found.step), found.found.index
    count, config = len(found.trace.text), found.run.config.at(found.step)
    places = {"λ": page.get_by_role("slider").nth(0), "β": page.get_by_role("slider").nth(1)}
    moves = ((1.0, 0.3, []), (0.0, 0.3, [("λ", "Home")]), (0.01, 0.6, [("λ", "ArrowRight"), ("β", "End")]))
    for gae_lambda, beta, keys in moves:
        for name, key in keys:
            places[name].press(key)
        read = dataclasses.replace(config, gae_lambda=gae_lambda, beta=beta)
        batch = rules_view.batch_of(traces, read, ChainTask(config.operands).max_new_tokens)
        judged = rules_view.judge(batch, ("grpo", "vimpo", "vimpo_value"))
        expected = [rules_view.shown_credit(batch, one, rule, index) for rule, one in judged.items()]
        expected = np.array([values / 10**decimals for values, decimals in expected])
        # The last of the two digits on Start; Every rule rounds log-probabilities before it adds them up.
        np.testing.assert_allclose(numbers_of(page, count), expected, atol=0.0051 + 2e-3)
        beyond = [int((np.abs(row) > 1).sum()) for row in expected]  # of this picture's scale, -1 to +1
        rows = page.locator(".credit-rows .host").all()
        assert [row.locator("[data-beyond][title^='Beyond the scale']").count() for row in rows] == beyond
        expect(page.get_by_text("beyond the scale")).to_be_visible(visible=any(beyond))
    page.get_by_role("switch").check()
    expect(page.get_by_text("Nearly the same map")).to_be_visible()
    settle(page)
    assert len(sent) == asked
    page.get_by_role("link", name="Look closer").click()
    expect(page).to_have_url(re.compile("/inspect"))
    page.go_back()
    expect(places["λ"]).to_have_value("1")
    expect(places["β"]).to_have_value("100")
    expect(page.get_by_role("switch")).to_be_checked()


def test_start_shows_the_whole_solution_on_a_narrow_window(page, address):
    for width in (390, 800):
        page.set_viewport_size({"width": width, "height": 844})
        if width == 390:
            open_start(page, address)
        settle(page)
        for wrong in page.locator(".credit-rows .host .wrong").all():
            assert wrong.evaluate("(token) => token.getBoundingClientRect().right") <= width
        expect_as_wide_as_its_window(page)


def test_start_leads_on_to_the_same_solution_on_inspect_where_pushes_and_reading_are_said_in_the_same_words(
    page, address
):
    open_start(page, address)
    settle(page)
    shown = page.locator(".credit-rows .host").first.get_by_role("option").all_inner_texts()
    grpo, vimpo, read = page.locator(".credit-rows .head").all_text_contents()
    page.get_by_role("link", name="Look closer").click()
    expect(page.get_by_text("Alternatives here")).to_be_visible()
    expect(tokens(page)).to_have_text(shown, use_inner_text=True)
    titles = page.locator(".strips .strip-title").all_text_contents()
    assert [title.replace(" ", "") for title in titles] == [said.replace(" ", "") for said in (read, grpo, vimpo)]


def test_one_press_on_start_trains_a_run_and_back_forward_and_reload_start_no_other(page, address, served):
    open_start(page, address)
    known = {job.job_id for job in served.jobs()}
    page.get_by_role("button", name="Train it yourself").click()
    expect(page).to_have_url(re.compile(r"/train\?job=job-\d+$"))
    page.locator(".curves[data-drawn]").wait_for()
    page.go_back()
    expect(page).to_have_url(f"{address}/")
    expect(page.get_by_role("button", name="Train it yourself")).to_be_visible()
    page.go_forward()
    expect(page).to_have_url(re.compile(r"/train\?job=job-\d+$"))
    page.reload()
    page.locator(".curves[data-drawn]").wait_for()
    (job,) = {job.job_id for job in served.jobs()} - known
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert page.url == f"{address}/train?job={job}"


# --- Train -----------------------------------------------------------------------------------------------------------


def test_three_steps_from_the_form_finish_with_the_tab_closed_and_two_tabs_show_the_same_run(visitor, address, served):
    page = visitor.new_page()
    page.goto(f"{address}/train")
    page.get_by_text("Settings").click()
    for label, value in (("Steps", 3), ("Prompts a step", 2), ("Group size", 4)):
        field = page.get_by_label(label, exact=True)
        field.fill(str(value))
        field.press("Enter")
    page.get_by_role("button", name="Play").click()
    expect(page).to_have_url(re.compile("job=job-"))
    link, job_id = page.url, re.search(r"job=(job-\d+)", page.url)[1]
    page.close()
    eventually(lambda: next(job.state for job in served.jobs() if job.job_id == job_id) == RunState.FINISHED)
    page, second = (visitor.new_page() for _ in range(2))
    for tab in (page, second):
        tab.goto(link)
        expect(tab.get_by_text("Finished.")).to_be_visible()
        expect(tab.get_by_text("step 3/3")).to_be_visible()
        expect(tab.get_by_role("heading", name="Solutions of step 3")).to_be_visible()
        expect(tab.locator(".solution .strip")).to_have_count(4)  # two prompts, by VIMPO and by GRPO
        expect(tab.get_by_role("img", name=re.compile(r"^Mean reward: VIMPO .*\d"))).to_be_visible()
    drawn = (
        "(canvas) => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, "
        "canvas.height).data.buffer)).size"
    )
    curve = page.get_by_role("img", name=re.compile("^Mean reward"))
    page.bring_to_front()
    eventually(lambda: curve.evaluate(drawn) > 3)
    facts = page.locator(".solution .facts").all_inner_texts()
    assert facts
    expect(second.locator(".solution .facts")).to_have_text(facts, use_inner_text=True)


# --- Inspect ---------------------------------------------------------------------------------------------------------


def test_clicks_and_keys_move_both_strips_curve_card_and_address_and_hovering_asks_no_server(page, address):
    sent = count_sent(page)
    count = open_inspect(page, address)
    expect_hovering_needs_no_server(page, sent)
    for token in (2, count - 1):
        tokens(page).nth(token).click()
        expect_selected(page, token)
    tokens(page, "grpo").nth(5).click()
    expect_selected(page, 5)
    tokens(page).nth(4).click()
    for key, token in (
        ("ArrowRight", 5),
        ("ArrowLeft", 4),
        ("End", count - 1),
        ("ArrowRight", count - 1),
        ("Home", 0),
        ("ArrowLeft", 0),
    ):
        page.keyboard.press(key)
        expect_selected(page, token)
        eventually(lambda wanted=str(token): focused(page, "(at) => at?.dataset.index") == wanted)


def expect_hovering_needs_no_server(page, sent):
    settle(page)
    assert sent, "the websocket is being watched"
    before = len(sent)
    for token in (3, 7, 11):
        tokens(page).nth(token).hover()
        expect(page.locator(".hover-card .token-number")).to_have_text(f"token #{token}")
        expect(page.locator(".hover-card")).to_be_visible()
        numbers = page.locator(".hover-card dd").all_inner_texts()  # drawn with the token's number
        assert len(numbers) >= 8, "at least eight quantities"
        assert all(re.search(r"\d", number) for number in numbers)
    settle(page)
    assert len(sent) == before


def test_a_link_restores_run_step_solution_token_and_lens(page, address):
    with RunsDir(DEMOS, read_only=True).open("vimpo-beta-0.1") as store:
        step = store.trace_steps()[-2]
    query = f"run=vimpo-beta-0.1&step={step}&group=3&sample=2&token=6&lens=kl"
    open_inspect(page, address, query)
    expect(page.get_by_label("Lens", exact=True)).to_have_value("kl")
    expect_selected(page, 6)
    expect(page.get_by_role("combobox", name="Run")).to_have_value(re.compile("^bundled: VIMPO beta 0.1"))
    expect(page.get_by_role("combobox", name="Solution")).to_have_value(re.compile("^3 of 8"))
    expect(page.get_by_role("group", name="Training step").get_by_text(str(step), exact=True)).to_be_visible()
    expect(page).to_have_url(f"{address}/inspect?{query}")


def test_a_typed_solution_is_scored_and_an_unknown_character_is_named_with_the_text_kept(page, address):
    page.goto(f"{address}/inspect?mode=typed&run={BUNDLED}")
    expect(page.get_by_role("button", name="Score")).to_be_visible()
    settle(page)  # what is typed into a page that is still being drawn may be drawn over
    page.get_by_label("Problem", exact=True).fill("2+3*4=")
    page.get_by_label("Solution", exact=True).fill("2+12;14.")
    page.get_by_role("button", name="Score").click()
    expect(tokens(page)).to_have_text(list("2+12;14."))
    expect(page.get_by_text(re.compile("right · answer"))).to_be_visible()
    page.get_by_label("Solution", exact=True).fill("2+x;14.")
    page.get_by_role("button", name="Score").click()
    warning = page.get_by_test_id("stAlert")
    expect(warning).to_contain_text("'x'")
    assert warning.inner_text().strip().count(". ") <= 1, "what is wrong, and what to do"
    expect(page.get_by_label("Solution", exact=True)).to_have_value("2+x;14.")


# --- hostile text ----------------------------------------------------------------------------------------------------

EXECUTES = "<img src=x onerror=window.executed=1>"
HOSTILE = (EXECUTES, "</script><script>window.executed=1</script>", "\u202e", "\u200b", "**b** $x$")
SHOWN = [*HOSTILE[:2], "⟨RLO⟩", "⟨ZWSP⟩", HOSTILE[4]]


class Hostile(FakeTrainer):
    """Samples text that wants to be more than text."""

    def step(self):
        record = super().step()
        return dataclasses.replace(record, traces=[self._spoilt(trace) for trace in record.traces])

    def _spoilt(self, trace):
        text = HOSTILE + trace.text[len(HOSTILE) :]
        return trace.with_(text=text, prompt_text=EXECUTES, gold=EXECUTES, answer=EXECUTES, first_wrong=1)


@pytest.fixture(scope="module")
def hostile_job(served):
    job_id = served.submit([TrainConfig(steps=1, **SMALL)], name=EXECUTES)
    worker.main(served.path, make_trainer=Hostile, only_job=job_id)
    return next(job for job in served.jobs() if job.job_id == job_id)


def test_hostile_text_of_a_run_is_shown_literally_and_executes_nothing(page, address, hostile_job):
    open_inspect(page, address, f"run={hostile_job.run_ids[0]}")
    eventually(lambda: tokens(page).all_inner_texts()[: len(SHOWN)] == SHOWN, tokens(page).all_inner_texts)
    expect_literal(page)
    page.goto(f"{address}/train?job={hostile_job.job_id}")
    expect(page.locator(".solution .strip").first).to_contain_text("".join(SHOWN[:4]))
    expect_literal(page)
    page.goto(f"{address}/runs")
    expect(page.get_by_text(EXECUTES).filter(visible=True).first).to_be_visible()  # a tick box has it out of sight
    expect_literal(page)


def expect_literal(page: Page) -> None:
    expect(page.locator("img[src=x]")).to_have_count(0)
    assert page.evaluate("window.executed") is None
