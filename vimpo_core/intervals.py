"""95% intervals: of shares, of rewards in [0, 1] and of their differences, of what is averaged over solutions, over
seeds, over seeds and problems, and of a correlation. NumPy only.

`python -m vimpo_core bench coverage` simulates how often those over seeds hold a known truth: .93 to .97 at 3 to 10
seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Z_95 = 1.959963984540054
"""Standard deviations that hold the middle 95% of a normal distribution."""


@dataclass(frozen=True)
class Share:
    """A share k/n with its 95% Wilson interval."""

    mean: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int) -> Share:
    """`wilson_bounds` of one binomial share. Raises ValueError unless 0 <= successes <= n, n >= 1."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"successes must be within 0..n with n >= 1, got {successes} of {n}. Pass counts.")
    low, high = wilson_bounds(successes, n)
    return Share(successes / n, float(low), float(high), n)


def wilson_bounds(successes, n) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval (Wilson 1927) of binomial shares: counts of any shape -> low, high of that shape."""
    p, squared = np.asarray(successes) / n, Z_95**2
    centre = (p + squared / (2 * n)) / (1 + squared / n)
    half = Z_95 / (1 + squared / n) * np.sqrt(p * (1 - p) / n + squared / (4 * n**2))
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)


def difference_bounds(first, second, correlation=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the difference of two shares, second - first, from the intervals of each (Newcombe 1998).

        low = d - sqrt(l2^2 - 2 phi l2 u1 + u1^2),   l2 = p2 - low2,  u1 = high1 - p1;   high likewise

    phi 0 is the method for independent shares (no. 10 of the unpaired paper), `phi_of_pairs` the one for paired
    shares (no. 10 of the paired paper).

    Args:
        first, second: (p, low, high) of each, arrays of one shape; an exact share has low = high = p.
        correlation: phi, scalar or of that shape.
    """
    (p1, low1, high1), (p2, low2, high2) = first, second

    def gap(a, b):
        return np.sqrt(np.maximum(a**2 - 2 * correlation * a * b + b**2, 0.0))

    return p2 - p1 - gap(p2 - low2, high1 - p1), p2 - p1 + gap(high2 - p2, p1 - low1)


def phi_of_pairs(first, second) -> np.ndarray:
    """Correlation of paired outcomes, shrunk by Newcombe's continuity correction; 0 where either side never varies.

    Args:
        first, second: bool [..., n].

    Returns:
        float [...].
    """
    n = first.shape[-1]
    both, neither = (first & second).sum(-1), (~first & ~second).sum(-1)
    only_first, only_second = (first & ~second).sum(-1), (~first & second).sum(-1)
    determinant = (both * neither - only_first * only_second).astype(np.float64)
    determinant = np.where(determinant > 0, np.maximum(determinant - n / 2, 0.0), determinant)
    margins = np.stack([both + only_first, only_second + neither, both + only_second, only_first + neither]).astype(
        np.float64
    )
    scale = np.sqrt(margins.prod(axis=0))
    return np.where(scale > 0, determinant / np.where(scale > 0, scale, 1.0), 0.0)


def mean_bounds(rewards) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of the mean of rewards in [0, 1]: float or bool [..., n] -> low, high [...].

    Wilson's where all of a row are 0 or 1. Else a normal interval after two rewards of 0 and two of 1 were added, as
    Agresti and Coull (1998) do with shares: the spread that was seen counts, and a row that happens to be all the same
    still leaves room for the rare reward that it missed.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    n = rewards.shape[-1]
    mean = (rewards.sum(-1) + 2) / (n + 4)
    half = Z_95 * np.sqrt(((rewards**2).sum(-1) + 2) / (n + 4) - mean**2) / math.sqrt(n + 4)
    low, high = wilson_bounds(rewards.sum(-1), n)
    is_share = all_or_nothing(rewards)
    return np.where(is_share, low, np.maximum(mean - half, 0.0)), np.where(is_share, high, np.minimum(mean + half, 1.0))


def mean_difference_bounds(first, second, exact=(False, False)) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of the mean of second - first, of rewards in [0, 1] paired one with one: [..., n] each -> low, high.

    Newcombe's for paired shares where all of both rows are 0 or 1. Else a normal interval after one difference of -1
    and one of +1 were added, as Bonett and Price (2012) do with paired shares.

    Args:
        exact: whether either side is known and not tried, bool or bool [...]: its own interval has no width.
    """
    first, second = np.asarray(first), np.asarray(second)
    gaps = second.astype(np.float64) - first.astype(np.float64)
    n = gaps.shape[-1]
    mean = gaps.sum(-1) / (n + 2)
    half = Z_95 * np.sqrt(((gaps**2).sum(-1) + 2) / (n + 2) - mean**2) / math.sqrt(n + 2)
    shares = _share_of(first, exact[0]), _share_of(second, exact[1])
    low, high = difference_bounds(shares[0], shares[1], phi_of_pairs(first == 1, second == 1))
    is_share = all_or_nothing(first) & all_or_nothing(second)
    both = np.logical_and(*exact)
    rest = [np.where(both, gaps.mean(-1), np.clip(mean + side * half, -1.0, 1.0)) for side in (-1, 1)]
    return np.where(is_share, low, rest[0]), np.where(is_share, high, rest[1])


def _share_of(rewards, is_exact) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = rewards.mean(-1)
    low, high = wilson_bounds(rewards.sum(-1), rewards.shape[-1])
    return mean, np.where(is_exact, mean, low), np.where(is_exact, mean, high)


def all_or_nothing(rewards) -> np.ndarray:
    """Whether every reward of a row is 0 or 1: [..., n] -> bool [...]."""
    rewards = np.asarray(rewards)
    return ((rewards == 0) | (rewards == 1)).all(-1)


def bootstrap_bounds(statistic, sums, seed: int, draws: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of a statistic over solutions, drawn again with replacement (Efron 1979).

    Args:
        statistic: what is wanted of the summed columns: float [..., m] -> float [...] or [..., k].
        sums: what each solution adds to each column, float [n, m], n >= 1.
        seed: of the draws; draws: how many.

    Returns:
        low, high: the 2.5% and 97.5% quantiles, of the statistic's shape; draws where it is not finite are left out,
            and nan where none is.
    """
    counts = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    found = np.asarray(statistic(counts @ sums))
    is_defined = np.isfinite(found).any(axis=0)
    found = np.where(np.isfinite(found) | ~is_defined, found, np.nan)
    found = np.where(is_defined, found, 0.0)
    low, high = (np.where(is_defined, q, np.nan) for q in np.nanquantile(found, [0.025, 0.975], axis=0))
    return low, high


# ---- over seeds, over seeds and problems

MIN_SEEDS = 3
"""Fewer seeds get no interval: with two it would be 12.7 standard errors to either side and say nothing."""

_SEEDS_WEIGHT = 1.25
"""Power of the seeds' share of the variance in `two_way`. With 1 (Cochran and Cox 1950) the interval of normal numbers
covers up to .971 at 3 seeds, with Welch's degrees of freedom as little as .92; with 1.25 it is .948 to .965."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% interval; low and high are None below `MIN_SEEDS` seeds."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Difference(Estimate):
    """First minus second arm; `ahead`: the seeds in which the first one has the larger mean."""

    ahead: int


@lru_cache(maxsize=256)
def t_quantile(df: float) -> float:
    """97.5% quantile of Student's t with df >= 1 degrees of freedom, not necessarily whole.

        P(|T| < sqrt(df) tan a) = 2 sqrt(df) f(0) int_0^a cos(x)^(df-1) dx,   f the density

    Raises:
        ValueError: df below 1.
    """
    if not df >= 1:
        raise ValueError(f"degrees of freedom must be >= 1, got {df}. An interval needs at least two seeds.")
    nodes, weights = np.polynomial.legendre.leggauss(64)
    at_zero = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(math.pi)
    low, high = 0.0, math.atan(13 / math.sqrt(df))  # df 1 has the largest quantile, 12.7
    for _ in range(60):
        middle = (low + high) / 2
        area = middle / 2 * weights @ np.cos(middle * (nodes + 1) / 2) ** (df - 1)
        low, high = (middle, high) if 2 * at_zero * area < 0.95 else (low, middle)
    return math.sqrt(df) * math.tan(low)


def bounds_over_seeds(rows) -> tuple[np.ndarray, np.ndarray]:
    """95% t interval of each column's mean over seeds: float [S, G] -> low, high [G].

    nan below `MIN_SEEDS` seeds, and where a value is not finite.
    """
    rows = np.asarray(rows, dtype=np.float64)
    if len(rows) < MIN_SEEDS:
        return np.full(rows.shape[1:], np.nan), np.full(rows.shape[1:], np.nan)
    with np.errstate(invalid="ignore"):
        half = t_quantile(len(rows) - 1) * rows.std(axis=0, ddof=1) / math.sqrt(len(rows))
    return rows.mean(axis=0) - half, rows.mean(axis=0) + half


def over_seeds(values: Sequence[float | None], least=-math.inf, most=math.inf) -> Estimate | None:
    """Mean of one number a seed with its t interval, cut to what the number can be.

    Each seed's number must have drawn all that could have come out otherwise: an interval over seeds does not hold the
    choice of problems that all seeds share. Values that are None are left out; None if all are.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = bounds_over_seeds(np.array(known)[:, None])
    return _estimate(float(np.mean(known)), float(high[0] - low[0]) / 2, len(known), least, most)


def two_way(outcomes, least=-math.inf, most=math.inf) -> Estimate:
    """Mean of outcomes [S, P], a row a seed and a column a problem that every seed meets, both drawn at random.

        y_sp = mean + a_s + b_p + e_sp;   MS_seed, MS_problem, MS_rest: mean squares of the analysis of variance
        v_seed = MS_seed / SP,   v_problem = max(0, MS_problem - MS_rest) / SP,   v = v_seed + v_problem
        half width = (z + (v_seed / v)^1.25 (t_{S-1} - z)) sqrt(v)

    v_seed holds the rest too: together they are the variance of the seeds' means about this set of problems, known with
    S - 1 degrees of freedom; that of the problems is known as well as there are many.

    Args:
        least, most: what a mean can be; the interval is cut there.

    Raises:
        ValueError: not two axes, no seed, or fewer than two problems.
    """
    outcomes = np.asarray(outcomes, dtype=np.float64)
    if outcomes.ndim != 2 or len(outcomes) < 1 or outcomes.shape[1] < 2:
        raise ValueError(
            f"outcomes must be [seeds, problems] with a seed and two problems at least, got shape {outcomes.shape}."
        )
    seeds, mean = len(outcomes), float(outcomes.mean())
    if seeds < MIN_SEEDS:
        return Estimate(mean, None, None, seeds)
    of_seed, of_problem, of_rest = mean_squares(outcomes)
    by_seeds = of_seed / outcomes.size
    variance = by_seeds + max(0.0, of_problem - of_rest) / outcomes.size
    weight = (by_seeds / variance) ** _SEEDS_WEIGHT if variance else 0.0
    quantile = Z_95 + weight * (t_quantile(seeds - 1) - Z_95)
    return _estimate(mean, quantile * math.sqrt(variance), seeds, least, most)


def mean_squares(outcomes: np.ndarray) -> tuple[float, float, float]:
    """Mean squares between seeds, between problems, and of the rest, of float [S, P]."""
    seeds, problems = outcomes.shape
    mean = outcomes.mean()
    of_seeds = problems * ((outcomes.mean(axis=1) - mean) ** 2).sum()
    of_problems = seeds * ((outcomes.mean(axis=0) - mean) ** 2).sum()
    rest = max(0.0, ((outcomes - mean) ** 2).sum() - of_seeds - of_problems)
    of_rest = rest / ((seeds - 1) * (problems - 1))
    return float(of_seeds / (seeds - 1)), float(of_problems / (problems - 1)), float(of_rest)


def paired_difference(first, second) -> Difference:
    """Mean of first - second by `two_way`; both [S, P], row and column s, p of both the same seed and problem.

    Raises:
        ValueError: the shapes differ, or are not as in `two_way`.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"paired outcomes must have one shape, got {first.shape} and {second.shape}. Pass the seeds both have."
        )
    found = two_way(first - second, -1.0, 1.0)
    return as_difference(found, (first - second).mean(axis=1))


def as_difference(found: Estimate, gaps) -> Difference:
    """An estimate of the mean of `gaps`, one a seed, with the count of those above 0."""
    return Difference(found.mean, found.low, found.high, found.seeds, sum(gap > 0 for gap in np.asarray(gaps).tolist()))


def _estimate(mean: float, half: float, seeds: int, least: float, most: float) -> Estimate:
    if not math.isfinite(half):
        return Estimate(mean, None, None, seeds)
    return Estimate(mean, max(least, mean - half), min(most, mean + half), seeds)


# ---- of a correlation


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of n independent pairs; low and high are None below 4 pairs."""

    r: float
    low: float | None
    high: float | None
    n: int


def correlation(x, y) -> Correlation | None:
    """Pearson correlation with Fisher's interval, tanh(artanh r -+ 1.96 / sqrt(n - 3)); None where x or y never
    varies.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) < 2 or not (np.ptp(x) and np.ptp(y)):
        return None
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))
    if len(x) < 4:
        return Correlation(r, None, None, len(x))
    with np.errstate(divide="ignore"):
        centre, half = np.arctanh(r), Z_95 / math.sqrt(len(x) - 3)
    return Correlation(r, float(np.tanh(centre - half)), float(np.tanh(centre + half)), len(x))
