"""Kept scorecards: read only while all they rest on is as it was, and the bundled ones are what `truth` measures."""

import dataclasses
import json
import shutil
import sqlite3

import pytest

from tests.support.fakes import make_fake_run
from vimpo_core.make import demos
from vimpo_core.make.demos import DEMOS, REPORT_SIZES
from vimpo_core.measure.scorecard import SETS
from vimpo_core.mistake import Mistake
from vimpo_core.paths import BUNDLED_MODEL
from vimpo_core.paths import DEMOS as BUNDLED
from vimpo_core.runs.snapshots import newest_snapshot
from vimpo_core.runs.store import REPORTS_NAME, RunStore
from vimpo_core.service import kept_reports
from vimpo_core.service.same_report import same_report
from vimpo_core.service.truth_report import truth_report

ASKED = (10, "own", 256, 64, 0)
REPORT = {"step": 10, "set": "own", "solutions": 256, "rollouts": 64, "seed": 0, "pearson_advantage": 0.25}


@pytest.fixture
def run_dir(tmp_path):
    """A run with one report kept."""
    folder = tmp_path / make_fake_run(tmp_path, steps=10)
    kept_reports.keep(folder, [REPORT])
    return folder


def write(run_dir, statement, *values):
    with sqlite3.connect(run_dir / "run.db") as connection:
        connection.execute(statement, values)
    connection.close()


def test_a_kept_report_comes_back_with_whatever_a_later_version_adds(run_dir):
    assert kept_reports.kept(run_dir, *ASKED) == REPORT
    kept_reports.keep(run_dir, [REPORT | {"gini": {"implied_advantage": 0.5}}])
    assert kept_reports.kept(run_dir, *ASKED)["gini"] == {"implied_advantage": 0.5}


@pytest.mark.parametrize("at, other", enumerate((5, "fixed", 64, 256, 1)))
def test_other_options_are_measured(run_dir, at, other):
    assert kept_reports.kept(run_dir, *ASKED[:at], other, *ASKED[at + 1 :]) is None


def test_a_report_of_another_adapter_is_not_used(run_dir):
    write(run_dir, "DELETE FROM snapshots WHERE step = 10")
    write(run_dir, "UPDATE snapshots SET step = 10 WHERE step = 5")
    assert kept_reports.kept(run_dir, *ASKED) is None


def test_a_report_under_other_settings_is_not_used(run_dir):
    with RunStore.open(run_dir) as store:
        changed = dataclasses.replace(store.config(), beta=0.25)
    write(run_dir, "UPDATE run SET value = ? WHERE key = 'config'", json.dumps(changed.to_dict()))
    assert kept_reports.kept(run_dir, *ASKED) is None


def test_a_report_on_other_base_weights_is_not_used(run_dir, tmp_path, monkeypatch):
    copied = shutil.copytree(BUNDLED_MODEL, tmp_path / "reference")
    monkeypatch.setattr(kept_reports, "BUNDLED_MODEL", copied)
    assert kept_reports.kept(run_dir, *ASKED) is not None
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert kept_reports.kept(run_dir, *ASKED) is None


def test_a_report_by_another_method_is_not_used(run_dir, monkeypatch):
    monkeypatch.setattr(kept_reports, "METHOD", kept_reports.METHOD + 1)
    assert kept_reports.kept(run_dir, *ASKED) is None


def test_no_report_is_used_where_nothing_says_what_it_rests_on(run_dir):
    with RunStore.open(run_dir) as store:
        own = dataclasses.replace(store.config(), model=str(BUNDLED_MODEL))
    write(run_dir, "UPDATE run SET value = ? WHERE key = 'config'", json.dumps(own.to_dict()))
    kept_reports.keep(run_dir, [REPORT])
    assert kept_reports.kept(run_dir, *ASKED) is None


def test_a_report_of_another_run_is_not_used(run_dir):
    assert kept_reports.kept(shutil.copytree(run_dir, run_dir.with_name("copy")), *ASKED) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reports": []}', '{"reports": {"a": 1}}'])
def test_a_damaged_file_is_as_good_as_none(run_dir, text):
    (run_dir / REPORTS_NAME).write_text(text, encoding="utf-8")
    assert kept_reports.kept(run_dir, *ASKED) is None


# ---- the bundled ones


@pytest.mark.parametrize("run_id", DEMOS)
def test_every_bundled_run_keeps_what_scorecard_opens_with(run_id):
    with RunStore.open(BUNDLED / run_id) as store:
        step = newest_snapshot(store)
    for which in SETS:
        report = kept_reports.kept(BUNDLED / run_id, step, which, *REPORT_SIZES[0])
        assert (report["run_id"], report["set"], report["n_solutions"]) == (run_id, which, 256)
    same = kept_reports.kept_same([(one.run_dir, step) for one in demos.beginning_with(BUNDLED, run_id)], 256)
    assert [run["n"] for run in same["runs"]] == [256] * 3 and same["runs"][0]["run_id"] == run_id
    for run in DEMOS:  # on its own mistakes each policy reads what the set "own" holds of them
        own = kept_reports.kept(BUNDLED / run, step, "own", *REPORT_SIZES[0])["signals"]["implied_advantage"]
        assert same["by_writer"][run][f"delta/{run}"]["auc"] == pytest.approx(own["auc"], abs=1e-6)
    assert (BUNDLED / run_id / REPORTS_NAME).stat().st_size < 500_000


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("run_id", DEMOS)
def test_kept_numbers_are_those_that_truth_measures_now(run_id, which):
    with RunStore.open(BUNDLED / run_id) as store:
        fresh = truth_report(store, None, which, *REPORT_SIZES[1])
    kept = kept_reports.kept(BUNDLED / run_id, fresh["step"], which, *REPORT_SIZES[1])
    # Not to the last bit: another processor may add floats in another order.
    assert rounded(kept) == rounded(fresh), "raise METHOD and run `make-demos --reports-only`"


def test_the_same_mistakes_that_are_kept_are_those_that_are_measured_now_and_hang_on_every_run(tmp_path):
    of = demos.beginning_with(BUNDLED, "vimpo-beta-0.3")
    places = [(store.run_dir, newest_snapshot(store)) for store in of]
    kept = kept_reports.kept_same(places, REPORT_SIZES[1][0])
    fresh = same_report([(store, None) for store in of], REPORT_SIZES[1][0])
    assert rounded(kept) == rounded(fresh), "raise METHOD and run `make-demos --reports-only`"
    for run_id in DEMOS:
        shutil.copytree(BUNDLED / run_id, tmp_path / run_id)
    copied = [(tmp_path / run_dir.name, step) for run_dir, step in places]
    assert kept_reports.kept_same(copied, REPORT_SIZES[1][0]) == kept
    write(tmp_path / "grpo", "DELETE FROM snapshots WHERE step = 100")
    write(tmp_path / "grpo", "UPDATE snapshots SET step = 100 WHERE step = 90")
    assert kept_reports.kept_same(copied, REPORT_SIZES[1][0]) is None


def test_the_same_mistakes_need_other_runs_of_one_model_and_task(tmp_path):
    of = demos.beginning_with(BUNDLED, "grpo")
    with pytest.raises(Mistake, match="2 to 5 different runs, got grpo"):
        same_report([(of[0], None)])
    with pytest.raises(Mistake, match="got grpo, grpo"):
        same_report([(of[0], None), (of[0], None)])
    other = RunStore.open(tmp_path / make_fake_run(tmp_path, steps=10, operands=4))
    with pytest.raises(Mistake, match="differs from run grpo in operands"):
        same_report([(of[0], None), (other, None)])


def test_the_command_keeps_every_set_and_size_of_every_demo_run(tmp_path, monkeypatch):
    monkeypatch.setattr(demos, "DEMOS", {"grpo": {}})
    monkeypatch.setattr(demos, "REPORT_SIZES", ((4, 4), (2, 2)))
    shutil.copytree(BUNDLED / "grpo", tmp_path / "grpo", ignore=shutil.ignore_patterns("*.json"))
    told = []
    made = demos.keep_reports(tmp_path, lambda *seen: told.append(seen))
    assert made == [{"run_id": "grpo", "step": 100, "reports": 6}] and told[-1] == (6, 6)
    assert kept_reports.kept(tmp_path / "grpo", 100, "style", 2, 2)["n_solutions"] == 2


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value
