"""What chapters 3 and 4 compute: both descents on trees, both anchors of a solution to the last digit, a step's
furthest point.
"""

import numpy as np
import pytest

from tests.support import oracles
from vimpo_core import credit
from vimpo_core.measure.telescope import reward_against_telescope
from vimpo_core.paths import DEMOS
from vimpo_core.runs.folder import RunsDir
from vimpo_core.tree import tabular
from vimpo_core.tree.two_optima import example, two_optima
from vimpo_core.views import lessons

BETA = 0.1


@pytest.fixture(scope="module")
def solutions():
    """The bundled solutions of the last recorded step, sampled by a trained policy."""
    with RunsDir(DEMOS, read_only=True).open("vimpo-beta-0.1") as store:
        return store.traces(store.trace_steps()[-1])


@pytest.mark.parametrize(("vocab", "depth", "seed", "beta"), [(3, 3, 0, 0.2), (4, 4, 1, 0.02), (2, 2, 2, 0.5)])
def test_with_kappa_descent_ends_at_the_local_fixed_point_and_without_at_the_soft_optimum(vocab, depth, seed, beta):
    tree, reference = example(vocab, depth, seed)
    found = lessons.descents(tree, reference, beta)
    optima = two_optima(tree, reference, beta)
    assert found.with_kappa["local"] < 0.01 and found.rho_only["soft"] < 0.01
    assert found.with_kappa["soft"] == pytest.approx(optima.apart, abs=0.01)
    assert found.rho_only["local"] == pytest.approx(optima.apart, abs=0.01)
    assert found.kappa == pytest.approx(optima.local.cost)


@pytest.mark.parametrize(("size", "seed", "beta"), [(2, 0, 0.2), (4, 1, 0.5), (8, 2, 0.2)])
def test_groups_of_g_end_where_beta_g_over_g_minus_1_would_and_credit_is_all_but_one_gth_of_the_advantage(
    size, seed, beta
):
    tree, reference = example(3, 3, seed)
    found = lessons.group_end(tree, reference, beta, size)
    assert found.beta == pytest.approx(beta * size / (size - 1))
    assert found.to_own < 0.003 < found.to_plain, "descent of a few hundred steps"
    assert found.slope == pytest.approx((size - 1) / size, abs=2e-3)
    assert found.floor == pytest.approx(1 / size**0.5, abs=2e-3), "a perfect V leaves this, not 0"


@pytest.mark.parametrize("size", [2, 3])
def test_the_average_target_of_a_group_is_that_of_all_groups_enumerated(size):
    """The shortcut of `group_end` against every group of a small tree, with the residuals that training computes."""
    tree, reference = example(2, 2, 0)
    policy = tabular.local_fixed_point(tree, reference, 0.7)
    smaller = tabular.Tree(tree.vocab, tree.depth, (size - 1) / size * tree.rewards)
    np.testing.assert_allclose(
        tabular.residual_advantages(smaller, policy, reference, 0.3)[0],
        _advantages(tree, policy, oracles.group_residuals(tree, policy, reference, 0.3, size))[0],
        atol=1e-12,
    )


@pytest.mark.parametrize("baseline", ["group_mean", "leave_one_out"])
def test_a_perfect_v_leaves_one_over_root_g_of_its_target_with_either_baseline(baseline):
    """All groups of 3 on a tree of 4 solutions, at the policy where descent ends."""
    size, beta = 3, 0.3
    tree, reference = example(2, 2, 0)
    share = (size - 1) / size if baseline == "group_mean" else 1.0
    policy = tabular.local_fixed_point(tree, reference, beta / share)
    values = tabular.implied_values(tree, policy, reference, beta)
    credits, leaves = values[-1] - values[0], tree.rewards.size
    groups = np.indices((leaves,) * size).reshape(size, -1).T
    likely = np.exp(tabular.path_logprobs(policy))[groups].prod(axis=1)
    means = np.stack([credit.prompt_baseline(tree.rewards[g], np.zeros(size), baseline) for g in groups])
    target = tree.rewards[groups] - means
    residual = credits[groups] - target
    ratio = np.sqrt((likely @ residual**2).sum() / (likely @ target**2).sum())
    assert ratio == pytest.approx(1 / size**0.5, abs=1e-9)


def _advantages(tree, policy, residuals):
    waiting = tabular.Tree(tree.vocab, tree.depth, residuals)
    return [q - v[:, None] for v, q in zip(*tabular.plain_values(waiting, policy), strict=True)]


def test_the_anchors_differ_by_the_residual_at_every_position(solutions):
    for trace in solutions:
        found = lessons.anchored(trace, BETA)
        gaps = np.subtract(found.start, found.end)
        assert len(found.start) == len(trace.text) + 1 and set(gaps) == {found.residual}
        assert found.start[0] == found.baseline and found.end[-1] == found.reward
        assert found.amount(found.reward) == trace.reward


def test_the_furthest_point_has_the_largest_residual(solutions):
    points = reward_against_telescope(solutions, BETA).points
    furthest = max(points, key=lambda point: abs(point.x - point.y))
    assert lessons.furthest_point(solutions, BETA) == furthest.index


def test_the_clearest_fall_is_a_wrong_solution_with_the_least_credit_of_those_whose_residual_shows(solutions):
    index = lessons.clearest_fall(solutions, BETA)
    points = {point.index: point for point in reward_against_telescope(solutions, BETA).points}
    wrong = [i for i, trace in enumerate(solutions) if trace.first_wrong is not None]
    low, high = lessons.CLEAR_RESIDUALS
    clear = [i for i in wrong if low <= abs(points[i].x - points[i].y) <= high]
    assert index in clear and points[index].x == min(points[i].x for i in clear)


def test_without_a_residual_that_shows_the_clearest_fall_is_the_least_credit_of_all(solutions, monkeypatch):
    monkeypatch.setattr(lessons, "CLEAR_RESIDUALS", (100.0, 101.0))
    index = lessons.clearest_fall(solutions, BETA)
    sums = {point.index: point.x for point in reward_against_telescope(solutions, BETA).points}
    assert sums[index] == min(sums[i] for i, trace in enumerate(solutions) if trace.first_wrong is not None)


def test_agreeing_groups_are_those_with_one_reward(solutions):
    agree, groups = lessons.agreeing_groups(solutions)
    means = {trace.group_id: trace.group_mean_reward for trace in solutions}
    assert groups == len(means) and agree == sum(mean in (0.0, 1.0) for mean in means.values())
    assert 0 < agree < groups
