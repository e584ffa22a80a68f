"""Rewards between 0 and 1: everything that reads a reward, against what can be enumerated or worked out by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.partial import LEVELS, Closeness, partial_tree
from tests.vimpo_core.measure.test_truth import exact_values_along, row, tree_process
from vimpo_core import credit, intervals
from vimpo_core.config import TrainConfig
from vimpo_core.learning import vine
from vimpo_core.lm import models
from vimpo_core.lm.attempts import attempt
from vimpo_core.lm.seeds import derived_seed
from vimpo_core.measure import branches, evaluate
from vimpo_core.measure.truth import State, monte_carlo_values, soft_curve
from vimpo_core.runs import trace_rows
from vimpo_core.solutions import picks, reading
from vimpo_core.trainer import Trainer, flipped
from vimpo_core.tree import tabular
from vimpo_core.types import VerdictStatus

PROMPT, SOLUTION = (0,), (1, 0, 2, 1)
WORLDS = {
    "as_gym": ((0.0, 0.01, 1.0), (0.2, 0.6, 0.2)),
    "rare": ((0.01, 1.0), (0.97, 0.03)),
    "near_each_other": ((0.3, 0.5, 0.7), (0.3, 0.4, 0.3)),
    "high": ((0.9, 1.0), (0.5, 0.5)),
}


@pytest.fixture(scope="module")
def tree():
    return partial_tree()


@pytest.fixture(scope="module")
def policy(tree):
    return tabular.random_policy(tree, np.random.default_rng(1))


def small(**changes):
    settings = {"steps": 1, "prompts_per_step": 4, "group_size": 4, "eval_prompts": 8, "warmup_steps": 1}
    return TrainConfig(**{"task": "closeness", **settings, **changes})


# ---- intervals


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("n", [16, 64, 256])
def test_the_interval_of_a_mean_reward_holds_it_at_least_93_times_in_100(world, n):
    values, chances = WORLDS[world]
    rewards = np.random.default_rng(0).choice(values, p=chances, size=(4000, n))
    low, high = intervals.mean_bounds(rewards)
    mean = float(np.dot(values, chances))
    assert ((low <= mean) & (mean <= high)).mean() >= 0.93
    if world == "near_each_other":
        of_shares = np.subtract(*intervals.wilson_bounds(rewards.sum(-1), n)[::-1])
        assert (high - low).mean() < 0.65 * of_shares.mean()  # what was seen of the spread is used


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("n", [16, 64, 256])
def test_the_interval_of_a_paired_difference_of_rewards_holds_it_at_least_93_times_in_100(world, n):
    values, chances = map(np.array, WORLDS[world])
    rng = np.random.default_rng(1)
    first, second = rng.choice(values, p=chances, size=(2, 4000, n))
    second = np.where(rng.random(first.shape) < 0.7, first, 0.5 * second)  # most tries go on alike
    low, high = intervals.mean_difference_bounds(first, second)
    truth = -0.3 * 0.5 * float(values @ chances)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.93


def test_intervals_of_rewards_that_are_all_0_or_1_are_those_of_shares():
    tries = np.random.default_rng(2).random((2, 5, 64)) < 0.4
    np.testing.assert_array_equal(intervals.mean_bounds(tries[0]), intervals.wilson_bounds(tries[0].sum(-1), 64))
    shares = [(t.mean(-1), *intervals.wilson_bounds(t.sum(-1), 64)) for t in tries]
    wanted = intervals.difference_bounds(*shares, intervals.phi_of_pairs(*tries))
    np.testing.assert_array_equal(intervals.mean_difference_bounds(*tries), wanted)


# ---- values by trying


def test_mean_rewards_by_trying_are_those_of_backward_induction(tree, policy):
    (found,) = monte_carlo_values(tree_process(tree, policy), [State(PROMPT, SOLUTION)], 20_000)
    exact = exact_values_along(tree, policy, SOLUTION)
    assert found.is_partial
    np.testing.assert_allclose(found.value, exact, atol=0.015)
    low, high = found.bounds()
    assert ((low <= exact + 1e-9) & (exact <= high + 1e-9)).all()
    low, high = found.advantage_bounds()
    assert ((low <= np.diff(exact)) & (np.diff(exact) <= high)).all()


@pytest.mark.parametrize("beta", [0.05, 0.2, 1.0])
def test_soft_values_come_from_the_rewards_of_the_reference_and_not_from_their_mean(tree, policy, beta):
    (found,) = monte_carlo_values(tree_process(tree, policy), [State(PROMPT, SOLUTION)], 20_000)
    _, soft, _ = tabular.soft_optimum(tree, policy, beta)
    exact = [soft[t][row(SOLUTION[:t], tree.vocab)] for t in range(tree.depth)]
    value, low, high = soft_curve(found, beta)
    np.testing.assert_allclose(value[:-1], exact, atol=0.02)
    np.testing.assert_allclose(value[-1], tree.rewards[row(SOLUTION, tree.vocab)], atol=1e-9)
    assert (low <= value).all() and (value <= high).all()
    if beta < 1:
        assert abs(credit.soft_value(found.value[:1], beta)[0] - exact[0]) > 0.02  # what a 0/1 reward would give


def test_tilted_rewards_give_the_soft_value_of_any_distribution():
    rewards = np.array(LEVELS)
    for beta in (1e-4, 0.1, 2.0):
        tilted = credit.tilted(rewards, beta)
        assert (tilted[0], tilted[-1]) == (0.0, 1.0)
        wanted = 1 + beta * np.log(np.exp((rewards - 1) / beta).mean())
        np.testing.assert_allclose(credit.soft_value(tilted.mean(keepdims=True), beta)[0], wanted, atol=1e-12)
    np.testing.assert_allclose(credit.tilted(torch.tensor(LEVELS), 0.1), credit.tilted(rewards, 0.1), atol=1e-6)


def test_only_some_places_are_tried_and_give_what_all_of_them_give(tree, policy):
    process, solution = tree_process(tree, policy), State(PROMPT, SOLUTION)
    (whole,) = monte_carlo_values(process, [solution], 200)
    (some,) = monte_carlo_values(process, [solution], 200, places=[(0, 2, 4)])
    np.testing.assert_array_equal(some.outcomes, whole.outcomes[[0, 2, 4]])


def test_branches_give_mean_rewards_with_the_intervals_of_mean_rewards(tree, policy):
    process = tree_process(tree, policy)
    starts = [(1, 0), (1, 2)]
    judge = lambda ids: branches.Judged(("x",) * 4, process.reward(PROMPT, ids), "incorrect", "", None)  # noqa: E731
    made = branches.try_starts(process, PROMPT, starts, 256, 1)
    before, after = (branches.tries_of(process, s, found, judge) for s, found in zip(starts, made, strict=True))
    assert before.is_partial and before.successes == (before.outcomes == 1).sum()
    exact = [tabular.plain_values(tree, policy)[0][2][row(s, tree.vocab)] for s in starts]
    for tries, value in zip((before, after), exact, strict=True):
        _, low, high = tries.rate()
        assert low <= value <= high
    gap, low, high = branches.difference(before, after)
    assert low <= exact[1] - exact[0] <= high and low <= gap <= high


# ---- training


def test_a_flipped_reward_counts_what_was_missing():
    assert flipped([0.0, 0.25, 0.5, 1.0], [True, True, False, True]) == [1.0, 0.75, 0.5, 0.0]


def test_where_whole_groups_flip_all_tries_and_the_reference_flip_with_them(with_closeness):
    settings = {"reward_noise_unit": "group", "prompts_per_step": 12}
    for algorithm, extra in (("vineppo", {"vine_rollouts": 4}), ("a_star_po", {"reference_rollouts": 8})):
        (_, true), (_, seen) = (
            Trainer(small(algorithm=algorithm, reward_noise=noise, **extra, **settings))._collect(0)
            for noise in (0.0, 0.4)
        )
        is_flipped = seen.rewards != true.rewards
        assert 0 < is_flipped.sum() < len(is_flipped)
        assert torch.allclose(seen.rewards, torch.where(is_flipped, 1 - true.rewards, true.rewards))
        if algorithm == "vineppo":
            wanted = torch.where(is_flipped[:, None], 1 - true.mc_values, true.mc_values)
            width = [len(r.ids) + 1 for r in true.rollouts]
            for one, other, k in zip(seen.mc_values, wanted, width, strict=True):
                assert torch.allclose(one[:k], other[:k], atol=1e-6)
        else:
            rewards = np.where(is_flipped.numpy()[:, None], 1 - true.reference_rewards, true.reference_rewards)
            np.testing.assert_allclose(seen.reference_rewards, rewards)


def test_v_star_of_a_star_po_is_the_soft_value_of_partial_rewards_at_every_beta(with_closeness):
    record = Trainer(small(algorithm="a_star_po", reference_rollouts=16, beta=0.2)).step()
    trace = next(t for t in record.traces if t.reference_rewards)
    for beta in (0.2, 0.7):
        wanted = beta * np.log(np.exp(np.array(trace.reference_rewards) / beta).mean())
        assert reading.anchor(trace, beta) == pytest.approx(wanted, abs=1e-9)
    assert reading.reference_rate(trace, 0.2) == pytest.approx(trace.reference_rate, abs=1e-6)
    assert trace_rows.from_row(trace_rows.to_row(trace)).reference_rewards == trace.reference_rewards


def test_only_a_group_whose_rewards_are_all_equal_is_dead(with_closeness):
    rewards, groups = np.array([0.1, 0.1, 0.3, 0.1, 1.0, 1.0]), np.array([0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(credit.agrees(rewards, groups), [True, True, False, False, True, True])
    np.testing.assert_allclose(credit.grpo_advantages(rewards, groups, scale_by_std=False), [0, 0, 0.1, -0.1, 0, 0])
    record = Trainer(small(algorithm="dapo", prompts_per_step=8, resample_rounds=1)).step()
    agreeing = np.mean([len(set(t.group_rewards)) == 1 for t in record.traces])
    assert record.metrics["dead_group_share_kept"] == pytest.approx(agreeing)


@pytest.mark.parametrize("algorithm", ["vimpo", "grpo", "rloo", "dapo", "vineppo", "a_star_po", "ppo"])
def test_every_rule_trains_on_partial_rewards(with_closeness, algorithm):
    trainer = Trainer(small(algorithm=algorithm, reward_noise=0.25, vine_rollouts=2))
    while not trainer.done:
        record = trainer.step()
    seen = {round(t.reward, 6) for t in record.traces}
    assert seen - {0.0, 1.0} and all(0 <= reward <= 1 for reward in seen)
    assert all(np.isfinite(value) for value in record.metrics.values())


def test_monte_carlo_of_a_trained_rule_ends_in_the_solutions_own_reward(with_closeness):
    config = small(algorithm="vineppo", vine_rollouts=8)
    trainer, task = Trainer(config), Closeness()
    problems = task.problems("x", "train", 2)
    with models.merged(trainer.policy) as model:
        rollouts, verdicts = attempt(trainer.policy, model, task, problems, 1, 0)
        rewards = [v.reward for v in verdicts]
        values, _ = vine.prefix_values(trainer.policy, model, task, problems, rollouts, rewards, 8, 0.0, 0)
        against, _ = vine.prefix_values(trainer.policy, model, task, problems, rollouts, rewards, 8, 1.0, 0)
    for row_, rollout, reward in zip(range(2), rollouts, rewards, strict=True):
        length = len(rollout.ids)
        assert values[row_, length] == pytest.approx(reward)
        np.testing.assert_allclose(against[row_, :length], 1 - values[row_, :length], atol=1e-6)


def test_held_out_mean_rewards_are_measured_where_parts_are_earned(with_closeness):
    trainer, same = (Trainer(small(eval_prompts=32)) for _ in range(2))
    record = same.step()
    with models.merged(trainer.policy) as model:
        seed = derived_seed(trainer.config.seed, 0, "evaluation")
        earned = evaluate.rewards(trainer.policy, model, Closeness(), "validation", 32, seed)
    for how in ("sampled", "greedy"):
        assert record.metrics[f"{how}_reward"] == pytest.approx(np.mean(earned[how]))
        assert record.metrics[f"{how}_accuracy"] == np.mean([reward == 1 for reward in earned[how]])
    assert record.metrics["sampled_reward"] > record.metrics["sampled_accuracy"]
    whole = Trainer(small(task="chain")).step().metrics
    assert "sampled_accuracy" in whole and not {"sampled_reward", "greedy_reward"} & set(whole)


# ---- what counts as right


def test_part_of_the_reward_is_not_right(with_closeness):
    trace = Trainer(small()).step().traces[0]
    status = str(VerdictStatus.INCORRECT)
    part = dataclasses.replace(trace, reward=0.7, rewards={"verifier": 0.7}, status=status)
    assert not picks.is_correct(part) and picks.judgement(part) == "wrong"
    assert picks.is_correct(dataclasses.replace(part, rewards={"verifier": 1.0}))
