"""Tags and notes of runs: kept in the run's file, bounded, and never at another writer's cost."""

import os
import shutil

import pytest

from tests.support.fakes import make_fake_run
from vimpo_core import cli
from vimpo_core.formats import export
from vimpo_core.formats.outgoing import run_export
from vimpo_core.runs import labels
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service import import_service
from vimpo_core.types import RunState


@pytest.fixture
def runs(tmp_path):
    make_fake_run(tmp_path / "runs", steps=2)
    return RunsDir(tmp_path / "runs")


def labels_of(runs):
    (run,) = runs.list()
    return run.tags, run.note


def test_a_run_without_any_has_none_and_keeps_those_it_is_given_in_a_copied_folder(runs, tmp_path):
    assert labels_of(runs) == ((), "")
    runs.label("vimpo-1", ["first", " to  show "], note="It ran away.\nSee step 40.")
    shutil.copytree(runs.path / "vimpo-1", tmp_path / "elsewhere" / "copy")
    assert labels_of(RunsDir(tmp_path / "elsewhere")) == (("first", "to show"), "It ran away.\nSee step 40.")


def test_two_who_change_them_keep_each_others_tags_and_the_last_note_counts(runs):
    runs.label("vimpo-1", ["a", "b"], note="one")
    runs.label("vimpo-1", ["mine"], remove=["A"], note="two")  # both saw a and b
    runs.label("vimpo-1", ["yours", "MINE"])
    assert labels_of(runs) == (("b", "mine", "yours"), "two")
    assert runs.label("vimpo-1", remove=["b", "mine", "yours"], note="") == {"tags": [], "note": ""}


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"add": ["x" * 31]}, "a tag must have 1 to 30 characters, got 31: xxx.*Use another one"),
        ({"add": [" \u202e\x00 "]}, "a tag must have 1 to 30 characters, got none"),
        ({"add": [f"t{i}" for i in range(12)]}, "a run has at most 12 tags, got 13"),
        ({"note": "x" * 2001}, "a note has at most 2,000 characters, got 2,001. Shorten it"),
    ],
)
def test_what_is_too_long_is_refused_in_one_sentence_and_nothing_is_changed(runs, change, sentence):
    runs.label("vimpo-1", ["kept"], note="kept")
    with pytest.raises(ValueError, match=sentence):
        runs.label("vimpo-1", **change)
    assert labels_of(runs) == (("kept",), "kept")


def test_what_somebody_elses_file_says_is_read_within_the_same_bounds(runs):
    hostile = [7, None, "", "x" * 99, "\x1b[31mred\u202e", *(f"t{i}" for i in range(50))]
    with runs.open_writable("vimpo-1") as store:
        store.update_header({"tags": hostile, "note": "\x1b[2J" + "x" * 5000})
    tags, note = labels_of(runs)
    assert tags[:2] == ("[31mred", "t0") and len(tags) == labels.MOST_TAGS
    assert note.startswith("[2Jx") and len(note) == labels.LONGEST_NOTE
    assert labels.tags_of({"tags": {"a": 1}, "note": 3}) == () and labels.note_of({"note": 3}) == ""


def test_read_only_runs_refuse_and_a_run_cut_off_keeps_what_its_log_holds(runs):
    with pytest.raises(ValueError, match="read-only"):
        RunsDir(runs.path, read_only=True).label("vimpo-1", ["a"])
    run_dir, kept = runs.path / "vimpo-1", runs.path.parent
    with runs.open_writable("vimpo-1") as store, store.lock():
        store.set_state(RunState.RUNNING)
        for name in ("run.db", "run.db-wal"):
            shutil.copy(run_dir / name, kept / name)
    for name in ("run.db", "run.db-wal"):  # as a killed trainer leaves it: still in two files
        os.replace(kept / name, run_dir / name)
    runs.label("vimpo-1", ["a"])
    (run,) = runs.list()
    assert run.tags == ("a",) and run.message.startswith("The process died after step 2, which is safe.")


def test_a_whole_run_that_is_exported_and_brought_back_has_them_a_single_solution_does_not(runs, tmp_path):
    runs.label("vimpo-1", ["a"], note="why")
    store = runs.open("vimpo-1")
    assert not {"tags", "note"} & set(export.header_of(store, 2))
    run_export.write(store, "jsonl", tmp_path / "run.jsonl")
    asked = import_service.ask_import(tmp_path / "other", [(str(tmp_path / "run.jsonl"), "run.jsonl")], "back", None)
    import_service.outcome(asked)
    assert labels_of(RunsDir(tmp_path / "other")) == (("a",), "why")


def test_the_command_line_changes_and_shows_them(runs, capsys):
    at = ["--runs-dir", str(runs.path)]
    assert cli.main(["runs", "tag", "vimpo-1", "--add", "best, to show", "--note", "ran away\nat 40", *at]) == 0
    capsys.readouterr()
    assert cli.main(["runs", *at]) == 0
    first, *note = capsys.readouterr().out.splitlines()
    assert "VIMPO beta 0.1, seed 0 [best] [to show]" in first and [line.strip() for line in note] == [
        "ran away",
        "at 40",
    ]
    assert cli.main(["runs", "tag", "vimpo-1", *at]) != 0 and "--add, --remove or --note" in capsys.readouterr().err
