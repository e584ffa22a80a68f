"""What each number of a training step is: its name, its unit, what to expect, and which rules never have it.

A registry, not computations: the trainer measures. What to make of a value is said in `app/words/judges.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vimpo_core.config import TrainConfig
from vimpo_core.numbers import percent, significant
from vimpo_core.rules import RULES, Extra, Surrogate
from vimpo_core.tasks.registry import held_out, task_of
from vimpo_core.types import known

Row = Mapping[str, float | None]
"""One step as `RunStore.metrics` returns it: {"step": n, name: value}. Absent: not measured; None: not finite."""


@dataclass(frozen=True)
class Metric:
    """One measured quantity of a step with its words.

    `unit` is "share" (shown in percent), or the unit's name, "" for none; `expected` is a range in words; `better` is
    the direction that is good in itself.
    """

    name: str
    label: str
    unit: str
    definition: str
    expected: str
    better: Literal["up", "down", "neither"]

    def text(self, value: float | None) -> str:
        """The value as it is shown: "71 %", "0.034", "1,240"; a dash when there is none."""
        if value is None or not math.isfinite(value):
            return "–"
        if self.unit == "share":
            return percent(value)
        return significant(value)


def why_never(name: str, config: TrainConfig) -> str:
    """Why a run of these settings never has this metric; "" if it may have it."""
    rule = RULES[config.algorithm]
    if name == "actor_loss" and rule.advantages is None:
        return f"{rule.name} has no actor: its value loss is all that it trains."
    if name.startswith("clip_fraction") and rule.surrogate is not Surrogate.CLIP:
        return f"{rule.name} has no ratio, so there is nothing to clip."
    if name.endswith("_last") and config.updates_per_batch == 1:
        return "One update a batch: the last is the only one."
    if name.endswith("_kept") and Extra.RESAMPLE not in rule.extras:
        return f"{rule.name} trains on all that it samples."
    task = task_of(config)
    if name.endswith("_reward") and not task.gives_partial_rewards:
        return "Its task gives the whole reward or none: the accuracy is the mean reward."
    if name == "validation_problems" and task.makes_its_problems:
        return "Its problems are made: there are as many as are asked for, or all that differ."
    if name.startswith("critic_") and Extra.CRITIC not in rule.extras:
        return f"{rule.name} has no learned critic."
    return ""


def first_value(history: Sequence[Row], name: str) -> float | None:
    """The earliest recorded value of a metric, None when there is none."""
    return next((row[name] for row in history if row.get(name) is not None), None)


def last_value(history: Sequence[Row], name: str) -> float | None:
    """The newest recorded value of a metric, None when there is none."""
    return next((row[name] for row in reversed(history) if row.get(name) is not None), None)


def measuring_share(history: Sequence[Row]) -> float | None:
    """Share of the steps' CPU time that measurements on held-out problems took; None where nothing says, as of runs of
    earlier versions."""
    took = [row.get("measuring_cpu_seconds") for row in history if row.get("sampled_accuracy") is not None]
    total = sum(row.get("cpu_seconds") or 0.0 for row in history)
    return sum(map(known, took)) / total if total and None not in took else None


def series(rows: Sequence[Row], name: str) -> tuple[list[int], list[float | None]]:
    """Steps and values at which a metric was measured; a non-finite value stays in as None, so that it shows as a
    gap.
    """
    measured = [row for row in rows if name in row]
    return [int(known(row["step"])) for row in measured], [_finite(row[name]) for row in measured]


def thin(steps: list[int], values: list[float | None], limit: int = 500) -> tuple[list[int], list[float | None]]:
    """At most `limit` points that keep the curve's shape: the first, the last, and each bucket's lowest, highest and
    first gap.

    Raises:
        ValueError: limit is below 5 (one bucket needs three points between the ends).
    """
    if limit < 5:
        raise ValueError(f"limit must be at least 5 points to keep a curve's shape, got {limit}. Use 500.")
    if len(steps) <= limit:
        return steps, values
    buckets = (limit - 2) // 3
    width = (len(steps) - 2) / buckets
    kept = {0, len(steps) - 1}
    for b in range(buckets):
        indices = range(1 + int(b * width), 1 + int((b + 1) * width))
        finite = {i: value for i in indices if (value := values[i]) is not None}
        gaps = [i for i in indices if values[i] is None]
        kept.update(gaps[:1])
        if finite:
            kept.update((min(finite, key=finite.__getitem__), max(finite, key=finite.__getitem__)))
    order = sorted(kept)
    return [steps[i] for i in order], [values[i] for i in order]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def validation_problems(config: TrainConfig, history: Sequence[Row]) -> int:
    """How many held-out problems the measurements of a run have: what it recorded where there are fewer than were asked
    for, else those asked for, or all there are where that is known without opening a file or a library.
    """
    if (recorded := last_value(history, "validation_problems")) is not None:
        return int(recorded)
    task = task_of(config)
    return len(held_out(task, "validation", config.eval_prompts)) if task.makes_its_problems else config.eval_prompts


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "sampled_accuracy",
            "Sampled accuracy",
            "share",
            "Share of the run's validation problems (setting eval_prompts; never trained on) solved by one solution "
            "sampled at temperature 1. Reports use the test problems instead.",
            "35 to 50 % before training; 70 % and more after 100 steps.",
            "up",
        ),
        Metric(
            "greedy_accuracy",
            "Greedy accuracy",
            "share",
            "Share of the run's validation problems (setting eval_prompts; never trained on) solved when the most "
            "likely token is always taken. Reports use the test problems instead.",
            "About 80 % before training, slowly rising; never much below that.",
            "up",
        ),
        Metric(
            "sampled_reward",
            "Held-out reward, sampled",
            "reward",
            "Mean reward, parts of it included, of one solution sampled at temperature 1 to each of the run's "
            "validation problems; no flips. Only where a task gives parts of a reward.",
            "Above sampled accuracy; it rises before whole rewards do.",
            "up",
        ),
        Metric(
            "greedy_reward",
            "Held-out reward, greedy",
            "reward",
            "Mean reward, parts of it included, of the most likely solution to each of the run's validation problems. "
            "Only where a task gives parts of a reward.",
            "Above greedy accuracy.",
            "up",
        ),
        Metric(
            "validation_problems",
            "Validation problems there are",
            "",
            "How many problems a measurement has where the validation split holds fewer than eval_prompts.",
            "Nothing is recorded where there are enough.",
            "neither",
        ),
        Metric(
            "reward_mean",
            "Mean reward",
            "reward",
            "Mean reward of the solutions first sampled for this step, flips included; before a rule such as DAPO "
            "replaces any.",
            "Near sampled accuracy when no reward is flipped, above it where parts of a reward are earned; noisy from "
            "step to step.",
            "up",
        ),
        Metric(
            "reward_mean_kept",
            "Mean reward, as trained on",
            "reward",
            "Mean reward of what a rule that draws other problems for agreeing groups trained on, flips included.",
            "Nearer to one half than the mean reward: groups that were all right or all wrong are gone.",
            "neither",
        ),
        Metric(
            "kl_mean",
            "KL to the reference",
            "nats a token",
            "Mean over tokens of KL(policy, reference), summed exactly over the whole vocabulary.",
            "0 at step 0, then a slow rise; below 0.1 over the first 100 steps with the defaults.",
            "neither",
        ),
        Metric(
            "value_loss",
            "Value loss",
            "reward²",
            "Half the mean squared terminal residual: how badly the log-ratios of a solution add up to its reward. "
            "Rules that train it record its mean over the step's updates, others measure it before them.",
            "About 0.09 at the start and never above 0.125 there, then falling.",
            "down",
        ),
        Metric(
            "residual_ratio",
            "Terminal residual",
            "of its target",
            "Root mean square of the terminal residual, divided by that of its target, R minus the baseline.",
            "1 at step 0, then mostly 0.9 to 1.05 with the defaults; the lower, the more V knows. Its floor in groups "
            "of G is 1/√G, not 0.",
            "down",
        ),
        Metric(
            "value_range",
            "How far V moves",
            "of a reward",
            "Largest minus smallest V within a solution, V_0 included, mean over the step's solutions; a whole reward "
            "is 1.",
            "0 before the first update, then about half of beta with the defaults: some 0.05 at beta 0.1, invisible at "
            "0.0005.",
            "neither",
        ),
        Metric(
            "mistake_auc",
            "Credit finds the mistake",
            "",
            "Chance that δ is lower at the first wrong token of a wrong solution than at another of its tokens, mean "
            "over the step's wrong solutions in which it is known.",
            "0.5 before the first update, which is guessing; some 0.6 to 0.8 with VIMPO at beta 0.3.",
            "up",
        ),
        Metric(
            "entropy_mean",
            "Entropy",
            "nats a token",
            "Mean entropy of the policy's next-token distribution.",
            "About 0.23 before training, falling slowly; the free separators keep it above 0.1.",
            "neither",
        ),
        Metric(
            "dead_group_share",
            "Dead groups",
            "share",
            "Share of the prompt groups first sampled in which all solutions got the same reward.",
            "Small at first, rising with accuracy; above 70 % learning stalls.",
            "down",
        ),
        Metric(
            "dead_group_share_kept",
            "Dead groups, as trained on",
            "share",
            "Share of agreeing groups in what a rule that draws other problems for them trained on.",
            "Near 0; higher when the allowed draws do not suffice.",
            "down",
        ),
        Metric(
            "length_mean",
            "Solution length",
            "tokens",
            "Mean number of tokens of a solution, the end token included.",
            "About 7, 14, 23 or 35 for 3, 4, 5 or 6 numbers.",
            "neither",
        ),
        Metric(
            "actor_loss",
            "Actor loss",
            "",
            "What the actor descends on: the clipped surrogate averaged over tokens, or for rules without a ratio −A "
            "log π summed over each solution. Mean over the step's updates; it holds no reward in VIMPO.",
            "Near 0 with one update a batch; a few units for rules without a ratio.",
            "neither",
        ),
        Metric(
            "clip_fraction",
            "Clip fraction",
            "share",
            "Share of tokens whose gradient the clip or the dual clip removed, since the ratio left its range in the "
            "direction of the update. Mean over the step's updates, the first of which clips nothing.",
            "0 with one update a batch; up to 20 % with several.",
            "neither",
        ),
        Metric(
            "clip_fraction_last",
            "Clip fraction, last update",
            "share",
            "The clip fraction of the last update on the step's batch, where the ratio is farthest from 1.",
            "Above the mean over the updates; up to 30 %.",
            "neither",
        ),
        Metric(
            "grad_norm",
            "Gradient norm",
            "",
            "Length of the adapter's gradient before it is shortened, mean over the step's updates.",
            "Mostly 0.1 to 0.4 with the defaults, without a trend upwards.",
            "neither",
        ),
        Metric(
            "grad_norm_last",
            "Gradient norm, last update",
            "",
            "Length of the adapter's gradient at the last update on the step's batch, before it is shortened.",
            "Near the mean over the updates; far above it the updates go too far.",
            "neither",
        ),
        Metric(
            "learning_rate",
            "Learning rate",
            "",
            "Adam's step size at this step, warm-up and schedule applied.",
            "Rises over the warm-up, then as scheduled.",
            "neither",
        ),
        Metric(
            "tokens_sampled",
            "Tokens sampled",
            "tokens",
            "All tokens sampled in this step, those of discarded groups and of Monte Carlo values included.",
            "Batch size times solution length; three times that and more for VinePPO.",
            "down",
        ),
        Metric(
            "critic_loss",
            "Critic loss",
            "reward²",
            "Half the mean squared error of the learned critic against its returns, clipped as PPO does it; mean over "
            "its updates on the batch.",
            "Near 0.2 at the start, then falling towards 0.1.",
            "down",
        ),
        Metric(
            "critic_explained",
            "Critic: explained variance",
            "share",
            "Share of the variance of the reward over the tokens of a batch that the learned critic's V(s) explains.",
            "0 at the start; 1 is out of reach, since early tokens cannot know how it ends.",
            "up",
        ),
        Metric(
            "tokens_per_second",
            "Tokens a second",
            "tokens/s",
            "Tokens sampled in this step divided by the step's wall-clock time.",
            "Thousands on one laptop core with the bundled model.",
            "up",
        ),
        Metric(
            "cpu_seconds",
            "CPU time a step",
            "s",
            "Processor time of the step: sampling, scoring, update and measurements.",
            "About 0.2 s on one core with the defaults; more at the steps that measure accuracy.",
            "down",
        ),
        Metric(
            "measuring_cpu_seconds",
            "CPU time of a measurement",
            "s",
            "Processor time that the step spent on its measurement on validation problems, part of its CPU time.",
            "A tenth of what the steps between two measurements take, or less.",
            "down",
        ),
        Metric(
            "wall_seconds",
            "Time a step",
            "s",
            "Time of the step on a monotonic clock.",
            "Near its CPU time on an idle machine.",
            "down",
        ),
    )
}
