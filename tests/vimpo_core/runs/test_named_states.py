"""What goes wrong around a runs folder is a state with a sentence, and loses nothing: files that others keep busy, a
full disk, no memory, a clock that is set back, a folder that is moved away.
"""

import contextlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import listing, shared_file, store, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.queue import JobQueue
from vimpo_core.runs.store import StoreError
from vimpo_core.service.classroom import Classroom
from vimpo_core.types import RunState

CONFIG = TrainConfig(steps=4, prompts_per_step=1, group_size=2, snapshot_every=2)


@pytest.fixture
def runs(tmp_path):
    runs = RunsDir(tmp_path / "runs")
    runs.submit([CONFIG])
    return runs


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for a busy file."""
    monkeypatch.setattr(shared_file, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.0)


def kept_busy(path) -> sqlite3.Connection:
    """Another connection that lets nobody read or write until it is closed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


# ---- busy files


def test_a_queue_that_is_kept_busy_calls_no_run_dead_and_says_so_to_who_acts(runs, impatient):
    with contextlib.closing(kept_busy(runs.path / "app.db")):
        assert [run.state for run in runs.list()] == [RunState.QUEUED]
        with pytest.raises(StoreError, match=r"The queue in runs could not be changed: another process kept it busy"):
            runs.rename("vimpo-1", "a name")
        with pytest.raises(StoreError, match=r"could not be read: .* Try again\."):
            runs.jobs()
    runs.rename("vimpo-1", "a name")
    assert runs.list()[0].name == "a name"


def test_training_goes_on_while_the_queue_is_kept_busy_and_a_step_waits_for_its_own_file(runs, impatient, monkeypatch):
    busy = []

    def hinder(run, record):
        if record.step == 1:
            busy.extend(
                [kept_busy(runs.path / "app.db"), sqlite3.connect(run.run_dir / "run.db", isolation_level=None)]
            )
            busy[1].execute("BEGIN IMMEDIATE")

    def wait(_):
        for connection in busy:
            connection.close()

    # The worker's own clock alone: threads of other tests' services sleep by the module's.
    monkeypatch.setattr(worker, "time", SimpleNamespace(**vars(time) | {"sleep": wait}))
    worker.main(runs.path, FakeTrainer, hinder)
    assert [row["step"] for row in runs.open("vimpo-1").metrics()] == [0, 1, 2, 3, 4]
    assert [(run.state, run.message) for run in runs.list()] == [(RunState.FINISHED, "")]
    assert [job.state for job in runs.jobs()] == [RunState.FINISHED]


def test_a_run_whose_file_is_kept_busy_is_not_advised_to_be_deleted(runs, impatient):
    worker.main(runs.path, FakeTrainer)
    with contextlib.closing(kept_busy(runs.path / "vimpo-1" / "run.db")), pytest.raises(Mistake) as told:
        runs.open("vimpo-1")
    assert str(told.value) == "run vimpo-1 cannot be read now: another process kept it busy for seconds. Try again."


def test_two_servers_that_begin_in_a_new_folder_at_once_share_its_queue(tmp_path):
    """One of them took the file that the other was making for another program's."""
    for n in range(3):
        queue = JobQueue(tmp_path / f"{n}.db")
        with ThreadPoolExecutor(8) as servers:
            numbers = list(servers.map(lambda _, queue=queue: queue.next_number(), range(8)))
        assert sorted(numbers) == list(range(1, 9))


# ---- a full disk, no memory


def test_what_is_handed_in_or_named_on_a_full_disk_is_said_and_all_of_before_is_kept(runs, monkeypatch):
    room = Classroom(runs.path)
    member = room.member(room.open_up("red lantern", 5) and room.join("red lantern", "10.0.0.2"))
    prepare = shared_file.SharedFile._prepare

    def full(self, connection):
        prepare(self, connection)  # SQLite's own limit answers with the very error of a full disk
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")

    monkeypatch.setattr(shared_file.SharedFile, "_prepare", full)
    done = []
    with pytest.raises(StoreError) as told:
        for n in range(1000):
            room.hand_in("chapter", f"{n:0200}", "x" * 200, member)
            done.append(n)
    assert str(told.value) == (
        "The class in runs was not changed: the disk is full. Free some MB, then try again; nothing earlier is lost."
    )
    with pytest.raises(StoreError, match=r"The queue in runs was not changed: the disk is full\. Free some MB"):
        for n in range(1000):
            runs.queue.set_name(f"{n:0200}", "x" * 80)
    monkeypatch.undo()
    assert done and len(room.hand_in_rows()) == len(done)
    room.hand_in("chapter", "again", "x", member)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_a_step_without_memory_says_what_to_do_and_the_run_can_go_on(runs, error):
    class Short(FakeTrainer):
        def step(self):
            if self.next_step == 2:
                raise error
            return super().step()

    worker.main(runs.path, Short)
    assert [(run.state, run.last_step) for run in runs.list()] == [(RunState.INTERRUPTED, 1)]
    assert runs.list()[0].message.startswith(
        "Step 2 was not made: there is not enough memory for it. Close other programs, then resume; or fork the run"
    )
    runs.resume(["vimpo-1"])
    worker.main(runs.path, FakeTrainer)
    assert runs.open("vimpo-1").state() == RunState.FINISHED


# ---- a clock that is set back


class Yesterday(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(days=1)


def test_runs_keep_their_order_and_names_when_the_clock_is_set_back_a_day(runs, monkeypatch):
    monkeypatch.setattr(listing, "datetime", Yesterday)
    runs.submit([CONFIG])
    make_fake_run(runs.path, steps=1, prompts_per_step=1, group_size=2)
    assert [run.run_id for run in runs.list()] == ["vimpo-3", "vimpo-2", "vimpo-1"]
    assert runs.list()[-1].name == "VIMPO beta 0.1, seed 0"  # the oldest keeps its plain name


def test_the_last_deletion_is_the_one_that_is_taken_back_and_is_kept_for_its_week(tmp_path, monkeypatch):
    runs = RunsDir(tmp_path / "runs")
    for n in range(2):
        make_fake_run(runs.path, steps=1, seed=n, prompts_per_step=1, group_size=2)
    runs.delete("vimpo-1")
    (runs.path / "vimpo-2").rename(runs.path / "vimpo-1")
    monkeypatch.setattr(listing, "datetime", Yesterday)
    runs.delete("vimpo-1")
    assert runs.restore("vimpo-1") == "vimpo-1" and runs.open("vimpo-1").config().seed == 1
    runs.tidy()
    assert len(runs.bin.entries()) == 1


def test_an_address_that_gave_wrong_codes_is_not_shut_out_for_a_day(tmp_path):
    room = Classroom(tmp_path)
    room.open_up("red lantern", 5)
    for n in range(5):
        with pytest.raises(Mistake, match="not the join code"):
            room.join("guess", "10.0.0.9", now=100_000.0 + n)
    assert room.join("red lantern", "10.0.0.9", now=100_000.0 - 86_400)


# ---- a folder that is moved away


def test_a_folder_that_is_moved_while_a_run_trains_ends_the_training_and_loses_no_step(runs):
    away = runs.path.with_name("away")
    assert runs.gone() == "" and len(runs.list()) == 1

    def move(_, record):
        if record.step == 1:
            runs.path.rename(away)

    worker.main(runs.path, FakeTrainer, move)
    (run,) = RunsDir(away).list()
    assert (run.state, run.last_step) == (RunState.INTERRUPTED, 1)
    assert run.message == "The process died after step 1, which is safe. Resume goes on from there."
    assert runs.list() == [] and not runs.path.exists()
    assert runs.gone().startswith("The runs folder runs is gone: it was there a while ago")
    with pytest.raises(StoreError, match="is gone"):
        runs.submit([CONFIG])
    away.rename(runs.path)
    assert runs.gone() == ""
    runs.resume(["vimpo-1"])
    worker.main(runs.path, FakeTrainer)
    assert runs.open("vimpo-1").state() == RunState.FINISHED


def test_a_queue_that_is_removed_while_a_run_trains_ends_it_with_a_sentence(runs):
    worker.main(runs.path, FakeTrainer, lambda _, record: (runs.path / "app.db").unlink(missing_ok=True))
    (run,) = runs.list()
    assert (run.state, run.last_step) == (RunState.INTERRUPTED, 0)
    assert run.message.startswith("app.db in runs was removed while job-1 was being trained")
