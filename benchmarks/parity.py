"""This lab's functions beside those of TRL, verl and OpenRLHF on the same arrays: writes docs/parity.md.

    python -m vimpo_core bench parity --json

A row is one function of ours against one of a peer's. Where the numbers differ by more than rounding the row says why,
and the difference is measured again with the cause removed. A difference without a cause ends the command with an
error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _peers
from vimpo_core import credit, intervals, losses
from vimpo_core.files import write_whole
from vimpo_core.measure import scorecard
from vimpo_core.paths import ROOT

PAGE = ROOT / "docs" / "parity.md"
SAME = 1e-10
"""Largest difference that rounding in float64 explains here; rows computed in float32 by the peer say so."""
SEED, GROUPS, GROUP, LONGEST, VOCABULARY = 0, 6, 4, 12, 16


@dataclass(frozen=True)
class Row:
    """One comparison. difference: the largest absolute one over all entries; why: "" where it is rounding; follows: who
    does what the paper of the rule says, where they differ."""

    rule: str
    ours: str
    peer: str
    case: str
    difference: float
    why: str = ""
    follows: str = ""

    @property
    def is_explained(self) -> bool:
        return self.difference <= SAME or bool(self.why)


_VERL_COUNT = "verl adds 1e-8 to the number of tokens"


def arrays() -> SimpleNamespace:
    """A ragged batch in float64: 6 groups of 4, one of which agrees; ratios from .4 to 2.5, some beyond the dual
    clip.
    """
    generator = torch.Generator().manual_seed(SEED)
    rows = GROUPS * GROUP
    lengths = torch.randint(2, LONGEST + 1, (rows,), generator=generator)
    lengths[0] = LONGEST
    mask = torch.arange(LONGEST) < lengths[:, None]

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits, ref_logits = normal(rows, LONGEST, VOCABULARY), normal(rows, LONGEST, VOCABULARY)
    tokens = torch.randint(0, VOCABULARY, (rows, LONGEST), generator=generator)
    logprobs = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    ref_logprobs = ref_logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    old_logprobs = logprobs - 0.4 * normal(rows, LONGEST)
    old_logprobs[0, 0] = logprobs[0, 0] - 3.0  # a ratio of 20: the dual clip acts
    advantages = normal(rows, LONGEST) * mask
    advantages[0, 0] = -1.0  # where it only acts against a token
    rewards = (normal(rows) > 0).double()
    rewards[:GROUP] = torch.tensor([0.0, 1.0, 1.0, 0.0])
    rewards[GROUP : 2 * GROUP] = 1.0
    return SimpleNamespace(
        logits=logits,
        ref_logits=ref_logits,
        tokens=tokens,
        logprobs=logprobs.requires_grad_(),
        ref_logprobs=ref_logprobs,
        old_logprobs=old_logprobs,
        completion_mask=mask,
        rewards=rewards,
        graded=torch.rand(rows, generator=generator).double(),
        group_ids=torch.arange(rows) // GROUP,
        advantages=advantages,
        values=normal(rows, LONGEST) * mask,
        old_values=normal(rows, LONGEST) * mask,
        lengths=lengths,
    )


def gap(first, second) -> float:
    """The largest absolute difference; nan against a number counts as infinite."""
    first, second = (torch.as_tensor(a, dtype=torch.float64).detach() for a in (first, second))
    difference = (first - second).abs()
    return float(torch.where(difference.isnan(), torch.inf, difference).max())


def at_the_end(rewards, mask):
    """Rewards [B] on each row's last token: [B, T], as verl takes them."""
    paid = torch.zeros(mask.shape, dtype=rewards.dtype)
    paid[torch.arange(len(rewards)), mask.sum(1) - 1] = rewards
    return paid


# ---- advantages of whole solutions


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


# ---- token advantages


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
            _VERL_COUNT,
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
        _VERL_COUNT,
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


# ---- losses


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


# ---- what a policy says of its tokens


def likelihoods(peers, batch) -> Iterator[Row]:
    mask, logits, tokens = batch.completion_mask, batch.logits, batch.tokens
    logprobs, ref_logprobs = batch.logprobs.detach(), batch.ref_logprobs
    for peer, found in (
        ("verl logprobs_from_logits_v2", peers.verl_F.logprobs_from_logits_v2(logits, tokens)),
        (
            "openrlhf log_probs_from_logits",
            peers.openrlhf_utils.log_probs_from_logits(logits.clone(), tokens),
        ),
        ("trl selective_log_softmax", peers.selective_log_softmax(logits, tokens)),
    ):
        yield Row("log-probability of a token", "log-softmax, as in scores", peer, "16 tokens", gap(logprobs, found))
    for name in ("k2", "k3"):
        ours = credit.sampled_kl(logprobs, ref_logprobs, name) * mask
        theirs = peers.verl.kl_penalty_forward(logprobs, ref_logprobs, name) * mask
        is_low = (ours < 10).double()
        yield Row(
            f"KL, {name}",
            "credit.sampled_kl",
            f"verl kl_penalty_forward({name})",
            "estimates below 10",
            gap(ours * is_low, theirs * is_low),
        )
        theirs = peers.openrlhf_utils.compute_approx_kl(logprobs, ref_logprobs, kl_estimator=name) * mask
        yield Row(
            f"KL, {name}",
            "credit.sampled_kl",
            f"openrlhf compute_approx_kl({name})",
            "estimates below 10",
            gap(ours * is_low, theirs * is_low),
            "OpenRLHF computes in float32",
        )
    far = torch.tensor([[4.0]], dtype=torch.float64)
    yield Row(
        "KL, k3",
        "credit.sampled_kl",
        "verl kl_penalty_forward(k3)",
        "a token 4 nats less likely",
        gap(credit.sampled_kl(-far, 0 * far, "k3"), peers.verl.kl_penalty_forward(-far, 0 * far, "k3")),
        "verl and OpenRLHF cut an estimate at 10 nats, we do not",
        "ours: Schulman's estimator has no bound",
    )
    zero = torch.zeros_like(batch.advantages)
    theirs = _peers.trl_loss(peers.GRPOTrainer, batch, zero, "bnpo", beta=1.0)[0]
    ours = (credit.sampled_kl(logprobs, ref_logprobs, "k3") * mask).sum() / mask.sum()
    yield Row(
        "KL, k3",
        "credit.sampled_kl, token mean",
        "trl GRPOTrainer(beta=1)",
        "zero advantages",
        gap(ours, theirs),
    )
    distributions = [torch.distributions.Categorical(logits=x) for x in (logits, batch.ref_logits)]
    yield Row(
        "KL, exact",
        "credit.exact_kl",
        "torch.distributions.kl_divergence",
        "16 tokens",
        gap(credit.exact_kl(logits, batch.ref_logits), torch.distributions.kl_divergence(*distributions)),
    )
    entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    yield Row(
        "entropy",
        "−Σ π log π, as in scores",
        "verl entropy_from_logits",
        "16 tokens",
        gap(entropy, peers.verl_F.entropy_from_logits(logits)),
    )


# ---- intervals and rankings


def statistics(peers, batch) -> Iterator[Row]:
    from scipy import stats
    from sklearn.metrics import roc_auc_score
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    counts = ((0, 20), (7, 20), (395, 512), (512, 512))
    ours = [(w.low, w.high) for w in (intervals.wilson(k, n) for k, n in counts)]
    theirs = [proportion_confint(k, n, method="wilson") for k, n in counts]
    yield Row(
        "interval of a share",
        "intervals.wilson",
        "statsmodels proportion_confint(wilson)",
        "4 counts",
        gap(ours, theirs),
    )
    shares = [(k / n, *bounds) for (k, n), bounds in zip(counts, ours, strict=True)]
    pairs = ((1, 2), (2, 3))
    found = [intervals.difference_bounds(shares[a], shares[b]) for a, b in pairs]
    theirs = [confint_proportions_2indep(*counts[b], *counts[a], method="newcomb", compare="diff") for a, b in pairs]
    yield Row(
        "interval of a difference",
        "intervals.difference_bounds",
        "statsmodels confint_proportions_2indep(newcomb)",
        "2 pairs",
        gap(found, theirs),
    )
    rng = np.random.default_rng(SEED)
    signal = np.round(rng.normal(size=40), 1)  # with ties
    yield Row(
        "AUC of the first wrong token",
        "scorecard.localise",
        "sklearn roc_auc_score",
        "40 tokens, ties",
        gap(scorecard.localise(signal, 7)[2], roc_auc_score(np.arange(40) == 7, signal)),
    )
    yield from _t_intervals(stats)


def _t_intervals(stats) -> Iterator[Row]:
    quantile = getattr(intervals, "t_quantile", None)
    if quantile is not None:
        degrees = (2, 4.5, 9, 200)
        yield Row(
            "t quantile",
            "intervals.t_quantile",
            "scipy.stats.t.ppf(.975)",
            "2 to 200 degrees of freedom",
            gap([quantile(d) for d in degrees], stats.t.ppf(0.975, degrees)),
        )


SECTIONS = (
    group_advantages,
    token_advantages,
    newer_rules,
    surrogates,
    critic_losses,
    likelihoods,
    statistics,
)


def rows() -> list[Row]:
    peers, batch = _peers.modules(), arrays()
    return [row for section in SECTIONS for row in section(peers, batch)]


# ---- the page


def page(found: list[Row]) -> str:
    same = sum(row.difference <= SAME for row in found)
    head = ["rule", "this lab", "peer", "case", "largest difference", "why", "who follows the paper"]
    lines = [head, ["---"] * 4 + ["---:"] + ["---"] * 2]
    lines += [
        [
            row.rule,
            f"`{row.ours}`",
            row.peer,
            row.case,
            f"{row.difference:.1e}" if row.difference else "0",
            row.why if row.difference > SAME else "",
            row.follows,
        ]
        for row in found
    ]
    versions = ", ".join(f"{name} {version}" for name, version in _peers.PEERS.items())
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return (
        PROSE.format(versions=versions, rows=len(found), same=same, rest=len(found) - same, limit=SAME) + table + "\n"
    )


PROSE = """# Parity with peers

Made by `python -m vimpo_core bench parity`: this lab's functions and those of {versions} (and of torch, scipy, statsmodels and scikit-learn) on the same arrays in one process, float64 where the peer keeps it.
Of {rows} comparisons {same} agree to {limit:g}; the other {rest} differ for the reason in their row, most of them because the peer computes in float32. The batch is drawn (seed 0): 24 solutions of 2 to 12 tokens in
groups of 4, one group that agrees, ratios that the clip and the dual clip stop.

VIMPO itself is in none of the three; its losses are held by the exact tree, by finite differences and by arrays worked out by hand (`tests/vimpo_core/test_credit.py`, `test_losses.py`), and what differs from its
authors' code stands in [differences.md](differences.md).

To run it again: `pip install -r requirements-bench.txt`, then `pip install --no-deps -r requirements-parity.txt` (without their engines).

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    parser.add_argument("--repeats", type=int, help="Taken by every benchmark; this one compares once.")
    arguments = parser.parse_args()
    if problem := _peers.missing():
        parser.exit(2, f"{problem}\n")
    found = rows()
    write_whole(PAGE, page(found))
    unexplained = [row for row in found if not row.is_explained]
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in found], "unexplained": len(unexplained)}))
    else:
        for row in found:
            why = f": {row.why}" if row.difference > SAME else ""
            print(f"{row.difference:8.1e}  {row.rule:<28} {row.peer}, {row.case}{why}")
        print(f"wrote {PAGE.relative_to(ROOT)}: {len(found)} comparisons, {len(unexplained)} without a reason")
    if unexplained:
        parser.exit(
            1,
            "".join(f"no reason for {row.difference:.1e}: {row.rule}, {row.peer}, {row.case}\n" for row in unexplained),
        )


if __name__ == "__main__":
    main()
