"""A run comes back as it was written, from any thread, and says in a sentence what is wrong when it cannot."""

import dataclasses
import math
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.snapshots import newest_snapshot
from vimpo_core.runs.store import RunStore, StoreError, is_run
from vimpo_core.types import CreditTrace, RunState, StepRecord, StopReason

SMALL = TrainConfig(steps=4, prompts_per_step=2, group_size=4, snapshot_every=2)


@pytest.fixture
def store(tmp_path):
    with RunStore.create(tmp_path / "vimpo-1", SMALL, {"name": "a run"}) as store:
        yield store


def record(step=0, metrics=None, traces=(), **fields) -> StepRecord:
    return StepRecord(step, metrics or {}, {}, list(traces), b"resume", **fields)


def plain_trace(**fields) -> CreditTrace:
    """Two tokens, nothing measured."""
    values = {
        "step": 0,
        "group_id": 0,
        "sample_idx": 0,
        "prompt_text": "1+1=",
        "prompt_ids": (1, 2),
        "gold": "2",
        "reward": 1.0,
        "group_mean_reward": 0.5,
        "finish_reason": StopReason.LENGTH,
        "ids": np.array([3, 4], np.int32),
        "text": ("2", "."),
        "mask": np.array([True, True]),
    }
    return CreditTrace(**values | fields)


def assert_same_trace(a: CreditTrace, b: CreditTrace):
    for field in dataclasses.fields(CreditTrace):
        if field.name in ("config", "group_rewards"):
            continue  # what the store adds from the run and from the rest of the group
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        elif field.name == "topk" and x is not None:
            assert x.text == y.text
            for name in ("ids", "logprob", "ref_logprob"):
                assert getattr(x, name).dtype == getattr(y, name).dtype
                np.testing.assert_array_equal(getattr(x, name), getattr(y, name))
        else:
            assert x == y, field.name


def test_a_step_comes_back_bit_for_bit(store):
    made = FakeTrainer(SMALL).step()
    store.commit_step(made)
    reader = RunStore.open(store.run_dir)
    assert reader.metrics(timings=False) == [{"step": 0, **made.metrics}]
    assert reader.metrics() == [{"step": 0, **made.metrics, **made.timings}]
    assert reader.snapshot(0) == made.snapshot
    assert reader.resume_state() == made.resume_state
    assert (reader.last_step(), reader.trace_steps(), reader.snapshot_steps()) == (0, [0], [0])
    for written, read in zip(made.traces, reader.traces(0), strict=True):
        assert_same_trace(written, read)
    assert_same_trace(made.traces[5], reader.trace(0, 1, 1))


def test_the_references_rate_comes_back(store):
    store.commit_step(record(traces=[plain_trace(reference_rate=0.375)]))
    assert store.traces(0)[0].reference_rate == 0.375


def test_the_prompt_as_the_model_saw_it_comes_back(store):
    pieces = ("<|im_start|>", "user", "\n", " 9+2")
    store.commit_step(record(0, traces=[plain_trace(prompt_pieces=pieces)]))
    assert store.traces(0)[0].prompt_pieces == pieces


def test_what_another_tool_recorded_comes_back_bit_for_bit(store):
    own = {"advantages": np.array([0.1, np.nan], np.float32), "trainer_kl": np.array([1e-30, np.inf], np.float32)}
    said = {"prompt_messages": (("system", "Be brief."), ("user", "1+1=")), "extras": {"env": "sums", "tokens": 2.0}}
    trace = plain_trace(finish_reason=None, reward=math.nan, tool_advantage=0.75, tool_arrays=own, **said)
    store.commit_step(record(traces=[trace]))
    found = store.traces(0)[0]
    for name, values in own.items():
        assert found.tool_arrays[name].tobytes() == values.tobytes()
    assert math.isnan(found.reward)
    assert_same_trace(found.with_(tool_arrays={}, reward=0), trace.with_(tool_arrays={}, reward=0))


def test_what_was_not_recorded_stays_missing(store):
    store.commit_step(record(traces=[plain_trace()]))
    assert_same_trace(store.traces(0)[0], plain_trace())
    assert store.traces(0)[0].logprob is None


@pytest.mark.parametrize("text", ["\ud83d", "\x00", "\u202e", "é\u0301", '"\\'])
def test_any_token_text_survives(store, text):
    trace = plain_trace(text=(text, "."), prompt_text=text)
    store.commit_step(record(traces=[trace]))
    assert_same_trace(store.traces(0)[0], trace)


def test_an_empty_solution_survives(store):
    nothing = np.array([], np.float32)
    trace = plain_trace(ids=np.array([], np.int32), text=(), mask=np.array([], bool), logprob=nothing)
    store.commit_step(record(traces=[trace]))
    assert_same_trace(store.traces(0)[0], trace)


def test_traces_are_ordered_by_prompt_then_sample(store):
    shuffled = [plain_trace(group_id=g, sample_idx=s) for g, s in ((1, 1), (0, 1), (1, 0), (0, 0))]
    store.commit_step(record(traces=shuffled))
    assert [(t.group_id, t.sample_idx) for t in store.traces(0)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_numbers_that_are_not_finite_read_as_none_and_keep_their_kind(store):
    store.commit_step(record(metrics={"a": math.nan, "b": -math.inf, "c": 0.1}))
    assert store.metrics() == [{"step": 0, "a": None, "b": None, "c": 0.1}]
    with sqlite3.connect(store.run_dir / "run.db") as connection:
        found = connection.execute("SELECT name, value, nonfinite FROM metrics ORDER BY name").fetchall()
    connection.close()
    assert found == [("a", None, "nan"), ("b", None, "-inf"), ("c", 0.1, None)]


def test_metrics_after_a_step_are_the_later_ones_in_order(store):
    for step in range(4):
        store.commit_step(record(step, {"x": step / 10}))
    assert [row["step"] for row in store.metrics(after=1)] == [2, 3]
    assert store.metrics(after=3) == []


def test_an_array_of_the_wrong_length_is_refused_and_nothing_is_kept(store):
    bad = plain_trace(sample_idx=1, logprob=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"logprob of solution 1 of prompt 0 must have shape \(2,\), got \(3,\)"):
        store.commit_step(record(traces=[plain_trace(), bad]))
    assert store.last_step() is None


def test_a_step_is_never_written_twice(store):
    store.commit_step(record(0))
    with pytest.raises(ValueError, match="step 0 of run vimpo-1 cannot follow step 0"):
        store.commit_step(record(0))


def test_a_step_that_fails_half_way_leaves_nothing(store):
    store.commit_step(record(0, {"x": 1.0}))
    twins = [
        plain_trace(step=1),
        plain_trace(step=1),
    ]  # the second breaks the primary key, after the metrics went in
    with pytest.raises(StoreError, match="Nothing of it was kept"):
        store.commit_step(record(1, {"x": 2.0}, twins))
    assert store.metrics() == [{"step": 0, "x": 1.0}]
    store.commit_step(record(1, {"x": 2.0}))


def test_the_header_names_the_run_and_its_settings(store):
    header = store.header()
    assert (header["run_id"], header["algorithm"], header["name"], header["beta"]) == (
        "vimpo-1",
        "vimpo",
        "a run",
        0.1,
    )
    store.update_header({"tokenizer_sha256": "abc"})
    assert RunStore.open(store.run_dir).header() == header | {"tokenizer_sha256": "abc"}
    assert RunStore.open(store.run_dir).config() == SMALL


def test_an_existing_run_is_not_overwritten(store):
    with pytest.raises(ValueError, match="'vimpo-1' already exists"):
        RunStore.create(store.run_dir, SMALL, {})


def test_a_reader_cannot_write(store):
    with pytest.raises(ValueError, match="open for reading only"):
        RunStore.open(store.run_dir).set_state(RunState.STOPPED)


def test_running_without_its_lock_is_interrupted(store):
    reader = RunStore.open(store.run_dir)
    for state in (RunState.RUNNING, RunState.PAUSED):
        store.set_state(state)
        with store.lock():
            assert (reader.state(), reader.message()) == (state, "")
        assert reader.state() == RunState.INTERRUPTED
        assert reader.message() == "The process died before its first step. Resume starts it again."
    store.set_state(RunState.STOPPED)
    assert reader.state() == RunState.STOPPED


def test_a_run_that_ends_while_it_is_asked_about_is_not_called_dead(store, monkeypatch):
    """The worker's last word may fall between reading "running" and finding the lock free."""
    store.set_state(RunState.RUNNING)
    reader = RunStore.open(store.run_dir)

    def ends_now(_):
        store.set_state(RunState.FINISHED)
        return False

    monkeypatch.setattr("vimpo_core.runs.store.is_held", ends_now)
    assert reader.state() == RunState.FINISHED


def test_asking_whether_a_run_is_alive_never_disturbs_it(store):
    """Somebody is in the middle of asking: other askers do not take him for a holder, and a starting worker waits."""
    fcntl = pytest.importorskip("fcntl")
    store.set_state(RunState.RUNNING)
    with open(store.run_dir / "run.lock") as asker:
        fcntl.flock(asker, fcntl.LOCK_SH)
        assert store.state() == RunState.INTERRUPTED
        threading.Timer(0.05, fcntl.flock, (asker, fcntl.LOCK_UN)).start()
        with store.lock():
            assert store.state() == RunState.RUNNING


def test_one_store_serves_many_threads_while_steps_are_committed(store):
    trainer = FakeTrainer(dataclasses.replace(SMALL, steps=15))
    reader = RunStore.open(store.run_dir)

    def read(_):
        rows = reader.metrics()
        assert [row["step"] for row in rows] == list(range(len(rows)))  # no hole, no half-written step
        assert all("reward_mean" in row for row in rows)
        return len(rows)

    with ThreadPoolExecutor(4) as pool:
        readings = pool.map(read, range(80))
        while not trainer.done:
            store.commit_step(trainer.step())
        list(readings)
    assert read(None) == 16


def test_another_process_cannot_lock_a_running_run(store):
    script = f"from vimpo_core.runs.store import RunStore\nwith RunStore.open({str(store.run_dir)!r}).lock(): pass"
    with store.lock():
        second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "run vimpo-1 is already running in another process" in second.stderr
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).returncode == 0


def test_a_closed_run_is_a_single_file_and_reading_adds_none(tmp_path):
    run_id = make_fake_run(tmp_path, steps=2, prompts_per_step=1, group_size=2)
    lonely = tmp_path / "elsewhere" / run_id
    lonely.mkdir(parents=True)
    shutil.copy(tmp_path / run_id / "run.db", lonely)
    store = RunStore.open(lonely)
    assert (store.last_step(), len(store.traces(2)), store.state()) == (2, 2, RunState.FINISHED)
    assert [f.name for f in lonely.iterdir()] == ["run.db"]
    with sqlite3.connect(lonely / "run.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    connection.close()


def test_compact_keeps_what_was_asked_for_and_gets_smaller(tmp_path):
    run_id = make_fake_run(tmp_path, steps=10, snapshot_every=2)
    db = tmp_path / run_id / "run.db"
    before, metrics = db.stat().st_size, RunsDir(tmp_path).open(run_id).metrics()
    with RunStore.open(tmp_path / run_id, writable=True) as store:
        store.compact(keep_trace_steps={0, 10}, keep_resume_state=False, keep_snapshot_steps={4})
    small = RunStore.open(tmp_path / run_id)
    assert (small.trace_steps(), small.snapshot_steps(), small.resume_state()) == ([0, 10], [4], None)
    assert small.metrics() == metrics
    assert len(small.traces(10)) == 128
    assert db.stat().st_size < before / 3
    with pytest.raises(ValueError, match=r"holds no solutions of step 5. It has 0, 10\."):
        small.traces(5)


def test_what_is_not_there_is_answered_with_what_is(store):
    with pytest.raises(ValueError, match="It holds none at all"):
        store.traces(0)
    store.commit_step(FakeTrainer(SMALL).step())
    with pytest.raises(ValueError, match=r"no solution 9 of prompt 0. It has prompts 0 to 1, solutions 0 to 3\."):
        store.trace(0, 0, 9)
    with pytest.raises(ValueError, match=r"holds no adapter of step 3. It has 0\."):
        store.snapshot(3)


def test_a_newer_format_is_refused_in_a_sentence(store):
    store.close()
    with sqlite3.connect(store.run_dir / "run.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match=r"newer version \(format 99, this one reads up to 1\). Update VIMPO Lab"):
        RunStore.open(store.run_dir)


def test_a_missing_run_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="run nowhere is unreadable: its folder does not exist"):
        RunStore.open(tmp_path / "nowhere")


def test_the_last_scoring_is_shown_and_each_can_be_taken_back(store):
    recorded = [plain_trace(sample_idx=i, logprob=np.float32([-1, -2])) for i in range(2)]
    store.commit_step(record(traces=recorded))
    scored = [recorded[1].with_(logprob=np.float32([x, x]), provenance={"logprob": f"{x}"}) for x in (-3, -4)]
    assert [store.put_rescored([trace], {"model": "m"})["n"] for trace in scored] == [1, 2]

    reader = RunStore.open(store.run_dir)
    assert [t.logprob.tolist() for t in reader.traces(0)] == [[-1, -2], [-4, -4]]
    assert_same_trace(reader.trace(0, 0, 1), scored[1])
    assert_same_trace(reader.recorded_trace(0, 0, 1), recorded[1])
    assert [t.logprob[0] for t in reader.traces(0, as_recorded=True)] == [-1, -1]
    assert reader.rescored_rows(0) == {(0, 1)}
    assert [(note["n"], note["rows"], note["model"]) for note in reader.rescored()] == [(1, 1, "m"), (2, 1, "m")]

    assert store.undo_rescored()["n"] == 2
    assert_same_trace(reader.trace(0, 0, 1), scored[0])
    store.undo_rescored()
    assert_same_trace(reader.trace(0, 0, 1), recorded[1])
    assert (reader.rescored(), reader.rescored_rows(0)) == ([], set())
    with pytest.raises(Mistake, match="nothing of run vimpo-1 was scored again"):
        store.undo_rescored()


def test_a_scoring_that_cannot_be_written_whole_leaves_nothing(store):
    store.commit_step(record(traces=[plain_trace()]))
    bad = plain_trace(logprob=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="logprob of solution 0"):
        store.put_rescored([plain_trace(), bad], {})
    assert RunStore.open(store.run_dir).rescored() == []


def test_a_run_that_another_tool_recorded_is_not_told_to_train_for_an_adapter():
    brought = SimpleNamespace(run_id="trl-1", snapshot_steps=list, imported=lambda: {"tool": "TRL"})
    with pytest.raises(Mistake, match=r"recorded by another tool and holds no adapter\. Re-score it"):
        newest_snapshot(brought)


LEAVES_THE_LOG = """
import sqlite3, sys
try:
    print(sqlite3.connect(sys.argv[1], timeout=0).execute("PRAGMA journal_mode = DELETE").fetchone()[0])
except sqlite3.OperationalError as error:
    print(error)
"""


def test_looking_whether_a_folder_is_a_run_lets_go_of_no_lock_that_this_process_holds_on_it(store):
    """POSIX takes all of a process's locks on a file away when any of its descriptors is closed. A run that was tagged
    while it trained beside another one lost its log so, and was destroyed."""
    store.commit_step(record())
    is_run(store.run_dir)
    store.lost_its_log()
    RunsDir(store.run_dir.parent).list()
    command = [sys.executable, "-c", LEAVES_THE_LOG, store.run_dir / "run.db"]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "database is locked"
    store.close()
    assert is_run(store.run_dir) and not is_run(store.run_dir.parent)
