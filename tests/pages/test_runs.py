"""The Runs page without a browser: the list in each state of the store, what is done to runs, and the address."""

import contextlib
import os
import sqlite3

import pytest
import streamlit as st

from app import cache
from app.components import runs_list
from app.runs import acting, run_table
from tests.pages.opening import Address, open_page, payload_with, press, words
from tests.support.fakes import make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.runs import shared_file
from vimpo_core.types import RunState


@pytest.fixture
def address(monkeypatch):
    """The address while callbacks are called by themselves; nothing has been said before."""
    monkeypatch.setattr(st, "query_params", Address({}))
    st.session_state.pop("runs.said", None)
    return st.query_params


def open_runs(**query):
    return open_page("runs", **query)


def entry(run_id):
    return next(e for e in run_table.entries() if e.run.run_id == run_id)


def sent(at):
    """What the list was sent."""
    return payload_with(at, "groups")


def lines(at):
    """Each line of the list by its run's key."""
    return {row["key"]: row for group in sent(at)["groups"] for row in group["rows"]}


def do(what, *keys, **more):
    """Do what the browser asks for; returns what is said of it."""
    st.session_state[acting.KEY] = {"act": {"do": what, "keys": list(keys), **more}}
    acting.act()
    return acting.said()


def test_empty_store_says_the_next_step(runs):
    assert "no runs of your own yet: start one on the Train page" in words(open_runs())


def test_a_run_is_one_line_with_a_word_for_its_state_and_the_rest_below(runs):
    make_fake_run(runs.path, steps=3, reward_noise=0.2)
    at = open_runs()
    line, labels = lines(at)["vimpo-1"], sent(at)["groups"][0]["labels"]
    assert labels == ["sampled", "greedy"]
    assert (line["name"], line["state"], line["steps"]) == ("VIMPO beta 0.1, seed 0", "Finished", "3/3")
    newest = runs.open("vimpo-1").metrics()[-1]
    assert (line["first"], line["last"]) == (newest["sampled_accuracy"], newest["greedy_accuracy"])
    assert line["firstText"] == f"{newest['sampled_accuracy']:.0%}".replace("%", "\u00a0%")
    assert "flips\u00a020\u00a0%" in line["settings"] and "accuracy on 128 validation problems" in line["settings"]
    assert line["sentence"].startswith("All steps are done.")
    assert [one["href"] for one in line["links"]] == ["inspect?run=vimpo-1", "train?job=job-1"]


def test_damaged_run_is_shown_with_its_sentence_and_can_be_deleted(runs):
    make_fake_run(runs.path, steps=2)
    os.truncate(runs.path / "vimpo-1" / "run.db", 9000)
    line = lines(open_runs())["vimpo-1"]
    assert line["state"] == "Unreadable" and "vimpo-1" in line["sentence"] and not line["readable"]
    assert line["actions"] == ["delete"]


def test_a_folder_that_is_no_run_is_said_to_be_left_alone_and_gets_no_line(runs):
    make_fake_run(runs.path, steps=2)
    (runs.path / "my_thesis").mkdir()
    at = open_runs()
    assert "1 other folder is not a run of this lab and is left alone: my_thesis." in words(at)
    assert list(lines(at)) == ["vimpo-1"]
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
    assert lines(at)["vimpo-1"]["steps"] == "2/2" and [e.label for e in at.expander] == ["Bring a run"]
    assert sent(at)["said"]["text"] == "vimpo-1 is back."


def test_the_ticked_are_deleted_at_once_and_one_press_takes_it_back_tags_and_all(runs, address):
    for _ in range(3):
        make_fake_run(runs.path, steps=2)
    runs.label("vimpo-2", ["kept"], note="why")
    runs.submit([TrainConfig(steps=2)])  # cannot be deleted while it waits
    said = do("delete", "vimpo-1", "vimpo-2", "vimpo-4", "../else")
    assert said["text"].startswith("Deleted 2 runs. run vimpo-4 is queued and cannot be deleted.")
    assert said["tone"] == "wrong" and len(said["undo"]) == 2
    assert [e.key for e in run_table.entries()] == ["vimpo-4", "vimpo-3"]
    assert do("undo")["text"] == "2 runs are back." and do("undo")["text"] == ""
    back = entry("vimpo-2").run
    assert (back.tags, back.note) == (("kept",), "why") and len(run_table.entries()) == 4


def test_tags_of_the_ticked_and_what_is_typed_of_one_run_are_kept_or_refused_in_a_sentence(runs, address):
    for _ in range(2):
        make_fake_run(runs.path, steps=2)
    assert do("tag", "vimpo-1", "vimpo-2", add=["to show"])["text"] == "Tagged 2 runs: to show."
    assert do("tag", "vimpo-2", remove=["To Show"])["text"] == "Took To Show from 1 run."
    said = do("save", "vimpo-1", add=["<b>best</b>"], remove=[], note="*one*\n<img src=x>", name="mine")
    assert (said["text"], said["key"]) == ("Saved.", "vimpo-1")
    line = lines(open_runs())["vimpo-1"]
    assert line["tags"] == ["to show", "<b>best</b>"] and line["note"] == "*one*\n<img src=x>"
    assert line["name"] == "mine"
    for more, sentence in [
        ({"add": ["x" * 31]}, "A tag must have 1 to 30 characters"),
        ({"note": "x" * 2001}, "A note has at most 2,000 characters"),
        ({"name": " "}, "A run's name must have 1 to 80 characters"),
    ]:
        said = do("save", "vimpo-1", **more)
        assert said["text"].startswith(sentence) and said["tone"] == "wrong" and said["key"] == "vimpo-1"
    assert do("tag", "vimpo-1", add=["y" * 99])["tone"] == "wrong"
    assert entry("vimpo-1").run.tags == ("to show", "<b>best</b>")


def test_what_the_browser_asks_for_is_taken_for_what_it_is_or_left(runs, address):
    make_fake_run(runs.path, steps=2)
    for said in (None, 7, {"do": "erase"}, {"do": "delete", "keys": "vimpo-1"}, {"do": "tag", "keys": [["vimpo-1"]]}):
        st.session_state[acting.KEY] = {"act": said}
        acting.act()
    assert [e.key for e in run_table.entries()] == ["vimpo-1"]


def test_bundled_runs_have_a_heading_of_their_own_and_are_not_changed(runs, tmp_path, address):
    make_fake_run(tmp_path / "bundled", steps=2)
    at = open_runs()
    assert [group["title"] for group in sent(at)["groups"]] == ["Bundled"] and sent(at)["own"] == []
    line = lines(at)["vimpo-1"]
    assert line["actions"] == [] and [one["words"] for one in line["links"]] == ["Inspect"] and not line["own"]
    assert "read-only" in do("save", "vimpo-1", add=["a"])["text"] and "read-only" in do("delete", "vimpo-1")["text"]
    assert entry("vimpo-1").run.tags == ()


def test_own_and_bundled_run_of_the_same_id_stay_apart(runs, tmp_path):
    make_fake_run(tmp_path / "bundled", steps=2)
    make_fake_run(runs.path, steps=2)
    groups = sent(open_runs())["groups"]
    assert {g["title"]: [row["key"] for row in g["rows"]] for g in groups} == {
        "Yours": ["vimpo-1"],
        "Bundled": ["bundled/vimpo-1"],
    }


def test_the_address_holds_the_search_the_order_the_tags_and_the_ticks(runs, address):
    make_fake_run(runs.path, steps=3)
    address["show"] = "vimpo-1"
    st.session_state[acting.KEY] = {"view": {"q": "seed 0", "sort": "-last", "tag": "a,b", "runs": "vimpo-1"}}
    acting.view()
    assert address == {"show": "vimpo-1", "q": "seed 0", "sort": "-last", "tag": "a,b", "runs": "vimpo-1"}
    st.session_state[acting.KEY] = {"view": {"q": "", "sort": "<b>", "tag": "", "runs": ""}}
    acting.view()
    assert address == {"show": "vimpo-1"}


def test_a_link_opens_the_list_as_it_says_and_an_order_that_is_none_is_left_out(runs):
    make_fake_run(runs.path, steps=3)
    at = open_runs(q="x" * 500, sort="name", tag="a", runs="vimpo-1,gone,vimpo-1")
    assert sent(at)["q"] == "x" * runs_list.LONGEST_SEARCH and sent(at)["sort"] == "name"
    assert sent(at)["tag"] == "a" and sent(at)["runs"] == "vimpo-1,gone"
    at = open_runs(sort="__proto__")
    assert sent(at)["sort"] == "-made" and "asks for sort" in words(at) and "sort" not in at.query_params


def test_a_link_may_show_some_runs_alone_those_of_an_experiment_too(runs, tmp_path):
    make_fake_run(runs.path, steps=2)
    make_fake_run(runs.path, algorithm="grpo", steps=2)
    make_fake_run(tmp_path / "experiments" / "quick" / "runs", algorithm="rloo", steps=2)
    at = open_runs(show="grpo-2,quick/rloo-1,gone")
    assert {key: line["name"] for key, line in lines(at).items()} == {
        "grpo-2": "GRPO, seed 0",
        "quick/rloo-1": "RLOO, seed 0",
    }
    press(at, "Show all 2 runs")
    assert set(lines(at)) == {"vimpo-1", "grpo-2"} and "show" not in at.query_params


def test_deleting_a_waiting_run_is_refused_in_one_sentence(runs):
    runs.submit([TrainConfig(steps=3)])
    with pytest.raises(ValueError, match="Stop it first"):
        entry("vimpo-1").folder.delete("vimpo-1")


def test_a_stopped_run_can_be_resumed_and_a_refusal_is_said_at_the_run(runs, address):
    make_fake_run(runs.path, steps=2)
    said = do("resume", "vimpo-1")
    assert "finished" in said["text"] and said["key"] == "vimpo-1" and said["tone"] == "wrong"
    with runs.open_writable("vimpo-1") as store:
        store.set_state(RunState.STOPPED)
    assert "resume" in entry("vimpo-1").actions
    assert do("resume", "vimpo-1")["tone"] == "" and entry("vimpo-1").run.state == RunState.QUEUED


def test_a_run_at_rest_is_read_once_until_its_file_changes(runs, monkeypatch):
    from vimpo_core.runs import listing

    make_fake_run(runs.path, steps=2)
    monkeypatch.setattr(listing, "_SETTLED_NS", -1)
    first = listing.look(runs.path / "vimpo-1")
    assert listing.look(runs.path / "vimpo-1") is first
    cache.runs_dir().label("vimpo-1", ["new"])
    assert entry("vimpo-1").run.tags == ("new",)


def test_while_runs_train_only_the_rows_that_changed_are_sent_until_another_run_comes_or_the_browser_asks(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})

    def sent(*rows, is_whole=False, **more):
        payload = {"groups": [{"key": "yours", "rows": list(rows)}], "tags": [], "q": "", "sort": "", "tag": ""}
        return runs_list._to_send(payload | {"runs": "", "said": {}} | more, "list.sent", is_whole)

    one, other = {"key": "a", "step": 1}, {"key": "b", "step": 9}
    whole = sent(one, other, is_whole=True)
    assert whole["groups"][0]["rows"] == [one, other]
    later = {"key": "a", "step": 2}
    changes = sent(later, other, q="typed")
    assert (changes["since"], changes["changed"], changes["q"]) == (whole["version"], {"a": later}, "typed")
    assert "groups" not in changes and sent(one, other)["changed"] == {}
    third = {"key": "c", "step": 0}
    assert sent(third, one, other)["groups"] and sent(third, later, other)["changed"] == {"a": later}
    runs_list.forget_what_was_sent("list")
    assert sent(third, later, other)["groups"]


def test_a_runs_folder_that_was_moved_away_is_said_in_place_of_an_empty_list(runs):
    make_fake_run(runs.path, steps=1, prompts_per_step=1, group_size=2)
    assert lines(open_runs())
    runs.path.rename(runs.path.with_name("away"))
    at = open_runs()
    assert [said.value.replace("\\", "") for said in at.error] == [
        "The runs folder runs is gone: it was there a while ago, and was moved or deleted since, or its disk was taken "
        "out. Put it back, or start the lab again to begin a new one."
    ]
    assert "no runs of your own" not in words(at) and sent(at) is None
    runs.path.with_name("away").rename(runs.path)
    assert not open_runs().error


def test_a_queue_that_others_keep_busy_is_a_sentence_and_no_error_of_the_program(runs, monkeypatch):
    runs.submit([TrainConfig(steps=1)])
    monkeypatch.setattr(shared_file, "BUSY_SECONDS", 0.0)
    with contextlib.closing(sqlite3.connect(runs.path / "app.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        at = open_page("train", job="job-1")
        assert [said.value.replace("\\", "") for said in at.error] == [
            "The queue in runs could not be read: another process kept it busy for seconds. Try again."
        ]
        assert lines(open_runs())  # names are hidden, runs are not
