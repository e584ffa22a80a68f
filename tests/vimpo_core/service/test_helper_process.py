"""A helper process that was killed, at work or idle, is replaced: nobody waits for a dead one. Its queue is fair, and
what is cancelled takes nobody else's answer along."""

import os
import signal
import subprocess
import sys
from concurrent.futures import CancelledError
from types import SimpleNamespace

import psutil
import pytest
from pebble import ProcessExpired, ProcessFuture

from tests.support.waiting import PATIENCE, begins_and_never_returns, eventually
from vimpo_core.paths import ROOT
from vimpo_core.service import helper_process
from vimpo_core.service.helper_process import HelperProcess

unix = pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix word")


@pytest.fixture
def helper():
    made = HelperProcess()
    yield made
    made.close()


def alive(helper):
    """The process that answers a new request."""
    return helper.ask(os.getpid, timeout=PATIENCE).result(PATIENCE)


@unix
def test_a_process_killed_while_idle_is_replaced(helper):
    first = alive(helper)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not helper._pool.active)  # until the death is noticed
    assert alive(helper) not in (first, os.getpid())
    assert alive(helper) == alive(helper)


@unix
def test_a_process_killed_at_work_fails_that_request_alone(helper, tmp_path):
    working = helper.ask(begins_and_never_returns, tmp_path / "begun", timeout=PATIENCE)
    eventually((tmp_path / "begun").exists)
    (process,) = helper._pool._pool_manager.worker_manager.workers.values()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ProcessExpired):
        working.result(PATIENCE)
    assert alive(helper) != process.pid


def test_a_closed_one_answers_no_more():
    helper = HelperProcess()
    alive(helper)
    helper.close()
    with pytest.raises(RuntimeError):
        helper.ask(os.getpid)


ASKS_AND_WAITS = """
import sys
from pathlib import Path
from tests.support.waiting import begins_and_never_returns
from vimpo_core.service.helper_process import HelperProcess
if __name__ == "__main__":
    HelperProcess().ask(begins_and_never_returns, Path(sys.argv[1])).result()
"""


def test_it_ends_in_the_middle_of_its_work_when_who_asked_is_killed(tmp_path):
    """It would go on for minutes for nobody, beside that of the next start."""
    asks = subprocess.Popen([sys.executable, "-c", ASKS_AND_WAITS, tmp_path / "begun"], cwd=ROOT)
    eventually((tmp_path / "begun").exists)
    children = psutil.Process(asks.pid).children(recursive=True)
    assert children
    asks.kill()
    asks.wait()
    eventually(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))


# ---- whose turn it is, with a process that answers when the test says so


class ByHand(HelperProcess):
    """Instead of a process: what it was given, in order, and the futures that the test completes."""

    def __init__(self, **options):
        self.given, self.killed = [], 0
        super().__init__(**options)

    def _schedule(self, work, timeout):
        self.given += work.args
        self.answer = ProcessFuture()
        self.answer.set_running_or_notify_cancel()
        return self.answer

    def _new(self):
        self.killed += 1
        return SimpleNamespace(stop=lambda: None, join=lambda: None)


def test_everybody_has_a_turn_before_anybody_has_a_second():
    process = ByHand()
    for question in ("A1", "A2", "B1", "A3", "C1"):
        process.ask(str, question, asker=question[0])
    for _ in range(5):
        process.answer.set_result(None)
    assert process.given == ["A1", "B1", "C1", "A2", "A3"]


def test_a_request_says_how_many_are_before_it_and_whether_it_is_at_work():
    process = ByHand()
    first, second, third, late = (process.ask(str, name, asker=name[0]) for name in ("A1", "A2", "B1", "C1"))
    assert [one.ahead() for one in (first, second, third, late)] == [0, 3, 1, 2]
    assert first.running() and not third.running()
    process.answer.set_result(7)
    assert first.result(0) == 7 and third.running() and late.ahead() == 1


def test_what_is_cancelled_while_it_waits_never_reaches_the_process_and_nobody_elses_answer_is_lost():
    process = ByHand()
    first, second, third = (process.ask(str, name, asker=name) for name in "ABC")
    assert second.cancel() and third.ahead() == 1
    process.answer.set_result("a")
    process.answer.set_result("c")
    assert (first.result(0), third.result(0), process.given, process.killed) == ("a", "c", ["A", "C"], 1)


def test_what_is_cancelled_at_work_and_ends_soon_costs_no_process():
    process = ByHand(grace=PATIENCE)
    first, second = (process.ask(str, name, asker=name) for name in "AB")
    first.cancel()
    with pytest.raises(CancelledError):
        first.result(0)
    process.answer.set_result("too late")
    process.answer.set_result("b")
    assert (second.result(0), process.killed) == ("b", 1)


def test_what_is_cancelled_at_work_and_goes_on_is_killed_and_the_next_one_is_answered():
    process = ByHand(grace=0)
    first, second = (process.ask(str, name, asker=name) for name in "AB")
    stuck = process.answer
    first.cancel()
    eventually(second.running)
    assert process.killed == 2 and process.answer is not stuck
    process.answer.set_result("b")
    stuck.set_result("a")  # the killed process is heard of no more
    assert second.result(0) == "b" and first.cancelled()


def test_what_nobody_wants_any_more_is_cancelled_waiting_or_at_work(monkeypatch):
    monkeypatch.setattr(helper_process, "_LOOK_SECONDS", 0)
    process, gone = ByHand(grace=0), set()
    asked = {name: process.ask(str, name, asker=name, is_wanted=lambda name=name: name not in gone) for name in "ABC"}
    gone.update("AB")
    eventually(asked["C"].running)
    assert process.given == ["A", "C"] and asked["A"].cancelled() and asked["B"].cancelled()
    process.answer.set_result("c")
    assert asked["C"].result(0) == "c"
