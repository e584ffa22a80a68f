"""Runs laid over each other: arms, curves, intervals and paired differences, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from tests.support.fakes import FakeTrainer
from vimpo_core.config import TrainConfig
from vimpo_core.measure import comparison
from vimpo_core.measure.comparison import Member, arms, curves, number


def member(key, place="", origin="", **config):
    return Member(key, f"run {key}", TrainConfig(**config), place, origin)


def rows(values, **more):
    """One row a step: kl_mean as given, 10 tokens and 0.5 CPU seconds a step."""
    return [
        {"step": step, "kl_mean": value, "tokens_sampled": 10.0, "cpu_seconds": 0.5, **more}
        for step, value in enumerate(values)
    ]


def measured(*runs):
    """seed number -> curves"""
    return {str(place): curves(rows(values), TrainConfig()) for place, values in enumerate(runs)}


# ---- arms


def test_runs_that_differ_by_the_seed_alone_form_one_arm_by_ascending_seed():
    (arm,) = arms([member("b", seed=2), member("a", seed=1, snapshot_every=7, threads=2)])
    assert arm.keys == ("a", "b") and arm.seeds == (1, 2) and not arm.repeated


@pytest.mark.parametrize(
    "other", [{"beta": 0.2}, {"origin": "fork of a at step 3"}, {"place": "bundled"}, {"steps": 7}]
)
def test_anything_else_makes_another_arm(other):
    found = arms([member("a"), member("b", seed=1, **other)])
    assert [arm.keys for arm in found] == [("a",), ("b",)]
    assert found[0].label != found[1].label


def test_a_seed_counts_once():
    (arm,) = arms([member("new", seed=0), member("old", seed=0), member("other", seed=1)])
    assert arm.keys == ("new", "other") and [m.key for m in arm.repeated] == ["old"]


def test_labels_name_what_differs_and_the_rule_reads():
    found = arms([member("a", beta=0.1), member("b", beta=0.3), member("c", algorithm="grpo", beta=0.3)])
    assert [arm.label for arm in found] == ["VIMPO, beta 0.1", "VIMPO, beta 0.3", "GRPO"]


def test_arms_that_differ_in_what_their_rule_does_not_read_are_still_told_apart():
    found = arms([member("a", algorithm="grpo", beta=0.1), member("b", algorithm="grpo", beta=0.3)])
    assert [arm.label for arm in found] == ["GRPO, beta 0.1", "GRPO, beta 0.3"]


def test_flipped_rewards_are_named_in_every_label():
    same = arms([member("a", reward_noise=0.25), member("b", algorithm="grpo", reward_noise=0.25)])
    assert [arm.label for arm in same] == ["VIMPO, 25 % flips", "GRPO, 25 % flips"]
    mixed = arms([member("a"), member("b", reward_noise=0.4)])
    assert [arm.label for arm in mixed] == ["VIMPO, no flips", "VIMPO, 40 % flips"]


def test_flips_of_whole_groups_are_told_from_flips_of_single_solutions():
    noisy = {"algorithm": "grpo", "reward_noise": 0.25}
    found = arms([member("a", **noisy), member("b", **noisy, reward_noise_unit="group"), member("c")])
    assert [arm.label for arm in found] == [
        "GRPO, 25 % flips",
        "GRPO, 25 % flips, whole groups",
        "VIMPO, no flips",
    ]
    (alone,) = arms([member("b", **noisy, reward_noise_unit="group")])
    assert alone.label == "GRPO, 25 % flips, whole groups"


def test_the_switches_of_baseline_cap_and_clipping_are_named_in_words():
    switches = {"baseline": "leave_one_out", "cap_v0": 0.5, "max_grad_norm": 0.0}
    found = arms([member("a"), member("b", **switches)])
    assert found[1].label == "VIMPO, baseline leave one out, V_0 at most 0.5, no gradient clipping"
    assert found[0].label == "VIMPO, baseline group mean, V_0 not capped, max grad norm 1"


def test_different_tasks_are_refused_in_one_sentence_that_names_them_and_their_runs():
    many = [member(f"v{seed}", seed=seed) for seed in range(5)]
    problem = comparison.task_problem(arms([*many, member("g", algorithm="grpo", operands=6)]))
    assert problem == (
        "these runs solve different tasks, whose numbers cannot share a figure: 5 numbers (run v0, run v1, run v2 and "
        "2 more) and 6 numbers (run g). Keep the runs of one task."
    )
    other_model = comparison.task_problem(arms([member("a"), member("b", model="somewhere/tiny")]))
    assert "the bundled model (run a) and model somewhere/tiny (run b)" in other_model
    assert comparison.task_problem(arms([member("a"), member("b", reward_noise=0.4)])) == ""


# ---- curves


def test_a_record_costs_what_was_spent_before_it():
    run = curves(rows([0.0, 0.1, 0.2]), TrainConfig())
    assert run.spent["tokens"].tolist() == [0, 10, 20] and run.spent["cpu"].tolist() == [0, 0.5, 1]
    assert not run.tokens_are_estimated


def test_tokens_that_were_not_counted_are_estimated_and_said_to_be():
    older = [{"step": step, "length_mean": 5.0, "cpu_seconds": 1.0} for step in range(3)]
    run = curves(older, TrainConfig(prompts_per_step=2, group_size=4))
    assert run.spent["tokens"].tolist() == [0, 40, 80] and run.tokens_are_estimated


def test_what_was_not_recorded_stays_missing():
    run = curves([{"step": 0, "kl_mean": 0.0}, {"step": 1, "kl_mean": None}], TrainConfig())
    assert np.array_equal(run.along("kl_mean", "step")[1], [0.0, math.nan], equal_nan=True)
    assert len(run.along("greedy_accuracy", "step")[0]) == 0
    assert len(run.along("kl_mean", "cpu")[0]) == 0, "no CPU seconds, so no place on that axis"
    assert len(curves([], TrainConfig()).along("kl_mean", "step")[0]) == 0


def test_smoothing_looks_back_only_and_keeps_gaps():
    values = np.array([1.0, 3.0, math.nan, 5.0, 7.0])
    assert np.array_equal(comparison.smoothed(values, 3), [1, 2, math.nan, 4, 6], equal_nan=True)
    assert comparison.smoothed(values, 1) is values


# ---- an arm's curve


def test_the_mean_ends_where_the_shortest_seed_ends():
    line = comparison.line(measured([0, 1, 2, 3], [2, 3]), "kl_mean", "step")
    assert line.x.tolist() == [0, 1] and line.mean.tolist() == [1, 2]
    assert line.seeds["0"][1].tolist() == [0, 1, 2, 3], "the longer seed is drawn to its end"


def test_the_band_of_three_seeds_is_the_t_interval_of_each_place():
    line = comparison.line(measured([0.0, 1.0], [1.0, 5.0], [2.0, 9.0]), "kl_mean", "step")
    # Standard deviations 1 and 4; t with 2 degrees of freedom 4.302653.
    half = 4.302653 * np.array([1, 4]) / math.sqrt(3)
    assert line.low == pytest.approx(np.array([1, 5]) - half) and line.high == pytest.approx(np.array([1, 5]) + half)


def test_two_seeds_have_a_mean_and_no_band():
    line = comparison.line(measured([0.0, 1.0], [2.0, 5.0]), "kl_mean", "step")
    assert line.mean.tolist() == [1.0, 3.0] and line.low is None and line.high is None
    found = number(measured([0.0], [2.0]), "kl_mean", "step", 0)
    assert found.mean == 1.0 and math.isnan(found.low) and math.isnan(found.high)


def test_the_band_of_a_share_ends_at_0_and_1():
    values = ([0.0, 0.9], [0.0, 1.0], [0.3, 1.0])
    runs = {
        str(place): curves([{"step": s, "sampled_accuracy": v} for s, v in enumerate(run)], TrainConfig())
        for place, run in enumerate(values)
    }
    line = comparison.line(runs, "sampled_accuracy", "step")
    assert line.low[0] == 0.0 and line.high[1] == 1.0 and line.high[0] > 0.3


def test_one_seed_has_a_curve_and_no_interval():
    line = comparison.line(measured([0.5, 1.0]), "kl_mean", "step")
    assert line.mean.tolist() == [0.5, 1.0] and line.low is None and line.high is None


def test_a_value_that_was_not_finite_leaves_a_gap_in_mean_and_band():
    line = comparison.line(measured([0.0, None, 2.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]), "kl_mean", "step")
    assert np.isnan(line.mean).tolist() == np.isnan(line.low).tolist() == [False, True, False]


def test_along_tokens_seeds_are_read_at_the_same_tokens():
    fast = curves([{"step": s, "kl_mean": float(s), "tokens_sampled": 10.0} for s in range(3)], TrainConfig())
    slow = curves([{"step": s, "kl_mean": float(s), "tokens_sampled": 20.0} for s in range(3)], TrainConfig())
    line = comparison.line({"fast": fast, "slow": slow}, "kl_mean", "tokens")
    # Places: means of (0, 0), (10, 20), (20, 40), no further than the 20 tokens of the run that spent least.
    assert line.x.tolist() == [0, 15, 20]
    assert line.mean.tolist() == [0, (1.5 + 0.75) / 2, (2 + 1) / 2]


def test_a_run_without_the_metric_is_named_and_left_out():
    line = comparison.line({**measured([0, 1]), "bare": curves([{"step": 0}], TrainConfig())}, "kl_mean", "step")
    assert line.missing == ("bare",) and list(line.seeds) == ["0"] and line.low is None
    nothing = comparison.line({"bare": curves([{"step": 0}], TrainConfig())}, "kl_mean", "step")
    assert len(nothing.x) == len(nothing.mean) == 0


def test_a_path_pairs_two_metrics_by_step_and_keeps_its_order():
    run = [
        {"step": 0, "kl_mean": 0.0, "sampled_accuracy": 0.4},
        {"step": 1, "kl_mean": 0.3},
        {"step": 2, "kl_mean": 0.1, "sampled_accuracy": 0.6},
    ]
    line = comparison.path({"a": curves(run, TrainConfig())}, "kl_mean", "sampled_accuracy")
    assert (line.steps.tolist(), line.x.tolist(), line.mean.tolist()) == ([0, 2], [0.0, 0.1], [0.4, 0.6])
    assert comparison.path(measured([0, 1]), "kl_mean", "sampled_accuracy").missing == ("0",)


# ---- numbers


def test_numbers_are_read_between_measurements_and_never_beyond_the_last():
    runs = measured([0, 2, 4], [1, 3])
    found = number(runs, "kl_mean", "step", 0.5)
    assert found.values == {"0": 1.0, "1": 2.0} and found.mean == 1.5
    later = number(runs, "kl_mean", "step", 2)
    assert later.values == {"0": 4.0} and later.absent == ("1",) and math.isnan(later.low)
    assert number(runs, "kl_mean", "step", 9).n == 0 and math.isnan(number(runs, "kl_mean", "step", 9).mean)
    assert comparison.ends(runs, "kl_mean", "step") == {"0": 2.0, "1": 1.0}


def compared(first, second, better="up"):
    """first, second: seed -> value at step 0"""
    sides = []
    for name, values in (("a", first), ("b", second)):
        (arm,) = arms([member(f"{name}{seed}", seed=seed) for seed in values])
        runs = {f"{name}{seed}": curves(rows([value]), TrainConfig()) for seed, value in values.items()}
        sides += [arm, number(runs, "kl_mean", "step", 0)]
    return comparison.difference(*sides, better)


def test_differences_are_paired_by_seed():
    # Seeds 1, 2 and 3 are shared: 3 - 1, 5 - 6 and 4 - 2, mean 1 and standard deviation sqrt(3), so 1 -+ t_2 =
    # 4.302653.
    gap = compared({1: 3.0, 2: 5.0, 3: 4.0, 9: 100.0}, {2: 6.0, 1: 1.0, 3: 2.0, 8: -50.0})
    assert (gap.n, gap.mean, gap.ahead, gap.behind) == (3, 1.0, 2, 1)
    assert (gap.low, gap.high) == pytest.approx((1 - 4.302653, 1 + 4.302653))


def test_a_run_whose_seed_was_not_recorded_is_paired_with_none():
    brought = comparison.Arm((Member("a", "run a", TrainConfig(), is_seeded=False),))
    runs = {"a": curves(rows([1.0]), TrainConfig())}
    values = number(runs, "kl_mean", "step", 0)
    assert brought.seeds == (None,) and values.mean == 1.0
    assert comparison.difference(brought, values, brought, values, "up").n == 0
    assert comparison.setting_text("model", "") == "a model not chosen yet"


def test_settings_that_nobody_recorded_are_named_nowhere():
    ours = [Member(str(seed), f"run {seed}", TrainConfig(beta=0.2, seed=seed)) for seed in (1, 2)]
    brought = Member("a", "a", TrainConfig(steps=6, learning_rate=1e-6), origin="TRL, a (trl-1)", is_seeded=False)
    found = comparison.arms([*ours, brought])
    assert [(arm.label, arm.count) for arm in found] == [("VIMPO", "2 seeds"), ("TRL, a (trl-1)", "1 run")]


def test_lower_is_ahead_where_lower_is_better_and_ties_count_for_nobody():
    gap = compared({1: 1.0, 2: 1.0, 3: 4.0}, {1: 2.0, 2: 1.0, 3: 3.0}, better="down")
    assert (gap.n, gap.ahead, gap.behind) == (3, 1, 1)


def test_without_a_shared_seed_there_is_no_difference_and_below_three_no_interval():
    assert compared({1: 1.0}, {2: 1.0}).n == 0
    one = compared({1: 1.5}, {1: 1.0})
    assert one.n == 1 and one.mean == 0.5 and math.isnan(one.low)
    two = compared({1: 1.5, 2: 1.0}, {1: 1.0, 2: 1.0})
    assert two.n == 2 and two.mean == 0.25 and math.isnan(two.low) and math.isnan(two.high)


# ---- credit


@pytest.fixture(scope="module")
def solutions():
    config = TrainConfig(steps=60, prompts_per_step=8)
    trainer = FakeTrainer(config)
    trainer.next_step = 60
    return config, trainer.step().traces


def test_the_same_credit_on_every_token_guesses(solutions):
    config, traces = solutions
    for rule in ("reinforce", "grpo", "rloo"):
        assert comparison.own_mistakes_auc(traces, config, rule)[0] == 0.5


def test_implied_credit_that_gathers_at_the_first_wrong_token_finds_it(solutions):
    config, traces = solutions
    auc, n = comparison.own_mistakes_auc(traces, config, "vimpo_value")
    assert auc > 0.9 and n == sum(t.reward == 0 and t.first_wrong is not None for t in traces)
    # One-step credit: lambda 1 would hand the blame to every token before the mistake too.
    assert comparison.own_mistakes_auc(traces, config, "vimpo")[0] == pytest.approx(auc)


def test_a_critic_is_judged_by_its_own_values(solutions):
    config, traces = solutions
    assert comparison.own_mistakes_auc(traces, config, "ppo") is None, "no critic was recorded"
    knowing = [
        t.with_(
            critic_values=np.where(
                np.arange(len(t.ids)) <= (len(t.ids) if t.first_wrong is None else t.first_wrong), 1.0, 0.0
            )
        )
        for t in traces
    ]
    assert comparison.own_mistakes_auc(knowing, config, "ppo")[0] == 1.0


def test_without_arrays_or_wrong_solutions_there_is_no_measurement(solutions):
    config, traces = solutions
    assert comparison.own_mistakes_auc([t.with_(kl=None) for t in traces], config, "vimpo") is None
    assert comparison.own_mistakes_auc([t for t in traces if t.reward == 1], config, "vimpo") is None
    assert comparison.own_mistakes_auc([], config, "vimpo") is None
