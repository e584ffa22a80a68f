"""From a declared rule (`rules.RULES`) to its loss over one batch of experience. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vimpo_core import credit, losses, rules
from vimpo_core.config import TrainConfig
from vimpo_core.lm.scores import Batch, Scores
from vimpo_core.rules import RULES, Sampled, Surrogate, ValueLoss
from vimpo_core.solutions import reading
from vimpo_core.types import Problem, Rollout, Verdict, known


@dataclass(frozen=True)
class Experience:
    """One step's rollouts with all that was measured of them. Rows are grouped by prompt; rewards include flips.

    scores: under the policy that sampled them; old_logprobs: [B, T] nats, as recorded by the sampler;
    rewards: [B]; group_ids: int [B]; token_budget: the task's limit on new tokens; tokens_sampled: also of rollouts
    that were not kept; critic_states: [B, T, F], critic_values: [B, T] and mc_values: [B, T+1] where the rule needs
    them; reference_rate: [B], `rules.Sampled` says of what; reference_rewards: [B, n], what it is the mean of, before
    it was tilted; first_drawn: where the rule resamples, the same before any group was replaced.
    """

    batch: Batch
    scores: Scores
    old_logprobs: torch.Tensor
    rewards: torch.Tensor
    group_ids: torch.Tensor
    problems: list[Problem]
    rollouts: list[Rollout]
    verdicts: list[Verdict]
    token_budget: int
    tokens_sampled: int
    critic_states: torch.Tensor | None = None
    critic_values: torch.Tensor | None = None
    mc_values: torch.Tensor | None = None
    reference_rate: torch.Tensor | None = None
    reference_rewards: np.ndarray | None = None
    first_drawn: Experience | None = None

    def sampled(self, config: TrainConfig, measured: Scores, logprobs: torch.Tensor) -> Sampled:
        """What the rules see of it; `logprobs` are those of the policy at hand, held constant."""
        logprobs = logprobs.detach()
        kl = rules.kappa_kl(config, logprobs, measured.ref_logprobs, measured.kl, measured.top_k_kl)
        return Sampled(
            logprobs,
            measured.ref_logprobs,
            kl,
            self.batch.completion_mask,
            self.rewards,
            self.group_ids,
            self.critic_values,
            self.mc_values,
            measured.entropy,
            measured.collision,
            self.reference_rate,
        )


def loss(config: TrainConfig, experience: Experience, measured: Scores, logprobs: torch.Tensor):
    """(loss, metrics) of the run's algorithm; the gradient goes to `logprobs` [B, T] alone."""
    rule, sampled = RULES[config.algorithm], experience.sampled(config, measured, logprobs)
    if not rule.value:
        return _actor_loss(config, experience, sampled, logprobs)
    value, metrics = _value_loss(config, sampled, logprobs)
    if rule.advantages is None:
        return value, metrics
    actor, actor_metrics = _actor_loss(config, experience, sampled, logprobs)
    weight = config.actor_coef
    if config.actor_coef_rule == "adaptive":
        pulls = [torch.autograd.grad(part, logprobs, retain_graph=True)[0] for part in (value, actor)]
        weight = rules.actor_weight(config, *pulls)
    return value + weight * actor, metrics | actor_metrics


def _value_loss(config, sampled, logprobs):
    per_token = (logprobs, sampled.ref_logprobs)
    per_row = (sampled.completion_mask, sampled.rewards)
    groups, penalty = (sampled.group_ids, config.beta), (config.value_loss, config.huber_delta)
    kind = RULES[config.algorithm].value
    if kind is ValueLoss.OPTIMAL:
        found = losses.a_star_loss(*per_token, *per_row, sampled.reference_rate, config.beta, *penalty)
    elif kind is ValueLoss.SOFT:
        found = losses.soft_value_loss(*per_token, *per_row, *groups, *penalty, config.cap_v0)
    else:
        how = (*penalty, config.baseline, config.cap_v0)
        found = losses.value_loss(*per_token, sampled.kl, *per_row, *groups, *how)
    residual, _ = rules.residual(RULES[config.algorithm], sampled, config)
    return found, {"value_loss": _half_square(residual)}


def _actor_loss(config, experience, sampled, logprobs):
    rule, mask = RULES[config.algorithm], sampled.completion_mask
    advantages = known(rule.advantages)(sampled, config)
    if rule.surrogate is Surrogate.PLAIN:
        found = losses.policy_gradient_loss(logprobs, advantages, mask)
        return found, {"actor_loss": found.item()}
    found, clipped = losses.ppo_clip(
        logprobs,
        experience.old_logprobs,
        advantages,
        mask,
        config.clip_low,
        config.clip_high,
        config.dual_clip,
        rules.average_of(rule, config),
        experience.token_budget,
    )
    return found, {"actor_loss": found.item(), "clip_fraction": clipped}


def describe(config: TrainConfig, experience: Experience) -> dict[str, float]:
    """Metrics of a batch before any update of it, measured for all rules alike.

    Of a rule that resamples they are those of the groups as first drawn, which is what other rules sample; KEPT says
    which are measured again on what it trains on, under the name with "_kept". Value loss and residual are the rule's
    own where it has them, else VIMPO's with the exact KL.
    """
    kept = _described(config, experience)
    if experience.first_drawn is None:
        return kept
    first = _described(config, experience.first_drawn) | {"tokens_sampled": kept["tokens_sampled"]}
    return first | {f"{name}_kept": kept[name] for name in KEPT}


KEPT = ("reward_mean", "dead_group_share")
"""Metrics that a rule which resamples records twice."""


def _described(config, experience):
    mask, measured = experience.batch.completion_mask, experience.scores
    rule, read = reading.read_by(config, config.beta)
    residual, target = rules.residual(rule, experience.sampled(read, measured, measured.logprobs), read)
    tokens = mask.sum().clamp(min=1)
    metrics = {
        "reward_mean": experience.rewards.mean(),
        "value_loss": _half_square(residual),
        "kl_mean": measured.kl.sum() / tokens,
        "entropy_mean": measured.entropy.sum() / tokens,
        "length_mean": mask.sum() / len(mask),
        "dead_group_share": _share_of_groups(
            credit.agrees(experience.rewards, experience.group_ids), experience.group_ids
        ),
        "tokens_sampled": experience.tokens_sampled,
    }
    spread = target.pow(2).mean().sqrt()
    if spread > 0:  # with every group dead there is no target to compare with
        metrics["residual_ratio"] = residual.pow(2).mean().sqrt() / spread
    return {name: float(value) for name, value in metrics.items()}


def never_by_reference(experience: Experience) -> tuple[int, str] | None:
    """(token id, prompt) of the first sampled token that the reference gives probability 0; None if it can say them
    all.
    """
    never = (experience.scores.ref_logprobs == -torch.inf) & experience.batch.completion_mask
    if not never.any():
        return None
    row, place = never.nonzero()[0].tolist()
    return experience.rollouts[row].ids[place], experience.problems[row].prompt


def _half_square(residual):
    return float(0.5 * (residual**2).mean())


def _share_of_groups(is_dead, group_ids):
    alive = torch.zeros(int(group_ids.max()) + 1, dtype=torch.bool, device=group_ids.device)
    alive[group_ids[~is_dead]] = True
    return 1 - alive.float().mean()
