"""A fork: its past is its parent's bit for bit, and with the parent's settings its future is too."""

import dataclasses
import json
import sqlite3
from contextlib import closing

import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from tests.support.real import SMALL, small
from vimpo_core import cli
from vimpo_core.config import TrainConfig
from vimpo_core.runs import forks, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState

TABLES = ("steps", "metrics", "traces", "snapshots")


def rows(store, table: str, first: int, last: int, timings: bool = True) -> list[tuple]:
    """Everything a table holds of some steps, as the database has it."""
    only = "" if timings or table != "metrics" else "AND NOT is_timing"
    with closing(sqlite3.connect(store.run_dir / "run.db")) as connection:
        found = connection.execute(f"SELECT * FROM {table} WHERE step BETWEEN ? AND ? {only}", (first, last)).fetchall()
    return sorted(found, key=lambda row: [str(value) for value in row[:3]])


def assert_same_steps(a, b, first: int, last: int, timings: bool = True):
    for table in TABLES:
        found = rows(a, table, first, last, timings)
        assert found == rows(b, table, first, last, timings), table
    assert found or table == "snapshots"


def run_of(runs: RunsDir, job_id: str):
    return runs.open(next(job.run_ids[0] for job in runs.jobs() if job.job_id == job_id))


def forked(runs, run_id, step, config, optimizer="replay", make_trainer=FakeTrainer, **options):
    """A fork, trained to its end."""
    job_id = runs.fork(run_id, step, config, optimizer, **options)
    worker.main(runs.path, make_trainer=make_trainer, only_job=job_id)
    return run_of(runs, job_id)


@pytest.fixture
def runs(tmp_path):
    return RunsDir(tmp_path / "runs")


@pytest.fixture
def parent(runs):
    return runs.open(make_fake_run(runs.path, steps=12, prompts_per_step=3))


# ---- the past


@pytest.mark.parametrize("optimizer", forks.OPTIMIZERS)
def test_a_fork_has_its_parents_records_bit_for_bit_before_it_trains(runs, parent, optimizer):
    config = dataclasses.replace(parent.config(), beta=0.3, steps=20)
    fork = run_of(runs, runs.fork(parent.run_id, 5, config, optimizer))
    assert_same_steps(parent, fork, 0, 5)
    assert (fork.last_step(), fork.state(), fork.config()) == (5, RunState.QUEUED, config)
    assert fork.resume_state() is None


@pytest.mark.parametrize("optimizer", forks.OPTIMIZERS)
def test_training_a_fork_leaves_its_past_and_its_parent_alone(runs, parent, optimizer):
    before = {table: rows(parent, table, 0, 99) for table in TABLES}
    fork = forked(runs, parent.run_id, 5, dataclasses.replace(parent.config(), beta=0.3), optimizer)
    assert_same_steps(parent, fork, 0, 5)
    assert before == {table: rows(parent, table, 0, 99) for table in TABLES}
    assert (fork.state(), fork.last_step(), fork.message()) == (RunState.FINISHED, 12, "")


def test_the_header_names_parent_step_optimizer_and_command(runs, parent):
    config = dataclasses.replace(parent.config(), beta=0.3)
    header = run_of(runs, runs.fork(parent.run_id, 5, config, "fresh")).header()
    assert (header["fork"]["run_id"], header["fork"]["step"], header["fork"]["optimizer"]) == (
        parent.run_id,
        5,
        "fresh",
    )
    assert header["command"] == "python -m vimpo_core fork vimpo-1 --step 5 --optimizer fresh --beta 0.3"
    assert header["name"] == "VIMPO beta 0.1, seed 0 from step 5: beta 0.3"
    assert forks.describe(header["fork"]).startswith("a fork of VIMPO beta 0.1, seed 0 (vimpo-1) at step 5")


def test_a_fork_of_a_read_only_run_lands_in_ones_own_folder(tmp_path, runs):
    bundled = RunsDir(tmp_path / "bundled")
    run_id = make_fake_run(bundled.path, steps=6)
    job_id = runs.fork(
        run_id,
        4,
        TrainConfig(steps=8, actor_coef=0.0),
        source=RunsDir(bundled.path, read_only=True),
    )
    assert_same_steps(bundled.open(run_id), run_of(runs, job_id), 0, 4)


# ---- the future


def test_a_replayed_fork_that_changes_nothing_goes_on_as_its_parent(runs, parent):
    fork = forked(runs, parent.run_id, 5, parent.config())
    assert_same_steps(parent, fork, 0, 12, timings=False)


def test_a_fork_of_a_fork_is_replayed_through_all_its_settings(runs, parent):
    """The grandchild changes nothing: it must follow the child, whose own settings differ from the parent's."""
    child = forked(runs, parent.run_id, 4, dataclasses.replace(parent.config(), group_size=4, steps=14))
    runs.delete(parent.run_id)
    grandchild = forked(runs, child.run_id, 9, child.config())
    assert_same_steps(child, grandchild, 0, 14, timings=False)
    earlier = forked(runs, child.run_id, 2, child.config())
    assert rows(earlier, "traces", 3, 4) != rows(child, "traces", 3, 4)


def test_a_fork_of_a_freshly_started_fork_begins_at_that_start(runs, parent):
    child = forked(runs, parent.run_id, 5, dataclasses.replace(parent.config(), beta=0.3), "fresh")
    assert rows(child, "traces", 6, 12) != rows(parent, "traces", 6, 12)
    grandchild = forked(runs, child.run_id, 8, child.config())
    assert_same_steps(child, grandchild, 0, 12, timings=False)


def test_a_fork_stopped_in_its_replay_and_one_stopped_later_both_resume(runs, parent):
    job_id = runs.fork(parent.run_id, 5, parent.config())
    fork = run_of(runs, job_id)
    for stop_after in (3, 6):  # trainer steps: within the replay of 6 records, and after it
        with runs.open_writable(fork.run_id) as store, store.lock():
            state = store.resume_state()
            trainer = FakeTrainer(store.config(), state) if state else forks.ForkTrainer(store, FakeTrainer)
            commands = iter(["play"] * (stop_after + 2 * (stop_after == 6)))
            assert worker.drive([(store, trainer)], lambda: next(commands, "stop")) == RunState.STOPPED  # noqa: B023
            if stop_after == 3:
                assert store.last_step() == 5
                store.set_state(RunState.STOPPED)
    assert fork.last_step() == 7
    runs.command(job_id, "stop")
    job_id = runs.resume([fork.run_id])
    worker.main(runs.path, make_trainer=FakeTrainer, only_job=job_id)
    assert_same_steps(parent, fork, 0, 12, timings=False)


def test_a_replay_that_comes_out_otherwise_stops_with_the_way_out(runs, parent):
    class OtherComputer(FakeTrainer):
        def _metrics(self, step, learned, traces):
            return super()._metrics(step, learned, traces) | ({"kl_mean": 0.125} if step == 3 else {})

    fork = forked(runs, parent.run_id, 5, parent.config(), make_trainer=OtherComputer)
    assert fork.state() == RunState.STOPPED
    assert fork.message() == (
        "The replay ended: step 3 came out otherwise than the parent recorded it, as happens on another computer or "
        "after an update. Fork again with a fresh optimizer."
    )
    assert_same_steps(parent, fork, 0, 5)


# ---- what is refused

REFUSED = [
    ({"seed": 1}, "seed cannot change on a fork: it decides the samples of the steps before. Keep 0, or"),
    (
        {"lora_rank": 4},
        "lora_rank cannot change on a fork: the adapter of the step has the other one. Keep 8,",
    ),
    ({"operands": 3}, "operands cannot change on a fork: the steps before solved other problems. Keep 5,"),
    ({"model": "elsewhere"}, "model cannot change on a fork: the steps before were made with the other one."),
    ({"steps": 5}, "steps must be more than the fork's step 5, got 5. Raise steps."),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_a_setting_that_cannot_change_is_named_and_nothing_is_left(runs, parent, changes, said):
    with pytest.raises(ValueError) as caught:
        runs.fork(parent.run_id, 5, dataclasses.replace(parent.config(), **changes))
    assert str(caught.value).startswith(said)
    assert [run.run_id for run in runs.list()] == [parent.run_id]


@pytest.mark.parametrize("step", [-1, 13])
def test_a_step_that_is_not_there_is_named_with_those_that_are(runs, parent, step):
    with pytest.raises(ValueError, match=f"run vimpo-1 has no step {step}. Choose one from 0 to 12."):
        runs.fork(parent.run_id, step, parent.config())


def test_a_fresh_optimizer_needs_a_snapshot_of_the_step(runs, parent):
    with pytest.raises(ValueError, match=r"run vimpo-1 holds no adapter of step 4\. It has 0, 5, 10, 12\."):
        runs.fork(parent.run_id, 4, parent.config(), "fresh")


def test_a_run_without_a_step_cannot_be_forked(runs):
    runs.submit([TrainConfig(steps=3)])
    with pytest.raises(ValueError, match="has no step yet"):
        runs.fork("vimpo-1", 0, TrainConfig(steps=3))


# ---- the real trainer


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    runs = RunsDir(tmp_path_factory.mktemp("real"))
    runs.submit([SMALL])
    worker.main(runs.path)
    return runs


def test_a_real_replayed_fork_that_changes_nothing_goes_on_as_its_parent(real):
    fork = forked(real, "vimpo-1", 2, SMALL, make_trainer=worker.make_trainer)
    assert fork.state() == RunState.FINISHED, fork.message()
    assert_same_steps(real.open("vimpo-1"), fork, 0, 4, timings=False)


@pytest.mark.parametrize("optimizer", forks.OPTIMIZERS)
def test_a_real_fork_with_other_settings_parts_from_its_parent_after_the_step(real, optimizer):
    changed = small(learning_rate=5e-4, group_size=3, algorithm="grpo")
    fork, parent = (
        forked(real, "vimpo-1", 2, changed, optimizer, worker.make_trainer),
        real.open("vimpo-1"),
    )
    assert fork.state() == RunState.FINISHED, fork.message()
    assert_same_steps(parent, fork, 0, 2)
    assert fork.snapshot(4) != parent.snapshot(4)
    assert [len(fork.traces(step)) for step in (2, 3)] == [12, 9]


def test_a_fresh_optimizer_is_the_only_difference_of_a_fresh_fork_that_changes_nothing(real):
    """Record 3 follows the one update that Adam made anew: it differs, and so the header says it."""
    fork = forked(real, "vimpo-1", 2, SMALL, "fresh", worker.make_trainer)
    parent = real.open("vimpo-1")
    assert_same_steps(parent, fork, 0, 2)
    assert fork.metrics(after=2, timings=False) != parent.metrics(after=2, timings=False)
    again = forked(real, "vimpo-1", 2, SMALL, "fresh", worker.make_trainer)
    assert_same_steps(fork, again, 0, 4, timings=False)


# ---- the command line


def test_the_command_line_forks_and_reports_as_train_does(real, capsys):
    known = {run.run_id for run in real.list()}
    arguments = [
        "fork",
        "vimpo-1",
        "--step",
        "2",
        "--learning-rate",
        "0.0005",
        "--runs-dir",
        str(real.path),
        "--json",
    ]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["run_id"] not in known
    assert (report["status"], report["steps"], report["last_step"]) == ("finished", 4, 4)
    fork = real.open(report["run_id"])
    assert fork.config() == small(learning_rate=5e-4), "what is not said stays as it was"
    assert_same_steps(real.open("vimpo-1"), fork, 0, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--step", "2", "--seed", "5"], "error: seed cannot change on a fork"),
        (["--step", "9"], "error: run vimpo-1 has no step 9. Choose one from 0 to 4."),
        (["--step", "3", "--optimizer", "fresh"], "error: run vimpo-1 holds no adapter of step 3."),
        (["--step", "2", "--beta", "-1"], "error: beta must be between"),
    ],
)
def test_a_fork_that_is_impossible_is_one_sentence_and_leaves_nothing(real, capsys, options, said):
    before = [run.run_id for run in real.list()]
    assert cli.main(["fork", "vimpo-1", *options, "--runs-dir", str(real.path)]) == 2
    assert capsys.readouterr().err.startswith(said)
    assert [run.run_id for run in real.list()] == before
