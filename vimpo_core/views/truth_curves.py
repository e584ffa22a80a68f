"""One solution's implied credit beside its ground truth: the curves that a page draws, and what they say. NumPy
only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vimpo_core.measure.scorecard import target_of, verifier_reward
from vimpo_core.measure.truth import PrefixValues, soft_curve
from vimpo_core.numbers import signed
from vimpo_core.solutions import ledger, lenses
from vimpo_core.solutions.reading import anchor_name, has_kappa
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views.payload import tokens_of, with_version

TRUTH_DECIMALS = 3
"""Digits shown of what was counted: finer than any interval of 256 tries."""

NEGLIGIBLE = 0.01
"""Credit below this, in reward units, points nowhere."""


def truth_payload(
    trace: CreditTrace,
    policy: PrefixValues,
    reference: PrefixValues,
    beta: float,
    algorithm: str = "vimpo",
    places: Sequence[int] | None = None,
) -> dict:
    """Everything the curves need, ready for JSON.

    Implied numbers are those of the credit view (`ledger.ledger`): V_t start-anchored where there is a V_0
    (`anchor_name`), else end-anchored with R added; None where log-probabilities or KL were not. `monte_carlo` is V^pi,
    `soft` the soft optimum's value from the reference's success rate, `difference` Q - V of each token; each as value,
    low, high, with Q - V the difference of the two shown values. `grpo`: R - group mean, None without a group.
    `critic`: V(s_t) before each token by the run's own learned critic, and `critic_steps`, V(next) - V of each token
    with R after the last one (PPO's one-step advantage); None where the run has none.

    places: lengths of the prefixes that were tried, None for all. What was not tried is None; `stretches` are the
    tokens between two tried prefixes that are not neighbours: from, to, and their Q - V together as value, low, high.
    """
    length = len(trace.text)
    at = list(range(length + 1)) if places is None else list(places)
    book = ledger.ledger(trace, beta, gae_lambda=0.0)
    has_anchor, has_group = math.isfinite(book.baseline), math.isfinite(trace.group_mean_reward)
    unit = 10.0**book.reward_decimals
    values = book.arrays["values" if has_anchor else "values_from_end"]
    monte_carlo, soft = (
        _placed(_band(*curve), at, length + 1)
        for curve in ((policy.value, *policy.bounds()), soft_curve(reference, beta))
    )
    shown = np.round(policy.value, TRUTH_DECIMALS)
    critic = None if trace.critic_values is None else np.round(trace.critic_values.astype(np.float64), TRUTH_DECIMALS)
    payload = {
        **tokens_of(trace),
        "value_name": value_name(policy),
        "algorithm": algorithm,
        "beta": beta,
        "rollouts": policy.rollouts,
        "decimals": {"implied": book.reward_decimals, "truth": TRUTH_DECIMALS},
        "anchor": "start" if has_anchor else "end",
        "anchor_name": anchor_name(trace),
        "values": _numbers(values, unit),
        "advantages": _numbers(book.arrays["td_terms"], unit),
        "monte_carlo": monte_carlo,
        "soft": soft,
        **_differences(_band(np.diff(shown), *policy.advantage_bounds()), at, length),
        "critic": _numbers(critic),
        "critic_steps": None if critic is None else _numbers(np.diff(np.append(critic, trace.reward))),
        "grpo": round(trace.reward - trace.group_mean_reward, TRUTH_DECIMALS) if has_group else None,
    }
    return with_version(payload)


def _placed(band: dict, at: Sequence[int], length: int) -> dict:
    """A band's numbers at their places, None elsewhere."""
    found: dict[str, list[float | None]] = {name: [None] * length for name in band}
    for name, values in band.items():
        for t, value in zip(at, values, strict=True):
            found[name][t] = value
    return found


def _differences(band: dict, at: Sequence[int], length: int) -> dict:
    """Q - V of each token whose two prefixes were tried, and of the stretches between other tried prefixes."""
    ends = list(pairwise(at))
    single = [i for i, (a, b) in enumerate(ends) if b == a + 1]
    alone = {name: [values[i] for i in single] for name, values in band.items()}
    stretches = [
        {"from": a, "to": b, **{name: values[i] for name, values in band.items()}}
        for i, (a, b) in enumerate(ends)
        if b > a + 1
    ]
    return {"difference": _placed(alone, [ends[i][0] for i in single], length), "stretches": stretches}


def reading(
    trace: CreditTrace,
    policy: PrefixValues,
    beta: float,
    reference: PrefixValues | None = None,
    places: Sequence[int] | None = None,
) -> list[str]:
    """What the curves say, in plain sentences: where credit and Monte Carlo point, and whether V_t agrees with V^pi,
    or, of a rule whose values are soft ones, with the soft optimum's by the reference's tries.

    In a wrong solution both are asked for the largest drop, in a right one for the largest rise. places: as
    `truth_payload`.
    """
    delta = lenses.credit_of(trace, beta)
    if not len(trace.text):
        return ["This solution has no tokens to credit."]
    if places is not None:
        said = [_of_stretches(trace, policy, delta, places)]
        return said if delta is None else [*said, _how_far_off(trace, policy, reference, beta, places)]
    if delta is None:
        return [
            "Implied credit was not recorded at this step, so only the truth is drawn.",
            _mc_alone(trace, policy),
        ]
    return [_where_they_point(trace, policy, delta), _how_far_off(trace, policy, reference, beta)]


def _where_they_point(trace, policy, delta) -> str:
    implied, truth = _pick(trace, delta), _pick(trace, policy.advantages())
    low, high = policy.advantage_bounds()
    found = f"{signed(policy.advantages()[truth])} ({signed(low[truth])} to {signed(high[truth])})"
    if np.abs(delta).max() < 1e-9:
        return f"Implied credit is 0 for every token: policy and reference are the same. {_mc_alone(trace, policy)}"
    pointed = f"Implied credit points at token {_name(trace, implied)} ({signed(delta[implied])})"
    if _sign(trace) * delta[implied] < NEGLIGIBLE:
        most = "lowest" if _sign(trace) < 0 else "highest"
        pointed = (
            f"Implied credit {'blames' if _sign(trace) < 0 else 'praises'} no token ({most} {signed(delta[implied])})"
        )
    if low[truth] <= 0 <= high[truth]:
        return (
            f"{pointed}. Monte Carlo finds no token whose Q − V is clearly {'below' if _sign(trace) < 0 else 'above'} "
            f"0 in {policy.rollouts} tries.{_to_be_found(trace)}"
        )
    if _sign(trace) * delta[implied] < NEGLIGIBLE:
        return f"{pointed}, Monte Carlo points at token {_name(trace, truth)}, {found}.{_to_be_found(trace)}"
    if implied == truth:
        return (
            f"Implied credit ({signed(delta[implied])}) and Monte Carlo, {found}, both point at token "
            f"{_name(trace, truth)}{_and_that_is(trace, truth)}"
        )
    overlap = low[implied] <= high[truth] and low[truth] <= high[implied]
    verdict = (
        f"the intervals of the two tokens overlap, so {policy.rollouts} tries do not tell them apart."
        if overlap
        else f"the intervals of the two tokens do not overlap: Monte Carlo contradicts implied credit, with "
        f"{signed(policy.advantages()[implied])} at {_number(implied)}."
    )
    return f"{pointed}, Monte Carlo at token {_name(trace, truth)}, {found}; {verdict}{_to_be_found(trace)}"


def _of_stretches(trace, policy, delta, places) -> str:
    """Between which two tried prefixes the value falls or rises most, and what implied credit adds up to there."""
    change = policy.advantages()
    low, high = policy.advantage_bounds()
    most = int(np.argmax(_sign(trace) * change))
    a, b = places[most], places[most + 1]
    verb = "falls" if _sign(trace) < 0 else "rises"
    where = f"at token {_name(trace, a)}" if b == a + 1 else f"over tokens {_number(a)} to {_number(b - 1)}"
    left_out = len(trace.text) + 1 - len(places)
    tried = int((~policy.is_exact).sum())  # what follows the others is known
    said = f"{tried} of {tried + left_out} prefixes were tried, {left_out} were left out. "
    if low[most] <= 0 <= high[most]:
        return f"{said}Between none of them the mean reward clearly {verb} in {policy.rollouts} tries."
    said += f"It {verb} most {where}: {signed(change[most])} ({signed(low[most])} to {signed(high[most])})"
    return f"{said}." if delta is None else f"{said}; implied credit adds up to {signed(delta[a:b].sum())} there."


def _mc_alone(trace, policy) -> str:
    token = _pick(trace, policy.advantages())
    low, high = policy.advantage_bounds()
    return (
        f"Monte Carlo points at token {_name(trace, token)}: {signed(policy.advantages()[token])} "
        f"({signed(low[token])} to {signed(high[token])}).{_to_be_found(trace)}"
    )


def _how_far_off(trace, policy, reference, beta, places=None) -> str:
    book = ledger.ledger(trace, beta, gae_lambda=0.0)
    name, anchor = ("values", "start") if math.isfinite(book.baseline) else ("values_from_end", "end")
    values = book.of(name) / 10.0**book.reward_decimals
    values = values if places is None else values[list(places)]
    found, whose = policy, "Monte Carlo's interval"
    truth, (low, high) = policy.value, policy.bounds()
    if not has_kappa(trace):
        if reference is None:
            return "Implied V stands for the soft optimum's value here, not for this policy's own mean reward."
        found, whose = reference, "the soft optimum's interval, whose value it stands for,"
        truth, low, high = soft_curve(reference, beta)
    tried = ~found.is_exact & np.isfinite(values)
    if not tried.any():
        return "No prefix of this solution leaves the policy a choice, so there is nothing to try."
    inside = ((low <= values) & (values <= high))[tried].sum()
    off = float(np.sqrt(((values - truth)[tried] ** 2).mean()))
    return (
        f"Implied V, {anchor}-anchored, lies within {whose} at {inside} of {tried.sum()} prefixes; "
        f"it is off by {off:.2f} (root mean square)."
    )


def value_name(values: PrefixValues) -> str:
    """What V^pi is called: a success rate, unless part of the reward was earned somewhere."""
    return "mean reward" if values.is_partial else "success rate"


def _sign(trace) -> int:
    return 1 if verifier_reward(trace) == 1 else -1


def _pick(trace, credit) -> int:
    return int(np.argmax(_sign(trace) * np.nan_to_num(credit)))


def _number(token: int) -> str:
    return f"#{token}"


def _name(trace, token: int) -> str:
    return f"{_number(token)} “{visible_text(trace.text[token])}”"


def _and_that_is(trace, token: int) -> str:
    if target_of(trace) is None:
        return "."
    if token != target_of(trace):
        return f".{_to_be_found(trace)}"
    return ", the first wrong one." if trace.first_wrong is not None else ", the largest true drop by fresh tries too."


def _to_be_found(trace) -> str:
    if trace.first_wrong is not None:
        return f" The first wrong token is {_number(trace.first_wrong)}."
    drop = trace.largest_drop
    if drop is None:
        return ""
    if not drop.is_clear:
        return f" No true drop is above the noise of {drop.tries} fresh tries."
    return f" The largest true drop by {drop.tries} fresh tries is at {_number(drop.token)}."


def _band(value, low, high) -> dict[str, list[float | None]]:
    return {
        name: _listed(np.round(values, TRUTH_DECIMALS))
        for name, values in (("value", value), ("low", low), ("high", high))
    }


def _numbers(values, unit: float = 1.0) -> list[float | None] | None:
    return None if values is None else _listed(values, unit)


def _listed(values, unit: float = 1.0) -> list[float | None]:
    return [float(f"{v / unit:.6g}") if math.isfinite(v) else None for v in values]
