"""scorecard: what flat and perfect signals must get, orientation, golden numbers, an oracle; then the sets and the
command.
"""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.real import SMALL, moved
from vimpo_core import cli
from vimpo_core.intervals import bootstrap_bounds
from vimpo_core.measure import scorecard
from vimpo_core.measure.scorecard import (
    agreement,
    concentrate,
    concentration,
    localisation,
    localise,
    signals,
)
from vimpo_core.measure.truth import PrefixValues
from vimpo_core.solutions import lenses
from vimpo_core.tasks.chain import ChainTask, first_wrong, split_of, student_solution, with_drawn_separators
from vimpo_core.tree import tabular
from vimpo_core.types import CreditTrace, StopReason

TOL = 1e-9
BETA = 0.2


def make_trace(logprob, ref_logprob, kl=None, wrong_at=None, reward=0.0, mean=float("nan"), **changes):
    length = len(logprob)

    def floats(values):
        return np.array(values, dtype=np.float64)

    return CreditTrace(
        step=0,
        group_id=0,
        sample_idx=0,
        prompt_text="1+1+1=",
        prompt_ids=(1,),
        gold="3",
        reward=reward,
        group_mean_reward=mean,
        finish_reason=StopReason.EOS,
        ids=np.arange(length, dtype=np.int32),
        text=("x",) * length,
        mask=np.ones(length, dtype=bool),
        logprob=floats(logprob),
        ref_logprob=floats(ref_logprob),
        kl=floats([0.0] * length if kl is None else kl),
        entropy=floats([0.5] * length),
        rewards={"verifier": reward},
        first_wrong=wrong_at,
    ).with_(**changes)


def values_of(rows):
    """PrefixValues from 0/1 rows, nothing exact."""
    outcomes = np.array(rows, dtype=bool)
    return PrefixValues(outcomes, np.zeros(len(outcomes), dtype=bool))


# ---- where is the mistake


@given(st.integers(2, 40), st.data())
def test_a_constant_signal_has_auc_one_half_and_an_oracle_one(length, data):
    wrong = data.draw(st.integers(0, length - 1))
    assert localise(np.full(length, 0.3), wrong) == (
        pytest.approx(1 / length),
        pytest.approx(min(3 / length, 1)),
        0.5,
    )
    oracle = (np.arange(length) == wrong).astype(float)
    assert localise(oracle, wrong) == (1, 1, 1)
    assert localise(-oracle, wrong) == (0, float(length <= 3), 0)


@pytest.mark.parametrize(
    ("suspicion", "wrong", "expected"),
    [
        ([5, 4, 3, 2, 1], 2, (0, 1, 0.5)),  # third of five: among the three, half of the others below
        ([5, 4, 3, 2, 1], 3, (0, 0, 0.25)),
        ([1, 3, 3, 0], 1, (0.5, 1, 2.5 / 3)),  # shares the first place
        ([9, 9, 3, 3, 3, 3], 5, (0, 0.25, 1.5 / 5)),  # four share one place that is left of three
        ([7], 0, (1, 1, 0.5)),
    ],
)
def test_places_by_hand(suspicion, wrong, expected):
    assert localise(np.array(suspicion, dtype=float), wrong) == pytest.approx(expected)


def test_a_signal_that_is_not_finite_or_does_not_reach_is_refused():
    for suspicion, wrong in [([1.0, np.nan], 0), ([1.0, 2.0], 2), ([], 0)]:
        with pytest.raises(ValueError, match="a signal needs a finite number for each token"):
            localise(np.array(suspicion), wrong)


@pytest.mark.parametrize(
    ("signal", "gini", "effective"),
    [
        ([0.3, 0.3, 0.3, 0.3], 0, 4),  # all alike
        ([0, 0, -5, 0], 3 / 4, 1),  # all on one of four
        ([1, -3], 1 / 4, 16 / 10),  # (2 - 3) 1 + (4 - 3) 3 over 2 x 4; 4^2 / (1 + 9)
        ([2, 1, 0], 4 / 9, 9 / 5),  # (2 x 1 - 4) 0 + 0 x 1 + 2 x 2 over 3 x 3; 3^2 / 5
        ([1e-200, -3e-200], 1 / 4, 16 / 10),  # whatever the unit
        ([7], 0, 1),
    ],
)
def test_concentration_by_hand(signal, gini, effective):
    assert concentrate(np.array(signal, float)) == (pytest.approx(gini), pytest.approx(effective))


def test_a_signal_that_is_0_everywhere_has_no_concentration():
    assert np.isnan(concentrate(np.zeros(3))).all()


def test_concentration_is_the_mean_over_the_wrong_solutions_where_it_is_defined():
    one = make_trace([-1.0, -3.0], [-1.0, -1.0], wrong_at=1)  # delta 0, -2 beta: all on one token
    same = make_trace([-2.0, -2.0], [-1.0, -1.0], wrong_at=0)  # -beta, -beta: alike
    still = make_trace([-1.0, -1.0], [-1.0, -1.0], wrong_at=0)  # credit 0 everywhere
    right = make_trace([-1.0, -9.0], [-1.0, -1.0], reward=1.0)
    found = concentration([one, same, still, right], 0.1, 1.0)
    assert found["implied_advantage"].gini.mean == pytest.approx((1 / 2 + 0) / 2)
    assert found["implied_advantage"].effective_tokens.mean == pytest.approx((1 + 2) / 2)
    assert found["surprisal_reference"].effective_tokens.mean == pytest.approx(2)
    only = concentration([still], 0.1, 1.0)["implied_advantage"]
    assert np.isnan([only.gini.mean, only.effective_tokens.low]).all()
    assert concentration([right], 0.1, 1.0) == {}


def test_every_signal_points_at_what_it_should():
    """Token 1 was made less likely by training (-1 nat), token 2 is the least likely, token 3 the reference's least."""
    trace = make_trace([-0.1, -2.0, -3.0, -0.5], [-0.1, -1.0, -2.5, -4.0], wrong_at=1, reward=0.0, mean=0.75)
    trace = trace.with_(entropy=np.array([0.1, 0.2, 0.3, 0.9]))
    found = {name: values[0] for name, values in signals([trace], BETA, 1.0).items()}
    assert list(found) == list(scorecard.SIGNALS)
    np.testing.assert_allclose(found["implied_advantage"], BETA * np.array([0, 1.0, 0.5, -3.5]), equal_nan=False)
    assert found["surprisal_policy"].argmax() == 2
    assert found["surprisal_reference"].argmax() == 3
    assert found["entropy"].argmax() == 3
    assert found["grpo"].tolist() == [0.75] * 4  # R - mean = -0.75: a bad solution is suspicious everywhere
    assert found["first_token"].argmax() == 0
    # A_t at lambda 1 is (3, 3, 4, 3.5) x beta: the token before the mistake carries it as much.
    assert found["implied_advantage_whitened"].argmax() in (0, 1)
    assert found["implied_advantage_whitened"][0] == pytest.approx(found["implied_advantage_whitened"][1])


def test_whitened_signal_is_minus_the_lens_of_that_name():
    rng = np.random.default_rng(0)
    traces = [make_trace(-rng.random(n), -rng.random(n), rng.random(n) / 10, wrong_at=0) for n in (4, 7, 1, 5)]
    for index, values in enumerate(signals(traces, BETA, 0.9)["implied_advantage_whitened"]):
        lens = lenses.lens_values(traces, index, "advantages_whitened", BETA, 0.9)
        np.testing.assert_allclose(values, -lens, rtol=0, atol=TOL, equal_nan=False)


def test_before_training_implied_credit_is_no_better_than_a_flat_signal():
    logprob = [-0.3, -1.2, -0.1, -0.7, -0.2]
    found = localisation([make_trace(logprob, logprob, wrong_at=3)] * 5, BETA, 1.0)
    for name in ("implied_advantage", "implied_advantage_whitened", "grpo"):
        assert found[name].auc == scorecard.Measured(0.5, 0.5, 0.5)
        assert found[name].top1.mean == pytest.approx(0.2)


def test_only_wrong_solutions_with_a_known_first_wrong_token_are_counted():
    hit, miss = [-0.1, -9.0, -0.1], [-9.0, -0.1, -0.1]
    counted = [
        make_trace(hit, [-0.1] * 3, wrong_at=1),
        make_trace(miss, [-0.1] * 3, wrong_at=1),
    ]
    others = [
        make_trace(miss, [-0.1] * 3, wrong_at=None),
        make_trace(miss, [-0.1] * 3, wrong_at=1, reward=1.0),
        # The trainer saw a flipped reward; the verifier's own says right.
        make_trace(miss, [-0.1] * 3, wrong_at=1).with_(rewards={"verifier": 1.0}),
    ]
    found = localisation(counted + others, BETA, 1.0)
    assert found["surprisal_policy"].top1.mean == 0.5
    assert found["surprisal_policy"].top1.low == 0 and found["surprisal_policy"].top1.high == 1
    assert localisation(others, BETA, 1.0) == {}


def test_a_signal_whose_arrays_are_missing_is_left_out():
    whole, bare = make_trace([-1, -2], [-1, -1], wrong_at=1), make_trace([-1, -2], [-1, -1], wrong_at=0)
    found = signals([whole, bare.with_(kl=None, ref_logprob=None)], BETA, 1.0)
    assert set(found) == {"surprisal_policy", "entropy", "grpo", "first_token", "random"}


# ---- intervals


def test_the_bootstrap_is_seeded_and_covers_a_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        rows = rng.exponential(size=(60, 1))
        low, high = bootstrap_bounds(lambda sums: sums / 60, rows, seed, draws=400)
        covered += bool(low[0] <= 1 <= high[0])
    # Percentile intervals of 60 skewed numbers cover a little less than 95%; 300 draws have a deviation of 1.3%.
    assert 0.89 <= covered / 300 <= 0.97
    twice = [bootstrap_bounds(lambda sums: sums / 60, rows, 5) for _ in range(2)]
    assert twice[0] == twice[1]
    low, high = bootstrap_bounds(lambda sums: sums / 1, np.array([[2.0]]), 0)
    assert low == high == 2


def test_a_statistic_that_is_undefined_has_an_undefined_interval():
    def share_and_nothing(sums):
        with np.errstate(invalid="ignore"):
            return np.stack([sums[..., 0] / 3, sums[..., 1] / sums[..., 1]], axis=-1)

    low, high = bootstrap_bounds(share_and_nothing, np.array([[1.0, 0.0]] * 3), 0)
    assert low[0] == high[0] == 1
    assert np.isnan([low[1], high[1]]).all()


# ---- against Monte Carlo


def test_agreement_by_hand():
    """One solution of two tokens. Monte Carlo V = 1/2, 1/4, 1; delta = 0.1, 0.6, so implied V = 0.5, 0.6, 1.2."""
    truth = values_of([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    trace = make_trace([-0.5, 0.0], [-1.0, -3.0])  # log-ratios 0.5 and 3, beta 0.2
    found = agreement([trace], [truth], BETA)
    assert found.solutions == 1
    assert found.pearson_advantage.mean == pytest.approx(1)  # two points always lie on a line; it rises
    assert found.value_rmse.mean == pytest.approx(np.sqrt((0.35**2 + 0.2**2) / 2))
    assert found.constant_rmse.mean == pytest.approx(0.375)  # 1/4 and 1 about their mean
    assert found.start_rmse.mean == pytest.approx(np.sqrt((0.25**2 + 0.5**2) / 2))
    assert found.rmse_reduction.mean == pytest.approx(1 - found.value_rmse.mean / 0.375)
    assert found.monte_carlo_rmse == pytest.approx(np.sqrt((0.25 * 0.75 / 3 + 0) / 2))


def test_credit_that_is_q_minus_v_has_pearson_1_and_auc_1():
    # Two wrong solutions; the success rate falls from 1 to 0 at the first wrong token, and delta = beta log-ratio with
    # it:
    # Pearson is of delta itself, the signal that looks for the mistake is minus delta.
    kept, lost, flat = [1, 1], [0, 0], [-1.0] * 3
    cases = [([kept, kept, lost, lost], 1), ([kept, kept, kept, lost], 2)]
    truths = [values_of(rows) for rows, _ in cases]
    traces = [
        make_trace(flat + truth.advantages() / BETA, flat, wrong_at=wrong)
        for truth, (_, wrong) in zip(truths, cases, strict=True)
    ]
    assert agreement(traces, truths, BETA).pearson_advantage.mean == pytest.approx(1.0)
    assert localisation(traces, BETA, 1.0)["implied_advantage"].auc.mean == 1.0


def test_a_recorded_group_mean_anchors_the_implied_value_and_else_the_prompts_own():
    trace = make_trace([-0.5, 0.0], [-1.0, -3.0])
    np.testing.assert_allclose(scorecard.implied_value_curve(trace, BETA, 0.4), [0.4, 0.5, 1.1], equal_nan=False)
    grouped = trace.with_(group_mean_reward=0.25)
    np.testing.assert_allclose(scorecard.implied_value_curve(grouped, BETA, 0.4), [0.25, 0.35, 0.95], equal_nan=False)


def test_credit_of_the_local_fixed_point_agrees_with_monte_carlo_and_before_training_nothing_correlates():
    """At VIMPO's fixed point delta_t is Q - V and V_t is V^pi: what is left is the noise of the rollouts."""
    tree = tabular.random_tree(vocab=3, depth=4, rng=np.random.default_rng(0))
    reference = tabular.random_policy(tree, np.random.default_rng(1))
    policy = tabular.local_fixed_point(tree, reference, BETA)
    values = tabular.along_paths(tree, tabular.plain_values(tree, policy)[0])
    logprob, ref_logprob = (tabular.along_paths(tree, p) for p in (policy, reference))
    kl = tabular.along_paths(tree, tabular.kl(policy, reference))
    rng = np.random.default_rng(2)
    rows = range(0, 81, 3)
    truths = [values_of(rng.random((5, 400)) < [*values[y][:, None], [tree.rewards[y]]]) for y in rows]
    trained = [make_trace(logprob[y], ref_logprob[y], kl[y]) for y in rows]
    found = agreement(trained, truths, BETA)
    assert found.pearson_advantage.low > 0.95
    # The anchor is one noisy value too, shared by the whole curve.
    assert found.value_rmse.mean < 2 * found.monte_carlo_rmse < 0.1 < found.constant_rmse.mean
    assert found.rmse_reduction.low > 0.8

    untrained = [make_trace(ref_logprob[y], ref_logprob[y]) for y in rows]
    found = agreement(untrained, truths, BETA)
    assert np.isnan([found.pearson_advantage.mean, found.pearson_advantage.low]).all()
    for name in ("mean", "low", "high"):
        assert getattr(found.value_rmse, name) == pytest.approx(getattr(found.start_rmse, name))


def test_solutions_and_results_must_match():
    trace, truth = make_trace([-1], [-1]), values_of([[1], [1]])
    for traces, truths in [([], []), ([trace], [truth, truth])]:
        with pytest.raises(ValueError, match="one Monte Carlo result a solution"):
            agreement(traces, truths, BETA)


# ---- the sets


@pytest.fixture(scope="module")
def sets():
    """Of the moved policy: name -> SolutionSet."""
    from vimpo_core.measure.solution_sets import solution_set

    policy = moved(SMALL)
    return {name: solution_set(policy, ChainTask(4), name, 12, seed=1) for name in scorecard.SETS}


def texts(traces):
    return [(t.prompt_text, t.completion_text) for t in traces]


def test_wrong_solutions_are_wrong_at_a_known_token_and_each_problem_is_a_test_problem_met_once(sets):
    for chosen in sets.values():
        assert len(chosen.wrong) == len(chosen.mixed) == 12
        assert all(t.reward == 0 and t.first_wrong is not None for t in chosen.wrong)
        assert {t.reward for t in chosen.mixed} == {0, 1}
        for traces in (chosen.wrong, chosen.mixed):
            prompts = [t.prompt_text for t in traces]
            assert len(set(prompts)) == len(prompts)
            assert {split_of(p) for p in prompts} == {"test"}
            assert all(np.isnan(t.group_mean_reward) for t in traces)


def test_the_fixed_set_is_the_same_under_every_policy_and_a_larger_one_begins_with_a_smaller(sets, fresh_policy):
    from vimpo_core.measure.solution_sets import solution_set

    larger = solution_set(fresh_policy, ChainTask(4), "fixed", 20, seed=1, step=7)
    for kind in ("wrong", "mixed"):
        assert texts(getattr(larger, kind))[:12] == texts(getattr(sets["fixed"], kind))
    assert {t.step for t in larger.wrong} == {7}
    np.testing.assert_array_equal(larger.wrong[0].logprob, larger.wrong[0].ref_logprob)
    assert (sets["fixed"].wrong[0].logprob != sets["fixed"].wrong[0].ref_logprob).any()
    other = solution_set(fresh_policy, ChainTask(4), "fixed", 12, seed=2)
    assert texts(other.mixed) != texts(sets["fixed"].mixed)
    # An untrained policy is the reference, yet its own solutions are drawn afresh.
    own = solution_set(fresh_policy, ChainTask(4), "own", 12, seed=1)
    assert texts(own.mixed) != texts(sets["fixed"].mixed)


def test_the_style_set_differs_from_the_fixed_one_in_separators_alone(sets):
    def bare(traces):
        return [(p, "".join("_" if c in ";,/" else c for c in s)) for p, s in texts(traces)]

    for kind in ("wrong", "mixed"):
        plain, styled = (getattr(sets[name], kind) for name in ("fixed", "style"))
        assert bare(plain) == bare(styled)
        assert texts(plain) != texts(styled)
        assert [t.first_wrong for t in plain] == [t.first_wrong for t in styled]
        assert [t.reward for t in plain] == [t.reward for t in styled]


def test_an_unknown_set_or_an_empty_one_is_refused(fresh_policy):
    from vimpo_core.measure.solution_sets import solution_set

    for name, count in [("mine", 3), ("own", 0)]:
        with pytest.raises(ValueError, match=r"a set is one of fixed, own, style with at least 1 solution, got"):
            solution_set(fresh_policy, ChainTask(4), name, count)


def test_separators_are_drawn_uniformly():
    drawn = with_drawn_separators("1;" * 3000, random.Random(0))
    counts = np.array([drawn.count(c) for c in ";,/"])
    # 3,000 draws: a deviation of 26.
    assert counts.sum() == 3000 and (np.abs(counts - 1000) < 100).all()


@given(st.integers(0, 10_000))
def test_separators_are_never_what_is_wrong(seed):
    rng = random.Random(seed)
    prompt = ChainTask(4).problem(rng, "train").prompt
    solution = student_solution(prompt, rng)
    restyled = with_drawn_separators(solution, rng)
    assert first_wrong(prompt, restyled) == first_wrong(prompt, solution)
    assert len(restyled) == len(solution) and restyled[-1] == "."


# ---- the command


def test_the_command_ends_with_the_promised_object(real_run, capsys):
    arguments = ["truth", real_run.name, "--step", "2", "--set", "own", "--solutions", "6", "--rollouts", "8"]
    arguments += ["--seed", "3", "--runs-dir", str(real_run.parent), "--json"]
    assert cli.main(arguments) == 0
    first = capsys.readouterr().out
    report = json.loads(first.splitlines()[-1])
    assert (report["n_solutions"], report["n_compared"], report["rollouts"], report["seed"]) == (6, 6, 8, 3)
    assert report["signals"].keys() == scorecard.SIGNALS.keys()
    for found in report["signals"].values():
        measures = ("top1", "top3", "auc", "gini", "effective_tokens")
        assert found.keys() == {f"{k}{e}" for k in measures for e in ("", "_low", "_high")}
        assert all(found[f"{k}_low"] <= found[k] <= found[f"{k}_high"] for k in measures)
    assert report["signals"]["grpo"]["effective_tokens"] == pytest.approx(report["mean_tokens"])
    for name in ("pearson_advantage", "value_rmse", "constant_rmse"):
        assert report[f"{name}_low"] <= report[name] <= report[f"{name}_high"]
    assert report["command"].startswith(f"python -m vimpo_core truth {real_run.name} --step 2 --set own")
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == first


def test_before_training_the_report_says_null_and_the_table_still_prints(real_run, capsys):
    arguments = ["truth", real_run.name, "--step", "0", "--solutions", "4", "--rollouts", "4"]
    arguments += ["--runs-dir", str(real_run.parent)]
    assert cli.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pearson_advantage"] is report["pearson_advantage_low"] is None
    assert report["signals"]["implied_advantage"]["auc"] == 0.5
    assert cli.main(arguments) == 0
    assert "implied_advantage" in capsys.readouterr().out


def test_mistakes_are_one_sentence(real_run, capsys):
    place = ["--runs-dir", str(real_run.parent)]
    for arguments, message in [
        (["--step", "3"], "holds no adapter of step 3"),
        (["--rollouts", "0"], "rollouts must be >= 1, got 0"),
        (["--solutions", "0"], "at least 1 solution, got 'fixed' with 0"),
    ]:
        assert cli.main(["truth", real_run.name, *arguments, *place]) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1 and message in error[0]
