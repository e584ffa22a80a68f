"""What if? One token of a solution forced to be another, the policy finishing it k times; and the tree such branches
form.

A branch holds two sets of tries under one policy: from the token that was forced, and, as its control, from the token
that the solution had there. Both draw from the uniforms of `truth.monte_carlo_values` (same seed, same prompt, rollout
j at position t meets the same uniform): the success rates are those of its V^pi curve at these prefixes, and tries of
any two branches with one seed are paired. NumPy only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from vimpo_core.intervals import all_or_nothing, difference_bounds, mean_bounds, mean_difference_bounds, phi_of_pairs
from vimpo_core.measure.truth import State, TokenIds, TokenProcess, end_of, uniform_table
from vimpo_core.mistake import Mistake
from vimpo_core.solutions import lenses
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace, known

COUNTS = (8, 32, 128)
"""Tries that the page offers."""
MOST_TRIES = 256
MOST_BRANCHES = 40
"""Branches of one tree: with `EXPORTED_ENDINGS` it bounds an export to about 2 MB."""
EXPORTED_ENDINGS = 32
"""Different endings of a set of tries that an export lists; the rarest are counted only."""
LONGEST_NAME = 60
AT_THE_END = (
    "token #{} is the end of the solution: nothing comes after it that could go otherwise. Select an earlier token."
)
FULL = f"a tree holds {MOST_BRANCHES} branches. Export it, then remove some."
SCHEMA = "vimpo-lab-branches"
SCHEMA_VERSION = 1


class Judged(NamedTuple):
    """What the verifier says of one whole solution; `first_wrong` is a token index or None."""

    text: tuple[str, ...]
    reward: float
    status: str
    answer: str
    first_wrong: int | None


@dataclass(frozen=True)
class Ending:
    """A whole solution that the tries came to, `count` of them; the first `start` tokens were given."""

    ids: TokenIds
    count: int
    judged: Judged

    @property
    def is_right(self) -> bool:
        return self.judged.reward == 1


@dataclass(frozen=True)
class Tries:
    """k continuations of one prefix.

    start: tokens given, the forced ones included; outcomes: reward of each try, [k], bool where all are 0 or 1;
    is_exact: nothing can follow `start`, so all are the same; endings: the different solutions, the most frequent
    first.
    """

    start: TokenIds
    outcomes: np.ndarray
    is_exact: bool
    endings: tuple[Ending, ...]

    @property
    def n(self) -> int:
        return len(self.outcomes)

    @property
    def successes(self) -> int:
        """How many earned the whole reward."""
        return int((self.outcomes == 1).sum())

    @property
    def is_partial(self) -> bool:
        """Whether some reward is neither 0 nor 1, so that the rate is a mean reward."""
        return not all_or_nothing(self.outcomes)

    def rate(self) -> tuple[float, float, float]:
        """Mean reward, a success rate where all are 0 or 1, with its 95% interval (`intervals.mean_bounds`): (rate,
        low, high); no width where exact."""
        value = float(self.outcomes.mean())
        if self.is_exact:
            return value, value, value
        low, high = mean_bounds(self.outcomes)
        return value, float(low), float(high)


@dataclass(frozen=True)
class Branch:
    """One token of a solution forced to be something else, and what came of it.

    parent: id of the branch whose most frequent ending it grew from; "" for the solution itself.
    step: the snapshot whose policy finished it; solution: what it grew from, scored under that policy (no group).
    position: index of the token that was replaced; forced: what took its place, one or more tokens.
    before, after: tries from the solution's own token and from the forced ones, paired by number.
    trace: the most frequent ending of `after`, scored.
    """

    parent: str
    step: int
    solution: CreditTrace
    position: int
    forced: TokenIds
    forced_text: tuple[str, ...]
    seed: int
    before: Tries
    after: Tries
    trace: CreditTrace
    name: str = ""

    @property
    def k(self) -> int:
        return self.after.n

    @property
    def id(self) -> str:
        """Depends on lineage and settings alone: the same request is the same branch."""
        asked = (
            self.parent,
            self.step,
            self.solution.prompt_text,
            tuple(self.solution.ids.tolist()),
            self.position,
            self.forced,
            self.k,
            self.seed,
        )
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:12]


# ---- trying


def check_fork(process: TokenProcess, ids: Sequence[int], position: int, forced: Sequence[int], k: int) -> None:
    """Raises Mistake, one sentence, unless `forced` can take the place of token `position` of a solution."""
    budget = process.max_new_tokens
    if not 1 <= k <= MOST_TRIES:
        raise Mistake(f"the number of tries must be within 1..{MOST_TRIES}, got {k}. Use 32.")
    if not 0 <= position < len(ids):
        raise Mistake(f"there is no token #{position}: the solution has #0 to #{len(ids) - 1}. Select one of them.")
    ended = end_of(process, ids[: position + 1])
    if ended == position:
        raise Mistake(AT_THE_END.format(position))
    if ended is not None:
        raise Mistake(f"the solution already ended at token #{ended}. Select an earlier token.")
    if not forced:
        raise Mistake("there is nothing to force: got no token. Type at least one character.")
    if end_of(process, forced[:-1]) is not None:
        raise Mistake("what is forced goes on after the end mark. Put the end mark last, or leave it out.")
    if position + len(forced) > budget:
        raise Mistake(
            f"the policy writes at most {budget} tokens, and this would reach token #{position + len(forced) - 1}. "
            "Select an earlier token or force fewer."
        )
    if tuple(forced) == tuple(ids[position : position + len(forced)]):
        raise Mistake(f"that is what the solution has at token #{position} already. Force something else.")


def try_starts(
    process: TokenProcess, prompt: TokenIds, starts: Sequence[TokenIds], k: int, seed: int
) -> list[list[TokenIds]]:
    """The policy finishes each start k times: whole solutions, in one batched call.

    A start that nothing can follow is its own k solutions. Try j of every start has the uniforms of rollout j in
    `truth.monte_carlo_values`.
    """
    table = uniform_table((seed, prompt), 0, k, process.max_new_tokens)
    is_open = [end_of(process, s) is None and len(s) < process.max_new_tokens for s in starts]
    states = [State(prompt, s) for s, more in zip(starts, is_open, strict=True) if more]
    found = iter(process.complete(states, [table[:, len(s.prefix) :] for s in states]) if states else ())
    return [
        [(*s, *rest) for rest in next(found)] if more else [tuple(s)] * k
        for s, more in zip(starts, is_open, strict=True)
    ]


def tries_of(
    process: TokenProcess, start: TokenIds, solutions: Sequence[TokenIds], judge: Callable[[TokenIds], Judged]
) -> Tries:
    """Verify the solutions that a start led to, each different one once."""
    counts = Counter(solutions)
    judged = {ids: judge(ids) for ids in counts}
    endings = (Ending(ids, count, judged[ids]) for ids, count in counts.most_common())
    return Tries(
        start=tuple(start),
        outcomes=_rewards([judged[ids].reward for ids in solutions]),
        is_exact=end_of(process, start) is not None or len(start) >= process.max_new_tokens,
        endings=tuple(endings),
    )


def _rewards(rewards: Sequence[float]) -> np.ndarray:
    found = np.array(rewards, dtype=np.float64)
    return found == 1 if all_or_nothing(found) else found


# ---- alternatives at a position


class Alternative(NamedTuple):
    """A token that could stand at a position, with its log-probability under policy and reference, nats."""

    id: int
    text: str
    logprob: float
    ref_logprob: float


def alternatives(trace: CreditTrace, position: int, count: int = 8) -> list[Alternative]:
    """The other tokens that policy or reference find most probable at a position, the policy's best first.

    [] where the trace has no top-k. The token that the solution has there is left out.
    """
    if trace.topk is None:
        return []
    top = trace.topk
    columns = (top.ids[position], top.text[position], top.logprob[position], top.ref_logprob[position])
    found = {int(i): Alternative(int(i), text, float(a), float(b)) for i, text, a, b in zip(*columns, strict=True)}
    found.pop(int(trace.ids[position]), None)
    return sorted(found.values(), key=lambda a: -a.logprob)[:count]


# ---- differences


def difference(first: Tries, second: Tries, same_seed: bool = True) -> tuple[float, float, float]:
    """How much more `second` earns: (difference, low, high), Newcombe's 95% interval of shares.

    With one seed (and one prompt) try j of both had the same uniforms: the interval is the one for paired shares, over
    the tries that both have. Of rewards between 0 and 1 it is that of paired rewards
    (`intervals.mean_difference_bounds`), or, with different seeds, made of the two intervals as for shares.
    """
    shared = min(first.n, second.n)
    if same_seed and (first.is_partial or second.is_partial):
        # Tries that only one of them has say nothing of the difference of a pair.
        a, b = first.outcomes[:shared].astype(np.float64), second.outcomes[:shared].astype(np.float64)
        bounds = mean_difference_bounds(a, b, (first.is_exact, second.is_exact))
        return float((b - a).mean()), float(bounds[0]), float(bounds[1])
    phi = 0.0
    if same_seed:
        phi = float(phi_of_pairs(first.outcomes[:shared], second.outcomes[:shared]))
        phi *= shared / math.sqrt(first.n * second.n)  # correlation of the two means where only some tries are paired
    low, high = difference_bounds(np.array(first.rate()), np.array(second.rate()), phi)
    return second.rate()[0] - first.rate()[0], float(low), float(high)


def implied_difference(branch: Branch, beta: float) -> float:
    """What the policy's own numbers say: V after the forced tokens minus V after the solution's own token, reward
    units.

    The sum of delta over the forced tokens minus the own token's delta. For one token KL cancels, and what is left is
    beta times the difference of the log-ratios: Q - Q of two actions in one state, at VIMPO's local fixed point.
    """
    after = known(lenses.credit_of(branch.trace, beta))[branch.position : branch.position + len(branch.forced)]
    return float(after.sum() - known(lenses.credit_of(branch.solution, beta))[branch.position])


# ---- the tree


Tree = tuple[Branch, ...]
"""Branches of one solution in the order they were made; every parent is in it, or is ""."""


def added(tree: Tree, branch: Branch) -> Tree:
    """The tree with one more branch; as it was where the branch is in it already.

    Raises Mistake when the tree is full, or the parent is not in it.
    """
    known = {b.id for b in tree}
    if branch.id in known:
        return tree
    if branch.parent and branch.parent not in known:
        raise Mistake(f"the branch this one grew from is gone: {branch.parent}. Branch from another one.")
    if len(tree) >= MOST_BRANCHES:
        raise Mistake(FULL)
    return (*tree, branch)


def removed(tree: Tree, branch_id: str) -> Tree:
    """The tree without a branch and all that grew from it."""
    gone = {branch_id}
    for branch in tree:  # parents stand before their children
        if branch.parent in gone:
            gone.add(branch.id)
    return tuple(b for b in tree if b.id not in gone)


def renamed(tree: Tree, branch_id: str, name: str) -> Tree:
    """The tree with a branch's name changed; "" goes back to the made one."""
    name = name.strip()[:LONGEST_NAME]
    return tuple(replace(b, name=name) if b.id == branch_id else b for b in tree)


def outline(tree: Tree, parent: str = "", depth: int = 0) -> list[tuple[int, Branch]]:
    """(depth, branch) of the whole tree, each branch before what grew from it."""
    found = []
    for branch in tree:
        if branch.parent == parent:
            found += [(depth, branch), *outline(tree, branch.id, depth + 1)]
    return found


def title(branch: Branch) -> str:
    """Its name, or what was done: `#17 1 → 2`. It may quote the model or a user: escape it where markup is read."""
    own, forced = branch.solution.text[branch.position], "".join(branch.forced_text)
    return visible_text(branch.name or f"#{branch.position} {visible_text(own)} → {visible_text(forced)}")


# ---- export


def export(tree: Tree, header: dict, root: CreditTrace, beta: float, gae_lambda: float, baseline: float) -> dict:
    """A tree as one JSON object, with lineage and the settings that make each branch again.

    Args:
        header: of the run, as `formats.export.header_of` gives it.
        root: the solution that the tree grew from.
        baseline: its V_0, as the value loss of its run has it (`reading.anchor`); nan where it has none.

    Returns:
        {schema: "vimpo-lab-branches", schema_version: 1, header, step (of the policy), prompt, gold, beta, gae_lambda,
        baseline or null,
        solution: {text, ids, tokens, reward, status, answer, first_wrong},
        branches: [{id, parent (an id, or "" for the solution), name,
            settings: {step, prompt, solution_ids, position, forced_ids, k, seed}: the arguments of
                `scoring.branch_solution`, which makes it again,
            replaced, forced: text,
            before, after: {successes, n, rate, low, high, is_exact, endings: [{count, text, ids, reward, status,
                answer, first_wrong}], endings_left_out: how many different ones beyond the first `EXPORTED_ENDINGS`},
            difference: {rate, low, high}: after minus before, 95%; implied_difference: in reward units at beta,
            most_frequent: {ids, tokens, first_wrong, logprob, ref_logprob, kl (nats), td_terms, values (start-anchored,
                reward units; null without a baseline)}}]}
        Parents stand before their children. Numbers that are not finite are null. Bounded: at most `MOST_BRANCHES`
        branches with `EXPORTED_ENDINGS` endings each side.
    """
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "header": header,
        "step": tree[0].step if tree else None,
        "prompt": root.prompt_text,
        "gold": root.gold,
        "beta": beta,
        "gae_lambda": gae_lambda,
        "baseline": _number(baseline),
        "solution": {
            "text": root.completion_text,
            "ids": root.ids.tolist(),
            "tokens": list(root.text),
            "reward": root.reward,
            "status": root.status,
            "answer": root.answer,
            "first_wrong": root.first_wrong,
        },
        "branches": [_exported(branch, beta, baseline) for branch in tree],
    }


def as_json(exported: dict) -> bytes:
    return json.dumps(exported, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _exported(branch: Branch, beta: float, baseline: float) -> dict:
    rate, low, high = difference(branch.before, branch.after)
    return {
        "id": branch.id,
        "parent": branch.parent,
        "name": title(branch),
        "settings": {
            "step": branch.step,
            "prompt": branch.solution.prompt_text,
            "solution_ids": branch.solution.ids.tolist(),
            "position": branch.position,
            "forced_ids": list(branch.forced),
            "k": branch.k,
            "seed": branch.seed,
        },
        "replaced": branch.solution.text[branch.position],
        "forced": "".join(branch.forced_text),
        "before": _exported_tries(branch.before),
        "after": _exported_tries(branch.after),
        "difference": {"rate": rate, "low": low, "high": high},
        "implied_difference": _number(implied_difference(branch, beta)),
        "most_frequent": _exported_trace(branch.trace, beta, baseline),
    }


def _exported_tries(tries: Tries) -> dict:
    rate, low, high = tries.rate()
    return {
        "successes": tries.successes,
        "n": tries.n,
        "rate": rate,
        "low": low,
        "high": high,
        "is_exact": tries.is_exact,
        "endings": [
            {
                "count": ending.count,
                "text": "".join(ending.judged.text),
                "ids": list(ending.ids),
                "reward": ending.judged.reward,
                "status": ending.judged.status,
                "answer": ending.judged.answer,
                "first_wrong": ending.judged.first_wrong,
            }
            for ending in tries.endings[:EXPORTED_ENDINGS]
        ],
        "endings_left_out": max(0, len(tries.endings) - EXPORTED_ENDINGS),
    }


def _exported_trace(trace: CreditTrace, beta: float, baseline: float) -> dict:
    delta = known(lenses.credit_of(trace, beta))
    values = None if math.isnan(baseline) else _numbers(baseline + np.concatenate([[0.0], np.cumsum(delta)]))
    return {
        "ids": trace.ids.tolist(),
        "tokens": list(trace.text),
        "first_wrong": trace.first_wrong,
        **{name: _numbers(getattr(trace, name)) for name in ("logprob", "ref_logprob", "kl")},
        "td_terms": _numbers(delta),
        "values": values,
    }


def _numbers(values) -> list[float | None]:
    return [_number(v) for v in values]


def _number(value) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
