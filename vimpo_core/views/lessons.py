"""What the chapters of the course compute: where both value losses of a tree go, a solution's two anchors, a step's
loss. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core.solutions import ledger, lenses, reading
from vimpo_core.solutions.steps import step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.tree import tabular, tree_lab
from vimpo_core.tree.tabular import Levels, Tree
from vimpo_core.types import CreditTrace

CLEAR_RESIDUALS = (0.1, 0.4)
"""In reward units: two curves so far apart are told apart at a glance, and their fall is still the larger thing to
see.
"""


@dataclass(frozen=True)
class Descents:
    """Where descent on the value loss ends, with kappa and with rho only: path total variation to both optima, 0 to 1.

    kappa: the cost of KL that a solution's terms subtract on average under the local fixed point, reward units.
    """

    with_kappa: dict[str, float]
    rho_only: dict[str, float]
    kappa: float


def descents(tree: Tree, reference: Levels, beta: float) -> Descents:
    """`tree_lab.STEPS` steps of each descent, as the Tree lab shows them. beta: reward per nat, > 0."""
    optima = {
        "local": tabular.local_fixed_point(tree, reference, beta),
        "soft": tabular.soft_optimum(tree, reference, beta)[0],
    }
    ends = [
        tabular.descent(tree, reference, beta, tree_lab.STEPS, tree_lab.LEARNING_RATE, with_kappa)[-1]
        for with_kappa in (True, False)
    ]
    with_kappa, rho_only = (
        {name: float(tabular.path_total_variation(end, optimum)) for name, optimum in optima.items()} for end in ends
    )
    path = tabular.path_logprobs(optima["local"])
    kappa = beta * float(np.exp(path) @ (path - tabular.path_logprobs(reference)))
    return Descents(with_kappa, rho_only, kappa)


@dataclass(frozen=True)
class GroupEnd:
    """Where descent ends whose baseline is the mean of groups of `size` solutions, the solution itself among them.

    beta: of the local fixed point that it ends at; to_own, to_plain: path total variation to that one and to the one of
    the beta it was trained with. slope: of delta on Q - V over the policy's choices. floor: root mean square of the
    terminal residual, by that of its target R - group mean.
    """

    size: int
    beta: float
    to_own: float
    to_plain: float
    slope: float
    floor: float


def group_end(tree: Tree, reference: Levels, beta: float, size: int) -> GroupEnd:
    """`tree_lab.STEPS` steps of descent on the value loss of groups of `size`, and what the credit is worth there.

    Over the groups that a solution is drawn in its target R - group mean is (size - 1) / size (R - E[R]) on average, as
    if every reward were smaller by that factor. beta: reward per nat, > 0; size: at least 2.
    """
    share = (size - 1) / size
    smaller = Tree(tree.vocab, tree.depth, share * tree.rewards)
    end = tabular.descent(smaller, reference, beta, tree_lab.STEPS, tree_lab.LEARNING_RATE)[-1]
    to_own, to_plain = (
        float(tabular.path_total_variation(end, tabular.local_fixed_point(tree, reference, b)))
        for b in (beta / share, beta)
    )
    values, q_values = tabular.plain_values(tree, end)
    weights = [np.exp(p) for p in tabular.prefix_logprobs(end)]
    delta = [beta * (p - r - k[:, None]) for p, r, k in zip(end, reference, tabular.kl(end, reference), strict=True)]
    advantage = [q - v[:, None] for q, v in zip(q_values, values, strict=True)]
    slope = _weighted(weights, delta, advantage) / _weighted(weights, advantage, advantage)
    likely = np.exp(tabular.path_logprobs(end))
    spread = float(likely @ (tree.rewards - likely @ tree.rewards) ** 2)
    unexplained = float(likely @ tabular.path_residuals(smaller, end, reference, beta) ** 2)
    # The mean of the others is a guess of E[R] that no credit can foresee.
    floor = math.sqrt((unexplained + share / size * spread) / (share * spread))
    return GroupEnd(size, beta / share, to_own, to_plain, slope, floor)


def _weighted(weights: Levels, a: Levels, b: Levels) -> float:
    return float(sum((w * x * y).sum() for w, x, y in zip(weights, a, b, strict=True)))


@dataclass(frozen=True)
class Anchored:
    """A solution's values by both anchors, whole numbers of the last shown digit, so that their difference is exact.

    start, end: [T+1], before token 0 up to after the last; residual = start - end at every position.
    """

    text: list[str]
    line_starts: list[int]
    decimals: int
    start: list[int]
    end: list[int]
    reward: int
    baseline: int
    residual: int
    first_wrong: int | None
    anchor_name: str = "group mean"

    def amount(self, units: int) -> float:
        """`units` of the last shown digit in reward units."""
        return units / 10**self.decimals


def anchored(trace: CreditTrace, beta: float) -> Anchored:
    """Both value recurrences of a recorded solution with credit; the shown digits are those of `ledger.ledger`."""
    book = ledger.ledger(trace, beta, gae_lambda=1.0)
    start, end = ([int(v) for v in book.of(name)] for name in ("values", "values_from_end"))
    return Anchored(
        [visible_text(text) for text in trace.text],
        step_starts(trace),
        book.reward_decimals,
        start,
        end,
        int(book.reward),
        int(book.baseline),
        int(book.residual),
        trace.first_wrong,
        reading.anchor_name(trace),
    )


def agreeing_groups(traces: Sequence[CreditTrace]) -> tuple[int, int]:
    """How many groups of a step got one and the same reward, and how many groups there are."""
    rewards: dict[int, set[float]] = {}
    for trace in traces:
        rewards.setdefault(trace.group_id, set()).add(trace.reward)
    return sum(len(found) == 1 for found in rewards.values()), len(rewards)


def furthest_point(traces: Sequence[CreditTrace], beta: float) -> int:
    """Index of the solution whose terminal residual is the largest in size, the first of equals."""
    return int(np.argmax([abs(_residual(trace, beta)) for trace in traces]))


def clearest_fall(traces: Sequence[CreditTrace], beta: float) -> int:
    """Index of the wrong solution whose credits add up to the least: its value falls the most.

    Of those whose residual has a size within CLEAR_RESIDUALS, where there are any.
    """

    def total(trace):
        delta = lenses.credit_of(trace, beta)
        return math.inf if delta is None or trace.first_wrong is None else float(delta.sum())

    totals = np.array([total(trace) for trace in traces])
    sizes = np.abs([_residual(trace, beta) for trace in traces])
    low, high = CLEAR_RESIDUALS
    clear = np.where((sizes >= low) & (sizes <= high), totals, math.inf)
    return int(np.argmin(clear if np.isfinite(clear).any() else totals))


def _residual(trace: CreditTrace, beta: float) -> float:
    found = reading.residual(trace, beta)
    return found if math.isfinite(found) else 0.0
