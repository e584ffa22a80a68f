"""The Runs page without a browser: the list in each state of the store, its actions, the comparison."""

import pytest

from app import run_table
from app.components.compare_curves import figure
from tests.fakes import make_fake_run
from tests.pages.opening import open_page, words
from vimpo_core.config import TrainConfig


def open_runs(**query):
    return open_page("runs", **query)


def entry(run_id):
    return next(e for e in run_table.entries() if e.run.run_id == run_id)


def test_empty_store_says_the_next_step(runs):
    assert "no runs of your own yet: start one on the Train page" in words(open_runs())


def test_run_is_listed_with_state_advice_step_settings_and_accuracies(runs):
    make_fake_run(runs.path, steps=3, reward_noise=0.2)
    shown = words(open_runs())
    for part in (
        "VIMPO beta 0.1, seed 0",
        "Finished.",
        "step 3/3",
        "flips\u00a020\u00a0%",
        "sampled **",
        "greedy **",
    ):
        assert part in shown


def test_half_written_folder_is_shown_with_its_sentence_and_can_be_deleted(runs):
    (runs.path / "half").mkdir(parents=True)
    (runs.path / "half" / "run.db").write_bytes(b"")
    shown = words(open_runs())
    assert "Unreadable" in shown and "half" in shown
    assert entry("half").actions == [run_table.RENAME, run_table.DELETE]


def test_bundled_runs_are_listed_but_not_changed(runs, tmp_path):
    make_fake_run(tmp_path / "bundled", steps=2)
    assert "(bundled)" in words(open_runs())
    bundled = entry("vimpo-1")
    assert bundled.actions == [] and bundled.train_view is None and bundled.inspect_view == {"run": "vimpo-1"}


def test_own_and_bundled_run_of_the_same_id_stay_apart(runs, tmp_path):
    make_fake_run(tmp_path / "bundled", steps=2)
    make_fake_run(runs.path, steps=2)
    assert [e.key for e in run_table.entries()] == ["vimpo-1", "bundled/vimpo-1"]


def test_ticking_two_runs_compares_them_and_the_link_holds_the_choice(runs):
    make_fake_run(runs.path, steps=3)
    make_fake_run(runs.path, algorithm="grpo", steps=3, seed=4)
    at = open_runs()
    assert "Tick two or more runs" in words(at)
    for box in ("tick_vimpo-1", "tick_grpo-2"):
        at.checkbox(key=box).check().run()
    assert at.query_params["runs"] == "vimpo-1,grpo-2"
    assert "Tick two or more" not in words(open_runs(runs="vimpo-1,grpo-2"))


def test_comparison_names_the_settings_that_differ_and_the_last_values(runs):
    make_fake_run(runs.path, steps=3)
    make_fake_run(runs.path, steps=3, beta=0.3)
    at = open_runs(runs="vimpo-1,vimpo-2")
    table = at.table[0].value
    assert list(table.iloc[:, 0]) == [
        "beta",
        "Sampled accuracy",
        "Mean reward",
        "KL to the reference",
        "Terminal residual",
    ]
    assert set(table.iloc[0, 1:]) == {"0.1", "0.3"}


def test_link_with_an_unknown_run_is_ignored(runs):
    assert "Tick two or more runs" in words(open_runs(runs="nothing,<b>"))


def test_deleting_a_waiting_run_is_refused_in_one_sentence(runs):
    runs.submit([TrainConfig(steps=3)])
    with pytest.raises(ValueError, match="Stop it first"):
        entry("vimpo-1").folder.delete("vimpo-1")


def test_refused_resume_is_said(runs):
    make_fake_run(runs.path, steps=2)
    open_runs()
    run_table.resume(entry("vimpo-1"))
    assert "finished" in run_table.take_problem()


def test_one_hue_an_algorithm_and_grpo_dashed():
    rows = [{"step": s, "kl_mean": 0.1 * s} for s in range(3)]
    lines = figure(
        [("a", "grpo", rows), ("b", "vimpo", rows), ("c", "vimpo", rows)], ["kl_mean"], "light"
    ).data
    assert [line.line.dash for line in lines] == ["solid", "solid", "dash"]
    assert len({line.line.color for line in lines}) == 3
