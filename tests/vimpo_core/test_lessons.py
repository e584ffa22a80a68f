"""What chapters 3 and 4 compute: both descents on trees, both anchors of a solution to the last digit, a step's furthest point."""

import numpy as np
import pytest

from vimpo_core import lessons
from vimpo_core.paths import DEMOS
from vimpo_core.runs import RunsDir
from vimpo_core.telescope import reward_against_telescope
from vimpo_core.two_optima import example, two_optima

BETA = 0.1


@pytest.fixture(scope="module")
def solutions():
    """The bundled solutions of the last recorded step, sampled by a trained policy."""
    with RunsDir(DEMOS, read_only=True).open("vimpo-beta-0.1") as store:
        return store.traces(store.trace_steps()[-1])


@pytest.mark.parametrize(
    ("vocab", "depth", "seed", "beta"), [(3, 3, 0, 0.2), (4, 4, 1, 0.02), (2, 2, 2, 0.5)]
)
def test_with_kappa_descent_ends_at_the_local_fixed_point_and_without_at_the_soft_optimum(
    vocab, depth, seed, beta
):
    tree, reference = example(vocab, depth, seed)
    found = lessons.descents(tree, reference, beta)
    optima = two_optima(tree, reference, beta)
    assert found.with_kappa["local"] < 0.01 and found.rho_only["soft"] < 0.01
    assert found.with_kappa["soft"] == pytest.approx(optima.apart, abs=0.01)
    assert found.rho_only["local"] == pytest.approx(optima.apart, abs=0.01)
    assert found.kappa == pytest.approx(optima.local.cost)


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
