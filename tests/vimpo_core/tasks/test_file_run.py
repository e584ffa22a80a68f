"""A run on problems of a file: it trains, is measured and scored, and does not go on once the file is another."""

import pytest

from app.words import judges
from vimpo_core import reports
from vimpo_core.config import TrainConfig
from vimpo_core.lm.loading import check_run
from vimpo_core.measure import metrics
from vimpo_core.mistake import Mistake
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service.scoring import score_solution
from vimpo_core.tasks.registry import held_out, task_of
from vimpo_core.trainer import Trainer
from vimpo_core.types import RunState


@pytest.fixture
def sums(tmp_path):
    """What the bundled model can say: its digits and signs."""
    path = tmp_path / "sums.csv"
    rows = [f"{a}+{b}=,{a + b}" for a in range(1, 10) for b in range(1, 10)]
    path.write_text("prompt,answer\n" + "\n".join(rows))
    return path


def config_of(path, **changes):
    few = {"steps": 1, "prompts_per_step": 2, "group_size": 2, "eval_prompts": 4, "max_new_tokens": 6}
    return TrainConfig(task=f"file:{path}?read=all", **few | changes)


def test_a_file_of_problems_is_trained_on_measured_and_scored(tmp_path, sums):
    runs = RunsDir(tmp_path / "runs")
    runs.submit([config_of(sums)])
    worker.main(runs.path)
    (run,) = runs.list()
    store = runs.open(run.run_id)
    assert store.state() == RunState.FINISHED, store.message()
    traces = store.traces(1)
    assert all(t.prompt_text in sums.read_text() for t in traces)
    assert list(store.header()["problems"]) == ["sums.csv"]
    assert 0 <= store.metrics()[-1]["greedy_accuracy"] <= 1
    report, rows = reports.training_report(store), store.metrics()
    assert report["n_prompts"] == 1
    while_training = metrics.measuring_share(rows)
    assert while_training == sum(r["measuring_cpu_seconds"] for r in rows) / report["cpu_seconds"]
    assert 0 < while_training < report["measuring_share"] < 1
    (scored,) = score_solution(store.run_dir, 1, "4+5=", "9")
    assert (scored.reward, scored.gold, scored.answer, scored.first_wrong) == (1.0, "9", "9", None)
    with pytest.raises(Mistake, match=r"none of the 81 problems of sums.csv"):
        score_solution(store.run_dir, 1, "41+5=", "46")

    sums.write_text(sums.read_text().replace("4+5=,9", "4+5=,8"))
    with (
        RunStore.open(store.run_dir, writable=True) as writer,
        pytest.raises(Mistake, match=r"begun with other problems: sums.csv was sha256"),
    ):
        worker.trainer_of(writer, Trainer)


def test_a_file_with_fewer_problems_than_are_asked_for_says_how_many_there_are(sums):
    config = config_of(sums, eval_prompts=128)
    record = Trainer(config).step()
    there = len(held_out(task_of(config), "validation", 128))
    assert 0 < there < 30 and record.metrics["validation_problems"] == there
    rows = [{"step": 0, **record.metrics}]
    assert metrics.validation_problems(config, rows) == there and metrics.validation_problems(config, []) == 128
    assert f"With {there} validation problems (128 were asked for, there are no more)" in judges.remark(
        "sampled_accuracy", 0.5, config, rows
    )
    assert "validation_problems" not in Trainer(config_of(sums)).step().metrics


def test_nothing_is_measured_where_nobody_asks_for_it(sums):
    trainer = Trainer(config_of(sums, eval_prompts=0))
    assert "greedy_accuracy" not in trainer.step().metrics


def test_a_file_that_is_not_there_and_one_too_long_for_the_model_are_refused_before_a_run(tmp_path, sums):
    with pytest.raises(Mistake, match=r"there is no file"):
        check_run(config_of(tmp_path / "nowhere.csv"))
    long = "+".join("1" * 5000)
    sums.write_text(f"{sums.read_text()}\n{long}=,5000\n")
    with pytest.raises(Mistake, match=r"a prompt and its solution take up to \d+ tokens, the model reads"):
        check_run(config_of(sums))
