"""What to make of a metric's current value: what a colleague would say who looks over your shoulder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from vimpo_core.config import TrainConfig
from vimpo_core.measure.metrics import (
    METRICS,
    Row,
    first_value,
    last_value,
    measuring_share,
    validation_problems,
    why_never,
)
from vimpo_core.numbers import fixed, percent, significant
from vimpo_core.rules import RULES, Average, Extra, Reach, Scale, Signal, Surrogate, ValueLoss, average_of
from vimpo_core.tasks.registry import said, task_of
from vimpo_core.types import known

Judge = Callable[[float, TrainConfig, Sequence[Row]], str]

SEPARATOR_ENTROPY = 0.94
"""Nats a separator carries when its style (60/25/15 %) is free: entropy that says nothing about right or wrong."""

MOST_MEASURING = 0.15
"""Share of a run's time above which measuring is worth a word."""


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
    return f"Not a finite number: the run has diverged here. Lower {_step_size(config)}."


def _absent(name: str, config: TrainConfig, history: Sequence[Row]) -> str:
    if history and name in history[-1]:
        return "Not a finite number at this step, so nothing is drawn."
    measured = [row["step"] for row in history if row.get(name) is not None]
    if not measured and (reason := why_never(name, config)):
        return reason
    if measured:
        return f"Not measured at this step; last measured at step {measured[-1]:.0f}."
    return "Not measured yet."


def _is_untrained(history: Sequence[Row]) -> bool:
    return bool(history) and history[-1].get("step") == 0


def _early(config: TrainConfig, history: Sequence[Row]) -> bool:
    """True while the warm-up and the first few updates cannot have shown an effect yet."""
    return not history or known(history[-1]["step"]) <= max(config.warmup_steps, 10)


def _step_size(config: TrainConfig) -> str:
    """What sets how far a rule moves, in words: c_A only where it is read."""
    return "the learning rate or c_A" if "actor_coef" in RULES[config.algorithm].settings else "the learning rate"


def _noise(share: float, count: int) -> float:
    """Two standard errors of a share measured on `count` problems."""
    return 2 * math.sqrt(max(share * (1 - share), 1e-4) / count)


def _sampled_accuracy(value, config, history):
    count = validation_problems(config, history)
    fewer = f" ({config.eval_prompts} were asked for, there are no more)" if count < config.eval_prompts else ""
    noise = f"With {count} validation problems{fewer} it is known to about ±{100 * _noise(value, count):.0f} points."
    start = first_value(history, "sampled_accuracy")
    if _is_untrained(history) or start is None:
        return f"The reference model before any learning. {noise}"
    gain = value - start
    if gain < -_noise(start, count):
        return f"Below where it began ({percent(start)}). Look at KL and entropy, then lower {_step_size(config)}."
    if gain < _noise(start, count):
        patience = (
            "Give it more steps." if _early(config, history) else "No clear gain yet; a higher learning rate may help."
        )
        return f"Within the noise of where it began ({percent(start)}). {patience}"
    return f"Up {100 * gain:.0f} points from {percent(start)} before training. {noise}"


def _greedy_accuracy(value, config, history):
    sampled = last_value(history, "sampled_accuracy")
    if sampled is not None and value < sampled - 0.03:
        return "Greedy below sampled is unusual: the most likely token is often the wrong one. Read some solutions."
    start = first_value(history, "greedy_accuracy")
    if start is not None and value < start - _noise(start, validation_problems(config, history)):
        return (
            f"It fell from {percent(start)}: training has damaged what the reference could do. Lower the learning rate."
        )
    gap = (
        f" The gap to sampled accuracy ({percent(sampled)}) is what the dice still cost." if sampled is not None else ""
    )
    return f"What the model answers when it always takes its favourite token.{gap}"


def _held_out_reward(value, config, history):
    count = validation_problems(config, history)
    # A reward within 0 and 1 spreads at most as far as a share with its mean.
    return f"On {count} validation problems, known to about ±{_noise(value, count):.2f} or better. 1 is all right."


def _validation_problems(value, config, history):
    del history
    return f"{config.eval_prompts} were asked for (eval_prompts); the validation split holds no more."


def _measuring_cpu_seconds(value, config, history):
    del value
    share = measuring_share(history)
    if share is None:
        return "What measuring took was not recorded at every step, so nothing says its share."
    lower = " Lower eval_prompts, or raise eval_every." if share > MOST_MEASURING else ""
    return f"So far {percent(share)} of this run's CPU time went to measurements on validation problems.{lower}"


def _reward_mean(value, config, history):
    del history
    flips = config.reward_noise
    if flips:
        true_mean = (value - flips) / (1 - 2 * flips) if flips < 0.5 else None
        ceiling = f"With {percent(flips)} of the rewards flipped even a perfect policy averages {1 - flips:.2f}."
        if true_mean is None:
            return f"{ceiling} At one half the reward says nothing at all."
        if config.reward_noise_unit == "group":
            return (
                f"{ceiling} Whole groups flip, {config.prompts_per_step} draws a step, so it jumps far more than with "
                "single flips: read the mean of many steps."
            )
        true_mean = min(max(true_mean, 0), 1)
        if task_of(config).gives_partial_rewards:
            return f"{ceiling} This value suggests a true mean reward near {true_mean:.2f}."
        return f"{ceiling} This value suggests a true accuracy near {percent(true_mean)}."
    if value > 0.97:
        return "Nearly every solution is right, so little is left to learn. Harder problems leave more."
    if value < 0.03:
        return "Nearly every solution is wrong: there is almost no contrast to learn from. Use easier problems."
    if task_of(config).gives_partial_rewards:
        return (
            f"What this step's {config.batch_size} training solutions earned on average, parts of a reward included: "
            "it is no share of right ones. It jumps from batch to batch; read the trend."
        )
    return (
        f"Share of this step's {config.batch_size} training solutions that were right. It jumps from batch to "
        f"batch; read the trend."
    )


def _reward_mean_kept(value, config, history):
    del value
    sampled = last_value(history, "reward_mean")
    beside = "" if sampled is None else f" All that was first sampled averages {significant(sampled)}."
    return f"{RULES[config.algorithm].name} replaced groups that agree, so this says little about accuracy.{beside}"


def _untrained_role(config, how):
    rule = RULES[config.algorithm]
    return "" if rule.value else f"{rule.name} does not train it; it is measured {how}. "


def _value_loss(value, config, history):
    role = _untrained_role(config, "for comparison")
    if _is_untrained(history) and (role or config.updates_per_batch == 1):
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


def _residual_ratio(value, config, history):
    role = _untrained_role(config, "at the same beta")
    if _is_untrained(history):
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


def _actor_loss(value, config, history):
    rule = RULES[config.algorithm]
    if rule.value and config.actor_coef == 0:
        return "c_A is 0, so the actor term is not trained: the value loss alone drives the policy."
    if rule.surrogate is Surrogate.PLAIN:
        return (
            "−A log π, without a ratio or a clip: its size follows the length of the solutions. Its gradient is "
            "what matters."
        )
    if config.updates_per_batch == 1:
        if _is_untrained(history) and rule.value:
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


def _kl_mean(value, config, history):
    rule = RULES[config.algorithm]
    if _is_untrained(history):
        no_credit = "no token carries credit yet" if rule.value else "credit read off their log-ratios is 0 everywhere"
        return f"Exactly 0: policy and reference are the same model, so {no_credit}."
    cost = ""
    if rule.value is ValueLoss.PLAIN:
        beta = config.at(history[-1]["step"]).beta if history else config.beta
        cost = f" It costs beta x KL = {significant(beta * value)} reward a token."
    if value > 1.0:
        return (
            f"Far from the reference. Unless accuracy is high, the policy is running away: lower "
            f"{_step_size(config)}.{cost}"
        )
    if value < 1e-4:
        credit = "its token credit" if rule.value else "credit read off its log-ratios"
        return f"The policy has hardly moved, so {credit} is numerically flat."
    if _rises_steeply(history, "kl_mean"):
        return f"More than doubled within ten steps. If accuracy does not follow, the policy is running away.{cost}"
    return f"The policy is moving away from the reference, as it must to learn.{cost}"


def _rises_steeply(history, name, window=10):
    """True when the last value is over twice the one `window` steps before, once the first learning is over."""
    recent = [row[name] for row in history if row.get(name) is not None]
    return len(recent) > 4 * window and recent[-1] > 2 * recent[-1 - window] > 0


def _value_range(value, config, history):
    if _is_untrained(history):
        return "Policy and reference are the same model, so V stays where it began."
    if value < 0.01:
        return (
            "Too small to be seen: values are flat. It says nothing about learning; a larger beta makes them readable."
        )
    return f"Within a solution V moves by {percent(value)} of the reward, on average."


def _mistake_auc(value, config, history):
    if _is_untrained(history):
        return "Every δ is 0, so no token stands out."
    recent = [row["mistake_auc"] for row in history if row.get("mistake_auc") is not None][-10:] or [value]
    mean = sum(recent) / len(recent)
    steps = "the last step" if len(recent) == 1 else f"the last {len(recent)} steps"
    over = f"{fixed(mean)} over {steps} (one alone jumps by 0.1 and more)"
    if mean > 0.6:
        return f"Credit is lower at the mistake than at most other tokens: {over}."
    return f"{'About as good as guessing' if mean > 0.4 else 'It points elsewhere'}: {over}."


def _entropy_mean(value, config, history):
    start = first_value(history, "entropy_mean")
    if _is_untrained(history) or start is None:
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


def _length_mean(value, config, history):
    start = first_value(history, "length_mean")
    if start is None or _is_untrained(history):
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


def _clip_fraction(value, config, history):
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


def _dead_group_share(value, config, history):
    del history
    rule = RULES[config.algorithm]
    if Extra.RESAMPLE in rule.extras:
        return (
            "Such groups were replaced by other problems, as often as the settings allow, so that they teach "
            "something after all."
        )
    if rule.value is ValueLoss.OPTIMAL:
        return "These groups teach as others do: R is compared with V* of the reference, not with the group."
    if rule.value and config.cap_v0:
        return "In these groups all solutions are pushed alike: up where they are right and the cap is below 1."
    if not rule.value and not rule.signal.compares_group:
        return "In these groups the reward says nothing about who did better; this rule does not compare within groups."
    if rule.signal is Signal.ABOVE_PLACE:
        return (
            "In these groups every advantage is 0 but where one solution alone is left: its baseline there is 0, "
            "so a right one is pushed up."
        )
    if value > 0.7:
        return (
            "Most groups agree, so most of the batch teaches nothing about the reward. Use larger groups, or "
            "problems that are harder or easier."
        )
    if rule.value:
        return "In these groups R equals its mean: the value loss only pulls their log-ratios back to zero."
    return f"In these groups every advantage is 0: {rule.name} learns nothing from them."


def _dead_group_share_kept(value, config, history):
    del history
    if value > 0.1:
        return (
            f"After {config.resample_rounds} further draws these groups still agree, and teach nothing. Allow more "
            f"draws or use larger groups."
        )
    return "What it trains on: nearly every group has right and wrong solutions to compare."


def _grad_norm_last(value, config, history):
    mean = last_value(history, "grad_norm")
    if mean and value > 2 * mean:
        return (
            f"More than twice the mean over the step's updates ({significant(mean)}): the last ones go too far. "
            f"Use fewer updates."
        )
    return "In line with the step's other updates."


def _grad_norm(value, config, history):
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


def _learning_rate(value, config, history):
    if history and history[-1]["step"] + 1 < config.warmup_steps:
        return f"Still warming up to {config.learning_rate:g}: early gradients are noisy and Adam's averages are empty."
    if config.lr_schedule == "linear":
        return f"Falling linearly from {config.learning_rate:g} to a tenth of it at step {config.steps}."
    return "Constant after the warm-up."


def _tokens_sampled(value, config, history):
    total = sum(row.get("tokens_sampled") or 0 for row in history)
    usual = config.batch_size * (last_value(history, "length_mean") or 0)
    if value > 1.2 * usual > 0:
        return (
            f"{value / usual:.1f} times what is trained on: the rest was drawn to measure values or to replace "
            f"groups that agree."
        )
    return f"{total:,.0f} since the start; compare algorithms by this number where they sample differently."


def _critic_loss(value, config, history):
    del config
    start = first_value(history, "critic_loss")
    if start is None or value >= start:
        return "The critic starts from 0 everywhere and first has to learn the average reward."
    return f"Down from {significant(start)}. It cannot fall below the variance that the rest of a solution still holds."


def _critic_explained(value, config, history):
    del config, history
    if value <= 0:
        return "The critic knows no more than a constant: its advantages are as flat as GRPO's, with its noise added."
    return (
        f"V(s) explains {percent(value)} of who was right, over all tokens; the group mean it replaces knows the "
        f"prompt alone."
    )


def _tokens_per_second(value, config, history):
    del value, history
    threads = "one thread" if config.threads == 1 else f"{config.threads} threads"
    return f"Speed of this machine with {threads}; other work beside it lowers it. It changes nothing in the result."


def _cpu_seconds(value, config, history):
    steps = config.steps - (history[-1]["step"] if history else 0)
    if steps <= 0:
        return "The last step: nothing remains to be trained."
    return f"At this pace the remaining {steps:.0f} steps cost about {significant(steps * value)} CPU seconds."


def _wall_seconds(value, config, history):
    cpu = last_value(history, "cpu_seconds")
    if cpu is None:
        return "Its CPU time was not measured, so nothing says what it waited for."
    if value > 2 * cpu:
        return "Much longer than its CPU time: the machine is busy with something else."
    if value < 0.7 * cpu:
        return "Shorter than its CPU time: several threads share the work."
    return "Close to its CPU time: the worker has a core to itself."


JUDGES: dict[str, Judge] = {
    "sampled_accuracy": _sampled_accuracy,
    "greedy_accuracy": _greedy_accuracy,
    "sampled_reward": _held_out_reward,
    "greedy_reward": _held_out_reward,
    "validation_problems": _validation_problems,
    "measuring_cpu_seconds": _measuring_cpu_seconds,
    "reward_mean": _reward_mean,
    "reward_mean_kept": _reward_mean_kept,
    "kl_mean": _kl_mean,
    "value_loss": _value_loss,
    "residual_ratio": _residual_ratio,
    "value_range": _value_range,
    "mistake_auc": _mistake_auc,
    "entropy_mean": _entropy_mean,
    "dead_group_share": _dead_group_share,
    "dead_group_share_kept": _dead_group_share_kept,
    "length_mean": _length_mean,
    "actor_loss": _actor_loss,
    "clip_fraction": _clip_fraction,
    "clip_fraction_last": _clip_fraction,
    "grad_norm": _grad_norm,
    "grad_norm_last": _grad_norm_last,
    "learning_rate": _learning_rate,
    "tokens_sampled": _tokens_sampled,
    "critic_loss": _critic_loss,
    "critic_explained": _critic_explained,
    "tokens_per_second": _tokens_per_second,
    "cpu_seconds": _cpu_seconds,
    "wall_seconds": _wall_seconds,
}
"""By the name of a metric; one that is missing says what to expect of it."""
