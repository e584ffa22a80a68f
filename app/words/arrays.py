"""What sentences call the arrays of a solution, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence

NAMES = {
    "logprob": "log-probabilities",
    "ref_logprob": "reference log-probabilities",
    "kl": "exact KL",
    "entropy": "entropy",
    "topk": "alternatives",
}
"""Array of a trace -> its name."""


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
