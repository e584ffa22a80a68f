"""Every credit rule on the same solution: what each token is credited with, how hard it is pushed, where rules
disagree.

Credit is `Rule.credit`, in reward units. Push is `rules.weights`, minus the gradient of the rule's loss in the token's
log-probability; rules scale it differently (one divides by all tokens, the next by all solutions), so it is shown
relative to its root mean square over all tokens of the step. NumPy only; knows neither Streamlit nor where a trace came
from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vimpo_core import rules
from vimpo_core.config import TrainConfig
from vimpo_core.measure.scorecard import target_of, verifier_reward
from vimpo_core.rules import RULES, Extra, Rule, Sampled, ValueLoss
from vimpo_core.solutions import ledger, reading
from vimpo_core.solutions.batch import counted, padded
from vimpo_core.solutions.picks import is_judged
from vimpo_core.types import CreditTrace, known
from vimpo_core.views.payload import round_up, tokens_of, whole, with_version

PUSH_DECIMALS = 2
CREDIT_DECIMALS = 3
"""Of credit that is not implied by log-probabilities; implied credit has the digits of `ledger.ledger`."""

WHY_NOT = {
    "recorded": "Log-probabilities, KL or entropy were not recorded for it.",
    "reward": "The rewards that it compares were not recorded.",
    "critic": "There is no learned critic here: train with PPO to get one.",
    "monte_carlo": "Monte Carlo values were not measured yet.",
    "collision": "Σ π² of each token's distribution was not recorded at this step.",
    "reference": "The reference's success rate on the prompt was not measured yet.",
    "masked": "This token does not count in the loss: its tool left it out, as what it did not sample.",
    "group": "Needs the other solutions of the prompt, and a typed one stands alone.",
    "step": "The push is scaled over the solutions of a step, and a typed one stands alone.",
}
"""Why a rule has no number here."""

_ARRAYS = (
    "logprobs",
    "ref_logprobs",
    "kl",
    "critic_values",
    "mc_values",
    "entropy",
    "collision",
    "rewards",
    "reference_rate",
)
"""Of `Sampled`: what may be missing for some solutions."""
_BY_TOKEN = ("logprob", "ref_logprob", "kl", "critic_values", "mc_values", "entropy", "collision", "top_k_kl")
_SCORES = ("logprob", "ref_logprob", "kl")
_WHY = dict.fromkeys((*_SCORES, "entropy", "top_k_kl"), "recorded") | {
    "critic_values": "critic",
    "mc_values": "monte_carlo",
    "collision": "collision",
    "reference_rate": "reference",
    "reward": "reward",
    "group_rewards": "reward",
}
"""What a rule reads of a solution -> the key of WHY_NOT where it is missing."""
_SAME = 1e-9
"""Of a rule's largest magnitude: numbers nearer than this are called equal, more than float64 loses on the way."""


@dataclass(frozen=True)
class Batch:
    """The solutions of a step, or a typed one alone, as the rules see them.

    sampled: float64, kl as kappa uses it; nan in the rows of solutions that lack an array, None where all do;
    has: what rules read (keys of _WHY) -> which solutions have it, bool [B]; token_budget: of the task; is_typed:
    alone, so that nothing that is scaled over a group or a step is defined.
    """

    traces: Sequence[CreditTrace]
    sampled: Sampled
    config: TrainConfig
    token_budget: int
    is_typed: bool
    has: dict[str, np.ndarray]

    def with_all(self, names: Iterable[str]) -> np.ndarray:
        """Which solutions have all of these, bool [B]."""
        return np.all([np.ones(len(self.traces), bool), *(self.has[name] for name in names)], axis=0)

    def of(self, rows: np.ndarray) -> Sampled:
        """The batch as if the tokens of the other solutions did not count; their rewards do, in their groups."""
        if rows.all():
            return self.sampled
        # What nobody counts must be a number all the same: 0 times nan is nan.
        filled = {}
        for name in _ARRAYS:
            if (values := getattr(self.sampled, name)) is not None:
                is_kept = rows.reshape(-1, *[1] * (values.ndim - 1))
                filled[name] = np.where(np.isfinite(values) | (is_kept & (name != "rewards")), values, 0.0)
        mask = self.sampled.completion_mask & rows[:, None]
        return dataclasses.replace(self.sampled, completion_mask=mask, **filled)


@dataclass(frozen=True)
class Judgement:
    """What one rule says about a batch: float64 [B, T], 0 where masked; None with a key of WHY_NOT where it cannot say.

    credit: reward units; weights: `rules.weights`, no unit; rms: their root mean square over the tokens of the step.
    credited, pushed: the solutions that it speaks of, bool [B]; of the others it has no number, by `lacks`.
    """

    credit: np.ndarray | None
    weights: np.ndarray | None
    rms: float
    no_credit: str = ""
    no_push: str = ""
    credited: np.ndarray | None = None
    pushed: np.ndarray | None = None
    lacks: str = "recorded"

    def why_no_credit(self, index: int) -> str:
        """A key of WHY_NOT, "" where the solution has credit by this rule."""
        return self.no_credit or (self.lacks if self.credited is not None and not self.credited[index] else "")

    def why_no_push(self, index: int) -> str:
        return self.no_push or (self.lacks if self.pushed is not None and not self.pushed[index] else "")

    def credit_of(self, index: int, length: int) -> np.ndarray | None:
        """Of one solution, [length]; None where it has none."""
        return None if self.credit is None or self.why_no_credit(index) else self.credit[index, :length]

    def push_of(self, index: int, length: int) -> np.ndarray | None:
        return None if self.weights is None or self.why_no_push(index) else known(self.push)[index, :length]

    @property
    def push(self) -> np.ndarray | None:
        """The weights over their root mean square; all 0 where the rule pushes no token of the step."""
        return None if self.weights is None else self.weights / (self.rms or 1.0)


def batch_of(
    traces: Sequence[CreditTrace],
    config: TrainConfig,
    token_budget: int,
    is_typed: bool = False,
    mc_values: Sequence[np.ndarray] | None = None,
    reference_rewards: Sequence[Sequence[float]] | None = None,
) -> Batch:
    """The traces of a step as one padded batch.

    Args:
        config: the run's settings as they are to be read, beta and gae_lambda included.
        mc_values: mean reward from every prefix of each solution, [T+1] each; None: those that the run recorded.
        reference_rewards: of the reference's own solutions to each solution's prompt; None: the rates that the run
            recorded.
    """
    mask = counted(traces)
    recorded = {name: [getattr(t, name) for t in traces] for name in _BY_TOKEN}
    if mc_values is not None:
        recorded["mc_values"] = list(mc_values)
    rates = [reading.reference_rate(t, config.beta) for t in traces]
    if reference_rewards is not None:
        rates = [reading.rate_at(rewards, config.beta) for rewards in reference_rewards]
    arrays = {name: _rows(rows, mask, ends=name == "mc_values") for name, rows in recorded.items()}
    logprobs, ref_logprobs, kl, top_k_kl = (
        np.full(mask.shape, np.nan) if arrays[name] is None else arrays[name] for name in (*_SCORES, "top_k_kl")
    )
    sampled = Sampled(
        logprobs,
        ref_logprobs,
        rules.kappa_kl(config, logprobs, ref_logprobs, kl, top_k_kl),
        mask,
        np.array([t.reward for t in traces], dtype=np.float64),
        np.array([t.group_id for t in traces]),
        arrays["critic_values"],
        arrays["mc_values"],
        arrays["entropy"],
        arrays["collision"],
        None if all(rate is None for rate in rates) else np.array(rates, dtype=np.float64),
    )
    has = {
        name: np.array([_is_whole(*pair) for pair in zip(rows, mask, strict=True)]) for name, rows in recorded.items()
    }
    has["reference_rate"] = np.array([rate is not None for rate in rates], bool)
    has["reward"] = np.isfinite(sampled.rewards)
    unpaid = np.unique(sampled.group_ids[~has["reward"]])
    has["group_rewards"] = ~np.isin(sampled.group_ids, unpaid)
    return Batch(traces, sampled, config, token_budget, is_typed, has)


def _rows(rows: Sequence, mask: np.ndarray, ends: bool) -> np.ndarray | None:
    """As `padded`, nan in the rows that are missing and 0 for what is no number where no token counts; None where all
    are missing. ends: they have one number more than there are tokens, what follows each."""
    if all(row is None for row in rows):
        return None
    counts = np.pad(mask, ((0, 0), (0, 1)), constant_values=True) if ends else mask
    out = padded([() if row is None else row for row in rows], counts.shape[1])
    out[~counts & ~np.isfinite(out)] = 0.0
    out[[row is None for row in rows]] = np.nan
    return out


def _is_whole(row: np.ndarray | None, counts: np.ndarray) -> bool:
    """Whether a solution has an array with a number for every token that counts."""
    if row is None:
        return False
    counted = np.asarray(row)[: len(counts)][counts[: len(row)]]
    return bool(np.isfinite(counted).all())


def judge(batch: Batch, keys: Iterable[str] = RULES) -> dict[str, Judgement]:
    """Credit and push by every rule of RULES, or by some of them, in that order."""
    return {key: _judgement(batch, key) for key in keys}


def _judgement(batch: Batch, key: str) -> Judgement:
    rule = RULES[key]
    for_credit = _reads(batch, rule)
    for_push = (*for_credit, *_reads_to_push(rule))
    credited, pushed = batch.with_all(for_credit), batch.with_all(for_push)
    no_credit = _why_no_credit(batch, rule) or ("" if credited.any() else _lacking(batch, for_credit))
    no_push = no_credit or ("" if pushed.any() else _lacking(batch, for_push)) or _why_no_push(batch, rule)
    found = None if no_credit else rule.credit(batch.of(credited), batch.config)
    weights, rms = None, 0.0
    if not no_push:
        counted = batch.of(pushed)
        weights = rules.weights(key, counted, batch.config, batch.token_budget)
        rms = float(np.sqrt((weights**2).sum() / max(counted.completion_mask.sum(), 1)))
    lacks = _lacking(batch, for_push)
    return Judgement(found, weights, rms, no_credit, no_push, credited, pushed, lacks)


def _reads(batch: Batch, rule: Rule) -> tuple[str, ...]:
    """What of a solution the rule's credit is made of, keys of _WHY."""
    if rule.value:
        pair = ("logprob", "ref_logprob")
        is_exact = rule.value is ValueLoss.PLAIN and batch.config.kl_estimator == "exact"
        is_top_k = rule.value is ValueLoss.PLAIN and batch.config.kl_estimator == "top-k"
        return (*pair, *(["kl"] if is_exact else []), *(["top_k_kl"] if is_top_k else []))
    rewards = ("group_rewards",) if rule.signal.compares_group else ("reward",)
    return (*rule.needs, *(["logprob"] if Extra.COLLISION in rule.extras else []), *rewards)


def _reads_to_push(rule: Rule) -> tuple[str, ...]:
    """Beyond that: a value loss its baseline."""
    return (*(() if rule.value is ValueLoss.PLAIN else rule.needs), *(["group_rewards"] if rule.value else []))


def _why_no_credit(batch: Batch, rule: Rule) -> str:
    return "group" if batch.is_typed and rule.signal.compares_group else ""


def _why_no_push(batch: Batch, rule: Rule) -> str:
    """Why there is none although all is measured: a value loss lacks its baseline, an actor the step that it is scaled
    over."""
    if not batch.is_typed:
        return ""
    return "group" if rule.value in (ValueLoss.PLAIN, ValueLoss.SOFT) else "step"


def _lacking(batch: Batch, names: Sequence[str]) -> str:
    """Why: the first of these that no solution has, else that some lack."""
    none = (name for name in names if not batch.has[name].any())
    some = (name for name in names if not batch.has[name].all())
    name = next(none, next(some, None))
    return "" if name is None else _WHY[name]


# --- one solution ----------------------------------------------------------------------------------------------------


def _credit_of(batch: Batch, judged: Judgement, index: int) -> np.ndarray | None:
    return judged.credit_of(index, len(batch.traces[index].ids))


def push_of(batch: Batch, judged: Judgement, index: int) -> np.ndarray | None:
    """Push of one solution, [T]; None where the rule has none for it."""
    return judged.push_of(index, len(batch.traces[index].ids))


def is_flat(values: np.ndarray) -> bool:
    """Whether every token has the same number."""
    return not len(values) or bool(np.ptp(values) <= _SAME * np.abs(values).max())


def shown_credit(batch: Batch, judged: Judgement, key: str, index: int) -> tuple[np.ndarray, int] | None:
    """Credit of one solution as it is shown: whole numbers of the last digit [T], and how many digits. None: cannot
    say.

    Implied credit is that of `ledger.ledger`, so that it recombines with what stands in the card.
    """
    values = _credit_of(batch, judged, index)
    if values is None:
        return None
    if not RULES[key].value:
        return ledger.units(values, CREDIT_DECIMALS), CREDIT_DECIMALS
    book = ledger_of(batch, key, index)
    return book.of("td_terms" if RULES[key].advantages is None else "advantages"), book.reward_decimals


def ledger_of(batch: Batch, key: str, index: int) -> ledger.Ledger:
    """The shown numbers of a solution as a rule with a value loss reads them: with its KL, and without one where it is
    soft.
    """
    trace = batch.traces[index].with_(config=dataclasses.replace(batch.config, algorithm=key))
    return ledger.ledger(trace, batch.config.beta, batch.config.gae_lambda)


# --- what the strips draw --------------------------------------------------------------------------------------------


def rules_payload(batch: Batch, judged: dict[str, Judgement], index: int, group_rule: str | None = None) -> dict:
    """Every rule's strip of one solution in both readings, ready for JSON; with `group_rule`, also that rule on each
    solution of the prompt. Both readings have one symmetric scale for all that is drawn.
    """
    trace = batch.traces[index]
    rows = [_row(batch, judged[key], key, index) for key in RULES]
    group = [] if group_rule is None else _group(batch, judged[group_rule], group_rule, index)
    payload = {
        **tokens_of(trace),
        "rows": rows,
        "group": group,
        "group_rule": "" if group_rule is None else RULES[group_rule].name,
        "scales": {
            lens: round_up(
                max(
                    (abs(v) / 10 ** row[lens]["decimals"] for row in rows + group for v in row[lens]["values"] or ()),
                    default=0,
                )
            )
            for lens in ("push", "credit")
        },
    }
    return with_version(payload)


def _row(batch: Batch, judged: Judgement, key: str, index: int) -> dict:
    push, credit = push_of(batch, judged, index), shown_credit(batch, judged, key, index)
    raw = _credit_of(batch, judged, index)
    no_push, no_credit = judged.why_no_push(index), judged.why_no_credit(index)
    return {
        "key": key,
        "name": RULES[key].name,
        "formula": RULES[key].formula,
        "push": {
            "values": None if push is None else whole(ledger.units(push, PUSH_DECIMALS)),
            "decimals": PUSH_DECIMALS,
            "is_flat": push is not None and is_flat(push),
            "why_not": WHY_NOT[no_push] if no_push else "",
        },
        "credit": {
            "values": None if credit is None else whole(credit[0]),
            "decimals": CREDIT_DECIMALS if credit is None else credit[1],
            "is_flat": raw is not None and is_flat(raw),
            "why_not": WHY_NOT[no_credit] if no_credit else "",
        },
    }


def _group(batch: Batch, judged: Judgement, key: str, index: int) -> list[dict]:
    same = [i for i, trace in enumerate(batch.traces) if trace.group_id == batch.traces[index].group_id]
    return [
        _row(batch, judged, key, i)
        | tokens_of(batch.traces[i])
        | {
            "sample": batch.traces[i].sample_idx,
            "is_right": verifier_reward(batch.traces[i]) == 1 if is_judged(batch.traces[i]) else None,
            "reward": batch.traces[i].reward if np.isfinite(batch.traces[i].reward) else None,
            "is_chosen": i == index,
        }
        for i in same
    ]


# --- the table -------------------------------------------------------------------------------------------------------


class RuleRow(NamedTuple):
    """One rule on one token and on the one to be found (`scorecard.target_of`).

    credit: whole numbers of its last digit with the number of digits, None where `why_not` (a key of WHY_NOT) says so;
        push:
    relative; rank: of the one to be found by credit, 1 is lowest; tied: how many tokens share its credit, itself
    included; None where there is none to be found or no credit.
    """

    key: str
    credit: tuple[float, int] | None
    push: float | None
    rank: int | None
    tied: int | None
    no_credit: str
    no_push: str


def rule_rows(batch: Batch, judged: dict[str, Judgement], index: int, token: int) -> list[RuleRow]:
    """Every rule on this token of a solution, in the order of RULES."""
    return [_rule_row(batch, judged[key], key, index, token) for key in RULES]


def _rule_row(batch, judged, key, index, token) -> RuleRow:
    shown, push = shown_credit(batch, judged, key, index), push_of(batch, judged, index)
    rank, tied = _rank(_credit_of(batch, judged, index), target_of(batch.traces[index]))
    return RuleRow(
        key,
        None if shown is None else (float(shown[0][token]), shown[1]),
        None if push is None else float(push[token]),
        rank,
        tied,
        judged.why_no_credit(index),
        judged.why_no_push(index),
    )


def _rank(credit: np.ndarray | None, token: int | None) -> tuple[int | None, int | None]:
    if credit is None or token is None or token >= len(credit):
        return None, None
    room = _SAME * np.abs(credit).max()
    return 1 + int((credit < credit[token] - room).sum()), int((np.abs(credit - credit[token]) <= room).sum())


# --- where they disagree ---------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """A token with the rules that push it lowest and highest, and how far apart, in root mean squares."""

    token: int
    spread: float
    lowest: str
    highest: str


@dataclass(frozen=True)
class Disagreement:
    """A solution of the step: 1 - cosine between the pushes of two rules on its tokens, 0 alike to 2 opposite."""

    index: int
    distance: float


def disputed_tokens(batch: Batch, judged: dict[str, Judgement], index: int, keys: Sequence[str]) -> list[Spread]:
    """The tokens of a solution, the largest spread of push among `keys` first; rules without a push here are passed
    over.
    """
    pushes = {key: row for key in keys if (row := push_of(batch, judged[key], index)) is not None}
    if len(pushes) < 2:
        return []
    names, table = list(pushes), np.stack(list(pushes.values()))
    found = [
        Spread(t, float(np.ptp(column)), names[int(column.argmin())], names[int(column.argmax())])
        for t, column in enumerate(table.T)
    ]
    return sorted(found, key=lambda one: -one.spread)


def disputed_solutions(judged: dict[str, Judgement], a: str, b: str) -> tuple[list[Disagreement], int]:
    """The solutions of the step, the largest disagreement of two rules first; and how many are left out, because one of
    the two pushes none of their tokens."""
    ours, theirs = judged[a].push, judged[b].push
    if ours is None or theirs is None:
        return [], 0
    lengths = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    is_pushed = lengths > 0
    cosines = (ours * theirs).sum(axis=1) / np.where(is_pushed, lengths, 1)
    found = [Disagreement(int(i), float(1 - cosines[i])) for i in np.flatnonzero(is_pushed)]
    return sorted(found, key=lambda one: -one.distance), int((~is_pushed).sum())


def settings_at(config: TrainConfig, step: int, beta: float, gae_lambda: float) -> TrainConfig:
    """A run's settings in force at a step, with beta and lambda as they are looked at."""
    return dataclasses.replace(config.at(step), beta=beta, gae_lambda=gae_lambda)
