"""The words beside the curves: complete, one voice, and right about the facts they state."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.words import judges
from vimpo_core.config import TrainConfig
from vimpo_core.measure.metrics import METRICS, series, thin
from vimpo_core.rules import RULES, Sampled

STORED = {
    "sampled_accuracy",
    "greedy_accuracy",
    "reward_mean",
    "value_loss",
    "residual_ratio",
    "value_range",
    "mistake_auc",
    "actor_loss",
    "kl_mean",
    "entropy_mean",
    "length_mean",
    "clip_fraction",
    "dead_group_share",
    "grad_norm",
    "learning_rate",
    "tokens_sampled",
    "critic_loss",
    "critic_explained",
    "tokens_per_second",
    "cpu_seconds",
    "wall_seconds",
    "clip_fraction_last",
    "grad_norm_last",
    "reward_mean_kept",
    "dead_group_share_kept",
    "sampled_reward",
    "greedy_reward",
    "validation_problems",
    "measuring_cpu_seconds",
}


def history(name, *values):
    return [{"step": step, name: value} for step, value in enumerate(values)]


def test_every_stored_metric_is_explained():
    assert set(METRICS) == STORED


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_definition_is_one_or_two_sentences_and_expected_range_is_stated(metric):
    assert metric.definition.endswith(".") and metric.expected.endswith(".")
    assert metric.label[0].isupper() and metric.better in ("up", "down", "neither")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("algorithm", ["vimpo", "grpo"])
@hypothesis.settings(max_examples=30)
@given(
    value=st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, 0.0])),
    step=st.integers(0, 300),
)
def test_any_value_at_any_step_gets_a_sentence(metric, algorithm, value, step):
    rows = [{"step": 0, metric.name: 0.4}, {"step": step, metric.name: value}]
    said = judges.remark(metric.name, value, TrainConfig(algorithm=algorithm), rows)
    assert said.endswith(".") and 10 < len(said) < 260
    assert metric.text(value)


def test_what_was_not_measured_is_said_and_never_guessed():
    metric = METRICS["greedy_accuracy"]
    assert judges.remark(metric.name, None, TrainConfig(), []) == "Not measured yet."
    rows = [{"step": 10, "greedy_accuracy": 0.8}, {"step": 11}]
    assert (
        judges.remark(metric.name, None, TrainConfig(), rows) == "Not measured at this step; last measured at step 10."
    )
    assert "finite" in judges.remark(metric.name, None, TrainConfig(), [{"step": 3, "greedy_accuracy": None}])
    assert metric.text(None) == metric.text(math.nan) == "–"


def test_before_training_the_remarks_say_no_token_credit_yet():
    vimpo = TrainConfig()
    assert "no token carries credit" in judges.remark("kl_mean", 0.0, vimpo, history("kl_mean", 0.0))
    assert "Exactly 1" in judges.remark("residual_ratio", 1.0, vimpo, history("residual_ratio", 1.0))


def test_flipped_rewards_move_the_ceiling():
    # 25 % flips: a policy right 80 % of the time earns .8 x .75 + .2 x .25 = .65
    said = judges.remark("reward_mean", 0.65, TrainConfig(reward_noise=0.25), [])
    assert "averages 0.75" in said and "near 80 %" in said


def test_residual_ratio_is_read_as_explained_variance():
    # 1 - 0.6^2 = 0.64
    said = judges.remark("residual_ratio", 0.6, TrainConfig(), [{"step": 0, "residual_ratio": 1.0}, {"step": 9}])
    assert "64 %" in said


def test_grpo_is_told_that_it_does_not_train_the_value_loss():
    rows = history("value_loss", 0.1, 0.08)
    assert "does not train" in judges.remark("value_loss", 0.08, TrainConfig(algorithm="grpo"), rows)
    assert "does not train" not in judges.remark("value_loss", 0.08, TrainConfig(), rows)


def test_a_fall_below_the_start_is_called_one():
    rows = [{"step": 0, "sampled_accuracy": 0.45}, {"step": 40, "sampled_accuracy": 0.1}]
    assert "Below where it began" in judges.remark("sampled_accuracy", 0.1, TrainConfig(), rows)


def test_series_keeps_gaps_and_skips_what_was_not_measured():
    rows = [{"step": 0, "a": 1.0}, {"step": 1}, {"step": 2, "a": None}, {"step": 3, "a": 2.0}]
    assert series(rows, "a") == ([0, 2, 3], [1.0, None, 2.0])


@given(
    values=st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), min_size=1, max_size=3000),
    limit=st.integers(5, 500),
)
def test_thinning_keeps_ends_extremes_and_the_limit(values, limit):
    steps = list(range(len(values)))
    kept_steps, kept_values = thin(steps, values, limit)
    assert len(kept_steps) <= limit and kept_steps == sorted(set(kept_steps))
    assert kept_steps[0] == 0 and kept_steps[-1] == steps[-1]
    assert all(values[s] == v for s, v in zip(kept_steps, kept_values, strict=True))
    finite = [v for v in values if v is not None]
    if finite:
        kept_finite = [v for v in kept_values if v is not None]
        assert min(kept_finite) == min(finite) and max(kept_finite) == max(finite)


def test_each_bucket_keeps_its_lowest_its_highest_and_its_first_gap():
    """Twelve points, two buckets of five between the ends: 5 1 - 9 3 and 2 - - 8 4."""
    values = [0.0, 5.0, 1.0, None, 9.0, 3.0, 2.0, None, None, 8.0, 4.0, 7.0]
    assert thin(list(range(20, 32)), values, 8) == (
        [20, 22, 23, 24, 26, 27, 29, 31],
        [0.0, 1.0, None, 9.0, 2.0, None, 8.0, 7.0],
    )
    assert thin(list(range(8)), values[:8], 8) == (list(range(8)), values[:8])


def test_thinning_refuses_a_limit_that_cannot_keep_a_shape():
    with pytest.raises(ValueError, match="at least 5 points"):
        thin([0], [1.0], 2)


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out"])
def test_the_residual_ratio_of_the_best_v_is_the_floor_that_the_remark_names(baseline, size):
    """200,000 groups of each prompt, success rates .3 and .8, against V at its fixed point: sum delta = slope (R -
    p).
    """
    rng = np.random.default_rng(0)
    p = np.repeat([0.3, 0.8], 200_000)[:, None]
    rewards = (rng.random((len(p), size)) < p).astype(float)
    mean = rewards.mean(axis=1, keepdims=True)
    compared = mean if baseline == "group_mean" else (size * mean - rewards) / (size - 1)
    slope = (size - 1) / size if baseline == "group_mean" else 1.0
    target = rewards - compared
    residual = slope * (rewards - p) - target
    floor = math.sqrt((residual**2).mean() / (target**2).mean())
    assert floor == pytest.approx(1 / math.sqrt(size), rel=5e-3)
    config = TrainConfig(group_size=size, baseline=baseline)
    said = judges.remark("residual_ratio", 0.9, config, [{"step": 20, "residual_ratio": 0.9}])
    assert f"ends at {1 / math.sqrt(size):.2f} with groups of {size}" in said


# ---- remarks know the rule they speak of

PLAIN = ("reinforce", "reinforce_baseline", "rloo")


def said(name, value, step=20, **settings):
    return judges.remark(name, value, TrainConfig(**settings), [{"step": step, name: value}])


@pytest.mark.parametrize("algorithm", PLAIN)
@pytest.mark.parametrize("value", [-3.0, 0.0, 1e-4, 0.5, 3.0])
@pytest.mark.parametrize("updates", [1, 4])
def test_a_rule_without_a_ratio_is_not_told_about_one(algorithm, value, updates):
    remark = said("actor_loss", value, algorithm=algorithm, updates_per_batch=updates)
    assert "without a ratio or a clip" in remark and "ratio is 1" not in remark and "surrogate" not in remark


@pytest.mark.parametrize("algorithm", [*PLAIN, "vimpo_value"])
@pytest.mark.parametrize("name", ["clip_fraction", "clip_fraction_last"])
def test_a_rule_that_does_not_clip_has_no_clip_fraction_and_says_why(algorithm, name):
    remark = judges.remark(name, None, TrainConfig(algorithm=algorithm), [{"step": 3}])
    assert remark.endswith("has no ratio, so there is nothing to clip.")


def test_a_metric_that_the_settings_rule_out_says_so_instead_of_not_yet():
    nothing = [{"step": 3}]
    for name, settings, reason in (
        ("actor_loss", {"algorithm": "vimpo_value"}, "has no actor"),
        ("critic_loss", {"algorithm": "grpo"}, "has no learned critic"),
        ("grad_norm_last", {}, "One update a batch"),
        ("reward_mean_kept", {"algorithm": "grpo"}, "trains on all that it samples"),
    ):
        assert reason in judges.remark(name, None, TrainConfig(**settings), nothing)
    assert judges.remark("grad_norm_last", None, TrainConfig(updates_per_batch=2), nothing) == "Not measured yet."


def test_gradient_clipping_that_is_off_is_said():
    assert "Nothing is shortened" in said("grad_norm", 7.0, max_grad_norm=0.0)
    assert "Longer than 1" in said("grad_norm", 7.0)


def test_what_a_resampling_rule_kept_is_set_beside_what_it_sampled():
    row = {"step": 9, "reward_mean": 0.848, "reward_mean_kept": 0.715}
    remark = judges.remark("reward_mean_kept", 0.715, TrainConfig(algorithm="dapo"), [row])
    assert "0.848" in remark and "little about accuracy" in remark
    assert "replaced by other problems" in said("dead_group_share", 0.5, algorithm="dapo")
    assert "learns nothing from them" in said("dead_group_share", 0.5, algorithm="grpo")


def test_the_noise_of_an_accuracy_is_that_of_the_problems_there_are():
    """3 operands have 477 held-out problems, however many are asked for."""
    few = said("sampled_accuracy", 0.5, step=0, operands=3, eval_prompts=4096)
    assert few == (
        "The reference model before any learning. With 477 validation problems (4096 were asked for, there are no "
        "more) it is known to about ±5 points."
    )
    assert "With 128 validation problems it is known to about ±9 points." in said("sampled_accuracy", 0.5, step=0)


def test_one_step_of_whole_group_flips_is_not_read_as_an_accuracy():
    noisy = {"reward_noise": 0.25, "prompts_per_step": 16}
    assert "true accuracy near 70 %" in said("reward_mean", 0.6, **noisy)
    remark = said("reward_mean", 0.6, **noisy, reward_noise_unit="group")
    assert "16 draws a step" in remark and "true accuracy" not in remark


def test_an_agreeing_group_still_moves_where_the_optimal_token_baseline_is_left_with_one_solution():
    mask = np.array([[True, True, False], [True, True, True]])
    logprobs = np.where(mask, -0.5, 0.0)
    sampled = Sampled(
        logprobs,
        logprobs,
        np.zeros((2, 3)),
        mask,
        np.ones(2),
        np.zeros(2, int),
        collision=np.full((2, 3), 0.5),
    )
    found = RULES["otb"].advantages(sampled, TrainConfig(algorithm="otb"))
    np.testing.assert_allclose(found, [[0, 0, 0], [0, 0, 1]], atol=1e-6)
    assert "one solution alone is left" in said("dead_group_share", 0.5, algorithm="otb")
    assert "learns nothing" not in said("dead_group_share", 0.5, algorithm="otb")


def test_a_star_po_is_not_said_to_explain_variance_within_groups():
    assert "of R − V*" in said("residual_ratio", 0.6, algorithm="a_star_po")
    assert "within groups" in said("residual_ratio", 0.6)
