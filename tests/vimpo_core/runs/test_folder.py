"""The folder of runs and its queue: what is submitted is listed, waits in order, and refuses nonsense in a sentence."""

import os
import sqlite3

import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir, command_line
from vimpo_core.runs.store import StoreError
from vimpo_core.types import RunState

VIMPO = TrainConfig(steps=2, prompts_per_step=1, group_size=2)
GRPO = TrainConfig(algorithm="grpo", steps=2, prompts_per_step=1, group_size=2)


@pytest.fixture
def runs(tmp_path):
    return RunsDir(tmp_path / "runs")


def train(runs):
    assert worker.main(runs.path, make_trainer=FakeTrainer)


def states(runs):
    return {run.run_id: run.state for run in runs.list()}


def test_an_absent_folder_has_no_runs_and_looking_does_not_make_it(runs):
    assert (runs.list(), runs.jobs(), runs.has_worker()) == ([], [], False)
    assert not runs.path.exists()


def test_a_pair_is_two_queued_runs_and_one_job(runs):
    job_id = runs.submit([VIMPO, GRPO], name="  my   pair ")
    (job,) = runs.jobs()
    assert (job.job_id, job.run_ids, job.state, job.command) == (
        job_id,
        ("vimpo-1", "grpo-1"),
        RunState.QUEUED,
        "play",
    )
    assert {(r.run_id, r.name, r.state, r.job_id, r.steps, r.last_step) for r in runs.list()} == {
        ("vimpo-1", "my pair: VIMPO beta 0.1, seed 0", RunState.QUEUED, job_id, 2, None),
        ("grpo-1", "my pair: GRPO, seed 0", RunState.QUEUED, job_id, 2, None),
    }


def test_the_same_algorithm_twice_gets_two_names(runs):
    runs.submit([VIMPO, VIMPO])
    assert set(states(runs)) == {"vimpo-1", "vimpo-1-2"}


def test_runs_are_listed_newest_first(runs):
    for _ in range(3):
        runs.submit([VIMPO])
    assert [run.run_id for run in runs.list()] == ["vimpo-3", "vimpo-2", "vimpo-1"]


def test_numbers_are_not_used_twice(runs):
    runs.submit([VIMPO])
    train(runs)
    runs.delete("vimpo-1")
    runs.submit([VIMPO])
    assert set(states(runs)) == {"vimpo-2"}
    runs.empty_bin()
    (runs.path / "app.db").unlink()  # the counter is lost, the runs are not
    runs.submit([VIMPO])
    assert "vimpo-1" in states(runs)
    runs.submit([VIMPO])
    assert set(states(runs)) == {"vimpo-1", "vimpo-2", "vimpo-3"}


def test_nothing_is_left_of_a_job_that_could_not_be_written(runs, monkeypatch):
    def full(*_):
        raise StoreError("The queue was not changed: the disk is full.")

    monkeypatch.setattr(runs.queue, "add", full)
    with pytest.raises(StoreError, match="disk is full"):
        runs.submit([VIMPO, GRPO])
    assert runs.list() == []


def test_a_job_without_runs_is_refused(runs):
    with pytest.raises(ValueError, match="at least one run"):
        runs.submit([])


def test_opening_names_what_exists_and_stays_inside_the_folder(runs, tmp_path):
    runs.submit([VIMPO])
    assert runs.open("vimpo-1").config() == VIMPO
    with pytest.raises(ValueError, match=r"no run 'vimpo-9' in runs. It has vimpo-1\."):
        runs.open("vimpo-9")
    make_fake_run(tmp_path / "others", steps=1, prompts_per_step=1, group_size=2)
    with pytest.raises(ValueError, match="no run"):
        runs.open("../others/vimpo-1")


def test_a_new_name_is_listed(runs):
    runs.submit([VIMPO])
    runs.rename("vimpo-1", " small\n beta ")
    assert runs.list()[0].name == "small beta"
    for bad in ("  ", "x" * 81):
        with pytest.raises(ValueError, match="1 to 80 characters"):
            runs.rename("vimpo-1", bad)
    assert runs.list()[0].name == "small beta"


def test_a_run_in_the_queue_is_not_deleted(runs):
    job_id = runs.submit([VIMPO])
    with pytest.raises(ValueError, match=r"run vimpo-1 is queued and cannot be deleted. Stop it first\."):
        runs.delete("vimpo-1")
    runs.command(job_id, "stop")
    runs.delete("vimpo-1")
    assert runs.list() == []
    assert not [name for name in os.listdir(runs.path) if "vimpo" in name]


def test_a_locked_run_is_not_deleted(runs):
    job_id = runs.submit([VIMPO])
    runs.command(job_id, "stop")
    with runs.open("vimpo-1").lock(), pytest.raises(ValueError, match="is running and cannot be deleted"):
        runs.delete("vimpo-1")
    assert "vimpo-1" in states(runs)


def test_a_queued_job_that_is_stopped_leaves_the_queue(runs):
    first, second = runs.submit([VIMPO]), runs.submit([GRPO])
    runs.command(first, "stop")
    assert states(runs) == {"vimpo-1": RunState.STOPPED, "grpo-2": RunState.QUEUED}
    train(runs)
    assert states(runs) == {"vimpo-1": RunState.STOPPED, "grpo-2": RunState.FINISHED}
    assert [(job.job_id, job.state) for job in runs.jobs()] == [
        (first, RunState.STOPPED),
        (second, RunState.FINISHED),
    ]


def test_a_job_that_is_over_takes_no_command(runs):
    job_id = runs.submit([VIMPO])
    train(runs)
    with pytest.raises(ValueError, match="job-1 is finished and takes no command"):
        runs.command(job_id, "pause")
    with pytest.raises(ValueError, match=r"unknown command 'faster'. Known: play, pause, step, stop\."):
        runs.command(job_id, "faster")
    with pytest.raises(ValueError, match=r"no job 'job-7'. The newest are job-1\."):
        runs.command("job-7", "stop")


def test_only_runs_that_can_go_on_are_resumed(runs):
    job_id = runs.submit([VIMPO])
    with pytest.raises(ValueError, match="already queued"):
        runs.resume(["vimpo-1"])
    runs.command(job_id, "stop")
    again = runs.resume(["vimpo-1"])
    assert states(runs) == {"vimpo-1": RunState.QUEUED}
    assert runs.list()[0].job_id == again
    train(runs)
    with pytest.raises(ValueError, match="finished: all its 2 steps are done"):
        runs.resume(["vimpo-1"])


def test_resume_changes_nothing_if_one_run_cannot(runs):
    runs.command(runs.submit([VIMPO]), "stop")
    make_fake_run(runs.path, "grpo", steps=1, prompts_per_step=1, group_size=2)
    with pytest.raises(ValueError, match="grpo-2 is finished"):
        runs.resume(["vimpo-1", "grpo-2"])
    assert states(runs)["vimpo-1"] == RunState.STOPPED
    assert len(runs.jobs()) == 2


def test_read_only_runs_are_shown_and_never_touched(tmp_path):
    run_id = make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    for file in (tmp_path / "app.db", tmp_path / "worker.lock", tmp_path / run_id / "run.lock"):
        file.unlink()
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    demos = RunsDir(tmp_path, read_only=True)
    (demo,) = demos.list()
    assert (demo.run_id, demo.read_only, demo.state) == (run_id, True, RunState.FINISHED)
    assert len(demos.open(run_id).traces(1)) == 2
    assert demos.jobs() == []
    for refused in (
        lambda: demos.submit([VIMPO]),
        lambda: demos.delete(run_id),
        lambda: demos.rename(run_id, "x"),
        lambda: demos.resume([run_id]),
    ):
        with pytest.raises(ValueError, match="read-only"):
            refused()
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_the_command_in_the_header_makes_the_same_run(runs):
    config = TrainConfig(beta=0.3, reward_noise=0.25)
    assert command_line(config) == (
        "python -m vimpo_core train --algorithm vimpo --steps 100 --seed 0 --beta 0.3 --reward-noise 0.25"
    )
    runs.submit([config])
    assert runs.open("vimpo-1").header()["command"] == command_line(config)


def test_a_queue_of_a_newer_version_is_refused_in_a_sentence(runs):
    runs.submit([VIMPO])
    with sqlite3.connect(runs.path / "app.db") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(ValueError, match=r"app\.db was written by a newer version"):
        runs.jobs()
    assert set(states(runs)) == {"vimpo-1"}


def test_a_single_step_is_handed_out_once(runs):
    job_id = runs.submit([VIMPO])
    runs.command(job_id, "step")
    assert [runs.queue.read_command(job_id) for _ in range(3)] == ["step", "pause", "pause"]
