"""Runs that older versions wrote open here, and go on."""

import contextlib
import shutil
import sqlite3

import pytest

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT
from vimpo_core.runs import backup, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState

FORMATS = ROOT / "tests" / "data" / "runs"


def test_a_run_of_the_first_format_opens_with_its_name_and_numbers_and_makes_its_last_step(tmp_path):
    shutil.copytree(FORMATS / "format_1", tmp_path / "runs")
    runs = RunsDir(tmp_path / "runs")
    (run,) = runs.list()
    assert (run.run_id, run.name, run.state) == ("vimpo-1", "the first format", RunState.STOPPED)
    store = runs.open("vimpo-1")
    assert store.metrics()[2]["value_loss"] == pytest.approx(0.12488310039043427)
    assert store.snapshot_steps() == [0, 2] and len(store.traces(2)) == 4
    runs.resume(["vimpo-1"])
    worker.main(runs.path)
    assert runs.open("vimpo-1").state() == RunState.FINISHED
    assert ["".join(trace.text) for trace in store.traces(3)] == ["7+8;15.", "7+8,15.", "16-6;10.", "16-6,10."]
    last = store.metrics()[3]
    assert (last["reward_mean"], last["sampled_accuracy"]) == (1.0, 0.5)
    assert last["kl_mean"] == pytest.approx(4.769241968460847e-06, rel=1e-3)


def test_a_run_of_a_newer_version_is_listed_with_what_to_do_and_nothing_that_is_tried_changes_a_byte(tmp_path):
    shutil.copytree(FORMATS / "format_1", tmp_path / "runs")
    runs = RunsDir(tmp_path / "runs")
    with contextlib.closing(sqlite3.connect(runs.path / "vimpo-1" / "run.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (runs.path / "vimpo-1" / "run.db").read_bytes()
    (run,) = runs.list()
    assert (run.state, run.algorithm) == (RunState.INTERRUPTED, "")
    assert run.message == (
        "run vimpo-1 was written by a newer version (format 99, this one reads up to 1). Update VIMPO Lab to open it."
    )
    tries = [
        lambda: runs.resume(["vimpo-1"]),
        lambda: runs.label("vimpo-1", ["mine"]),
        lambda: runs.fork("vimpo-1", 2, TrainConfig()),
        lambda: backup.restore(runs, tmp_path / "all.zip", replace=True),
    ]
    assert backup.backup(runs, tmp_path / "all.zip").left_out == {"vimpo-1": run.message}
    for attempt in tries[:3]:
        with pytest.raises(Mistake, match="written by a newer version"):
            attempt()
    assert tries[3]().runs == []
    runs.delete("vimpo-1")
    runs.restore("vimpo-1")
    assert (runs.path / "vimpo-1" / "run.db").read_bytes() == before
