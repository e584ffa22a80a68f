"""The seven chapters and the parts that they make up. A chapter's text, questions and widget stand in
app/course/chapters/<key>.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from app.course.lesson import Control, Plan, Question, filled, unfilled


@dataclass(frozen=True)
class Part:
    """Chapters that belong together; `teaser` says for whom."""

    key: str
    title: str
    teaser: str


LESSON = Part("lesson", "The lesson", "Fifty minutes in class: what credit is, what makes it, what it is worth.")
SECOND = Part("second", "A second lesson", "Where the credit comes from: two networks, a formula, and the reward.")
HOMEWORK = Part("homework", "Homework", "To press and try, alone or in pairs.")
PARTS = (LESSON, SECOND, HOMEWORK)


@dataclass(frozen=True)
class Chapter:
    """`key` names its module and its record in the reader's browser; `teaser` is its line in the contents."""

    number: int
    key: str
    title: str
    teaser: str
    part: Part = HOMEWORK

    @property
    def module(self) -> ModuleType:
        return import_module(f"app.course.chapters.{self.key}")

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.module.QUESTIONS

    @property
    def controls(self) -> tuple[Control, ...]:
        return self.module.CONTROLS

    @property
    def plan(self) -> Plan:
        return self.module.PLAN

    @property
    def minutes(self) -> int:
        """For somebody who reads it alone."""
        return self.module.EFFORT.minutes

    @property
    def class_minutes(self) -> int:
        """In class, with the talk around it."""
        return sum(minutes for minutes, _ in self.plan.timings)

    def say(self, words: str) -> str:
        """`words` of its questions or plan with the computed numbers filled in; "…" where there is nothing to compute
        from.
        """
        numbers = self.module.numbers()
        return filled(words, **numbers) if numbers else unfilled(words)


ALL = (
    Chapter(
        1,
        "blame",
        "Who gets the blame?",
        "Mark the token you blame, then see what GRPO and VIMPO push, what can be read off, and the truth.",
        LESSON,
    ),
    Chapter(
        2,
        "pair",
        "A policy is a pair",
        "Credit is a log-ratio to a frozen reference, so before training there is none.",
        SECOND,
    ),
    Chapter(
        3,
        "identity",
        "The identity",
        "From one sentence about what training wants to a formula, every step checked by the machine.",
        SECOND,
    ),
    Chapter(
        4,
        "anchored",
        "Anchored at the end",
        "Where the reward comes in: the value of a prefix, both ways to count it, and the gap that is squared.",
        SECOND,
    ),
    Chapter(
        5,
        "levers",
        "Two levers",
        "Step the value loss alone, the actor alone, or both, and watch the tokens move.",
        LESSON,
    ),
    Chapter(
        6,
        "goes_wrong",
        "What goes wrong",
        "Flat values, runaway credit, groups that teach nothing: each reproduced in seconds.",
    ),
    Chapter(
        7, "worth", "Is it worth it?", "Rewards that lie, GRPO beside VIMPO, and a scoreboard with intervals.", LESSON
    ),
)
"""By number, which is their address; `chapters` has them in the order of reading."""


def chapters() -> tuple[Chapter, ...]:
    """The chapters that are there, in the order of reading: part by part."""
    there = [chapter for chapter in ALL if find_spec(f"app.course.chapters.{chapter.key}")]
    return tuple(sorted(there, key=lambda chapter: (PARTS.index(chapter.part), chapter.number)))


def of_part(part: Part) -> tuple[Chapter, ...]:
    return tuple(chapter for chapter in chapters() if chapter.part == part)


def after(chapter: Chapter) -> Chapter | None:
    """The chapter that follows in the order of reading, None after the last."""
    there = chapters()
    following = there.index(chapter) + 1
    return there[following] if following < len(there) else None


def is_last_of_part(chapter: Chapter) -> bool:
    return chapter == of_part(chapter.part)[-1]
