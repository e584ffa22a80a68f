"""What a picture or a film says of itself, so that it can be understood alone: the problem, whose solution it is, how
it ended, and what its numbers were read with.

Everything here came from a model or a file: it is made visible and goes on as plain text.
"""

from __future__ import annotations

import math

from vimpo_core.rules import RULES
from vimpo_core.solutions import picks
from vimpo_core.solutions.steps import drop_text, mistake_note
from vimpo_core.solutions.visible_text import visible_lines, visible_text
from vimpo_core.types import CreditTrace, StopReason, VerdictStatus

LONGEST_PROBLEM, MOST_LINES = 500, 6
"""Characters and lines of a prompt that stand above a picture: the last ones, since what is asked stands at the end."""


def about_solution(
    trace: CreditTrace, run: str, beta: float, gae_lambda: float | None, *, is_typed: bool = False
) -> dict:
    """{"title": the problem, "facts": lines below it}.

    run: from `run_words`; gae_lambda: None where nothing is read with it.
    """
    where = "Typed by hand" if is_typed else f"Solution {trace.sample_idx + 1} of prompt {trace.group_id}"
    return {
        "title": problem_words(trace.prompt_text),
        "facts": [
            f"{run}, after step {trace.step} of training",
            f"{where}: {verdict(trace)}",
            f"Read with β {beta:g} (reward per nat)" + ("" if gae_lambda is None else f" and λ {gae_lambda:g}"),
        ],
    }


def about_film(trace: CreditTrace, run: str, beta: float, gae_lambda: float, *, is_typed: bool = False) -> dict:
    """The same of a solution that was scored again under every saved policy."""
    about = about_solution(trace, run, beta, gae_lambda, is_typed=is_typed)
    return about | {"facts": [f"{run}: each saved policy reads the same solution", *about["facts"][1:]]}


def about_step(run: str, step: int, beta: float) -> dict:
    """The same of all solutions of a step."""
    return {"title": run, "facts": [f"All solutions of step {step}, read with β {beta:g} (reward per nat)"]}


def problem_words(prompt: str) -> str:
    """The prompt, of a long one its end."""
    text = "\n".join(line for line in prompt.replace("\r\n", "\n").split("\n") if line.strip())
    lines = visible_lines(text[-LONGEST_PROBLEM:], LONGEST_PROBLEM).split("\n")
    shown = "\n".join(lines[-MOST_LINES:])
    return shown if len(text) <= LONGEST_PROBLEM and len(lines) <= MOST_LINES else f"… {shown}"


def run_words(name: str, run_id: str, algorithm: str, tool: str = "") -> str:
    """Which run it is: by its rule, or by the tool that recorded it."""
    called = f"“{visible_text(name)}” ({run_id})" if name and name != run_id else f"“{run_id}”"
    return f"Run {called} from {visible_text(tool)}" if tool else f"{RULES[algorithm].name} run {called}"


def verdict(trace: CreditTrace) -> str:
    """Right or wrong, answer and gold, first wrong token or largest true drop, as one plain line."""
    judged = picks.judgement(trace)
    mark = "✓" if picks.is_correct(trace) else "–" if trace.status == VerdictStatus.REJECTED else "✕"
    parts = [f"{mark} {judged}" if picks.is_judged(trace) else f"reward {reward_text(trace)}, not judged here"]
    parts.append(f"answer {visible_text(trace.answer)}" if trace.answer else "")
    parts.append(f"gold {visible_text(trace.gold)}" if trace.gold else "")
    if trace.first_wrong is not None:
        note = mistake_note(trace)
        parts.append(f"first wrong token #{trace.first_wrong}" + (f": {note}" if note != "first wrong token" else ""))
    if trace.largest_drop is not None:
        parts.append(drop_text(trace))
    parts.append("cut off before an end token" if trace.finish_reason == StopReason.LENGTH else "")
    return " · ".join(part for part in parts if part)


def reward_text(trace: CreditTrace) -> str:
    return "not recorded" if math.isnan(trace.reward) else f"{trace.reward:g}"
