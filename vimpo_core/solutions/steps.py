"""Where the steps of a solution begin, and what happened at its first wrong token, as far as its task can tell."""

from __future__ import annotations

import numpy as np

from vimpo_core.numbers import signed
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.tasks.registry import task_that_asks
from vimpo_core.types import CreditTrace, Problem, StopReason, known

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


def word_starts(trace: CreditTrace) -> list[int]:
    """Index of each token that begins a word, a line or a step."""
    spaced = (i for i, text in enumerate(trace.text) if text[:1].isspace() or (i and trace.text[i - 1].endswith("\n")))
    return sorted({*step_starts(trace), *spaced})


def verifies_steps(trace: CreditTrace) -> bool:
    """Whether it is known where a solution first goes wrong; else its largest true drop stands for that."""
    if trace.first_wrong is not None:
        return True
    task = task_that_asks(trace.prompt_text, trace.config)
    return task is not None and task.verifies_steps


def drop_text(trace: CreditTrace) -> str:
    """The largest true drop that was measured, with its interval, in words."""
    drop = known(trace.largest_drop)
    bounds = f"{signed(-drop.drop, 2)}, 95% {signed(-drop.high, 2)} to {signed(-drop.low, 2)}"
    if not drop.is_clear:
        return f"no true drop above noise: the largest, at #{drop.token}, is {bounds}"
    token = visible_text(trace.text[drop.token])
    fall = f"mean reward {drop.before:.2f} to {drop.after:.2f}"
    return f"largest true drop #{drop.token} “{token}”: {fall} ({bounds})"


def mark_note(trace: CreditTrace) -> str:
    """What stands under the token that is marked: `mistake_note`, or how far the true drop is."""
    drop = trace.largest_drop
    if trace.first_wrong is not None or drop is None or not drop.is_clear:
        return mistake_note(trace)
    return f"true drop {drop.before:.2f} to {drop.after:.2f}"


def mistake_note(trace: CreditTrace) -> str:
    """What happened at the first wrong token, as far as the task can tell; "" when nothing is wrong."""
    if trace.first_wrong is None:
        return ""
    task = task_that_asks(trace.prompt_text, trace.config)
    slip = task and task.mistake(Problem(trace.prompt_text, trace.gold), trace.written(task.end))
    note = visible_text(slip) if slip else "first wrong token"
    return note if len(note) <= _LONGEST_NOTE else note[: _LONGEST_NOTE - 1] + "…"
