"""The worker steps runs in turn, obeys between steps, and one run's trouble is not another's."""

import io
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from unittest import mock

import psutil
import pytest

from tests.support.fakes import FakeTrainer
from tests.support.waiting import eventually
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.paths import BUNDLED_MODEL
from vimpo_core.runs import folder, worker
from vimpo_core.runs.folder import BEGIN, RunsDir
from vimpo_core.runs.queue import JobQueue
from vimpo_core.types import RunState


def small(algorithm="vimpo", steps=3, **fields) -> TrainConfig:
    return TrainConfig(algorithm=algorithm, steps=steps, prompts_per_step=1, group_size=2, **fields)


PAIR = [small("vimpo"), small("grpo")]


@pytest.fixture
def runs(tmp_path):
    return RunsDir(tmp_path)


def states(runs):
    return {run.run_id: (run.state, run.last_step) for run in runs.list()}


def drive_with(runs, commands, configs=PAIR):
    """Drive a job's runs; `commands` answers the worker one by one. Returns (outcome, order of the records)."""
    runs.submit(configs)
    job = runs.queue.take()
    answers, order = iter(commands), []
    with ExitStack() as stack:
        pairs = [worker._start(stack, runs, run_id, FakeTrainer) for run_id in job.run_ids]
        outcome = worker.drive(pairs, lambda: next(answers), lambda store, r: order.append((store.run_id, r.step)))
        return outcome, order


@pytest.fixture
def background(runs):
    """Start `worker.main` with the fake trainer in a thread; joined at the end."""
    threads = []

    def start(make_trainer=FakeTrainer):
        threads.append(threading.Thread(target=worker.main, args=(runs.path, make_trainer)))
        threads[-1].start()

    yield start
    for job in runs.jobs():
        with suppress(ValueError):  # over already
            runs.command(job.job_id, "stop")
    for thread in threads:
        thread.join()


def test_a_pair_is_stepped_in_turn_to_the_end(runs):
    outcome, order = drive_with(runs, ["play"] * 8)
    assert outcome == RunState.FINISHED
    assert order == [(run_id, step) for step in range(4) for run_id in ("vimpo-1", "grpo-1")]
    assert states(runs) == {"vimpo-1": (RunState.FINISHED, 3), "grpo-1": (RunState.FINISHED, 3)}


def test_a_single_step_makes_one_record_for_each_run_then_pauses(runs):
    _, order = drive_with(runs, ["step", "pause", "pause", "pause", "step", "pause", "pause", "stop"])
    assert order == [("vimpo-1", 0), ("grpo-1", 0), ("vimpo-1", 1), ("grpo-1", 1)]


def test_a_step_asked_for_during_a_step_is_not_lost(runs):
    _, order = drive_with(runs, ["step", "step", "pause", "pause", "pause", "stop"])
    assert order == [("vimpo-1", 0), ("grpo-1", 0), ("vimpo-1", 1), ("grpo-1", 1)]


def test_pause_lets_the_round_end_and_stop_does_not(runs):
    _, order = drive_with(runs, ["play", "pause", "pause", "play", "stop"])
    assert order == [("vimpo-1", 0), ("grpo-1", 0), ("vimpo-1", 1)]
    assert states(runs) == {"vimpo-1": (RunState.STOPPED, 1), "grpo-1": (RunState.STOPPED, 0)}


def test_a_pair_with_different_last_steps_resumes_and_finishes(runs):
    drive_with(runs, ["play", "play", "play", "stop"])
    assert states(runs) == {"vimpo-1": (RunState.STOPPED, 1), "grpo-1": (RunState.STOPPED, 0)}
    runs.resume(["vimpo-1", "grpo-1"])
    worker.main(runs.path, FakeTrainer)
    assert states(runs) == {"vimpo-1": (RunState.FINISHED, 3), "grpo-1": (RunState.FINISHED, 3)}
    assert [row["step"] for row in runs.open("grpo-1").metrics()] == [0, 1, 2, 3]


def test_an_interrupt_from_the_keyboard_stops_the_runs(runs):
    def interrupted():
        yield from ("play", "play")
        raise KeyboardInterrupt

    outcome, _ = drive_with(runs, interrupted())
    assert outcome == RunState.STOPPED
    assert states(runs) == {"vimpo-1": (RunState.STOPPED, 0), "grpo-1": (RunState.STOPPED, 0)}


class VimpoDiverges(FakeTrainer):
    @property
    def diverge_at(self):
        return 2 if self.config.algorithm == "vimpo" else None


def test_one_run_diverges_and_the_other_goes_on(runs):
    runs.submit(PAIR)
    worker.main(runs.path, VimpoDiverges)
    assert states(runs) == {"vimpo-1": (RunState.DIVERGED, 1), "grpo-1": (RunState.FINISHED, 3)}
    assert "the loss was not finite at step 2" in runs.open("vimpo-1").message()
    assert runs.jobs()[0].state == RunState.DIVERGED
    runs.resume(["vimpo-1"])  # the last good state is there to go on from
    worker.main(runs.path, FakeTrainer)
    assert states(runs)["vimpo-1"] == (RunState.FINISHED, 3)


def vimpo_cannot_start(config, resume_state):
    if config.algorithm == "vimpo":
        raise Mistake("no model in 'nowhere'. Name a folder in transformers format.\nsecond line")
    return FakeTrainer(config, resume_state)


def test_a_run_that_cannot_start_says_why_and_the_other_goes_on(runs):
    runs.submit(PAIR)
    worker.main(runs.path, vimpo_cannot_start)
    assert states(runs) == {"vimpo-1": (RunState.STOPPED, None), "grpo-1": (RunState.FINISHED, 3)}
    assert runs.open("vimpo-1").message() == (
        "It could not start: no model in 'nowhere'. Name a folder in transformers format."
    )
    assert "Traceback" in (runs.path / "worker.log").read_text()


class Crashes(FakeTrainer):
    error = RuntimeError("the machine hiccuped")

    def step(self):
        if self.next_step == 2:
            raise self.error
        return super().step()


def test_an_unexpected_error_interrupts_with_a_sentence_and_the_queue_goes_on(runs):
    runs.submit([small("vimpo")])
    runs.submit([small("grpo", steps=1)])
    worker.main(runs.path, Crashes)
    assert states(runs) == {"vimpo-1": (RunState.INTERRUPTED, 1), "grpo-2": (RunState.FINISHED, 1)}
    message = runs.open("vimpo-1").message()
    assert message.startswith("Step 2 failed: the machine hiccuped. The steps before it are safe")
    assert "the machine hiccuped" in (runs.path / "worker.log").read_text()


def test_jobs_are_trained_in_the_order_they_were_submitted(runs):
    order = []
    for steps in (2, 1, 1):
        runs.submit([small(steps=steps)])
    worker.main(runs.path, FakeTrainer, on_record=lambda store, record: order.append(store.run_id))
    assert order == ["vimpo-1"] * 3 + ["vimpo-2"] * 2 + ["vimpo-3"] * 2


def test_pause_step_play_and_stop_while_it_runs(runs, background):
    job_id = runs.submit([small(steps=5000)])
    runs.command(job_id, "pause")
    background()
    run = runs.open("vimpo-1")
    eventually(lambda: run.state() == RunState.PAUSED)
    assert run.last_step() is None
    assert runs.jobs()[0].state == RunState.PAUSED
    for step in range(2):
        runs.command(job_id, "step")
        eventually(lambda step=step: run.last_step() == step and run.state() == RunState.PAUSED)
    runs.command(job_id, "play")
    eventually(lambda: run.last_step() > 3)
    assert run.state() == RunState.RUNNING
    with pytest.raises(ValueError, match="already running"):
        runs.resume(["vimpo-1"])
    with pytest.raises(ValueError, match="cannot be deleted"):
        runs.delete("vimpo-1")
    runs.command(job_id, "pause")
    eventually(lambda: run.state() == RunState.PAUSED)
    runs.command(job_id, "stop")
    eventually(lambda: runs.jobs()[0].state == RunState.STOPPED)
    assert run.state() == RunState.STOPPED


def test_a_second_worker_in_the_same_folder_leaves(runs, background):
    job_id = runs.submit([small(steps=5000)])
    background()
    eventually(lambda: runs.open("vimpo-1").last_step() is not None)
    assert worker.main(runs.path, FakeTrainer) is False
    runs.command(job_id, "stop")


def test_a_job_submitted_as_the_worker_leaves_is_trained(runs, monkeypatch):
    """Its sender saw a worker alive and started none, so the leaving worker has to look once more."""
    late = iter([small("grpo")])
    take = JobQueue.take

    def take_then_submit(queue, only_job=None):
        job = take(queue, only_job)
        if job is None and (config := next(late, None)):
            runs.submit([config])
        return job

    monkeypatch.setattr(JobQueue, "take", take_then_submit)
    runs.submit([small("vimpo")])
    worker.main(runs.path, FakeTrainer)
    assert states(runs) == {"vimpo-1": (RunState.FINISHED, 3), "grpo-2": (RunState.FINISHED, 3)}


def test_a_single_job_leaves_the_others_to_a_worker_of_their_own(runs, monkeypatch):
    runs.submit([small("vimpo")])
    mine = runs.submit([small("grpo")])
    spawned = []
    monkeypatch.setattr(RunsDir, "ensure_worker", lambda self: spawned.append(self.queue.has_waiting()))
    worker.main(runs.path, FakeTrainer, only_job=mine)
    assert states(runs) == {"vimpo-1": (RunState.QUEUED, None), "grpo-2": (RunState.FINISHED, 3)}
    assert spawned == [True]


def test_ensure_worker_starts_nothing_when_nothing_waits(runs, monkeypatch):
    monkeypatch.setattr("vimpo_core.runs.folder.subprocess.Popen", lambda *_, **__: pytest.fail("started"))
    runs.ensure_worker()


def test_ensure_worker_starts_a_process_of_its_own_that_a_job_without_a_model_cannot_break(runs):
    """The real trainer refuses a model folder that is gone; the worker process says so and ends."""
    folder = shutil.copytree(BUNDLED_MODEL, runs.path.parent / "model")
    runs.submit([small(model=str(folder))])
    shutil.rmtree(folder)
    before = set(psutil.Process().children())  # other tests may have left helpers of multiprocessing
    runs.ensure_worker()
    children = [child for child in psutil.Process().children() if child not in before]
    eventually(lambda: runs.jobs()[0].state == RunState.STOPPED)
    assert "It could not start" in runs.open("vimpo-1").message()
    assert "Traceback" not in runs.open("vimpo-1").message()
    assert len(children) == 1
    eventually(lambda: not psutil.pid_exists(children[0].pid))  # collected, no zombie


# ---- ready before there is anything to do


@pytest.mark.parametrize(("told", "begun"), [(BEGIN, True), (b"", False)], ids=["told", "left alone"])
def test_a_worker_that_is_ready_begins_when_it_is_told_and_not_when_who_started_it_is_gone(told, begun):
    loaded = []
    assert worker.begins(io.BytesIO(told), prepare=lambda: loaded.append(True)) is begun
    assert loaded


def test_the_ready_worker_is_the_one_that_trains_and_it_touches_nothing_before(tmp_path, monkeypatch):
    """A stand-in for the process: what it is told goes on to a worker in this one."""
    runs = RunsDir(tmp_path / "runs")
    started = []
    echo = [sys.executable, "-c", "import sys; sys.exit(7 if sys.stdin.readline().strip() == 'begin' else 0)"]
    monkeypatch.setattr(folder, "_worker_command", lambda path: started.append(path) or echo)
    runs.ready_worker()
    runs.ready_worker()
    assert len(started) == 1 and not runs.path.exists(), "one waits already"
    runs.submit([small()])
    waits = folder._ready[runs.path.absolute()]
    runs.ensure_worker()
    assert len(started) == 1 and waits.wait() == 7
    runs.ready_worker()
    gone = folder._ready[runs.path.absolute()]
    gone.kill()
    gone.wait()
    runs.ensure_worker()
    assert len(started) == 3, "one that died is replaced"


@pytest.mark.parametrize(("code", "started"), [(None, 1), (9, 2)], ids=["on its way", "dead"])
def test_who_waits_starts_another_worker_for_a_dead_one_and_none_beside_one_on_its_way(
    tmp_path, monkeypatch, code, started
):
    runs, others = RunsDir(tmp_path / "runs"), []
    runs.submit([small()])
    coming = mock.create_autospec(subprocess.Popen, instance=True)
    coming.poll.return_value = code
    monkeypatch.setattr(folder, "_spawned", lambda *_, **__: others.append(1) or coming)
    runs.ensure_worker()
    monkeypatch.setattr(folder, "WAKE_SECONDS", 0.0)
    runs.wake_worker()
    assert len(others) == started
