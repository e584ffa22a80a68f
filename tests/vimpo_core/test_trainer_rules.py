"""What single rules do besides in training: critics, tries, groups drawn again, flips of groups; and which are one."""

import math

import numpy as np
import pytest
import torch

from tests.support.real import moved, small
from tests.support.trainings import assert_same_record, train
from vimpo_core.lm import models, scores
from vimpo_core.trainer import Trainer, flipped, flips_of


def test_a_critic_is_saved_with_the_run_and_recorded_on_every_token():
    records = train(small(algorithm="ppo", steps=2))
    saved = models.part(models.from_bytes(records[-1].snapshot), models.CRITIC)
    assert set(saved) >= {"hidden.weight", "value.weight"} and saved["value.weight"].abs().max() > 0
    assert not any(t.critic_values.any() for t in records[0].traces)  # untrained it says 0
    assert all(t.critic_values.shape == t.logprob.shape for t in records[-1].traces)
    assert any(t.critic_values.any() for t in records[-1].traces)
    assert {"critic_loss"} <= set(records[0].metrics) and "critic_loss" not in records[-1].metrics


def test_the_critic_learns_without_touching_the_policy():
    config = small(algorithm="ppo", steps=6, learning_rate=1e-6, warmup_steps=0, prompts_per_step=8, critic_updates=8)
    trainer = Trainer(config)
    first = trainer.step()
    again = trainer._collect(0)[1]
    after = trainer.learner.learn(again.critic_states, again.critic_values, again.rewards, again.batch.completion_mask)
    assert after["critic_loss"] < 0.7 * first.metrics["critic_loss"]


def test_monte_carlo_values_are_rates_of_the_tries_and_end_in_the_reward():
    config = small(algorithm="vineppo", vine_rollouts=3, reward_noise=0.3)
    record = Trainer(config).step()
    for t in record.traces:
        assert t.mc_values.shape == (len(t.ids) + 1,) and t.mc_values[-1] == t.reward
        np.testing.assert_allclose(t.mc_values[:-1] * 3, np.round(t.mc_values[:-1] * 3), atol=1e-6)
    assert record.metrics["tokens_sampled"] > sum(len(t.ids) for t in record.traces)


def test_dapo_replaces_groups_that_agree_and_counts_what_it_drew():
    settings = {"prompts_per_step": 12, "group_size": 2, "seed": 3}
    kept = Trainer(small(algorithm="grpo", **settings)).step()
    redrawn = Trainer(small(algorithm="dapo", resample_rounds=4, **settings)).step()
    assert kept.metrics["dead_group_share"] > redrawn.metrics["dead_group_share_kept"]
    assert redrawn.metrics["tokens_sampled"] > sum(len(t.ids) for t in redrawn.traces)
    assert kept.metrics["tokens_sampled"] == sum(len(t.ids) for t in kept.traces)
    alive = {t.group_id for t in kept.traces if 0 < t.group_mean_reward < 1}
    before, after = ({t.group_id: t.prompt_text for t in r.traces if t.group_id in alive} for r in (kept, redrawn))
    assert before == after  # only groups that agreed were replaced


def test_a_star_po_tries_the_reference_on_every_prompt_and_counts_its_tokens():
    config = small(algorithm="a_star_po", reference_rollouts=4, steps=2)
    first, second, _ = train(config)
    for record in (first, second):
        rates = {
            t.group_id: {u.reference_rate for u in record.traces if u.group_id == t.group_id} for t in record.traces
        }
        assert all(len(of) == 1 and of <= {0, 0.25, 0.5, 0.75, 1} for of in rates.values())
        own = sum(len(t.ids) for t in record.traces)
        assert record.metrics["tokens_sampled"] > own + 3 * len(rates)
    for a, b in zip(train(config), (first, second), strict=False):
        assert_same_record(a, b)


def test_the_rate_of_a_star_po_is_that_of_the_reference_and_not_of_the_policy():
    config = small(algorithm="a_star_po", reference_rollouts=64)
    trainer = Trainer(config)
    untrained = trainer._collect(0)[1].reference_rate
    trainer.policy = moved(config)
    assert torch.equal(trainer._collect(0)[1].reference_rate, untrained)


def test_a_careless_grader_judges_the_references_solutions_too():
    truth, flipped = (
        Trainer(small(algorithm="a_star_po", reference_rollouts=128, reward_noise=noise))._collect(0)[1].reference_rate
        for noise in (0.0, 0.5)
    )
    assert (flipped - 0.5).abs().max() < 0.2 and (truth - 0.5).abs().max() > 0.2


def test_where_whole_groups_flip_the_references_rate_flips_with_its_group():
    settings = {
        "algorithm": "a_star_po",
        "reference_rollouts": 8,
        "reward_noise_unit": "group",
        "prompts_per_step": 12,
    }
    (_, true), (_, seen) = (Trainer(small(reward_noise=noise, **settings))._collect(0) for noise in (0.0, 0.4))
    is_flipped = seen.rewards != true.rewards
    assert 0 < is_flipped.sum() < len(is_flipped)
    assert torch.equal(seen.reference_rate, torch.where(is_flipped, 1 - true.reference_rate, true.reference_rate))


@pytest.mark.parametrize("algorithm", ["otb", "vimpo"])
def test_the_sum_of_squares_is_recorded_at_snapshots_and_wherever_the_rule_reads_it(algorithm):
    for record in train(small(algorithm=algorithm, steps=2, snapshot_every=2)):
        is_recorded = algorithm == "otb" or record.snapshot is not None
        assert all((t.collision is not None) == is_recorded for t in record.traces)


def test_the_top_k_estimate_of_kl_lies_between_0_and_the_exact_one():
    policy = moved(small())
    batch = scores.make_batch(
        [models.encode(policy, "1+2+3+4=")], [models.encode(policy, "3+3+4;6+4;10")], policy.pad_id
    )
    exact, few, all_tokens = (scores.score(policy, batch, kl_top_k=k) for k in (1, 3, 1000))
    assert (few.top_k_kl >= 0).all() and (exact.top_k_kl <= few.top_k_kl + 1e-6).all()
    assert (few.top_k_kl <= few.kl + 1e-6).all() and (few.top_k_kl < few.kl - 1e-6).any()
    # float32: 1 - sum p is rounding, about 1e-7, times the log of a ratio of two such numbers.
    np.testing.assert_allclose(all_tokens.top_k_kl.numpy(), all_tokens.kl.numpy(), atol=5e-5)


# ---- whole groups flip, no clipping

FLIPS_OF_SEED_0 = "0000001110010111100000000101000001010000"


def test_with_one_draw_a_group_all_or_none_of_its_rewards_flip_at_the_stated_share():
    groups, size, share = 20_000, 4, 0.25
    rewards = [float(i % 3 == 0) for i in range(groups * size)]
    flips = np.not_equal(flipped(rewards, flips_of(len(rewards), share, "7/flips/3", size)), rewards).reshape(
        groups, size
    )
    assert set(flips.sum(axis=1)) == {0, size}
    assert flips[:, 0].mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / groups))
    assert flips_of(len(rewards), share, "7/flips/3", size) == flips_of(len(rewards), share, "7/flips/3", size)


def test_flips_of_single_solutions_are_what_they_always_were():
    assert "".join(f"{r:.0f}" for r in flipped([0.0] * 40, flips_of(40, 0.25, "0/flips/0"))) == FLIPS_OF_SEED_0


@pytest.mark.parametrize("algorithm", ["vimpo", "dapo"])
def test_whole_groups_flip_in_training_and_what_is_dead_stays_dead(algorithm):
    settings = {"prompts_per_step": 20, "algorithm": algorithm}
    clean = Trainer(small(**settings)).step()
    noisy = Trainer(small(**settings, reward_noise=0.25, reward_noise_unit="group")).step()
    assert [t.prompt_text for t in noisy.traces] == [t.prompt_text for t in clean.traces]
    flips = np.array([t.reward != t.rewards["verifier"] for t in noisy.traces]).reshape(20, 4)
    assert set(flips.sum(axis=1)) == {0, 4}
    assert noisy.metrics["dead_group_share"] == clean.metrics["dead_group_share"]


def test_a_grader_wrong_about_a_group_is_wrong_about_every_try_at_it():
    settings = {"algorithm": "vineppo", "vine_rollouts": 3, "prompts_per_step": 8}
    clean = Trainer(small(**settings)).step()
    noisy = Trainer(small(**settings, reward_noise=0.4, reward_noise_unit="group")).step()
    flips = [t.reward != t.rewards["verifier"] for t in noisy.traces]
    assert 0 < sum(flips) < len(flips)
    for a, b, is_flipped in zip(clean.traces, noisy.traces, flips, strict=True):
        np.testing.assert_allclose(b.mc_values, 1 - a.mc_values if is_flipped else a.mc_values, atol=1e-6)


def adapters_after(steps, algorithm, epsilon, **settings):
    trainer = Trainer(
        small(algorithm=algorithm, steps=steps, warmup_steps=0, reward_noise=0.2, prompts_per_step=6, **settings)
    )
    for group in trainer.optimizer.param_groups:
        group["eps"] = epsilon
    for _ in range(steps):
        trainer.step()
    return torch.cat([tensor.flatten() for tensor in models.adapter_state(trainer.policy).values()])


def test_without_clipping_three_rules_are_one_since_adam_sees_no_factor():
    """R - mean, G / (G - 1) times that, and that over a token budget; GRPO's division by each group's spread is no
    factor.
    """
    base, *others, grpo = (
        adapters_after(4, name, 1e-14, max_grad_norm=0.0) for name in ("reinforce_baseline", "rloo", "dr_grpo", "grpo")
    )
    for other in others:
        assert (other - base).abs().max() < 1e-6
    assert (grpo - base).abs().max() > 1e-3


def test_with_adams_own_epsilon_nearly_all_entries_agree_and_clipping_tells_the_rules_apart():
    """Dr. GRPO's gradient is over a hundred times smaller: entries near Adam's 1e-8 feel it."""
    base, rloo, dr_grpo = (
        adapters_after(4, name, 1e-8, max_grad_norm=0.0) for name in ("reinforce_baseline", "rloo", "dr_grpo")
    )
    assert (rloo - base).abs().max() < 1e-4
    assert ((dr_grpo - base).abs() < 1e-4).float().mean() > 0.99
    clipped = adapters_after(4, "reinforce_baseline", 1e-8, max_grad_norm=0.5)
    assert ((clipped - base).abs() < 1e-4).float().mean() < 0.8


@pytest.mark.parametrize("change", [{"baseline": "leave_one_out"}, {"cap_v0": 0.3}])
@pytest.mark.parametrize("algorithm", ["vimpo", "vimpo_value"])
def test_the_choice_of_baseline_reaches_the_value_loss_that_is_trained_and_recorded(algorithm, change):
    plain, other = (Trainer(small(algorithm=algorithm, prompts_per_step=6, **c)).step().metrics for c in ({}, change))
    assert plain["reward_mean"] == other["reward_mean"] and other["residual_ratio"] == 1.0
    if "baseline" in change:  # R minus the mean of the other three is 4/3 of R minus the group mean
        assert other["value_loss"] == pytest.approx(16 / 9 * plain["value_loss"], rel=1e-5)
    assert other["grad_norm"] > 1.01 * plain["grad_norm"]
