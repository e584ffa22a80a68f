"""A deletion can be undone for a week, and nothing that the lab did not make is listed, moved or removed."""

import json
import os
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.fakes import make_fake_run
from vimpo_core import cli, paths
from vimpo_core.config import TrainConfig
from vimpo_core.runs import run_bin
from vimpo_core.runs.folder import RunsDir, left_alone
from vimpo_core.runs.locks import exclusive
from vimpo_core.runs.store import LOCK_NAME, is_run
from vimpo_core.types import RunState

SMALL = {"steps": 1, "prompts_per_step": 1, "group_size": 2}


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def runs(tmp_path):
    make_fake_run(tmp_path / "runs", **SMALL)
    return RunsDir(tmp_path / "runs")


def ids(runs):
    return [run.run_id for run in runs.list()]


def foreign_folder(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years of work")


def foreign_database(folder):
    folder.mkdir()
    connection = sqlite3.connect(folder / "run.db")
    connection.execute("CREATE TABLE cats (name)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def foreign_garbage(folder):
    folder.mkdir()
    (folder / "run.db").write_bytes(b"SQLite format 3\0" + bytes(4096))


def folder_named_run_db(folder):
    (folder / "run.db").mkdir(parents=True)


FOREIGN = [foreign_folder, foreign_database, foreign_garbage, folder_named_run_db]


@pytest.mark.parametrize("make", FOREIGN, ids=lambda f: f.__name__)
def test_a_folder_that_the_lab_did_not_make_is_no_run_and_cannot_be_deleted(runs, make):
    make(runs.path / "mine")
    before = contents(runs.path / "mine")
    assert ids(runs) == ["vimpo-1"] and runs.others() == ["mine"]
    for refused in (
        runs.delete,
        runs.open,
        lambda name: runs.rename(name, "x"),
        lambda name: runs.resume([name]),
    ):
        with pytest.raises(ValueError, match=r"the folder 'mine' in runs is not a run of this lab.*left alone\."):
            refused("mine")
    runs.empty_bin()
    assert contents(runs.path / "mine") == before and (runs.path / "mine").is_dir()


def test_a_link_to_a_run_is_not_followed_and_what_it_leads_to_stays(runs, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(runs.path / "vimpo-1", elsewhere / "vimpo-9")
    before = contents(elsewhere)
    (runs.path / "vimpo-9").symlink_to(elsewhere / "vimpo-9")
    (runs.path / "half").mkdir()
    (runs.path / "half" / "run.db").symlink_to(elsewhere / "vimpo-9" / "run.db")
    assert ids(runs) == ["vimpo-1"] and runs.others() == ["half", "vimpo-9"]
    for name in ("vimpo-9", "half"):
        with pytest.raises(ValueError, match="left alone"):
            runs.delete(name)
    (runs.path / "vimpo-1" / "out").symlink_to(elsewhere)
    runs.delete("vimpo-1")
    runs.empty_bin()
    assert contents(elsewhere) == before


def test_a_run_of_an_earlier_version_is_known_by_its_tables(runs):
    connection = sqlite3.connect(runs.path / "vimpo-1" / "run.db")
    assert connection.execute("PRAGMA application_id").fetchone()[0] == 0x56494D50
    connection.execute("PRAGMA application_id = 0")
    connection.close()
    assert ids(runs) == ["vimpo-1"]
    assert all(is_run(folder) for folder in paths.DEMOS.iterdir() if folder.is_dir())


def test_a_deleted_run_comes_back_with_its_name_and_whatever_lay_in_its_folder(runs):
    runs.rename("vimpo-1", "the good one")
    (runs.path / "vimpo-1" / "notes").mkdir()
    (runs.path / "vimpo-1" / "notes" / "mine.txt").write_text("mine")
    before = contents(runs.path / "vimpo-1")
    deleted = runs.delete("vimpo-1")
    assert ids(runs) == [] and runs.others() == []
    assert [(e.run_id, runs.deleted_name(e)) for e in runs.bin.entries()] == [("vimpo-1", "the good one")]
    assert runs.restore(deleted.entry) == "vimpo-1"
    assert contents(runs.path / "vimpo-1") == before
    assert [(run.name, run.state) for run in runs.list()] == [("the good one", RunState.FINISHED)]
    assert runs.bin.entries() == []


def test_copies_of_one_run_lie_beside_each_other_in_the_bin_and_come_back_under_free_names(runs):
    copy = runs.path.parent / "copy"
    shutil.copytree(runs.path / "vimpo-1", copy)
    for _ in range(2):
        runs.delete("vimpo-1")
        shutil.copytree(copy, runs.path / "vimpo-1")
    assert [entry.run_id for entry in runs.bin.entries()] == ["vimpo-1", "vimpo-1"]
    assert [runs.restore("vimpo-1") for _ in range(2)] == ["vimpo-1-restored-1", "vimpo-1-restored-2"]
    assert sorted(ids(runs)) == ["vimpo-1", "vimpo-1-restored-1", "vimpo-1-restored-2"]


def test_two_deletions_in_the_same_microsecond_do_not_meet(runs, monkeypatch):
    moment = datetime(2026, 1, 2, tzinfo=UTC)

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return moment

    monkeypatch.setattr(run_bin, "datetime", Stopped)
    copy = runs.path.parent / "copy"
    shutil.copytree(runs.path / "vimpo-1", copy)
    runs.bin.put("vimpo-1")
    shutil.copytree(copy, runs.path / "vimpo-1")
    runs.bin.put("vimpo-1")
    assert len({entry.entry for entry in runs.bin.entries()}) == 2


def test_a_run_in_the_bin_keeps_its_number(runs):
    runs.delete("vimpo-1")
    (runs.path / "app.db").unlink()  # the counter is lost
    runs.submit([TrainConfig(**SMALL)])
    assert ids(runs) == ["vimpo-2"]


def aged(runs, entry, age):
    """Make the entry as if it had been deleted that long ago."""
    then = datetime.now(UTC) - age
    path = runs.bin.path / entry.entry
    path.rename(runs.bin.path / f"{then.strftime(run_bin._STAMP)}.{entry.run_id}")


def test_the_bin_keeps_a_run_for_a_week_and_no_longer(runs):
    make_fake_run(runs.path, **SMALL)
    aged(runs, runs.delete("vimpo-1"), timedelta(days=6, hours=23))
    aged(runs, runs.delete("vimpo-2"), timedelta(days=7, hours=1))
    make_fake_run(runs.path, **SMALL)  # a finished training tidies up
    assert [entry.run_id for entry in runs.bin.entries()] == ["vimpo-1"]
    assert len(list(runs.bin.path.iterdir())) == 1


def test_emptying_the_bin_removes_runs_of_the_lab_and_nothing_else(runs):
    entry = runs.delete("vimpo-1").entry
    foreign_folder(runs.bin.path / "mine")
    foreign_folder(runs.bin.path / entry.replace("vimpo-1", "not-a-run"))
    (runs.bin.path / entry.replace("vimpo-1", "link")).symlink_to(runs.bin.path / "mine")
    assert [e.run_id for e in runs.empty_bin()] == ["vimpo-1"]
    left = {folder.name.partition(".")[2] or folder.name for folder in runs.bin.path.iterdir()}
    assert left == {"mine", "not-a-run", "link"}
    assert (runs.bin.path / "mine" / "thesis.txt").is_file()


def test_what_a_removal_that_was_cut_short_left_is_removed_by_the_next(runs):
    entry = runs.delete("vimpo-1").entry
    (runs.bin.path / entry).rename(runs.bin.path / f"emptying-{entry}")
    assert runs.bin.entries() == []
    runs.tidy()
    assert list(runs.bin.path.iterdir()) == []


def test_a_locked_run_is_neither_deleted_nor_emptied(runs):
    store = runs.open_writable("vimpo-1")
    with store.lock(), pytest.raises(ValueError, match="run vimpo-1 is running and cannot be deleted"):
        runs.delete("vimpo-1")
    deleted = runs.delete("vimpo-1")
    with exclusive(runs.bin.path / deleted.entry / "run.lock", ""):
        assert runs.empty_bin() == []
    assert len(runs.empty_bin()) == 1


def test_a_run_that_somebody_begins_to_train_while_it_is_moved_goes_back(runs, monkeypatch):
    asked = []

    def held(path):
        asked.append(path)
        return len(asked) > 1

    monkeypatch.setattr(run_bin, "is_held", held)
    with pytest.raises(ValueError, match="is running and cannot be deleted"):
        runs.bin.put("vimpo-1")
    assert ids(runs) == ["vimpo-1"]


def test_no_file_of_a_run_is_open_while_its_folder_moves(runs, monkeypatch):
    """Windows refuses to rename a folder with an open file in it."""
    descriptors = f"/proc/{os.getpid()}/fd"
    if not os.path.isdir(descriptors):
        pytest.skip("needs /proc")
    seen = []
    rename = type(runs.path).rename

    def watched(path, target):
        links = [os.path.realpath(f"{descriptors}/{d}") for d in os.listdir(descriptors)]
        seen.append([link for link in links if link.startswith(str(path))])
        return rename(path, target)

    monkeypatch.setattr(type(runs.path), "rename", watched)
    runs.delete("vimpo-1")
    assert seen == [[]]


def test_a_read_only_folder_restores_and_empties_nothing(runs):
    bundled = RunsDir(runs.path, read_only=True)
    for refused in (bundled.delete, bundled.restore, lambda _: bundled.empty_bin()):
        with pytest.raises(ValueError, match="read-only"):
            refused("vimpo-1")


def test_restoring_what_is_not_in_the_bin_says_what_is(runs):
    with pytest.raises(ValueError, match=r"no deleted run 'vimpo-7' in runs\. Its bin is empty\."):
        runs.restore("vimpo-7")
    runs.delete("vimpo-1")
    with pytest.raises(ValueError, match=r"no deleted run '../x' in runs\. There is vimpo-1\."):
        runs.restore("../x")


def test_folders_left_alone_are_counted_and_the_first_ones_named():
    assert left_alone([]) == ""
    assert left_alone(["a"]) == "1 other folder is not a run of this lab and is left alone: a."
    assert left_alone(["a", "b"]) == "2 other folders are not runs of this lab and are left alone: a, b."
    assert left_alone(list("abcdefg")).endswith("left alone: a, b, c, d, e and 2 more.")


# --- the command line ------------------------------------------------------------------------------------------------


def command(capsys, *arguments):
    code = cli.main(["runs", *map(str, arguments)])
    return code, capsys.readouterr()


def test_runs_deletes_lists_the_bin_restores_and_empties(runs, capsys):
    where = ("--runs-dir", runs.path)
    foreign_folder(runs.path / "mine")
    _, said = command(capsys, "delete", "vimpo-1", *where)
    assert "Undo: python -m vimpo_core runs restore vimpo-1 --runs-dir " in said.err
    _, said = command(capsys, *where)
    assert "1 other folder is not a run of this lab and is left alone: mine." in said.err
    assert "1 deleted in the last week: python -m vimpo_core runs bin" in said.err
    _, said = command(capsys, "bin", *where, "--json")
    assert [line["run_id"] for line in json.loads(said.out)["deleted"]] == ["vimpo-1"]
    assert command(capsys, "restore", "vimpo-1", *where)[0] == 0
    assert ids(runs) == ["vimpo-1"]
    command(capsys, "delete", "vimpo-1", *where)
    assert command(capsys, "empty", *where)[0] == 0
    assert "the bin is empty" in command(capsys, "bin", *where)[1].out
    assert command(capsys, "delete", "mine", *where)[0] == 2 and (runs.path / "mine" / "thesis.txt").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["delete"], "runs delete needs at least one run, got none"),
        (["restore"], "runs restore needs at least one run, got none"),
        (["empty", "vimpo-1"], "runs empty takes no run"),
        (["list", "vimpo-1"], "runs list takes no run"),
    ],
)
def test_a_wrong_use_of_runs_is_one_sentence(runs, capsys, arguments, said):
    code, printed = command(capsys, *arguments, "--runs-dir", runs.path)
    assert code == 2 and said in printed.err and len(printed.err.splitlines()) == 1


# --- which folder ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "  ", None])
def test_an_empty_variable_is_the_default_folder(monkeypatch, value):
    monkeypatch.delenv("VIMPO_RUNS_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("VIMPO_RUNS_DIR", value)
    assert paths.default_runs_dir() == paths.ROOT / "runs"


def test_a_tilde_is_ones_home_and_a_relative_folder_starts_here(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIMPO_RUNS_DIR", "~/my runs")
    assert paths.default_runs_dir() == tmp_path / "home" / "my runs"
    monkeypatch.setenv("VIMPO_RUNS_DIR", "here")
    monkeypatch.chdir(tmp_path)
    assert paths.default_runs_dir() == tmp_path / "here"
    monkeypatch.setenv("VIMPO_RUNS_DIR", "~nobody-of-that-name/runs")
    with pytest.raises(ValueError, match="names a home that is not there"):
        paths.default_runs_dir()


def test_an_empty_runs_dir_on_the_command_line_is_refused_and_a_tilde_expanded(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["runs", "--runs-dir", ""])
    assert error.value.code == 2
    assert "a path must not be empty" in capsys.readouterr().err
    monkeypatch.setenv("HOME", str(tmp_path))
    make_fake_run(tmp_path / "there", **SMALL)
    assert cli.main(["runs", "--runs-dir=~/there"]) == 0
    assert "vimpo-1" in capsys.readouterr().out


def test_a_run_is_not_deleted_into_a_link_from_where_nothing_would_be_brought_back(runs, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    runs.bin.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link, and deleted runs are kept"):
        runs.delete("vimpo-1")
    assert ids(runs) == ["vimpo-1"] and not list((tmp_path / "elsewhere").iterdir())


# ---- names, damage and what killed starts leave


def test_a_run_that_comes_back_under_another_id_keeps_the_name_that_it_was_given(runs):
    runs.rename("vimpo-1", "the good one")
    copy = shutil.copytree(runs.path / "vimpo-1", runs.path.parent / "copy")
    deleted = runs.delete("vimpo-1")
    shutil.copytree(copy, runs.path / "vimpo-1")
    own = runs.list()[0].name
    assert own != "the good one" and runs.deleted_name(deleted) == "the good one"
    runs.rename("vimpo-1", "another one")
    assert runs.restore(deleted.entry) == "vimpo-1-restored-1"
    assert {run.run_id: run.name for run in runs.list()} == {
        "vimpo-1": "another one",
        "vimpo-1-restored-1": "the good one",
    }


def test_a_name_is_forgotten_with_the_run_that_is_gone_for_good(runs):
    runs.rename("vimpo-1", "the good one")
    runs.delete("vimpo-1")
    assert "the good one" in runs.queue.names().values()
    runs.empty_bin()
    assert runs.queue.names() == {}


@pytest.mark.parametrize("left", [0, 100, 4096])
def test_a_run_whose_database_lost_its_first_page_is_listed_as_damaged_and_can_be_deleted(runs, left):
    db = runs.path / "vimpo-1" / "run.db"
    db.write_bytes(bytes(left))
    assert runs.others() == [] and is_run(runs.path / "vimpo-1")
    (listed,) = runs.list()
    assert listed.state == RunState.INTERRUPTED and "vimpo-1" in listed.message
    runs.delete("vimpo-1")
    assert ids(runs) == []


def test_another_programs_database_beside_a_lock_file_stays_its_own(runs):
    foreign_database(runs.path / "mine")
    (runs.path / "mine" / LOCK_NAME).touch()
    assert runs.others() == ["mine"]


def left_by_a_kill(runs, name, age):
    folder = runs.path / name
    folder.mkdir()
    for file in ("run.db", "run.db-journal", LOCK_NAME):
        (folder / file).write_bytes(b"half")
    for at in (*folder.iterdir(), folder):
        os.utime(at, (time.time() - age,) * 2)
    return folder


def test_what_a_killed_start_left_is_removed_and_one_that_goes_on_is_not(runs):
    old, young = left_by_a_kill(runs, ".new-abc", 7200), left_by_a_kill(runs, ".new-def", 60)
    runs.tidy()
    assert not old.exists() and len(list(young.iterdir())) == 3


def test_nothing_else_in_a_hidden_folder_of_that_name_is_removed(runs, tmp_path):
    folder = left_by_a_kill(runs, ".new-thesis", 7200)
    (folder / "thesis.txt").write_text("ten years of work")
    os.utime(folder / "thesis.txt", (0, 0))
    os.utime(folder, (0, 0))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.db").touch()
    os.utime(elsewhere / "run.db", (0, 0))
    os.utime(elsewhere, (0, 0))
    (runs.path / ".new-link").symlink_to(elsewhere)
    runs.tidy()
    assert (folder / "thesis.txt").read_text() == "ten years of work" and len(list(folder.iterdir())) == 4
    assert (elsewhere / "run.db").exists()
