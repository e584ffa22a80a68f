"""How long a job waits: the steps of those ahead times what a step takes here, and nothing where nobody knows."""

import dataclasses

import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.runs import waits, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState

CONFIG = TrainConfig(steps=40, prompts_per_step=2, group_size=4)
STEP = 0.21
"""Seconds that a step of the fake takes, as it says itself."""


@pytest.fixture
def runs(tmp_path):
    return RunsDir(tmp_path)


def test_the_times_of_all_ahead_add_up_and_a_pair_takes_that_of_both(runs):
    make_fake_run(runs.path, steps=3, prompts_per_step=2, group_size=4)
    runs.submit([CONFIG])
    runs.submit([CONFIG, TrainConfig(steps=10, prompts_per_step=2, group_size=4, seed=7, beta=0.3)])
    runs.submit([CONFIG])
    found = list(waits.waits(runs).values())
    assert [one.ahead for one in found] == [0, 1, 2]
    assert [one.seconds for one in found] == pytest.approx([0, 41 * STEP, (41 + 41 + 11) * STEP])
    assert [one.left for one in found] == pytest.approx([41 * STEP, 52 * STEP, 41 * STEP])


def test_a_run_at_work_counts_the_steps_that_it_has_left_at_its_own_pace(runs):
    class Slow(FakeTrainer):
        def step(self):
            record = super().step()
            record.timings["wall_seconds"] = 3.0
            return record

    seen = []

    def look(store, record):
        if record.step == 30:
            runs.submit([CONFIG])
            seen.extend(waits.waits(runs).values())

    first = runs.submit([CONFIG])
    worker.main(runs.path, Slow, look, only_job=first)
    assert [one.seconds for one in seen] == pytest.approx([0, 10 * 3.0])


def test_a_larger_batch_of_the_same_kind_takes_longer_and_nobody_knows_of_what_was_never_measured(runs):
    runs.submit([CONFIG])
    runs.submit([CONFIG])
    assert [(one.ahead, one.seconds, one.left) for one in waits.waits(runs).values()] == [(0, 0, None), (1, None, None)]
    make_fake_run(runs.path, steps=3, prompts_per_step=1, group_size=4)
    runs.submit([TrainConfig(algorithm="ppo", steps=5)])
    found = list(waits.waits(runs).values())
    assert [one.seconds for one in found] == pytest.approx([0, 41 * 2 * STEP, 82 * 2 * STEP]) and found[2].left is None


def test_while_the_queue_or_a_run_ahead_holds_still_nobody_knows(runs, monkeypatch):
    make_fake_run(runs.path, steps=3, prompts_per_step=2, group_size=4)
    first, second = runs.submit([CONFIG]), runs.submit([CONFIG])
    runs.queue.pause(True)
    assert [(one.seconds, one.is_held) for one in waits.waits(runs).values()] == [(None, True)] * 2
    runs.queue.pause(False)
    held = {first: RunState.PAUSED, second: RunState.QUEUED}
    jobs = [dataclasses.replace(job, state=held[job.job_id]) for job in runs.jobs() if job.job_id in held]
    monkeypatch.setattr(RunsDir, "jobs", lambda self: jobs)
    assert waits.waits(runs)[second].is_held and not waits.waits(runs)[first].is_held
