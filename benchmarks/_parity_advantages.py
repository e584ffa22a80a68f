"""Rows of the table of parity: advantages of whole solutions and of tokens, and the newer rules."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks import _peers
from benchmarks._parity_losses import _both
from benchmarks._parity_rows import GROUP, Row, at_the_end, gap
from vimpo_core import credit, losses

VERL_COUNT = "verl adds 1e-8 to the number of tokens"


def group_advantages(peers, batch) -> Iterator[Row]:
    verl, mask, index = peers.verl, batch.completion_mask, batch.group_ids.numpy()
    for kind, rewards in (("right or wrong", batch.rewards), ("graded", batch.graded)):
        paid = at_the_end(rewards, mask)

        def of(function, paid=paid, **options):
            return function(paid.clone(), mask.double(), index, **options)[0]

        def ours(per_solution):
            return credit.on_every_token(per_solution, mask)

        grpo = ours(credit.grpo_advantages(rewards, batch.group_ids))
        above = ours(credit.grpo_advantages(rewards, batch.group_ids, scale_by_std=False))
        others = ours(rewards - credit.leave_one_out_mean(rewards, batch.group_ids))
        yield Row(
            "GRPO advantage",
            "credit.grpo_advantages",
            "verl compute_grpo_outcome_advantage",
            kind,
            gap(grpo, of(verl.compute_grpo_outcome_advantage)),
            "verl adds 1e-6 to the spread, we 1e-4 as TRL does",
            "both: the paper divides by the spread alone",
        )
        yield Row(
            "GRPO advantage",
            "credit.grpo_advantages",
            "verl compute_grpo_outcome_advantage, epsilon 1e-4",
            kind,
            gap(grpo, of(verl.compute_grpo_outcome_advantage, epsilon=1e-4)),
        )
        for name in ("rloo", "rloo_vectorized"):
            function = getattr(verl, f"compute_{name}_outcome_advantage")
            yield Row(
                "RLOO advantage",
                "credit.leave_one_out_mean",
                f"verl {function.__name__}",
                kind,
                gap(others, of(function)),
            )
        yield Row(
            "Dr. GRPO advantage",
            "credit.grpo_advantages(scale_by_std=False)",
            "verl compute_grpo_outcome_advantage(norm_adv_by_std_in_grpo=False)",
            kind,
            gap(above, of(verl.compute_grpo_outcome_advantage, norm_adv_by_std_in_grpo=False)),
        )
        yield from _openrlhf_advantages(
            peers, batch, kind, rewards, {"group_norm": grpo, "dr_grpo": above, "rloo": others}
        )
    for scale, options in (("group", {}), ("none", {"scale_by_std": False})):
        rewards, theirs = _peers.trl_advantages(peers.GRPOTrainer, scale)
        found = credit.grpo_advantages(rewards.double(), torch.arange(len(rewards)) // GROUP, **options)
        yield Row(
            "GRPO advantage" if scale == "group" else "Dr. GRPO advantage",
            "credit.grpo_advantages",
            f"trl GRPOTrainer(scale_rewards={scale!r}), a real batch",
            "graded",
            gap(found, theirs),
            "TRL computes in float32",
        )


def _openrlhf_advantages(peers, batch, kind, rewards, ours) -> Iterator[Row]:
    mask = batch.completion_mask
    why = {
        "group_norm": "OpenRLHF adds 1e-9 to the spread, we 1e-4, and sums in float32",
        "dr_grpo": "OpenRLHF sums in float32",
        "rloo": "OpenRLHF sums in float32",
    }
    for estimator, found in ours.items():
        theirs = _peers.openrlhf_advantages(peers.ExperienceMaker, estimator, batch, rewards, GROUP)
        yield Row(
            {"group_norm": "GRPO advantage", "dr_grpo": "Dr. GRPO advantage", "rloo": "RLOO advantage"}[estimator],
            "credit",
            f"openrlhf compute_advantages_and_returns({estimator})",
            kind,
            gap(found, theirs * mask),
            why[estimator],
        )
    theirs = _peers.openrlhf_advantages(peers.ExperienceMaker, "reinforce_baseline", batch, rewards, GROUP)
    above = ours["dr_grpo"]
    yield Row(
        "REINFORCE, group baseline",
        "credit.grpo_advantages(scale_by_std=False)",
        "openrlhf compute_advantages_and_returns(reinforce_baseline)",
        kind,
        gap(above, theirs * mask),
        "OpenRLHF then whitens over the batch (REINFORCE++), we leave the difference as it is",
        "neither: Williams 1992 has no whitening and no groups",
    )
    count = mask.sum().double()
    whitened = credit.whiten(above, mask) * torch.sqrt(count / (count - 1))
    yield Row(
        "REINFORCE, group baseline",
        "the same, whitened with the biased variance",
        "the same",
        kind,
        gap(whitened, theirs * mask),
        "OpenRLHF computes in float32",
    )


def token_advantages(peers, batch) -> Iterator[Row]:
    mask, values, rewards = batch.completion_mask, batch.values, batch.graded
    terms = credit.critic_td_terms(values, mask, rewards)
    paid = at_the_end(rewards, mask)
    for reach in (0.0, 0.9, 1.0):
        ours = credit.gae(terms, mask, reach)
        theirs, returns = peers.verl.compute_gae_advantage_return(paid, values, mask.double(), 1.0, reach)
        yield Row(
            "PPO, generalised advantage",
            "credit.whiten(credit.gae(...))",
            "verl compute_gae_advantage_return",
            f"lambda {reach:g}",
            gap(credit.whiten(ours, mask), theirs * mask),
            VERL_COUNT,
        )
        yield Row(
            "PPO, return",
            "credit.gae(...) + V",
            "verl compute_gae_advantage_return",
            f"lambda {reach:g}",
            gap((ours + values) * mask, returns * mask),
        )
        theirs, _ = peers.ExperienceMaker.get_advantages_and_returns(None, values, paid, mask, 1.0, reach)
        yield Row(
            "PPO, generalised advantage",
            "credit.gae",
            "openrlhf get_advantages_and_returns",
            f"lambda {reach:g}",
            gap(ours, theirs * mask),
        )
    ours = credit.whiten(batch.advantages, mask)
    yield Row(
        "whitening",
        "credit.whiten",
        "verl masked_whiten",
        "all tokens",
        gap(ours, peers.verl_F.masked_whiten(batch.advantages, mask.double()) * mask),
        VERL_COUNT,
    )
    flat, keep = batch.advantages.reshape(1, -1), mask.reshape(1, -1)
    theirs = peers.openrlhf_utils.masked_normalize(flat, keep).reshape(mask.shape)
    yield Row(
        "whitening",
        "credit.whiten",
        "openrlhf masked_normalize",
        "all tokens",
        gap(ours, theirs * mask),
        "OpenRLHF divides by the biased standard deviation, we and verl by the unbiased one",
        "ours: the authors of VIMPO train on verl",
    )
    count = mask.sum().double()
    yield Row(
        "whitening",
        "credit.whiten × √(n / (n − 1))",
        "openrlhf masked_normalize",
        "all tokens",
        gap(ours * torch.sqrt(count / (count - 1)), theirs * mask),
        "the 1e-8 under our root",
    )


def newer_rules(peers, batch) -> Iterator[Row]:
    mask, index = batch.completion_mask, batch.group_ids.numpy()
    logprobs, collision = batch.logprobs.detach(), (batch.logits.softmax(-1) ** 2).sum(-1)
    for kind, rewards in (("right or wrong", batch.rewards), ("graded", batch.graded)):
        ours = rewards[:, None] - credit.optimal_token_baseline(rewards, batch.group_ids, logprobs, collision, mask)
        theirs, _ = peers.verl.compute_optimal_token_baseline_advantage(
            at_the_end(rewards, mask), mask.double(), index, logprobs, collision
        )
        yield Row(
            "optimal token baseline",
            "credit.optimal_token_baseline",
            "verl compute_optimal_token_baseline_advantage",
            kind,
            gap(ours * mask, theirs),
        )
    entropy = -(batch.logits.softmax(-1) * batch.logits.log_softmax(-1)).sum(-1)
    for share in (0.2, 0.5):
        theirs = peers.high_entropy_mask(entropy, mask, 1 - share)
        yield Row(
            "high-entropy mask",
            "credit.high_entropy",
            f"trl get_high_entropy_mask(top_entropy_quantile={share})",
            "kept or not",
            gap(credit.high_entropy(entropy, mask, share).double(), theirs.double()),
        )
    kept = credit.high_entropy(entropy, mask, 0.2)
    advantages = batch.advantages * kept
    theirs, _ = _peers.trl_loss(
        peers.GRPOTrainer, batch, batch.advantages, "dapo", entropies=entropy, delta=10.0, quantile=0.2
    )
    yield from _both(
        "GRPO, high-entropy tokens",
        "losses.ppo_clip_loss",
        "trl GRPOTrainer(top_entropy_quantile=0.2)",
        "clip .2/.28",
        losses.ppo_clip_loss(batch.logprobs, batch.old_logprobs, advantages, mask),
        theirs,
        batch.logprobs,
    )
