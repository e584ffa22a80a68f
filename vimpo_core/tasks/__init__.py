"""What a model is asked, how its answer is judged, and where a solution first goes wrong. One file a kind of task,
listed in `registry`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from vimpo_core.types import Problem, StopReason, Verdict

Chat = Callable[[Sequence[dict[str, str]]], str]
"""A model's chat template: messages (role, content) -> the text up to where the answer begins. Raises Mistake where the
model has none.
"""


class Answer(NamedTuple):
    """One solution to judge: its text (its end mark included if it ended) and how it ended."""

    problem: Problem
    completion: str
    finish_reason: StopReason


class Task(Protocol):
    """What the lab needs to know of a task. Texts are the model's, so nothing here raises on them or evals them.

    Making a task costs nothing and needs no file and no library: what its problems come from is opened when they are
    first asked for.
    """

    @property
    def name(self) -> str: ...

    @property
    def end(self) -> str:
        """The mark that ends a written solution; the model's end token stands for it. "": a typed solution has
        ended.
        """
        ...

    @property
    def max_new_tokens(self) -> int:
        """Token budget of a solution."""
        ...

    @property
    def typical_length(self) -> float:
        """Mean tokens of a right solution, end mark included: the T of the balance c_A / (0.4 T beta)."""
        ...

    @property
    def verifies_steps(self) -> bool:
        """Whether the task knows where a solution first goes wrong. Where it does not, `first_wrong`, `step_starts`,
        `mistake` and `restyled` say nothing, and pages must not pretend: the largest true drop stands for it.
        """
        ...

    @property
    def gives_partial_rewards(self) -> bool:
        """Whether a reward may lie between 0 and 1."""
        ...

    @property
    def makes_its_problems(self) -> bool:
        """Whether problems are made on the spot, without a file, a library or another process."""
        ...

    @property
    def prompt_style(self) -> str:
        """How prompts are worded: "plain", "few-shot" or "chat" (`render`)."""
        ...

    def __hash__(self) -> int:
        """Equal tasks ask the same problems, which are kept by task."""
        ...

    def source(self) -> dict[str, str]:
        """What the problems depend on beside the settings, for a run's header: a file's sha256, a library's version;
        {} where there is nothing. Raises Mistake where it is missing.
        """
        ...

    def problem(self, rng: random.Random, split: str) -> Problem:
        """One random problem of the split "train", "validation" or "test"."""
        ...

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        """`count` different problems of a split, the same for the same seed text; fewer where the split has fewer."""
        ...

    def state(self, prompt: str) -> Problem:
        """The problem that a typed or recorded prompt states. Raises Mistake, one sentence, where it states none."""
        ...

    def render(self, problem: Problem, chat: Chat) -> str:
        """The text that the model reads. chat: asked in the style "chat" alone."""
        ...

    def verify(self, problem: Problem, completion: str, finish_reason: StopReason) -> Verdict:
        """Judge a completion (its end mark included if it ended)."""
        ...

    def verify_all(self, answers: Sequence[Answer]) -> list[Verdict]:
        """Judge many, in order: a task whose judge is another process asks it once."""
        ...

    def first_wrong(self, problem: Problem, completion: str) -> int | None:
        """Index of the first wrong character of a completion, None if no step is wrong."""
        ...

    def step_starts(self, completion: str) -> list[int]:
        """Index of the first character of each step but the first, in a completion without its end token."""
        ...

    def mistake(self, problem: Problem, completion: str) -> str:
        """What happened at the first wrong character, in a few words; "" if nothing is wrong or nothing is known of
        it.
        """
        ...

    def restyled(self, completion: str, rng: random.Random) -> str:
        """The same solution in another hand: what is wrong, and where, stays the same."""
        ...


class WholeSolutions:
    """What a task says that judges solutions as a whole: nothing of their steps."""

    verifies_steps = False
    makes_its_problems = False

    def first_wrong(self, problem: Problem, completion: str) -> int | None:
        return None

    def step_starts(self, completion: str) -> list[int]:
        return []

    def mistake(self, problem: Problem, completion: str) -> str:
        return ""

    def restyled(self, completion: str, rng: random.Random) -> str:
        return completion
