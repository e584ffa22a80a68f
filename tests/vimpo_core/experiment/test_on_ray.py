"""Runs on a cluster: what of them comes back, and what happens when a node, a process or the experiment itself ends.

Training is made up; the cluster is a real one of two nodes on this machine, where Ray is installed. What comes back and
how it is put down is tested without it.
"""

import json
import os
import sys
from functools import partial

import psutil
import pytest

from tests.support.experiments import UNTUNED, Gated, carried_out, deadly, made_up, result_files, written
from tests.support.fakes import FakeTrainer, make_fake_run
from tests.support.kills import assert_same_run
from tests.support.waiting import eventually
from vimpo_core.experiment import command, on_ray, report, run, runner, tables
from vimpo_core.experiment.on_ray import Board, Kept, Told
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT
from vimpo_core.runs.store import RunStore
from vimpo_core.types import RunState


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    written(tmp_path)
    with pytest.raises(Mistake, match=r"pip install -r requirements-ray\.txt"):
        command.experiment(tmp_path / "small.toml", None, None, False, False, ray_address="auto")
    with pytest.raises(Mistake, match="--jobs is of this machine alone"):
        command.experiment(tmp_path / "small.toml", None, 2, False, False, ray_address="auto")


def test_what_comes_back_of_a_run_in_the_middle_goes_on_bit_for_bit(tmp_path):
    job = runner.final_jobs(written(tmp_path, UNTUNED), tmp_path)[0]
    steps = []

    def look(store):  # as `on_ray` does between two steps, while the database has its newest steps in a log
        steps.append(store.last_step())
        Kept.of(store.run_dir).put_down(tmp_path / f"b{len(steps)}" / job.run_id)
        return True

    run.carry_out(tmp_path / "a", job, FakeTrainer, made_up, look)
    assert steps == [None, 0, 1, 2, 3]
    for i in range(1, 6):
        copy = RunStore.open(tmp_path / f"b{i}" / job.run_id)
        assert (copy.last_step(), copy.state()) == (steps[i - 1], RunState.INTERRUPTED) and not copy.lost_its_log()
        run.carry_out(tmp_path / f"b{i}", job, FakeTrainer, made_up)
        assert_same_run(RunStore.open(tmp_path / "a" / job.run_id), RunStore.open(tmp_path / f"b{i}" / job.run_id))


def test_what_comes_back_replaces_the_run_whole_or_not_at_all(tmp_path):
    whole = tmp_path / make_fake_run(tmp_path, steps=3)
    kept, target = Kept.of(whole), tmp_path / "out" / "runs" / whole.name
    Kept(kept.database, "{}").put_down(target)
    assert {file.name for file in target.iterdir()} == {"run.db", "run.lock", "result.json"}

    kept.put_down(target.with_name("sibling"))
    with RunStore.open(target.with_name("sibling"), writable=True) as sibling:
        sibling.update_header({"model": {"id": "fake", "revision": None, "sha256": "1" * 64}})
    with pytest.raises(Mistake, match="run sibling of this experiment was trained with other base weights"):
        kept.put_down(target, partial(run.refuse_mixture, runs_dir=target.parent))
    assert {folder.name for folder in target.parent.iterdir()} == {target.name, "sibling"}
    assert (target / "result.json").read_text() == "{}" and Kept.of(tmp_path / "none") is None


def test_the_board_keeps_what_was_brought_until_it_is_read_and_passes_on_who_is_to_stop():
    board = Board()
    assert board.tell("a", Told(1, Kept(b"one", None))) and board.tell("a", Told(2)) and board.tell("b", Told(7))
    assert board.read() == {"a": Told(2, Kept(b"one", None)), "b": Told(7)} and board.read() == {}
    board.stop("a")
    assert not board.tell("a", Told(3)) and board.tell("b", Told(8))
    board.stop()
    assert not board.tell("b", Told(9))


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each, beside a head that computes nothing."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        )  # for this folder's trainers; the lab itself is sent along
        memory = {"object_store_memory": 80 * 2**20}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
        made.nodes = [made.add_node(num_cpus=1, **memory) for _ in range(2)]
        yield made
        made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_run_goes_on_elsewhere_when_its_node_is_lost_and_none_is_made_twice(cluster, tmp_path):
    experiment, out = written(tmp_path, UNTUNED), tmp_path / "out"
    told, nodes = [], list(cluster.nodes)

    def kill_one(progress):
        if nodes and progress.steps_done == 2:  # both have brought back steps 0 and 1, and wait in step 2
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            # The run's own process outlives its node for a moment, in which it could go on and bring back more.
            eventually(lambda: not all(psutil.pid_exists(each["process"]) for each in begun()))
            (tmp_path / "go").touch()

    def begun():
        return [json.loads(line) for line in (tmp_path / "begun").read_text().splitlines()]

    places = partial(on_ray.Cluster, address=cluster.address, tell=told.append, often=0.0)
    assert runner.run_all(experiment, out, 1, kill_one, partial(Gated, folder=tmp_path), made_up, places) == {}

    (lost,) = [each["run"] for each in begun() if each["step"]]
    assert told == [f"{lost} was lost with its node or process and is begun again."]
    assert [each["step"] for each in begun() if each["run"] == lost] == [0, 2]
    others = [each for each in begun() if each["run"] != lost]
    assert len(others) == len({each["run"] for each in others}) == 3 == len(result_files(out)) - 1
    carried_out(experiment, tmp_path / "here")
    for name in result_files(out):
        assert_same_run(RunStore.open(out / "runs" / name), RunStore.open(tmp_path / "here" / "runs" / name))

    before = result_files(out)
    assert runner.run_all(experiment, out, 1, make_trainer=None, measure=None, make_places=places) == {}
    assert result_files(out) == before
    found = tables.numbers(experiment, out, "")
    assert sum(found["nodes"].values()) == 4 and len(found["nodes"]) == 1  # all ended on the node that was left
    (node,) = found["nodes"]
    assert f"4 runs on {node}" in str(report.report(found, []))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")
def test_ctrl_c_brings_back_the_step_that_was_being_made(cluster, tmp_path):
    experiment, out = written(tmp_path, UNTUNED), tmp_path / "out"

    def interrupt(progress):
        if progress.steps_done:
            raise KeyboardInterrupt

    def tell(sentence):
        assert sentence.startswith("Stopping: 1 runs end their step.")
        (tmp_path / "go").touch()

    places = partial(on_ray.Cluster, address=cluster.address, tell=tell, often=0.0)
    with pytest.raises(KeyboardInterrupt):
        runner.run_all(experiment, out, 1, interrupt, partial(Gated, folder=tmp_path), made_up, places)
    folders = sorted((out / "runs").iterdir())
    assert len(folders) == 1, [(f.name, RunStore.open(f).last_step(), sorted(os.listdir(f))) for f in folders]
    stopped = RunStore.open(folders[0])
    assert (stopped.state(), stopped.last_step()) == (RunState.STOPPED, 2)

    # What is left: a process that dies, whatever the node, is not tried for ever and takes no other run along.
    places = partial(on_ray.Cluster, address=cluster.address)
    failed = runner.run_all(experiment, out, 1, make_trainer=FakeTrainer, measure=deadly, make_places=places)
    (dead,) = failed
    assert dead.startswith("vimpo-101-") and len(result_files(out)) == 3
    assert failed[dead] == "It was lost 3 times with its node or process (WorkerCrashedError)."
    assert RunStore.open(out / "runs" / dead).last_step() == 4  # only measuring is left
    carried_out(experiment, tmp_path / "here")
    same = out / "runs" / stopped.run_id
    assert_same_run(RunStore.open(same), RunStore.open(tmp_path / "here" / "runs" / stopped.run_id))
