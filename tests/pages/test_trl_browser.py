"""A run of TRL on two ranks, brought in and opened in a real browser."""

import json

import pytest
from playwright.sync_api import expect

from tests.support.ranks import THREE_STEPS, launch
from vimpo_core import cli
from vimpo_core.paths import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_run_of_two_ranks_opens_on_inspect(page, address, served, tmp_path, monkeypatch):
    launch(ROOT / "examples" / "trl_vimpo.py", *THREE_STEPS.split(), "--output_dir", tmp_path / "run", cwd=tmp_path)
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(served.path))
    assert cli.main(["import", str(tmp_path / "run"), "--as", "From two ranks"]) == 0
    brought = next(run for run in served.list() if run.name == "From two ranks")
    lines = (tmp_path / "run" / "traces" / "step_000002" / "rank_1.jsonl").read_text().splitlines()
    wanted = json.loads(lines[0])
    where = f"step=2&group={wanted['group_id']}&sample={wanted['sample_idx']}"
    page.goto(f"{address}/inspect?run={brought.run_id}&{where}")
    tokens = page.locator('.strip-host[data-strip="lens"]').get_by_role("option")
    expect(tokens).to_have_count(len(wanted["ids"]))
    assert [text.strip() for text in tokens.all_inner_texts()] == wanted["text"]
