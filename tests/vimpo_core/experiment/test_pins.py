"""What an experiment's file calls a model or a file of problems means the same from anywhere and at every rerun."""

import shutil
from dataclasses import replace

import pytest

from tests.support.experiments import UNTUNED, written
from vimpo_core.experiment import command, pins, runner
from vimpo_core.lm import hub
from vimpo_core.mistake import Mistake
from vimpo_core.paths import BUNDLED_MODEL, ROOT
from vimpo_core.tasks.registry import task_of

MODEL = "some/model"
COMMITS = ["a" * 40, "b" * 40]


def with_base(line: str) -> str:
    return UNTUNED.replace("[base]\n", f"[base]\n{line}\n")


def opened(plan):
    """The task of a run of the plan, its table read."""
    task = task_of(runner.final_jobs(plan, plan.path)[0].config)
    return task.table()


def test_a_file_of_problems_counts_from_the_experiments_file_then_from_the_repository(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sums.csv").write_text("prompt,answer\n1+1=,2\n1+2=,3\n")
    monkeypatch.chdir("/")
    own = written(tmp_path, with_base('task = "file:own/sums.csv?read=all"'))
    assert own.base["task"] == f"file:{tmp_path}/own/sums.csv?read=all"
    assert opened(own).rows == (("1+1=", "2"), ("1+2=", "3"))
    bundled = written(tmp_path, with_base('task = "file:assets/problems/backwards.jsonl?compare=text&read=all"'))
    assert bundled.base["task"] == "file:assets/problems/backwards.jsonl?compare=text&read=all"  # names the same runs
    assert len(opened(bundled).rows) == 1200


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('task = "file:gone.csv"', "neither {beside}/gone.csv nor {root}/gone.csv"),
        ('model = "gone/folder/x"', "no model at {root}/gone/folder/x"),
        ('model = "smaller/model"', "models get smaller/model"),
    ],
)
def test_what_is_not_there_is_said_before_any_run(tmp_path, line, said, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    written(tmp_path, with_base(line))
    with pytest.raises(Mistake) as raised:
        command.experiment(tmp_path / "small.toml", None, 1, False, False)
    assert said.format(beside=tmp_path, root=ROOT) in str(raised.value)
    assert not (tmp_path / "small").exists()


def test_a_model_of_the_hub_stays_at_the_commit_of_the_first_time(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    refs = hub.folder_of(MODEL).parents[1] / "refs" / "main"
    refs.parent.mkdir(parents=True)

    def fetch(commit):
        shutil.copytree(BUNDLED_MODEL, hub.folder_of(f"{MODEL}@{commit}"))
        refs.write_text(commit)

    fetch(COMMITS[0])
    text = with_base(f'model = "{MODEL}"').replace('name = "VIMPO"', 'name = "VIMPO"\nmodel = "bundled"')
    plan, out = written(tmp_path, text), tmp_path / "out"
    first = pins.settled(plan, out)
    models = {job.config.model for job in runner.final_jobs(first, out)}
    assert models == {f"{MODEL}@{COMMITS[0]}", "bundled"} and first.base["model"] == f"{MODEL}@{COMMITS[0]}"
    fetch(COMMITS[1])
    assert pins.settled(plan, out) == pins.as_settled(plan, out) == first
    assert pins.settled(plan, tmp_path / "new").base["model"] == f"{MODEL}@{COMMITS[1]}"
    assert pins.as_settled(plan, tmp_path / "none") == plan
    (out / pins.NAME).write_text("[")
    with pytest.raises(Mistake, match=r"models\.json: this is not what the experiment wrote"):
        pins.settled(plan, out)


def test_what_names_no_other_weights_is_kept_as_it_stands(tmp_path):
    plan, out = written(tmp_path, UNTUNED), tmp_path / "out"
    assert pins.settled(plan, out) == plan and not (out / pins.NAME).exists()
    varied = replace(plan, blocks=({"model": "bundled"}, {"model": str(BUNDLED_MODEL)}))
    assert pins.settled(varied, out) == varied
