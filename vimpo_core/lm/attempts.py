"""Solutions sampled and judged: written once for training, accuracy, solution sets and labs. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence

from vimpo_core.lm import models, sampler
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.prompts import prompt_ids_of
from vimpo_core.tasks import Answer, Task
from vimpo_core.types import Problem, Rollout, StopReason, Verdict


def attempt(
    policy: LanguageModel,
    model,
    task: Task,
    problems: Sequence[Problem],
    size: int,
    seed: int,
    greedy: bool = False,
    uniforms=None,
    states_at: int = 0,
) -> tuple[list[Rollout], list[Verdict]]:
    """`size` solutions to each problem, and what the verifier makes of them.

    Args:
        policy: for tokenizer and end tokens; model: what is sampled, such as the adapter folded in (`models.merged`).
        seed, greedy, uniforms, states_at: as for `sampler.sample`.

    Returns:
        Rollouts and verdicts, both with `size` rows a problem in the order of the problems.
    """
    rollouts = sampler.sample(
        model,
        [prompt_ids_of(policy, task, p) for p in problems],
        size,
        task.max_new_tokens,
        policy.end_ids,
        policy.pad_id,
        seed,
        greedy=greedy,
        uniforms=uniforms,
        states_at=states_at,
    )
    return rollouts, task.verify_all(
        [
            Answer(problems[i // size], models.completion_text(policy, r.ids, task.end), r.finish_reason)
            for i, r in enumerate(rollouts)
        ]
    )


def judge(policy: LanguageModel, task: Task, problem: Problem, ids, finish: StopReason | None = None) -> Verdict:
    """What the verifier makes of tokens; `finish` None: they ended if their last one is an end token."""
    if finish is None:
        finish = finish_of(policy, ids)
    return task.verify(problem, models.completion_text(policy, ids, task.end), finish)


def judge_all(policy: LanguageModel, task: Task, solutions: Sequence[tuple[Problem, Sequence[int]]]) -> list[Verdict]:
    """`judge` of many, asked at once."""
    return task.verify_all(
        [Answer(p, models.completion_text(policy, ids, task.end), finish_of(policy, ids)) for p, ids in solutions]
    )


def finish_of(policy: LanguageModel, ids) -> StopReason:
    """How tokens ended of which nothing else is known."""
    return StopReason.EOS if len(ids) and int(ids[-1]) in policy.end_ids else StopReason.LENGTH
