"""A network on a task as the `TokenProcess` that ground truth asks questions of. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vimpo_core.lm import sampler, scores
from vimpo_core.lm.attempts import judge, judge_all
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.prompts import prompt_ids_of
from vimpo_core.measure.truth import State, TokenIds, TokenProcess
from vimpo_core.tasks import Task
from vimpo_core.types import Problem

_LOGITS = 2**24
"""Numbers of a chunk of logits: bounds memory, changes no result."""


def process_of(policy: LanguageModel, model, task: Task, problems: Sequence[Problem]) -> TokenProcess:
    """The process of `model` on these problems of a task.

    Args:
        policy: for tokenizer, end token and padding.
        model: what decides the tokens: the adapter folded in (`models.merged`) for V^pi, `models.reference` for p_ref.
            `models.merged` changes the reference's weights meanwhile, so use one of them after the other.
        problems: whose prompts may be asked about.
    """
    by_prompt = {prompt_ids_of(policy, task, p): p for p in problems}
    judged: dict[tuple[TokenIds, TokenIds], float] = {}

    def reward(prompt: TokenIds, ids: TokenIds) -> float:
        # Most rollouts of a prefix end alike: read and verify each completion once.
        if (prompt, ids) not in judged:
            judged[prompt, ids] = judge(policy, task, by_prompt[prompt], ids).reward
        return judged[prompt, ids]

    def judge_unseen(solutions: list[tuple[TokenIds, TokenIds]]) -> None:
        # All at once: a judge may be another process.
        unseen = [one for one in dict.fromkeys(solutions) if one not in judged]
        verdicts = judge_all(policy, task, [(by_prompt[prompt], ids) for prompt, ids in unseen]) if unseen else ()
        judged.update((one, verdict.reward) for one, verdict in zip(unseen, verdicts, strict=True))

    def complete(states: list[State], uniforms: list[np.ndarray]) -> list[list[TokenIds]]:
        counts, budgets = [len(u) for u in uniforms], [u.shape[1] for u in uniforms]
        table = np.zeros((sum(counts), max(budgets)))
        for start, rows in zip(np.cumsum([0, *counts[:-1]]), uniforms, strict=True):
            table[start : start + len(rows), : rows.shape[1]] = rows
        rollouts = sampler.sample(
            model,
            [s.prompt for s in states],
            counts,
            budgets,
            policy.end_ids,
            policy.pad_id,
            seed=0,  # not read: the uniforms are given
            prefixes=[s.prefix for s in states],
            uniforms=torch.from_numpy(table),
        )
        ids = iter(r.ids for r in rollouts)
        found = [[next(ids) for _ in range(n)] for n in counts]
        judge_unseen([(s.prompt, (*s.prefix, *rest)) for s, rows in zip(states, found, strict=True) for rest in rows])
        return found

    @torch.no_grad()
    def draw_ranges(solutions: list[State]) -> list[np.ndarray]:
        found = []
        for chunk in _in_chunks(policy, solutions):
            batch = scores.make_batch(
                [s.prompt for s in chunk], [s.prefix for s in chunk], policy.pad_id, policy.device
            )
            ranges = sampler.draw_ranges(scores.completion_logits(model, batch), batch.completion_ids)
            found += [r[: len(s.prefix)] for r, s in zip(ranges.cpu().numpy(), chunk, strict=True)]
        return found

    @torch.no_grad()
    def next_logprobs(states: list[State]) -> np.ndarray:
        found = []
        for chunk in _in_chunks(policy, states):
            # A made-up next token: what is read is the distribution it would be drawn from.
            batch = scores.make_batch(
                [(*s.prompt, *s.prefix) for s in chunk], [(0,)] * len(chunk), policy.pad_id, policy.device
            )
            logits = scores.completion_logits(model, batch)[:, 0]
            found.append(torch.log_softmax(logits.double(), dim=-1).cpu().numpy())
        return np.concatenate(found)

    return TokenProcess(policy.end_ids, task.max_new_tokens, complete, draw_ranges, next_logprobs, reward)


def _in_chunks(policy, states):
    """As many states at a time as keep the logits below `_LOGITS` numbers."""
    width = max(len(s.prompt) + len(s.prefix) for s in states) + 1
    rows = max(1, _LOGITS // (width * policy.model.config.vocab_size))
    return (states[i : i + rows] for i in range(0, len(states), rows))
