"""Intervals for experiments: seeds and problems are both drawn again. NumPy only.

A run's accuracy would have come out otherwise with another seed and with other problems. So a draw takes S of the S seeds
and P of the P problems with replacement, independently of each other (every seed meets every problem), and averages the
outcomes where they cross. The difference of two arms is the same thing on the differences, seed by seed and problem by
problem. With five seeds such intervals are somewhat too narrow, as bootstrap intervals of few things are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core.intervals import bootstrap_bounds

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% percentile interval, over `seeds` seeds."""

    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Difference(Estimate):
    """First minus second arm; `ahead`: the seeds in which the first one is better."""

    ahead: int


def two_level(outcomes: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Mean of outcomes [S, P] (a row a seed, a column a problem), by the bootstrap of this module.

    Raises:
        ValueError: not two axes, or one of them empty.
    """
    outcomes = np.asarray(outcomes, dtype=np.float64)
    if outcomes.ndim != 2 or 0 in outcomes.shape:
        raise ValueError(f"outcomes must be [seeds, problems], neither empty, got shape {outcomes.shape}.")
    seeds, problems = outcomes.shape
    rng = np.random.default_rng(seed)
    seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    problem_counts = rng.multinomial(problems, np.full(problems, 1 / problems), size=draws)
    means = ((seed_counts @ outcomes) * problem_counts).sum(axis=1) / (seeds * problems)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(outcomes.mean()), float(low), float(high), seeds)


def paired_difference(first: np.ndarray, second: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Difference:
    """Mean of first - second with its interval; both [S, P], row and column s, p of both the same seed and problem.

    Raises:
        ValueError: the shapes differ, or are not as in `two_level`.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"paired outcomes must have one shape, got {first.shape} and {second.shape}. Pass the seeds both have."
        )
    found = two_level(first - second, seed, draws)
    ahead = int(((first - second).mean(axis=1) > 0).sum())
    return Difference(found.mean, found.low, found.high, found.seeds, ahead)


def over_seeds(values: Sequence[float | None], seed: int = 0, draws: int = DRAWS) -> Estimate | None:
    """Mean of one number a seed, the seeds drawn again; values that are None are left out, None if all are."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return None
    low, high = bootstrap_bounds(lambda sums: sums[..., 0] / len(known), known[:, None], seed, draws)
    return Estimate(float(known.mean()), float(low), float(high), len(known))
