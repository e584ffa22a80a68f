"""What to make of a metric's current value: what a colleague would say who looks over your shoulder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from app.words.judging import cost, losses, policy, rewards
from app.words.judging.history import step_size
from vimpo_core.config import TrainConfig
from vimpo_core.measure.metrics import METRICS, Row, why_never
from vimpo_core.rules import RULES

Judge = Callable[[float, TrainConfig, Sequence[Row]], str]


def remark(name: str, value: float | None, config: TrainConfig, history: Sequence[Row]) -> str:
    """What to make of a metric's `value`, in one or two sentences; what to expect of one that has no judge.

    Args:
        value: this step's value; None when it was not measured or not finite.
        config: the run's settings.
        history: the run's rows up to this step, ascending (`RunStore.metrics`).
    """
    if value is None:
        return _absent(name, config, history)
    if not math.isfinite(value):
        return _not_finite(name, config)
    if judge := JUDGES.get(name):
        return judge(value, config, history)
    return f"Expected: {METRICS[name].expected}"


def _not_finite(name: str, config: TrainConfig) -> str:
    if name in ("kl_mean", "value_loss", "residual_ratio") and not RULES[config.algorithm].value:
        return "Not a finite number: the reference gives a token probability 0. This rule does not train on it."
    return f"Not a finite number: the run has diverged here. Lower {step_size(config)}."


def _absent(name: str, config: TrainConfig, history: Sequence[Row]) -> str:
    if history and name in history[-1]:
        return "Not a finite number at this step, so nothing is drawn."
    measured = [row["step"] for row in history if row.get(name) is not None]
    if not measured and (reason := why_never(name, config)):
        return reason
    if measured:
        return f"Not measured at this step; last measured at step {measured[-1]:.0f}."
    return "Not measured yet."


JUDGES: dict[str, Judge] = {
    "sampled_accuracy": rewards.sampled_accuracy,
    "greedy_accuracy": rewards.greedy_accuracy,
    "sampled_reward": rewards.held_out_reward,
    "greedy_reward": rewards.held_out_reward,
    "validation_problems": rewards.problems_there,
    "measuring_cpu_seconds": cost.measuring_cpu_seconds,
    "reward_mean": rewards.reward_mean,
    "reward_mean_kept": rewards.reward_mean_kept,
    "kl_mean": policy.kl_mean,
    "value_loss": losses.value_loss,
    "residual_ratio": losses.residual_ratio,
    "value_range": policy.value_range,
    "mistake_auc": policy.mistake_auc,
    "entropy_mean": policy.entropy_mean,
    "dead_group_share": rewards.dead_group_share,
    "dead_group_share_kept": rewards.dead_group_share_kept,
    "length_mean": policy.length_mean,
    "actor_loss": losses.actor_loss,
    "clip_fraction": losses.clip_fraction,
    "clip_fraction_last": losses.clip_fraction,
    "grad_norm": losses.grad_norm,
    "grad_norm_last": losses.grad_norm_last,
    "learning_rate": losses.learning_rate,
    "tokens_sampled": cost.tokens_sampled,
    "critic_loss": losses.critic_loss,
    "critic_explained": losses.critic_explained,
    "tokens_per_second": cost.tokens_per_second,
    "cpu_seconds": cost.cpu_seconds,
    "wall_seconds": cost.wall_seconds,
}
"""By the name of a metric; one that is missing says what to expect of it."""
