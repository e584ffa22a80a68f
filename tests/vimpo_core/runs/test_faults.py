"""Whatever dies, fills up or is half-written: no committed step is lost, and what is wrong is said in a sentence."""

import functools
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.fakes import FakeTrainer, fake_worker, make_fake_run
from tests.support.kills import assert_same_run, kill_and_resume
from tests.support.waiting import eventually
from vimpo_core import cli, reports
from vimpo_core.config import TrainConfig
from vimpo_core.paths import ROOT, child_environment
from vimpo_core.runs import folder as runs_module
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import write_error
from vimpo_core.types import RunState

CONFIG = TrainConfig(steps=6, prompts_per_step=1, group_size=4, snapshot_every=2)


def start_fake_worker(runs_dir: Path) -> subprocess.Popen:
    return subprocess.Popen(fake_worker(runs_dir), cwd=ROOT)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix word")
def test_twenty_kills_lose_no_committed_step_and_change_no_bit(tmp_path):
    configs = [
        TrainConfig(algorithm=a, steps=150, prompts_per_step=1, group_size=4, snapshot_every=10)
        for a in ("vimpo", "grpo")
    ]
    killed = RunsDir(tmp_path / "killed")
    result = kill_and_resume(killed.path, configs, start_fake_worker, kills=20, longest_life=0.15)
    assert result.lost_steps == 0
    undisturbed = RunsDir(tmp_path / "undisturbed")
    undisturbed.submit(configs)
    worker.main(undisturbed.path, FakeTrainer)
    for run_id in result.run_ids:
        assert killed.open(run_id).state() == RunState.FINISHED
        assert_same_run(killed.open(run_id), undisturbed.open(run_id))
    # Without kills that landed, this test would show nothing.
    assert sum(job.state == RunState.INTERRUPTED for job in killed.jobs()) >= 5


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix word")
def test_a_killed_worker_does_not_block_the_queue(tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([TrainConfig(steps=10_000, prompts_per_step=1, group_size=2)])
    second = runs.submit([CONFIG])
    process = subprocess.Popen(fake_worker(tmp_path), cwd=ROOT)
    eventually(lambda: runs.open("vimpo-1").last_step() is not None)
    process.kill()
    process.wait()
    run = next(r for r in runs.list() if r.run_id == "vimpo-1")
    assert run.state == RunState.INTERRUPTED
    assert re.match(r"The process died after step \d+, which is safe\. Resume goes on", run.message)
    assert runs.jobs()[0].state == RunState.INTERRUPTED
    with pytest.raises(ValueError, match="job-1 is interrupted and takes no command"):
        runs.command("job-1", "play")
    meanwhile = set()
    worker.main(tmp_path, FakeTrainer, lambda *_: meanwhile.add(runs.jobs()[0].state), only_job=second)
    assert meanwhile == {RunState.INTERRUPTED}  # not taken for the living worker's job
    assert runs.open("vimpo-2").state() == RunState.FINISHED
    assert runs.open("vimpo-1").state() == RunState.INTERRUPTED
    runs.resume(["vimpo-1"])
    assert runs.open("vimpo-1").state() == RunState.QUEUED


def test_a_run_whose_turn_never_came_does_not_wait_for_ever(tmp_path):
    """The worker died between starting the first and the second run of a pair."""
    runs = RunsDir(tmp_path)
    runs.submit([CONFIG, CONFIG])
    runs.queue.take()
    with runs.open_writable("vimpo-1") as store:
        store.set_state(RunState.RUNNING)
    assert {run.state for run in runs.list()} == {RunState.INTERRUPTED}
    assert runs.list()[0].message == "The process died before this run's turn came. Resume puts it back in the queue."
    runs.resume(["vimpo-1", "vimpo-1-2"])
    assert {run.state for run in runs.list()} == {RunState.QUEUED}
    (tmp_path / "app.db").unlink()
    assert {run.state for run in runs.list()} == {RunState.INTERRUPTED}


def test_two_workers_started_at_once_make_each_step_once(tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([TrainConfig(steps=30, prompts_per_step=1, group_size=2)])
    processes = [subprocess.Popen(fake_worker(tmp_path), cwd=ROOT) for _ in range(2)]
    assert [p.wait() for p in processes] == [0, 0]
    assert runs.open("vimpo-1").state() == RunState.FINISHED
    assert [row["step"] for row in runs.open("vimpo-1").metrics()] == list(range(31))
    assert len(runs.jobs()) == 1


def started(runs: RunsDir, stack: ExitStack):
    runs.submit([CONFIG])
    return worker._start(stack, runs, runs.queue.take().run_ids[0], FakeTrainer)


def test_a_full_disk_keeps_every_earlier_step_and_says_how_much_to_free(tmp_path):
    runs = RunsDir(tmp_path / "full")
    with ExitStack() as stack:
        store, trainer = started(runs, stack)
        for _ in range(3):
            store.commit_step(trainer.step())
        before = store.metrics()
        # SQLite's own limit answers with the very error of a full disk.
        connection = store._open_writer()
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        outcome = worker.drive([(store, trainer)], lambda: "play")
        assert outcome == RunState.INTERRUPTED
    store = runs.open("vimpo-1")
    assert store.state() == RunState.INTERRUPTED
    assert store.message() == (
        "Step 3 of run vimpo-1 was not kept: the disk is full. Free at least 6 MB for the 4 steps left, then resume; "
        "nothing earlier is lost."
    )
    assert store.metrics() == before
    runs.resume(["vimpo-1"])
    worker.main(runs.path, FakeTrainer)
    undisturbed = RunsDir(tmp_path / "undisturbed")
    undisturbed.submit([CONFIG])
    worker.main(undisturbed.path, FakeTrainer)
    assert_same_run(runs.open("vimpo-1"), undisturbed.open("vimpo-1"))


class NoSpace(FakeTrainer):
    def step(self):
        raise OSError(28, "No space left on device")


def test_a_disk_full_outside_the_store_is_told_the_same_way(tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([CONFIG])
    worker.main(tmp_path, NoSpace)
    assert runs.open("vimpo-1").state() == RunState.INTERRUPTED
    assert "the disk is full. Free at least" in runs.open("vimpo-1").message()


def truncated_db(run_dir):
    shutil.copytree(run_dir.parent / "grpo-1", run_dir)
    os.truncate(run_dir / "run.db", 9000)


def lost_table(run_dir):
    shutil.copytree(run_dir.parent / "grpo-1", run_dir)
    connection = sqlite3.connect(run_dir / "run.db")
    connection.execute("DROP TABLE steps")
    connection.commit()
    connection.close()


BROKEN = [truncated_db, lost_table]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda f: f.__name__)
def test_a_damaged_run_is_listed_with_a_sentence_beside_the_good_ones(tmp_path, break_it):
    make_fake_run(tmp_path, "grpo", steps=1, prompts_per_step=1, group_size=4)
    break_it(tmp_path / "broken")
    runs = RunsDir(tmp_path)
    listed = {run.run_id: run for run in runs.list()}
    assert listed["grpo-1"].state == RunState.FINISHED
    broken = listed["broken"]
    assert broken.state == RunState.INTERRUPTED
    assert broken.message.startswith("run broken ")
    assert broken.message.endswith(".")
    assert "\n" not in broken.message
    with pytest.raises(ValueError, match="run broken "):
        runs.resume(["broken"])
    runs.delete("broken")
    assert {r.run_id for r in runs.list()} == {"grpo-1"}
    runs.restore("broken")
    assert {r.run_id for r in runs.list()} == {"grpo-1", "broken"}


def test_a_damaged_queue_says_so_and_hides_no_run(tmp_path):
    run_id = make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    (tmp_path / "app.db").write_bytes(b"not a database at all" * 100)
    runs = RunsDir(tmp_path)
    assert [run.run_id for run in runs.list()] == [run_id]
    with pytest.raises(ValueError, match=r"the file app.db in .* is damaged .* Delete it: the runs are not in it"):
        runs.jobs()


@pytest.mark.parametrize("table", ["snapshots", "resume_state"])
def test_a_flipped_byte_is_found_by_the_checksum(tmp_path, table):
    run_id = make_fake_run(tmp_path, steps=2, prompts_per_step=1, group_size=2)
    connection = sqlite3.connect(tmp_path / run_id / "run.db")
    blob = bytearray(connection.execute(f"SELECT blob FROM {table} WHERE step = 2").fetchone()[0])
    blob[len(blob) // 2] ^= 1
    connection.execute(f"UPDATE {table} SET blob = ? WHERE step = 2", (bytes(blob),))
    connection.commit()
    connection.close()
    store = RunsDir(tmp_path).open(run_id)
    with pytest.raises(ValueError, match="does not match its checksum: the file was damaged"):
        store.snapshot(2) if table == "snapshots" else store.resume_state()


def test_a_second_start_of_the_same_run_is_refused_and_changes_nothing(tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([CONFIG])
    store = runs.open_writable("vimpo-1")
    with store, store.lock():
        store.set_state(RunState.RUNNING)
        with pytest.raises(ValueError, match="run vimpo-1 is already running"), runs.open("vimpo-1").lock():
            pass
        with pytest.raises(ValueError, match="run vimpo-1 is already running"):
            runs.resume(["vimpo-1"])
        assert store.state() == RunState.RUNNING
        worker.main(tmp_path, FakeTrainer)  # its job comes up: the run is somebody else's and is left alone
        assert (store.state(), store.last_step()) == (RunState.RUNNING, None)


def test_a_folder_being_made_is_not_listed_as_half_written(tmp_path):
    make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    (tmp_path / ".new-abc").mkdir()
    (tmp_path / ".deleted-vimpo-9").mkdir()
    assert [run.run_id for run in RunsDir(tmp_path).list()] == ["vimpo-1"]


# --- nobody waits for a dead process ---------------------------------------------------------------------------------


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """A folder whose worker was killed -9 in the first of two jobs; new workers train with the fake."""
    if os.name == "nt":
        pytest.skip("kill -9 is a Unix word")
    monkeypatch.setattr(runs_module, "_worker_command", fake_worker)
    runs = RunsDir(tmp_path)
    runs.submit([TrainConfig(steps=10_000, prompts_per_step=1, group_size=2)])
    runs.submit([CONFIG])
    process = subprocess.Popen(fake_worker(tmp_path), cwd=ROOT)
    eventually(lambda: runs.open("vimpo-1").last_step() is not None)
    process.kill()
    process.wait()
    yield runs
    eventually(lambda: not runs.has_worker())


def ended(runs, run_id):
    store = runs.open(run_id)
    eventually(lambda: store.state() not in (RunState.QUEUED, RunState.RUNNING))
    return store.state()


def test_who_waits_wakes_a_worker_after_the_one_at_work_was_killed(killed):
    assert killed.open("vimpo-2").state() == RunState.QUEUED
    killed.wake_worker()
    assert ended(killed, "vimpo-2") == RunState.FINISHED


def test_many_looks_start_one_worker(killed, monkeypatch):
    monkeypatch.setattr(runs_module, "WAKE_SECONDS", math.inf)
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        runs_module.subprocess, "Popen", lambda *args, **kw: started.append(popen(*args, **kw)) or started[-1]
    )
    for _ in range(20):
        killed.wake_worker()
    assert len(started) == 1
    assert ended(killed, "vimpo-2") == RunState.FINISHED


def test_a_worker_that_dies_at_once_is_said_and_tried_again(killed, monkeypatch):
    monkeypatch.setattr(runs_module, "_worker_command", lambda _: [sys.executable, "-c", "raise SystemExit(7)"])
    assert killed.waking_words() == "the training process is starting."
    killed.wake_worker()
    eventually(lambda: "exit code 7" in killed.waking_words())
    assert "worker.log in the runs folder says why. It is tried again" in killed.waking_words()
    monkeypatch.setattr(runs_module, "_worker_command", fake_worker)
    monkeypatch.setattr(runs_module, "WAKE_SECONDS", 0.0)
    killed.wake_worker()
    assert ended(killed, "vimpo-2") == RunState.FINISHED


def test_a_command_that_waits_trains_by_itself_once_the_worker_was_killed(tmp_path, monkeypatch, capsys):
    """It waits behind another worker, which is then killed."""
    if os.name == "nt":
        pytest.skip("kill -9 is a Unix word")
    runs = RunsDir(tmp_path)
    runs.submit([TrainConfig(steps=10_000, prompts_per_step=1, group_size=2)])
    process = subprocess.Popen(fake_worker(tmp_path), cwd=ROOT)
    eventually(lambda: runs.open("vimpo-1").last_step() is not None)
    second = runs.submit([CONFIG])
    monkeypatch.setattr(cli, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(worker, "main", functools.partial(worker.main, make_trainer=FakeTrainer))
    monkeypatch.setattr(reports, "training_report", lambda store, *_: {"run_id": store.run_id})
    looks, reached = [], cli._reached

    def killing_at_the_third_look(store):
        looks.append(store.run_id)
        if len(looks) == 3:
            process.kill()
            process.wait()
        return reached(store)

    monkeypatch.setattr(cli, "_reached", killing_at_the_third_look)
    code = cli._work_on(runs, second, SimpleNamespace(json=True, final_problems=0))
    assert "another run is training in this folder. Waiting for its turn: vimpo-2" in capsys.readouterr().err
    assert code == 0 and runs.open("vimpo-2").state() == RunState.FINISHED


def test_a_worker_starts_where_python_keeps_the_current_folder_out(tmp_path, monkeypatch):
    """PYTHONSAFEPATH=1: `-m` looks in no folder but Python's own."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = subprocess.run(
        [*runs_module._worker_command(tmp_path)[:-1], "--help"],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")


# --- a run that was cut off, copied in part, or lies where nothing can be written ------------------------------------


@pytest.fixture
def cut_off(tmp_path):
    """A run whose process died with its newest steps still in the write-ahead log; `last` is the newest of them."""
    script = (
        "import os, sys; from pathlib import Path; from vimpo_core.runs import worker; from tests.support.fakes "
        "import FakeTrainer\ndef die(store, record):\n    if record.step == 3: os._exit(9)\n"
        "worker.main(Path(sys.argv[1]), FakeTrainer, die)"
    )
    RunsDir(tmp_path / "runs").submit([CONFIG])
    subprocess.run([sys.executable, "-c", script, tmp_path / "runs"], cwd=ROOT)
    run_dir = tmp_path / "runs" / "vimpo-1"
    assert (run_dir / "run.db-wal").stat().st_size > 0
    return run_dir


def test_a_run_copied_whole_lost_nothing_and_one_copied_without_its_log_says_so(cut_off, tmp_path):
    whole, partial = RunsDir(tmp_path / "whole"), RunsDir(tmp_path / "partial")
    shutil.copytree(cut_off, whole.path / "vimpo-1")
    (partial.path / "vimpo-1").mkdir(parents=True)
    shutil.copy(cut_off / "run.db", partial.path / "vimpo-1")
    (run,) = whole.list()
    assert (run.last_step, run.message) == (
        3,
        "The process died after step 3, which is safe. Resume goes on from there.",
    )
    for _ in range(2):  # looking changes nothing
        (run,) = partial.list()
        assert run.state == RunState.INTERRUPTED
        assert run.message.startswith("run.db-wal, which held its steps, is missing: run.db was copied without it.")
        assert run.message.endswith("beside run.db, or resume from the start.")
    partial.resume(["vimpo-1"])
    worker.main(partial.path, FakeTrainer)
    assert [(run.state, run.message) for run in partial.list()] == [(RunState.FINISHED, "")]


def test_a_log_that_was_lost_after_a_checkpoint_says_from_which_step_on_in_a_copy_alone(cut_off, tmp_path):
    connection = sqlite3.connect(cut_off / "run.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    connection.close()
    (tmp_path / "copy" / "vimpo-1").mkdir(parents=True)
    shutil.copy(cut_off / "run.db", tmp_path / "copy" / "vimpo-1")
    assert RunsDir(tmp_path / "copy").list()[0].message == (
        "run.db-wal, which held the steps after 3, if there were any, is missing: run.db was copied without it. Copy "
        "it from where the run was trained to beside run.db, or resume from step 3."
    )
    assert RunsDir(cut_off.parent).list()[0].message == (
        "The process died after step 3, which is safe. Resume goes on from there."
    )


def test_a_worker_killed_before_it_wrote_anything_left_no_log_that_could_be_missing(tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([CONFIG])
    runs.queue.take()
    runs.open_writable("vimpo-1")._open_writer().close()
    assert runs.list()[0].message == "The process died before this run's turn came. Resume puts it back in the queue."


def test_a_cut_off_run_on_a_read_only_disk_is_not_advised_to_be_deleted(cut_off, request):
    """As somebody without any right to write there: root is refused nothing but a read-only disk."""
    if os.name == "nt":
        pytest.skip("needs Unix permissions")
    # Away from pytest's own folders, which other sessions of it shut for everybody else when they begin.
    place = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: subprocess.run(["chmod", "-R", "u+w", place]) and shutil.rmtree(place))
    runs_dir = shutil.copytree(cut_off.parent, place / "runs")
    (runs_dir / cut_off.name / "run.db-shm").unlink(missing_ok=True)
    for path in (*runs_dir.rglob("*"), runs_dir, place):
        path.chmod(0o555 if path.is_dir() else 0o444)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from vimpo_core.runs.folder "
        "import RunsDir\nfrom vimpo_core.runs.store import RunStore\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "print(RunsDir(Path(sys.argv[1])).list()[0].message)"
    )
    done = subprocess.run([sys.executable, "-c", script, runs_dir, ROOT], capture_output=True, text=True, cwd="/")
    assert done.stdout.strip() == (
        "run vimpo-1 cannot be read here: it was cut off while it was being written, and its last steps are in "
        "run.db-wal, which can be read on a writable disk only. Copy its whole folder to one; nothing is lost."
    ), done.stderr


def test_a_queue_of_another_program_is_left_as_it_was(tmp_path):
    connection = sqlite3.connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE cats (name)")
    connection.commit()
    connection.close()
    before = (tmp_path / "app.db").read_bytes()
    runs = RunsDir(tmp_path)
    for use in (runs.jobs, lambda: runs.submit([CONFIG])):
        with pytest.raises(
            ValueError, match=r"another program's database, so it is left alone\. Choose another runs folder"
        ):
            use()
    assert runs.list() == [] and (tmp_path / "app.db").read_bytes() == before


@pytest.mark.parametrize("said", ["attempt to write a readonly database", "unable to open database file"])
def test_a_store_that_cannot_be_written_says_so_in_words(said):
    told = str(write_error("Step 3", sqlite3.OperationalError(said)))
    assert "read-only" in told and said not in told and "copy the run elsewhere" in told
