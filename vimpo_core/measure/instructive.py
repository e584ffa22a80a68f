"""The solutions of a scorecard worth opening: where signals disagree, where implied credit misses and where it hits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vimpo_core.measure.scorecard import is_localisable, localise, signals, target_of
from vimpo_core.solutions.steps import step_starts
from vimpo_core.types import CreditTrace, known

KINDS: dict[str, str] = {
    "disagreement": "Implied credit and the policy's own surprisal point at different tokens",
    "misses": "Implied credit does not point at the first wrong token, the farthest off first",
    "hits": "Implied credit points at the first wrong token, far ahead of every other",
}
_COMPARED = ("implied_advantage", "surprisal_policy", "surprisal_reference")


def instructive(
    traces: Sequence[CreditTrace], beta: float, gae_lambda: float, seed: int = 0, count: int = 5
) -> dict[str, list[dict]]:
    """The `count` most telling solutions of each of `KINDS`, the most telling first; ready for JSON.

    A solution stands under the first kind that it fits. Each is {prompt, gold, solution, tokens, line_starts, credit,
    first_wrong, found: {signal: {token, place}}}: credit is delta_t; then the most suspicious token, and the place of
    the one to be found (1 = found; ties share one: 1.5). Where that is the largest true drop, `largest_drop` has it and
    `first_wrong` is None.
    Disagreements alternate between those that implied credit wins and those it loses, if there are both.
    """
    found = signals(traces, beta, gae_lambda, seed)
    if any(name not in found for name in _COMPARED):
        return {kind: [] for kind in KINDS}
    wrong = [i for i, trace in enumerate(traces) if is_localisable(trace)]
    auc = {name: {i: localise(found[name][i], known(target_of(traces[i])))[2] for i in wrong} for name in _COMPARED[:2]}
    implied, surprisal = auc["implied_advantage"], auc["surprisal_policy"]
    ahead = {i: implied[i] - surprisal[i] for i in wrong if _pick(found, 0, i) != _pick(found, 1, i)}
    wins, losses = (sorted((i for i in ahead if sign * ahead[i] > 0), key=lambda i: -abs(ahead[i])) for sign in (1, -1))
    chosen = {"disagreement": _alternating(losses, wins)[:count]}
    taken = set(chosen["disagreement"])
    misses = sorted((i for i in wrong if implied[i] < 1 and i not in taken), key=implied.__getitem__)
    chosen["misses"] = misses[:count]
    hits = {i: _gap(found["implied_advantage"][i], known(target_of(traces[i]))) for i in wrong if i not in taken}
    chosen["hits"] = sorted((i for i in hits if hits[i] > 0), key=lambda i: -hits[i])[:count]
    return {kind: [_entry(traces[i], found, i) for i in chosen[kind]] for kind in KINDS}


def _pick(found, signal: int, index: int) -> int:
    return int(np.argmax(found[_COMPARED[signal]][index]))


def _alternating(first: list[int], second: list[int]) -> list[int]:
    """first[0], second[0], first[1], ... and what is left of the longer one."""
    both = min(len(first), len(second))
    pairs = [i for pair in zip(first, second, strict=False) for i in pair]
    return pairs + first[both:] + second[both:]


def _gap(suspicion, target: int) -> float:
    others = np.delete(suspicion, target)
    return float(suspicion[target] - others.max()) if len(others) else 0.0


def _entry(trace, found, index) -> dict:
    return {
        "prompt": trace.prompt_text,
        "gold": trace.gold,
        "solution": trace.completion_text,
        "tokens": list(trace.text),
        "line_starts": step_starts(trace),
        "credit": [float(f"{-value:.4g}") for value in found["implied_advantage"][index]],
        "first_wrong": trace.first_wrong,
        **({} if trace.largest_drop is None else {"largest_drop": trace.largest_drop.token}),
        "found": {
            name: {
                "token": int(np.argmax(found[name][index])),
                "place": _place(found[name][index], known(target_of(trace))),
            }
            for name in _COMPARED
        },
    }


def _place(suspicion, target: int) -> float:
    above = int((suspicion > suspicion[target]).sum())
    equal = int((suspicion == suspicion[target]).sum()) - 1
    return 1 + above + equal / 2
