"""What tests hold the lab against: exact gradients and values of a small tree, and exports read back.

Slow and plain on purpose, and written without the code that they check.
"""

from __future__ import annotations

import heapq
import itertools
from typing import NamedTuple

import numpy as np

from vimpo_core import credit
from vimpo_core.measure.truth import State, TokenProcess, exact_outcome
from vimpo_core.tree import tabular
from vimpo_core.tree.tabular import Levels, Tree

# ---- the value loss on a tree


def value_loss_gradient(tree: Tree, policy: Levels, reference: Levels, beta: float, with_kappa: bool = True) -> Levels:
    """What one on-policy update follows: the expected gradient of 1/2 residual^2 in the logits, through rho alone.

        g(s,a) = beta P_pi(sa) (E_pi[residual | sa] - E_pi[residual | s])

    The sampling distribution, kappa and the baseline are held constant, as in training. With -(R - E[R]) in the
    place of the residual this is REINFORCE with a baseline; the two agree at pi = pi_ref and as beta goes to 0.

    Returns:
        [vocab^d, vocab] each depth, squared reward units.
    """
    advantages = tabular.residual_advantages(tree, policy, reference, beta, with_kappa)
    return [beta * np.exp(p) * a for p, a in zip(tabular.prefix_logprobs(policy), advantages, strict=True)]


def group_residuals(
    tree: Tree, policy: Levels, reference: Levels, beta: float, size: int, baseline: str = "group_mean"
) -> np.ndarray:
    """What `losses.value_loss` finds as the residual of each solution, on average over the groups it is drawn in.

    All vocab^(depth * size) groups of `size` solutions are enumerated, each as probable as the policy draws it.

    Args:
        baseline: as `credit.prompt_baseline`.

    Returns:
        reward units, [vocab^depth].
    """
    leaves, probability = tree.rewards.size, np.exp(tabular.path_logprobs(policy))
    groups = np.indices((leaves,) * size).reshape(size, -1).T
    baselines = np.stack([credit.prompt_baseline(tree.rewards[g], np.zeros(size), baseline) for g in groups])
    terms = [
        beta * (p - r - k[:, None]) for p, r, k in zip(policy, reference, tabular.kl(policy, reference), strict=True)
    ]
    residuals = tabular.along_paths(tree, terms).sum(axis=1)[groups] - (tree.rewards[groups] - baselines)
    # The first solution stands for any of them; the others are drawn independently of it.
    others = probability[groups[:, 1:]].prod(axis=1)
    return np.bincount(groups[:, 0], weights=others * residuals[:, 0], minlength=leaves)


def group_value_loss_gradient(
    tree: Tree, policy: Levels, reference: Levels, beta: float, size: int, baseline: str = "group_mean"
) -> Levels:
    """`value_loss_gradient` of groups of `size` solutions instead of the exact E[R]: [vocab^d, vocab] each depth.

    With "group_mean" it vanishes at the local fixed point of beta size / (size - 1), with "leave_one_out" at that of
    beta.
    """
    waiting = Tree(tree.vocab, tree.depth, group_residuals(tree, policy, reference, beta, size, baseline))
    values, q_values = tabular.plain_values(waiting, policy)
    chances = tabular.prefix_logprobs(policy)
    return [beta * np.exp(p) * (q - v[:, None]) for p, v, q in zip(chances, values, q_values, strict=True)]


# ---- values by enumeration


class ExactValue(NamedTuple):
    """V^pi(s) lies within value .. value + left_out; left_out is the probability of the continuations not looked at."""

    value: float
    left_out: float


def exact_value(
    process: TokenProcess, state: State, left_out: float = 1e-3, max_expansions: int = 2000, batch: int = 64
) -> ExactValue:
    """V^pi of a state by going through its continuations, the most probable first.

    Args:
        left_out: stop once the continuations not yet looked at have at most this probability; 0 looks at all of them.
        max_expansions: states to look at; small trees (the last tokens of a solution) need few, whole solutions many
            thousands, and the bound that is returned then stays wide.
        batch: states looked at together.
    """
    outcome = exact_outcome(process, state)
    if outcome is not None:
        return ExactValue(float(outcome), 0.0)
    order = itertools.count()  # states of equal probability are taken as they came
    frontier = [(-1.0, next(order), state)]
    value, expanded = 0.0, 0
    while frontier and expanded < max_expansions and -sum(f[0] for f in frontier) > left_out:
        taken = [heapq.heappop(frontier) for _ in range(min(batch, len(frontier), max_expansions - expanded))]
        expanded += len(taken)
        chances = np.exp(process.next_logprobs([s for _, _, s in taken]))
        for (mass, _, parent), row in zip(taken, chances, strict=True):
            for token in np.flatnonzero(row):
                child, share = State(parent.prompt, (*parent.prefix, int(token))), -mass * row[token]
                outcome = exact_outcome(process, child)
                if outcome is None:
                    heapq.heappush(frontier, (-share, next(order), child))
                else:
                    value += share * outcome
    return ExactValue(float(value), float(-sum(f[0] for f in frontier)))
