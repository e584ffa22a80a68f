"""Reward against telescope: what a solution's token credits add up to, beside the reward they should explain. NumPy
only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core.config import TrainConfig
from vimpo_core.rules import RULES
from vimpo_core.solutions import picks, reading
from vimpo_core.types import CreditTrace


@dataclass(frozen=True)
class Point:
    """One solution: x = sum_t delta_t, y = R - V_0, reward units. Their difference is the terminal residual."""

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

    What is summed and what V_0 is are those of the run's own value loss (`reading`), VIMPO's where it has none.

    Args:
        traces: the solutions of a step; one without V_0, or without an array that credit needs, is left out.
        beta: reward per nat, > 0.
    """
    points = []
    for index, trace in enumerate(traces):
        residual = reading.residual(trace, beta)
        if not math.isfinite(residual):
            continue
        y = float(trace.reward - reading.anchor(trace, beta))
        points.append(Point(index, residual + y, y, picks.is_correct(trace)))
    if not points:
        return Telescope([], len(traces), math.nan, math.nan)
    x, y = np.array([[p.x, p.y] for p in points]).T
    return Telescope(points, len(traces) - len(points), float(np.mean(0.5 * (x - y) ** 2)), float(np.mean(0.5 * y**2)))


def trained_otherwise(config: TrainConfig) -> str:
    """One sentence where a run did not descend on the loss of this picture, half the mean square of its residuals; else
    "".
    """
    rule = RULES[config.algorithm]
    if not rule.value:
        return f"{rule.name} does not train on it: the picture shows what could be read off its policy."
    if config.value_loss == "huber":
        return (
            f"This run's own loss grows linearly where a residual is beyond {config.huber_delta:g} (huber), so it is "
            "another number than this."
        )
    if config.value_loss == "normalised":
        return (
            "This run's own loss is this one over the mean square of its targets (normalised), so it is another number."
        )
    return ""
