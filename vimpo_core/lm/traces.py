"""From a step's tensors to `CreditTrace` records: NumPy float32, readable token texts. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.intervals import all_or_nothing
from vimpo_core.lm import models
from vimpo_core.lm.attempts import finish_of, judge
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.scores import Scores
from vimpo_core.solutions.pieces import character_counts
from vimpo_core.tasks import Task
from vimpo_core.types import CreditTrace, Problem, Rollout, TopK, Verdict, known


def make_traces(
    policy: LanguageModel,
    task: Task,
    step: int,
    attempts: tuple[Sequence[Problem], Sequence[Rollout], Sequence[Verdict]],
    measured: Scores,
    rewards: torch.Tensor,
    group_ids: torch.Tensor,
    reference_rate: torch.Tensor | None = None,
    reference_rewards: np.ndarray | None = None,
    extra: Mapping[str, torch.Tensor | None] = MappingProxyType({}),
    config: TrainConfig | None = None,
) -> list[CreditTrace]:
    """One trace a rollout, in order.

    Args:
        attempts: problems, rollouts and verdicts, one a row; measured: their scores, [B, T].
        rewards: [B], as the trainer saw them, flips included; group_ids: int [B], rows of a group together.
        reference_rate: [B], the reference's success rate on each row's problem, where it was tried;
        reference_rewards: [B, n], the rewards that it is made of.
        extra: further arrays of a trace by name, [B, T] or [B, T+1]; None: not measured.
        config: of the run that they belong to.
    """
    arrays, topk = _arrays(measured)
    baseline = credit.group_mean(rewards, group_ids).tolist()
    seen, groups = rewards.tolist(), group_ids.tolist()
    more_arrays = {
        name: (array.detach().cpu().numpy().astype(np.float32), array.shape[1] - measured.logprobs.shape[1])
        for name, array in extra.items()
        if array is not None
    }
    rates: list[float] | None = None if reference_rate is None else reference_rate.tolist()
    partial = reference_rewards is not None and not all_or_nothing(reference_rewards).all()
    of_group = {g: tuple(r for r, h in zip(seen, groups, strict=True) if h == g) for g in set(groups)}
    traces = []
    for row, (problem, rollout, verdict) in enumerate(zip(*attempts, strict=True)):
        first = groups.index(groups[row])
        length, text = len(rollout.ids), models.token_texts(policy, rollout.ids)
        of_row: dict[str, Any] = {name: a[row, :length] for name, a in arrays.items()}
        of_row |= {name: a[row, : length + more] for name, (a, more) in more_arrays.items()}
        traces.append(
            CreditTrace(
                step=step,
                group_id=groups[row],
                sample_idx=row - first,
                reward=seen[row],
                group_mean_reward=baseline[row],
                group_rewards=of_group[groups[row]],
                config=config,
                reference_rate=None if rates is None else rates[row],
                reference_rewards=tuple(known(reference_rewards)[row].tolist()) if partial else None,
                prompt_ids=rollout.prompt_ids,
                prompt_pieces=_prompt_pieces(policy, problem, rollout.prompt_ids) if row == first else (),
                ids=np.asarray(rollout.ids, dtype=np.int32),
                sampler_logprob=rollout.sampler_logprob.astype(np.float32),
                topk=topk and top_k_of(policy, topk, row, length),
                provenance=dict.fromkeys((*arrays, "sampler_logprob", *more_arrays), "recorded"),
                **_judged(policy, task, problem, verdict, rollout.ids, text, rollout.finish_reason),
                **of_row,
            )
        )
    return traces


def trace_of_text(
    policy: LanguageModel, task: Task, step: int, problem, batch, measured, config: TrainConfig | None = None
) -> CreditTrace:
    """The trace of one typed completion, scored as a batch of one row. It belongs to no group: its baseline is missing.

    `group_mean_reward` is nan, and the sampler's logprobs are missing, since nothing was sampled. config: of the
    policy's run.
    """
    arrays, topk = _arrays(measured)
    if measured.top_k_kl is not None:
        arrays["top_k_kl"] = measured.top_k_kl.detach().cpu().numpy().astype(np.float32)
    ids = batch.completion_ids[0].tolist()
    text = models.token_texts(policy, ids)
    finish = finish_of(policy, ids)
    verdict = judge(policy, task, problem, ids, finish)
    return CreditTrace(
        step=step,
        group_id=0,
        sample_idx=0,
        reward=verdict.reward,
        group_mean_reward=float("nan"),
        config=config,
        prompt_ids=(prompt_ids := tuple(batch.prompts[0].tolist())),
        prompt_pieces=_prompt_pieces(policy, problem, prompt_ids),
        ids=np.asarray(ids, dtype=np.int32),
        topk=topk and top_k_of(policy, topk, 0, len(ids)),
        provenance={**dict.fromkeys(arrays, "recomputed"), "sampler_logprob": "missing"},
        **_judged(policy, task, problem, verdict, ids, text, finish),
        **{name: a[0] for name, a in arrays.items()},
    )


def _prompt_pieces(policy, problem, prompt_ids) -> tuple[str, ...]:
    """The tokens of a prompt as the model saw it; () where they are the problem's own characters."""
    seen = models.token_texts(policy, prompt_ids)
    return () if seen == tuple(problem.prompt) else seen


def _arrays(measured):
    """Scores as float32 arrays by schema name, and the top-k arrays or None."""
    arrays = {
        "logprob": measured.logprobs,
        "ref_logprob": measured.ref_logprobs,
        "kl": measured.kl,
        "entropy": measured.entropy,
    }
    arrays = {name: a.detach().cpu().numpy().astype(np.float32) for name, a in arrays.items()}
    topk = (measured.topk_ids, measured.topk_logprobs, measured.topk_ref_logprobs)
    return arrays, None if topk[0] is None else [a.detach().cpu().numpy() for a in topk]


def _judged(policy, task, problem, verdict, ids, text, finish_reason) -> dict:
    """The fields of a trace that tell the problem and the verdict."""
    wrong_character = task.first_wrong(problem, models.completion_text(policy, ids, task.end))
    return {
        "prompt_text": problem.prompt,
        "gold": problem.gold,
        "finish_reason": finish_reason,
        "text": text,
        "mask": np.ones(len(text), dtype=bool),
        "rewards": {"verifier": verdict.reward},
        "reward_reason": verdict.reason,
        "status": str(verdict.status),
        "answer": verdict.answer,
        "first_wrong": token_of_character(text, wrong_character),
    }


def token_of_character(text: tuple[str, ...], character: int | None) -> int | None:
    """Index of the token that a character of the decoded text begins in; None for None or a place past the end."""
    if character is None:
        return None
    ends = np.cumsum(character_counts(text))
    token = int(np.searchsorted(ends, character, side="right"))
    return token if token < len(text) else None


def top_k_of(policy, topk, row, length) -> TopK:
    ids, logprob, ref_logprob = (a[row, :length] for a in topk)
    text = [[policy.text_of(int(i)) for i in line] for line in ids]
    return TopK(ids.astype(np.int32), text, logprob.astype(np.float32), ref_logprob.astype(np.float32))
