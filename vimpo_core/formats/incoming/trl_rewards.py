"""Which of the numbers that TRL wrote of a completion are rewards, told by the advantages that it made of them.

Nothing in its files says so: a reward function may log numbers besides, rewards may have weights, and a function that
is called like a column of TRL's own loses its rewards under it. The advantage is the rewards' weighted sum, less its
group's mean, over a deviation: that is tried, on all files together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

EPSILON = 1e-4
"""What TRL adds to the deviation that it divides by."""
_CLOSE = 1e-3
_MOST = 8
"""Numbers of which every choice is tried."""
_SURPLUS = 3
"""Equations beyond the unknown ones before weights are believed."""
SCALES = ("group", "batch", "none", "each")
"""What TRL divides by (`scale_rewards`): the deviation of the group, of the batch, nothing; "each": every reward of its
own in its group first, then the sum in the batch (`multi_objective_aggregation`)."""


@dataclass(frozen=True)
class Logged:
    """The numbers of some completions: values [N, K] (nan where None), advantages [N], and of which group and batch
    each completion is, int [N] from 0 on."""

    names: tuple[str, ...]
    values: np.ndarray
    advantages: np.ndarray
    groups: np.ndarray
    batches: np.ndarray

    @property
    def is_telling(self) -> bool:
        """Whether some group has advantages that differ: else any number would do."""
        return bool(np.isfinite(self.advantages).all() and (np.abs(self.advantages) > _CLOSE).any())


@dataclass(frozen=True)
class Rewards:
    """Name of each reward -> its weight, 1 for the largest; is_sure: whether the advantages say so."""

    weights: dict[str, float]
    is_sure: bool

    @property
    def is_weighted(self) -> bool:
        return any(weight != 1 for weight in self.weights.values())


def rewards_among(logged: Logged) -> Rewards:
    """The numbers whose sum makes the advantages, else whose weighted sum does; else all of them, unsure."""
    everything = Rewards(dict.fromkeys(logged.names, 1.0), False)
    if not logged.names or not logged.is_telling:
        return everything
    for scale in SCALES:
        for chosen in _choices(len(logged.names)):
            weights = np.zeros(len(logged.names))
            weights[list(chosen)] = 1
            if _agree(logged, weights, scale):
                return Rewards({logged.names[i]: 1.0 for i in chosen}, True)
    for scale, weights in _fits(logged):
        weights = np.where(np.abs(weights) < _CLOSE, 0.0, weights)
        if _agree(logged, weights, scale):
            kept = {n: float(f"{w:.3g}") for n, w in zip(logged.names, weights, strict=True) if w}
            return Rewards(kept, True)
    return everything


def _choices(count: int) -> Iterator[tuple[int, ...]]:
    """All, then ever fewer; of many the whole alone."""
    sizes = range(count, 0, -1) if count <= _MOST else (count,)
    for size in sizes:
        yield from itertools.combinations(range(count), size)


def _agree(logged: Logged, weights: np.ndarray, scale: str) -> bool:
    made = _advantages(logged, weights, scale)
    return bool(np.abs(made - logged.advantages).max() < _CLOSE)


def _advantages(logged: Logged, weights: np.ndarray, scale: str) -> np.ndarray:
    """What TRL makes of rewards with these weights; 0 where a completion earned none."""
    values = logged.values[:, weights != 0]
    groups, weights = logged.groups, weights[weights != 0]
    is_unpaid = np.isnan(values).all(axis=1)
    if scale == "each":
        scaled = np.column_stack([_normal(column, groups, groups) for column in values.T])
        total = np.nansum(scaled * weights, axis=1)
        groups, scale = logged.batches, "batch"
    else:
        total = np.nansum(values * weights, axis=1)
    total[is_unpaid] = np.nan
    if scale == "none":
        found = total - _means(total, groups)[groups]
    else:
        found = _normal(total, groups, groups if scale == "group" else logged.batches)
    return np.nan_to_num(found)


def _normal(values: np.ndarray, groups: np.ndarray, spread_over: np.ndarray) -> np.ndarray:
    """Less the mean of its group, over the unbiased deviation within `spread_over` (nan left out)."""
    centred = values - _means(values, groups)[groups]
    off = values - _means(values, spread_over)[spread_over]
    count = np.bincount(spread_over, np.isfinite(values))
    squares = np.bincount(spread_over, np.nan_to_num(off) ** 2)
    spread = np.sqrt(squares / np.maximum(count - 1, 1))
    return centred / (spread[spread_over] + EPSILON)


def _means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    count = np.bincount(groups, np.isfinite(values))
    return np.bincount(groups, np.nan_to_num(values)) / np.maximum(count, 1)


def _fits(logged: Logged) -> Iterator[tuple[str, np.ndarray]]:
    """Weights with which the rewards may make the advantages, the largest 1, by each scale; none where the completions
    are too few to tell."""
    values = np.nan_to_num(logged.values)
    centred = np.column_stack([column - _means(column, logged.groups)[logged.groups] for column in values.T])
    moved = np.unique(logged.groups[np.abs(logged.advantages) > _CLOSE])
    equations = sum(int((logged.groups == group).sum()) - 1 for group in moved)
    for scale, of in (("group", logged.groups), ("batch", logged.batches)):
        spreads = np.unique(of[np.isin(logged.groups, moved)])
        if equations < len(logged.names) + len(spreads) - 1 + _SURPLUS:
            continue
        # centred @ weights = spread * advantage: both are unknown, up to one factor.
        laid_out = np.where(of[:, None] == spreads, logged.advantages[:, None], 0.0)
        sizes = np.linalg.norm(centred, axis=0)
        if not sizes.all():
            continue
        _, singular, rows = np.linalg.svd(np.column_stack([centred / sizes, -laid_out]), full_matrices=False)
        if len(singular) > 1 and singular[-2] < 1e-6 * singular[0]:
            continue  # more than one answer
        found = rows[-1][: len(logged.names)] / sizes
        found = found * np.sign(rows[-1][len(logged.names)] or 1)
        yield scale, found / np.abs(found).max()
    if equations >= len(logged.names) + _SURPLUS:
        found, _, rank, _ = np.linalg.lstsq(centred, logged.advantages, rcond=None)
        if rank == len(logged.names):
            yield "none", found
