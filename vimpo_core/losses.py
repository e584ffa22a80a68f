"""One function a published loss; each returns (loss, metrics). torch, any floating precision.

VIMPO's total is L = L_V + c_A L_A: the reward enters only through L_V; the actor term amplifies what the policy has
already moved. GRPO is the same clipped surrogate and token mean, with one advantage for the whole solution.
"""

from __future__ import annotations

import torch

from vimpo_core import credit


def value_loss(
    logprobs,
    ref_logprobs,
    kl,
    completion_mask,
    rewards,
    group_ids,
    beta,
    penalty="squared",
    huber_delta=0.5,
    baseline="group_mean",
    cap_v0=0.0,
):
    """L_V = mean_B 1/2 (sum_t(rho_t - sg kappa_t) - (R - baseline))^2 (VIMPO, arXiv 2606.20008).

    Args:
        logprobs, ref_logprobs, kl: nats, float [B, T]; completion_mask: bool [B, T].
        rewards: float [B]; group_ids: int [B]; beta: reward per nat.
        penalty, huber_delta: as `residual_penalty`; the square is the paper's.
        baseline, cap_v0: as `credit.prompt_baseline`; the group mean without a cap is the paper's.

    Returns:
        scalar, squared reward units. Rows without tokens count in the mean.

    Raises:
        ValueError: shapes differ.
    """
    terms = credit.td_terms(logprobs, ref_logprobs, kl, completion_mask, beta)
    subtracted = credit.prompt_baseline(rewards, group_ids, baseline, cap_v0)
    residual = credit.terminal_residual(terms, completion_mask, rewards, subtracted)
    return residual_penalty(residual, rewards - subtracted, penalty, huber_delta)


def soft_value_loss(
    logprobs,
    ref_logprobs,
    completion_mask,
    rewards,
    group_ids,
    beta,
    penalty="squared",
    huber_delta=0.5,
    cap_v0=0.0,
):
    """The value loss without kappa, on our soft baseline: it goes towards the soft optimum. Ours, after VIMPO
    (2606.20008), whose authors keep "soft" values for experiments, with another baseline (`credit.soft_baseline`) and
    without an actor.

        mean_B 1/2 (sum_t rho_t - (R - soft baseline))^2

    Args, returns, raises: as `value_loss`, which also subtracts kappa; baseline: `credit.soft_baseline`.
    """
    terms = credit.rho(logprobs, ref_logprobs, completion_mask, beta)
    baseline = credit.capped(credit.soft_baseline(rewards, group_ids, beta), cap_v0)
    residual = credit.terminal_residual(terms, completion_mask, rewards, baseline)
    return residual_penalty(residual, rewards - baseline, penalty, huber_delta)


def a_star_loss(
    logprobs, ref_logprobs, completion_mask, rewards, reference_rate, beta, penalty="squared", huber_delta=0.5
):
    """A*-PO's regression of the solution's log-ratio on its optimal advantage (arXiv 2505.20686), halved.

        mean_B 1/2 (sum_t rho_t - (R - V*))^2,   V* = beta log((1 - p) + p e^{1/beta})

    With p exact its expected gradient is 0 at the soft optimum. The paper has two betas (its scripts 0.5 in V*, 1e-3 in
    rho), for which that does not hold; here one.

    Args:
        reference_rate: p, the reference's success rate on each row's prompt (or mean tilted reward, `credit.tilted`),
            float [B]; the others, returns and raises:
            as `value_loss`, which also subtracts kappa.
    """
    terms = credit.rho(logprobs, ref_logprobs, completion_mask, beta)
    baseline = credit.soft_value(reference_rate, beta)
    residual = credit.terminal_residual(terms, completion_mask, rewards, baseline)
    return residual_penalty(residual, rewards - baseline, penalty, huber_delta)


def residual_penalty(residual, target, penalty="squared", huber_delta=0.5):
    """How much residuals cost, averaged over solutions.

        squared: r^2 / 2;   huber: r^2 / 2 within huber_delta, huber_delta (|r| - huber_delta / 2) beyond;
        normalised: (r / s)^2 / 2 with s the root mean square of the target, held constant (1 where all targets are 0)

    Args:
        residual, target: reward units, float [B].

    Returns:
        scalar; squared reward units, or none for normalised.

    Raises:
        ValueError: unknown penalty.
    """
    if penalty == "squared":
        return 0.5 * (residual**2).mean()
    if penalty == "huber":
        return torch.nn.functional.huber_loss(residual, torch.zeros_like(residual), delta=huber_delta)
    if penalty == "normalised":
        return 0.5 * (residual**2).mean() / credit.spread_or_one(target.detach()) ** 2
    raise ValueError(f"a residual is squared, huber or normalised, got {penalty!r}.")


def policy_gradient_loss(logprobs, advantages, completion_mask):
    """REINFORCE: - mean_B sum_t A_t log pi_t (Williams 1992). Neither ratio nor clip, so one update a batch is meant.

    Args:
        logprobs: nats, float [B, T]; advantages: float [B, T], held constant; completion_mask: bool [B, T].

    Returns:
        scalar. Rows without tokens count in the mean.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(logprobs=logprobs, advantages=advantages, completion_mask=completion_mask)
    kept = torch.where(completion_mask, logprobs * advantages.detach(), torch.zeros_like(logprobs))
    return -kept.sum(1).mean()


def critic_loss(values, old_values, returns, completion_mask, clip=0.2):
    """PPO's clipped value loss (arXiv 1707.06347, as OpenAI's baselines and TRL have it), token mean.

        l_t = 1/2 max((V - G)^2, (V_old + clip(V - V_old, -clip, clip) - G)^2)

    Args:
        values, old_values, returns: reward units, float [B, T]; old_values and returns are held constant.
        completion_mask: bool [B, T]; clip: reward units.

    Returns:
        scalar, squared reward units (0 when there is no token).

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(values=values, old_values=old_values, returns=returns, completion_mask=completion_mask)
    old_values, returns = old_values.detach(), returns.detach()
    near = old_values + (values - old_values).clamp(-clip, clip)
    per_token = 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    per_token = torch.where(completion_mask, per_token, torch.zeros_like(per_token))
    return per_token.sum() / completion_mask.sum().clamp(min=1)


def ppo_clip_loss(
    logprobs,
    old_logprobs,
    advantages,
    completion_mask,
    clip_low=0.2,
    clip_high=0.28,
    dual_clip=10.0,
    average="tokens",
    budget=1,
):
    """Dual-clip PPO surrogate, token mean (arXiv 1707.06347; dual clip 1912.09729; asymmetric clip 2503.14476).

        l_t = max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)),  and for A < 0 at most -A dual_clip

    Args:
        logprobs, old_logprobs: nats, float [B, T]; r = exp(logprobs - old_logprobs) is the PPO ratio.
        advantages: float [B, T], held constant; completion_mask: bool [B, T].
        average: "tokens" over all sampled tokens; "solutions" within each solution, then over solutions (GRPO as
            published); "budget" over solutions, each divided by `budget`, the same for all (Dr. GRPO, arXiv
            2503.20783).

    Returns:
        scalar (0 when there is no token).

    Raises:
        ValueError: shapes differ.
    """
    return ppo_clip(
        logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip, average, budget
    )[0]


def clip_fraction(logprobs, old_logprobs, advantages, completion_mask, clip_low=0.2, clip_high=0.28, dual_clip=10.0):
    """Share of sampled tokens whose gradient the PPO clip or the dual clip removed, a float in [0, 1]."""
    return ppo_clip(logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip)[1]


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
    loss_a, clip_fraction = ppo_clip(
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
    loss, clip_fraction = ppo_clip(logprobs, old_logprobs, advantages, completion_mask, clip_low, clip_high, dual_clip)
    return loss, {"actor_loss": loss.item(), "clip_fraction": clip_fraction}


def ppo_clip(
    logprobs,
    old_logprobs,
    advantages,
    completion_mask,
    clip_low=0.2,
    clip_high=0.28,
    dual_clip=10.0,
    average="tokens",
    budget=1,
):
    """`ppo_clip_loss` and `clip_fraction` at once: (scalar, float)."""
    _same_shape(
        logprobs=logprobs,
        old_logprobs=old_logprobs,
        advantages=advantages,
        completion_mask=completion_mask,
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
    bounded = (advantages < 0) & (per_token > -advantages * dual_clip)
    per_token = torch.where(advantages < 0, torch.minimum(per_token, -advantages * dual_clip), per_token)
    count = completion_mask.sum().clamp(min=1)
    was_clipped = ((clipped > unclipped) | bounded) & completion_mask
    weights = credit.average_weights(completion_mask, average, budget, per_token.dtype)
    return (per_token * weights).sum(), (was_clipped.sum() / count).item()


def _same_shape(**arrays):
    shapes = {name: tuple(a.shape) for name, a in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"shapes differ: {', '.join(f'{n} {s}' for n, s in shapes.items())}. Pass equal shapes.")
