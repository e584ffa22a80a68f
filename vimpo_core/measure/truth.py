"""What the implied numbers are checked against: values of prefixes found by trying, not read off the policy. NumPy
only.

    V^pi(s_t)    mean reward of the policy itself when it goes on from s_t      Monte Carlo, or exact enumeration
    Q - V        V^pi(s_{t+1}) - V^pi(s_t); the reward R stands at the end      Monte Carlo
    V_soft(s_t)  beta log E exp(R / beta) over the reference's own continuations   from the reference's rewards

A state is a prompt with the tokens so far. Rewards lie in [0, 1]; where all are 0 or 1, V^pi is a success rate and
V_soft is beta log(1 + p_ref(s_t) (e^{1/beta} - 1)). `TokenProcess` is all that is known of a policy and its task, so
the same lines serve a network and an enumerable tree.

Common random numbers: rollout j of every prefix of a problem meets the same uniform at the same position. Rollout j
from s_t that draws y_t anyway *is* then rollout j from s_{t+1}, and is not sampled again: a solution costs about as
many rollouts as its tokens could have been others, and Q - V of a token that was certain is exactly 0. Each prefix by
itself has independent rollouts, so its interval is right; neighbouring prefixes share their luck.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vimpo_core import credit
from vimpo_core.intervals import all_or_nothing, mean_bounds, mean_difference_bounds
from vimpo_core.mistake import Mistake

STAGES = (16, 64, 256)
"""Rollouts a prefix at which results are shown; each stage keeps those before it."""

CHUNK_ROWS = 256
"""Rollouts sampled together: on a CPU more of them leave its caches and are slower."""

TokenIds = tuple[int, ...]


class State(NamedTuple):
    """A prompt and the tokens written so far."""

    prompt: TokenIds
    prefix: TokenIds


@dataclass(frozen=True)
class TokenProcess:
    """A policy on a task as a Markov decision process over tokens.

    end_ids: the tokens that end a solution; max_new_tokens: where one without it is cut off.
    complete: for each state, one continuation (tokens up to the end or the cut) a row of its uniforms
        [n, max_new_tokens - len(prefix)], drawn by inverse CDF in the order of the token ids.
    draw_ranges: for each solution (a state), the uniforms that draw each of its tokens: float64 [T, 2], low <= u <
        high.
    next_logprobs: log pi of the next token in each state, float64 [N, V].
    reward: of a prompt with a whole solution, ended or cut off, in [0, 1].
    """

    end_ids: tuple[int, ...]
    max_new_tokens: int
    complete: Callable[[list[State], list[np.ndarray]], list[list[TokenIds]]]
    draw_ranges: Callable[[list[State]], list[np.ndarray]]
    next_logprobs: Callable[[list[State]], np.ndarray]
    reward: Callable[[TokenIds, TokenIds], float]


class Cancelled(Exception):
    """The caller asked to stop; nothing of the unfinished stage was kept."""


Outcomes = dict[State, np.ndarray]
"""Rewards [n] of the rollouts already made from each state, rollout 0 first: pass it again to add to it. bool where all
are 0 or 1, else float64."""


@dataclass(frozen=True)
class PrefixValues:
    """Mean reward from every prefix of one solution, T tokens long (a success rate where rewards are 0 or 1).

    outcomes: reward of each rollout, [T+1, k], bool where all are 0 or 1 and else float64; row t belongs to the first t
    tokens, and is constant where `is_exact` (bool [T+1]): nothing can follow the end token or the end of the token
    budget. Where only some prefixes were tried there is a row for each of these, and what is said of tokens holds from
    one to the next.
    """

    outcomes: np.ndarray
    is_exact: np.ndarray

    @property
    def rollouts(self) -> int:
        return self.outcomes.shape[1]

    @property
    def is_partial(self) -> bool:
        """Whether some reward is neither 0 nor 1, so that a mean reward is no success rate."""
        return not all_or_nothing(self.outcomes).all()

    @property
    def value(self) -> np.ndarray:
        """V(s_0) .. V(s_T), float [T+1], reward units; V(s_T) of an ended solution is its reward R."""
        return self.outcomes.mean(axis=1)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """95% interval of each value (`intervals.mean_bounds`), low and high [T+1]; no width where exact."""
        low, high = mean_bounds(self.outcomes)
        return np.where(self.is_exact, self.value, low), np.where(self.is_exact, self.value, high)

    def advantages(self) -> np.ndarray:
        """Q - V of each token, V(s_{t+1}) - V(s_t): float [T], reward units. Its implied counterpart is delta_t."""
        return np.diff(self.value)

    def advantage_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """95% interval of each advantage for paired rollouts (`intervals.mean_difference_bounds`), low and high [T]."""
        return mean_difference_bounds(self.outcomes[:-1], self.outcomes[1:], (self.is_exact[:-1], self.is_exact[1:]))


def prefixes_of(solution: State) -> list[State]:
    """s_0 .. s_T of a solution: T + 1 states."""
    return [State(solution.prompt, solution.prefix[:t]) for t in range(len(solution.prefix) + 1)]


MOST_PLACES = 16
"""Prefixes that are tried inside a long solution where not all of them are."""


def places_of(length: int, starts: Sequence[int] = (), most: int = MOST_PLACES) -> tuple[int, ...]:
    """Which prefixes of a long solution to try, as lengths: none and all of its tokens, and at most `most` between
    them: where a step begins (`starts`), or spread evenly where none does.
    """
    inside = sorted({t for t in starts if 0 < t < length}) or list(range(1, length))
    if len(inside) > most:
        inside = [inside[i] for i in np.linspace(0, len(inside) - 1, most).round().astype(int)]
    return (0, *inside, length)


def end_of(process: TokenProcess, ids: Sequence[int]) -> int | None:
    """Index of the first token that ends a solution; None where it has not ended."""
    return next((t for t, token in enumerate(ids) if token in process.end_ids), None)


def exact_outcome(process: TokenProcess, state: State) -> float | None:
    """The reward of a state that nothing can follow; None where the policy still has a choice.

    After the end token the solution up to it counts; without one in the token budget, the cut-off solution does.
    """
    prompt, budget = state.prompt, process.max_new_tokens
    inside = state.prefix[:budget]
    if (end := end_of(process, inside)) is not None:
        return process.reward(prompt, inside[: end + 1])
    return process.reward(prompt, inside) if len(state.prefix) >= budget else None


# ---- Monte Carlo


def monte_carlo_values(
    process: TokenProcess,
    solutions: Sequence[State],
    rollouts: int,
    seed: int = 0,
    common_random_numbers: bool = True,
    outcomes: Outcomes | None = None,
    chunk_rows: int = CHUNK_ROWS,
    on_progress: Callable[[int, int], None] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
    places: Sequence[Sequence[int]] | None = None,
) -> list[PrefixValues]:
    """V^pi of every prefix of every solution, `rollouts` tries each; a prefix that several share is tried once.

    Args:
        seed: of the uniforms. They depend on it, the prompt and the rollout's number (and on the prefix, without
            common random numbers), so neither chunks, stages nor the other solutions change a result.
        outcomes: results of earlier calls with this process, seed and kind of uniforms; only what is missing is sampled
            and added.
        chunk_rows: rollouts in memory at once.
        on_progress: called with (rollouts sampled, rollouts to sample).
        is_cancelled: asked before every chunk.
        places: for each solution the lengths of the prefixes to try from, rising; None: all of them, 0 to T.

    Returns:
        One PrefixValues a solution, with a row for each of its places.

    Raises:
        Mistake: rollouts below 1.
        Cancelled: `is_cancelled` said so.
    """
    if rollouts < 1:
        raise Mistake(f"rollouts must be >= 1, got {rollouts}. Use {STAGES[0]} or more for an interval.")
    outcomes = {} if outcomes is None else outcomes
    tried = [
        prefixes_of(solution) if places is None else [State(solution.prompt, solution.prefix[:t]) for t in places[i]]
        for i, solution in enumerate(solutions)
    ]
    jobs = _jobs(process, tried, rollouts, seed, common_random_numbers, outcomes)
    found = _sample(process, jobs, chunk_rows, on_progress, is_cancelled)
    # The longest prefix first: a rollout that follows the solution has its outcome from the prefix after it.
    for job in sorted(jobs, key=lambda job: -len(job.state.prefix)):
        fresh = np.empty(len(job.follows))
        fresh[~job.follows] = found[job.state]
        if job.follows.any():
            after = _known(process, job.child, rollouts, outcomes)
            fresh[job.follows] = after[rollouts - len(fresh) : rollouts][job.follows]
        before = outcomes.get(job.state)
        outcomes[job.state] = _compact(fresh) if before is None else np.concatenate([before, _compact(fresh)])
    return [_prefix_values(process, states, rollouts, outcomes) for states in tried]


def _compact(rewards: np.ndarray) -> np.ndarray:
    """bool where all are 0 or 1: an eighth of the room, and exact."""
    return rewards == 1 if all_or_nothing(rewards) else rewards


class _Job(NamedTuple):
    """What is missing of a state: rollouts start.. of it, those of which `follows` (bool) draw the solution's own
    tokens up to `child`, the next state that is tried. `key` names its table of uniforms."""

    state: State
    child: State
    key: tuple
    start: int
    follows: np.ndarray


def _jobs(process, tried: Sequence[Sequence[State]], rollouts, seed, common, outcomes) -> list[_Job]:
    jobs: dict[State, _Job] = {}
    missing = [
        states
        for states in tried
        if any(len(outcomes.get(s, ())) < rollouts and _has_choice(process, s) for s in states)
    ]
    ranges = process.draw_ranges([states[-1] for states in missing]) if common and missing else [None] * len(missing)
    for states, ranges_T in zip(missing, ranges, strict=True):
        for state, child in zip(states, [*states[1:], states[-1]], strict=True):
            start = len(outcomes.get(state, ()))
            if state in jobs or start >= rollouts or not _has_choice(process, state):
                continue
            key = (seed, state.prompt) if common else (seed, *state)
            follows = np.zeros(rollouts - start, dtype=bool)
            if common and child != state:
                way = slice(len(state.prefix), len(child.prefix))
                drawn = uniform_table(key, start, rollouts, process.max_new_tokens)[:, way]
                follows = ((ranges_T[way, 0] <= drawn) & (drawn < ranges_T[way, 1])).all(axis=1)
            jobs[state] = _Job(state, child, key, start, follows)
    return list(jobs.values())


def uniform_table(key, start: int, stop: int, width: int) -> np.ndarray:
    """Rows start..stop of the key's table of uniforms, float64 [stop - start, width]; the same on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    generator = np.random.PCG64(int.from_bytes(digest[:16], "big"))
    generator.advance(start * width)  # one draw of the generator a float64
    return np.random.Generator(generator).random((stop - start, width))


def _sample(process, jobs, chunk_rows, on_progress, is_cancelled) -> dict[State, np.ndarray]:
    """Rewards of the rollouts that leave the solution, float64 [n] a state, in the order of their numbers."""
    # Prefixes of like length together: little padding, and rows that end at like times.
    pieces = [
        (job, rows)
        for job in sorted(jobs, key=lambda job: len(job.state.prompt) + len(job.state.prefix))
        for rows in _split(np.flatnonzero(~job.follows), chunk_rows)
    ]
    total, done = sum(len(rows) for _, rows in pieces), 0
    found: dict[State, list] = {job.state: [] for job in jobs}
    for chunk in _chunks(pieces, chunk_rows):
        if is_cancelled():
            raise Cancelled
        states, uniforms = [job.state for job, _ in chunk], [_draws(process, *piece) for piece in chunk]
        for state, continuations in zip(states, process.complete(states, uniforms), strict=True):
            found[state] += [process.reward(state.prompt, state.prefix + ids) for ids in continuations]
        done += sum(map(len, uniforms))
        if on_progress:
            on_progress(done, total)
    return {state: np.array(rows, dtype=np.float64) for state, rows in found.items()}


def _draws(process, job, rows):
    table = uniform_table(job.key, job.start, job.start + len(job.follows), process.max_new_tokens)
    return table[rows, len(job.state.prefix) :]


def _split(rows, size):
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _chunks(pieces, chunk_rows):
    """Consecutive pieces of at most `chunk_rows` rows together."""
    chunk: list[tuple] = []
    size = 0
    for piece in pieces:
        if chunk and size + len(piece[1]) > chunk_rows:
            yield chunk
            chunk, size = [], 0
        chunk.append(piece)
        size += len(piece[1])
    if chunk:
        yield chunk


def _has_choice(process, state) -> bool:
    return end_of(process, state.prefix) is None and len(state.prefix) < process.max_new_tokens


def _known(process, state, rollouts, outcomes) -> np.ndarray:
    """Rewards of the first `rollouts` rollouts from a state, [rollouts]."""
    exact = exact_outcome(process, state)
    return outcomes[state][:rollouts] if exact is None else _compact(np.full(rollouts, float(exact)))


def _prefix_values(process, states, rollouts, outcomes) -> PrefixValues:
    return PrefixValues(
        outcomes=np.stack([_known(process, s, rollouts, outcomes) for s in states]),
        is_exact=np.array([not _has_choice(process, s) for s in states]),
    )


# ---- the soft optimum


def soft_value(p_ref, beta: float):
    """Value of the KL-regularised (soft) optimum, KL cost included, where the reference succeeds with probability
    p_ref.

        V_soft = beta log(1 + p_ref (e^{1/beta} - 1)) = beta log((1 - p_ref) + p_ref e^{1/beta})

    It rises with p_ref, so the ends of an interval of p_ref go to the ends of an interval of V_soft.

    Args:
        p_ref: success rate of the reference from the state, array or number in [0, 1]; beta: reward per nat, > 0.

    Returns:
        float of p_ref's shape, reward units: p_ref for large beta, 1 for small beta unless p_ref is 0.

    Raises:
        Mistake: beta is not positive.
    """
    if not beta > 0:
        raise Mistake(f"beta must be > 0, got {beta}. Use the run's own.")
    return credit.soft_value(np.asarray(p_ref, dtype=np.float64), beta)


def soft_curve(reference: PrefixValues, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V_soft of every prefix and its 95% interval: value, low, high [T+1], from rollouts of the reference.

    beta log E exp(R / beta) is `soft_value` of the mean of `credit.tilted(R, beta)`, which is R itself where that is 0
    or 1, and lies in [0, 1] too: its interval is that of a mean reward.
    """
    tilted = PrefixValues(np.asarray(credit.tilted(reference.outcomes.astype(np.float64), beta)), reference.is_exact)
    return tuple(soft_value(p, beta) for p in (tilted.value, *tilted.bounds()))
