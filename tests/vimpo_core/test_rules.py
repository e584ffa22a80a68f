"""family: what each rule credits, how the rules reduce to each other, and that the shown weights are the trained
gradients.

Float64 throughout; 1e-9 is the project's bar.
"""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import torch

from vimpo_core import credit, losses, rules
from vimpo_core.config import TrainConfig
from vimpo_core.learning import objective
from vimpo_core.learning.objective import Experience
from vimpo_core.lm.scores import Batch, Scores
from vimpo_core.paths import ROOT
from vimpo_core.rules import RULES, SLOTS, Reach, Sampled, Scale, Surrogate, weights
from vimpo_core.tree import tabular, two_optima

TOL = 1e-9
BUDGET = 9
ALL_RULES = pytest.mark.parametrize("key", RULES)


def close(a, b, tol=TOL):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tol, equal_nan=False)


def make_sampled(seed=0, groups=3, size=4, length=6) -> Sampled:
    """A ragged batch of whole groups: the first tokens of a row are sampled, none is empty."""
    rng = np.random.default_rng(seed)
    rows = groups * size
    mask = np.arange(length)[None, :] < rng.integers(1, length + 1, size=rows)[:, None]
    logprobs = np.where(mask, -rng.exponential(1.0, (rows, length)), 0.0)
    rewards = rng.integers(0, 2, rows).astype(float)
    mc_values = rng.random((rows, length + 1))
    return Sampled(
        logprobs=logprobs,
        ref_logprobs=np.where(mask, logprobs + rng.normal(scale=0.5, size=(rows, length)), 0.0),
        kl=np.where(mask, rng.exponential(0.2, (rows, length)), 0.0),
        completion_mask=mask,
        rewards=rewards,
        group_ids=np.repeat(np.arange(groups), size),
        critic_values=np.where(mask, rng.random((rows, length)), 0.0),
        mc_values=mc_values,
        entropy=np.where(mask, rng.exponential(0.5, (rows, length)), 0.0),
        collision=np.where(mask, np.exp(logprobs) ** 2 + rng.random((rows, length)) * np.exp(logprobs), 0.0),
        reference_rate=np.repeat(rng.integers(0, 9, groups) / 8, size),
    )


def in_torch(sampled: Sampled) -> Sampled:
    return Sampled(
        **{f.name: torch.from_numpy(np.array(getattr(sampled, f.name))) for f in dataclasses.fields(sampled)}
    )


def trained_weights(key, sampled: Sampled, config: TrainConfig) -> np.ndarray:
    """-dL/dlogprob by autograd, of the loss that trains, at the policy that sampled."""
    t = in_torch(sampled)
    config = dataclasses.replace(config, algorithm=key)
    measured = Scores(t.logprobs, t.ref_logprobs, t.kl, t.entropy, top_k_kl=t.kl, collision=t.collision)
    batch = Batch(None, None, None, torch.zeros_like(t.completion_mask, dtype=torch.long), t.completion_mask)
    experience = Experience(
        batch=batch,
        scores=measured,
        old_logprobs=t.logprobs,
        rewards=t.rewards,
        group_ids=t.group_ids,
        problems=[],
        rollouts=[],
        verdicts=[],
        token_budget=BUDGET,
        tokens_sampled=0,
        critic_values=t.critic_values,
        mc_values=t.mc_values,
        reference_rate=t.reference_rate,
    )
    logprobs = t.logprobs.clone().requires_grad_()
    objective.loss(config, experience, measured, logprobs)[0].backward()
    return -logprobs.grad.numpy()


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


# ---- the registry


def test_the_rules_that_can_be_chosen_are_those_declared_in_their_order():
    assert TrainConfig.__dataclass_fields__["algorithm"].metadata["choices"] == tuple(RULES)


@ALL_RULES
def test_a_rule_says_all_that_a_reader_asks_for(key):
    rule = RULES[key]
    assert tuple(rule.terms) == tuple(SLOTS) and all(rule.terms.values())
    assert rule.name and rule.paper and rule.formula and rule.latex and rule.differs.endswith(".")
    assert set(rule.settings) <= {f.name for f in dataclasses.fields(TrainConfig)}


@ALL_RULES
def test_a_rule_that_says_every_token_alike_credits_them_alike_and_no_other_does(key):
    sampled = make_sampled()
    found = RULES[key].credit(sampled, TrainConfig())
    spread = [np.ptp(row[mask]) for row, mask in zip(found, sampled.completion_mask, strict=True)]
    assert (max(spread) < 1e-6) == (RULES[key].reach is Reach.EVERY_TOKEN)


@ALL_RULES
def test_a_signal_that_compares_with_the_group_is_one_that_another_solutions_reward_moves(key):
    sampled = make_sampled()
    others = dataclasses.replace(sampled, rewards=np.append(1 - sampled.rewards[:1], sampled.rewards[1:]))
    before, after = (RULES[key].credit(s, TrainConfig())[1:] for s in (sampled, others))
    assert bool(np.abs(after - before).max() > 1e-6) == RULES[key].signal.compares_group


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule.advantages is not None])
def test_advantages_are_credit_scaled_as_the_rule_says(key):
    sampled, mask = make_sampled(), make_sampled().completion_mask
    found = RULES[key].credit(sampled, TrainConfig())
    spreads = np.repeat([sampled.rewards[i : i + 4].std(ddof=1) + 1e-4 for i in range(0, 12, 4)], 4)
    expected = {
        Scale.NONE: found,
        Scale.GROUP_SPREAD: found / spreads[:, None],
        Scale.WHITENED: np.where(mask, (found - found[mask].mean()) / found[mask].std(ddof=1), 0),
    }[RULES[key].scale]
    found = RULES[key].advantages(sampled, TrainConfig())
    close(found, expected, 1e-5)  # whitening adds 1e-8 to the variance


@ALL_RULES
def test_a_rule_without_an_actor_says_so_in_every_slot(key):
    rule = RULES[key]
    assert (rule.surrogate is Surrogate.NONE) == (rule.advantages is None)
    assert rule.terms["average"].startswith("c_A") == bool(rule.value and rule.advantages)


# ---- the shown weights are the trained gradients


SWITCHES = [
    {},
    {"value_loss": "huber", "huber_delta": 0.1},
    {"value_loss": "normalised"},
    {"actor_coef_rule": "adaptive"},
    {"baseline": "leave_one_out"},
    {"cap_v0": 0.3},
    {"cap_v0": 0.3, "baseline": "leave_one_out", "value_loss": "normalised"},
    {"loss_average": "solutions"},
    {"gae_lambda": 0.5},
    {"kl_estimator": "k3"},
    {"kl_estimator": "k2"},
]


@ALL_RULES
@pytest.mark.parametrize("settings", SWITCHES, ids=str)
def test_the_weights_are_minus_the_gradient_of_the_loss_that_trains(key, settings):
    sampled, config = make_sampled(1), TrainConfig(algorithm=key, beta=0.3, actor_coef=0.2, **settings)
    kl = rules.kappa_kl(config, sampled.logprobs, sampled.ref_logprobs, sampled.kl)
    shown = weights(key, dataclasses.replace(sampled, kl=kl), config, BUDGET)
    assert np.abs(shown).max() > 1e-6
    close(shown, trained_weights(key, sampled, config), 1e-8)  # whitening divides by a root: two digits go


@ALL_RULES
def test_the_weights_are_the_same_for_numpy_and_torch(key):
    sampled, config = make_sampled(2), TrainConfig(algorithm=key)
    close(weights(key, sampled, config, BUDGET), weights(key, in_torch(sampled), config, BUDGET).numpy())


@ALL_RULES
def test_padding_carries_no_credit_and_no_weight(key):
    sampled, config = make_sampled(3), TrainConfig(algorithm=key)
    outside = ~sampled.completion_mask
    assert not RULES[key].credit(sampled, config)[outside].any()
    assert not weights(key, sampled, config, BUDGET)[outside].any()


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("ppo", "critic_values"),
        ("otb", "collision"),
        ("a_star_po", "reference_rate"),
        ("grpo_entropy", "entropy"),
    ],
)
def test_a_rule_whose_extra_array_was_not_measured_says_which(key, array):
    sampled = dataclasses.replace(make_sampled(), **{array: None})
    with pytest.raises(ValueError, match=f"needs {array}, which was not measured"):
        weights(key, sampled, TrainConfig(algorithm=key), BUDGET)


# ---- reduces to


def test_dr_grpo_is_grpo_without_spread_and_length():
    sampled, config = make_sampled(4), TrainConfig()
    spread = np.array([sampled.rewards[sampled.group_ids == g].std(ddof=1) + 1e-4 for g in sampled.group_ids])
    lengths = sampled.completion_mask.sum(1)
    published = weights("grpo", sampled, dataclasses.replace(config, loss_average="solutions"), BUDGET)
    close(published * (spread * lengths)[:, None] / BUDGET, weights("dr_grpo", sampled, config, BUDGET))


def test_dapo_is_grpo_once_its_groups_are_drawn():
    sampled, config = make_sampled(5), TrainConfig()
    close(weights("dapo", sampled, config, BUDGET), weights("grpo", sampled, config, BUDGET))


def test_rloo_is_the_group_baseline_times_g_over_g_minus_1():
    sampled, config = make_sampled(6), TrainConfig()
    close(
        weights("rloo", sampled, config, BUDGET),
        4 / 3 * weights("reinforce_baseline", sampled, config, BUDGET),
    )


def test_reinforce_with_a_baseline_is_reinforce_minus_the_group_mean():
    sampled, config = make_sampled(7), TrainConfig()
    mean = credit.on_every_token(credit.group_mean(sampled.rewards, sampled.group_ids), sampled.completion_mask)
    close(RULES["reinforce_baseline"].credit(sampled, config), RULES["reinforce"].credit(sampled, config) - mean)


def test_dr_grpo_points_where_reinforce_with_the_group_baseline_does():
    sampled, config = make_sampled(8), TrainConfig()
    close(
        BUDGET * weights("dr_grpo", sampled, config, BUDGET),
        weights("reinforce_baseline", sampled, config, BUDGET),
    )


def test_the_three_rules_that_are_one_with_one_update_a_batch_say_so():
    sampled, config = make_sampled(25), TrainConfig()
    first, *others = (weights(key, sampled, config, BUDGET) for key in ("reinforce_baseline", "rloo", "dr_grpo"))
    for other in others:
        assert cosine(first, other) == pytest.approx(1, abs=1e-12)
    saying = {key for key, rule in RULES.items() if "are one rule" in rule.differs}
    assert saying == {"reinforce_baseline", "rloo", "dr_grpo"}


def test_ppo_with_lambda_1_and_a_critic_that_knows_the_group_mean_is_reinforce_with_baseline():
    sampled, config = make_sampled(9), TrainConfig(algorithm="ppo", gae_lambda=1.0)
    mean = credit.group_mean(sampled.rewards, sampled.group_ids)
    constant = dataclasses.replace(sampled, critic_values=credit.on_every_token(mean, sampled.completion_mask))
    close(RULES["ppo"].credit(constant, config), RULES["reinforce_baseline"].credit(sampled, config))


def test_ppo_with_lambda_0_and_monte_carlo_values_as_critic_is_vineppo():
    sampled, config = make_sampled(10), TrainConfig(algorithm="ppo", gae_lambda=0.0)
    values = sampled.mc_values.copy()
    lengths = sampled.completion_mask.sum(1)
    values[np.arange(len(values)), lengths] = sampled.rewards  # nothing remains after the end
    same = dataclasses.replace(
        sampled, critic_values=np.where(sampled.completion_mask, values[:, :-1], 0), mc_values=values
    )
    close(RULES["ppo"].credit(same, config), RULES["vineppo"].credit(same, config))


def test_vimpo_without_an_actor_is_its_value_loss_alone():
    sampled = make_sampled(11)
    close(
        weights("vimpo", sampled, TrainConfig(actor_coef=0.0), BUDGET),
        weights("vimpo_value", sampled, TrainConfig(), BUDGET),
    )


@pytest.mark.parametrize("key", ["vimpo_value", "vimpo_soft"])
def test_at_small_beta_the_value_loss_is_parallel_to_reinforce_with_the_group_mean(key):
    sampled, config = make_sampled(12), TrainConfig(beta=1e-5, actor_coef=0.0)
    ours, theirs = (
        weights(key, sampled, config, BUDGET),
        weights("reinforce_baseline", sampled, config, BUDGET),
    )
    if key == "vimpo_soft":  # its baseline tends to the best reward of the group, not to the mean
        best = np.array([sampled.rewards[sampled.group_ids == g].max() for g in sampled.group_ids])
        theirs = credit.on_every_token(sampled.rewards - best, sampled.completion_mask) / len(sampled.rewards)
    assert cosine(ours, theirs) >= 0.999


def test_soft_vimpo_is_vimpo_with_the_kl_set_to_0_but_for_its_baseline():
    sampled, config = make_sampled(13), TrainConfig(beta=0.3)
    without = dataclasses.replace(sampled, kl=0 * sampled.kl)
    close(RULES["vimpo_soft"].credit(sampled, config), RULES["vimpo"].credit(without, config))


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule.value])
def test_a_huber_loss_with_room_for_every_residual_is_the_square(key):
    sampled, wide = make_sampled(14), TrainConfig(value_loss="huber", huber_delta=10.0)
    close(weights(key, sampled, wide, BUDGET), weights(key, sampled, TrainConfig(), BUDGET))


def test_the_normalised_value_loss_is_the_square_over_the_mean_square_of_its_target():
    sampled = make_sampled(15)
    target = sampled.rewards - credit.group_mean(sampled.rewards, sampled.group_ids)
    normal = TrainConfig(value_loss="normalised")
    close(
        weights("vimpo_value", sampled, normal, BUDGET) * (target**2).mean(),
        weights("vimpo_value", sampled, TrainConfig(), BUDGET),
    )


def test_an_adaptive_actor_pulls_by_its_share_of_the_value_losss_pull():
    sampled, config = make_sampled(16), TrainConfig(actor_coef=0.25, actor_coef_rule="adaptive")
    value = weights("vimpo_value", sampled, config, BUDGET)
    actor = weights("vimpo", sampled, config, BUDGET) - value
    assert np.linalg.norm(actor) == pytest.approx(0.25 * np.linalg.norm(value))


def test_an_adaptive_actor_is_silent_before_learning():
    sampled = make_sampled(17)
    same = dataclasses.replace(sampled, ref_logprobs=sampled.logprobs, kl=0 * sampled.kl)
    adaptive = TrainConfig(actor_coef_rule="adaptive")
    close(weights("vimpo", same, adaptive, BUDGET), weights("vimpo_value", same, adaptive, BUDGET))


# ---- A*-PO, on trees where everything is exact

TREES = [two_optima.example(3, 3, seed) for seed in range(4)]


def expected_gradient(tree, policy, reference, beta, rate):
    """E_pi of A*-PO's gradient in the logits: [vocab^d, vocab] each depth, from the lab's own residual."""
    mask = np.ones((tree.rewards.size, tree.depth), dtype=bool)
    logprobs, ref_logprobs = (tabular.along_paths(tree, levels) for levels in (policy, reference))
    sampled = Sampled(
        logprobs,
        ref_logprobs,
        0 * logprobs,
        mask,
        tree.rewards,
        np.zeros(tree.rewards.size, int),
        reference_rate=np.full(tree.rewards.size, rate),
    )
    residual, _ = rules.residual(RULES["a_star_po"], sampled, TrainConfig(beta=beta))
    of_paths = tabular.Tree(tree.vocab, tree.depth, residual)
    values, chosen = tabular.plain_values(of_paths, policy)
    reached = tabular.prefix_logprobs(policy)
    return [beta * np.exp(p) * (q - v[:, None]) for p, v, q in zip(reached, values, chosen, strict=True)], residual


@pytest.mark.parametrize("place", range(len(TREES)))
@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_with_v_star_exact_a_star_po_rests_at_the_soft_optimum_and_not_at_the_local_fixed_point(place, beta):
    tree, reference = TREES[place]
    rate = tabular.plain_values(tree, reference)[0][0][0]
    soft, values, _ = tabular.soft_optimum(tree, reference, beta)
    close(credit.soft_value(np.array([rate]), beta), values[0])
    gradient, residual = expected_gradient(tree, soft, reference, beta, rate)
    close(residual, 0)  # not only the expected gradient: every solution's own
    assert max(np.abs(level).max() for level in gradient) <= TOL
    local = tabular.local_fixed_point(tree, reference, beta)
    gradient, _ = expected_gradient(tree, local, reference, beta, rate)
    assert max(np.abs(level).max() for level in gradient) > 1e-5


def test_v_star_of_a_few_rates_worked_by_hand():
    # beta 1: log((1 - p) + p e): 0, log(.5 + .5 e) = .6201145069582775, 1.
    close(credit.soft_value(np.array([0.0, 0.5, 1.0]), 1.0), [0, 0.6201145069582775, 1])
    # beta 1e-4: e^{1/beta} overflows, V* does not: 1 + beta log p.
    close(credit.soft_value(np.array([0.0, 0.25]), 1e-4), [0, 1 + 1e-4 * np.log(0.25)])


def test_a_star_po_pushes_every_token_of_a_solution_alike():
    sampled = make_sampled(21)
    found = weights("a_star_po", sampled, TrainConfig(), BUDGET)
    for row, mask in zip(found, sampled.completion_mask, strict=True):
        assert np.ptp(row[mask]) == 0


def test_soft_vimpos_value_loss_is_a_star_pos_where_the_groups_own_rate_is_the_references():
    sampled, config = make_sampled(22), TrainConfig(beta=0.3, actor_coef=0.0)
    own = dataclasses.replace(sampled, reference_rate=credit.group_mean(sampled.rewards, sampled.group_ids))
    close(weights("a_star_po", own, config, BUDGET), weights("vimpo_soft", own, config, BUDGET))


# ---- the optimal token baseline


def test_optimal_token_baseline_worked_example():
    # One group. Solution 0 (R = 1): pi .5, .5 with sum pi^2 .5, .5 -> terms 1 - 1 + .5 = .5, W = .5, 1.
    # Solution 1 (R = 0): pi .8, .5, .5 with .68, .5, .5 -> .08, .5, .5, W = .08, .58, 1.08.
    # B_0 = .5 / .58, B_1 = 1 / 1.58 (+ 1e-8 below); at place 2 solution 1 is alone: 0.
    logprobs = np.log([[0.5, 0.5, 1.0], [0.8, 0.5, 0.5]])
    collision = np.array([[0.5, 0.5, 9.0], [0.68, 0.5, 0.5]])
    mask = np.array([[True, True, False], [True, True, True]])
    place = np.array([1.0, 0.0]), np.array([4, 4]), logprobs, collision, mask
    found = credit.optimal_token_baseline(*place)
    first, second = 0.5 / (0.58 + 1e-8), 1.0 / (1.58 + 1e-8)
    close(found, [[first, second, 0], [first, second, 0]])
    sampled = Sampled(logprobs, logprobs, 0 * logprobs, mask, place[0], place[1], collision=collision)
    close(RULES["otb"].credit(sampled, TrainConfig()), [[1 - first, 1 - second, 0], [-first, -second, 0]])


def test_a_certain_token_has_no_share_in_the_baseline_whatever_rounding_says():
    certain = np.array([[1.0 - 1e-9, 0.5], [1.0 - 1e-9, 0.5]])
    collision = np.array([[1.0 - 3e-9, 0.5], [1.0 - 2.5e-9, 0.5]])  # 1 - 2 pi + sum pi^2 comes out below 0
    found = credit.optimal_token_baseline(
        np.array([1.0, 0.0]), np.array([0, 0]), np.log(certain), collision, np.ones((2, 2), bool)
    )
    close(found, [[0, 0.5], [0, 0.5]], 1e-7)


def enumerated(seed, depth=3):
    """All solutions of a binary tree as one group, each as often as a policy with probabilities in quarters draws
    it.
    """
    rng = np.random.default_rng(seed)
    chances = [rng.integers(1, 4, 2**d) / 4 for d in range(depth)]
    paths = np.array(list(itertools.product((0, 1), repeat=depth)))
    prefixes = [paths[:, :d] @ (2 ** np.arange(d)[::-1]) for d in range(depth)]
    taken = np.stack(
        [np.where(paths[:, d], chances[d][prefixes[d]], 1 - chances[d][prefixes[d]]) for d in range(depth)], 1
    )
    rewards = (rng.random(len(paths)) < 0.5).astype(float)
    rewards[:2] = 0, 1
    often = np.round(taken.prod(1) * 4**depth).astype(int)
    states = np.stack([2**d - 1 + prefixes[d] for d in range(depth)], 1)
    rows = [np.repeat(a, often, axis=0) for a in (taken, rewards, paths, states)]
    assert len(rows[0]) == 4**depth
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_the_optimal_token_baseline_keeps_reinforces_expected_gradient_and_lowers_its_variance(seed):
    taken, rewards, paths, states = enumerated(seed)
    collision = taken**2 + (1 - taken) ** 2
    sampled = Sampled(
        np.log(taken),
        np.log(taken),
        0 * taken,
        np.ones(taken.shape, bool),
        rewards,
        np.zeros(len(rewards), int),
        collision=collision,
    )
    config = TrainConfig()

    def gradient(key):
        """Mean over solutions of sum_t A_t d log pi_t, in the logits of each state: [states, 2]."""
        advantages, total = RULES[key].advantages(sampled, config), np.zeros((7, 2))
        for t in range(3):
            chosen = np.eye(2)[paths[:, t]]
            pi = np.where(chosen == 1, taken[:, t : t + 1], 1 - taken[:, t : t + 1])
            np.add.at(total, states[:, t], advantages[:, t : t + 1] * (chosen - pi) / len(rewards))
        return total

    close(gradient("otb"), gradient("reinforce"))
    squares = np.cumsum(1 - 2 * taken + collision, axis=1)

    def variance(key):
        return (RULES[key].advantages(sampled, config) ** 2 * squares).mean(axis=0)

    assert (variance("otb") <= variance("reinforce_baseline") + TOL).all()
    assert variance("otb").sum() < variance("reinforce_baseline").sum()


# ---- the high-entropy mask


def test_the_high_entropy_mask_worked_example():
    # 10 sampled tokens with entropies .1 to 1; the .8 quantile interpolates to .82, so .9 and 1 are kept; padding never
    # is.
    entropy = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.7, 0.8, 0.9, 1.0, 1.1, 1.2]])
    mask = np.array([[True] * 6, [True] * 4 + [False] * 2])
    kept = credit.high_entropy(entropy, mask, 0.2)
    assert kept.nonzero()[0].tolist() == [1, 1] and kept.nonzero()[1].tolist() == [2, 3]
    assert credit.high_entropy(torch.from_numpy(entropy), torch.from_numpy(mask), 0.2).numpy().tolist() == kept.tolist()
    np.testing.assert_array_equal(credit.high_entropy(entropy, mask, 1.0), mask)
    # Ties with the threshold are kept: of four equal ones all.
    assert credit.high_entropy(np.full((1, 4), 0.3), np.ones((1, 4), bool), 0.2).all()


def test_tokens_below_the_entropy_threshold_have_exactly_no_push_and_the_others_grpos():
    sampled, config = make_sampled(23), TrainConfig(algorithm="grpo_entropy", top_entropy_quantile=0.3)
    kept = credit.high_entropy(sampled.entropy, sampled.completion_mask, 0.3)
    found, grpo = (weights(key, sampled, config, BUDGET) for key in ("grpo_entropy", "grpo"))
    assert 0 < kept.sum() < sampled.completion_mask.sum()
    assert not found[~kept].any() and np.array_equal(found[kept], grpo[kept])
    trained = trained_weights("grpo_entropy", sampled, config)
    assert not trained[~kept].any()


def test_the_high_entropy_mask_with_share_1_is_grpo():
    sampled, config = make_sampled(24), TrainConfig(top_entropy_quantile=1.0)
    close(weights("grpo_entropy", sampled, config, BUDGET), weights("grpo", sampled, config, BUDGET))


# ---- losses


def test_the_bundles_are_the_published_losses():
    sampled = make_sampled(18)
    t, config = in_torch(sampled), TrainConfig(beta=0.3, actor_coef=0.2, gae_lambda=0.9)
    lp = t.logprobs.clone().requires_grad_()
    losses.vimpo_loss(lp, t.logprobs, t.ref_logprobs, t.kl, t.completion_mask, t.rewards, t.group_ids, 0.3, 0.2, 0.9)[
        0
    ].backward()
    close(trained_weights("vimpo", sampled, config), -lp.grad.numpy())
    lp = t.logprobs.clone().requires_grad_()
    losses.grpo_loss(lp, t.logprobs, t.completion_mask, t.rewards, t.group_ids)[0].backward()
    close(trained_weights("grpo", sampled, config), -lp.grad.numpy())


NEW_LOSSES = {
    "soft_value": lambda lp, t: losses.soft_value_loss(
        lp, t.ref_logprobs, t.completion_mask, t.rewards, t.group_ids, 0.3
    ),
    "huber": lambda lp, t: losses.value_loss(
        lp, t.ref_logprobs, t.kl, t.completion_mask, t.rewards, t.group_ids, 0.3, "huber", 0.2
    ),
    "normalised": lambda lp, t: losses.value_loss(
        lp, t.ref_logprobs, t.kl, t.completion_mask, t.rewards, t.group_ids, 0.3, "normalised"
    ),
    "a_star": lambda lp, t: losses.a_star_loss(lp, t.ref_logprobs, t.completion_mask, t.rewards, t.reference_rate, 0.3),
    "policy_gradient": lambda lp, t: losses.policy_gradient_loss(lp, t.critic_values - 0.4, t.completion_mask),
    "by_solution": lambda lp, t: losses.ppo_clip_loss(
        lp, t.ref_logprobs, t.critic_values - 0.4, t.completion_mask, average="solutions"
    ),
    "by_budget": lambda lp, t: losses.ppo_clip_loss(
        lp, t.ref_logprobs, t.critic_values - 0.4, t.completion_mask, average="budget", budget=BUDGET
    ),
    "critic": lambda lp, t: losses.critic_loss(lp, t.critic_values, t.kl, t.completion_mask, 0.2),
}


@pytest.mark.parametrize("name", NEW_LOSSES)
def test_autograd_equals_finite_differences(name):
    t, step = in_torch(make_sampled(19)), 1e-6
    lp = t.logprobs.clone().requires_grad_()
    NEW_LOSSES[name](lp, t).backward()
    for row, column in [(0, 0), (3, 0), (7, 1), (11, 2)]:
        up, down = t.logprobs.clone(), t.logprobs.clone()
        up[row, column] += step
        down[row, column] -= step
        slope = (NEW_LOSSES[name](up, t) - NEW_LOSSES[name](down, t)) / (2 * step)
        close(lp.grad[row, column], slope, 1e-6)  # central differences: error of order step^2 and rounding / step


def test_critic_loss_worked_example():
    # Targets 1. V moved from .2 to .7, clip .2 holds it at .4: the larger error .6 counts. From .9 to 1: error 0 beats
    # .0.
    values, old = torch.tensor([[0.7, 1.0, 9.0]]), torch.tensor([[0.2, 0.9, 0.0]])
    mask = torch.tensor([[True, True, False]])
    close(losses.critic_loss(values, old, torch.ones(1, 3), mask, 0.2), 0.5 * 0.36 / 2, 1e-7)


def test_averages_worked_example():
    # Two solutions of 1 and 3 tokens: 4 tokens; within solutions 1 and 1/3 over 2; budget 5 over 2.
    mask = np.array([[True, False, False], [True, True, True]])
    close(credit.average_weights(mask, "tokens", 5, np.float64), mask / 4)
    close(credit.average_weights(mask, "solutions", 5, np.float64), [[0.5, 0, 0], [1 / 6, 1 / 6, 1 / 6]])
    close(credit.average_weights(mask, "budget", 5, np.float64), mask / 10)
    close(credit.average_weights(mask, "sum", 5, np.float64), mask / 2)
    with pytest.raises(ValueError, match="got 'rows'"):
        credit.average_weights(mask, "rows", 5, np.float64)


# ---- credit


def test_a_critics_terms_add_up_to_the_reward_minus_its_first_value():
    sampled = make_sampled(20)
    terms = credit.critic_td_terms(sampled.critic_values, sampled.completion_mask, sampled.rewards)
    close(terms.sum(1), sampled.rewards - sampled.critic_values[:, 0])


def test_critic_terms_worked_example():
    # V = .5, .6, .2 on three tokens, R = 1: .1, -.4, .8. One token, V = .3, R = 0: -.3.
    values = np.array([[0.5, 0.6, 0.2], [0.3, 7.0, 7.0]])
    mask = np.array([[True, True, True], [True, False, False]])
    close(credit.critic_td_terms(values, mask, np.array([1.0, 0.0])), [[0.1, -0.4, 0.8], [-0.3, 0, 0]])


def test_leave_one_out_worked_example():
    rewards, groups = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0, 0, 0, 1])
    close(credit.leave_one_out_mean(rewards, groups), [0.5, 1.0, 0.5, 0.0])


@pytest.mark.parametrize("beta", [1e-4, 0.05, 1.0, 100.0])
def test_the_soft_baseline_lies_between_the_mean_and_the_best_and_does_not_overflow(beta):
    rewards, groups = np.array([1.0, 0.0, 0.0, 0.0, 0.0]), np.array([0, 0, 0, 1, 1])
    found = credit.soft_baseline(rewards, groups, beta)
    p = 1 / 3
    expected = beta * np.logaddexp(np.log(1 - p), np.log(p) + 1 / beta)
    close(found, [expected] * 3 + [0.0] * 2)
    assert p - TOL <= found[0] <= 1


def test_k3_is_unbiased_k2_is_close_near_zero_and_k1_is_refused():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=6)
    logp = logits - np.logaddexp.reduce(logits)
    near = logits + 0.01 * rng.normal(size=6)
    ref = near - np.logaddexp.reduce(near)
    exact = np.exp(logp) @ (logp - ref)
    close(np.exp(logp) @ credit.sampled_kl(logp, ref, "k3"), exact)
    assert np.exp(logp) @ credit.sampled_kl(logp, ref, "k2") == pytest.approx(exact, rel=0.05)
    with pytest.raises(ValueError, match="identically 0"):
        credit.sampled_kl(logp, ref, "k1")


def test_with_k1_every_credit_would_be_0():
    sampled = make_sampled(21)
    k1 = sampled.logprobs - sampled.ref_logprobs
    terms = credit.td_terms(sampled.logprobs, sampled.ref_logprobs, k1, sampled.completion_mask, 0.3)
    close(terms, 0 * terms)


# ---- the README


def test_the_readme_lists_every_rule_with_its_paper_and_counts_them_right():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| .* \| (.+) \|$", text, re.M)
    assert {key: paper for key, paper in listed if key in RULES} == {k: rule.paper for k, rule in RULES.items()}
    words = {14: "fourteen", 15: "fifteen", 16: "sixteen"}
    assert f"under {words[len(RULES)]} credit rules" in text and "eleven" not in text
