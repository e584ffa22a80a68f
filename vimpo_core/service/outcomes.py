"""Success rates by trying, whose outcomes are kept in this process by whose they are. torch is imported late."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vimpo_core.measure.truth import Outcomes, PrefixValues, State, monte_carlo_values
from vimpo_core.service.progress import Progress

_KEPT_OUTCOMES = 64
"""Policies whose rollout outcomes are kept: more than the snapshots of a film strip."""
_KEPT_PREFIXES = 5_000
"""Prefixes of a policy whose outcomes are kept: some 3 MB at 256 rollouts."""


def tried_values(
    policy,
    model,
    who,
    asked: Sequence[tuple],
    tries: int,
    seed: int = 0,
    progress: Progress | None = None,
    places: Sequence[int] | None = None,
) -> list[PrefixValues]:
    """Success rate of a model from every prefix of several solutions; outcomes that are kept are not tried again.

    Args:
        policy: whose tokens and shape `model` has, itself or its reference; who: what `model` is, to keep its outcomes
            by.
        asked: (task, problem, prompt ids, solution ids) each, as `requests.read_request` gives them.
        tries: rollouts from every prefix. progress: is told how far it is, a task at a time.
        places: lengths of the prefixes to try of every solution; None: all.
    """
    from vimpo_core.measure.policy_process import process_of

    found: dict[int, PrefixValues] = {}
    for task in dict.fromkeys(task for task, *_ in asked):
        rows = [i for i, (of, *_) in enumerate(asked) if of == task]
        values = monte_carlo_values(
            process_of(policy, model, task, list(dict.fromkeys(asked[i][1] for i in rows))),
            [State(tuple(asked[i][2]), tuple(asked[i][3])) for i in rows],
            tries,
            seed,
            outcomes=kept_outcomes(who, task, seed),
            on_progress=progress.tell if progress else None,
            places=None if places is None else [places] * len(rows),
        )
        found |= dict(zip(rows, values, strict=True))
    return [found[i] for i in range(len(asked))]


def kept_outcomes(who, task, seed) -> Outcomes:
    """Where the outcomes of a policy's rollouts are kept, emptied when they have become too many."""
    kept = _outcomes(who, task, seed)
    if len(kept) > _KEPT_PREFIXES:
        kept.clear()
    return kept


@functools.lru_cache(maxsize=_KEPT_OUTCOMES)
def _outcomes(who, task, seed) -> Outcomes:
    """Outcomes kept for one policy: a run's snapshot by its `identity`, or a reference by its source and that one's
    files.
    """
    return {}
