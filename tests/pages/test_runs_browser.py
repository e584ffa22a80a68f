"""The list of runs in a browser: what somebody does there outlives the refreshes of a run that trains."""

import re

import pytest
from playwright.sync_api import expect

from tests.pages.in_browser import focused
from tests.support.browser import settle
from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.types import RunState

pytestmark = pytest.mark.browser


@pytest.fixture
def training(served):
    """(run_id, its trainer, its store) of a run that is at work as long as the test."""
    make_fake_run(served.path, "grpo", steps=1, seed=91)
    job = served.submit([TrainConfig(steps=9, seed=92)])
    run_id = next(job_.run_ids[0] for job_ in served.jobs() if job_.job_id == job)
    served.queue.move(job, RunState.QUEUED, RunState.RUNNING)  # no worker is to take it
    with served.open_writable(run_id) as store, store.lock():
        store.set_state(RunState.RUNNING)
        trainer = FakeTrainer(store.config())
        store.commit_step(trainer.step())
        yield run_id, trainer, store
        store.set_state(RunState.STOPPED)


def test_a_refresh_moves_nothing_and_keeps_ticks_search_and_what_is_being_typed(page, address, served, training):
    run_id, trainer, store = training
    page.goto(f"{address}/runs")
    row = page.locator(f'.run[data-key="{run_id}"]')
    expect(row.locator(".c-step")).to_have_text("0/9")
    page.get_by_role("searchbox").fill("seed 9")
    expect(page).to_have_url(re.compile(r"q=seed\+9"))
    page.get_by_role("checkbox", name="Tick GRPO, seed 91").check()
    expect(page).to_have_url(re.compile("runs=grpo"))
    row.locator(".name").click()
    note = page.get_by_label("Note")
    note.fill("half a")
    at = [one.bounding_box() for one in (row, note)]
    served.label(run_id, ["of another tab"])
    store.commit_step(trainer.step())
    expect(row.locator(".c-step")).to_have_text("1/9")
    expect(row.get_by_role("button", name="of another tab")).to_be_visible()
    page.keyboard.type(" sentence")
    expect(note).to_have_value("half a sentence")
    assert [one.bounding_box() for one in (row, note)] == at
    expect(page.get_by_role("checkbox", name="Tick GRPO, seed 91")).to_be_checked()
    expect(page.get_by_role("searchbox")).to_have_value("seed 9")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    run = next(run for run in served.list() if run.run_id == run_id)
    assert (run.tags, run.note) == (("of another tab",), "half a sentence")
    assert focused(page, "(at) => at.textContent") == "Save"


def test_a_link_is_one_entry_of_the_history_and_a_deletion_is_taken_back_by_one_press(page, address, served):
    run_id = make_fake_run(served.path, "rloo", steps=1, seed=93)
    page.goto(f"{address}/runs?q=seed+93")
    page.locator(".run .c-links").get_by_role("link", name="Inspect").first.click()
    expect(page).to_have_url(re.compile(rf"/inspect\?run={run_id}"))
    expect(page.get_by_text("Alternatives here")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(f"{address}/runs?q=seed+93")
    page.get_by_role("checkbox", name="Tick RLOO, seed 93").check()
    page.get_by_role("button", name="Delete 1").click()
    expect(page.get_by_text("Deleted RLOO, seed 93.")).to_be_visible()
    expect(page.get_by_text("No run fits.")).to_be_visible()
    settle(page)
    page.locator(".undo").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("checkbox", name="Tick RLOO, seed 93")).to_be_visible()
    assert run_id in [run.run_id for run in served.list()]
