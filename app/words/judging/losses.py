"""What to make of losses, residuals, clip, gradients and learning rate."""

from __future__ import annotations

import math

from app.words.judging.history import is_untrained, untrained_role
from vimpo_core.measure.metrics import first_value, last_value
from vimpo_core.numbers import percent, significant
from vimpo_core.rules import RULES, Average, Reach, Scale, Signal, Surrogate, ValueLoss, average_of


def value_loss(value, config, history):
    role = untrained_role(config, "for comparison")
    if is_untrained(history) and (role or config.updates_per_batch == 1):
        what = "R around V*" if RULES[config.algorithm].value is ValueLoss.OPTIMAL else "R around its baseline"
        return f"{role}Policy and reference agree, so this is half the mean square of {what}: all of it unexplained."
    start = first_value(history, "value_loss")
    if start is not None and start > 0 and value > 1.5 * start:
        way_out = "A smaller beta to read by fits better." if role else "Lower beta or the learning rate."
        return f"{role}Above its start ({significant(start)}): the log-ratios overshoot the reward. {way_out}"
    agree = " It also falls when groups agree; the residual ratio corrects for that."
    if RULES[config.algorithm].value is ValueLoss.OPTIMAL or (not role and config.cap_v0):
        agree = ""  # R − V*, or R minus a capped mean, is not 0 where a group agrees
    return f"{role}Lower means beta times the log-ratios account for the reward better.{agree}"


def residual_ratio(value, config, history):
    role = untrained_role(config, "at the same beta")
    if is_untrained(history):
        return f"{role}Exactly 1: policy and reference agree, so nothing of the reward is explained yet."
    if value > 1.05:
        return (
            f"{role}Above 1: on this batch the log-ratios point away from the reward. One step is noise, many in a "
            f"row an overshoot."
        )
    if value > 0.95:
        hint = " At such a small beta that is normal: V stays numerically flat." if config.beta < 5e-3 else ""
        return f"{role}On these fresh samples the log-ratios explain almost nothing of who was right.{hint}"
    explained = f"{role}The policy's own log-ratios explain {percent(1 - value**2)} of {_target(config)}."
    return f"{explained} {_residual_floor(config)}".strip()


def _target(config):
    """The square of what the value loss is to explain, in words."""
    kind = RULES[config.algorithm].value
    if kind is ValueLoss.OPTIMAL:
        return "the mean square of R − V*"
    if kind and config.cap_v0:
        return "the mean square of R minus its capped baseline"
    return "the mean square of R − soft baseline" if kind is ValueLoss.SOFT else "the reward's variance within groups"


def _residual_floor(config):
    """What even a V that knows every success rate leaves: the baseline of G solutions is itself a guess."""
    if RULES[config.algorithm].value in (ValueLoss.SOFT, ValueLoss.OPTIMAL):
        return ""
    if RULES[config.algorithm].value and config.cap_v0:
        return "Where V_0 is capped V can explain more: part of the target is then the same for all of a group."
    floor = 1 / math.sqrt(config.group_size)
    where = "stays above" if config.reward_noise else "ends at"
    of_others = RULES[config.algorithm].value and config.baseline == "leave_one_out"
    mean = "the mean of the others" if of_others else "the group's mean"
    return f"Even a perfect V {where} {floor:.2f} with groups of {config.group_size}: {mean} is a guess too."


def actor_loss(value, config, history):
    rule = RULES[config.algorithm]
    if rule.value and config.actor_coef == 0:
        return "c_A is 0, so the actor term is not trained: the value loss alone drives the policy."
    if rule.surrogate is Surrogate.PLAIN:
        return (
            "−A log π, without a ratio or a clip: its size follows the length of the solutions. Its gradient is "
            "what matters."
        )
    if config.updates_per_batch == 1:
        if is_untrained(history) and rule.value:
            return "0: before learning every advantage is exactly 0, so there is nothing to amplify."
        return _mean_advantage(rule, config)
    if abs(value) > 1:
        return (
            "Large for a clipped surrogate: the ratio has run far from 1. Use fewer updates a batch or a lower "
            "learning rate."
        )
    return "Its size says little: what matters is its gradient. Watch accuracy and KL instead."


def _mean_advantage(rule, config):
    """What a clipped surrogate shows where the ratio is 1: minus the mean advantage."""
    if rule.scale is Scale.WHITENED:
        return (
            "About 0 by construction: with one update a batch the ratio is 1 and whitened advantages average 0. "
            "Its gradient is not 0."
        )
    if rule.signal is Signal.ABOVE_PLACE:
        return (
            "The ratio is 1, so this is minus the mean advantage, which a weighted baseline does not bring to 0. "
            "Its gradient is what matters."
        )
    if rule.reach is Reach.UNDECIDED:
        return (
            "The ratio is 1, so this only shows whether right or wrong solutions hold more of the undecided "
            "tokens. Its gradient is what matters."
        )
    if average_of(rule, config) is Average.SOLUTIONS:
        return "About 0 by construction: the ratio is 1 and the advantages of a group average 0. Its gradient is not 0."
    return (
        "The ratio is 1, so this only shows whether right or wrong solutions are longer. Its gradient is what matters."
    )


def clip_fraction(value, config, history):
    del history
    if config.updates_per_batch == 1:
        return "0 by construction: with one update a batch the ratio is exactly 1 when the loss is taken."
    if value > 0.3:
        return (
            "Many tokens are clipped: the updates on one batch go too far. Use fewer updates or a lower learning rate."
        )
    if value == 0:
        return "No token has left the clip's range: the clip does nothing."
    return "Some tokens have moved enough for the clip to hold them back, which is its purpose."


def grad_norm_last(value, config, history):
    mean = last_value(history, "grad_norm")
    if mean and value > 2 * mean:
        return (
            f"More than twice the mean over the step's updates ({significant(mean)}): the last ones go too far. "
            f"Use fewer updates."
        )
    return "In line with the step's other updates."


def grad_norm(value, config, history):
    typical = [row["grad_norm"] for row in history[-21:-1] if row.get("grad_norm") is not None]
    if len(typical) >= 10 and value > 10 * sorted(typical)[len(typical) // 2]:
        one = (
            "One is harmless because it is shortened"
            if config.max_grad_norm
            else "Nothing shortens it here, though Adam softens one"
        )
        return f"A spike, over ten times the usual. {one}; many mean that the run is unstable."
    if not config.max_grad_norm:
        return (
            "Nothing is shortened in this run. Adam does not see a factor that stays the same, only changes in length."
        )
    if value > config.max_grad_norm:
        return f"Longer than {config.max_grad_norm:g}, so it is shortened to that before the update."
    return f"Below the limit of {config.max_grad_norm:g}, so the update uses it as it is."


def learning_rate(value, config, history):
    if history and history[-1]["step"] + 1 < config.warmup_steps:
        return f"Still warming up to {config.learning_rate:g}: early gradients are noisy and Adam's averages are empty."
    if config.lr_schedule == "linear":
        return f"Falling linearly from {config.learning_rate:g} to a tenth of it at step {config.steps}."
    return "Constant after the warm-up."


def critic_loss(value, config, history):
    del config
    start = first_value(history, "critic_loss")
    if start is None or value >= start:
        return "The critic starts from 0 everywhere and first has to learn the average reward."
    return f"Down from {significant(start)}. It cannot fall below the variance that the rest of a solution still holds."


def critic_explained(value, config, history):
    del config, history
    if value <= 0:
        return "The critic knows no more than a constant: its advantages are as flat as GRPO's, with its noise added."
    return (
        f"V(s) explains {percent(value)} of who was right, over all tokens; the group mean it replaces knows the "
        f"prompt alone."
    )
