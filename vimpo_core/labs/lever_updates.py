"""The updates behind `levers`: real optimizer steps of a LoRA adapter on one batch, replayed from the list of presses.

Nothing is kept for a visitor: a request carries all its presses. The states after earlier ones are kept for whoever
shares a beginning, so that one more press costs one update. Each lever has an Adam of its own (no press is moved by the
momentum of another loss); Adam divides by the gradient's size, so c_A counts only where both losses are stepped
together. Imports torch.
"""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import torch

from vimpo_core import credit, losses
from vimpo_core.config import TrainConfig
from vimpo_core.labs.levers import OPERANDS, PROMPTS, SAMPLES, Levers, Moment, Pressed
from vimpo_core.lm import loading, models, scores
from vimpo_core.lm.attempts import attempt
from vimpo_core.lm.scores import Batch, Scores
from vimpo_core.lm.traces import trace_of_text
from vimpo_core.runs import bases
from vimpo_core.tasks.registry import task_of
from vimpo_core.types import CreditTrace

MAX_GRAD_NORM = TrainConfig().max_grad_norm
TOP_K = 3
_CANDIDATES = 16
"""Prompts that are tried at a time for a batch."""
_KEPT_BATCHES = 32
_KEPT_STATES = 256
"""Adapter states that are kept: some 0.5 MB each with the moments of up to three Adams."""


@dataclass(frozen=True)
class _Sampled:
    """The batch as tensors and as traces. rewards, group_ids: [B]; old_logprobs, ref_logprobs: nats, [B, T]."""

    batch: Batch
    old_logprobs: torch.Tensor
    ref_logprobs: torch.Tensor
    rewards: torch.Tensor
    group_ids: torch.Tensor
    solutions: tuple[CreditTrace, ...]


@dataclass(frozen=True)
class _State:
    """The adapter after some presses, the Adams so far by lever, the moment, and the last press's gradient norm."""

    adapter: list[torch.Tensor]
    adams: dict[str, dict]
    moment: Moment
    grad_norm: float | None = None


_states: OrderedDict[Levers, _State] = OrderedDict()


def press(asked: Levers) -> Pressed:
    """Replay the presses and measure the batch before and after the last one."""
    _forget_another_model(bases.stamp("bundled"))
    sampled = sample_batch(asked.batch)
    before = after = _state(replace(asked, presses=""), sampled)
    for count in range(1, len(asked.presses) + 1):
        before, after = after, _state(replace(asked, presses=asked.presses[:count]), sampled, after)
    return Pressed(asked, sampled.solutions, before.moment, after.moment, after.grad_norm)


@functools.lru_cache(maxsize=1)
def _forget_another_model(stamp: tuple) -> None:
    """Everything kept is of the model whose files have this stamp: called with another one, nothing is."""
    for kept in (_policy, _untrained, sample_batch):
        kept.cache_clear()
    _states.clear()


@functools.lru_cache(maxsize=1)
def _policy() -> models.LanguageModel:
    models.single_thread()
    return loading.load_policy(TrainConfig())


@functools.lru_cache(maxsize=1)
def _untrained() -> list[torch.Tensor]:
    return [p.detach().clone() for p in _parameters()]


def _parameters() -> list[torch.nn.Parameter]:
    return [p for p in _policy().model.parameters() if p.requires_grad]


@functools.lru_cache(maxsize=_KEPT_BATCHES)
def sample_batch(number: int) -> _Sampled:
    """PROMPTS prompts with SAMPLES solutions each by the reference: the first ones whose solutions do not all agree."""
    policy, task = _policy(), task_of(TrainConfig(operands=OPERANDS))
    _put(_untrained())
    groups: list = []
    tries = 0
    while len(groups) < PROMPTS:
        groups += _mixed_groups(policy, task, f"levers/{number}/{tries}", seed=1000 * number + tries)
        tries += 1
    problems, rollouts, verdicts = zip(*[one for group in groups[:PROMPTS] for one in group], strict=True)
    batch = _batch_of(policy, rollouts)
    measured = scores.score(policy, batch)
    rewards = torch.tensor([v.reward for v in verdicts])
    group_ids = torch.arange(PROMPTS).repeat_interleave(SAMPLES)
    baseline = credit.group_mean(rewards, group_ids).tolist()
    solutions = tuple(
        _trace(policy, task, problem, rollout).with_(
            group_id=row // SAMPLES, sample_idx=row % SAMPLES, group_mean_reward=baseline[row]
        )
        for row, (problem, rollout) in enumerate(zip(problems, rollouts, strict=True))
    )
    # What the sampler's arithmetic and the scorer's differ by would show as a ratio that is not 1 before any press.
    return _Sampled(batch, measured.logprobs, measured.ref_logprobs, rewards, group_ids, solutions)


def _mixed_groups(policy, task, name, seed):
    """Groups of (problem, rollout, verdict) whose rewards are not all the same."""
    problems = task.problems(name, "train", _CANDIDATES)
    with models.merged(policy) as model:
        rollouts, verdicts = attempt(policy, model, task, problems, SAMPLES, seed)
    groups = []
    for i, problem in enumerate(problems):
        group = slice(i * SAMPLES, (i + 1) * SAMPLES)
        if len({verdict.reward for verdict in verdicts[group]}) > 1:
            groups.append([(problem, *one) for one in zip(rollouts[group], verdicts[group], strict=True)])
    return groups


def _batch_of(policy, rollouts) -> Batch:
    return scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id)


def _trace(policy, task, problem, rollout) -> CreditTrace:
    batch = _batch_of(policy, [rollout])
    return trace_of_text(policy, task, 0, problem, batch, scores.score(policy, batch, top_k=TOP_K))


# --- presses ---------------------------------------------------------------------------------------------------------


def _state(asked: Levers, sampled: _Sampled, earlier: _State | None = None) -> _State:
    """The state after the presses asked for; `earlier`: after all but the last of them."""
    if asked in _states:
        _states.move_to_end(asked)
        return _states[asked]
    state = _first(asked, sampled) if earlier is None else _pressed(asked, sampled, earlier)
    _states[asked] = state
    if len(_states) > _KEPT_STATES:
        _states.popitem(last=False)
    return state


def _first(asked: Levers, sampled: _Sampled) -> _State:
    _put(_untrained())
    return _State(_untrained(), {}, _moment(asked, sampled, scores.score(_policy(), sampled.batch)))


def _pressed(asked: Levers, sampled: _Sampled, earlier: _State) -> _State:
    """One optimizer update with the last press's loss from the earlier state."""
    lever, parameters = asked.presses[-1], _parameters()
    _put(earlier.adapter)
    adam = torch.optim.Adam(parameters, lr=asked.learning_rate, fused=True)
    if lever in earlier.adams:
        adam.load_state_dict(copy.deepcopy(earlier.adams[lever]))
    adam.zero_grad()
    _loss(lever, asked, sampled, scores.score(_policy(), sampled.batch, with_grad=True)).backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM).item()
    adam.step()
    return _State(
        adapter=[p.detach().clone() for p in parameters],
        adams=earlier.adams | {lever: copy.deepcopy(adam.state_dict())},
        moment=_moment(asked, sampled, scores.score(_policy(), sampled.batch)),
        grad_norm=norm,
    )


def _put(adapter: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, tensor in zip(_parameters(), adapter, strict=True):
            parameter.copy_(tensor)


def _loss(lever: str, asked: Levers, sampled: _Sampled, measured: Scores) -> torch.Tensor:
    mask, rows = sampled.batch.completion_mask, (sampled.rewards, sampled.group_ids)
    place = (measured.logprobs, sampled.old_logprobs, sampled.ref_logprobs, measured.kl, mask, *rows)
    if lever == "v":
        return losses.value_loss(measured.logprobs, *place[2:], asked.beta)
    if lever == "b":
        return losses.vimpo_loss(*place, asked.beta, asked.actor_coef, asked.gae_lambda)[0]
    return losses.ppo_clip_loss(measured.logprobs, sampled.old_logprobs, _credit(asked, sampled, measured)[2], mask)


def _credit(asked: Levers, sampled: _Sampled, measured: Scores):
    """delta, A and whitened A of the policy at hand, [B, T], held constant."""
    mask = sampled.batch.completion_mask
    delta = credit.td_terms(measured.logprobs.detach(), sampled.ref_logprobs, measured.kl, mask, asked.beta)
    advantages = credit.gae(delta, mask, asked.gae_lambda)
    return delta, advantages, credit.whiten(advantages, mask)


def _moment(asked: Levers, sampled: _Sampled, measured: Scores) -> Moment:
    mask, logprobs = sampled.batch.completion_mask, measured.logprobs
    delta, advantages, whitened = _credit(asked, sampled, measured)
    baseline = credit.group_mean(sampled.rewards, sampled.group_ids)
    place = (logprobs, sampled.old_logprobs, whitened, mask)
    return Moment(
        **{
            name: array.numpy().astype(np.float32)
            for name, array in {
                "logprobs": logprobs,
                "kl": measured.kl,
                "td_terms": delta,
                "advantages": advantages,
                "whitened": whitened,
                "whitened_at_0": credit.whiten(credit.gae(delta, mask, 0.0), mask),
                "whitened_at_1": credit.whiten(credit.gae(delta, mask, 1.0), mask),
                "values": credit.implied_values(delta, mask, baseline),
                "residual": credit.terminal_residual(delta, mask, sampled.rewards, baseline),
            }.items()
        },
        value_loss=float(_loss("v", asked, sampled, measured)),
        actor_loss=float(losses.ppo_clip_loss(*place)),
        clip_fraction=losses.clip_fraction(*place),
    )
