"""Rows of the table of parity: what a policy says of its tokens, intervals and rankings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks import _peers
from benchmarks._parity_rows import SEED, Row, gap
from vimpo_core import credit, intervals
from vimpo_core.measure import scorecard


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
