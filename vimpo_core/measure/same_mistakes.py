"""Whose reading finds mistakes best on the very same solutions: every reading of a pool of wrong ones, and its
differences.

Each policy's own mistakes are other solutions, so figures measured on them compare what is left to find as much as who
finds it. Here every reading judges the same pool, and what differs is paired. A problem may be in the pool once a
policy that failed it, so intervals draw problems again, not solutions. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from vimpo_core.intervals import bootstrap_bounds
from vimpo_core.measure.scorecard import Localisation, Measured, localise, signals
from vimpo_core.types import CreditTrace

DELTA, SURPRISAL, REFERENCE = "delta", "surprisal", "surprisal_reference"
"""What a reading is called: "delta/RUN" is read off the policy of a run and its reference, "surprisal/RUN" off the
policy alone, and the reference's surprisal needs no run."""


def readings(traces: Sequence[CreditTrace]) -> dict[str, list[np.ndarray]]:
    """What one policy says of solutions scored under it: kind -> for each a float [T], larger is more suspicious.

    delta is taken at beta 1: beta scales it, and order is all that counts.
    """
    found = signals(traces, 1.0, 1.0)
    kinds = {DELTA: "implied_advantage", SURPRISAL: "surprisal_policy", REFERENCE: "surprisal_reference"}
    return {kind: found[name] for kind, name in kinds.items()}


def found_by(suspicion: Mapping[str, Sequence[np.ndarray]], targets: Sequence[int]) -> dict[str, np.ndarray]:
    """top1, top3 and AUC (`scorecard.Localisation`) of every reading in every solution: float [n, 3].

    Args:
        suspicion: reading -> for each solution a float [T], larger is more suspicious.
        targets: the token to be found in each.
    """
    return {
        name: np.array([localise(values, target) for values, target in zip(of, targets, strict=True)])
        for name, of in suspicion.items()
    }


def averaged(rows: np.ndarray, problems: Sequence[str], seed: int = 0) -> Localisation:
    """The mean over solutions of rows as `found_by` gives them, or of their difference; problems are drawn again for
    the intervals. nan without a solution.

    Args:
        rows: float [n, 3]; problems: whose solution each row is.
    """
    if not len(rows):
        return Localisation(*[Measured(*[float("nan")] * 3)] * 3)
    names = {name: at for at, name in enumerate(sorted(set(problems)))}  # whichever run is named first, the same draws
    sums = np.zeros((len(names), 4))  # of top1, top3 and AUC, and how many
    np.add.at(sums, [names[name] for name in problems], np.column_stack([rows, np.ones(len(rows))]))
    low, high = bootstrap_bounds(lambda s: s[..., :3] / s[..., 3:], sums, seed)
    return Localisation(*map(Measured, *(a.tolist() for a in (rows.mean(axis=0), low, high))))


def pairs(runs: Sequence[str]) -> list[tuple[str, str]]:
    """The readings that are told apart: delta of every two runs, and delta of each against what needs less."""
    told = [(f"{DELTA}/{a}", f"{DELTA}/{b}") for a, b in combinations(runs, 2)]
    return told + [(f"{DELTA}/{run}", rival) for run in runs for rival in (f"{SURPRISAL}/{run}", REFERENCE)]
