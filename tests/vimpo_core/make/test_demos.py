"""The bundled runs are made anew beside the old ones, which stay until then; a folder of somebody's is not touched."""

import pytest

from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.make import demos
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(worker, "make_trainer", FakeTrainer)
    monkeypatch.setattr(demos, "training_report", lambda store: {"run_id": store.run_id})


def test_a_folder_of_the_same_name_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "grpo").mkdir()
    (tmp_path / "grpo" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"grpo is not a run of this lab and is left alone\. Choose another --out\."):
        demos.make_demos(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["grpo"]
    assert (tmp_path / "grpo" / "thesis.txt").read_text() == "mine"


def test_old_demos_are_replaced_by_whole_ones(tmp_path):
    for _ in range(2):
        demos.make_demos(tmp_path, 1)
    runs = RunsDir(tmp_path).list()
    assert {run.run_id for run in runs} == set(demos.DEMOS)
    assert {(run.state, run.last_step) for run in runs} == {(RunState.FINISHED, 1)}
    assert {p.name for p in tmp_path.iterdir()} == set(demos.DEMOS)


def test_a_failure_on_the_way_keeps_the_old_demos(tmp_path, monkeypatch):
    made = make_fake_run(tmp_path / "made", steps=2, prompts_per_step=1, group_size=2)
    (tmp_path / "made" / made).rename(tmp_path / "vimpo-beta-0.1")
    before = (tmp_path / "vimpo-beta-0.1" / "run.db").read_bytes()

    class Fails(FakeTrainer):
        def step(self):
            raise RuntimeError("no")

    monkeypatch.setattr(worker, "make_trainer", Fails)
    with pytest.raises(ValueError, match="ended as interrupted"):
        demos.make_demos(tmp_path, 1)
    assert (tmp_path / "vimpo-beta-0.1" / "run.db").read_bytes() == before
    assert not list(tmp_path.glob(".making-*"))
