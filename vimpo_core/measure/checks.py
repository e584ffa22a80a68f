"""Does it add up? What must hold for any solution with credit, whoever recorded it, each claim as a function of traces.

A check never trusts a derived number: it recomputes both sides. What cannot be checked, because an array was not
recorded or there is no group, is None with the reason, never a pass. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core import credit
from vimpo_core.numbers import signed, term
from vimpo_core.solutions import ledger, lenses, reading
from vimpo_core.tasks.registry import RECORDED
from vimpo_core.types import CreditTrace, StopReason, known

CLAIMS: dict[str, str] = {
    "shapes": "Every array has one number a token",
    "telescope": "Token credits add up to R − V₀ plus the residual",
    "anchors": "Both anchors of V differ by the residual at every token",
    "expectation": "Averaged over the vocabulary, credit is 0 at every token",
    "untrained": "Before learning, every advantage is 0",
    "group": "Advantages of the group add up to 0",
    "kl": "KL is never negative",
    "kl_exact": "KL is over the vocabulary, not read off the sampled token",
    "kl_bound": "KL is at least what the listed alternatives show",
    "logprob": "No log-probability is above 0",
    "alternatives": "The listed alternatives agree with the token's own numbers",
    "entropy": "Entropy is at least what the listed alternatives show",
    "sampler": "The sampler and the scorer saw the same policy",
    "end": "The end token is counted",
    "digits": "The digits on the screen recombine",
}
"""name -> what must hold, in the order of the page."""

_QUIET = np.errstate(invalid="ignore")
"""An infinite number that meets another becomes nan, which no check lets pass: no warning is needed on top."""

TOKEN_ARRAYS = ("logprob", "ref_logprob", "kl", "entropy", "sampler_logprob")
_PAIR = ("logprob", "ref_logprob")
_CREDIT = (*_PAIR, "kl")
_NAMES = {
    "logprob": "log-probabilities",
    "ref_logprob": "reference log-probabilities",
    "kl": "KL",
    "entropy": "entropy",
    "sampler_logprob": "the sampler's log-probabilities",
    "topk": "alternatives",
    "top_k_kl": "top-k KL",
}

FLOAT32_NATS = 1e-5
"""Nats a token by which two float32 forwards of one model differ at most: log-probabilities are up to some 20 nats,
their last digit is 2e-6, and a softmax adds a few of them up. Measured on the bundled runs: 8e-6."""
SAMPLER_NATS = 1e-3
"""float32 samplers stay within 1e-5 nats; half precision (1.5e-3) is a mismatch worth seeing."""
FLOAT64_REWARD = 1e-9
"""Sums of some thousand float64 terms of order 1."""
FLOAT32_MEAN = 1e-6
"""A recorded group mean may have been rounded to float32: 6e-8, times the solutions of a group."""


@dataclass(frozen=True)
class Check:
    """One finding. `value`: by how much the claim is missed at worst, in `unit`; `passed` if that is at most
    `tolerance`.

    passed None: cannot be checked, and `explanation` says why; value is None then.
    """

    name: str
    passed: bool | None
    value: float | None
    tolerance: float | None
    explanation: str
    unit: str = ""

    @property
    def claim(self) -> str:
        return CLAIMS[self.name]


@dataclass(frozen=True)
class ExpectedDeltas:
    """What `scoring` finds over the whole vocabulary at every prefix of a solution, float64 [T], nats.

    log_ratio: E_{a ~ pi}[log pi(a) - log pi_ref(a)], summed in float64; kl: the exact KL as scoring measures it,
        float32.
    Their difference, times beta, is E_pi[delta], which is 0 in exact arithmetic.
    """

    log_ratio: np.ndarray
    kl: np.ndarray

    @property
    def per_prefix(self) -> np.ndarray:
        """E_pi[delta] / beta at each prefix, nats [T]."""
        return self.log_ratio - self.kl

    @property
    def largest(self) -> float:
        """Its largest absolute value; allowed is FLOAT32_NATS."""
        return float(np.abs(self.per_prefix).max(initial=0.0))


def solution_checks(
    traces: Sequence[CreditTrace],
    index: int,
    beta: float,
    gae_lambda: float,
    expected: ExpectedDeltas | None = None,
    why_not: str = "needs the model: not asked for",
) -> list[Check]:
    """Every claim of CLAIMS about `traces[index]`, in that order.

    Args:
        traces: all solutions of the step, for the group; a solution on its own is a list of one.
        expected: from `scoring.expected_deltas`; None leaves that check open, with the reason `why_not`.
    """
    trace = traces[index]
    return [
        shapes(trace),
        telescope(trace, beta),
        anchors(trace, beta),
        expectation(trace, expected, beta, why_not),
        untrained(trace, beta, gae_lambda),
        group(traces, index),
        kl_not_negative(trace),
        kl_exact(trace),
        kl_bound(trace),
        logprob_not_positive(trace),
        alternatives(trace),
        entropy_bound(trace),
        sampler(trace),
        end_token(trace),
        _digits_of(trace, beta, gae_lambda),
    ]


def step_checks(traces: Sequence[CreditTrace], beta: float, gae_lambda: float) -> dict[str, list[int]]:
    """Claim -> indices of the solutions of a step for which it does not hold; every claim of CLAIMS is a key."""
    failed: dict[str, list[int]] = {name: [] for name in CLAIMS}
    for index in range(len(traces)):
        for check in solution_checks(traces, index, beta, gae_lambda):
            if check.passed is False:
                failed[check.name].append(index)
    return failed


# --- sums ------------------------------------------------------------------------------------------------------------


@_QUIET
def telescope(trace: CreditTrace, beta: float) -> Check:
    """sum_t delta_t = R - V_0 + residual, the left side added up term by term, the right side by `credit`."""
    if why := _missing(trace, *reading.needs(trace)) or reading.why_no_anchor(trace):
        return _open("telescope", why)
    terms = _delta_by_hand(trace, beta)
    if (bad := _first(~np.isfinite(terms))) is not None:
        return _failed(
            "telescope",
            math.inf,
            FLOAT64_REWARD,
            f"the credit of token #{bad} is not finite, so nothing can be added up",
            "reward",
        )
    total = math.fsum(terms)
    start = reading.anchor(trace, beta)
    residual = reading.residual(trace, beta)
    values = credit.implied_values(*_rows(trace, beta), _one(start))[0]
    gap = max(
        abs(total - (trace.reward - start + residual)),
        abs(total - float(values[-1] - values[0])),
    )
    # The shown residual is what is left between the other shown digits, so that the line itself adds up.
    shown, mean = round(total, 4), round(start, 4)
    left = term(shown - trace.reward + mean, 4)
    right = f"{signed(shown, 4)} = {trace.reward:g} − {mean:g} {left}"
    return _judge(
        "telescope", gap, FLOAT64_REWARD, right, "the terms and the curve were not made from the same numbers", "reward"
    )


@_QUIET
def anchors(trace: CreditTrace, beta: float) -> Check:
    """V counted up from V_0 minus V counted back from R is the terminal residual, at every t."""
    if why := _missing(trace, *reading.needs(trace)) or reading.why_no_anchor(trace):
        return _open("anchors", why)
    residual = reading.residual(trace, beta)
    start = credit.implied_values(*_rows(trace, beta), _one(reading.anchor(trace, beta)))[0]
    end = credit.implied_values_from_end(*_rows(trace, beta))[0] + trace.reward
    gaps = np.abs(start - end - residual)
    return _judge_worst(
        "anchors",
        gaps,
        FLOAT64_REWARD,
        f"residual {signed(residual, 4)} everywhere",
        "the two curves are not the same curve shifted",
        "reward",
    )


@_QUIET
def expectation(
    trace: CreditTrace, expected: ExpectedDeltas | None, beta: float, why_not: str = "needs the model"
) -> Check:
    """E_{a ~ pi}[delta(s_t, a)] = 0: beta times the expected log-ratio equals beta times the KL that the trace
    holds.
    """
    if why := _missing(trace, "kl") or _not_on_average(trace):
        return _open("expectation", why)
    if expected is None:
        return _open("expectation", why_not)
    if len(expected.log_ratio) != len(trace.ids):
        return _open("expectation", "the solution's text gives other tokens than were recorded")
    gaps = beta * np.abs(np.where(trace.mask, expected.log_ratio - np.asarray(trace.kl, np.float64), 0))
    return _judge_worst(
        "expectation",
        gaps,
        beta * FLOAT32_NATS,
        "what the policy expects to gain at each token is nothing; allowed: float32 rounding of two forwards",
        "the KL is not that of this policy: another step, another reference, or an estimate",
        "reward",
    )


@_QUIET
def untrained(trace: CreditTrace, beta: float, gae_lambda: float) -> Check:
    """A_t = 0 at step 0, where the policy is the reference."""
    if trace.config is not None and trace.config.task == RECORDED:
        return _open("untrained", "another tool's run: whether it began at its reference was not recorded")
    if trace.step != 0:
        return _open("untrained", f"this is step {trace.step}; only at step 0 is the policy the reference")
    if why := _missing(trace, *reading.needs(trace)):
        return _open("untrained", why)
    gaps = np.abs(credit.gae(*_rows(trace, beta), gae_lambda)[0])
    tolerance = beta * FLOAT32_NATS * max(1, len(trace.ids))
    return _judge_worst(
        "untrained",
        gaps,
        tolerance,
        "no token credit before learning",
        "policy and reference differ before the first update",
        "reward",
    )


def group(traces: Sequence[CreditTrace], index: int) -> Check:
    """Reward - recorded group mean, and GRPO's advantages, each sum to 0 over the solutions of one prompt."""
    trace = traces[index]
    members = [t for t in traces if t.group_id == trace.group_id]
    if why := _no_group(trace) or ("it is the only solution of its group here" if len(members) < 2 else ""):
        return _open("group", why)
    rewards = np.array([t.reward for t in members], dtype=np.float64)
    if not np.isfinite(rewards).all():
        return _open("group", "not recorded: some rewards of its group")
    centred = math.fsum(t.reward - t.group_mean_reward for t in members)
    grpo = math.fsum(credit.grpo_advantages(rewards, np.zeros(len(members), dtype=np.int64)))
    wrong = (
        f"the rewards of the {len(members)} solutions here do not average to the recorded group mean: one is "
        f"missing or was changed"
    )
    return _judge(
        "group",
        max(abs(centred), abs(grpo)),
        FLOAT32_MEAN,
        f"reward − group mean, and GRPO's advantages, over {len(members)} solutions",
        wrong,
        "reward",
    )


# --- what was measured -----------------------------------------------------------------------------------------------


def shapes(trace: CreditTrace) -> Check:
    """Ids, texts, mask and every recorded array have the same length T."""
    length = len(trace.ids)
    sizes = {"text": np.shape(trace.text), "mask": np.shape(trace.mask)}
    sizes |= {name: np.shape(getattr(trace, name)) for name in TOKEN_ARRAYS if getattr(trace, name) is not None}
    sizes |= {name: np.shape(values) for name, values in trace.tool_arrays.items()}
    wrong = [f"{name} has {size[0] if size else 'no'} numbers" for name, size in sizes.items() if size != (length,)]
    return _judge(
        "shapes",
        float(len(wrong)),
        0.0,
        f"{len(sizes)} arrays of {length} numbers",
        f"there are {length} tokens, but {', '.join(wrong)}",
        "arrays",
    )


def kl_not_negative(trace: CreditTrace) -> Check:
    """KL >= 0, up to float32 rounding."""
    if why := _missing(trace, "kl"):
        return _open("kl", why)
    return _judge_worst(
        "kl",
        _below(trace.kl, trace),
        FLOAT32_NATS,
        "a distance between two distributions",
        "no KL is negative: this is an estimate, or the sign is turned",
        "nats",
    )


@_QUIET
def kl_exact(trace: CreditTrace) -> Check:
    """KL is not log pi - log pi_ref of the sampled token (the k1 estimate): delta would be identically 0."""
    if why := _missing(trace, *_CREDIT):
        return _open("kl_exact", why)
    log_ratio = _masked(trace, "logprob") - _masked(trace, "ref_logprob")
    moved = np.abs(log_ratio) > FLOAT32_NATS
    if not moved.any():
        return _open("kl_exact", "policy and reference are the same here, so every estimate is 0 too")
    same = moved & (np.abs(log_ratio - _masked(trace, "kl")) <= FLOAT32_NATS)
    # An exact KL can meet the sampled log-ratio at a token or two by chance, never at all of them.
    value = float(same.sum() / moved.sum())
    used = reading.kl_name(trace)
    other = (
        ""
        if used == "KL"
        else f"; that KL is for looking at, credit takes {used}"
        if used
        else "; that KL is for looking at, credit takes none"
    )
    return _judge(
        "kl_exact",
        value,
        0.5,
        f"share of tokens whose KL equals their own log-ratio, which happens by chance{other}",
        "KL was estimated from the sampled token (k1): with it every credit is 0",
        "of tokens",
    )


@_QUIET
def kl_bound(trace: CreditTrace) -> Check:
    """KL >= the divergence between alternatives grouped as (listed ones one by one, all the rest)."""
    if why := _missing(trace, "kl", "topk"):
        return _open("kl_bound", why)
    p, q = _coarse(trace, "logprob"), _coarse(trace, "ref_logprob")
    # Where rounding leaves no rest under one of them, the rest says nothing.
    least = np.sum(np.where((p > 0) & (q > 0), p * (_log(p) - _log(q)), 0.0), axis=1)
    short = np.where(trace.mask, least - np.asarray(trace.kl, np.float64), 0.0)
    return _judge_worst(
        "kl_bound",
        np.maximum(short, 0),
        FLOAT32_NATS,
        "merging the unlisted tokens can only lower a KL",
        "KL is smaller than the listed alternatives alone make it",
        "nats",
    )


def logprob_not_positive(trace: CreditTrace) -> Check:
    """log pi <= 0 for the policy, the reference and the sampler, whichever were recorded."""
    known = [name for name in (*_PAIR, "sampler_logprob") if not _missing(trace, name)]
    if not known:
        return _open("logprob", _missing(trace, *_PAIR))
    # nan counts as far above: max would otherwise pass it by.
    above = np.max([np.nan_to_num(_masked(trace, name), nan=np.inf) for name in known], axis=0, initial=0.0)
    return _judge_worst(
        "logprob",
        np.maximum(above, 0),
        FLOAT32_NATS,
        "no probability is above 1",
        "a probability above 1: the number is not a log-probability, or another base or temperature",
        "nats",
    )


@_QUIET
def alternatives(trace: CreditTrace) -> Check:
    """Where the sampled token is among the alternatives, both lists hold the same numbers; no list sums to more
    than 1.
    """
    if why := _missing(trace, *_PAIR, "topk"):
        return _open("alternatives", why)
    gaps = np.zeros(len(trace.ids))
    for name in _PAIR:
        listed = np.asarray(getattr(trace.topk, name), np.float64)
        own = np.asarray(getattr(trace, name), np.float64)[:, None]
        here = known(trace.topk).ids == np.asarray(trace.ids)[:, None]
        gaps = np.maximum(gaps, np.where(here & (listed != own), np.abs(listed - own), 0).max(1, initial=0.0))
        gaps = np.maximum(gaps, _probabilities(trace, name).sum(axis=1) - 1)
    gaps = np.where(trace.mask, gaps, 0)
    return _judge_worst(
        "alternatives",
        gaps,
        FLOAT32_NATS,
        "the same token, looked up twice",
        "the alternatives and the token's own numbers come from different policies",
        "nats",
    )


@_QUIET
def entropy_bound(trace: CreditTrace) -> Check:
    """Entropy >= 0, and >= that of the listed alternatives with all the rest as one."""
    if why := _missing(trace, "entropy"):
        return _open("entropy", why)
    has_topk = not _missing(trace, "topk")
    p = _coarse(trace, "logprob") if has_topk else np.ones((len(trace.ids), 1))
    least = -np.sum(p * _log(p), axis=1)
    short = np.where(trace.mask, least - np.asarray(trace.entropy, np.float64), 0)
    return _judge_worst(
        "entropy",
        np.maximum(short, 0),
        FLOAT32_NATS,
        "merging the unlisted tokens can only lower an entropy"
        if has_topk
        else "at least 0 (no alternatives were recorded)",
        "the entropy is too small: other units, another temperature or another policy",
        "nats",
    )


@_QUIET
def sampler(trace: CreditTrace) -> Check:
    """log pi at sampling time equals log pi as scored, at temperature 1."""
    if why := _missing(trace, "logprob", "sampler_logprob"):
        return _open("sampler", why)
    gaps = np.abs(_masked(trace, "logprob") - _masked(trace, "sampler_logprob"))
    return _judge_worst(
        "sampler",
        gaps,
        SAMPLER_NATS,
        "sampled and scored alike",
        "sampled under another policy, temperature or precision than it was scored under",
        "nats",
    )


def end_token(trace: CreditTrace) -> Check:
    """A completion that ended by itself has its end token among the counted ones: the value is anchored there."""
    if trace.finish_reason is None:
        return _open("end", "not recorded: whether it ended by itself")
    if trace.finish_reason != StopReason.EOS:
        return _open("end", "it was cut off before an end token")
    counted = len(trace.mask) > 0 and bool(trace.mask[-1])
    return _judge(
        "end",
        0.0 if counted else 1.0,
        0.0,
        f"token #{len(trace.mask) - 1}",
        "the last token is left out, so the sum misses its credit",
        "tokens",
    )


# --- what is shown ---------------------------------------------------------------------------------------------------


def digits(book: ledger.Ledger, mask: np.ndarray, beta: float, gae_lambda: float) -> Check:
    """The shown whole numbers recombine: rho and kappa from nats, delta = rho - kappa (rho where the loss has no KL),
    V, A and the residual from delta."""
    if book.arrays["td_terms"] is None:
        return _open("digits", "there is no credit here")
    shown = {name: known(values) for name, values in book.arrays.items() if values is not None}
    scale = beta * 10.0 ** (book.reward_decimals - ledger.NATS_DECIMALS)
    delta, running = shown["td_terms"], np.append(shown["advantages"], 0.0)
    gaps = {
        "ρ": np.abs(shown["rho"] - np.where(mask, scale * (shown["logprob"] - shown["ref_logprob"]), 0)) - 0.5,
        "δ": np.abs(delta - (shown["rho"] - shown.get("kappa", 0))),
        "A": np.where(mask, np.abs(running[:-1] - (delta + gae_lambda * running[1:])) - 0.5, 0),
    }
    if "values_from_end" in shown:
        gaps["V from the end"] = np.abs(np.diff(shown["values_from_end"]) - delta)
        gaps["V at the end"] = np.abs(shown["values_from_end"][-1:] - book.reward)
    if "kappa" in shown:
        gaps["κ"] = np.abs(shown["kappa"] - np.where(mask, scale * shown["kappa_kl"], 0)) - 0.5
    if math.isfinite(book.baseline):
        gaps["V"] = np.abs(np.diff(shown["values"]) - delta)
        gaps["V₀"] = np.abs(shown["values"][:1] - book.baseline)
        gaps["residual"] = np.abs([shown["values"][-1] - book.reward - book.residual])
    worst = {name: float(np.max(np.where(np.isnan(gap), np.inf, gap), initial=0.0)) for name, gap in gaps.items()}
    name = max(worst, key=worst.__getitem__)
    # Binary rounding of the products may reach 1e-7 of a digit.
    return _judge(
        "digits",
        max(0.0, worst[name]),
        1e-6,
        "by hand one gets what is shown",
        f"the shown {name} is not what the numbers beside it give",
        "last digits",
    )


@_QUIET
def _digits_of(trace: CreditTrace, beta: float, gae_lambda: float) -> Check:
    if why := _missing(trace, *reading.needs(trace)):
        return _open("digits", why)
    return digits(ledger.ledger(trace, beta, gae_lambda), np.asarray(trace.mask, bool), beta, gae_lambda)


# --- inside ----------------------------------------------------------------------------------------------------------


def _missing(trace: CreditTrace, *names: str) -> str:
    """Why a check that needs these arrays cannot be made; "" when it can."""
    absent = [_NAMES[name] for name in names if getattr(trace, name) is None]
    if absent:
        return f"not recorded: {', '.join(absent)}"
    length = len(trace.ids)
    fits = {name: np.shape(known(trace.topk).ids if name == "topk" else getattr(trace, name))[:1] for name in names}
    wrong = [_NAMES[name] for name, size in fits.items() if size != (length,)]
    if np.shape(trace.mask) != (length,):
        wrong.append("the mask")
    return f"wrong length: {', '.join(wrong)}" if wrong else ""


def _no_group(trace: CreditTrace) -> str:
    return "" if math.isfinite(trace.group_mean_reward) else "it stands alone: there is no group mean V₀"


def _not_on_average(trace: CreditTrace) -> str:
    """Why the credit of this trace does not average to 0 by what is recorded here; "" where it has to."""
    if not reading.has_kappa(trace):
        return "this run's rule subtracts no KL: its credit ρ averages to β KL, not to 0"
    how = reading.kl_name(trace)
    return "" if how == "KL" else f"this run's κ is β {how}: what averages to 0 is credit with the exact KL"


def _open(name: str, why: str) -> Check:
    return Check(name, None, None, None, why)


def _failed(name: str, value: float, tolerance: float, wrong: str, unit: str) -> Check:
    return Check(name, False, value, tolerance, wrong, unit)


def _judge(name: str, value: float, tolerance: float, right: str, wrong: str, unit: str) -> Check:
    # A nan compares as False, so it does not pass.
    if value <= tolerance:
        return Check(name, True, value, tolerance, right, unit)
    return _failed(name, value, tolerance, wrong, unit)


def _judge_worst(name: str, gaps: np.ndarray, tolerance: float, right: str, wrong: str, unit: str) -> Check:
    """Judge the largest of one gap a token; a failure names the token."""
    gaps = np.where(np.isnan(gaps), np.inf, gaps)
    worst = float(gaps.max(initial=0.0))
    at = f" (worst at token #{int(np.argmax(gaps))})" if worst > tolerance else ""
    return _judge(name, worst, tolerance, right, wrong + at, unit)


def _rows(trace: CreditTrace, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """delta and mask as `credit` takes them, [1, T]."""
    return known(lenses.credit_of(trace, beta))[None], np.asarray(trace.mask, bool)[None]


def _delta_by_hand(trace: CreditTrace, beta: float) -> np.ndarray:
    lp, ref = (np.asarray(getattr(trace, name), np.float64) for name in _PAIR)
    kl: float | np.ndarray = 0.0
    if reading.has_kappa(trace):
        how = reading.read_by(trace.config, beta)[1].kl_estimator
        ratio = lp - ref
        kl = {
            "exact": lambda: np.asarray(trace.kl, np.float64),
            "k2": lambda: 0.5 * ratio * ratio,
            "k3": lambda: np.exp(-ratio) - 1 + ratio,
            "top-k": lambda: np.asarray(trace.top_k_kl, np.float64),
        }[how]()
    return np.where(trace.mask, beta * lp - beta * ref - beta * kl, 0.0)


def _masked(trace: CreditTrace, name: str) -> np.ndarray:
    return np.where(trace.mask, np.asarray(getattr(trace, name), np.float64), 0.0)


def _below(values, trace: CreditTrace) -> np.ndarray:
    values = np.where(trace.mask, np.asarray(values, np.float64), 0.0)
    return np.where(np.isnan(values), np.inf, np.where(values < 0, -values, 0.0))


def _one(value: float) -> np.ndarray:
    return np.array([value], dtype=np.float64)


def _first(flags: np.ndarray) -> int | None:
    return int(np.argmax(flags)) if flags.any() else None


def _probabilities(trace: CreditTrace, name: str) -> np.ndarray:
    """Probabilities of the alternatives, [T, K]; a token listed twice counts once."""
    ids = known(trace.topk).ids
    same = ids[:, :, None] == ids[:, None, :]
    is_repeat = np.tril(same, k=-1).any(axis=2)
    return np.where(is_repeat, 0.0, np.exp(np.asarray(getattr(trace.topk, name), np.float64)))


def _coarse(trace: CreditTrace, name: str) -> np.ndarray:
    """The alternatives' probabilities and one more for all the rest, [T, K + 1]."""
    listed = _probabilities(trace, name)
    return np.concatenate([listed, np.maximum(0.0, 1 - listed.sum(axis=1, keepdims=True))], axis=1)


def _log(p: np.ndarray) -> np.ndarray:
    """log p, and 0 where p is 0: what is multiplied by it there is 0 too."""
    return np.log(np.where(p > 0, p, 1.0))
