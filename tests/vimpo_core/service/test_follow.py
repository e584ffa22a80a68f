"""A run that another tool is training, followed as its folder fills."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, eventually
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service import follow as following
from vimpo_core.service.follow import follow, stop
from vimpo_core.types import RunState

RECORD = {
    "group_id": 0,
    "sample_idx": 0,
    "prompt_text": "2+3=",
    "prompt_ids": [1],
    "reward": 1.0,
    "ids": [5, 6],
    "text": ["5", "."],
    "logprob": [-0.5, -0.25],
}


def _step(folder: Path, step: int, ranks: int = 2, is_stable: bool = True) -> Path:
    inside = folder / f"step_{step:06d}"
    inside.mkdir(parents=True)
    for rank in range(ranks):
        line = json.dumps({**RECORD, "step": step, "sample_idx": rank, "reward": float(rank), "rank": rank})
        (inside / f"rank_{rank}.jsonl").write_text(line + "\n")
    if is_stable:
        (inside / "STABLE").touch()
    return inside


class Followed:
    """`follow` in a thread of its own, until it is told to end."""

    def __init__(self, runs: Path, folder: Path):
        self.runs, self._over, self.run_id = RunsDir(runs), threading.Event(), ""
        self._thread = threading.Thread(target=self._follow, args=(runs, folder))
        self._thread.start()

    def _follow(self, runs, folder):
        self.run_id = follow(runs, folder, is_over=self._over.is_set)

    def store(self):
        return eventually(lambda: next((self.runs.open(run.run_id) for run in self.runs.list()), None))

    def end(self):
        self._over.set()
        self.wait()

    def wait(self):
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.01)


def test_new_steps_appear_and_what_was_not_finished_is_kept_at_the_end(tmp_path):
    out, traces = tmp_path / "out", tmp_path / "out" / "traces"
    _step(traces, 1)
    (traces / "header.json").write_text(
        json.dumps({"schema_version": 1, "writer": {}, "model": {}, "algorithm": "vimpo"})
    )
    followed = Followed(tmp_path / "runs", out)
    store = followed.store()
    eventually(lambda: store.state() == RunState.RUNNING)
    _step(traces, 2)
    eventually(lambda: store.last_step() == 2)
    torn = _step(traces, 3, ranks=1, is_stable=False)
    with open(torn / "rank_0.jsonl", "a") as file:
        file.write('{"step": 3, "group_')
    followed.end()
    store = followed.runs.open(followed.run_id)
    assert (store.state(), store.trace_steps(), store.config().steps) == (RunState.FINISHED, [1, 2, 3], 3)
    assert store.config().algorithm == "vimpo"
    assert [(t.reward, t.group_mean_reward) for t in store.traces(2)] == [(0.0, 0.5), (1.0, 0.5)]
    assert len(store.traces(3)) == 1
    imported = store.imported()
    assert (imported["follows"], imported["folder"]) == (False, str(traces))
    assert imported["notes"] == ["step_000003/rank_0.jsonl was not finished: what is whole of it is kept."]
    assert imported["survey"]["refused"]["the last line is cut off."]["rows"] == 1
    assert imported["survey"]["rows"] == 5


def test_the_folder_of_the_steps_may_come_after_who_waits_for_it(tmp_path):
    out, looks = tmp_path / "out", []
    out.mkdir()

    def is_over():
        looks.append(len(looks))
        if len(looks) == 2:
            _step(out / "traces", 0)
        return len(looks) == 4

    store = RunsDir(tmp_path / "runs").open(follow(tmp_path / "runs", out, is_over=is_over))
    assert store.trace_steps() == [0] and store.imported()["folder"] == str(out / "traces")


@pytest.mark.parametrize("begin", [0, 1])
def test_a_folder_that_was_followed_goes_on_as_the_same_run_and_stops_when_asked(tmp_path, begin):
    _step(tmp_path / "traces", begin)
    first = Followed(tmp_path / "runs", tmp_path)
    first.store()
    first.end()
    _step(tmp_path / "traces", 2)
    again = Followed(tmp_path / "runs", tmp_path)
    store = again.store()
    eventually(lambda: store.last_step() == 2 and store.state() == RunState.RUNNING)
    with pytest.raises(Mistake, match="the folder traces is followed already: it is run vimpo-lab-1"):
        follow(tmp_path / "runs", tmp_path)
    with pytest.raises(Mistake, match="while another tool trains it and cannot be deleted"):
        again.runs.delete(store.run_id)
    with again.runs.open_writable(store.run_id) as writable:
        stop(writable)
    again.wait()
    assert [run.state for run in again.runs.list()] == [RunState.FINISHED]
    assert store.imported()["survey"]["rows"] == 4


def test_trls_files_are_read_once_they_are_whole(tmp_path):
    data = Path(__file__).parents[2] / "data" / "incoming" / "trl" / "plain"
    inside = tmp_path / "completions"
    inside.mkdir()
    whole = (data / "completions_00001.parquet").read_bytes()
    (inside / "completions_00001.parquet").write_bytes(whole[:-100])
    followed = Followed(tmp_path / "runs", tmp_path)
    os.link(data / "completions_00002.parquet", inside / "completions_00000.parquet")
    store = followed.store()
    assert store.trace_steps() == [2]
    followed.end()
    assert followed.runs.open(followed.run_id).imported()["survey"]["refused"]


def test_a_folder_in_which_nothing_came_is_one_sentence(tmp_path):
    with pytest.raises(Mistake, match="nothing of a format that is known here came into"):
        follow(tmp_path / "runs", tmp_path, is_over=lambda: True)
    with pytest.raises(Mistake, match="is no folder"):
        follow(tmp_path / "runs", tmp_path / "nothing")
    assert not (tmp_path / "runs").exists()
