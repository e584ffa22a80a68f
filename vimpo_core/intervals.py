"""Intervals for shares."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A share k/n with its 95% Wilson interval."""

    mean: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int, z: float = 1.959963984540054) -> Share:
    """Wilson score interval of a binomial share (Wilson 1927). Raises ValueError unless 0 <= successes <= n, n >= 1."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"successes must be within 0..n with n >= 1, got {successes} of {n}. Pass counts.")
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Share(p, max(0.0, centre - half), min(1.0, centre + half), n)
