"""Means and intervals of an experiment, from its runs as results.json has them. NumPy only.

A run keeps its outcomes problem by problem, so results.json alone is enough to work every interval out again. Files
written before outcomes were kept have one accuracy a run: differences then have an interval over seeds alone, which
leaves out what other problems would have changed, and accuracies, where that is most of it, have none; `over` says
which an experiment has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from vimpo_core import intervals
from vimpo_core.intervals import Difference, Estimate
from vimpo_core.mistake import Mistake
from vimpo_core.types import known

HOWS = ("sampled", "greedy")
LIMITS = {
    "kl": (0.0, np.inf),
    "tokens_sampled": (0.0, np.inf),
    "cpu_seconds": (0.0, np.inf),
    "auc": (0.0, 1.0),
    "pearson": (-1.0, 1.0),
}
"""What a run has one number of, with the least and the most that it can be."""


def packed(sampled: Sequence[bool], greedy: Sequence[bool]) -> dict:
    """Outcomes as they go into results.json: the number of problems, and for each of `HOWS` a bit a problem, in hex."""
    if len(sampled) != len(greedy):
        raise Mistake(f"both kinds of outcomes need the same problems, got {len(sampled)} and {len(greedy)}.")
    bits = {
        how: np.packbits(np.array(right, dtype=bool)).tobytes().hex()
        for how, right in zip(HOWS, (sampled, greedy), strict=True)
    }
    return {"problems": len(sampled), **bits}


def unpacked(outcomes: dict, how: str) -> np.ndarray:
    """bool [P] of what `packed` made."""
    raw = np.frombuffer(bytes.fromhex(outcomes[how]), dtype=np.uint8)
    return np.unpackbits(raw, count=outcomes["problems"]).astype(bool)


def of_arm(runs: Sequence[dict], baseline: Sequence[dict] | None) -> dict:
    """What is estimated of an arm from its runs; `baseline`: those of the arm compared with, None for that arm
    itself.
    """
    return {
        **{how: _as_dict(accuracy(runs, how)) for how in HOWS},
        **{
            name: _as_dict(intervals.over_seeds([run[name] for run in runs], *limits))
            for name, limits in LIMITS.items()
        },
        "difference": None if baseline is None else {how: _as_dict(difference(runs, baseline, how)) for how in HOWS},
    }


def accuracy(runs: Sequence[dict], how: str) -> Estimate | None:
    """Share of problems solved, without bounds where outcomes were not kept; None without a run."""
    if have_outcomes(runs):
        return intervals.two_way(_matrix(runs, how), 0.0, 1.0)
    return Estimate(float(np.mean([run[how] for run in runs])), None, None, len(runs)) if runs else None


def difference(runs: Sequence[dict], baseline: Sequence[dict], how: str) -> Difference | None:
    """Paired, over the seeds that both have; None if there is none."""
    others = {run["seed"]: run for run in baseline}
    first = [run for run in runs if run["seed"] in others]
    second = [others[run["seed"]] for run in first]
    if not first:
        return None
    if have_outcomes([*first, *second]):
        return intervals.paired_difference(_matrix(first, how), _matrix(second, how))
    gaps = [a[how] - b[how] for a, b in zip(first, second, strict=True)]
    return intervals.as_difference(known(intervals.over_seeds(gaps, -1.0, 1.0)), gaps)


def have_outcomes(runs: Sequence[dict]) -> bool:
    """Whether all of them, and there are some, kept their outcomes on the same number of problems."""
    return len({run["outcomes"]["problems"] if run.get("outcomes") else None for run in runs} - {None}) == 1 and all(
        run.get("outcomes") for run in runs
    )


def with_intervals(found: dict) -> dict:
    """The numbers of an experiment with every interval worked out anew from its runs."""
    blocks = []
    for block in found["blocks"]:
        compared: list[dict] = next((arm["runs"] for arm in block["arms"] if arm["name"] == found["compare_to"]), [])
        arms = [
            {**arm, **of_arm(arm["runs"], None if arm["name"] == found["compare_to"] else compared)}
            for arm in block["arms"]
        ]
        blocks.append({**block, "arms": arms})
    return {**found, "blocks": blocks}


def over(found: Mapping) -> str:
    """What the intervals of its accuracies are over: "seeds and problems", or "seeds" where outcomes were not kept."""
    runs = [run for block in found["blocks"] for arm in block["arms"] for run in arm["runs"]]
    return "seeds and problems" if have_outcomes(runs) else "seeds"


def _matrix(runs: Sequence[dict], how: str) -> np.ndarray:
    return np.array([unpacked(run["outcomes"], how) for run in runs])


def _as_dict(estimate) -> dict | None:
    return None if estimate is None else asdict(estimate)
