"""What to make of how far the policy has moved, and of what it writes."""

from __future__ import annotations

from app.words.judging.history import is_untrained, rises_steeply, step_size
from vimpo_core.measure.metrics import first_value
from vimpo_core.numbers import fixed, percent, significant
from vimpo_core.rules import RULES, ValueLoss
from vimpo_core.tasks.registry import said, task_of

SEPARATOR_ENTROPY = 0.94
"""Nats a separator carries when its style (60/25/15 %) is free: entropy that says nothing about right or wrong."""


def kl_mean(value, config, history):
    rule = RULES[config.algorithm]
    if is_untrained(history):
        no_credit = "no token carries credit yet" if rule.value else "credit read off their log-ratios is 0 everywhere"
        return f"Exactly 0: policy and reference are the same model, so {no_credit}."
    cost = ""
    if rule.value is ValueLoss.PLAIN:
        beta = config.at(history[-1]["step"]).beta if history else config.beta
        cost = f" It costs beta x KL = {significant(beta * value)} reward a token."
    if value > 1.0:
        return (
            f"Far from the reference. Unless accuracy is high, the policy is running away: lower "
            f"{step_size(config)}.{cost}"
        )
    if value < 1e-4:
        credit = "its token credit" if rule.value else "credit read off its log-ratios"
        return f"The policy has hardly moved, so {credit} is numerically flat."
    if rises_steeply(history, "kl_mean"):
        return f"More than doubled within ten steps. If accuracy does not follow, the policy is running away.{cost}"
    return f"The policy is moving away from the reference, as it must to learn.{cost}"


def value_range(value, config, history):
    if is_untrained(history):
        return "Policy and reference are the same model, so V stays where it began."
    if value < 0.01:
        return (
            "Too small to be seen: values are flat. It says nothing about learning; a larger beta makes them readable."
        )
    return f"Within a solution V moves by {percent(value)} of the reward, on average."


def mistake_auc(value, config, history):
    if is_untrained(history):
        return "Every δ is 0, so no token stands out."
    recent = [row["mistake_auc"] for row in history if row.get("mistake_auc") is not None][-10:] or [value]
    mean = sum(recent) / len(recent)
    steps = "the last step" if len(recent) == 1 else f"the last {len(recent)} steps"
    over = f"{fixed(mean)} over {steps} (one alone jumps by 0.1 and more)"
    if mean > 0.6:
        return f"Credit is lower at the mistake than at most other tokens: {over}."
    return f"{'About as good as guessing' if mean > 0.4 else 'It points elsewhere'}: {over}."


def entropy_mean(value, config, history):
    start = first_value(history, "entropy_mean")
    if is_untrained(history) or start is None:
        return "The reference's own uncertainty: slips it could make, and the free choice of separator."
    if value < 0.02:
        return "Almost deterministic: groups will agree, and there is nothing left to compare. Exploration is over."
    if value > 1.3 * start:
        return (
            f"Higher than at the start ({significant(start)}): the policy is getting vaguer, which learning should "
            f"not do."
        )
    if value >= start:
        return f"About as at the start ({significant(start)}): what was uncertain still is."
    return (
        f"Down from {significant(start)} as slips are suppressed. What stays is mostly the style of the "
        f"separators, {SEPARATOR_ENTROPY} nats each."
    )


def length_mean(value, config, history):
    start = first_value(history, "length_mean")
    if start is None or is_untrained(history):
        if not task_of(config).verifies_steps:
            return f"Mean length of the untrained model's solutions to {said(config)}."
        return f"Solutions to {said(config)} have this length when every step is written out."
    if value > 1.25 * start:
        return (
            f"Longer than at the start ({significant(start)}): some solutions may run into the token limit without "
            f"an end token."
        )
    if value < 0.8 * start:
        return (
            f"Shorter than at the start ({significant(start)}): the policy skips steps or stops early. Read some "
            f"solutions."
        )
    return "Steady: the task fixes the number of steps, so only the way of writing them could change it."
