"""The numbers of one solution as they are shown: rounded once, so that whatever stands side by side adds up. NumPy
only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vimpo_core import credit
from vimpo_core.solutions import reading
from vimpo_core.solutions.lenses import CREDIT, PAIR, VALUE_LENSES
from vimpo_core.solutions.reading import mask_of
from vimpo_core.types import CreditTrace, known

NATS_DECIMALS = 3
"""Nats are shown, and enter the shown sums, with this many digits; scoring noise is far below."""


UNITLESS_DECIMALS = 3


@dataclass(frozen=True)
class Ledger:
    """The numbers of one solution as they are shown: whole numbers of the last shown digit, so that sums close exactly.

    Measured nats are rounded once, to NATS_DECIMALS; every other number is worked out from those rounded ones. Digits
    shown for delta_t, V_{t+1} and A_t therefore are the digits one gets by recombining what stands beside them. The
    price: V_t may differ from the unrounded one by about beta x 10^-3 x sqrt(T) / 2.

    baseline: V_0 as the run's value loss has it (`reading.anchor`).
    arrays: float64 holding whole numbers (nan where not finite), or None where not recorded. logprob, ref_logprob, kl
    (exact) and kappa_kl (what kappa takes; None, as kappa, where the loss has none) in 10^-NATS_DECIMALS nats [T]; rho,
    kappa, td_terms, advantages [T] and values, values_from_end [T+1] (R added) in 10^-reward_decimals reward.
    """

    reward_decimals: int
    reward: float
    baseline: float
    residual: float
    arrays: dict[str, np.ndarray | None]

    def of(self, name: str) -> np.ndarray:
        """An array that was recorded."""
        return known(self.arrays[name])


def ledger(trace: CreditTrace, beta: float, gae_lambda: float | None, anchor: float | None = None) -> Ledger:
    """The shown numbers of one solution; see `Ledger`. anchor: V_0 to start from, where it is not the solution's own.
    gae_lambda: None where no advantages are wanted, which take longest.
    """
    digits = reward_decimals(beta)
    mask = mask_of(trace)
    nats = {
        name: None if getattr(trace, name) is None else np.round(units(getattr(trace, name), NATS_DECIMALS))
        for name in CREDIT
    }
    nats["kappa_kl"] = _shown_kappa_kl(trace)
    lp, ref, kl = (
        None if (own := nats[name]) is None else own[None] / 10**NATS_DECIMALS for name in (*PAIR, "kappa_kl")
    )
    rho = None if lp is None or ref is None else units(credit.rho(lp, ref, mask, beta), digits)
    kappa = None if kl is None else units(credit.kappa(kl, mask, beta), digits)
    start = reading.anchor(trace, beta) if anchor is None else anchor
    reward, baseline = units([trace.reward], digits), units([start], digits)
    arrays = dict.fromkeys(("td_terms", "advantages", *VALUE_LENSES))
    residual = math.nan
    if not reading.missing(trace):
        delta = known(rho) - known(kappa) if reading.has_kappa(trace) else known(rho)
        arrays = {
            "td_terms": delta[0],
            "advantages": None if gae_lambda is None else shown_advantages(delta[0], mask[0], gae_lambda),
            "values": credit.implied_values(delta, mask, baseline)[0],
            "values_from_end": credit.implied_values_from_end(delta, mask)[0] + reward[0]
            if math.isfinite(trace.reward)
            else None,
        }
        residual = float(credit.terminal_residual(delta, mask, reward, baseline)[0])
    arrays |= {"rho": None if rho is None else rho[0], "kappa": None if kappa is None else kappa[0]}
    return Ledger(digits, float(reward[0]), float(baseline[0]), residual, nats | arrays)


def _shown_kappa_kl(trace: CreditTrace) -> np.ndarray | None:
    """kappa's KL in last shown digits, an estimate worked out from the shown log-probabilities."""
    arrays = {name: getattr(trace, name) for name in (*CREDIT, "top_k_kl")}
    rounded = {
        name: None if values is None else np.round(units(values, NATS_DECIMALS)) / 10**NATS_DECIMALS
        for name, values in arrays.items()
    }
    kl = reading.kappa_kl(trace, **rounded)
    return None if kl is None else np.round(units(kl, NATS_DECIMALS))


def reward_decimals(beta: float) -> int:
    """Digits after the point for reward units: enough that beta times a shown nat is not rounded at one-digit betas."""
    return NATS_DECIMALS + max(0, math.ceil(-math.log10(beta)))


def units(values, decimals: int) -> np.ndarray:
    """Whole numbers of the last shown digit, halves away from zero as by hand; nan where not finite."""
    scaled = np.asarray(values, dtype=np.float64) * 10.0**decimals
    scaled = np.where(np.isfinite(scaled), scaled, np.nan)
    # The nudge decides binary near-halves (0.05 x 0.003) the way their decimal digits read.
    return np.sign(scaled) * np.floor(np.abs(scaled) + 0.5 + 1e-7)


def shown_advantages(delta, mask, gae_lambda):
    """A_t = delta_t + lambda A_{t+1} on shown digits: rounded at every token, so each line of the card closes."""
    running, out = 0.0, np.zeros_like(delta)
    for t in reversed(range(len(delta))):
        if mask[t]:
            running = float(units(delta[t] + gae_lambda * running, 0))
            out[t] = running
    return out
