"""The largest true drop: the token of a solution after which the mean reward found by trying falls most. It stands for
the first wrong token where no step verifier knows that one. NumPy only.

    drop_t = V^pi(s_t) - V^pi(s_{t+1}) = -(Q - V)

Which token it is, is chosen with one set of tries, and how large its drop is, is measured with another: the tries that
made it look largest are not in its interval, which so needs no correction for having picked a maximum. It is about the
token that was chosen; another may have a drop that is larger still, most of all where the interval holds 0.

Choosing is done in rounds. The solution is cut into pieces, single tokens if it is short; from the ends of each
`SCREEN` tries are made; the `KEPT` pieces over which the value falls most are cut further and tried more often, until
they are single tokens. A fall that a rise in the same piece makes up for can be missed.
Simulated (`tests/vimpo_core/measure/test_drops.py` does it smaller): with 64 fresh tries the interval holds the chosen
token's drop in 96 % of 2000 draws on trees of depth 6, with rewards 0 or 1 and between, and the token is the truly
largest in 95 %. Where no token matters a clear drop is claimed in 2.4 % of 1000 draws; the lowest of 20 intervals of
the tries that also chose would claim one in 35 %. On chain arithmetic, of the last step of the bundled VIMPO run at
beta 0.1, it is the step verifier's first wrong token in 63 of 64 wrong solutions, at 0.13 CPU seconds each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from vimpo_core.measure.truth import Outcomes, PrefixValues, State, TokenProcess, exact_outcome, monte_carlo_values
from vimpo_core.mistake import Mistake
from vimpo_core.types import Drop

TRIES = (64, 256)
"""Fresh tries from each of the two prefixes that a page offers."""
SCREEN = 16
"""Tries a place in the first round."""
SHORT = 64
"""A solution of so many tokens is cut into single ones at once; a longer one into half as many pieces."""
KEPT, PIECES = 4, 4
"""Pieces that each round keeps, and into how many it cuts each of them."""


def largest_drops(
    process: TokenProcess,
    solutions: Sequence[State],
    tries: int = TRIES[0],
    seed: int = 0,
    starts: Sequence[Sequence[int]] | None = None,
    kept: Callable[[int], Outcomes] = lambda seed: {},
    on_progress: Callable[[int, int], None] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[Drop]:
    """The largest true drop of each solution.

    Args:
        tries: fresh ones from the two prefixes of the chosen token, at least `SCREEN`; the last rounds of choosing make
            as many from every place, 64 at most.
        seed: of the tries that choose, >= 0; those that measure have one of their own.
        starts: for each solution the tokens that begin a word or a step, where a long one is cut first; None: anywhere.
        kept: outcomes of earlier calls by the seed of their tries.
        on_progress: called with (thousandths done, 1000), roughly: how many tries a round needs is seen as it goes.
        is_cancelled: asked before every chunk of rollouts.

    Raises:
        Mistake: fewer tries than `SCREEN`, or a solution without tokens.
        Cancelled: `is_cancelled` said so.
    """
    if tries < SCREEN or any(not solution.prefix for solution in solutions):
        raise Mistake(f"a drop needs a token and at least {SCREEN} tries, got {tries}. Use {TRIES[0]}.")
    rounds = 1 + max((_rounds(len(solution.prefix)) for solution in solutions), default=0)
    fresh_seed = -1 - seed
    outcomes = {of_seed: kept(of_seed) for of_seed in (seed, fresh_seed)}
    sampled = dict.fromkeys(range(len(solutions)), 0)
    number = 0

    def measured(places: dict[int, list[int]], count: int, of_seed: int) -> list[PrefixValues]:
        def tell(done, total):
            if on_progress:
                on_progress(min(1000, round(1000 * (number + done / max(total, 1)) / (rounds + 1))), 1000)

        for i, of in places.items():
            states = [State(solutions[i].prompt, solutions[i].prefix[:t]) for t in of]
            tried = (state for state in states if exact_outcome(process, state) is None)
            sampled[i] += sum(max(0, count - len(outcomes[of_seed].get(state, ()))) for state in tried)
        return monte_carlo_values(
            process,
            [solutions[i] for i in places],
            count,
            of_seed,
            outcomes=outcomes[of_seed],
            on_progress=tell,
            is_cancelled=is_cancelled,
            places=list(places.values()),
        )

    pieces = {i: _first_cut(len(s.prefix), starts[i] if starts else ()) for i, s in enumerate(solutions)}
    chosen: dict[int, int] = {}
    seen: dict[int, set[int]] = {i: set() for i in pieces}
    while pieces:
        places = {i: sorted({end for piece in of for end in piece}) for i, of in pieces.items()}
        found = measured(places, SCREEN if number == 0 else min(tries, 64), seed)
        for (i, of), values in zip(list(pieces.items()), found, strict=True):
            seen[i].update(places[i])
            value = dict(zip(places[i], values.value, strict=True))
            falls = sorted(of, key=lambda piece: value[piece[1]] - value[piece[0]])[:KEPT]
            if number and all(end - start == 1 for start, end in falls):
                chosen[i] = falls[0][0]
                del pieces[i]
            else:
                pieces[i] = [smaller for piece in falls for smaller in _cut(*piece, PIECES)]
        number += 1
    number = rounds
    fresh = measured({i: [t, t + 1] for i, t in sorted(chosen.items())}, tries, fresh_seed)
    return [_drop(chosen[i], values, len(seen[i]), sampled[i]) for i, values in enumerate(fresh)]


def _drop(token: int, values: PrefixValues, places: int, sampled: int) -> Drop:
    low, high = (float(bound[0]) for bound in values.advantage_bounds())
    before, after = values.value.tolist()
    return Drop(token, before - after, -high, -low, before, after, values.rollouts, places, sampled)


def most_rollouts(length: int, tries: int) -> int:
    """At most so many continuations are sampled for a solution of that many tokens; fewer where the policy's own next
    token is often the solution's.
    """
    first = min(length, SHORT) if length <= SHORT else SHORT // 2
    each = KEPT * (1 if length <= SHORT else PIECES) * 2
    return (first + 1) * SCREEN + _rounds(length) * each * min(tries, 64) + 2 * tries


def _rounds(length: int) -> int:
    """Rounds after the first: one for single tokens, more where pieces have to be cut."""
    longest, rounds = (1, 1) if length <= SHORT else (-(-length // (SHORT // 2)) + 2 * _slack(length), 0)
    while longest > 1:
        longest, rounds = -(-longest // PIECES), rounds + 1
    return rounds


def _first_cut(length: int, starts: Sequence[int]) -> list[tuple[int, int]]:
    if length <= SHORT:
        return _cut(0, length, length)
    ends = [round(k * length / (SHORT // 2)) for k in range(SHORT // 2 + 1)]
    inner = [t for t in starts if 0 < t < length]
    # A cut moves to the start of a word or step where one is nearer than the next cut.
    moved = [
        min((t for t in inner if abs(t - end) <= _slack(length)), key=lambda t: abs(t - end), default=end)
        for end in ends[1:-1]
    ]
    cuts = sorted({0, *moved, length})
    return list(itertools.pairwise(cuts))


def _slack(length: int) -> int:
    return length // SHORT - 1


def _cut(start: int, end: int, pieces: int) -> list[tuple[int, int]]:
    """start..end in at most `pieces` pieces of nearly one length."""
    pieces = min(pieces, end - start)
    cuts = [start + round(k * (end - start) / pieces) for k in range(pieces + 1)]
    return list(itertools.pairwise(cuts))
