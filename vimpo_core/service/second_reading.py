"""A run's solutions as the policy of another run reads them, kept with a bundled run: `second_reading.json` in its
folder.

Credit delta_t is read off a policy and its reference, whatever trained the policy. Wrong solutions of the last step are
scored under another run's last policy, so that both readings stand on the same tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vimpo_core.files import write_whole
from vimpo_core.measure.scorecard import is_localisable
from vimpo_core.runs.store import RunStore
from vimpo_core.service.kept_reports import fingerprint
from vimpo_core.service.progress import Progress
from vimpo_core.types import CreditTrace

FILE = "second_reading.json"
_ARRAYS = ("logprob", "ref_logprob", "kl")


@dataclass(frozen=True)
class SecondReading:
    """`traces`: index into a step's solutions -> the solution under the policy of run `run_id` at its step `step`."""

    run_id: str
    step: int
    traces: dict[int, CreditTrace]


def read(run_dir: Path, traces: Sequence[CreditTrace]) -> SecondReading | None:
    """What was kept for the solutions of a step; None where nothing was, or where the other policy has changed
    since.
    """
    try:
        kept = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        with RunStore.open(run_dir.parent / kept["run_id"]) as other:
            if kept["fingerprint"] is None or kept["fingerprint"] != fingerprint(other, kept["step"]):
                return None
        scored = {tuple(one["ids"]): one for one in kept["solutions"]}
        found = {
            i: trace.with_(**{name: np.array(scored[ids][name], np.float32) for name in _ARRAYS})
            for i, trace in enumerate(traces)
            if (ids := (*trace.prompt_ids, *trace.ids.tolist())) in scored
        }
    except (OSError, ValueError, LookupError, TypeError):
        return None  # there is none, or a damaged one: as good as none
    return SecondReading(kept["run_id"], kept["step"], found) if found else None


def measure(run_dir: Path, other_dir: Path) -> dict:
    """The localisable wrong solutions of a run's last step under the other run's last policy, ready for JSON. Imports
    torch.
    """
    from vimpo_core.service.scoring import score_solution

    with RunStore.open(run_dir) as store:
        wrong = [trace for trace in store.traces(store.trace_steps()[-1]) if is_localisable(trace)]
    with RunStore.open(other_dir) as other:
        step = other.snapshot_steps()[-1]
        kept: dict = {
            "run_id": other.run_id,
            "step": step,
            "fingerprint": fingerprint(other, step),
            "solutions": [],
        }
    for trace in wrong:
        ids = tuple(trace.ids.tolist())
        scored = score_solution(other_dir, step, trace.prompt_text, trace.completion_text, ids=ids)[0]
        arrays = {name: [float(str(value)) for value in getattr(scored, name)] for name in _ARRAYS}
        kept["solutions"].append({"ids": [*trace.prompt_ids, *ids], **arrays})
    return kept


def read_now(
    run_dir: Path,
    step: int,
    solutions: Sequence[tuple[str, str, tuple[int, ...]]],
    progress: Progress | None = None,
) -> list[CreditTrace]:
    """Solutions (prompt, text, tokens) of any run under a run's policy at a step whose adapter was kept, in order.

    Imports torch. Raises Mistake as `scoring.score_solution`.
    """
    from vimpo_core.service.scoring import score_solution

    found = []
    for prompt, text, ids in solutions:
        found += score_solution(run_dir, step, prompt, text, top_k=0, ids=ids)
        if progress is not None:
            progress.tell(len(found), len(solutions))
    return found


def keep(run_dir: Path, measured: dict) -> None:
    """Write what was measured, in place of what was kept before."""
    write_whole(run_dir / FILE, json.dumps(measured, allow_nan=False, separators=(",", ":")) + "\n")
