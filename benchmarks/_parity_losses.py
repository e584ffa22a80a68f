"""Rows of the table of parity: surrogates and losses of critics, with their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import torch

from benchmarks import _peers
from benchmarks._parity_rows import Row, gap
from vimpo_core import credit, losses


def _gradient(loss, logprobs):
    return torch.autograd.grad(loss, logprobs, retain_graph=True)[0]


def _both(rule, ours, peer, case, first, second, logprobs, why="", follows="") -> Iterator[Row]:
    yield Row(rule, ours, peer, f"{case}, value", gap(first, second), why, follows)
    yield Row(
        rule,
        ours,
        peer,
        f"{case}, gradient",
        gap(_gradient(first, logprobs), _gradient(second, logprobs)),
        why,
        follows,
    )


def surrogates(peers, batch) -> Iterator[Row]:
    mask, x = batch.completion_mask, batch.logprobs
    place = (x, batch.old_logprobs, batch.advantages, mask)
    settings = {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 10.0}

    class ActorSettings(SimpleNamespace):
        def get(self, name, default):
            return getattr(self, name, default)

    modes = {"tokens": "token-mean", "solutions": "seq-mean-token-mean", "budget": "seq-mean-token-sum-norm"}
    for average, mode in modes.items():
        info = {"loss_scale_factor": 30} if average == "budget" else {}
        theirs, logged = peers.verl.compute_policy_loss_vanilla(
            batch.old_logprobs,
            x,
            batch.advantages,
            mask.double(),
            mode,
            ActorSettings(**settings, global_batch_info=info),
        )
        ours = losses.ppo_clip_loss(*place, average=average, budget=30)
        why = "verl adds 1e-8 to a solution's length" if average == "solutions" else ""
        yield from _both(
            "PPO surrogate, dual clip",
            f"losses.ppo_clip_loss(average={average!r})",
            f"verl compute_policy_loss_vanilla({mode})",
            "clip .2/.28, dual 10",
            ours,
            theirs,
            x,
            why,
        )
    clipped = logged["actor/pg_clipfrac"] + logged["actor/pg_clipfrac_lower"]
    yield Row(
        "share of clipped tokens",
        "losses.clip_fraction",
        "verl pg_clipfrac + pg_clipfrac_lower",
        "dual 10",
        gap(losses.clip_fraction(*place), clipped),
        "verl averages in float32",
    )
    for average, by_token in (("tokens", True), ("solutions", False)):
        peer = peers.openrlhf_loss.PolicyLoss(0.2, 0.28, dual_clip=10.0, token_level_loss=by_token)
        theirs = peer(x, batch.old_logprobs, batch.advantages, mask)[0]
        why = "OpenRLHF adds 1e-8 to a solution's length" if average == "solutions" else ""
        yield from _both(
            "PPO surrogate, dual clip",
            f"losses.ppo_clip_loss(average={average!r})",
            f"openrlhf PolicyLoss(token_level_loss={by_token})",
            "clip .2/.28, dual 10",
            losses.ppo_clip_loss(*place, average=average),
            theirs,
            x,
            why,
        )
    yield from _trl_surrogates(peers, batch, place)


def _trl_surrogates(peers, batch, place) -> Iterator[Row]:
    x = batch.logprobs
    for loss_type, average in (
        ("bnpo", "tokens"),
        ("dapo", "tokens"),
        ("grpo", "solutions"),
        ("dr_grpo", "budget"),
    ):
        theirs, logged = _peers.trl_loss(peers.GRPOTrainer, batch, batch.advantages, loss_type, delta=10.0, budget=30)
        yield from _both(
            "PPO surrogate, dual clip",
            f"losses.ppo_clip_loss(average={average!r})",
            f"trl GRPOTrainer(loss_type={loss_type!r}, delta=10)",
            "clip .2/.28",
            losses.ppo_clip_loss(*place, average=average, budget=30),
            theirs,
            x,
        )
    yield Row(
        "share of clipped tokens",
        "losses.clip_fraction",
        "trl clip_ratio/region_mean",
        "delta 10",
        gap(losses.clip_fraction(*place), logged["clip_ratio/region_mean"][0]),
        "TRL leaves out tokens that its two-sided clip stops (and sums in float32); verl counts them",
        "no paper says",
    )
    ours = losses.grpo_loss(x, batch.old_logprobs, batch.completion_mask, batch.rewards, batch.group_ids)[0]
    per_solution = credit.grpo_advantages(batch.rewards, batch.group_ids)
    for loss_type, clip, why, follows in (
        ("dapo", (0.2, 0.28), "", ""),
        (
            "dapo",
            (0.2, 0.2),
            "TRL's default clips at .2 on both sides, ours at .2 below and .28 above",
            "TRL: 2402.03300 has one epsilon",
        ),
        (
            "grpo",
            (0.2, 0.2),
            "the published loss averages within a solution first and clips at .2 on both sides; set "
            'loss_average = "solutions", clip_high = .2',
            "TRL's loss_type grpo: that is 2402.03300",
        ),
    ):
        theirs = _peers.trl_loss(peers.GRPOTrainer, batch, per_solution, loss_type, delta=10.0, clip=clip)[0]
        yield Row(
            "GRPO loss",
            "losses.grpo_loss",
            f"trl GRPOTrainer(loss_type={loss_type!r})",
            f"clip {clip[0]:g}/{clip[1]:g}",
            gap(ours, theirs),
            why,
            follows,
        )
    published = losses.ppo_clip_loss(
        x,
        batch.old_logprobs,
        per_solution[:, None].expand_as(x),
        batch.completion_mask,
        0.2,
        0.2,
        average="solutions",
    )
    theirs = _peers.trl_loss(peers.GRPOTrainer, batch, per_solution, "grpo", delta=10.0, clip=(0.2, 0.2))[0]
    yield Row(
        "GRPO loss",
        "losses.ppo_clip_loss(clip_high=.2, average='solutions')",
        "trl GRPOTrainer(loss_type='grpo')",
        "clip .2/.2",
        gap(published, theirs),
    )


def critic_losses(peers, batch) -> Iterator[Row]:
    mask, returns = batch.completion_mask, batch.advantages
    values = batch.values.clone().requires_grad_()
    ours = losses.critic_loss(values, batch.old_values, returns, mask, 0.2)
    theirs = peers.verl.compute_value_loss(values, returns, batch.old_values, mask, 0.2)[0]
    yield from _both(
        "PPO, critic loss", "losses.critic_loss", "verl compute_value_loss", "clip .2", ours, theirs, values
    )
    theirs = peers.openrlhf_loss.ValueLoss(0.2)(values, batch.old_values, returns, mask)
    yield from _both("PPO, critic loss", "losses.critic_loss", "openrlhf ValueLoss", "clip .2", ours, theirs, values)
