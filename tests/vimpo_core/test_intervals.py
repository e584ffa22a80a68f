"""Intervals over seeds and problems against cases worked out by hand, and their coverage against a known truth."""

import math

import numpy as np
import pytest

from benchmarks import coverage
from vimpo_core import intervals
from vimpo_core.intervals import Z_95, correlation, over_seeds, paired_difference, t_quantile, two_way

T2, T3, T4 = 4.302652729696, 3.182446305284, 2.776445105198
"""97.5% quantiles of Student's t with 2, 3 and 4 degrees of freedom, from printed tables (and scipy.stats.t.ppf)."""


# ---- the quantile


@pytest.mark.parametrize(
    ("df", "expected"),
    [(1, 12.706204736), (2, T2), (3, T3), (4, T4), (4.5, 2.658912347), (9, 2.262157163), (30, 2.042272456)],
)
def test_the_quantile_is_that_of_the_tables(df, expected):
    assert t_quantile(df) == pytest.approx(expected, rel=1e-8)


def test_with_many_degrees_of_freedom_the_quantile_is_the_normal_one():
    assert t_quantile(1e6) == pytest.approx(Z_95, abs=1e-5)


def test_no_degrees_of_freedom_have_no_quantile():
    with pytest.raises(ValueError, match="must be >= 1, got 0"):
        t_quantile(0)


# ---- over seeds


def test_over_seeds_is_the_t_interval_of_the_mean():
    # 1, 2, 3: mean 2, standard deviation 1, so 2 -+ t_2 / sqrt(3).
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.seeds) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)))


def test_numbers_over_seeds_leave_out_what_was_not_measured():
    assert over_seeds([1.0, None, 2.0, 3.0]) == over_seeds([1.0, 2.0, 3.0])
    assert over_seeds([None, None]) is None


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0]])
def test_fewer_than_three_seeds_get_a_mean_and_no_interval(values):
    found = over_seeds(values)
    assert (found.mean, found.low, found.high, found.seeds) == (np.mean(values), None, None, len(values))
    low, high = intervals.bounds_over_seeds(np.array(values)[:, None])
    assert np.isnan([low, high]).all()


def test_an_interval_ends_where_the_number_cannot_be():
    found = over_seeds([0.9, 0.99, 1.0], 0.0, 1.0)
    assert found.high == 1.0 and found.low < 0.9


def test_bounds_of_curves_are_those_of_each_place_alone():
    rows = np.random.default_rng(0).normal(size=(5, 3))
    low, high = intervals.bounds_over_seeds(rows)
    for column, *bounds in zip(rows.T, low, high, strict=True):
        alone = over_seeds(column.tolist())
        assert bounds == pytest.approx([alone.low, alone.high])


# ---- over seeds and problems


def test_outcomes_that_never_vary_have_no_width():
    found = two_way(np.ones((3, 4)))
    assert (found.mean, found.low, found.high, found.seeds) == (1.0, 1.0, 1.0, 3)


def test_where_problems_make_no_difference_it_is_the_t_interval_over_seeds():
    # Seed means 1/4, 1/2, 3/4 on 4 problems, every problem solved by the same share of the seeds only on average:
    # the mean square between problems is below the rest, so all variance is that of the seeds' means.
    outcomes = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1]])
    of_seed, of_problem, of_rest = intervals.mean_squares(outcomes)
    assert (of_seed, of_problem, of_rest) == pytest.approx((0.25, 1 / 9, 13 / 36))
    found, alone = two_way(outcomes), over_seeds([0.25, 0.5, 0.75])
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_where_seeds_make_no_difference_it_is_the_normal_interval_over_problems():
    # Every seed solves the same half of 100 problems: variance 1/4 x 100/99 a problem.
    found = two_way(np.array([[1] * 50 + [0] * 50] * 5))
    half = Z_95 * math.sqrt(0.25 / 99)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_both_variances_add_up_and_the_quantile_lies_between():
    # Effects a_s + b_p and no rest: MS_seed = P var(a), MS_problem = S var(b), so the variances of the mean are var(a)
    # / S and var(b) / P, and with 3 and 4 of them in equal parts the quantile is z + 2^-1.25 (t_2 - z).
    a = np.array([-1.0, 0.0, 1.0])  # variance 1, of the mean 1/3
    b = np.array([-1.0, 1.0, -1.0, 1.0])  # variance 4/3, of the mean 1/3
    found = two_way(a[:, None] + b[None])
    half = (Z_95 + 0.5**1.25 * (T2 - Z_95)) * math.sqrt(2 / 3)
    assert (found.low, found.high) == pytest.approx((-half, half))


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_get_no_interval_over_problems_either(seeds):
    found = two_way(np.random.default_rng(0).random((seeds, 50)) < 0.5)
    assert found.low is None and found.high is None and found.seeds == seeds


def test_a_paired_difference_cancels_what_both_share():
    # The arms solve the same problems but one more in each seed: only problem 7 differs, in every seed alike.
    rng = np.random.default_rng(0)
    second = (rng.random((5, 100)) < 0.5).astype(float)
    second[:, 7] = 0
    first = second.copy()
    first[:, 7] = 1
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(0.01) and found.ahead == 5 and found.seeds == 5
    half = Z_95 * math.sqrt(0.01 * 0.99 / 99)  # one of 100 problems, no other variance
    assert (found.low, found.high) == pytest.approx((0.01 - half, 0.01 + half))


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


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3, 1), (3,)])
def test_outcomes_need_a_seed_and_two_problems(shape):
    with pytest.raises(ValueError, match="a seed and two problems at least"):
        two_way(np.ones(shape))


# ---- correlation


def test_the_correlation_over_ten_rules_has_fishers_interval():
    # tanh(artanh(-.48) -+ 1.96 / sqrt(7)) is -.85 to +.21: such a correlation over ten rules shows nothing.
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 10))
    noise -= noise.mean() + (noise - noise.mean()) @ (x - x.mean()) / ((x - x.mean()) @ (x - x.mean())) * (x - x.mean())
    y = -0.48 * (x - x.mean()) / x.std() + math.sqrt(1 - 0.48**2) * noise / noise.std()
    found = correlation(x, y)
    assert (found.r, found.n) == (pytest.approx(-0.48), 10)
    assert (found.low, found.high) == pytest.approx((-0.852, 0.214), abs=5e-4)


def test_a_correlation_of_what_never_varies_is_none_and_three_pairs_have_no_interval():
    assert correlation([1, 1, 1], [1, 2, 3]) is None
    assert correlation([1, 2, 3], [1, 3, 2]) == intervals.Correlation(pytest.approx(0.5), None, None, 3)
    assert correlation([1, 2, 3, 4], [2, 4, 6, 8]) == intervals.Correlation(1.0, 1.0, 1.0, 4)


# ---- coverage: the bar is .93 to .97; 600 trials leave a standard error of .009


@pytest.mark.parametrize("how", coverage.WORLDS)
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("seeds", "seed_sd"), [(3, 0.0), (3, 0.03), (5, 0.0), (5, 0.01), (5, 0.03), (10, 0.0)])
def test_accuracies_and_differences_are_covered_95_times_in_100(how, paired, seeds, seed_sd):
    row = coverage.accuracy_row(how, paired, seeds, 512, seed_sd, 600, np.random.default_rng(1))
    assert 0.93 - 2 * 0.009 <= row.coverage <= 0.97 + 2 * 0.009


def test_what_was_published_before_is_not_covered_so():
    row = coverage.accuracy_row("sampled", True, 5, 512, 0.0, 600, np.random.default_rng(1))
    assert row.before > 0.985, "seeds and problems drawn again each for itself count the rest three times"
    assert coverage.numbers_row("normal", 3, 1000, np.random.default_rng(1)).before < 0.8


@pytest.mark.parametrize("name", coverage.NUMBERS)
@pytest.mark.parametrize("seeds", coverage.SEEDS)
def test_numbers_over_seeds_are_covered_95_times_in_100(name, seeds):
    row = coverage.numbers_row(name, seeds, 1000, np.random.default_rng(2))
    assert 0.93 - 0.014 <= row.coverage <= 0.97  # two standard errors for the skewed ones


def test_a_correlation_over_ten_rules_is_covered_95_times_in_100():
    assert 0.93 <= coverage.correlation_row(-0.5, 10, 1000, np.random.default_rng(3)).coverage <= 0.97


def test_the_simulated_truths_are_the_means_of_what_is_drawn():
    for draw in coverage.NUMBERS.values():
        values, mean, sd = draw((4000, 10), np.random.default_rng(4))
        assert values.mean() == pytest.approx(mean, abs=4 * sd / 200)
        assert values.std() == pytest.approx(sd, rel=0.03)
    for world in coverage.WORLDS.values():
        solved, truths = coverage.outcomes(world, 40, 10, 256, 0.03, np.random.default_rng(5))
        assert solved.mean(axis=(0, 2, 3)) == pytest.approx(truths, abs=0.015)
