"""The Runs page without a browser: the list in each state of the store, its actions, and the way to Compare."""

import os

import pytest

from app.runs import run_table
from tests.pages.opening import open_page, press, words
from tests.support.fakes import make_fake_run
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
        "validation problems",
    ):
        assert part in shown


def test_damaged_run_is_shown_with_its_sentence_and_can_be_deleted(runs):
    make_fake_run(runs.path, steps=2)
    os.truncate(runs.path / "vimpo-1" / "run.db", 9000)
    shown = words(open_runs())
    assert "Unreadable" in shown and "vimpo-1" in shown
    assert entry("vimpo-1").actions == [run_table.RENAME, run_table.DELETE]


def test_a_folder_that_is_no_run_is_said_to_be_left_alone_and_gets_no_line(runs):
    make_fake_run(runs.path, steps=2)
    (runs.path / "my_thesis").mkdir()
    at = open_runs()
    assert "1 other folder is not a run of this lab and is left alone: my_thesis." in words(at)
    assert [e.key for e in run_table.entries()] == ["vimpo-1"]
    with pytest.raises(ValueError, match="left alone"):
        runs.delete("my_thesis")


def test_a_deleted_run_is_listed_below_and_one_press_brings_it_back(runs):
    make_fake_run(runs.path, steps=2)
    runs.rename("vimpo-1", "my best")
    assert "Recently deleted" not in str(open_runs().get("expander"))
    deleted = runs.delete("vimpo-1")
    at = open_runs()
    assert [e.label for e in at.expander] == ["Bring a run", "Recently deleted (1)"]
    assert "my best" in words(at)
    at.button(key=f"restore_{deleted.entry}").click().run()
    assert [e.key for e in run_table.entries()] == ["vimpo-1"] and [e.label for e in at.expander] == ["Bring a run"]
    assert "step 2/2" in words(at)


def test_bundled_runs_are_listed_but_not_changed(runs, tmp_path):
    make_fake_run(tmp_path / "bundled", steps=2)
    assert "(bundled)" in words(open_runs())
    bundled = entry("vimpo-1")
    assert bundled.actions == [] and bundled.train_view is None and bundled.inspect_view == {"run": "vimpo-1"}


def test_own_and_bundled_run_of_the_same_id_stay_apart(runs, tmp_path):
    make_fake_run(tmp_path / "bundled", steps=2)
    make_fake_run(runs.path, steps=2)
    assert [e.key for e in run_table.entries()] == ["vimpo-1", "bundled/vimpo-1"]


def test_ticking_runs_leads_to_compare_and_the_link_holds_the_choice(runs):
    make_fake_run(runs.path, steps=3)
    make_fake_run(runs.path, algorithm="grpo", steps=3, seed=4)
    at = open_runs()
    assert "Tick runs to compare them" in words(at) and not compare_links(at)
    for box in ("tick_vimpo-1", "tick_grpo-2"):
        at.checkbox(key=box).check().run()
    assert at.query_params["runs"] == "vimpo-1,grpo-2"
    assert compare_links(open_runs(runs="vimpo-1,grpo-2")) == ["Compare the 2 ticked"]


def compare_links(at):
    return [link.proto.label for link in at.get("page_link") if "ompare" in link.proto.label]


def test_a_link_may_show_some_runs_alone_those_of_an_experiment_too(runs, tmp_path):
    make_fake_run(runs.path, steps=2)
    make_fake_run(runs.path, algorithm="grpo", steps=2)
    make_fake_run(tmp_path / "experiments" / "quick" / "runs", algorithm="rloo", steps=2)
    at = open_runs(show="grpo-2,quick/rloo-1,gone")
    shown = words(at)
    assert "GRPO, seed 0" in shown and "RLOO, seed 0" in shown and "VIMPO beta" not in shown
    press(at, "Show all 2 runs")
    assert "VIMPO beta 0.1, seed 0" in words(at) and "show" not in at.query_params


def test_deleting_a_waiting_run_is_refused_in_one_sentence(runs):
    runs.submit([TrainConfig(steps=3)])
    with pytest.raises(ValueError, match="Stop it first"):
        entry("vimpo-1").folder.delete("vimpo-1")


def test_refused_resume_is_said(runs):
    make_fake_run(runs.path, steps=2)
    open_runs()
    run_table.resume(entry("vimpo-1"))
    assert "finished" in run_table.take_problem()
