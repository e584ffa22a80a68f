"""Wrong solutions of a bundled run of a real model with what needs its weights, measured when the run was made:
`examples.json` in the run's folder. So a reader without the weights sees the truth by trying and a second reading.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vimpo_core.files import write_whole
from vimpo_core.measure.truth import PrefixValues
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions import lenses, picks
from vimpo_core.types import CreditTrace, StopReason

FILE = "examples.json"
TRIES = 64
_ARRAYS = ("logprob", "ref_logprob", "kl")


@dataclass(frozen=True)
class Example:
    """truth: mean reward from every prefix, by the run's own policy; other: the solution under the policy of `run_id`,
    another run.
    """

    truth: PrefixValues
    run_id: str
    other: CreditTrace


def step_of(run_dir: Path) -> int | None:
    """The step whose solutions were tried; None where nothing was kept."""
    try:
        return int(json.loads((run_dir / FILE).read_text(encoding="utf-8"))["solutions"][0]["step"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def read(run_dir: Path, traces: Sequence[CreditTrace]) -> dict[int, Example]:
    """Index into a step's solutions -> what was kept of it, in the order of keeping; {} where nothing fits the runs
    that are there now.
    """
    try:
        kept = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        for run_id, created in kept["created"].items():
            with RunStore.open(run_dir.parent / run_id) as store:
                if store.header()["created"] != created:
                    return {}
        places = {(trace.step, _ids(trace)): i for i, trace in enumerate(traces)}
        return {
            places[at]: _example(one, kept["other"], traces[places[at]])
            for one in kept["solutions"]
            if (at := (one["step"], tuple(one["ids"]))) in places
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # there is none, or a damaged one: as good as none


def _example(one: dict, run_id: str, trace: CreditTrace) -> Example:
    outcomes = np.array([[c == "1" for c in row] for row in one["outcomes"]], dtype=bool)
    truth = PrefixValues(outcomes, np.array(one["is_exact"], dtype=bool))
    return Example(truth, run_id, trace.with_(**{name: np.array(one[name], np.float32) for name in _ARRAYS}))


def measure(run_dir: Path, other_dir: Path, count: int, tries: int = TRIES) -> dict:
    """The `count` clearest wrong solutions of a run's newest step that has as many, tried by its policy and read by the
    other run's of the same step, ready for JSON. Imports torch.
    """
    from vimpo_core.service.scoring import score_solution, solution_truth

    with RunStore.open(run_dir) as store, RunStore.open(other_dir) as other:
        beta = store.config().beta
        step, traces = _step_with(store, beta, count)
        other_step = step if step in other.snapshot_steps() else other.snapshot_steps()[-1]
        created = {one.run_id: one.header()["created"] for one in (store, other)}
    solutions = []
    for index in clearest(traces, beta)[:count]:
        trace = traces[index]
        asked, ids = (trace.prompt_text, trace.completion_text), tuple(trace.ids.tolist())
        truth = solution_truth(run_dir, step, *asked, tries, ids=ids).policy
        scored = score_solution(other_dir, other_step, *asked, ids=ids)[0]
        solutions.append(
            {
                "step": step,
                "ids": list(_ids(trace)),
                "outcomes": ["".join("1" if hit else "0" for hit in row) for row in truth.outcomes],
                "is_exact": [bool(exact) for exact in truth.is_exact],
                **{name: [float(str(value)) for value in getattr(scored, name)] for name in _ARRAYS},
            }
        )
    return {"created": created, "other": other_dir.name, "solutions": solutions}


def _step_with(store: RunStore, beta: float, count: int) -> tuple[int, list[CreditTrace]]:
    """The newest step with solutions, an adapter and `count` clear examples, else the one with most; its solutions."""
    found = {step: store.traces(step) for step in sorted(set(store.trace_steps()) & set(store.snapshot_steps()))[::-1]}
    step = max(found, key=lambda step: (min(len(clearest(found[step], beta)), count), step))
    return step, found[step]


def keep(run_dir: Path, measured: dict) -> None:
    """Write what was measured, in place of what was kept before."""
    write_whole(run_dir / FILE, json.dumps(measured, allow_nan=False, separators=(",", ":")) + "\n")


def clearest(traces: Sequence[CreditTrace], beta: float) -> list[int]:
    """Wrong solutions that ended, each prompt's once: those whose lowest credit is lowest by the widest margin first.

    Where they go wrong is not asked: the task need not know.
    """
    margins: dict[int, float] = {}
    for index, trace in enumerate(traces):
        delta = lenses.credit_of(trace, beta)
        if delta is None or len(delta) < 2 or picks.is_correct(trace) or trace.finish_reason != StopReason.EOS:
            continue
        lowest, second = np.sort(delta)[:2]
        if lowest < 0:
            margins[index] = float(second - lowest)
    of_prompt: dict[int, int] = {}
    for index in sorted(margins, key=lambda i: -margins[i]):
        of_prompt.setdefault(traces[index].group_id, index)
    return list(of_prompt.values())


def _ids(trace: CreditTrace) -> tuple[int, ...]:
    return (*map(int, trace.prompt_ids), *trace.ids.tolist())
