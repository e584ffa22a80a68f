"""What can be read off the solutions of a training step: how far their values move, and whether credit points at the
mistake. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vimpo_core.measure import scorecard
from vimpo_core.solutions import reading
from vimpo_core.types import CreditTrace, known


def of_step(traces: Sequence[CreditTrace], beta: float) -> dict[str, float]:
    """value_range, and mistake_auc where a wrong solution has a known first wrong token; {} where nothing can be read.

    Args:
        traces: solutions of one run, on which it trains.
        beta: in force at the step.
    """
    delta = reading.td_terms_of_all(traces, beta)
    if delta is None or not np.isfinite(delta).all():
        return {}
    metrics = {"value_range": _value_range(delta)}
    if aucs := [_auc(row, trace) for row, trace in zip(delta, traces, strict=True) if scorecard.is_localisable(trace)]:
        metrics["mistake_auc"] = float(np.mean(aucs))
    return metrics


def _value_range(delta: np.ndarray) -> float:
    """Largest minus smallest V_t of a solution, V_0 included, mean over the solutions: reward units."""
    moved = np.cumsum(delta, axis=1)
    moved = np.concatenate([np.zeros((len(delta), 1)), moved], axis=1)
    return float(np.ptp(moved, axis=1).mean())


def _auc(delta: np.ndarray, trace: CreditTrace) -> float:
    return scorecard.localise(-delta[: len(trace.ids)], known(scorecard.target_of(trace)))[2]
