"""Rows about one wrong solution, kept apart: what each rule pushes its tokens by, and what can be read off a trained
policy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from app import cache
from app.components.aligned_strips import Row
from vimpo_core.numbers import fixed, signed
from vimpo_core.rules import RULES
from vimpo_core.runs.folder import RunSummary
from vimpo_core.service import second_reading
from vimpo_core.service.second_reading import SecondReading
from vimpo_core.solutions import lenses
from vimpo_core.solutions.steps import step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.tasks.registry import task_of
from vimpo_core.types import CreditTrace, known
from vimpo_core.views import rules_view
from vimpo_core.views.payload import round_up

PUSH_HEADING = "What each rule pushes, at the λ it trains with"
PUSH_NOTE = (
    "Minus the gradient of the rule's loss in each token's log-probability, over its root mean square on all tokens "
    "of the step. One scale: −{scale:g} (orange) to +{scale:g} (blue)."
)
READ_HEADING = "What can be read off a trained policy: credit δ"
READ_NOTE = (
    "How far training moved this token's probability from where it began, in reward units. It is a reading, not a "
    "push. One scale: −{scale:g} (orange) to +{scale:g} (blue)."
)
_PUSHED = ("grpo", "vimpo")
_KEPT = 64
_FAINT = 0.5
"""Of a rule's usual push in the step."""
_SETTLED = 0.1
"""Of R - group mean: a residual below this leaves the value loss next to nothing to push."""


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def pushes(folder: Path, run_id: str, created: str, step: int, index: int, _config) -> dict[str, np.ndarray]:
    """rule -> its push on each token of a solution, as Inspect's Every rule shows it at the run's own beta and
    lambda.
    """
    traces = cache.traces(folder, run_id, created, step)
    batch = rules_view.batch_of(traces, _config.at(step), task_of(_config).max_new_tokens)
    judged = rules_view.judge(batch, _PUSHED)
    return {key: rules_view.push_of(batch, one, index) for key, one in judged.items()}


def second(folder: Path, run: RunSummary, step: int) -> SecondReading | None:
    """The step's wrong solutions under the policy of another bundled run, where that was kept."""
    others = tuple((other.run_id, other.created) for other in cache.summaries(folder))
    file = folder / run.run_id / second_reading.FILE
    written = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None
    return _second((*cache.origin(folder, run), others, written), folder, run, step)


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _second(origin: tuple, _folder: Path, _run: RunSummary, step: int) -> SecondReading | None:
    """Kept by the run, the base model's files, the folder's other runs and the file that was kept."""
    traces = cache.traces(_folder, _run.run_id, _run.created, step)
    return second_reading.read(_folder / _run.run_id, traces)


def how_hard(folder: Path, run: RunSummary, step: int, index: int) -> str:
    """What the credit of both rules becomes as a push, by the numbers of Every rule; and why VIMPO's is faint where its
    value loss has nothing left to ask for.
    """
    found = pushes(folder, run.run_id, run.created, step, index, run.config)
    trace, config = cache.traces(folder, run.run_id, run.created, step)[index], run.config.at(step)
    hardest = {key: float(np.abs(push).max(initial=0)) for key, push in found.items()}
    asked = trace.reward - trace.group_mean_reward
    added = float(known(lenses.credit_of(trace, config.beta)).sum())
    is_faint = hardest["vimpo"] < _FAINT and abs(added - asked) < _SETTLED * abs(asked)
    why = ": faint, as its δ already add up to what its value loss asks" if is_faint else ""
    return (
        f"Once scaled, GRPO’s push is {fixed(hardest['grpo'])} times its usual one, VIMPO’s, at λ "
        f"{config.gae_lambda:g}, {fixed(hardest['vimpo'])} times{why}."
    )


def push_rows(folder: Path, run: RunSummary, step: int, index: int) -> list[Row]:
    """GRPO's and VIMPO's push on one scale. The run's own rule pushes; the other would, on the same solutions."""
    found = pushes(folder, run.run_id, run.created, step, index, run.config)
    scale = scale_of(found.values(), "")
    rows = []
    for key, push in found.items():
        label = f"{RULES[key].name} {'pushes' if key == run.algorithm else 'would push'}"
        rows.append(Row(label, span(push), numbers(push), scale))
    return _headed(rows, PUSH_HEADING, PUSH_NOTE, scale)


def reading_rows(folder: Path, run: RunSummary, step: int, index: int) -> list[Row]:
    """delta_t read off the run's policy and, on the same tokens, off that of another bundled run; at this run's
    beta.
    """
    trace = cache.traces(folder, run.run_id, run.created, step)[index]
    read_by = {run.algorithm: trace}
    if (other := second(folder, run, step)) and index in other.traces:
        algorithm = next(r.algorithm for r in cache.summaries(folder) if r.run_id == other.run_id)
        read_by[algorithm] = other.traces[index]
    return rows_of_readings(read_by, trace, run.config.beta)


def rows_of_readings(read_by: dict[str, CreditTrace], trace: CreditTrace, beta: float) -> list[Row]:
    """delta_t of one solution as policies read it, by the rule that trained them, on one scale."""
    found = {key: lenses.credit_of(one, beta) for key, one in read_by.items()}
    scale = scale_of(found.values(), "reward")
    rows = [
        Row(
            f"δ, {RULES[key].name}-trained",
            f"lowest {points(trace, int(delta.argmin()))}, {signed(delta.min())}",
            numbers(delta),
            scale,
            (int(delta.argmin()),),
        )
        for key, delta in found.items()
    ]
    return _headed(rows, READ_HEADING, READ_NOTE, scale)


def solution(trace: CreditTrace) -> dict:
    """The tokens themselves, as `aligned_strips` takes them."""
    return {
        "text": [visible_text(text) for text in trace.text],
        "line_starts": step_starts(trace),
    }


def _headed(rows: list[Row], heading: str, note: str, scale: dict) -> list[Row]:
    return [rows[0].under(heading, note.format(scale=scale["max"])), *rows[1:]]


def scale_of(arrays, unit: str) -> dict:
    """One symmetric colour scale for several rows."""
    largest = max(float(abs(values).max(initial=0)) for values in arrays)
    return {"max": round_up(largest), "signed": True, "unit": unit, "decimals": 2}


def numbers(values: np.ndarray) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def span(push: np.ndarray) -> str:
    """What a row of pushes amounts to: "−3.71 on every token", or "−0.28 to −0.27 on 20 of 22 tokens"."""
    if rules_view.is_flat(push):
        return f"{signed(push[0])} on every token"
    same = push[push < 0] if (push < 0).sum() * 2 >= len(push) else push[push > 0]
    if not len(same):
        return f"{signed(push.min())} to {signed(push.max())}"
    ends = dict.fromkeys((signed(same.min()), signed(same.max())))
    return f"{' to '.join(ends)} on {len(same)} of {len(push)} tokens"


def points(trace: CreditTrace, token: int) -> str:
    said = f"at #{token} “{visible_text(trace.text[token])}”" if token < len(trace.text) else ""
    return said + (", the mistake" if token == trace.first_wrong else "")
