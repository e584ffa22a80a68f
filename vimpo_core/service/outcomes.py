"""Outcomes of rollouts that were tried once and are kept in this process, by whose they are."""

from __future__ import annotations

import functools

from vimpo_core.measure.truth import Outcomes

_KEPT_OUTCOMES = 64
"""Policies whose rollout outcomes are kept: more than the snapshots of a film strip."""
_KEPT_PREFIXES = 5_000
"""Prefixes of a policy whose outcomes are kept: some 3 MB at 256 rollouts."""


def kept_outcomes(who, task, seed) -> Outcomes:
    """Where the outcomes of a policy's rollouts are kept, emptied when they have become too many."""
    kept = _outcomes(who, task, seed)
    if len(kept) > _KEPT_PREFIXES:
        kept.clear()
    return kept


@functools.lru_cache(maxsize=_KEPT_OUTCOMES)
def _outcomes(who, task, seed) -> Outcomes:
    """Outcomes kept for one policy: a run's snapshot by its `identity`, or a reference by its source and that one's files."""
    return {}
