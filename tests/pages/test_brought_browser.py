"""What an engineer does with yesterday's run of another tool, from the page alone."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import settle
from vimpo_core.formats import adapter_folder
from vimpo_core.paths import DEMOS
from vimpo_core.runs.store import RunStore

DATA = Path(__file__).parents[1] / "data" / "incoming" / "trl" / "plain"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def yesterday(tmp_path):
    """A folder as TRL leaves it: the completions of two steps, and the adapter that wrote the second."""
    shutil.copytree(DATA, tmp_path / "completions")
    with RunStore.open(DEMOS / "vimpo-beta-0.3") as store:
        adapter_folder.write(store, store.snapshot_steps()[-1], tmp_path / "checkpoint-1")
    return tmp_path


def drop(page, folder):
    """A folder of this machine on the field for files, as from a file manager."""
    page.get_by_test_id("stFileUploaderDropzone").wait_for()
    settle(page)
    at = page.get_by_test_id("stFileUploaderDropzone").bounding_box()
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    hand = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}
        hand.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


def test_a_folder_is_dropped_scored_again_and_the_least_explained_solution_opened(page, address, served, yesterday):
    page.goto(f"{address}/runs")
    settle(page)
    page.get_by_text("Bring a run").click()
    page.get_by_label("Or name a folder").fill(str(yesterday))
    settle(page)
    page.get_by_role("button", name="Look into it").click()
    expect(page.get_by_text("16 solutions")).to_be_visible()
    drop(page, yesterday)
    expect(page.get_by_role("cell", name="1 adapter, kept with the run")).to_be_visible()
    page.get_by_label("What to call it").fill("Yesterday")
    page.get_by_label("What to call it").press("Enter")
    settle(page)
    page.get_by_role("button", name="Bring it in").click()
    page.get_by_role("link", name="Open it in Inspect").click()
    expect(page.get_by_text("Words, not tokens: TRL did not record tokens.")).to_be_visible()
    expect(page.get_by_role("option", name="Token credit").first).to_be_attached()

    page.get_by_role("radio", name="Re-score").click()
    wrote = page.get_by_role("combobox", name="Model that wrote them")
    expect(wrote).to_have_value("checkpoint-1 (adapter): the policy that wrote step 2")
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("button", name="Score 8 solutions").click()
    expect(page.get_by_text("All 8 solutions of this step were scored again.")).to_be_visible()
    page.get_by_role("button", name="Least explained").click()
    expect(page).to_have_url(re.compile(r"group=\d+&sample=\d+"))
    expect(page.get_by_role("listbox", name="Token credit").first).to_be_visible()
    page.get_by_role("button", name="Curve and numbers").click()
    expect(page.locator(".credit-view .end", has_text="residual")).to_be_visible()
    served.delete(next(run.run_id for run in served.list() if run.name == "Yesterday"))
