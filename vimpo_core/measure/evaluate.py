"""Accuracy on held-out problems, sampled and greedy. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vimpo_core.intervals import Share, mean_bounds, wilson
from vimpo_core.lm import sampler
from vimpo_core.lm.attempts import attempt
from vimpo_core.lm.models import LanguageModel
from vimpo_core.tasks import Task
from vimpo_core.tasks.registry import held_out

_ROWS = 128
"""Problems that are sampled together: bounds memory, changes no result."""

HOWS = ("sampled", "greedy")
Told = Callable[[int, int], None]
"""Is told how many solutions are judged, and of how many."""


def while_training(policy: LanguageModel, model, task: Task, prompts: int, seed: int) -> dict[str, float]:
    """What a training step keeps of a measurement on validation problems; {} where the split holds none.

    sampled_accuracy and greedy_accuracy; sampled_reward and greedy_reward where the task gives parts of a reward;
    validation_problems where there are fewer than were asked for. Arguments as in `rewards`.
    """
    found = {how: earned for how, earned in rewards(policy, model, task, "validation", prompts, seed).items() if earned}
    metrics = {f"{how}_accuracy": share_right(earned).mean for how, earned in found.items()}
    if task.gives_partial_rewards:
        metrics |= {f"{how}_reward": mean_reward(earned).mean for how, earned in found.items()}
    if found and (count := len(found["greedy"])) < prompts:
        metrics["validation_problems"] = float(count)
    return metrics


def share_right(earned: Sequence[float]) -> Share:
    """Share of solutions that earned the whole reward."""
    return wilson(sum(reward == 1 for reward in earned), len(earned))


def mean_reward(earned: Sequence[float]) -> Share:
    """Mean reward of solutions, with its 95% interval: above the share of right ones where parts are earned."""
    low, high = mean_bounds(earned)
    return Share(sum(earned) / len(earned), float(low), float(high), len(earned))


def outcomes(
    policy: LanguageModel,
    model,
    task: Task,
    split: str,
    prompts: int,
    seed: int,
    told: Told | None = None,
    hows: Sequence[str] = HOWS,
) -> dict[str, list[bool]]:
    """Which problems are solved, and earn the whole reward. Arguments as in `rewards`."""
    found = rewards(policy, model, task, split, prompts, seed, told, hows)
    return {how: [reward == 1 for reward in earned] for how, earned in found.items()}


def rewards(
    policy: LanguageModel,
    model,
    task: Task,
    split: str,
    prompts: int,
    seed: int,
    told: Told | None = None,
    hows: Sequence[str] = HOWS,
) -> dict[str, list[float]]:
    """What a solution to each problem earns: one that is sampled ("sampled"), and the most probable tokens ("greedy").

    Args:
        policy: for tokenizer and end token; model: what is sampled, the adapter folded in.
        prompts: fewer are measured where the split holds fewer. split: "validation" while training, "test" for reports;
            the problems are the same for every run.
        told: how far it is. hows: which of `HOWS` to measure.
    """
    problems = held_out(task, split, prompts)
    uniforms = sampler.uniforms_of(seed, len(problems), task.max_new_tokens)
    found: dict = {}
    for how in hows:
        found[how] = []
        for start in range(0, len(problems), _ROWS):
            some = problems[start : start + _ROWS]
            _, verdicts = attempt(
                policy,
                model,
                task,
                some,
                1,
                seed,
                greedy=how == "greedy",
                uniforms=uniforms[start : start + _ROWS],
            )
            found[how] += [verdict.reward for verdict in verdicts]
            if told is not None:
                told(sum(map(len, found.values())), len(hows) * len(problems))
    return found
