"""A run means the same model wherever it is used from."""

import json
import os
import shutil

import pytest

from tests.support.experiments import SMALL, written
from tests.support.fakes import FakeTrainer
from tests.support.real import small
from vimpo_core.experiment import plan, results
from vimpo_core.lm.sources import model_folder, whole_model
from vimpo_core.paths import BUNDLED_MODEL, ROOT
from vimpo_core.runs import bases, worker
from vimpo_core.runs.folder import RunsDir


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A current folder with a model in it."""
    shutil.copytree(BUNDLED_MODEL, tmp_path / "here" / "mine")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_a_typed_folder_is_kept_whole_and_found_from_another_folder(elsewhere, monkeypatch):
    runs = RunsDir(elsewhere / "runs")
    worker.main(runs.path, FakeTrainer, only_job=runs.submit([small(model="mine")]))
    store = runs.open("vimpo-1")
    assert store.config().model == str(elsewhere / "here" / "mine")
    assert f"--model {elsewhere / 'here' / 'mine'}" in store.header()["command"]
    monkeypatch.chdir("/")
    assert model_folder(store.config().model).is_dir()


def test_a_relative_folder_of_an_older_run_counts_from_the_repository_whatever_the_current_folder(elsewhere):
    """Not from the current one, where another model may lie under the same name."""
    assert model_folder("mine") == ROOT / "mine"
    assert model_folder("assets/reference") == BUNDLED_MODEL and bases.stamp("assets/reference")


def test_the_bundled_model_stays_bundled_even_beside_a_folder_of_that_name(elsewhere):
    os.mkdir("bundled")
    assert whole_model("bundled") == "bundled" and model_folder("bundled") == BUNDLED_MODEL
    assert whole_model("./bundled") == str(elsewhere / "here" / "bundled")


def test_a_model_that_is_gone_is_named_by_its_whole_path(elsewhere):
    from vimpo_core.lm import loading

    with pytest.raises(ValueError, match=f"no model at {elsewhere}/here/gone"):
        loading.find(whole_model("gone"))


def test_a_model_beside_an_experiments_file_is_meant_from_anywhere(elsewhere, monkeypatch):
    text = SMALL.replace("[tune]", 'model = "here/mine"\n[tune]')
    monkeypatch.chdir("/")
    assert written(elsewhere, text).base["model"] == str(elsewhere / "here" / "mine")


def test_the_runs_of_the_published_experiment_with_a_model_of_its_own_keep_their_names(monkeypatch):
    """Their ids follow from the settings, the model's folder as the file has it among them."""
    monkeypatch.chdir("/")
    declared = plan.read(ROOT / "experiments" / "rare.toml")
    published = json.loads((ROOT / "docs" / "results" / "rare" / "results.json").read_text(encoding="utf-8"))
    assert declared.base["model"] == "experiments/references/rare"
    arm, block = declared.arms[0], declared.blocks[0]
    (of,) = [a for b in published["blocks"][:1] for a in b["arms"] if a["name"] == arm.name]
    names = {run["run_id"] for run in of["runs"]}
    made = {results.run_id(declared.config(arm, block, of["chosen"], seed, declared.steps)) for seed in declared.seeds}
    assert made == names
