"""Accuracy on held-out problems, sampled and greedy. Imports torch."""

from __future__ import annotations

from collections.abc import Callable

from vimpo_core.intervals import Share, wilson
from vimpo_core.lm import sampler
from vimpo_core.lm.attempts import attempt
from vimpo_core.lm.models import LanguageModel
from vimpo_core.tasks import Task
from vimpo_core.tasks.registry import held_out

_ROWS = 128
"""Problems that are sampled together: bounds memory, changes no result."""

Told = Callable[[int, int], None]
"""Is told how many solutions are judged, and of how many."""


def accuracies(
    policy: LanguageModel,
    model,
    task: Task,
    split: str,
    prompts: int,
    seed: int,
    told: Told | None = None,
) -> dict[str, Share]:
    """Share of right answers, with 95% intervals over that many different problems: {"sampled": Share, "greedy":
    Share}.

    {} where no problem is asked for, or the split holds none. Arguments as in `outcomes`.
    """
    found = outcomes(policy, model, task, split, prompts, seed, told)
    return {how: wilson(sum(right), len(right)) for how, right in found.items() if right}


def outcomes(
    policy: LanguageModel,
    model,
    task: Task,
    split: str,
    prompts: int,
    seed: int,
    told: Told | None = None,
) -> dict[str, list[bool]]:
    """Which problems are solved: by one sample each ("sampled") and by the most probable tokens ("greedy").

    Args:
        policy: for tokenizer and end token; model: what is sampled, the adapter folded in.
        prompts: fewer are measured where the split holds fewer. split: "validation" while training, "test" for reports;
            the problems are the same for every run.
        told: how far it is.
    """
    problems = held_out(task, split, prompts)
    uniforms = sampler.uniforms_of(seed, len(problems), task.max_new_tokens)
    found: dict = {}
    for how in ("sampled", "greedy"):
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
            found[how] += [verdict.reward == 1 for verdict in verdicts]
            if told is not None:
                told(sum(map(len, found.values())), 2 * len(problems))
    return found
