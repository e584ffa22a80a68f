"""One solution as the loss of its own run reads it: what it sums, which KL is in it, and the V_0 that it starts from.

Everything goes through the functions that train (`rules`), by the settings that a trace brings along. A run without a
value loss, and a trace of no run, are read as VIMPO is published: rho - kappa with the exact KL, from the group mean.
NumPy only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vimpo_core import credit, rules
from vimpo_core.config import TrainConfig
from vimpo_core.rules import RULES, Rule, Sampled
from vimpo_core.solutions.batch import counted, padded
from vimpo_core.types import CreditTrace

NAMES = {
    "logprob": "log-probabilities",
    "ref_logprob": "reference log-probabilities",
    "kl": "KL",
    "top_k_kl": "top-k KL",
}
"""Array of a trace -> what a sentence calls it."""
_PAIR = ("logprob", "ref_logprob")


@functools.lru_cache(maxsize=512)
def read_by(config: TrainConfig | None, beta: float) -> tuple[Rule, TrainConfig]:
    """The rule with a value loss by which the solutions of a run are read, and its settings at this beta: the run's own
    where it has such a loss, else VIMPO as published (None: no run is known)."""
    if config is None or not RULES[config.algorithm].value:
        return RULES["vimpo"], TrainConfig(beta=beta)
    return RULES[config.algorithm], replace(config, beta=beta)


def needs(trace: CreditTrace) -> tuple[str, ...]:
    """The arrays of a trace that its token credit is made of."""
    return (*_PAIR, *_kl_arrays(trace))


def kappa_needs(trace: CreditTrace) -> tuple[str, ...]:
    """The arrays that kappa is made of: the KL, or the log-probabilities that estimate it; none where the loss has no
    KL.
    """
    return _kl_arrays(trace) or (_PAIR if has_kappa(trace) else ())


def missing(trace: CreditTrace) -> list[str]:
    """What of `needs` was not recorded, in words."""
    return [NAMES[name] for name in needs(trace) if getattr(trace, name) is None]


def has_kappa(trace: CreditTrace) -> bool:
    """Whether the loss subtracts a KL at all."""
    return read_by(trace.config, 1.0)[0].value == "plain"


def kl_name(trace: CreditTrace) -> str:
    """What kappa's KL is called: "KL" where it is exact, else with its estimate; "" where there is none."""
    if not has_kappa(trace):
        return ""
    how = read_by(trace.config, 1.0)[1].kl_estimator
    return "KL" if how == "exact" else f"KL ({how})"


def kappa_kl(trace: CreditTrace, **arrays) -> np.ndarray | None:
    """KL that kappa takes, nats, float64 [T]; None where the loss has none, or what it is made of was not recorded.

    arrays: numbers to take for those of the trace, by name (rounded ones).
    """
    used = {name: arrays.get(name, getattr(trace, name)) for name in kappa_needs(trace)}
    if not used or any(values is None for values in used.values()):
        return None
    return _sampled(trace, used).kl[0]


def kappa(trace: CreditTrace, beta: float) -> np.ndarray | None:
    """kappa_t, reward units, float64 [T], 0 where masked; None as for `kappa_kl`."""
    kl = kappa_kl(trace)
    return None if kl is None else credit.kappa(kl[None], mask_of(trace), beta)[0]


def td_terms(trace: CreditTrace, beta: float) -> np.ndarray | None:
    """delta_t as the loss sums it, reward units, float64 [T], 0 where masked: rho - kappa, or rho alone where it has no
    KL.

    None where an array that it needs was not recorded.
    """
    if any(getattr(trace, name) is None for name in needs(trace)):
        return None
    rule, config = read_by(trace.config, beta)
    used = {name: getattr(trace, name) for name in needs(trace)}
    return rules.value_terms(rule, _sampled(trace, used), config)[0]


def td_terms_of_all(traces: Sequence[CreditTrace], beta: float) -> np.ndarray | None:
    """`td_terms` of solutions of one run, [B, T], 0 behind the end of each; None where one of them has none."""
    used = needs(traces[0])
    if any(getattr(trace, name) is None for trace in traces for name in used):
        return None
    rule, config = read_by(traces[0].config, beta)
    rows = {name: padded([getattr(trace, name) for trace in traces]) for name in used}
    nothing = np.zeros_like(rows["logprob"])
    sampled = _batch(rows, nothing, counted(traces), np.array([t.reward for t in traces], np.float64), config)
    return rules.value_terms(rule, sampled, config)


def anchor(trace: CreditTrace, beta: float) -> float:
    """V_0, what the loss subtracts from R, reward units; nan where `why_no_anchor` says so."""
    if why_no_anchor(trace):
        return math.nan
    rule, config = read_by(trace.config, beta)
    if rule.value == "plain" and config.baseline == "group_mean":
        return float(credit.capped(np.array([trace.group_mean_reward], np.float64), config.cap_v0)[0])
    rewards: Sequence[float] = [trace.reward]
    own = 0
    if rule.value != "optimal":
        rewards, own = trace.group_rewards, trace.group_rewards.index(trace.reward)
    nothing = np.zeros((len(rewards), 0))
    rows = Sampled(
        nothing,
        nothing,
        nothing,
        nothing.astype(bool),
        np.array(rewards, np.float64),
        np.zeros(len(rewards), np.int64),
        reference_rate=None if trace.reference_rate is None else np.array([reference_rate(trace, beta)], np.float64),
    )
    return float(rules.value_baseline(rule, rows, config)[own])


def reference_rate(trace: CreditTrace, beta: float) -> float | None:
    """What `rules.Sampled.reference_rate` is at a beta; None where the reference was not tried."""
    if trace.reference_rewards is None:
        return trace.reference_rate
    return rate_at(trace.reference_rewards, beta)


def rate_at(rewards: Sequence[float], beta: float) -> float:
    """Mean tilted reward at a beta: the success rate where all are 0 or 1."""
    return float(credit.tilted(np.array(rewards, dtype=np.float64), beta).mean())


def why_no_anchor(trace: CreditTrace) -> str:
    """Why there is no V_0, "" where there is one."""
    rule, config = read_by(trace.config, 1.0)
    if rule.value == "optimal":
        return (
            ""
            if trace.reference_rate is not None
            else "there is no V*: the reference's success rate on the prompt was not measured"
        )
    if not math.isfinite(trace.reward):
        return "its reward was not recorded"
    if not math.isfinite(trace.group_mean_reward):
        return f"it stands alone: there is no {anchor_name(trace)} V₀"
    of_mean = rule.value == "plain" and config.baseline == "group_mean"
    if not of_mean and trace.reward not in trace.group_rewards:
        return f"the rewards of its group were not recorded: there is no {anchor_name(trace)} V₀"
    return ""


def anchor_name(trace: CreditTrace) -> str:
    """What V_0 is, in words: "group mean", "mean of the others", "soft baseline" or "V*", and whether a cap holds
    it.
    """
    return rules.baseline_name(*read_by(trace.config, 1.0))


def residual(trace: CreditTrace, beta: float) -> float:
    """Terminal residual, reward units: what the run's value loss squares; nan where credit or V_0 is missing."""
    delta = td_terms(trace, beta)
    if delta is None:
        return math.nan
    row = (np.array([value], np.float64) for value in (trace.reward, anchor(trace, beta)))
    return float(credit.terminal_residual(delta[None], mask_of(trace), *row)[0])


def note(trace: CreditTrace) -> str:
    """One sentence where the numbers follow another loss than VIMPO's as published, else ""."""
    rule, config = read_by(trace.config, 1.0)
    name = anchor_name(trace)
    if rule.value != "plain":
        return (
            f"{rule.name} subtracts no KL: here δ is ρ alone, and V starts at the {name}, as its value loss has it."
            if rule.value == "soft"
            else f"{rule.name} subtracts no KL: here δ is ρ alone, and V starts at V*, the soft value of the prompt "
            f"by the "
            "reference's success rate."
        )
    changed = [] if config.kl_estimator == "exact" else [f"κ is β times {_KL_WORDS[config.kl_estimator]}"]
    changed += [] if name == "group mean" else [f"V starts at the {name}"]
    return f"As this run's value loss has it, {' and '.join(changed)}." if changed else ""


def exact_note(config: TrainConfig) -> str:
    """One sentence where rho - kappa with the exact KL, which a scorecard reads alike off every run, is not what the
    run's own value loss sums; else "".
    """
    rule, read = read_by(config, 1.0)
    if rule.value == "plain" and read.kl_estimator == "exact":
        return ""
    own = f"takes {_KL_WORDS[read.kl_estimator]}" if rule.value == "plain" else "subtracts no KL"
    return f"Here δ has the exact KL, for every run alike; this run's own value loss {own}."


_KL_WORDS = {
    "k2": "the k2 estimate from the sampled token, half its log-ratio squared",
    "k3": "the k3 estimate from the sampled token",
    "top-k": "the KL over the policy's most probable tokens",
}


def _kl_arrays(trace: CreditTrace) -> tuple[str, ...]:
    rule, config = read_by(trace.config, 1.0)
    if rule.value != "plain" or config.kl_estimator in ("k2", "k3"):
        return ()
    return ("top_k_kl",) if config.kl_estimator == "top-k" else ("kl",)


def _sampled(trace: CreditTrace, arrays) -> Sampled:
    """The trace as a batch of one row, float64, with kappa's KL."""
    _, config = read_by(trace.config, 1.0)
    rows = {name: np.asarray(values, np.float64)[None] for name, values in arrays.items()}
    nothing = np.zeros((1, len(trace.ids)))
    return _batch(rows, nothing, mask_of(trace), np.array([trace.reward], np.float64), config)


def _batch(rows: dict[str, np.ndarray], nothing: np.ndarray, mask: np.ndarray, rewards: np.ndarray, config) -> Sampled:
    logprobs, ref_logprobs, kl = (rows.get(name, nothing) for name in (*_PAIR, "kl"))
    group_ids = np.zeros(len(rewards), np.int64)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # an infinite log-ratio: what comes of it is not finite, and shown so
        used = rules.kappa_kl(config, logprobs, ref_logprobs, kl, rows.get("top_k_kl"))
        return Sampled(logprobs, ref_logprobs, used, mask, rewards, group_ids)


def row_of(values) -> np.ndarray:
    """Numbers of one trace as a batch of one row, float64 [1, T]."""
    return np.asarray(values, dtype=np.float64)[None]


def mask_of(trace: CreditTrace) -> np.ndarray:
    """The mask of one trace as a batch of one row, bool [1, T]."""
    return np.asarray(trace.mask, dtype=bool)[None]
