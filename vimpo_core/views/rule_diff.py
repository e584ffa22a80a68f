"""From a rule's formula to this token's numbers: each slot of `Rule.terms` worked out, down to the gradient weight.
NumPy only.

The same lines are worked out twice: on rounded numbers for the eye, where each line is computed from the numbers that
stand in it, and on unrounded ones, which end at `rules.weights` exactly. So what is shown recombines to what is shown,
and the formula is the one that trains.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vimpo_core import credit, rules
from vimpo_core.numbers import real_minus, ten_to
from vimpo_core.rules import RULES, SLOTS, Average, Reach, Scale, Signal, ValueLoss
from vimpo_core.solutions import ledger
from vimpo_core.types import known
from vimpo_core.views import rules_view
from vimpo_core.views.rules_view import Batch, Judgement

DECIMALS = 4
"""Of rewards, means and values that come from no ledger; other numbers are shown with as many significant digits."""


FORMS: dict[str, tuple[str, Callable[..., float]]] = {
    "is": ("{}", lambda a: a),
    "minus": ("{} − {}", lambda a, b: a - b),
    "times": ("{} × {}", lambda a, b: a * b),
    "times minus": ("{} × ({} − {})", lambda a, b, c: a * (b - c)),
    "plus times": ("{} + {} × {}", lambda a, b, c: a + b * c),
    "minus minus": ("{} − ({} − {})", lambda a, b, c: a - (b - c)),
    "over": ("{} / {}", lambda a, b: a / b),
    "over times": ("{} / ({} × {})", lambda a, b, c: a / (b * c)),
    "minus over": ("({} − {}) / {}", lambda a, b, c: (a - b) / c),
    "times over": ("{} × {} / {}", lambda a, b, c: a * b / c),
    "minus times over": ("−{} × {} / {}", lambda a, b, c: -a * b / c),
}
"""How a line is written and what it is."""


class Line(NamedTuple):
    """One line of the working: symbol = written = result. slot: of SLOTS, or "weight" for what follows from all of
    them.
    """

    slot: str
    symbol: str
    written: str
    result: str
    says: str


class Working(NamedTuple):
    """A rule on a token. lines: rounded, for the eye; weight: unrounded, None where the rule has none here
    (`why_not`).
    """

    lines: list[Line]
    weight: float | None
    why_not: str


def working(batch: Batch, judged: dict[str, Judgement], key: str, index: int, token: int) -> Working:
    """What a rule makes of one token, slot by slot. why_not is a key of `rules_view.WHY_NOT`, "" where all is there."""
    verdict = judged[key]
    if why_not := verdict.why_no_credit(index):
        return Working([], None, why_not)
    if not batch.sampled.completion_mask[index, token]:
        return Working([], None, "masked")
    shown, exact = (_Work(batch, judged, key, index, token, is_exact) for is_exact in (False, True))
    shown.credit()
    if why_not := verdict.why_no_push(index):
        return Working(shown.lines, None, why_not)
    shown.weight()
    exact.credit()
    return Working(shown.lines, exact.weight(), "")


def differing(a: str, b: str) -> dict[str, bool]:
    """slot -> whether two rules have something else there."""
    return {slot: RULES[a].terms[slot] != RULES[b].terms[slot] for slot in SLOTS}


class _Work:
    """One pass over a rule's lines; `is_exact`: without rounding."""

    def __init__(self, batch: Batch, judged, key: str, index: int, token: int, is_exact: bool):
        self.batch, self.judged, self.key, self.rule = batch, judged, key, RULES[key]
        self.index, self.token, self.is_exact = index, token, is_exact
        self.config = batch.config
        rows = judged[key].credited if judged[key].no_push else judged[key].pushed
        self.sampled = batch.sampled if rows is None else batch.of(rows)
        self.length = len(batch.traces[index].ids)
        self.lines: list[Line] = []
        self.advantage = math.nan

    # ---- numbers and lines

    def number(self, value: float, decimals: int | None = None) -> float:
        """A number as it is shown: `decimals` after the point, or DECIMALS significant digits."""
        if self.is_exact:
            return float(value)
        if decimals is None:
            return float(f"{value:.{DECIMALS}g}")
        return float(f"{ledger.units(value, decimals) / 10.0**decimals:.{decimals}f}")

    def line(
        self, slot: str, symbol: str, form: str, *parts: float, decimals: int | None = None, says: str = ""
    ) -> float:
        """Add a line; its result, rounded as it is shown."""
        template, combine = FORMS[form]
        result = self.number(combine(*parts), decimals)
        self.lines.append(Line(slot, symbol, _filled(template, parts), digits(result), says))
        return result

    # ---- slot by slot

    def credit(self) -> None:
        by_signal = {
            Signal.CRITIC: self._by_critic,
            Signal.TRYING: self._by_trying,
            Signal.ABOVE_PLACE: self._above_this_place,
            Signal.IMPLIED: self._implied,
            Signal.IMPLIED_SOFT: self._implied,
        }
        self.advantage = by_signal.get(self.rule.signal, self._of_reward)()
        if self.rule.reach is Reach.UNDECIDED:
            self.advantage = self._where_undecided(self.advantage)
        if self.rule.advantages is None:
            return
        if self.rule.scale is Scale.GROUP_SPREAD:
            spread = _group_spread(self.sampled, self.index)
            self.advantage = self.line(
                "scale",
                "Â",
                "over",
                self.advantage,
                self.number(spread),
                says="over the group's spread, 0.0001 added",
            )
        elif self.rule.scale is Scale.WHITENED and not self.batch.is_typed:
            mean, spread = _whitening(self.sampled, self.judged[self.key].credit)
            self.advantage = self.line(
                "scale",
                "Ã",
                "minus over",
                self.advantage,
                self.number(mean),
                self.number(spread),
                says="minus the mean, over the spread of all tokens of the step",
            )

    def weight(self) -> float:
        actor = None if self.rule.advantages is None else self._actor()
        if not self.rule.value:
            found = self.line("weight", "w", "is", known(actor))
        else:
            value = self._value()
            if actor is None:
                found = self.line("weight", "w", "is", value, says="the value loss alone: the same on every token")
            else:
                found = self.line(
                    "weight",
                    "w",
                    "plus times",
                    value,
                    self._actor_coef(),
                    actor,
                    says="value loss, plus c_A times actor",
                )
        if rms := self.judged[self.key].rms:
            self.line(
                "weight",
                "w / rms",
                "over",
                found,
                self.number(rms),
                decimals=rules_view.PUSH_DECIMALS,
                says="relative to the rule's root mean square over the step, as in the strips",
            )
        return found

    def _of_reward(self) -> float:
        reward = self.number(self.sampled.rewards[self.index], DECIMALS)
        if not self.rule.signal.compares_group:
            return self.line("signal", "A", "is", reward, decimals=DECIMALS, says="the reward R")
        is_of_others = self.rule.signal is Signal.ABOVE_OTHERS
        of = credit.leave_one_out_mean if is_of_others else credit.group_mean
        mean = self.number(of(self.sampled.rewards, self.sampled.group_ids)[self.index], DECIMALS)
        who = "of the others" if is_of_others else "of the group"
        return self.line("signal", "A", "minus", reward, mean, decimals=DECIMALS, says=f"R minus the mean {who}")

    def _above_this_place(self) -> float:
        reward = self.number(self.sampled.rewards[self.index], DECIMALS)
        baseline = credit.optimal_token_baseline(
            self.sampled.rewards,
            self.sampled.group_ids,
            self.sampled.logprobs,
            self.sampled.collision,
            self.sampled.completion_mask,
        )
        return self.line(
            "signal",
            "A",
            "minus",
            reward,
            self.number(baseline[self.index, self.token], DECIMALS),
            decimals=DECIMALS,
            says="R minus the group's rewards weighted by W, each solution's share in the gradient so far",
        )

    def _where_undecided(self, above: float) -> float:
        share = self.config.top_entropy_quantile
        kept = credit.high_entropy(self.sampled.entropy, self.sampled.completion_mask, share)
        is_kept = bool(kept[self.index, self.token])
        return self.line(
            "reach",
            "A",
            "times",
            above,
            float(is_kept),
            decimals=DECIMALS,
            says=f"the entropy here is {'' if is_kept else 'not '}among the highest {100 * share:g} % of the step",
        )

    def _by_critic(self) -> float:
        values = known(self.sampled.critic_values)[self.index, : self.length]
        if not self.is_exact:
            values = ledger.units(values, DECIMALS) / 10.0**DECIMALS
        reward = self.number(self.sampled.rewards[self.index], DECIMALS)
        is_last = self.token == self.length - 1
        after, before = reward if is_last else values[self.token + 1], values[self.token]
        delta = self.line(
            "signal",
            "δ",
            "minus",
            float(after),
            float(before),
            decimals=DECIMALS,
            says="R minus V before the last token" if is_last else "V after the token minus V before it",
        )
        terms = np.diff(np.append(values, reward))
        return self._to_the_end(delta, self._advantages(terms), DECIMALS)

    def _by_trying(self) -> float:
        values = known(self.sampled.mc_values)[self.index]
        before, after = (self.number(values[t], DECIMALS) for t in (self.token, self.token + 1))
        return self.line(
            "signal",
            "A",
            "minus",
            after,
            before,
            decimals=DECIMALS,
            says="success rate after the token minus before it",
        )

    def _implied(self) -> float:
        decimals = None if self.is_exact else ledger.reward_decimals(self.config.beta)
        ours, theirs = (
            self.number(array[self.index, self.token], ledger.NATS_DECIMALS)
            for array in (self.sampled.logprobs, self.sampled.ref_logprobs)
        )
        rho = self.line(
            "signal",
            "ρ",
            "times minus",
            self.config.beta,
            ours,
            theirs,
            decimals=decimals,
            says="β (log π − log π_ref)",
        )
        delta = rho
        if self.rule.value is ValueLoss.PLAIN:
            kl, estimate = self._kappa_kl(), self.config.kl_estimator
            says = "β KL" if estimate == "exact" else f"β KL ({estimate})"
            kappa = self.line("signal", "κ", "times", self.config.beta, kl, decimals=decimals, says=says)
            delta = self.line("signal", "δ", "minus", rho, kappa, decimals=decimals)
        if self.rule.advantages is None:
            return delta
        return self._to_the_end(delta, self._implied_row("advantages"), decimals)

    def _kappa_kl(self) -> float:
        if self.is_exact:
            return float(self.sampled.kl[self.index, self.token])
        book = rules_view.ledger_of(self.batch, self.key, self.index)
        return self.number(book.of("kappa_kl")[self.token] / 10**ledger.NATS_DECIMALS, ledger.NATS_DECIMALS)

    def _to_the_end(self, delta: float, advantages: np.ndarray, decimals: int | None) -> float:
        counted = self.token + 1 + np.flatnonzero(self._mask()[self.token + 1 :])  # one left out is passed over
        following = float(advantages[counted[0]]) if len(counted) else 0.0
        return self.line(
            "reach",
            "A",
            "plus times",
            delta,
            self.config.gae_lambda,
            following,
            decimals=decimals,
            says="plus λ times A of the next token",
        )

    def _mask(self) -> np.ndarray:
        """Which tokens of this solution count, bool [T]."""
        return self.sampled.completion_mask[self.index, : self.length]

    def _advantages(self, terms: np.ndarray) -> np.ndarray:
        mask = self._mask()
        if self.is_exact:
            return credit.gae(terms[None], mask[None], self.config.gae_lambda)[0]
        unit = 10.0**DECIMALS
        return ledger.shown_advantages(np.round(terms * unit), mask, self.config.gae_lambda) / unit

    def _implied_row(self, name: str) -> np.ndarray:
        """td_terms or advantages of this solution, reward units, as this pass has them."""
        if not self.is_exact:
            book = rules_view.ledger_of(self.batch, self.key, self.index)
            return book.of(name) / 10.0**book.reward_decimals
        if name == "advantages":
            return self.judged[self.key].credit[self.index]
        row = slice(self.index, self.index + 1)
        kl = self.sampled.kl if self.rule.value is ValueLoss.PLAIN else np.zeros_like(self.sampled.kl)
        logprobs, ref_logprobs, mask = (
            self.sampled.logprobs,
            self.sampled.ref_logprobs,
            self.sampled.completion_mask,
        )
        return credit.td_terms(logprobs[row], ref_logprobs[row], kl[row], mask[row], self.config.beta)[0]

    def _actor(self) -> float:
        kind, rows = rules.average_of(self.rule, self.config), len(self.sampled.rewards)
        mask = self.sampled.completion_mask
        symbol = "w actor" if self.rule.value else "w"
        if kind is Average.TOKENS:
            return self.line(
                "average",
                symbol,
                "over",
                self.advantage,
                float(mask.sum()),
                says="over all tokens of the batch",
            )
        if kind is Average.SUM:
            return self.line("average", symbol, "over", self.advantage, float(rows), says="over the solutions")
        is_by_length = kind is Average.SOLUTIONS
        tokens = float(mask[self.index].sum()) if is_by_length else float(self.batch.token_budget)
        what = "tokens of this one" if is_by_length else "token budget"
        return self.line(
            "average",
            symbol,
            "over times",
            self.advantage,
            float(rows),
            tokens,
            says=f"over the solutions × the {what}",
        )

    def _value(self) -> float:
        decimals = None if self.is_exact else ledger.reward_decimals(self.config.beta)
        total = self.number(self._implied_row("td_terms").sum(), decimals)
        reward = self.number(self.sampled.rewards[self.index], decimals)
        kind = self.rule.value
        baseline = rules.value_baseline(self.rule, self.sampled, self.config)
        residual = self.line(
            "value",
            "ξ",
            "minus minus",
            total,
            reward,
            self.number(baseline[self.index], decimals),
            decimals=decimals,
            says=f"Σ {'(ρ − κ)' if kind is ValueLoss.PLAIN else 'ρ'} − (R − "
            f"{rules.baseline_name(self.rule, self.config)})",
        )
        if self.config.value_loss == "huber":
            held = float(np.clip(residual, -self.config.huber_delta, self.config.huber_delta))
            residual = self.line("value", "ξ", "is", held, decimals=decimals, says="held to ± huber_delta")
        elif self.config.value_loss == "normalised":
            square = self.number(credit.spread_or_one(self.sampled.rewards - baseline) ** 2)
            residual = self.line("value", "ξ", "over", residual, square, says="over the mean square of its targets")
        rows = float(len(self.sampled.rewards))
        return self.line(
            "value",
            "w value",
            "minus times over",
            self.config.beta,
            residual,
            rows,
            says="−β ξ over the solutions",
        )

    def _actor_coef(self) -> float:
        if self.config.actor_coef_rule == "fixed":
            return self.config.actor_coef
        without_actor = dataclasses.replace(self.config, actor_coef=0.0)
        value_alone = rules.weights(self.key, self.sampled, without_actor, self.batch.token_budget)
        average = credit.average_weights(
            self.sampled.completion_mask,
            rules.average_of(self.rule, self.config),
            self.batch.token_budget,
            np.float64,
        )
        pulls = [
            float(np.sqrt((part**2).sum()))
            for part in (value_alone, known(self.rule.advantages)(self.sampled, self.config) * average)
        ]
        if not pulls[1]:
            return self.line("weight", "c_A", "is", 0.0, says="adaptive: 0 while the actor is silent")
        return self.line(
            "weight",
            "c_A",
            "times over",
            self.config.actor_coef,
            *map(self.number, pulls),
            says="adaptive: c_A times the value loss's pull over the actor's",
        )


def _group_spread(sampled, index) -> float:
    """What GRPO divides by: unbiased standard deviation of the group's rewards + 1e-4, as in
    `credit.grpo_advantages`.
    """
    rewards = sampled.rewards[sampled.group_ids == sampled.group_ids[index]]
    return float(np.sqrt(rewards.var(ddof=1) if len(rewards) > 1 else 0.0) + 1e-4)


def _whitening(sampled, advantages) -> tuple[float, float]:
    """What `credit.whiten` subtracts and divides by."""
    found = advantages[sampled.completion_mask]
    variance = found.var(ddof=1) if len(found) > 1 else 0.0
    return float(found.mean()), float(np.sqrt(variance + 1e-8))


# --- how numbers are written -----------------------------------------------------------------------------------------


def digits(value: float) -> str:
    """A number that was rounded already, all its digits: −0.0312, 3.125·10⁻⁵, 2892."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4:
        mantissa = np.format_float_positional(float(f"{value / 10.0**exponent:.10g}"), trim="-")
        return f"{real_minus(mantissa)}·{ten_to(exponent)}"
    return real_minus(np.format_float_positional(value, trim="-"))


def _filled(template: str, parts) -> str:
    """The template with its numbers; a negative one that stands after an operator goes in brackets."""
    pieces = template.split("{}")
    written = pieces[0]
    for piece, part in zip(pieces[1:], parts, strict=True):
        number = digits(part)
        is_first = not written or written.endswith("(")
        written += (number if is_first or not number.startswith("−") else f"({number})") + piece
    return written
