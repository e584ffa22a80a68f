"""An algorithm is a declared loss over one batch of experience. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vimpo_core import credit, losses
from vimpo_core.config import TrainConfig
from vimpo_core.scores import Batch, Scores
from vimpo_core.types import Problem, Rollout, Verdict


@dataclass(frozen=True)
class Experience:
    """One step's rollouts with all that was measured of them. Rows are grouped by prompt; rewards include flips.

    scores: under the policy that sampled them; old_logprobs: [B, T] nats, as recorded by the sampler;
    rewards: [B]; group_ids: int [B].
    """

    batch: Batch
    scores: Scores
    old_logprobs: torch.Tensor
    rewards: torch.Tensor
    group_ids: torch.Tensor
    problems: list[Problem]
    rollouts: list[Rollout]
    verdicts: list[Verdict]


Loss = Callable[[TrainConfig, Experience, Scores, torch.Tensor], tuple[torch.Tensor, dict[str, float]]]


def loss(config: TrainConfig, experience: Experience, measured: Scores, logprobs: torch.Tensor):
    """(loss, metrics) of the run's algorithm; the gradient goes to `logprobs` [B, T] alone."""
    return LOSSES[config.algorithm](config, experience, measured, logprobs)


def describe(config: TrainConfig, experience: Experience) -> dict[str, float]:
    """Metrics of a batch that do not depend on the algorithm. VIMPO's value loss is measured for GRPO as well."""
    mask, measured = experience.batch.completion_mask, experience.scores
    logprobs = measured.logprobs.detach()
    baseline = credit.group_mean(experience.rewards, experience.group_ids)
    target = experience.rewards - baseline
    terms = credit.td_terms(logprobs, measured.ref_logprobs, measured.kl, mask, config.beta)
    residual = credit.terminal_residual(terms, mask, experience.rewards, baseline)
    tokens = mask.sum().clamp(min=1)
    is_dead = credit.grpo_advantages(experience.rewards, experience.group_ids, scale_by_std=False) == 0
    metrics = {
        "reward_mean": experience.rewards.mean(),
        "value_loss": 0.5 * (residual**2).mean(),
        "kl_mean": measured.kl.sum() / tokens,
        "entropy_mean": measured.entropy.sum() / tokens,
        "length_mean": mask.sum() / len(mask),
        "dead_group_share": _share_of_groups(is_dead, experience.group_ids),
    }
    spread = target.pow(2).mean().sqrt()
    if spread > 0:  # with every group dead there is no target to compare with
        metrics["residual_ratio"] = residual.pow(2).mean().sqrt() / spread
    return {name: float(value) for name, value in metrics.items()}


def _vimpo(config, experience, measured, logprobs):
    return losses.vimpo_loss(
        logprobs,
        experience.old_logprobs,
        measured.ref_logprobs,
        measured.kl,
        experience.batch.completion_mask,
        experience.rewards,
        experience.group_ids,
        config.beta,
        config.actor_coef,
        config.gae_lambda,
        config.clip_low,
        config.clip_high,
        config.dual_clip,
    )


def _grpo(config, experience, measured, logprobs):
    return losses.grpo_loss(
        logprobs,
        experience.old_logprobs,
        experience.batch.completion_mask,
        experience.rewards,
        experience.group_ids,
        config.clip_low,
        config.clip_high,
        config.dual_clip,
    )


LOSSES: dict[str, Loss] = {"vimpo": _vimpo, "grpo": _grpo}


def _share_of_groups(is_dead, group_ids):
    alive = torch.zeros(int(group_ids.max()) + 1, dtype=torch.bool, device=group_ids.device)
    alive[group_ids[~is_dead]] = True
    return 1 - alive.float().mean()
