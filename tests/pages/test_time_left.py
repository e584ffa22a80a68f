"""Where a job is and how long it will take, for runs that train, that make a parent's steps again, and that have
ended.
"""

import pytest

from app import live
from app.live import Sight
from app.train import training
from app.train.training import Job
from tests.pages.opening import open_page, words
from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState

RUNNING, DIVERGED, FINISHED, STOPPED, QUEUED = (
    RunState.RUNNING,
    RunState.DIVERGED,
    RunState.FINISHED,
    RunState.STOPPED,
    RunState.QUEUED,
)


def sight(last, steps, state=RUNNING, seconds=1.0, to_replay=0, replayed_in=None):
    rows = [] if last is None else [{"step": step, "wall_seconds": seconds} for step in range(last + 1)]
    return Sight("vimpo-1", TrainConfig(steps=steps), state, "", rows, {}, to_replay, replayed_in)


def job(*sights, state=RUNNING):
    return Job("job-1", state, list(sights), 0)


ROWS = [
    # what, sights, step, seconds left, share done
    ("one run", [sight(42, 150, seconds=0.5)], 42, 54.0, 43 / 151),
    ("a pair, in turn", [sight(10, 50), sight(9, 50)], 9, 81.0, 21 / 102),
    ("before the first step", [sight(None, 50)], None, None, 0.0),
    ("one of a pair before its first step", [sight(3, 50), sight(None, 50)], None, None, 4 / 102),
    ("a pair of which one diverged at 9", [sight(9, 50, DIVERGED), sight(30, 50, seconds=2.0)], 30, 40.0, 31 / 51),
    ("a pair of which one is finished", [sight(20, 20, FINISHED), sight(20, 50)], 20, 30.0, 21 / 51),
    ("a pair that was stopped", [sight(9, 50, STOPPED), sight(8, 50, STOPPED)], 9, 0, 19 / 102),
    ("a fork at 80, 4 of its 81 steps made again", [sight(80, 100, to_replay=77, replayed_in=0.5)], 80, 48.5, 4 / 101),
    ("a fork at 80 that has yet to begin", [sight(80, 100, to_replay=81)], 80, 101.0, 0.0),
    ("a fork at 80 with a new optimizer", [sight(80, 100, to_replay=1)], 80, 21.0, 80 / 101),
    ("a fork past its replay", [sight(81, 100)], 81, 19.0, 82 / 101),
]


@pytest.mark.parametrize(("what", "sights", "step", "left", "share"), ROWS, ids=[row[0] for row in ROWS])
def test_step_time_left_and_share_are_those_of_what_is_still_ahead(what, sights, step, left, share):
    shown = job(*sights)
    assert shown.step == step
    assert live.seconds_left(sights) == (None if left is None else pytest.approx(left))
    assert shown.progress == pytest.approx(share)


def test_time_left_is_told_at_the_pace_of_the_last_ten_steps():
    slow_then_fast = sight(29, 39)
    for row in slow_then_fast.rows:
        row["wall_seconds"] = 9.0 if row["step"] < 20 else 1.0
    assert live.seconds_left([slow_then_fast]) == 10.0
    assert training.progress_text(job(slow_then_fast)) == "**step 29/39**  ·  0:10 left"


class HeldAt24(FakeTrainer):
    def step(self):
        if self.next_step == 25:
            raise KeyboardInterrupt
        return super().step()


def test_a_fork_in_its_replay_counts_the_steps_it_has_yet_to_make_again(runs):
    parent = make_fake_run(runs.path, steps=80, prompts_per_step=1, group_size=2)
    job_id = runs.fork(parent, 60, runs.open(parent).config())
    worker.main(runs.path, HeldAt24, only_job=job_id)
    seen = live.live_run(str(runs.path), "vimpo-2").look(fresh=True)
    assert (seen.last_step, seen.to_replay, seen.reached) == (60, 36, 24)
    assert seen.seconds_left == pytest.approx(56 * 0.21)
    runs.resume(["vimpo-2"])
    worker.main(runs.path, FakeTrainer)
    seen = live.live_run(str(runs.path), "vimpo-2").look(fresh=True)
    assert (seen.state, seen.to_replay, seen.reached) == (FINISHED, 0, 80)


def test_every_look_at_a_waiting_job_and_the_list_of_runs_wakes_the_worker(runs, monkeypatch):
    """A page that was open when the worker was killed looks again by itself; nobody has to reload it."""
    job_id = runs.submit([TrainConfig(steps=2)])
    woken = []
    monkeypatch.setattr(RunsDir, "wake_worker", lambda self: woken.append(self.path))
    assert training.find_job(job_id).state == QUEUED and woken == [runs.path]
    open_page("runs")
    assert len(woken) == 2


def test_a_worker_that_cannot_be_started_is_said_on_the_page(runs, monkeypatch):
    job_id = runs.submit([TrainConfig(steps=2)])

    def refuse(self):
        raise OSError(30, "Read-only file system", str(self.path / "worker.log"))

    monkeypatch.setattr(RunsDir, "ensure_worker", refuse)
    shown = words(open_page("train", job=job_id))
    assert "the training process cannot be started" in shown and "the disk is read-only" in shown


def test_a_run_that_starts_after_the_other_of_its_job_waits_for_no_other_job():
    lines = training.state_lines(job(sight(3, 50), sight(None, 50, QUEUED)))
    assert lines[1].endswith("**Next.** The runs of a job start one after the other.")
    assert "running job" not in " ".join(lines)


def test_a_run_that_broke_off_says_why_and_not_that_its_process_died():
    why = "step 4 was not kept: the disk is full. Free at least 6 MB, then resume; nothing earlier is lost."
    assert live.state_line(RunState.INTERRUPTED, why).replace("\\", "") == f"**Interrupted.** S{why[1:]}"
    assert live.state_line(RunState.INTERRUPTED, "").startswith("**Interrupted.** The process died.")
