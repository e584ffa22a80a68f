"""Tasks without a step verifier: the largest true drop of a real run's solutions, and a scorecard that looks for it."""

import pytest

from vimpo_core import reports
from vimpo_core.config import TrainConfig
from vimpo_core.formats import export
from vimpo_core.measure import drops, scorecard
from vimpo_core.mistake import Mistake
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import truth_report
from vimpo_core.service.largest_drop import largest_drop
from vimpo_core.service.scoring import solution_truth
from vimpo_core.solutions import steps
from vimpo_core.trainer import Trainer

SETTINGS = {"steps": 2, "prompts_per_step": 4, "group_size": 4, "eval_prompts": 8, "warmup_steps": 1}


@pytest.fixture
def run(with_closeness, tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([TrainConfig(task="closeness", snapshot_every=2, **SETTINGS)])
    worker.main(runs.path, make_trainer=Trainer)
    return runs.path / "vimpo-1"


def failed(run):
    return next(t for t in RunStore.open(run).traces(2) if 0 < t.rewards["verifier"] < 1)


def test_the_drop_of_a_solution_is_what_its_curve_says_by_other_tries(run):
    trace = failed(run)
    asked = (run, 2, trace.prompt_text, trace.completion_text)
    ids = tuple(map(int, trace.ids))
    found = largest_drop(*asked, 64, ids=ids)
    truth = solution_truth(*asked, 256, seed=7, ids=ids).policy
    assert found.tries == 64 and found.rollouts <= drops.most_rollouts(len(ids), 64)
    fall = -truth.advantages()[found.token]
    assert found.low - 0.1 <= fall <= found.high + 0.1
    assert fall >= -truth.advantages().min() - 0.15
    assert steps.verifies_steps(trace) is False and trace.first_wrong is None
    with_drop = trace.with_(largest_drop=found)
    if found.is_clear:
        assert scorecard.target_of(with_drop) == found.token
        assert f"largest true drop #{found.token}" in export.verdict(with_drop)


def test_a_scorecard_without_a_step_verifier_looks_for_the_largest_true_drop_and_says_so(run):
    with RunStore.open(run) as store:
        told = []
        report = truth_report.truth_report(store, 2, "own", 8, 16, on_progress=lambda *at: told.append(at))
        assert report["target"] == truth_report.LARGEST_DROP
        assert 0 < report["n_solutions"] <= report["n_wrong"] <= 8 and report["drop_rollouts"] > 0
        assert report["mean_drop"] > 0 and set(report["signals"]) == set(scorecard.SIGNALS)
        assert report["signals"]["grpo"]["auc"] == 0.5
        entries = [entry for of in report["instructive"].values() for entry in of]
        assert entries and all(entry["first_wrong"] is None and entry["largest_drop"] >= 0 for entry in entries)
        shares = [done / total for done, total in told]
        assert shares == sorted(shares) and shares[-1] == 1
        with pytest.raises(Mistake, match="no style set"):
            truth_report.truth_report(store, 2, "style", 2, 2)


def test_an_evaluation_gives_the_mean_reward_beside_the_share_of_right_answers(run):
    with RunStore.open(run) as store:
        found = reports.evaluate_run(store, prompts=64)
    assert found["sampled_reward_low"] <= found["sampled_reward"] <= found["sampled_reward_high"]
    assert found["sampled_reward"] > found["sampled_accuracy"] + 0.02  # a wrong answer earns .1 at least
