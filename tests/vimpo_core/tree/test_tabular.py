"""tabular: the oracle itself, checked against plain enumeration written another way.

Everything is float64 on 81 leaves: rounding is near 1e-15, the bar is 1e-9.
"""

import itertools
import math

import numpy as np
import pytest

from tests.support import oracles
from vimpo_core.tree import tabular

TOL = 1e-9
BETAS = [0.05, 0.2, 1.0]


def close(a, b, tol=TOL):
    np.testing.assert_allclose(a, b, rtol=0, atol=tol, equal_nan=False)


def all_close(a, b, tol=TOL):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        close(x, y, tol)


@pytest.fixture(scope="module")
def tree():
    return tabular.random_tree(vocab=3, depth=4, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def reference(tree):
    return tabular.random_policy(tree, np.random.default_rng(1))


def solutions(tree):
    """(tokens, reward) of every leaf, by counting: the order of rows that the module promises."""
    return list(zip(itertools.product(range(tree.vocab), repeat=tree.depth), tree.rewards, strict=True))


def row(tokens, vocab):
    """A prefix read as a number in base vocab."""
    return sum(token * vocab**i for i, token in enumerate(reversed(tokens)))


def probability(tree, policy, tokens, start=0):
    return math.prod(math.exp(policy[d][row(tokens[:d], tree.vocab), tokens[d]]) for d in range(start, len(tokens)))


def expected_after(tree, policy, prefix, payoff):
    """Mean payoff(reward) of the solutions that continue `prefix` under the policy, by enumeration."""
    return sum(
        probability(tree, policy, tokens, start=len(prefix)) * payoff(reward)
        for tokens, reward in solutions(tree)
        if tokens[: len(prefix)] == prefix
    )


def prefixes(tree):
    for d in range(tree.depth):
        yield from itertools.product(range(tree.vocab), repeat=d)


# ---- values ----


def test_plain_values_of_a_tree_worked_by_hand():
    # Two tokens, depth 2, rewards 1 0 | 0 1. At the root (1/4, 3/4); then (1/2, 1/2) after token 0, (1/5, 4/5) after 1.
    # Q(1) = [[1, 0], [0, 1]]; V(1) = [0.5, 0.8]; Q(0) = [[0.5, 0.8]]; V(0) = 0.125 + 0.6 = 0.725.
    tree = tabular.Tree(2, 2, np.array([1.0, 0.0, 0.0, 1.0]))
    policy = [np.log([[0.25, 0.75]]), np.log([[0.5, 0.5], [0.2, 0.8]])]
    values, q_values = tabular.plain_values(tree, policy)
    all_close(values, [[0.725], [0.5, 0.8]])
    all_close(q_values, [[[0.5, 0.8]], [[1, 0], [0, 1]]])
    close(np.exp(tabular.path_logprobs(policy)), [0.125, 0.125, 0.15, 0.6])
    all_close(
        tabular.kl(policy, [np.log([[0.5, 0.5]]), policy[1]]),
        [[0.25 * math.log(0.5) + 0.75 * math.log(1.5)], [0, 0]],
    )


def test_plain_values_are_mean_rewards_of_all_continuations(tree, reference):
    values, q_values = tabular.plain_values(tree, reference)
    for prefix in prefixes(tree):
        s = row(prefix, tree.vocab)
        close(values[len(prefix)][s], expected_after(tree, reference, prefix, lambda r: r))
        for token in range(tree.vocab):
            close(
                q_values[len(prefix)][s, token],
                expected_after(tree, reference, (*prefix, token), lambda r: r),
            )


@pytest.mark.parametrize("beta", BETAS)
def test_soft_values_are_beta_log_mean_exp_of_the_reward_under_the_reference(tree, reference, beta):
    _, values, _ = tabular.soft_optimum(tree, reference, beta)
    for prefix in prefixes(tree):
        mean_exp = expected_after(tree, reference, prefix, lambda r: math.exp(r / beta))
        close(values[len(prefix)][row(prefix, tree.vocab)], beta * math.log(mean_exp))


def test_soft_values_of_0_1_rewards_need_only_the_success_rate_of_the_reference(tree, reference):
    success, _ = tabular.plain_values(tree, reference)
    for beta in BETAS:
        _, values, _ = tabular.soft_optimum(tree, reference, beta)
        all_close(values, [beta * np.log1p(p * math.expm1(1 / beta)) for p in success])


def test_soft_values_at_tiny_beta_do_not_overflow_and_tend_to_the_best_reward(tree, reference):
    _, values, _ = tabular.soft_optimum(tree, reference, beta=5e-4)  # e^(1/beta) = e^2000
    best, _ = tabular.plain_values(tree, tabular.local_fixed_point(tree, reference, beta=5e-4))
    close(values[0], [1.0], tol=0.01)  # beta log p_ref remains: 5e-4 times a few nats
    close(best[0], [1.0], tol=0.01)


# ---- the two optima ----


@pytest.mark.parametrize("beta", BETAS)
def test_local_fixed_point_is_the_reference_tilted_by_its_own_plain_values(tree, reference, beta):
    policy = tabular.local_fixed_point(tree, reference, beta)
    _, q_values = tabular.plain_values(tree, policy)
    for logp, ref, q in zip(policy, reference, q_values, strict=True):
        tilted = np.exp(ref) * np.exp(q / beta)
        close(np.exp(logp), tilted / tilted.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("beta", BETAS)
def test_each_identity_closes_at_its_own_optimum_and_not_at_the_other(tree, reference, beta):
    local = tabular.local_fixed_point(tree, reference, beta)
    soft, soft_values, soft_q = tabular.soft_optimum(tree, reference, beta)

    def worst(policy, values, q_values, kl_sign):
        return max(
            np.abs(beta * (p - ref) - (q - v[:, None] + kl_sign * beta * k[:, None])).max()
            for p, ref, v, q, k in zip(policy, reference, values, q_values, tabular.kl(policy, reference), strict=True)
        )

    close(worst(local, *tabular.plain_values(tree, local), kl_sign=1), 0)
    close(worst(soft, soft_values, soft_q, kl_sign=0), 0)
    # The wrong ones. 0.08 to 0.46 is the margin of a KL term in the soft identity.
    assert 0.08 < worst(soft, soft_values, soft_q, kl_sign=1) < 0.5
    assert worst(local, *tabular.plain_values(tree, local), kl_sign=0) > 0.08
    assert worst(soft, *tabular.plain_values(tree, soft), kl_sign=1) > 0.02
    assert worst(local, soft_values, soft_q, kl_sign=0) > 0.02


def objective(tree, policy, reference, beta):
    """E[R] - beta KL over whole solutions."""
    logp, ref = tabular.path_logprobs(policy), tabular.path_logprobs(reference)
    return float(np.exp(logp) @ (tree.rewards - beta * (logp - ref)))


@pytest.mark.parametrize("beta", BETAS)
def test_soft_optimum_maximises_reward_minus_kl_and_its_value_is_that_maximum(tree, reference, beta):
    soft, values, _ = tabular.soft_optimum(tree, reference, beta)
    best = objective(tree, soft, reference, beta)
    close(best, values[0][0])
    assert objective(tree, tabular.local_fixed_point(tree, reference, beta), reference, beta) < best - 1e-6
    rng = np.random.default_rng(2)
    for _ in range(20):
        near = [tabular.log_softmax(p + 0.1 * rng.normal(size=p.shape)) for p in soft]
        assert objective(tree, near, reference, beta) < best


def test_the_two_optima_part_as_beta_falls_and_meet_as_it_grows(tree, reference):
    def gap(beta):
        return tabular.path_total_variation(
            tabular.local_fixed_point(tree, reference, beta), tabular.soft_optimum(tree, reference, beta)[0]
        )

    assert gap(0.05) > 0.1
    assert gap(0.2) > 0.05
    assert gap(1.0) < 0.03
    assert gap(100.0) < 1e-4


# ---- the value loss ----


@pytest.mark.parametrize("beta", BETAS)
def test_descent_on_the_value_loss_converges_to_the_local_fixed_point(tree, reference, beta):
    policies = tabular.descent(tree, reference, beta, steps=150)
    policy, losses = policies[-1], [tabular.value_loss(tree, p, reference, beta) for p in policies[:-1]]
    assert tabular.path_total_variation(policy, tabular.local_fixed_point(tree, reference, beta)) < TOL
    assert losses[0] > 0.05 and losses[-1] < 1e-15
    assert tabular.path_total_variation(policy, tabular.soft_optimum(tree, reference, beta)[0]) > 0.005


def test_plain_gradient_descent_goes_to_the_same_place_only_slower(tree, reference):
    beta, policy = 1.0, reference
    for _ in range(1500):
        gradient = oracles.value_loss_gradient(tree, policy, reference, beta)
        policy = [tabular.log_softmax(p - g) for p, g in zip(policy, gradient, strict=True)]
    # At beta 1 the soft optimum is about 0.01 away.
    assert tabular.path_total_variation(policy, tabular.local_fixed_point(tree, reference, beta)) <= 0.003
    assert tabular.path_total_variation(policy, tabular.soft_optimum(tree, reference, beta)[0]) > 0.005


@pytest.mark.parametrize("beta", BETAS)
def test_the_value_loss_and_its_gradient_vanish_at_the_local_fixed_point_alone(tree, reference, beta):
    def steepest(policy):
        return max(np.abs(g).max() for g in oracles.value_loss_gradient(tree, policy, reference, beta))

    local, soft = (
        tabular.local_fixed_point(tree, reference, beta),
        tabular.soft_optimum(tree, reference, beta)[0],
    )
    close(tabular.path_residuals(tree, local, reference, beta), 0)
    close(tabular.value_loss(tree, local, reference, beta), 0)
    close(steepest(local), 0)
    for policy in (reference, soft):
        assert tabular.value_loss(tree, policy, reference, beta) > 1e-5
        assert steepest(policy) > 1e-5


@pytest.mark.parametrize("beta", BETAS)
def test_value_loss_gradient_equals_finite_differences_with_the_rest_held(tree, reference, beta):
    policy = tabular.random_policy(tree, np.random.default_rng(3))
    weights = np.exp(tabular.path_logprobs(policy))
    residuals = tabular.path_residuals(tree, policy, reference, beta)

    def held_loss(logits):
        """1/2 residual^2 with sampling, kappa and baseline as they are at `policy`: only rho moves."""
        moved = [tabular.log_softmax(z) for z in logits]
        rho_change = beta * (tabular.path_logprobs(moved) - tabular.path_logprobs(policy))
        return 0.5 * weights @ (residuals + rho_change) ** 2

    step = 1e-5  # central differences err by step^2 and rounding / step: about 1e-10
    for d, level in enumerate(oracles.value_loss_gradient(tree, policy, reference, beta)):
        for index in np.ndindex(*level.shape):
            ends = []
            for sign in (1, -1):
                logits = [z.copy() for z in policy]
                logits[d][index] += sign * step
                ends.append(held_loss(logits))
            close(level[index], (ends[0] - ends[1]) / (2 * step), tol=1e-8)


@pytest.mark.parametrize("beta", [5e-4, 0.1, 1.0])
def test_at_the_reference_the_gradient_is_reinforce_with_the_mean_reward_as_baseline(tree, reference, beta):
    values, q_values = tabular.plain_values(tree, reference)
    gradient = oracles.value_loss_gradient(tree, reference, reference, beta)
    for g, p, v, q in zip(gradient, tabular.prefix_logprobs(reference), values, q_values, strict=True):
        close(g / beta, -np.exp(p) * (q - v[:, None]))


def test_residuals_have_mean_zero_under_the_policy(tree, reference):
    policy = tabular.random_policy(tree, np.random.default_rng(4))
    residuals = tabular.path_residuals(tree, policy, reference, 0.2)
    close(np.exp(tabular.path_logprobs(policy)) @ residuals, 0)
    assert np.abs(residuals).max() > 0.1


# ---- bookkeeping ----


def test_rows_are_prefixes_read_as_numbers(tree, reference):
    chosen = tabular.along_paths(tree, reference)
    met = tabular.along_paths(tree, tabular.plain_values(tree, reference)[0])
    whole = tabular.path_logprobs(reference)
    assert chosen.shape == met.shape == (81, 4)
    for y, (tokens, _) in enumerate(solutions(tree)):
        close(whole[y], math.log(probability(tree, reference, tokens)))
        close(chosen[y], [reference[d][row(tokens[:d], 3), tokens[d]] for d in range(4)])
        close(met[y], [tabular.plain_values(tree, reference)[0][d][row(tokens[:d], 3)] for d in range(4)])


def test_path_total_variation_is_half_the_summed_difference():
    # Solutions (0.5, 0.5) against (0.2, 0.8): 1/2 (0.3 + 0.3).
    p, q = [np.log([[0.5, 0.5]])], [np.log([[0.2, 0.8]])]
    close(tabular.path_total_variation(p, q), 0.3)
    assert tabular.path_total_variation(p, p) == 0


def test_random_policies_are_normalised_and_scale_0_is_uniform(tree):
    for level in tabular.random_policy(tree, np.random.default_rng(5)):
        close(np.exp(level).sum(axis=1), 1)
    all_close(
        tabular.random_policy(tree, np.random.default_rng(5), scale=0.0),
        [np.full((3**d, 3), -math.log(3)) for d in range(4)],
    )


def test_a_tree_with_the_wrong_number_of_rewards_is_refused():
    with pytest.raises(ValueError, match=r"needs 81 rewards, got shape \(80,\)"):
        tabular.Tree(3, 4, np.zeros(80))


# ---- the rho-only loss ----


@pytest.mark.parametrize("beta", BETAS)
def test_the_rho_only_loss_and_its_gradient_vanish_at_the_soft_optimum_alone(tree, reference, beta):
    def steepest(policy):
        gradient = oracles.value_loss_gradient(tree, policy, reference, beta, with_kappa=False)
        return max(np.abs(g).max() for g in gradient)

    soft = tabular.soft_optimum(tree, reference, beta)[0]
    close(tabular.path_residuals(tree, soft, reference, beta, with_kappa=False), 0)
    close(tabular.value_loss(tree, soft, reference, beta, with_kappa=False), 0)
    close(steepest(soft), 0)
    for policy in (reference, tabular.local_fixed_point(tree, reference, beta)):
        assert tabular.value_loss(tree, policy, reference, beta, with_kappa=False) > 1e-5
        assert steepest(policy) > 1e-5


def test_rho_only_residuals_by_enumeration(tree, reference):
    beta, policy = 0.2, tabular.random_policy(tree, np.random.default_rng(6))
    open_ends, mass = [], []
    for tokens, reward in solutions(tree):
        p, r = (probability(tree, which, tokens) for which in (policy, reference))
        open_ends.append(beta * math.log(p / r) - reward)
        mass.append(p)
    mean = sum(p * gap for p, gap in zip(mass, open_ends, strict=True))
    found = tabular.path_residuals(tree, policy, reference, beta, with_kappa=False)
    close(found, [gap - mean for gap in open_ends])
    # The mean left out is -(E[R] - beta KL(path)), the anchor that the docstring names.
    expected = sum(p * reward for p, (_, reward) in zip(mass, solutions(tree), strict=True))
    path_kl = sum(
        p * math.log(p / probability(tree, reference, tokens))
        for p, (tokens, _) in zip(mass, solutions(tree), strict=True)
    )
    close(-mean, expected - beta * path_kl)


@pytest.mark.parametrize("beta", [0.05, 0.2])
@pytest.mark.parametrize("with_kappa", [True, False])
def test_each_descent_reaches_its_own_optimum_and_stays_away_from_the_other(beta, with_kappa):
    # Seed 2: the optima are 0.27 and 0.25 apart at these betas.
    rng = np.random.default_rng(2)
    tree = tabular.random_tree(3, 3, rng, success_share=0.4)
    reference = tabular.random_policy(tree, rng)
    own, other = (
        tabular.local_fixed_point(tree, reference, beta),
        tabular.soft_optimum(tree, reference, beta)[0],
    )
    if not with_kappa:
        own, other = other, own
    policies = tabular.descent(tree, reference, beta, 150, with_kappa=with_kappa)
    policy = policies[-1]
    losses = [tabular.value_loss(tree, p, reference, beta, with_kappa) for p in policies[:-1]]
    assert tabular.path_total_variation(policy, own) < TOL  # the bar is 0.01
    assert tabular.path_total_variation(policy, other) > 0.05
    assert losses[0] > 0.05 and losses[-1] < 1e-15


def test_a_constant_anchor_changes_the_rho_only_loss_and_not_its_gradient(tree, reference):
    """Anchored at E[R] (as a group mean is), the loss ends at 1/2 (beta KL)^2 and the policy at the same place."""
    beta = 0.2
    soft, values, _ = tabular.soft_optimum(tree, reference, beta)
    shifted = tabular.plain_values(tree, soft)[0][0] - values[0]  # E[R] - V_soft = beta KL(path)
    residuals = tabular.path_residuals(tree, soft, reference, beta, with_kappa=False) + shifted
    expected = tabular.plain_values(tabular.Tree(3, 4, residuals), soft)
    for v, q in zip(*expected, strict=True):
        close(q - v[:, None], 0)
    path_kl = tabular.along_paths(tree, tabular.kl(soft, reference)).sum(axis=1)
    mean_kl = np.exp(tabular.path_logprobs(soft)) @ path_kl
    close(0.5 * np.exp(tabular.path_logprobs(soft)) @ residuals**2, 0.5 * (beta * mean_kl) ** 2)
    assert 0.5 * (beta * mean_kl) ** 2 > 1e-3


@pytest.mark.parametrize("beta", BETAS)
def test_implied_values_are_each_optimums_own_values_and_end_at_the_residual(tree, reference, beta):
    local = tabular.local_fixed_point(tree, reference, beta)
    soft, soft_values, _ = tabular.soft_optimum(tree, reference, beta)
    implied = tabular.implied_values(tree, local, reference, beta)
    all_close(implied, [*tabular.plain_values(tree, local)[0], tree.rewards])
    implied = tabular.implied_values(tree, soft, reference, beta, with_kappa=False)
    all_close(implied, [*soft_values, tree.rewards])
    policy = tabular.random_policy(tree, np.random.default_rng(7))
    for with_kappa in (True, False):
        implied = tabular.implied_values(tree, policy, reference, beta, with_kappa)
        residuals = tabular.path_residuals(tree, policy, reference, beta, with_kappa)
        close(implied[-1] - tree.rewards, residuals)


def test_a_descent_starts_at_the_reference_and_holds_every_policy(tree, reference):
    policies = tabular.descent(tree, reference, 0.2, steps=3)
    assert len(policies) == 4 and policies[0] is reference
    for before, same in zip(policies, tabular.descent(tree, reference, 0.2, steps=2), strict=False):
        all_close(before, same)
    assert tabular.path_total_variation(policies[2], policies[3]) > 1e-3


# ---- groups of G solutions


@pytest.fixture(scope="module")
def small_tree():
    """9 leaves: 81 groups of two, 729 of three. Below every first token some solutions are right."""
    return tabular.Tree(3, 2, np.array([1.0, 0, 0, 0, 1, 0, 1, 1, 0]))


@pytest.fixture(scope="module")
def small_reference(small_tree):
    return tabular.random_policy(small_tree, np.random.default_rng(6))


def largest(levels):
    return max(np.abs(level).max() for level in levels)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("beta", [0.2, 1.0])
def test_descent_on_the_group_mean_rests_at_the_fixed_point_of_beta_g_over_g_minus_1(
    small_tree, small_reference, beta, size
):
    place = small_tree, small_reference
    shrunk, plain = (tabular.local_fixed_point(*place, b) for b in (beta * size / (size - 1), beta))
    assert largest(oracles.group_value_loss_gradient(small_tree, shrunk, small_reference, beta, size)) < TOL
    assert largest(oracles.group_value_loss_gradient(small_tree, plain, small_reference, beta, size)) > 1e-4


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("beta", [0.2, 1.0])
def test_descent_on_the_leave_one_out_mean_rests_at_the_fixed_point_of_beta(small_tree, small_reference, beta, size):
    shrunk, plain = (
        tabular.local_fixed_point(small_tree, small_reference, b) for b in (beta * size / (size - 1), beta)
    )
    gradient = [
        oracles.group_value_loss_gradient(small_tree, p, small_reference, beta, size, "leave_one_out")
        for p in (plain, shrunk)
    ]
    assert largest(gradient[0]) < TOL and largest(gradient[1]) > 1e-4


@pytest.mark.parametrize("size", [2, 4, 8])
def test_at_that_fixed_point_delta_is_g_minus_1_over_g_of_q_minus_v(tree, reference, size):
    beta = 0.2
    policy = tabular.local_fixed_point(tree, reference, beta * size / (size - 1))
    values, q_values = tabular.plain_values(tree, policy)
    kl = tabular.kl(policy, reference)
    for d in range(tree.depth):
        delta = beta * (policy[d] - reference[d] - kl[d][:, None])
        close(delta, (size - 1) / size * (q_values[d] - values[d][:, None]))


def test_groups_give_the_exact_gradient_up_to_the_share_of_the_solution_itself(small_tree, small_reference):
    """At pi = pi_ref the residual is baseline - R: the group mean shrinks it by (G - 1) / G, the leave-one-out mean
    does not.
    """
    place = small_tree, small_reference, small_reference, 0.2
    exact = oracles.value_loss_gradient(*place)
    all_close(oracles.group_value_loss_gradient(*place, 3), [2 / 3 * g for g in exact])
    all_close(oracles.group_value_loss_gradient(*place, 3, "leave_one_out"), exact)
