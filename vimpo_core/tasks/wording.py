"""How a problem in words is put to a model, and where in what it writes the answer is looked for. Pure text.

plain      the problem as it is
few-shot   three solved problems of the training split before it, "Problem: ... Answer: ..."
chat       the model's own chat template, with a sentence that says how to give the answer
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vimpo_core.tasks import Chat
from vimpo_core.types import Problem, StopReason

EXAMPLES = 3
"""Solved problems of the style few-shot."""
LONGEST = 20_000
"""Characters at the end of a solution in which an answer is looked for."""


@dataclass(frozen=True)
class Reading:
    """Where the answer stands: in words, and the sentence that asks for it there ("" for none)."""

    words: str
    asks: str = ""


READINGS: dict[str, Reading] = {
    "all": Reading("the whole solution"),
    "line": Reading("its first line", "Give only the answer, in one line."),
    "number": Reading("the last number in it", "End with the answer as a number."),
    "tags": Reading("inside its last <answer></answer>", "Put the final answer inside <answer></answer>."),
    "marked": Reading(r"inside its last \boxed{}, else after its last ####", r"Put the final answer inside \boxed{}."),
}
"""Choice of the option `read` -> what it does."""

_NUMBER = re.compile(r"[-+\u2212]?(?:[0-9][0-9,]*+(?:\.[0-9]++)?+|\.[0-9]++)(?:/[0-9]++)?+")
_TAGS = re.compile(r"<answer>((?:(?!</?answer>).)*+)</answer>", re.DOTALL | re.IGNORECASE)


def read_answer(how: str, completion: str, finish: StopReason, budget: int) -> tuple[str, str]:
    """(answer, "") of a solution, or ("", why there is none). Any text at all is fine; linear time.

    how: one of `READINGS` but "marked", which the judge of numbers reads itself. A solution that was cut off has an
    answer only where a mark closes it: half a number is none.
    """
    text = completion[-LONGEST:]
    if how == "tags":
        inside = _TAGS.findall(text)
        return (inside[-1].strip(), "") if inside else ("", "there is no <answer></answer> in the solution")
    if how == "line":
        lines = text.lstrip().split("\n", 1)
        if len(lines) == 1 and finish is not StopReason.EOS:
            return "", _cut_off(budget)
        return lines[0].strip(), "" if lines[0].strip() else "the answer is empty"
    if finish is not StopReason.EOS:
        return "", _cut_off(budget)
    if how == "number":
        numbers = _NUMBER.findall(text)
        return (numbers[-1].rstrip(","), "") if numbers else ("", "there is no number in the solution")
    return text.strip(), "" if text.strip() else "the answer is empty"


def _cut_off(budget: int) -> str:
    return f"the solution did not end within {budget} tokens"


def render(style: str, problem: Problem, examples: Sequence[Problem], asks: str, chat: Chat) -> str:
    """The text that the model reads. examples: solved problems for few-shot; asks: the sentence for chat."""
    if style == "few-shot":
        solved = [p for p in examples if p.prompt != problem.prompt][:EXAMPLES]
        shown = [f"Problem: {p.prompt}\nAnswer: {p.gold}\n\n" for p in solved]
        return "".join(shown) + f"Problem: {problem.prompt}\nAnswer:"
    if style == "chat":
        return chat([{"role": "user", "content": f"{problem.prompt}\n\n{asks}" if asks else problem.prompt}])
    return problem.prompt
