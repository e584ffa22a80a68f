"""A backup made while runs train holds every committed step and comes back whole; a bad one changes nothing."""

import json
import os
import shutil
import threading
import time
import zipfile

import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from tests.support.kills import assert_same_run
from tests.support.waiting import eventually
from vimpo_core import cli, files
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import backup
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service.classroom import Classroom, Member
from vimpo_core.types import RunState

SMALL = {"steps": 2, "prompts_per_step": 1, "group_size": 2}
TINY = TrainConfig(**SMALL)


@pytest.fixture
def runs(tmp_path):
    make_fake_run(tmp_path / "runs", **SMALL)
    return RunsDir(tmp_path / "runs")


@pytest.fixture
def made(runs, tmp_path):
    backup.backup(runs, tmp_path / "all.zip")
    return tmp_path / "all.zip"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def changed(made, name, content=None):
    """The backup with one member replaced, added or (None) left out."""
    other = made.with_name("changed.zip")
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        if content is not None:
            new.writestr(name, content)
    return other


def test_a_run_comes_back_bit_for_bit_with_its_name_and_what_lay_beside_it(runs, tmp_path):
    (run_id,) = [run.run_id for run in runs.list()]
    runs.rename(run_id, "Monday's")
    (runs.path / run_id / "truth.json").write_text("{}")
    made = backup.backup(runs, tmp_path / "all.zip")
    other = RunsDir(tmp_path / "elsewhere" / "runs")
    assert backup.restore(other, tmp_path / "all.zip") == backup.Restored([run_id], [], [])
    assert (made.runs, made.left_out) == ([run_id], {})
    assert_same_run(other.open(run_id), runs.open(run_id))
    assert [(run.name, run.state) for run in other.list()] == [("Monday's", RunState.FINISHED)]
    assert (other.path / run_id / "truth.json").read_text() == "{}"


def test_a_backup_while_a_run_trains_holds_the_steps_so_far_and_what_to_go_on_from(runs, tmp_path):
    runs.submit([TrainConfig(**SMALL | {"steps": 400})])
    run_id, trainer = runs.jobs()[-1].run_ids[0], FakeTrainer(TrainConfig(**SMALL | {"steps": 400}))
    stop = threading.Event()

    def train():
        with runs.open_writable(run_id) as store, store.lock():
            store.set_state(RunState.RUNNING)
            while not stop.is_set() and not trainer.done:
                store.commit_step(trainer.step())

    writer = threading.Thread(target=train)
    writer.start()
    try:
        eventually(lambda: runs.open(run_id).last_step())
        before = runs.open(run_id).last_step()
        backup.backup(runs, tmp_path / "all.zip")
        after = eventually(runs.open(run_id).last_step)
    finally:
        stop.set()
        writer.join()
    other = RunsDir(tmp_path / "other")
    backup.restore(other, tmp_path / "all.zip")
    store = other.open(run_id)
    assert store.state() == RunState.INTERRUPTED and before <= store.last_step() <= after
    assert store.metrics() == runs.open(run_id).metrics()[: store.last_step() + 1]
    assert FakeTrainer(store.config(), store.resume_state()).next_step == store.last_step() + 1


def test_what_waited_waits_again_and_nothing_begins_by_itself(runs, tmp_path):
    runs.submit([TINY])
    run_id = runs.jobs()[-1].run_ids[0]
    backup.backup(runs, tmp_path / "all.zip")
    other = RunsDir(tmp_path / "other")
    assert backup.restore(other, tmp_path / "all.zip").waiting == [run_id]
    assert [(job.run_ids, job.state) for job in other.jobs()] == [((run_id,), RunState.QUEUED)]
    assert not other.has_worker()


def test_the_class_comes_back_with_its_hand_ins_where_none_is_there(runs, tmp_path):
    room = Classroom(runs.path)
    room.open_up("lantern", 3)
    token = room.join("lantern", "10.0.0.2")
    room.hand_in("blame", "first", "18", room.member(token))
    room.rename("Ada", room.member(token))
    room.pin({"run": "vimpo-1"}, Member(9, True))
    backup.backup(runs, tmp_path / "all.zip")
    other = RunsDir(tmp_path / "other")
    assert backup.restore(other, tmp_path / "all.zip").has_class
    found = Classroom(other.path)
    assert (found.names(), found.pinned(), found.board_key()) == ({1: "Ada"}, room.pinned(), room.board_key())
    assert (found.member(token), found.hand_ins()) == (room.member(token), room.hand_ins())
    found.forget_hand_ins()
    assert not backup.restore(other, tmp_path / "all.zip").has_class and found.hand_ins() == {}
    with pytest.raises(Mistake, match=r"class\.db in the backup is damaged\. The runs are back"):
        backup.restore(RunsDir(tmp_path / "third"), changed(tmp_path / "all.zip", "class.db", "x" * 5000))
    assert len(RunsDir(tmp_path / "third").list()) == 1 and not (tmp_path / "third" / "class.db").exists()


def test_a_run_that_is_there_is_left_as_it_is_unless_it_shall_be_replaced_and_then_it_lies_in_the_bin(runs, made):
    (run_id,) = [run.run_id for run in runs.list()]
    runs.rename(run_id, "mine")
    before = contents(runs.path / run_id)
    assert backup.restore(runs, made) == backup.Restored([], [run_id], [])
    assert contents(runs.path / run_id) == before
    assert backup.restore(runs, made, replace=True).runs == [run_id]
    assert [entry.run_id for entry in runs.bin.entries()] == [run_id]
    assert [run.run_id for run in runs.list()] == [run_id]


def test_a_run_that_is_being_trained_is_never_replaced(runs, made):
    (run_id,) = [run.run_id for run in runs.list()]
    before = contents(runs.path)
    with (
        RunStore.open(runs.path / run_id).lock(),
        pytest.raises(Mistake, match=r"is being trained.*nothing was changed"),
    ):
        backup.restore(runs, made, replace=True)
    assert contents(runs.path) == before


def test_a_run_that_cannot_be_read_is_left_out_and_named_and_the_command_says_so(runs, tmp_path, capsys):
    bad = make_fake_run(runs.path, **SMALL, seed=1)
    (runs.path / bad / "run.db").write_bytes((runs.path / bad / "run.db").read_bytes()[:5000])
    out = tmp_path / "all.zip"
    assert cli.main(["backup", str(out), "--runs-dir", str(runs.path), "--json"]) == cli.UNFINISHED
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert len(report["runs"]) == 1 and list(report["left_out"]) == [bad] and f"left out {bad}: run {bad}" in said.err
    assert cli.main(["restore", str(out), "--runs-dir", str(tmp_path / "new"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["restored"] == report["runs"]


def _room_for(free, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: usage._replace(free=free))


def test_without_room_neither_begins_and_nothing_is_left(runs, made, tmp_path, monkeypatch):
    _room_for(1000, monkeypatch)
    with pytest.raises(Mistake, match=r"has 0 MB free.*on another disk"):
        backup.backup(runs, tmp_path / "more.zip")
    with pytest.raises(Mistake, match="nothing was changed"):
        backup.restore(RunsDir(tmp_path / "other"), made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zip", "other", "runs"]
    assert not any((tmp_path / "other").iterdir())


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_and_what_a_killed_backup_left_goes_with_the_next(
    runs, tmp_path, monkeypatch, capsys
):
    Classroom(runs.path).open_up("red lantern", 5)
    hour_ago = time.time() - 4000
    for name in (".0123456789abcdef.writing", ".new-x/class.db", ".new-y/notes.txt", ".mine.writing"):
        left = tmp_path / "out" / name
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
        for path in (left, left.parent):
            os.utime(path, (hour_ago, hour_ago))
    with monkeypatch.context() as full:
        full.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        command = ["backup", str(tmp_path / "out" / "all.zip"), "--runs-dir", str(runs.path)]
        assert cli.main(command) == 2
    assert "all.zip: the disk is full. Free some space, then try again" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".mine.writing", ".new-y"]


def test_nothing_to_back_up_and_a_file_that_is_there_are_said(runs, made, tmp_path):
    with pytest.raises(Mistake, match="no runs in empty"):
        backup.backup(RunsDir(tmp_path / "empty"), tmp_path / "new.zip")
    with pytest.raises(Mistake, match=r"all\.zip exists already"):
        backup.backup(runs, made)


def test_what_is_no_backup_or_a_damaged_one_is_refused_and_changes_nothing(runs, made, tmp_path):
    with zipfile.ZipFile(made) as whole:
        (db,) = [name for name in whole.namelist() if name.endswith("run.db")]
        manifest, content = json.loads(whole.read("backup.json")), whole.read(db)
    (tmp_path / "cut.zip").write_bytes(made.read_bytes()[:-100])
    (tmp_path / "text.zip").write_text("my thesis")
    run_id = db.split("/")[1]
    cases = [
        (tmp_path / "gone.zip", "no file gone.zip"),
        (tmp_path / "cut.zip", "cut short"),
        (tmp_path / "text.zip", "no zip file"),
        (lambda: changed(made, "backup.json"), "no backup of this lab"),
        (lambda: changed(made, "backup.json", "[]"), "cannot be restored"),
        (lambda: changed(made, "backup.json", json.dumps(manifest | {"format": 9})), "newer version"),
        (lambda: changed(made, "backup.json", json.dumps(manifest | {"waiting": [["other"]]})), "not as `backup`"),
        (lambda: changed(made, "backup.json", json.dumps(manifest | {"runs": {"../up": {"sha256": ""}}})), "not as"),
        (lambda: changed(made, f"runs/{run_id}/../../out.txt", "x"), "never writes"),
        (lambda: changed(made, f"runs/{run_id}/run.db-wal", "x"), "never writes"),
        (lambda: changed(made, db), "run.db of run .* is missing"),
        (lambda: changed(made, db, content[:-4096] + bytes(4096)), "is damaged"),
    ]
    for source, words in cases:
        other = RunsDir(tmp_path / "other")
        with pytest.raises(Mistake, match=words):
            backup.restore(other, source() if callable(source) else source)
        assert other.list() == [] and not (other.path.is_dir() and any(other.path.iterdir())), words
    assert not (tmp_path / "out.txt").exists()
