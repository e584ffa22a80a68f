"""Where the steps of a solution begin, and what happened at its first wrong token, as far as its task can tell."""

from __future__ import annotations

import numpy as np

from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.tasks.registry import task_that_asks
from vimpo_core.types import CreditTrace, Problem, StopReason

_LONGEST_NOTE = 60


def step_starts(trace: CreditTrace) -> list[int]:
    """Index of the first token of each step: lines where the solution has some, else what its task takes for steps.

    A step begins with the token that holds its first character, be it ";1".
    """
    if not trace.text:
        return []
    last = len(trace.text) - 1
    if any("\n" in t for t in trace.text):
        return [0, *(i + 1 for i, t in enumerate(trace.text) if i < last and "\n" in t)]
    if (task := task_that_asks(trace.prompt_text, trace.config)) is None:
        return [0]
    # The end token is no separator, whatever its own text: "</s>".
    body = trace.text[:last] if trace.finish_reason == StopReason.EOS else trace.text
    after = task.step_starts("".join(body))
    ends = np.cumsum([len(t) for t in trace.text])
    return sorted({0, *(int(i) for i in np.searchsorted(ends, after, side="right") if i <= last)})


def mistake_note(trace: CreditTrace) -> str:
    """What happened at the first wrong token, as far as the task can tell; "" when nothing is wrong."""
    if trace.first_wrong is None:
        return ""
    task = task_that_asks(trace.prompt_text, trace.config)
    slip = task and task.mistake(Problem(trace.prompt_text, trace.gold), trace.written(task.end))
    note = visible_text(slip) if slip else "first wrong token"
    return note if len(note) <= _LONGEST_NOTE else note[: _LONGEST_NOTE - 1] + "…"
