"""95% intervals: for shares, for the difference of two shares, and for anything averaged over solutions. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

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
    margins = np.stack(
        [both + only_first, only_second + neither, both + only_second, only_first + neither]
    ).astype(np.float64)
    scale = np.sqrt(margins.prod(axis=0))
    return np.where(scale > 0, determinant / np.where(scale > 0, scale, 1.0), 0.0)


def bootstrap_bounds(statistic, sums, seed: int, draws: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of a statistic over solutions, drawn again with replacement (Efron 1979).

    Args:
        statistic: what is wanted of the summed columns: float [..., m] -> float [...] or [..., k].
        sums: what each solution adds to each column, float [n, m], n >= 1.
        seed: of the draws; draws: how many.

    Returns:
        low, high: the 2.5% and 97.5% quantiles, of the statistic's shape; draws where it is not finite are left out, and
        nan where none is.
    """
    counts = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    found = np.asarray(statistic(counts @ sums))
    is_defined = np.isfinite(found).any(axis=0)
    found = np.where(np.isfinite(found) | ~is_defined, found, np.nan)
    found = np.where(is_defined, found, 0.0)
    low, high = (np.where(is_defined, q, np.nan) for q in np.nanquantile(found, [0.025, 0.975], axis=0))
    return low, high
