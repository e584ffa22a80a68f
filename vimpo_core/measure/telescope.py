"""Reward against telescope: what a solution's token credits add up to, beside the reward they should explain. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.rules import RULES
from vimpo_core.solutions import picks
from vimpo_core.types import CreditTrace
from vimpo_core.views import credit_view


@dataclass(frozen=True)
class Point:
    """One solution: x = sum_t delta_t, y = R - group mean, reward units. Their difference is the terminal residual."""

    index: int
    x: float
    y: float
    is_correct: bool


@dataclass(frozen=True)
class Telescope:
    """All solutions of a step that have both numbers; `missing` of them lack one.

    value_loss: mean of half the squared residual; untouched_loss: the same had no token any credit (x = 0), so that
    explained = 1 - value_loss / untouched_loss is the share of it that the credit explains. nan where nothing is known.
    """

    points: list[Point]
    missing: int
    value_loss: float
    untouched_loss: float

    @property
    def explained(self) -> float:
        return 1 - self.value_loss / self.untouched_loss if self.untouched_loss > 0 else math.nan


def reward_against_telescope(traces: Sequence[CreditTrace], beta: float) -> Telescope:
    """The scatter of a step. On the line y = x the policy's own values explain the reward completely: L_V = 0.

    Args:
        traces: the solutions of a step; one without a group mean, or without an array that credit needs, is left out.
        beta: reward per nat, > 0.
    """
    points = []
    for index, trace in enumerate(traces):
        delta = credit_view.credit_of(trace, beta)
        if delta is None or not math.isfinite(trace.group_mean_reward) or not np.isfinite(delta).all():
            continue
        mask = np.asarray(trace.mask, bool)[None]
        baseline = np.array([trace.group_mean_reward], np.float64)
        reward = np.array([trace.reward], np.float64)
        residual = credit.terminal_residual(delta[None], mask, reward, baseline)
        y = float(trace.reward - trace.group_mean_reward)
        points.append(Point(index, float(residual[0]) + y, y, picks.is_correct(trace)))
    if not points:
        return Telescope([], len(traces), math.nan, math.nan)
    x, y = np.array([[p.x, p.y] for p in points]).T
    return Telescope(
        points, len(traces) - len(points), float(np.mean(0.5 * (x - y) ** 2)), float(np.mean(0.5 * y**2))
    )


def trained_otherwise(config: TrainConfig) -> str:
    """One sentence where a run did not descend on the loss of this picture (its square, R - group mean, the exact KL); else ""."""
    rule, usual = RULES[config.algorithm], TrainConfig()
    if not rule.value:
        return f"{rule.name} does not train on it: the picture shows what could be read off its policy."
    if rule.value != "plain":
        return f"{rule.name} trains on another sum and another target, {rule.terms['value']}: the numbers here are VIMPO's."
    switches = ("value_loss", "baseline", "kl_estimator")
    changed = [
        f"{name} {getattr(config, name)}"
        for name in switches
        if getattr(config, name) != getattr(usual, name)
    ]
    if config.cap_v0:
        changed.append(f"cap_v0 {config.cap_v0:g}")
    return (
        f"This run trained with {', '.join(changed)}, so its own value loss is another number."
        if changed
        else ""
    )
