"""The seven chapters in order. A chapter's text, questions and widget stand in app/course/chapters/<key>.py."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from app.course.lesson import Control, Plan, Question, filled, unfilled


@dataclass(frozen=True)
class Chapter:
    """`key` names its module and its record in the reader's browser; `teaser` is its line in the contents."""

    number: int
    key: str
    title: str
    minutes: int
    teaser: str

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
        6,
        "Mark the token you blame, then see what GRPO and VIMPO push, what can be read off, and the truth.",
    ),
    Chapter(
        2,
        "pair",
        "A policy is a pair",
        5,
        "Credit is a log-ratio to a frozen reference, so before training there is none.",
    ),
    Chapter(
        3,
        "identity",
        "The identity",
        8,
        "From one sentence about what training wants to a formula, every step checked by the machine.",
    ),
    Chapter(
        4,
        "anchored",
        "Anchored at the end",
        7,
        "Where the reward comes in: the value of a prefix, both ways to count it, and the gap that is squared.",
    ),
    Chapter(
        5, "levers", "Two levers", 7, "Step the value loss alone, the actor alone, or both, and watch the tokens move."
    ),
    Chapter(
        6, "goes_wrong", "What goes wrong", 8, "Flat values, runaway credit, dead groups: each reproduced in seconds."
    ),
    Chapter(7, "worth", "Is it worth it?", 7, "Rewards that lie, GRPO beside VIMPO, and a scoreboard with intervals."),
)


def chapters() -> tuple[Chapter, ...]:
    """The chapters that are there."""
    return tuple(chapter for chapter in ALL if find_spec(f"app.course.chapters.{chapter.key}"))


def after(chapter: Chapter) -> Chapter | None:
    """The chapter that follows, None after the last."""
    return next((other for other in chapters() if other.number > chapter.number), None)
