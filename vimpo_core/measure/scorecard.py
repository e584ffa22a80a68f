"""How well per-token signals find the token to be found, on how few tokens they lie, and how well the implied credit
tracks Monte Carlo. NumPy only.

To be found is the first wrong token where the task's step verifier knows it, else the largest true drop (`drops`): the
one after which the mean reward by trying falls most. The latter is itself measured, and of the policy at hand.

Every signal is turned so that larger means more suspicious. Equal numbers are no finding: the tokens that tie share the
places they hold, so a flat signal names the first wrong token of T tokens with top-1 = 1/T and has AUC 1/2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core import credit
from vimpo_core.intervals import bootstrap_bounds
from vimpo_core.measure.truth import PrefixValues
from vimpo_core.types import CreditTrace, known

_CREDIT = ("logprob", "ref_logprob", "kl")

SIGNALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "implied_advantage": (
        "Minus delta_t with the exact KL, whatever the run trained with: what Q - V is at the identity.",
        _CREDIT,
    ),
    "implied_advantage_whitened": (
        "Minus A_t at the run's lambda, whitened over all tokens of the set: what the actor loss multiplies.",
        _CREDIT,
    ),
    "surprisal_policy": ("-log pi of the token.", ("logprob",)),
    "surprisal_reference": ("-log pi_ref of the token.", ("ref_logprob",)),
    "entropy": ("Entropy of the policy where the token was chosen.", ("entropy",)),
    "grpo": (
        "Group mean - R, the same for every token: GRPO's advantage turned round, before GRPO divides by the group's "
        "spread.",
        (),
    ),
    "first_token": ("The earlier, the more suspicious; names the first token.", ()),
    "random": ("A random number a token, seeded.", ()),
}
"""Name -> what it is, and the arrays of a trace that it reads."""


SETS: dict[str, str] = {
    "fixed": "Solutions sampled once from the reference: the same at every step of every run.",
    "own": "Solutions that the policy itself sampled afresh: the mistakes that training has left.",
    "style": "The fixed ones with every separator drawn uniformly: what is surprising is then often not wrong.",
}
"""Name -> which solutions it holds (`solution_sets`)."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95% bootstrap interval over solutions."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Localisation:
    """How well one signal finds the token to be found, averaged over solutions.

    top1, top3: chance that it is among the 1 or 3 most suspicious tokens, ties broken at random;
    auc: share of the solution's other tokens that are less suspicious, ties counted half.
    """

    top1: Measured
    top3: Measured
    auc: Measured


@dataclass(frozen=True)
class Concentration:
    """On how few tokens of a solution a signal lies, averaged over solutions (arXiv 2606.00257). Its sign does not
    count.

    gini: Gini coefficient of the magnitudes, 0 where all tokens have the same, (T - 1) / T where one has all;
    effective_tokens: (sum |c|)^2 / sum c^2, T and 1 there. nan where the signal is 0 on every token of every solution.
    """

    gini: Measured
    effective_tokens: Measured


@dataclass(frozen=True)
class Agreement:
    """How the implied credit of some solutions compares with Monte Carlo, all their tokens pooled.

    pearson_advantage: correlation of delta_t with Q - V. value_rmse: implied V_t, start-anchored, against V^pi after
    each token; constant_rmse: the best single number in its place (V^pi's own mean: it has seen the truth);
    start_rmse: the solution's own V_0 at every token. monte_carlo_rmse: the part of each that is the rollouts' noise.
    rmse_reduction: 1 - value_rmse / constant_rmse. A number that is not defined (no spread) is nan.
    """

    solutions: int
    pearson_advantage: Measured
    value_rmse: Measured
    constant_rmse: Measured
    start_rmse: Measured
    rmse_reduction: Measured
    monte_carlo_rmse: float


def signals(
    traces: Sequence[CreditTrace], beta: float, gae_lambda: float, seed: int = 0
) -> dict[str, list[np.ndarray]]:
    """Every signal of `SIGNALS` whose arrays were recorded in all traces: for each trace a float [T].

    The implied advantage is the td term delta_t and not the accumulated A_t: Q - V is credit for one step, whereas at
    lambda 1 A_t sums delta from t to the end, so that every token before a mistake carries it too.
    """
    rng = np.random.default_rng(seed)
    make: dict[str, Callable[[], list[np.ndarray]]] = {
        "implied_advantage": lambda: [-delta for delta in _deltas(traces, beta)],
        "implied_advantage_whitened": lambda: _whitened(traces, beta, gae_lambda),
        "surprisal_policy": lambda: [-_array(t.logprob) for t in traces],
        "surprisal_reference": lambda: [-_array(t.ref_logprob) for t in traces],
        "entropy": lambda: [_array(t.entropy) for t in traces],
        "grpo": lambda: [np.full(len(t.ids), _flat(t)) for t in traces],
        "first_token": lambda: [-np.arange(len(t.ids), dtype=np.float64) for t in traces],
        "random": lambda: [rng.random(len(t.ids)) for t in traces],
    }
    return {
        name: make[name]()
        for name, (_, needs) in SIGNALS.items()
        if all(getattr(t, array) is not None for t in traces for array in needs)
    }


def localise(suspicion: np.ndarray, target: int) -> tuple[float, float, float]:
    """top1, top3 and AUC of one solution (see `Localisation`).

    Args:
        suspicion: float [T], larger is more suspicious; target: index of the token to be found.

    Raises:
        ValueError: the index is outside, or a number is not finite.
    """
    if not 0 <= target < len(suspicion) or not np.isfinite(suspicion).all():
        raise ValueError(
            f"a signal needs a finite number for each token and the one to be found within, got {len(suspicion)} "
            f"tokens and index {target}. Score the solution again."
        )
    others = np.delete(suspicion, target)
    above, equal = (others > suspicion[target]).sum(), (others == suspicion[target]).sum()
    top1, top3 = (float(np.clip((k - above) / (equal + 1), 0.0, 1.0)) for k in (1, 3))
    # A solution of one token leaves nothing to rank.
    auc = 1 - (above + equal / 2) / len(others) if len(others) else 0.5
    return top1, top3, float(auc)


def target_of(trace: CreditTrace) -> int | None:
    """The token that a signal should point at: the first wrong one, else the largest true drop where it was measured
    and is above noise.
    """
    if trace.first_wrong is not None:
        return trace.first_wrong
    return trace.largest_drop.token if trace.largest_drop is not None and trace.largest_drop.is_clear else None


def is_wrong(trace: CreditTrace) -> bool:
    """Whether the verifier gave it less than the whole reward."""
    return verifier_reward(trace) < 1


def is_localisable(trace: CreditTrace) -> bool:
    """A wrong solution whose token to be found is known."""
    return is_wrong(trace) and target_of(trace) is not None


def verifier_reward(trace: CreditTrace) -> float:
    """The verifier's own reward, without the flips that a trainer may have seen."""
    return trace.rewards.get("verifier", trace.reward)


def localisation(
    traces: Sequence[CreditTrace], beta: float, gae_lambda: float, seed: int = 0
) -> dict[str, Localisation]:
    """Every signal's `Localisation` over the wrong solutions among `traces` with a known token to be found; {} if none.

    Args:
        traces: the set; all of it enters the whitening.
        seed: of the random signal and of the bootstrap.
    """
    rows = _localised(traces, beta, gae_lambda, seed)
    return {name: _averaged(found, seed) for name, found in rows.items()}


def concentrate(signal: np.ndarray) -> tuple[float, float]:
    """gini and effective_tokens of one solution (see `Concentration`): float [T], T >= 1; nan where it is 0
    everywhere.
    """
    sizes = np.sort(np.abs(np.asarray(signal, dtype=np.float64)))
    if not sizes[-1] > 0:
        return float("nan"), float("nan")
    sizes = sizes / sizes[-1]  # the largest is 1, so that no square underflows
    count, total = len(sizes), sizes.sum()
    weights = 2 * np.arange(1, count + 1) - count - 1
    return float((weights * sizes).sum() / (count * total)), float(total**2 / (sizes**2).sum())


def concentration(
    traces: Sequence[CreditTrace], beta: float, gae_lambda: float, seed: int = 0
) -> dict[str, Concentration]:
    """Every signal's `Concentration` over the wrong solutions among `traces` with a known token to be found; {} if
    none.

    Arguments as in `localisation`, whose solutions these are.
    """
    wrong = [i for i, trace in enumerate(traces) if is_localisable(trace)]
    if not wrong:
        return {}
    found = signals(traces, beta, gae_lambda, seed)
    return {name: Concentration(*_means([concentrate(of[i]) for i in wrong], seed)) for name, of in found.items()}


def _means(rows, seed) -> list[Measured]:
    """The mean of each column over the solutions where it is defined, with its interval."""
    kept = np.array([row for row in rows if np.isfinite(row).all()])
    if not len(kept):
        return [Measured(float("nan"), float("nan"), float("nan"))] * 2
    low, high = bootstrap_bounds(lambda sums: sums / len(kept), kept, seed)
    return [Measured(*map(float, m)) for m in zip(kept.mean(axis=0), low, high, strict=True)]


def lead_of_implied(
    traces: Sequence[CreditTrace], beta: float, gae_lambda: float, seed: int = 0
) -> dict[str, Localisation]:
    """`implied_advantage` minus every other signal on the same solutions, arguments as in `localisation`.

    Two signals share the solutions, so the interval of their difference is narrower than their own two suggest. {}
    where the implied advantage was not recorded.
    """
    rows = _localised(traces, beta, gae_lambda, seed)
    implied = rows.pop("implied_advantage", None)
    return {} if implied is None else {name: _averaged(implied - found, seed) for name, found in rows.items()}


def _localised(traces, beta, gae_lambda, seed) -> dict[str, np.ndarray]:
    """top1, top3 and AUC of every signal in every wrong solution with a known token to be found: float [n, 3]."""
    wrong = [i for i, trace in enumerate(traces) if is_localisable(trace)]
    if not wrong:
        return {}
    return {
        name: np.array([localise(suspicion[i], known(target_of(traces[i]))) for i in wrong])
        for name, suspicion in signals(traces, beta, gae_lambda, seed).items()
    }


def _averaged(rows, seed) -> Localisation:
    low, high = bootstrap_bounds(lambda sums: sums / len(rows), rows, seed)
    return Localisation(*map(Measured, *(a.tolist() for a in (rows.mean(axis=0), low, high))))


def implied_value_curve(trace: CreditTrace, beta: float, prompt_value: float) -> np.ndarray:
    """Implied V_0 .. V_T, start-anchored: float [T+1], reward units.

    V_0 is the group's mean reward where the trace belongs to a group, else `prompt_value`, the Monte Carlo value of the
    prompt: a typed solution, or one sampled alone, has no group.
    """
    baseline = trace.group_mean_reward if np.isfinite(trace.group_mean_reward) else prompt_value
    start = np.array([baseline], dtype=np.float64)
    return credit.implied_values(_delta(trace, beta)[None], trace.mask[None], start)[0]


def agreement(traces: Sequence[CreditTrace], truths: Sequence[PrefixValues], beta: float, seed: int = 0) -> Agreement:
    """Compare implied credit with Monte Carlo, token by token; solutions are resampled whole for the intervals.

    V_0 is left out of the RMSEs: where it is anchored at the Monte Carlo value its error is 0 by construction.

    Raises:
        ValueError: no solution, or as many truths as traces were not given.
    """
    if not traces or len(traces) != len(truths):
        raise ValueError(
            f"agreement needs one Monte Carlo result a solution, got {len(traces)} solutions and {len(truths)} "
            "results. Pass both for the same solutions."
        )
    sums = np.array([_sums(t, truth, beta) for t, truth in zip(traces, truths, strict=True)])
    point = _statistics(sums.sum(axis=0))
    low, high = bootstrap_bounds(_statistics, sums, seed)
    measured = [Measured(*map(float, m)) for m in zip(point, low, high, strict=True)]
    of_pearson, of_value, of_constant, of_start, of_reduction = measured
    noise = np.concatenate([_noise(truth) for truth in truths])
    of_noise = float(np.sqrt(noise.mean()))
    return Agreement(len(traces), of_pearson, of_value, of_constant, of_start, of_reduction, of_noise)


def _sums(trace, truth, beta) -> list[float]:
    """What one solution adds to the pooled sums that `_statistics` reads."""
    x, y, values = _delta(trace, beta), truth.advantages(), truth.value
    errors = (implied_value_curve(trace, beta, values[0]) - values)[1:]
    after, n = values[1:], len(x)
    return [
        *(n, x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()),
        *((errors**2).sum(), after.sum(), (after**2).sum(), ((values[0] - after) ** 2).sum()),
    ]


def _statistics(sums) -> np.ndarray:
    """pearson, value RMSE, constant RMSE, start RMSE, reduction: float [..., 5] of sums [..., 10]."""
    n, x, y, xx, yy, xy, errors, v, vv, start = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        pearson = (xy / n - x * y / n**2) / np.sqrt(_variance(x / n, xx / n) * _variance(y / n, yy / n))
        constant = np.sqrt(np.maximum(vv / n - (v / n) ** 2, 0.0))
        rmse = np.sqrt(errors / n)
        return np.stack([pearson, rmse, constant, np.sqrt(start / n), 1 - rmse / constant], axis=-1)


def _variance(mean, mean_square) -> np.ndarray:
    """nan where it is rounding alone: what never varies correlates with nothing."""
    variance = mean_square - mean**2
    return np.where(variance > 1e-12 * mean_square, variance, np.nan)


def _noise(truth) -> np.ndarray:
    """Variance of each Monte Carlo value after a token, unbiased: p (1 - p) / (k - 1); 0 where exact."""
    p = truth.value[1:]
    return p * (1 - p) / max(truth.rollouts - 1, 1)


def _flat(trace) -> float:
    # Any constant ranks and spreads alike; without a group there is no baseline to compare the reward with.
    return trace.group_mean_reward - trace.reward if np.isfinite(trace.group_mean_reward) else 1.0


def _array(values) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _delta(trace, beta) -> np.ndarray:
    logprobs, ref_logprobs, kl = (_array(getattr(trace, name))[None] for name in _CREDIT)
    return credit.td_terms(logprobs, ref_logprobs, kl, trace.mask[None], beta)[0]


def _deltas(traces, beta):
    return [_delta(trace, beta) for trace in traces]


def _whitened(traces, beta, gae_lambda):
    lengths = [len(t.ids) for t in traces]
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    padded = np.zeros(mask.shape)
    padded[mask] = np.concatenate(_deltas(traces, beta))
    advantages = credit.whiten(credit.gae(padded, mask, gae_lambda), mask)
    return [-row[:n] for row, n in zip(advantages, lengths, strict=True)]
