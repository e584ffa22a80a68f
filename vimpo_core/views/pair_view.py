"""Two solutions of one prompt beside each other, token by token: a branch and what it grew from, an edit and its
original; or one solution as two policies read it.

Numbers are whole ones of the last shown digit, as in `credit_view.inspector_payload`, so shown differences are the
differences of what is shown. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from vimpo_core.measure.branches import Tries
from vimpo_core.measure.scorecard import target_of, verifier_reward
from vimpo_core.numbers import signed
from vimpo_core.solutions import ledger
from vimpo_core.solutions.lenses import credit_of
from vimpo_core.solutions.reading import anchor_name
from vimpo_core.solutions.steps import mistake_note
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views.payload import round_up, shown_texts, shown_units, tokens_of, whole, with_version
from vimpo_core.views.solution_table import POINTS_NOWHERE, blamed

SHOWN_ENDINGS = 24
"""Different endings of a set of tries that travel to the page; the rarest are counted only."""


class Tried(NamedTuple):
    """The tries of one side, and the index of the token they hold in place: the start of what is marked in their
    endings.
    """

    tries: Tries
    position: int


def first_difference(first: Sequence[int], second: Sequence[int]) -> int:
    """Index of the first token that differs; the shorter length where there is none."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def aligned_by_end(first: Sequence[int], second: Sequence[int]) -> np.ndarray:
    """The token of `first` that each token of `second` is compared with, -1 for none: int [T2].

    Up to the first difference by position; from there on by distance from the end, so that an inserted or deleted
    character does not shift everything after it. Tokens that are too many on either side stand alone.
    """
    same, shift = first_difference(first, second), len(first) - len(second)
    places = np.arange(len(second))
    moved = np.where(places + shift >= same, places + shift, -1)
    return np.where(places < same, places, moved)


def aligned_at_fork(first: Sequence[int], second: Sequence[int]) -> np.ndarray:
    """As `aligned_by_end`, for solutions that part for good: by position up to the first difference, which both chose
    in one state, and nothing after it."""
    places = np.arange(len(second))
    return np.where((places <= first_difference(first, second)) & (places < len(first)), places, -1)


def pair_payload(
    first: CreditTrace,
    second: CreditTrace,
    names: tuple[str, str],
    counterpart: np.ndarray,
    beta: float,
    gae_lambda: float,
    baseline: float,
    tries: tuple[Tried, Tried] | None = None,
) -> dict:
    """Everything the pair view draws, ready for JSON.

    Args:
        first, second: scored solutions of one prompt; `second` is the new one.
        names: of each, for headings.
        counterpart: from `aligned_by_end` or `aligned_at_fork`.
        baseline: V_0 for both, as the value loss of `first`'s run has it; nan where the prompt was never sampled: V
            then counts from 0.
        tries: those of each; None for an edit.
    """
    start = 0.0 if math.isnan(baseline) else baseline
    traces = (first, second)
    books = [ledger.ledger(t, beta, gae_lambda, anchor=start) for t in traces]
    delta, values = ([book.of(name) for book in books] for name in ("td_terms", "values"))
    differences = [_against(a, b, counterpart) for a, b in (delta, [v[1:] for v in values])]
    digits = books[0].reward_decimals
    shown = [np.abs(a) for a in (*delta, *differences)]
    largest = max((float(np.nanmax(a)) for a in shown if np.isfinite(a).any()), default=0.0)
    return with_version(
        {
            "sides": [
                {
                    "name": name,
                    **tokens_of(trace),
                    "note": mistake_note(trace),
                    "td_terms": whole(book.of("td_terms")),
                    "values": whole(book.of("values")),
                    "reward": book.reward,
                    "is_right": verifier_reward(trace) >= 1,
                }
                for name, trace, book in zip(names, traces, books, strict=True)
            ],
            "counterpart": counterpart.tolist(),
            "fork": first_difference(first.ids.tolist(), second.ids.tolist()),
            "differences": {
                "td_terms": whole(differences[0]),
                "values": whole(differences[1]),
            },
            "baseline": None if math.isnan(baseline) else whole([books[0].baseline])[0],
            "anchor": anchor_name(first),
            "decimals": digits,
            "scale": round_up(largest / 10**digits),
            "tries": None if tries is None else [_tried(t) for t in tries],
            "kind": "edit" if tries is None else "branch",
            "short": ["before", "new"],
        }
    )


def policies_payload(
    first: CreditTrace,
    second: CreditTrace,
    names: tuple[str, str],
    short: tuple[str, str],
    beta: float,
    gae_lambda: float,
    baseline: float,
) -> dict:
    """The same for one solution under two policies: token t of one is token t of the other, and both are read at one
    beta. short: names of a word or two. ValueError where the tokens differ.
    """
    if not np.array_equal(first.ids, second.ids):
        raise ValueError(
            f"two policies are compared on the same tokens, got {len(first.ids)} and {len(second.ids)} that differ. "
            "Score the solution by its tokens."
        )
    same = np.arange(len(first.ids))
    payload = pair_payload(first, second, names, same, beta, gae_lambda, baseline)
    one, two = payload["sides"]  # what went wrong is said once
    changed = {"sides": [one, two | {"note": ""}], "kind": "policies", "short": list(short), "fork": None}
    return with_version(payload | changed | {"details": [_lowest(trace, beta) for trace in (first, second)]})


def _lowest(trace: CreditTrace, beta: float) -> str:
    """Where the lowest credit is, and whether that is the token to be found."""
    delta = credit_of(trace, beta)
    token = blamed(trace, delta)
    if delta is None or token is None:
        return "no credit"
    if token == POINTS_NOWHERE:
        return "blames no token alone"
    said = f"lowest {signed(float(delta[token]), 3)} at #{token} “{visible_text(trace.text[token])}”"
    if token != target_of(trace):
        return said
    return f"{said}, the {'first wrong token' if trace.first_wrong is not None else 'largest true drop'}"


def _against(first, second, counterpart):
    """second minus its counterpart in first, nan where it has none."""
    found = np.full(len(second), np.nan)
    has_one = counterpart >= 0
    found[has_one] = second[has_one] - first[counterpart[has_one]]
    return found


def _tried(tried: Tried) -> dict:
    tries = tried.tries
    rate, low, high = tries.rate()
    given = len(tries.start)
    shown = tries.endings[:SHOWN_ENDINGS]
    return {
        "successes": tries.successes,
        "n": tries.n,
        "is_partial": tries.is_partial,
        "rate": rate,
        "low": low,
        "high": high,
        "exact": tries.is_exact,
        "position": tried.position,
        "given": given,
        "label": "".join(visible_text(t) for t in shown[0].judged.text[tried.position : given]),
        "endings": [
            {
                "count": ending.count,
                "text": shown_texts(ending.judged.text),
                "units": shown_units(ending.judged.text),
                "status": ending.judged.status,
                "answer": visible_text(ending.judged.answer) if ending.judged.answer else "",
                "first_wrong": ending.judged.first_wrong,
            }
            for ending in shown
        ],
        "left_out": len(tries.endings) - len(shown),
    }
