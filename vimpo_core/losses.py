"""One function a published loss; each returns (loss, metrics). torch, any floating precision.

VIMPO's total is L = L_V + c_A L_A: the reward enters only through L_V; the actor term amplifies what the policy has
already moved. GRPO is the same clipped surrogate and token mean, with one advantage for the whole solution.
"""

from __future__ import annotations

import torch

from vimpo_core import credit


def value_loss(logprobs, ref_logprobs, kl, completion_mask, rewards, group_ids, beta):
    """L_V = mean_B 1/2 (sum_t(rho_t - sg kappa_t) - (R - baseline))^2 (VIMPO, arXiv 2606.20008).

    Args:
        logprobs, ref_logprobs, kl: nats, float [B, T]; completion_mask: bool [B, T].
        rewards: float [B]; group_ids: int [B]; beta: reward per nat.

    Returns:
        scalar, squared reward units. Rows without tokens count in the mean.

    Raises:
        ValueError: shapes differ.
    """
    terms = credit.td_terms(logprobs, ref_logprobs, kl, completion_mask, beta)
    residual = credit.terminal_residual(
        terms, completion_mask, rewards, credit.group_mean(rewards, group_ids)
    )
    return 0.5 * (residual**2).mean()


def ppo_clip_loss(
    logprobs, old_logprobs, advantages, completion_mask, clip_low=0.2, clip_high=0.28, dual_clip=10.0
):
    """Dual-clip PPO surrogate, token mean (arXiv 1707.06347; dual clip 1912.09729; asymmetric clip 2503.14476).

        l_t = max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)),  and for A < 0 at most -A dual_clip

    Args:
        logprobs, old_logprobs: nats, float [B, T]; r = exp(logprobs - old_logprobs) is the PPO ratio.
        advantages: float [B, T], held constant; completion_mask: bool [B, T].

    Returns:
        scalar: sum over sampled tokens / their number (0 when there is none).

    Raises:
        ValueError: shapes differ.
    """
    return _ppo_clip(logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip)[0]


def vimpo_loss(
    logprobs,
    old_logprobs,
    ref_logprobs,
    kl,
    completion_mask,
    rewards,
    group_ids,
    beta,
    actor_coef,
    gae_lambda=1.0,
    clip_low=0.2,
    clip_high=0.28,
    dual_clip=10.0,
):
    """VIMPO's total loss L_V + c_A L_A, the actor on whitened, detached token advantages (arXiv 2606.20008).

    Args: as `value_loss` and `ppo_clip_loss`; actor_coef is c_A, gae_lambda is lambda.

    Returns:
        (loss, metrics): scalar tensor, and floats value_loss, actor_loss, clip_fraction.

    Raises:
        ValueError: shapes differ.
    """
    loss_v = value_loss(logprobs, ref_logprobs, kl, completion_mask, rewards, group_ids, beta)
    terms = credit.td_terms(logprobs.detach(), ref_logprobs, kl, completion_mask, beta)
    advantages = credit.whiten(credit.gae(terms, completion_mask, gae_lambda), completion_mask)
    loss_a, clip_fraction = _ppo_clip(
        logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip
    )
    metrics = {"value_loss": loss_v.item(), "actor_loss": loss_a.item(), "clip_fraction": clip_fraction}
    return loss_v + actor_coef * loss_a, metrics


def grpo_loss(
    logprobs,
    old_logprobs,
    completion_mask,
    rewards,
    group_ids,
    clip_low=0.2,
    clip_high=0.28,
    dual_clip=10.0,
):
    """GRPO (arXiv 2402.03300) without its KL term, with the clip and token mean that VIMPO's actor uses.

    Args: as `ppo_clip_loss`, the advantage being `credit.grpo_advantages` of the rewards, float [B], on every token.

    Returns:
        (loss, metrics): scalar tensor, and floats actor_loss, clip_fraction.

    Raises:
        ValueError: shapes differ.
    """
    per_solution = credit.grpo_advantages(rewards, group_ids)
    advantages = per_solution[:, None].expand(-1, logprobs.shape[1])
    loss, clip_fraction = _ppo_clip(
        logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip
    )
    return loss, {"actor_loss": loss.item(), "clip_fraction": clip_fraction}


def _ppo_clip(logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip):
    if not logprobs.shape == old_logprobs.shape == advantages.shape == completion_mask.shape:
        raise ValueError(
            f"shapes differ: logprobs {tuple(logprobs.shape)}, old_logprobs {tuple(old_logprobs.shape)}, advantages "
            f"{tuple(advantages.shape)}, completion_mask {tuple(completion_mask.shape)}. Pass equal shapes."
        )
    zeros = torch.zeros_like(logprobs)
    log_ratio = torch.where(completion_mask, logprobs, zeros) - torch.where(
        completion_mask, old_logprobs.detach(), zeros
    )
    # Above e^20 both clips have long decided the loss; without the bound exp could overflow to inf * 0 = nan.
    ratio = torch.exp(log_ratio.clamp(max=20.0))
    advantages = torch.where(completion_mask, advantages.detach(), zeros)
    unclipped, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    per_token = torch.maximum(unclipped, clipped)
    per_token = torch.where(advantages < 0, torch.minimum(per_token, -advantages * dual_clip), per_token)
    count = completion_mask.sum().clamp(min=1)
    was_clipped = (clipped > unclipped) & completion_mask
    return (per_token * completion_mask).sum() / count, (was_clipped.sum() / count).item()
