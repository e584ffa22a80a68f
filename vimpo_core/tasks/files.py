"""Problems of a person's own file: `file:PATH?prompt=COLUMN&answer=COLUMN`, judged by the exact comparison of
`verifier`, or as text.

A row whose answer the judge itself cannot read is no problem: it is left out and counted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import tables
from vimpo_core.tasks.spec import Spec
from vimpo_core.tasks.splits import split_of
from vimpo_core.tasks.tables import Table
from vimpo_core.tasks.worded import WordedTask, check_options
from vimpo_core.types import Problem, Verdict, VerdictStatus
from vimpo_core.verifier import check_answer, printable, verify

COMPARE = ("number", "text")
_OPTIONS = {
    "prompt": (),
    "answer": (),
    "encoding": (),
    "read": ("marked", "line", "number", "tags", "all"),
    "ask": (),
    "compare": COMPARE,
}


def check(spec: Spec) -> None:
    """Raise Mistake where the setting names no file or has an option that there is not; nothing is opened."""
    if not spec.argument.strip():
        raise Mistake(f"task {spec.kind} needs the path of a file. Write {spec.kind}:PATH.")
    check_options(spec, _OPTIONS)
    options = dict(spec.options)
    if options.get("compare") == "text" and options.get("read") in ("number", "marked"):
        raise Mistake(f"task option read={options['read']} finds a number, and compare=text compares words. Drop one.")


@dataclass(frozen=True)
class FileTask(WordedTask):
    """Rows of a file."""

    readings: ClassVar[tuple[str, ...]] = _OPTIONS["read"]

    @property
    def read(self) -> str:
        options = dict(self.spec.options)
        usual = "line" if self.style == "few-shot" or options.get("compare") == "text" else "marked"
        return options.get("read", usual)

    @property
    def _compares_text(self) -> bool:
        return dict(self.spec.options).get("compare") == "text"

    def table(self) -> Table:
        """Raises Mistake where the file cannot be read."""
        return table_of(self.spec)

    def source(self) -> dict[str, str]:
        return {Path(self.spec.argument).name: f"sha256 {tables.fingerprint(self.spec.argument)}"}

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        found = _by_split(self.spec, self.table())[split]
        return random.Random(seed).sample(found, min(count, len(found)))

    def everything(self, most: int) -> list[Problem]:
        return [Problem(prompt, gold_of(cell)) for prompt, cell in self.table().rows[:most]]

    def facts(self) -> dict[str, str]:
        refused = len(self.table().rows) - len(accepted(self.spec, self.table().rows))
        compared = "as text" if self._compares_text else "as exact numbers"
        return facts_of(self.table()) | {"compared": f"{compared}; {refused} gold answers cannot be, and are left out"}

    def state(self, prompt: str) -> Problem:
        return stated(self.spec, self.table(), prompt)

    def judged(self, asked: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        return [self._judge(problem.gold, text) for problem, text in asked]

    def _judge(self, gold: str, text: str) -> Verdict:
        if self._compares_text:
            return compare_texts(text, gold)
        try:
            return verify(text, gold) if self.read == "marked" else check_answer(text, gold)
        except Mistake as error:  # of the gold answer
            return Verdict(VerdictStatus.REJECTED, reason=str(error))


def compare_texts(answer: str, gold: str) -> Verdict:
    """The same words: upper and lower case, space and a final period are forgiven."""
    shown, same = printable(answer), _folded(answer) == _folded(gold)
    if same:
        return Verdict(VerdictStatus.CORRECT, shown)
    return Verdict(VerdictStatus.INCORRECT, shown, f"The answer {shown} is not {printable(gold)}.")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".")


def table_of(spec: Spec) -> Table:
    options = dict(spec.options)
    return tables.read_table(
        spec.argument, options.get("prompt", ""), options.get("answer", ""), options.get("encoding", "")
    )


def facts_of(table: Table) -> dict[str, str]:
    """Columns and rows of a table, in words."""
    left = ", ".join(f"{count} {why}" for why, count in table.left_out.items())
    return {
        "columns": f"prompt {table.prompt!r}, answer {table.answer!r} of {', '.join(map(repr, table.columns[:12]))}",
        "rows": f"{len(table.rows)}" + (f"; left out: {left}" if left else ""),
    }


def gold_of(cell: str) -> str:
    """The answer of a cell that may hold the way to it: after its last ####, as GSM8K has it."""
    return cell.rsplit("####", 1)[-1].strip()


def refusal(spec: Spec, gold: str) -> str:
    """Why the task's own judge refuses a gold answer; "" where it does not."""
    if dict(spec.options).get("compare") == "text":
        return "" if _folded(gold) else "it is empty"
    try:
        return check_answer(gold, gold).reason
    except Mistake as error:
        return str(error)


@lru_cache(maxsize=4)
def accepted(spec: Spec, rows: tuple[tuple[str, str], ...]) -> dict[str, Problem]:
    """The rows whose answer the judge can read, by prompt."""
    golds = ((prompt, gold_of(cell)) for prompt, cell in rows)
    return {prompt: Problem(prompt, gold) for prompt, gold in golds if not refusal(spec, gold)}


def _by_split(spec: Spec, table: Table) -> dict[str, list[Problem]]:
    found = accepted(spec, table.rows)
    if not found:
        gold = gold_of(table.rows[0][1])
        raise Mistake(
            f"none of the {len(table.rows)} answers in {Path(spec.argument).name}, column {table.answer!r}, can be "
            f"compared: {refusal(spec, gold)} Choose another column, or compare=text."
        )
    return _splits(spec, table.rows)


@lru_cache(maxsize=4)
def _splits(spec, rows) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {"train": [], "validation": [], "test": []}
    for problem in accepted(spec, rows).values():
        found[split_of(problem.prompt)].append(problem)
    return found


def stated(spec: Spec, table: Table, prompt: str) -> Problem:
    """The problem of a prompt of the file. Raises Mistake for another one: nobody knows its answer."""
    found = accepted(spec, table.rows).get(prompt.strip())
    if found is None:
        raise Mistake(
            f"this is none of the {len(table.rows)} problems of {Path(spec.argument).name}, got {prompt[:60]!r}. "
            "Choose one of them."
        )
    return found
