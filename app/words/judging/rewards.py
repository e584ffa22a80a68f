"""What to make of accuracies, rewards and groups that agree."""

from __future__ import annotations

from app.words.judging.history import early, is_untrained, noise_of, step_size
from vimpo_core.measure.metrics import first_value, last_value, validation_problems
from vimpo_core.numbers import percent, significant
from vimpo_core.rules import RULES, Extra, Signal, ValueLoss
from vimpo_core.tasks.registry import task_of


def sampled_accuracy(value, config, history):
    count = validation_problems(config, history)
    fewer = f" ({config.eval_prompts} were asked for, there are no more)" if count < config.eval_prompts else ""
    noise = f"With {count} validation problems{fewer} it is known to about ±{100 * noise_of(value, count):.0f} points."
    start = first_value(history, "sampled_accuracy")
    if is_untrained(history) or start is None:
        return f"The reference model before any learning. {noise}"
    gain = value - start
    if gain < -noise_of(start, count):
        return f"Below where it began ({percent(start)}). Look at KL and entropy, then lower {step_size(config)}."
    if gain < noise_of(start, count):
        patience = (
            "Give it more steps." if early(config, history) else "No clear gain yet; a higher learning rate may help."
        )
        return f"Within the noise of where it began ({percent(start)}). {patience}"
    return f"Up {100 * gain:.0f} points from {percent(start)} before training. {noise}"


def greedy_accuracy(value, config, history):
    sampled = last_value(history, "sampled_accuracy")
    if sampled is not None and value < sampled - 0.03:
        return "Greedy below sampled is unusual: the most likely token is often the wrong one. Read some solutions."
    start = first_value(history, "greedy_accuracy")
    if start is not None and value < start - noise_of(start, validation_problems(config, history)):
        return (
            f"It fell from {percent(start)}: training has damaged what the reference could do. Lower the learning rate."
        )
    gap = (
        f" The gap to sampled accuracy ({percent(sampled)}) is what the dice still cost." if sampled is not None else ""
    )
    return f"What the model answers when it always takes its favourite token.{gap}"


def held_out_reward(value, config, history):
    count = validation_problems(config, history)
    # A reward within 0 and 1 spreads at most as far as a share with its mean.
    return f"On {count} validation problems, known to about ±{noise_of(value, count):.2f} or better. 1 is all right."


def problems_there(value, config, history):
    del history
    return f"{config.eval_prompts} were asked for (eval_prompts); the validation split holds no more."


def reward_mean(value, config, history):
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


def reward_mean_kept(value, config, history):
    del value
    sampled = last_value(history, "reward_mean")
    beside = "" if sampled is None else f" All that was first sampled averages {significant(sampled)}."
    return f"{RULES[config.algorithm].name} replaced groups that agree, so this says little about accuracy.{beside}"


def dead_group_share(value, config, history):
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


def dead_group_share_kept(value, config, history):
    del history
    if value > 0.1:
        return (
            f"After {config.resample_rounds} further draws these groups still agree, and teach nothing. Allow more "
            f"draws or use larger groups."
        )
    return "What it trains on: nearly every group has right and wrong solutions to compare."
