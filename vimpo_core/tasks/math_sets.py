"""Competition mathematics as it is published: `math:PATH`, judged by the library Math-Verify in a process of its own.

Read as they are: MATH-500 (`problem`, `answer`), AIME 2024 and 2025 (`problem` or `question`, `answer`), OlympiadBench
(`question`, `final_answer`, a list). Math-Verify reads LaTeX in general, and may run for minutes on what a model
writes: it never runs in the process that trains or shows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import tables
from vimpo_core.tasks.files import facts_of, table_of
from vimpo_core.tasks.judge_process import Failed, judge_process
from vimpo_core.tasks.spec import Spec
from vimpo_core.tasks.splits import split_of
from vimpo_core.tasks.tables import Table
from vimpo_core.tasks.worded import WordedTask, check_options
from vimpo_core.types import Problem, Verdict, VerdictStatus
from vimpo_core.verifier import printable

_OPTIONS = {"prompt": (), "answer": (), "encoding": (), "read": ("marked", "line", "tags", "all"), "ask": ()}
_SECONDS = 120
_golds: dict[str, str] = {}
"""Gold answer -> why its judge refuses it, "" where it does not; asked once a program."""


def check(spec: Spec) -> None:
    """As `files.check`."""
    if not spec.argument.strip():
        raise Mistake(f"task {spec.kind} needs the path of a file. Write {spec.kind}:PATH.")
    check_options(spec, _OPTIONS)


@dataclass(frozen=True)
class MathTask(WordedTask):
    """Problems of a published set."""

    usual_budget: ClassVar[int] = 512
    readings: ClassVar[tuple[str, ...]] = _OPTIONS["read"]

    def table(self) -> Table:
        """Raises Mistake where the file cannot be read."""
        return table_of(self.spec)

    def source(self) -> dict[str, str]:
        name = Path(self.spec.argument).name
        return {name: f"sha256 {tables.fingerprint(self.spec.argument)}", "math-verify": _judge_version()}

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        rows = [Problem(*row) for row in self.table().rows if split_of(row[0]) == split]
        random.Random(seed).shuffle(rows)
        found: list[Problem] = []
        at = 0
        while len(found) < count and at < len(rows):
            some = rows[at : at + count - len(found)]
            at += len(some)
            refused = refusals([p.gold for p in some])
            found += [p for p, why in zip(some, refused, strict=True) if not why]
        return found

    def everything(self, most: int) -> list[Problem]:
        return [Problem(*row) for row in self.table().rows[:most]]

    def facts(self) -> dict[str, str]:
        return facts_of(self.table())

    def state(self, prompt: str) -> Problem:
        found = dict(self.table().rows).get(prompt.strip())
        if found is None:
            raise Mistake(
                f"this is none of the {len(self.table().rows)} problems of {Path(self.spec.argument).name}, got "
                f"{prompt[:60]!r}. Choose one of them."
            )
        return Problem(prompt.strip(), found)

    def judged(self, asked: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        found = _process().map("compare", [(problem.gold, text) for problem, text in asked])
        return [_verdict(problem.gold, one) for (problem, _), one in zip(asked, found, strict=True)]


def _verdict(gold: str, found) -> Verdict:
    if isinstance(found, Failed):
        return Verdict(VerdictStatus.REJECTED, reason=str(found))
    is_right, answer = found
    shown = printable(answer)
    if is_right:
        return Verdict(VerdictStatus.CORRECT, shown)
    if not answer:
        return Verdict(VerdictStatus.REJECTED, reason="no mathematical answer was found in the solution")
    return Verdict(VerdictStatus.INCORRECT, shown, f"The answer {shown} is not {printable(gold)}.")


def refusals(golds: Sequence[str]) -> list[str]:
    """Why the judge refuses each gold answer; "" where it does not."""
    missing = [gold for gold in dict.fromkeys(golds) if gold not in _golds]
    for gold, found in zip(missing, _process().map("refusal", missing), strict=True):
        _golds[gold] = str(found)
    return [_golds[gold] for gold in golds]


def _process():
    return judge_process("vimpo_core.tasks.math_library")


def _judge_version() -> str:
    found = _process().call("version_of", "math-verify", seconds=_SECONDS)
    if isinstance(found, Failed):
        raise Mistake(f"Math-Verify cannot be asked: {found}.")
    return found
