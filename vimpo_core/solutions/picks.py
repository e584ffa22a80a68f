"""Which solution of a step to look at: groups, extremes, the first wrong one, the clearest example. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core.solutions import reading
from vimpo_core.solutions.lenses import credit_of
from vimpo_core.types import CreditTrace, VerdictStatus, known


@dataclass(frozen=True)
class Group:
    """The solutions sampled for one prompt in a step: `indices` into the step's traces, `correct` of them right."""

    group_id: int
    prompt: str
    gold: str
    indices: tuple[int, ...]
    correct: int


@dataclass(frozen=True)
class Pick:
    """A solution worth looking at, and the token that makes it so: `traces[index]`, token number, None for the page's
    own choice.
    """

    index: int
    token: int | None


@dataclass(frozen=True)
class Example:
    """The clearest wrong solution of a step and how typical it is.

    `token` is its first wrong token and its most negative credit; `margin` how much lower than the next lowest token,
    reward units. `hits` of `wrong` wrong solutions with a known first wrong token have their lowest credit there.
    """

    index: int
    token: int
    margin: float
    hits: int
    wrong: int


def is_judged(trace: CreditTrace) -> bool:
    """Whether a verifier of the lab said what it is worth; of what another tool recorded only its reward is known."""
    return bool(trace.status) or trace.rewards.get("verifier") is not None


def is_correct(trace: CreditTrace) -> bool:
    """The verifier's own finding; a flipped training reward does not change it, and partial credit is not enough. Of a
    solution that was not judged (`is_judged`) whether its reward is at least 1."""
    if trace.rewards.get("verifier") is not None:
        return trace.rewards["verifier"] >= 1
    if trace.status:
        return trace.status == VerdictStatus.CORRECT
    return trace.reward >= 1


def is_flipped(trace: CreditTrace) -> bool:
    """Whether the trainer saw another reward than the verifier gave (in float32)."""
    own = trace.rewards.get("verifier")
    return own is not None and abs(own - trace.reward) > 1e-6


def judgement(trace: CreditTrace) -> str:
    """What verifier and step verifier say together. "right answer, wrong step": slips cancelled or the answer was
    guessed. "answer refused": something was read as the answer that cannot be one.
    """
    if not is_judged(trace):
        return "not judged"
    if is_correct(trace):
        return "right" if trace.first_wrong is None else "right answer, wrong step"
    if trace.status == VerdictStatus.REJECTED:
        return "answer refused" if trace.answer else "no answer"
    return "wrong"


def groups(traces: Sequence[CreditTrace]) -> list[Group]:
    """The prompts of a step in order, each with its solutions."""
    members: dict[int, list[int]] = {}
    for index, trace in enumerate(traces):
        members.setdefault(trace.group_id, []).append(index)
    return [
        Group(
            group_id,
            traces[found[0]].prompt_text,
            traces[found[0]].gold,
            tuple(found),
            sum(is_correct(traces[i]) for i in found),
        )
        for group_id, found in members.items()
    ]


LEAST_SHARED = 24
"""Characters that prompts must share for their beginning to be left out."""


def told_apart(prompts: Sequence[str]) -> list[str]:
    """Prompts as one tells them apart in a line each: without the lines that all begin with, as those of a few-shot
    prompt; "…" says so."""
    if len(prompts) < 2:
        return list(prompts)
    first, last = min(prompts), max(prompts)  # what these two share all do
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    cut = first[:length].rfind("\n") + 1
    return [f"…{prompt[cut:]}" if cut >= LEAST_SHARED else prompt for prompt in prompts]


def most_positive(traces: Sequence[CreditTrace], beta: float) -> Pick | None:
    """The token with the highest credit of the step; None when no credit was recorded, or all of it is 0."""
    return _extreme(traces, beta, +1)


def most_negative(traces: Sequence[CreditTrace], beta: float) -> Pick | None:
    """The token with the lowest credit of the step; None when no credit was recorded, or all of it is 0."""
    return _extreme(traces, beta, -1)


def first_wrong(traces: Sequence[CreditTrace]) -> Pick | None:
    """The first wrong solution of the step at its first wrong token; None when every solution is right."""
    wrong = [i for i, trace in enumerate(traces) if not is_correct(trace)]
    # One whose wrong token is known says more than one that merely ran out of room.
    known = [i for i in wrong if traces[i].first_wrong is not None]
    found = next(iter(known or wrong), None)
    return None if found is None else Pick(found, traces[found].first_wrong or 0)


def first_failed(traces: Sequence[CreditTrace]) -> Pick | None:
    """The first solution of the step that did not earn the whole reward, no token named; None when all did."""
    found = next((i for i, trace in enumerate(traces) if not is_correct(trace)), None)
    return None if found is None else Pick(found, None)


def lowest_reward(traces: Sequence[CreditTrace]) -> Pick | None:
    """The first solution of the step with the lowest reward, no token named; None where none is known or all earned the
    same."""
    rewards = np.array([trace.reward for trace in traces], dtype=np.float64)
    if not np.isfinite(rewards).any() or np.nanmin(rewards) == np.nanmax(rewards):
        return None
    return Pick(int(np.nanargmin(rewards)), None)


def least_explained(traces: Sequence[CreditTrace], beta: float) -> Pick | None:
    """The solution whose token credits and reward disagree most, by its terminal residual; None where no residual is
    known."""
    residuals = np.abs([reading.residual(trace, beta) for trace in traces])
    if not np.isfinite(residuals).any():
        return None
    return Pick(int(np.argmax(np.where(np.isfinite(residuals), residuals, -1))), None)


def clearest_example(traces: Sequence[CreditTrace], beta: float = 1.0) -> Example | None:
    """The wrong solution whose lowest credit sits on the first wrong token by the largest margin.

    Returns None when no wrong solution of the step has its lowest credit there. The counts cover the whole step, so
    the page can say how typical the example is. `beta` scales the margin only.
    """
    hits, wrong = [], 0
    for index, trace in enumerate(traces):
        delta = credit_of(trace, beta)
        if is_correct(trace) or trace.first_wrong is None or delta is None:
            continue
        wrong += 1
        order = np.argsort(np.where(trace.mask, delta, np.inf), kind="stable")
        if order[0] == trace.first_wrong and delta[order[0]] < 0:
            runner_up = delta[order[1]] if len(order) > 1 and np.isfinite(delta[order[1]]) else 0.0
            hits.append((float(runner_up - delta[order[0]]), index))
    if not hits:
        return None
    margin, index = max(hits, key=lambda hit: (hit[0], -hit[1]))
    return Example(index, known(traces[index].first_wrong), margin, len(hits), wrong)


def _extreme(traces, beta, sign) -> Pick | None:
    best, found = 0.0, None
    for index, trace in enumerate(traces):
        delta = credit_of(trace, beta)
        if delta is None or not len(delta):
            continue
        marked = np.where(trace.mask & np.isfinite(delta), sign * delta, -np.inf)
        token = int(np.argmax(marked))
        if marked[token] > best:
            best, found = float(marked[token]), Pick(index, token)
    return found
