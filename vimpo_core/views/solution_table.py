"""A table of solutions, a row each: reward, length, lowest credit, and whether credit, another policy's credit and
surprisal name the token where it goes wrong.

A reading *points* at the token that it blames alone: where several tie it points nowhere. It *hits* where that is the
first wrong token, or the largest true drop where that stands for it (`scorecard.target_of`). What was not recorded is
None, never 0. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vimpo_core.measure.scorecard import target_of
from vimpo_core.solutions import picks
from vimpo_core.solutions.ledger import ledger, reward_decimals
from vimpo_core.solutions.lenses import credit_of
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace, VerdictStatus
from vimpo_core.views.payload import whole, with_version

READINGS = ("own", "other", "surprisal")
"""Whose blame a row has: the credit of the run's own policy, that of another policy on the same tokens, -log pi."""
POINTS_NOWHERE = -1
_LONGEST_PROMPT, _LONGEST_ANSWER = 60, 14

Row = dict[str, object]


def rows_of(traces: Sequence[CreditTrace], beta: float, others: Mapping[int, CreditTrace] | None = None) -> list[Row]:
    """The rows of some solutions of one step, in their order.

    Args:
        beta: at which credit is read.
        others: index -> that solution under another policy, where it was scored.

    Returns:
        For each solution what `columns` lists. Credit and residual are whole numbers of the last shown digit, as in the
        credit view; a token is [number, text], POINTS_NOWHERE for a reading that blames no token alone.
    """
    return [_row(trace, beta, (others or {}).get(index)) for index, trace in enumerate(traces)]


def table_payload(rows: Sequence[Row], beta: float, **said: object) -> dict:
    """What the table draws, column by column, ready for JSON. said: words and names that travel with it."""
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    names = picks.told_apart([str(prompt) for prompt in prompts])
    place = {prompt: at for at, prompt in enumerate(prompts)}
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else {}) if name != "prompt"}
    columns["prompt"] = [place[row["prompt"]] for row in rows]
    shown = [visible_text(name[:_LONGEST_PROMPT]) for name in names]
    return with_version(
        {"columns": columns, "prompts": shown, "decimals": reward_decimals(beta), "count": len(rows), **said}
    )


def _row(trace: CreditTrace, beta: float, other: CreditTrace | None) -> Row:
    book = ledger(trace, beta, None)
    delta, shown = credit_of(trace, beta), book.arrays["td_terms"]
    lowest = None if delta is None or shown is None else _lowest(trace, delta)
    own = _points(trace, delta)
    return {
        "step": trace.step,
        "group": trace.group_id,
        "sample": trace.sample_idx,
        "prompt": trace.prompt_text,
        "verdict": _verdict(trace),
        "answer": visible_text(trace.answer)[:_LONGEST_ANSWER] if trace.answer else "",
        "reward": float(f"{trace.reward:.4g}") if math.isfinite(trace.reward) else None,
        "flipped": picks.is_flipped(trace),
        "length": len(trace.text),
        "lowest": None if lowest is None or shown is None else whole([shown[lowest]])[0],
        "own": own,
        "other": None if other is None else _points(trace, credit_of(other, beta)),
        "surprisal": _points(trace, trace.logprob),
        "target": _token(trace, target_of(trace)),
        "residual": whole([book.residual])[0],
    }


def _verdict(trace: CreditTrace) -> str:
    """ "right", "wrong", "none" (no answer that counts), "" where nobody here judged it."""
    if not picks.is_judged(trace):
        return ""
    if picks.is_correct(trace):
        return "right"
    return "none" if trace.status == VerdictStatus.REJECTED else "wrong"


def _lowest(trace: CreditTrace, values: np.ndarray) -> int | None:
    """The counted token with the lowest finite number."""
    counted = np.where(trace.mask & np.isfinite(values), values, np.inf)
    return int(counted.argmin()) if len(counted) and np.isfinite(counted.min()) else None


def blamed(trace: CreditTrace, values: np.ndarray | None) -> int | None:
    """The counted token with the lowest number, POINTS_NOWHERE where others tie with it; None where none is known."""
    if values is None:
        return None
    values = np.asarray(values, dtype=np.float64)
    lowest = _lowest(trace, values)
    if lowest is None:
        return None
    is_alone = (values[np.asarray(trace.mask, dtype=bool)] == values[lowest]).sum() == 1
    return lowest if is_alone else POINTS_NOWHERE


def _points(trace: CreditTrace, values: np.ndarray | None) -> list | int | None:
    token = blamed(trace, values)
    return token if token == POINTS_NOWHERE else _token(trace, token)


def _token(trace: CreditTrace, token: int | None) -> list | None:
    return None if token is None else [token, visible_text(trace.text[token])]
