"""The local fixed point and the soft optimum on one tree, in numbers: what the derivation forks into. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vimpo_core.tree import tabular
from vimpo_core.tree.tabular import Levels, Tree


@dataclass(frozen=True)
class Optimum:
    """A policy at the root of a tree: expected reward, what its KL costs (beta KL of whole solutions), its own value
    there.

    value: the plain value of the local fixed point, the soft value of the soft optimum. All in reward units.
    """

    reward: float
    cost: float
    value: float


@dataclass(frozen=True)
class TwoOptima:
    """reference_reward: expected reward before training; apart: total variation between the two over solutions, 0
    to 1.
    """

    local: Optimum
    soft: Optimum
    reference_reward: float
    apart: float


def example(vocab: int, depth: int, seed: int) -> tuple[Tree, Levels]:
    """A random tree whose solutions do not all get the same reward, and a random reference on it."""
    rng = np.random.default_rng(seed)
    tree = tabular.random_tree(vocab, depth, rng)
    while np.ptp(tree.rewards) == 0:
        tree = tabular.random_tree(vocab, depth, rng)
    return tree, tabular.random_policy(tree, rng)


def two_optima(tree: Tree, reference: Levels, beta: float) -> TwoOptima:
    """Both, by backward induction. beta: reward per nat, > 0."""
    local = tabular.local_fixed_point(tree, reference, beta)
    soft, soft_values, _ = tabular.soft_optimum(tree, reference, beta)
    return TwoOptima(
        _optimum(tree, local, reference, beta, _start(tree, local)),
        _optimum(tree, soft, reference, beta, float(soft_values[0][0])),
        _start(tree, reference),
        float(tabular.path_total_variation(local, soft)),
    )


def _start(tree, policy):
    return float(tabular.plain_values(tree, policy)[0][0][0])


def _optimum(tree, policy, reference, beta, value):
    path = tabular.path_logprobs(policy)
    cost = beta * float(np.exp(path) @ (path - tabular.path_logprobs(reference)))
    return Optimum(_start(tree, policy), cost, value)
