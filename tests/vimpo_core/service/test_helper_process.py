"""A helper process that was killed, at work or idle, is replaced: nobody waits for a dead one."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from pebble import ProcessExpired

from tests.support.waiting import PATIENCE, begins_and_never_returns, eventually
from vimpo_core.paths import ROOT
from vimpo_core.service.helper_process import HelperProcess

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix word")


@pytest.fixture
def helper():
    made = HelperProcess()
    yield made
    made.close()


def alive(helper):
    """The process that answers a new request."""
    return helper.ask(os.getpid, timeout=PATIENCE).result(PATIENCE)


def test_a_process_killed_while_idle_is_replaced(helper):
    first = alive(helper)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not helper._pool.active)  # until the death is noticed
    assert alive(helper) not in (first, os.getpid())
    assert alive(helper) == alive(helper)


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
