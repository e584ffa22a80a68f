"""From measured traces to what a page draws: lenses on the tokens of a solution, and one payload with all of them.

A trace holds what was measured; everything here is derived when it is looked at, by the functions of `credit` that
also train, so a beta slider shows what training at that beta would have seen. What was not recorded is None, never 0.
NumPy only; knows neither Streamlit nor where a trace came from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from vimpo_core import credit
from vimpo_core.rules import RULES
from vimpo_core.solutions import reading
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.tasks.registry import task_that_asks
from vimpo_core.types import CreditTrace, Problem, StopReason

NATS_DECIMALS = 3
"""Nats are shown, and enter the shown sums, with this many digits; scoring noise is far below."""
UNITLESS_DECIMALS = 3
_LONGEST_NOTE = 60


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


_PAIR = ("logprob", "ref_logprob")
_CREDIT = (*_PAIR, "kl")

LENSES: dict[str, Lens] = {
    "td_terms": Lens(
        "Token credit",
        "δₜ",
        "reward",
        True,
        "One-step credit β (log π − log π ref) − β KL: what this token alone changed (the advantage at λ = 0).",
        _CREDIT,
        "reward",
    ),
    "advantages": Lens(
        "Advantage, raw",
        "Aₜ",
        "reward",
        True,
        "Token credit summed back from the end with λ. At λ = 1 every token before a mistake carries the mistake too.",
        _CREDIT,
        "reward",
    ),
    "values": Lens(
        "Value, start-anchored",
        "Vₜ",
        "reward",
        True,
        "V after this token, counted up from the group's mean reward; blue above that mean, orange below.",
        _CREDIT,
        "reward",
    ),
    "values_from_end": Lens(
        "Value, end-anchored",
        "Vₜ",
        "reward",
        True,
        "V after this token, counted back from the reward R; differs from start-anchored by the terminal residual.",
        _CREDIT,
        "reward",
    ),
    "rho": Lens(
        "Scaled log-ratio",
        "ρₜ",
        "reward",
        True,
        "β (log π − log π ref): how far training moved this token, in reward units.",
        _PAIR,
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
        _CREDIT,
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
    "log_ratio": Lens(
        "Log-ratio",
        "log π/π ref",
        "nats",
        True,
        "Above zero where training made this token more likely than the reference does.",
        _PAIR,
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
        "log π ref",
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
    "probability": Lens(
        "Probability", "π", "", False, "Of this token under the policy.", ("logprob",), "probability"
    ),
}
DEFAULT_LENS = "td_terms"
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
        (GRPO: a group of one; whitening: a solution on its own, or some trace of the step lacks an array).

    Raises:
        ValueError: unknown lens; the message names those that exist.
    """
    if lens not in LENSES:
        raise ValueError(f"unknown lens {lens!r}. Known: {', '.join(LENSES)}.")
    trace = traces[index]
    if any(getattr(trace, name) is None for name in _needs(trace, lens)):
        return None
    if lens == "grpo":
        return _grpo(traces, index)
    if lens == "advantages_whitened":
        return _whitened(traces, index, beta, gae_lambda)
    return _DERIVE[lens](trace, beta, gae_lambda)


def credit_of(trace: CreditTrace, beta: float) -> np.ndarray | None:
    """delta_t of one solution as its run's loss sums it, float64 [T], reward units; None where an array it needs was not
    recorded."""
    return reading.td_terms(trace, beta)


def inspector_payload(traces: Sequence[CreditTrace], index: int, beta: float, gae_lambda: float) -> dict:
    """Everything the credit view draws for `traces[index]`, all lenses at once, ready for JSON.

    Numbers travel as whole numbers of their last shown digit (`decimals` says how many a unit has) and come from one
    `ledger`, so whatever is on the screen recombines to what is on the screen. None: not recorded.
    """
    trace = traces[index]
    book = ledger(trace, beta, gae_lambda)
    arrays = {name: whole(values) for name, values in book.arrays.items()}
    for name in ("advantages_whitened", "grpo"):
        values = lens_values(traces, index, name, beta, gae_lambda)
        arrays[name] = None if values is None else whole(units(values, UNITLESS_DECIMALS))
    arrays["entropy"] = None if trace.entropy is None else whole(units(trace.entropy, NATS_DECIMALS))
    payload = {
        "text": [visible_text(t) for t in trace.text],
        "line_starts": step_starts(trace),
        "first_wrong": trace.first_wrong,
        "note": mistake_note(trace),
        "beta": beta,
        "gae_lambda": gae_lambda,
        "decimals": {
            "reward": book.reward_decimals,
            "nats": NATS_DECIMALS,
            "position": NATS_DECIMALS,
            "whitened": UNITLESS_DECIMALS,
            "grpo": UNITLESS_DECIMALS,
        },
        "reward": whole([book.reward])[0],
        "baseline": whole([book.baseline])[0],
        "residual": whole([book.residual])[0],
        "anchor": reading.anchor_name(trace),
        "kl_name": reading.kl_name(trace),
        "missing": reading.missing(trace),
        "arrays": arrays,
        "lenses": [{"key": key, **_lens_card(trace, key)} for key in LENSES],
        "scales": _scales(arrays, book, whole([book.baseline])[0]),
        "topk": _topk(trace),
    }
    return with_version(payload)


def credit_name(algorithm: str) -> str:
    """Whose credit it is: read off the policy, whatever trained it."""
    return f"read off the {RULES[algorithm].name} policy"


FILM_ARRAYS = (
    "td_terms",
    "advantages",
    "values_from_end",
    "rho",
    "kappa",
    "logprob",
    "ref_logprob",
    "kl",
    "entropy",
)
FILM_LENSES = tuple(
    key for key in LENSES if key not in ("values", "advantages_whitened", "grpo")
)  # these need a group, and a solution that is scored again has none


def film_payload(frames: Sequence[CreditTrace], beta: float, gae_lambda: float) -> dict:
    """Everything the film strip draws: one solution under several policies, ready for JSON.

    frames: the same solution at ascending steps, without a group. Numbers are those of `inspector_payload`; one scale a
    unit for all frames. V is anchored at the end (R added) and coloured by its distance from R.
    """
    trace = frames[0]
    books = [inspector_payload([frame], 0, beta, gae_lambda) for frame in frames]
    first = books[0]
    shared = (
        "text", "line_starts", "first_wrong", "note", "beta", "gae_lambda", "decimals", "reward", "anchor", "kl_name", "missing",
    )  # fmt: skip
    reward_names = ("td_terms", "advantages", "rho", "kappa")
    largest = max((_largest_credit(book, reward_names) for book in books), default=0)
    scales = {name: max(book["scales"][name] for book in books) for name in first["scales"]}
    payload = {
        **{name: first[name] for name in shared},
        "prompt": visible_text(trace.prompt_text),
        "baseline": None,
        "lenses": [{"key": key, **_lens_card(trace, key)} for key in FILM_LENSES],
        "scales": scales | {"reward": round_up(largest / 10 ** first["decimals"]["reward"])},
        "frames": [
            {"step": frame.step, "arrays": {name: book["arrays"][name] for name in FILM_ARRAYS}}
            for frame, book in zip(frames, books, strict=True)
        ],
    }
    return with_version(payload)


def _largest_credit(book: dict, names: Sequence[str]) -> int:
    """The largest magnitude among some arrays and of V's distance from R, in last shown digits."""
    found = [abs(v) for name in names for v in book["arrays"][name] or () if v is not None]
    found += [abs(v - book["reward"]) for v in book["arrays"]["values_from_end"] or () if v is not None]
    return max(found, default=0)


@dataclass(frozen=True)
class Ledger:
    """The numbers of one solution as they are shown: whole numbers of the last shown digit, so that sums close exactly.

    Measured nats are rounded once, to NATS_DECIMALS; every other number is worked out from those rounded ones. Digits
    shown for delta_t, V_{t+1} and A_t therefore are the digits one gets by recombining what stands beside them. The
    price: V_t may differ from the unrounded one by about beta x 10^-3 x sqrt(T) / 2.

    baseline: V_0 as the run's value loss has it (`reading.anchor`).
    arrays: float64 holding whole numbers (nan where not finite), or None where not recorded. logprob, ref_logprob, kl
    (exact) and kappa_kl (what kappa takes; None, as kappa, where the loss has none) in 10^-NATS_DECIMALS nats [T]; rho, kappa, td_terms, advantages [T] and values, values_from_end [T+1] (R added) in
    10^-reward_decimals reward.
    """

    reward_decimals: int
    reward: float
    baseline: float
    residual: float
    arrays: dict[str, np.ndarray | None]


def ledger(trace: CreditTrace, beta: float, gae_lambda: float, anchor: float | None = None) -> Ledger:
    """The shown numbers of one solution; see `Ledger`. anchor: V_0 to start from, where it is not the solution's own."""
    digits = reward_decimals(beta)
    mask = _mask(trace)
    nats = {
        name: None if getattr(trace, name) is None else np.round(units(getattr(trace, name), NATS_DECIMALS))
        for name in _CREDIT
    }
    nats["kappa_kl"] = _shown_kappa_kl(trace)
    lp, ref, kl = (
        None if nats[name] is None else nats[name][None] / 10**NATS_DECIMALS for name in (*_PAIR, "kappa_kl")
    )
    rho = None if lp is None or ref is None else units(credit.rho(lp, ref, mask, beta), digits)
    kappa = None if kl is None else units(credit.kappa(kl, mask, beta), digits)
    start = reading.anchor(trace, beta) if anchor is None else anchor
    reward, baseline = units([trace.reward], digits), units([start], digits)
    arrays = dict.fromkeys(("td_terms", "advantages", *VALUE_LENSES))
    residual = math.nan
    if not reading.missing(trace):
        delta = rho - kappa if reading.has_kappa(trace) else rho
        arrays = {
            "td_terms": delta[0],
            "advantages": shown_advantages(delta[0], mask[0], gae_lambda),
            "values": credit.implied_values(delta, mask, baseline)[0],
            "values_from_end": credit.implied_values_from_end(delta, mask)[0] + reward[0],
        }
        residual = float(credit.terminal_residual(delta, mask, reward, baseline)[0])
    arrays |= {"rho": None if rho is None else rho[0], "kappa": None if kappa is None else kappa[0]}
    return Ledger(digits, float(reward[0]), float(baseline[0]), residual, nats | arrays)


def _shown_kappa_kl(trace: CreditTrace) -> np.ndarray | None:
    """kappa's KL in last shown digits, an estimate worked out from the shown log-probabilities."""
    arrays = {name: getattr(trace, name) for name in (*_CREDIT, "top_k_kl")}
    rounded = {
        name: None if values is None else np.round(units(values, NATS_DECIMALS)) / 10**NATS_DECIMALS
        for name, values in arrays.items()
    }
    kl = reading.kappa_kl(trace, **rounded)
    return None if kl is None else np.round(units(kl, NATS_DECIMALS))


def reward_decimals(beta: float) -> int:
    """Digits after the point for reward units: enough that beta times a shown nat is not rounded at one-digit betas."""
    return NATS_DECIMALS + max(0, math.ceil(-math.log10(beta)))


# --- text ----------------------------------------------------------------------------------------------------------


def step_starts(trace: CreditTrace) -> list[int]:
    """Index of the first token of each step: lines where the solution has some, else what its task takes for steps.

    A step begins with the token that holds its first character, be it ";1".
    """
    if not trace.text:
        return []
    last = len(trace.text) - 1
    if any("\n" in t for t in trace.text):
        return [0, *(i + 1 for i, t in enumerate(trace.text) if i < last and "\n" in t)]
    if (task := task_that_asks(trace.prompt_text)) is None:
        return [0]
    # The end token is no separator, whatever its own text: "</s>".
    body = trace.text[:last] if trace.finish_reason == StopReason.EOS else trace.text
    after = task.step_starts("".join(body))
    ends = np.cumsum([len(t) for t in trace.text])
    return sorted({0, *(int(i) for i in np.searchsorted(ends, after, side="right") if i <= last)})


def mistake_note(trace: CreditTrace) -> str:
    """What happened at the first wrong token, as far as the task can tell; "" when nothing is wrong."""
    if trace.first_wrong is None:
        return ""
    task = task_that_asks(trace.prompt_text)
    slip = task and task.mistake(Problem(trace.prompt_text, trace.gold), trace.written(task.end))
    note = visible_text(slip) if slip else "first wrong token"
    return note if len(note) <= _LONGEST_NOTE else note[: _LONGEST_NOTE - 1] + "…"


# --- inside --------------------------------------------------------------------------------------------------------


def _row(values) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)[None]


def _mask(trace: CreditTrace) -> np.ndarray:
    return np.asarray(trace.mask, dtype=bool)[None]


def _delta(trace, beta, gae_lambda):
    return credit_of(trace, beta)


def _advantages(trace, beta, gae_lambda):
    return credit.gae(credit_of(trace, beta)[None], _mask(trace), gae_lambda)[0]


def _values(trace, beta, gae_lambda):
    baseline = np.array([reading.anchor(trace, beta)], dtype=np.float64)
    return credit.implied_values(credit_of(trace, beta)[None], _mask(trace), baseline)[0, 1:]


def _values_from_end(trace, beta, gae_lambda):
    return credit.implied_values_from_end(credit_of(trace, beta)[None], _mask(trace))[0, 1:] + trace.reward


def _rho(trace, beta, gae_lambda=None):
    return credit.rho(_row(trace.logprob), _row(trace.ref_logprob), _mask(trace), beta)[0]


def _measured(name: str, sign: float = 1.0) -> Callable:
    return lambda trace, beta, gae_lambda: np.where(
        trace.mask, sign * np.asarray(getattr(trace, name), dtype=np.float64), 0.0
    )


_DERIVE: dict[str, Callable] = {
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
    deltas = [credit_of(trace, beta) for trace in traces]
    if len(traces) < 2 or any(delta is None for delta in deltas):
        return None
    longest = max(len(delta) for delta in deltas)
    padded, mask = np.zeros((len(deltas), longest)), np.zeros((len(deltas), longest), dtype=bool)
    for i, (delta, trace) in enumerate(zip(deltas, traces, strict=True)):
        padded[i, : len(delta)], mask[i, : len(delta)] = delta, trace.mask
    return credit.whiten(credit.gae(padded, mask, gae_lambda), mask)[index, : len(deltas[index])]


def _grpo(traces, index):
    group_ids = np.array([trace.group_id for trace in traces])
    if (group_ids == group_ids[index]).sum() < 2:
        return None
    rewards = np.array([trace.reward for trace in traces], dtype=np.float64)
    return np.where(traces[index].mask, credit.grpo_advantages(rewards, group_ids)[index], 0.0)


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


def whole(values) -> list[int | None] | None:
    """Whole numbers of the last shown digit as they travel; None inside where not finite, None for what is missing."""
    if values is None:
        return None
    return [int(v) if math.isfinite(v) else None for v in values]


def with_version(payload: dict) -> dict:
    """The payload with a hash of its content: the component redraws only when it changes."""
    content = json.dumps({key: value for key, value in payload.items() if key != "version"})
    return payload | {"version": hashlib.sha256(content.encode()).hexdigest()[:16]}


def _needs(trace: CreditTrace, lens: str) -> tuple[str, ...]:
    """Arrays that a lens reads of this trace: what credit and kappa are made of depends on the run's loss."""
    found = LENSES[lens].needs
    if "kl" not in found or lens == "kl":
        return found
    return reading.kappa_needs(trace) if lens == "kappa" else reading.needs(trace)


def _lens_card(trace: CreditTrace, key: str) -> dict:
    """What the view says of a lens, in the words of the run's own loss. `absent`: why it has no number, in a word or two."""
    card = asdict(LENSES[key]) | {"absent": "not recorded"}
    del card["needs"]
    if key == "values":
        card["help"] = (
            f"V after this token, counted up from V₀, the {reading.anchor_name(trace)}; blue above it, orange below."
        )
    if not reading.has_kappa(trace):
        if key == "td_terms":
            card["help"] = (
                "One-step credit β (log π − log π ref): what this token alone changed. This rule subtracts no KL."
            )
        if key == "kappa":
            card |= {"help": "This run's rule subtracts no KL, so there is no κ.", "absent": "none here"}
    elif (name := reading.kl_name(trace)) != "KL" and key in ("td_terms", "kappa"):
        card["help"] = (
            card["help"].replace("KL", name) if key == "td_terms" else f"β {name}: what training subtracted."
        )
    return card


def _scales(arrays: dict, book: Ledger, baseline: int | None) -> dict[str, float]:
    """The largest magnitude of each unit, rounded up to a readable number: one colour scale a unit for the page."""

    def largest(decimals: int, *names: str, centre: int = 0) -> float:
        found = [abs(v - centre) for name in names for v in arrays[name] or () if v is not None]
        return max(found, default=0) / 10**decimals

    reward = max(
        largest(book.reward_decimals, "td_terms", "advantages", "rho", "kappa"),
        largest(book.reward_decimals, *VALUE_LENSES, centre=baseline or 0),
    )
    log_ratio = _difference(arrays["logprob"], arrays["ref_logprob"])
    return {
        "reward": round_up(reward),
        "whitened": round_up(largest(UNITLESS_DECIMALS, "advantages_whitened")),
        "grpo": round_up(largest(UNITLESS_DECIMALS, "grpo")),
        "nats": round_up(max(largest(NATS_DECIMALS, *_PAIR), log_ratio / 10**NATS_DECIMALS)),
        "position": round_up(largest(NATS_DECIMALS, "kl", "entropy")),
        "probability": 1.0,
    }


def _difference(a: list | None, b: list | None) -> int:
    pairs = zip(a or (), b or (), strict=False)
    return max((abs(x - y) for x, y in pairs if x is not None and y is not None), default=0)


def round_up(largest: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten; 0 stays 0."""
    if largest <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(
        float(f"{m * power:.3g}") for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if m * power >= largest * (1 - 1e-9)
    )


def _topk(trace: CreditTrace) -> dict | None:
    """The alternatives at each position, most probable first: tokens as indices into one list of texts."""
    if trace.topk is None:
        return None
    top, texts, places = trace.topk, [], {}
    rows = {"token": [], "logprob": [], "ref_logprob": [], "chosen": []}
    for t in range(len(trace.text)):
        best = {int(token): k for k, token in reversed(list(enumerate(top.ids[t])))}
        order = sorted(best.values(), key=lambda k: -float(np.nan_to_num(top.logprob[t][k], nan=-np.inf)))
        for k in order:
            text = visible_text(top.text[t][k])
            if text not in places:
                places[text] = len(texts)
                texts.append(text)
        rows["token"].append([places[visible_text(top.text[t][k])] for k in order])
        rows["logprob"].append(whole(units(np.asarray(top.logprob[t])[order], NATS_DECIMALS)))
        rows["ref_logprob"].append(whole(units(np.asarray(top.ref_logprob[t])[order], NATS_DECIMALS)))
        rows["chosen"].append(next((n for n, k in enumerate(order) if top.ids[t][k] == trace.ids[t]), -1))
    return {"texts": texts, **rows}
