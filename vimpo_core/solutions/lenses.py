"""Lenses: the ways to look at the tokens of a solution, each one number a token, exactly as `credit` defines it. NumPy
only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core import credit
from vimpo_core.solutions import reading
from vimpo_core.solutions.batch import padded
from vimpo_core.solutions.reading import mask_of, row_of
from vimpo_core.types import CreditTrace, known


@dataclass(frozen=True)
class Lens:
    """One way to look at the tokens of a solution.

    `scale` names the colour scale it shares with the other lenses of its unit; `signed` lenses are blue above zero and
    orange below (V_t: above and below the baseline), the others grey by amount. `needs`: arrays of the trace it reads.
    """

    label: str
    symbol: str
    unit: str
    signed: bool
    help: str
    needs: tuple[str, ...]
    scale: str


PAIR = ("logprob", "ref_logprob")


CREDIT = (*PAIR, "kl")


LENSES: dict[str, Lens] = {
    "td_terms": Lens(
        "Token credit",
        "δₜ",
        "reward",
        True,
        "β (log π − log π_ref) − β KL: how far training moved this token, a reading, not a push.",
        CREDIT,
        "reward",
    ),
    "advantages": Lens(
        "Advantage, raw",
        "Aₜ",
        "reward",
        True,
        "Token credit summed back from the end with λ. At λ = 1 every token before a mistake carries the mistake too.",
        CREDIT,
        "reward",
    ),
    "values": Lens(
        "Value, start-anchored",
        "Vₜ",
        "reward",
        True,
        "V after this token, counted up from the group's mean reward; blue above that mean, orange below.",
        CREDIT,
        "reward",
    ),
    "values_from_end": Lens(
        "Value, end-anchored",
        "Vₜ",
        "reward",
        True,
        "V after this token, counted back from the reward R; differs from start-anchored by the terminal residual.",
        CREDIT,
        "reward",
    ),
    "rho": Lens(
        "Scaled log-ratio",
        "ρₜ",
        "reward",
        True,
        "β (log π − log π_ref): how far training moved this token, in reward units.",
        PAIR,
        "reward",
    ),
    "kappa": Lens(
        "Scaled KL",
        "κₜ",
        "reward",
        False,
        "β KL: what the whole step moved on average; subtracted, so that credit averages to zero under the policy.",
        ("kl",),
        "reward",
    ),
    "advantages_whitened": Lens(
        "Advantage, whitened",
        "Ãₜ",
        "",
        True,
        "Aₜ minus its mean over all tokens of the step, over their spread: what the actor loss multiplies.",
        CREDIT,
        "whitened",
    ),
    "grpo": Lens(
        "GRPO advantage",
        "Â",
        "",
        True,
        "Reward minus the group's mean, over the group's spread: the same for every token of the solution.",
        (),
        "grpo",
    ),
    "tool_advantage": Lens(
        "Advantage, by its tool",
        "A",
        "",
        True,
        "The advantage that the tool which trained the policy recorded, as it stands in its file.",
        (),
        "tool",
    ),
    "log_ratio": Lens(
        "Log-ratio",
        "log π/π_ref",
        "nats",
        True,
        "Above zero where training made this token more likely than the reference does.",
        PAIR,
        "nats",
    ),
    "logprob": Lens(
        "Log-probability",
        "log π",
        "nats",
        False,
        "Of this token under the policy; 0 is certain.",
        ("logprob",),
        "nats",
    ),
    "ref_logprob": Lens(
        "Reference log-probability",
        "log π_ref",
        "nats",
        False,
        "Of this token under the reference, that is with the adapter off.",
        ("ref_logprob",),
        "nats",
    ),
    "surprisal": Lens(
        "Surprisal",
        "−log π",
        "nats",
        False,
        "How unexpected the token was to the policy itself: a strong baseline for finding mistakes.",
        ("logprob",),
        "nats",
    ),
    "kl": Lens(
        "KL to the reference",
        "KLₜ",
        "nats",
        False,
        "Over the whole vocabulary at this position, not of this token alone: how far the policy has moved here.",
        ("kl",),
        "position",
    ),
    "entropy": Lens(
        "Entropy",
        "Hₜ",
        "nats",
        False,
        "How undecided the policy was at this position.",
        ("entropy",),
        "position",
    ),
    "probability": Lens("Probability", "π", "", False, "Of this token under the policy.", ("logprob",), "probability"),
}


DEFAULT_LENS = "td_terms"
_NEXT_BEST = ("rho", "tool_advantage", "surprisal")
"""Lenses to begin with where a solution has no token credit."""
TOOL_ADVANTAGES = "advantages"
"""What tools call the advantage of every token (`CreditTrace.tool_arrays`)."""


VALUE_LENSES = ("values", "values_from_end")


def lens_values(
    traces: Sequence[CreditTrace], index: int, lens: str, beta: float, gae_lambda: float
) -> np.ndarray | None:
    """One number a token of `traces[index]`, exactly as `credit` defines it.

    Args:
        traces: all traces of the step: whitening and GRPO's baseline need them.
        lens: a key of LENSES.
        beta: reward per nat, > 0; gae_lambda: in [0, 1].

    Returns:
        float64 [T] in the lens's unit, 0 where masked; V lenses give V_{t+1}, the value after token t (end-anchored:
        with R added). None when an array it needs was not recorded, or when the step is too small to define it
        (GRPO: a group of one, or one whose rewards are not all known; whitening: a solution on its own, or some trace
        of the step lacks an array).

    Raises:
        ValueError: unknown lens; the message names those that exist.
    """
    if lens not in LENSES:
        raise ValueError(f"unknown lens {lens!r}. Known: {', '.join(LENSES)}.")
    trace = traces[index]
    if any(getattr(trace, name) is None for name in needs_of(trace, lens)):
        return None
    if lens == "values_from_end" and not math.isfinite(trace.reward):
        return None
    if lens == "grpo":
        return _grpo(traces, index)
    if lens == "advantages_whitened":
        return _whitened(traces, index, beta, gae_lambda)
    return _DERIVE[lens](trace, beta, gae_lambda)


def first_lens(trace: CreditTrace) -> str:
    """The lens to begin with: token credit, or what comes nearest to it among what was recorded token by token."""
    if not reading.missing(trace):
        return DEFAULT_LENS
    has = {name: lens_values([trace], 0, name, 1.0, 1.0) is not None for name in _NEXT_BEST}
    has["tool_advantage"] = TOOL_ADVANTAGES in trace.tool_arrays
    return next((name for name in _NEXT_BEST if has[name]), DEFAULT_LENS)


def credit_of(trace: CreditTrace, beta: float) -> np.ndarray | None:
    """delta_t of one solution as its run's loss sums it, float64 [T], reward units; None where an array it needs was
    not recorded."""
    return reading.td_terms(trace, beta)


def _delta(trace, beta, gae_lambda):
    return credit_of(trace, beta)


def _advantages(trace, beta, gae_lambda):
    return credit.gae(known(credit_of(trace, beta))[None], mask_of(trace), gae_lambda)[0]


def _values(trace, beta, gae_lambda):
    baseline = np.array([reading.anchor(trace, beta)], dtype=np.float64)
    return credit.implied_values(known(credit_of(trace, beta))[None], mask_of(trace), baseline)[0, 1:]


def _values_from_end(trace, beta, gae_lambda):
    return credit.implied_values_from_end(known(credit_of(trace, beta))[None], mask_of(trace))[0, 1:] + trace.reward


def _rho(trace, beta, gae_lambda=None):
    return credit.rho(row_of(trace.logprob), row_of(trace.ref_logprob), mask_of(trace), beta)[0]


def _measured(name: str, sign: float = 1.0) -> Callable:
    return lambda trace, beta, gae_lambda: np.where(
        trace.mask, sign * np.asarray(getattr(trace, name), dtype=np.float64), 0.0
    )


def _tool_advantage(trace, beta, gae_lambda):
    if TOOL_ADVANTAGES in trace.tool_arrays:
        return np.where(trace.mask, np.asarray(trace.tool_arrays[TOOL_ADVANTAGES], np.float64), 0.0)
    return None if trace.tool_advantage is None else np.where(trace.mask, float(trace.tool_advantage), 0.0)


_DERIVE: dict[str, Callable] = {
    "tool_advantage": _tool_advantage,
    "td_terms": _delta,
    "advantages": _advantages,
    "values": _values,
    "values_from_end": _values_from_end,
    "rho": _rho,
    "kappa": lambda trace, beta, gae_lambda: reading.kappa(trace, beta),
    "log_ratio": lambda trace, beta, gae_lambda: _rho(trace, 1.0),
    "logprob": _measured("logprob"),
    "ref_logprob": _measured("ref_logprob"),
    "surprisal": _measured("logprob", -1.0),
    "kl": _measured("kl"),
    "entropy": _measured("entropy"),
    "probability": lambda trace, beta, gae_lambda: np.where(
        trace.mask, np.exp(np.asarray(trace.logprob, dtype=np.float64)), 0.0
    ),
}


def _whitened(traces, index, beta, gae_lambda):
    deltas = None if len(traces) < 2 else reading.td_terms_of_all(traces, beta)
    if deltas is None:
        return None
    mask = padded([trace.mask for trace in traces], dtype=bool)
    return credit.whiten(credit.gae(deltas, mask, gae_lambda), mask)[index, : len(traces[index].ids)]


def _grpo(traces, index):
    own = [trace.reward for trace in traces if trace.group_id == traces[index].group_id]
    rewards = np.array(own, dtype=np.float64)
    if len(rewards) < 2 or not np.isfinite(rewards).all():
        return None
    place = sum(trace.group_id == traces[index].group_id for trace in traces[:index])
    same = np.zeros(len(rewards), np.int64)
    return np.where(traces[index].mask, credit.grpo_advantages(rewards, same)[place], 0.0)


def needs_of(trace: CreditTrace, lens: str) -> tuple[str, ...]:
    """Arrays that a lens reads of this trace: what credit and kappa are made of depends on the run's loss."""
    found = LENSES[lens].needs
    if "kl" not in found or lens == "kl":
        return found
    return reading.kappa_needs(trace) if lens == "kappa" else reading.needs(trace)
