"""What several judges look at in a run's settings and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vimpo_core.config import TrainConfig
from vimpo_core.measure.metrics import Row
from vimpo_core.rules import RULES
from vimpo_core.types import known


def is_untrained(history: Sequence[Row]) -> bool:
    return bool(history) and history[-1].get("step") == 0


def early(config: TrainConfig, history: Sequence[Row]) -> bool:
    """True while the warm-up and the first few updates cannot have shown an effect yet."""
    return not history or known(history[-1]["step"]) <= max(config.warmup_steps, 10)


def step_size(config: TrainConfig) -> str:
    """What sets how far a rule moves, in words: c_A only where it is read."""
    return "the learning rate or c_A" if "actor_coef" in RULES[config.algorithm].settings else "the learning rate"


def noise_of(share: float, count: int) -> float:
    """Two standard errors of a share measured on `count` problems."""
    return 2 * math.sqrt(max(share * (1 - share), 1e-4) / count)


def untrained_role(config, how):
    rule = RULES[config.algorithm]
    return "" if rule.value else f"{rule.name} does not train it; it is measured {how}. "


def rises_steeply(history, name, window=10):
    """True when the last value is over twice the one `window` steps before, once the first learning is over."""
    recent = [row[name] for row in history if row.get(name) is not None]
    return len(recent) > 4 * window and recent[-1] > 2 * recent[-1 - window] > 0
