"""Intervals against cases that can be worked out by hand."""

import numpy as np
import pytest

from vimpo_core.experiment.statistics import over_seeds, paired_difference, two_level


def test_outcomes_that_never_vary_have_no_width():
    found = two_level(np.ones((3, 4)))
    assert (found.mean, found.low, found.high, found.seeds) == (1.0, 1.0, 1.0, 3)


def test_seeds_are_drawn_again():
    # One seed solves all, the other none: a draw of two seeds averages 0, 1/2 or 1 with probability 1/4, 1/2, 1/4, so the
    # 2.5% and 97.5% quantiles are 0 and 1. Drawing problems alone would give an interval of no width.
    found = two_level(np.array([[1] * 50, [0] * 50]))
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_problems_are_drawn_again():
    # All seeds solve the same half of 100 problems: the mean of a draw is Binomial(100, 1/2) / 100, whose quantiles are
    # 0.40 and 0.60 (normal: 0.5 -+ 1.96 x 0.05). Drawing seeds alone would give no width. Within 0.01, one problem.
    found = two_level(np.array([[1] * 50 + [0] * 50] * 5))
    assert found.mean == 0.5
    assert found.low == pytest.approx(0.40, abs=0.0101) and found.high == pytest.approx(0.60, abs=0.0101)


def test_width_adds_up_from_both_levels():
    # Effects a_s + b_p with variances of the mean u and v (bootstrap: biased variances over n) give sqrt(u + v).
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 20), rng.normal(0, 1, 30)
    found = two_level(a[:, None] + b[None], draws=20_000)
    expected = 1.96 * np.sqrt(a.var() / 20 + b.var() / 30)
    # 20,000 draws leave about 1% on a 2.5% quantile's distance; the sum of 50 effects is not quite normal.
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.03)


def test_the_same_data_give_the_same_interval():
    outcomes = np.random.default_rng(0).random((3, 20)) < 0.5
    assert two_level(outcomes) == two_level(outcomes)


def test_a_paired_difference_cancels_what_both_share():
    # The arms solve the same problems but one more in each seed: the difference is 1/100 in every seed.
    rng = np.random.default_rng(0)
    second = (rng.random((5, 100)) < 0.5).astype(float)
    second[:, 7] = 0
    first = second.copy()
    first[:, 7] = 1
    found = paired_difference(first, second)
    # Only problem 7 differs; how often it is drawn is about Poisson(1), whose 2.5% and 97.5% quantiles are 0 and 3.
    assert found.mean == pytest.approx(0.01) and found.ahead == 5 and found.seeds == 5
    assert found.low == 0 and found.high == pytest.approx(0.03)


def test_seeds_ahead_counts_neither_ties_nor_defeats():
    first, second = np.array([[1, 1], [1, 0], [0, 0]]), np.array([[1, 0], [0, 1], [1, 0]])
    found = paired_difference(first, second)
    assert found.ahead == 1 and found.mean == 0.0


def test_swapping_the_arms_turns_the_difference_around():
    rng = np.random.default_rng(3)
    a, b = rng.random((4, 30)) < 0.6, rng.random((4, 30)) < 0.5
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))


def test_arms_with_different_seeds_cannot_be_paired():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(3, 3\)"):
        paired_difference(np.ones((2, 3)), np.ones((3, 3)))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_no_outcomes_have_no_mean(shape):
    with pytest.raises(ValueError, match="neither empty"):
        two_level(np.ones(shape))


def test_numbers_over_seeds_leave_out_what_was_not_measured():
    found = over_seeds([1.0, None, 3.0])
    # Two values: a draw averages 1, 2 or 3, the ends with probability 1/4 each.
    assert (found.mean, found.low, found.high, found.seeds) == (2.0, 1.0, 3.0, 2)
    assert over_seeds([None, None]) is None
