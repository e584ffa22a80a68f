"""Rows about one wrong solution, kept apart: what each rule pushes its tokens by, and what can be read off a trained
policy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from app import cache
from vimpo_core import credit
from vimpo_core.numbers import fixed
from vimpo_core.runs.folder import RunSummary
from vimpo_core.solutions import lenses
from vimpo_core.solutions.steps import step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.tasks.registry import task_of
from vimpo_core.types import CreditTrace, known
from vimpo_core.views import credit_rows, rules_view
from vimpo_core.views.payload import round_up

_PUSHED = ("grpo", "vimpo")
_KEPT = 64
_FAINT = 0.5
"""Of a rule's usual push in the step."""
_SETTLED = 0.1
"""Of R - group mean: a residual below this leaves the value loss next to nothing to push."""
_PALE = 0.2
"""Of R - group mean: credits below this have next to no colour beside GRPO's row."""


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def pushes(folder: Path, run_id: str, created: str, step: int, index: int, _config) -> dict[str, np.ndarray]:
    """rule -> its push on each token of a solution, as Inspect's Every rule shows it at the run's own beta and
    lambda.
    """
    traces = cache.traces(folder, run_id, created, step)
    batch = rules_view.batch_of(traces, _config.at(step), task_of(_config).max_new_tokens)
    judged = rules_view.judge(batch, _PUSHED)
    return {key: rules_view.push_of(batch, one, index) for key, one in judged.items()}


def credit_payload(folder: Path, run: RunSummary, step: int, index: int) -> dict:
    """What the component `credit_rows` draws of a recorded solution: with the reading of another bundled run's policy
    where that was kept.
    """
    trace, others = cache.traces(folder, run.run_id, run.created, step)[index], {}
    other = cache.second_reading_of(folder, run, step)
    if other is not None and index in other.traces:
        algorithm = next(one.algorithm for one in cache.summaries(folder) if one.run_id == other.run_id)
        others = {algorithm: other.traces[index]}
    return credit_rows.credit_rows(trace, run.config.at(step), others)


def how_hard(folder: Path, run: RunSummary, step: int, index: int) -> str:
    """What the credit of both rules becomes as a push, by the numbers of Every rule; and why VIMPO's is faint where its
    value loss has nothing left to ask for, or strong where its row is pale.
    """
    found = pushes(folder, run.run_id, run.created, step, index, run.config)
    trace, config = cache.traces(folder, run.run_id, run.created, step)[index], run.config.at(step)
    hardest = {key: float(np.abs(push).max(initial=0)) for key, push in found.items()}
    asked = trace.reward - trace.group_mean_reward
    delta = known(lenses.credit_of(trace, config.beta))
    carried = credit.gae(delta[None], np.asarray(trace.mask, bool)[None], config.gae_lambda)[0]
    why = ""
    if hardest["vimpo"] < _FAINT and abs(float(delta.sum()) - asked) < _SETTLED * abs(asked):
        why = ": faint, as its δ already add up to what its value loss asks"
    elif hardest["vimpo"] > hardest["grpo"] and np.abs(carried).max() < _PALE * abs(asked):
        why = ": more than its pale row lets expect, as credits so small in the whole batch are scaled up"
    return (
        f"Once scaled, GRPO’s push is {fixed(hardest['grpo'])} times its usual one, VIMPO’s, at λ "
        f"{config.gae_lambda:g}, {fixed(hardest['vimpo'])} times{why}."
    )


def solution(trace: CreditTrace) -> dict:
    """The tokens themselves, as `aligned_strips` takes them."""
    return {
        "text": [visible_text(text) for text in trace.text],
        "line_starts": step_starts(trace),
    }


def scale_of(arrays, unit: str) -> dict:
    """One symmetric colour scale for several rows."""
    largest = max(float(abs(values).max(initial=0)) for values in arrays)
    return {"max": round_up(largest), "signed": True, "unit": unit, "decimals": 2}


def numbers(values: np.ndarray) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def points(trace: CreditTrace, token: int) -> str:
    said = f"at #{token} “{visible_text(trace.text[token])}”" if token < len(trace.text) else ""
    return said + (", the mistake" if token == trace.first_wrong else "")
