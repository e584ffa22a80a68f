"""What a task asks, looked at before a run: its splits, its first problems, and what its own judge says of the gold
answers, of an empty solution and of one that merely contains the right answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Answer, Task, registry
from vimpo_core.tasks.registry import Settings
from vimpo_core.tasks.splits import SPLITS, split_of
from vimpo_core.tasks.worded import WordedTask
from vimpo_core.tasks.wording import READINGS
from vimpo_core.types import Problem, StopReason, Verdict

FIRST = 8
"""Problems that are shown."""
MOST = 2_000
"""Problems whose gold answers are put to the judge."""
SHOWN = 300
"""Characters of a text in a report."""


@dataclass(frozen=True)
class Row:
    """A problem with what the judge makes of its own gold answer, and of a wrong one that contains it: `near_reward`
    with partial credit kept; nothing with `partial_rewards exact`.
    """

    prompt: str
    gold: str
    split: str
    gold_status: str
    gold_reason: str
    near_answer: str
    near_reward: float


@dataclass(frozen=True)
class Look:
    """facts: what there is to know of the task, in words; splits: problems in each, of `looked_at`; refused: gold
    answers that the task's own judge refuses; refusals: the first of them with the reason; without_gold: problems
    that come without an answer; rows: the first problems.
    """

    task: str
    facts: dict[str, str]
    looked_at: int
    splits: dict[str, int]
    refused: int
    refusals: list[tuple[str, str]]
    without_gold: int
    rows: list[Row]
    longest_prompt: int | None = None
    context: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "rows": [vars(row) for row in self.rows]}


Length = Callable[[Task, Sequence[Problem]], tuple[int, int | None]]
"""Tokens of the longest prompt, and the model's context (None: no limit)."""


def look(config: Settings, first: int = FIRST, length: Length | None = None) -> Look:
    """Look at a run's task. Opens its file, starts its judge.

    Args:
        first: problems to show. length: measures prompts with a model.

    Raises:
        Mistake: the task cannot be made, or has no problem whose gold answer its judge accepts.
    """
    task = registry.task_of(config)
    facts = {"prompts": f"{task.prompt_style}, at most {task.max_new_tokens} new tokens"}
    if isinstance(task, WordedTask):
        facts |= {"answer": READINGS[task.read].words} | task.facts()
        problems = task.everything(MOST)
    else:
        problems = [problem for split in SPLITS for problem in task.problems(f"look/{split}", split, 100)]
    verdicts = task.verify_all([_answer(task, p, p.gold) for p in problems])
    with_gold = [(p, v) for p, v in zip(problems, verdicts, strict=True) if p.gold]
    refused = [(p, v) for p, v in with_gold if v.reward < 1]
    if not problems or len(refused) == len(problems):
        why = f": {refused[0][1].reason}" if refused else ""
        raise Mistake(f"task {task.name[:200]} has no problem whose gold answer its own judge accepts{why}")
    longest, context = length(task, problems) if length else (None, None)
    splits = Counter(split_of(p.prompt) for p in problems)
    return Look(
        task.name,
        facts | task.source(),
        len(problems),
        {split: splits[split] for split in SPLITS},
        len(refused),
        [(_short(p.gold), v.reason) for p, v in refused[:first]],
        len(problems) - len(with_gold),
        _rows(task, problems[:first], verdicts[:first]),
        longest,
        context,
    )


def _rows(task: Task, problems: Sequence[Problem], verdicts: Sequence[Verdict]) -> list[Row]:
    kept = replace(task, is_exact=False) if isinstance(task, WordedTask) else task
    near = kept.verify_all([_answer(task, p, f"{p.gold}1") for p in problems])
    return [
        Row(
            _short(p.prompt),
            _short(p.gold),
            split_of(p.prompt),
            str(v.status) if p.gold else "no gold answer",
            v.reason if p.gold else "",
            _short(f"{p.gold}1") if p.gold else "",
            n.reward if p.gold else 0.0,
        )
        for p, v, n in zip(problems, verdicts, near, strict=True)
    ]


def _answer(task: Task, problem: Problem, answer: str) -> Answer:
    """A solution that gives an answer and nothing else, where the task looks for it."""
    form = {"tags": "<answer>{}</answer>", "marked": r"\boxed{{{}}}"}
    written = form.get(task.read, "{}").format(answer) if isinstance(task, WordedTask) else answer + task.end
    return Answer(problem, written, StopReason.EOS)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def near_words(row: Row) -> str:
    """What a wrong answer that contains the gold one earns."""
    if row.near_reward >= 1:
        return "counts as right"
    return f"earns {row.near_reward:.2g} (partial_rewards exact: 0)"


def lines(found: Look) -> list[str]:
    """A look in words, for a terminal."""
    said = [f"{name:<18} {value}" for name, value in {"task": found.task, **found.facts}.items()]
    splits = ", ".join(f"{count} {split}" for split, count in found.splits.items())
    said.append(f"{'problems':<18} {found.looked_at} looked at: {splits}")
    said.append(f"{'gold refused':<18} {found.refused} by the task's own judge")
    said += [f"{'':<18} {gold!r}: {reason}" for gold, reason in found.refusals]
    if found.without_gold:
        said.append(f"{'no gold answer':<18} {found.without_gold}")
    if found.longest_prompt is not None:
        limit = "no limit" if found.context is None else f"the model reads {found.context}"
        said.append(f"{'longest prompt':<18} {found.longest_prompt} tokens; {limit}")
    for row in found.rows:
        near = f"; {row.near_answer!r} {near_words(row)}" if row.near_reward else ""
        said += [
            "",
            row.prompt,
            f"  [{row.split}] gold {row.gold!r}: {row.gold_status} {row.gold_reason}".rstrip() + near,
        ]
    return said
