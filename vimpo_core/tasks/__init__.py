"""What a model is asked, how its answer is judged, and where a solution first goes wrong. One file a task, listed in
`registry`.
"""

from __future__ import annotations

import random
from typing import Protocol

from vimpo_core.types import Problem, StopReason, Verdict


class Task(Protocol):
    """What the lab needs to know of a task. Texts are the model's, so nothing here raises on them or evals them."""

    @property
    def name(self) -> str: ...

    @property
    def end(self) -> str:
        """The mark that ends a written solution; the model's end token stands for it."""
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

    def __hash__(self) -> int:
        """Equal tasks ask the same problems, which are kept by task."""
        ...

    def problem(self, rng: random.Random, split: str) -> Problem:
        """One random problem of the split "train", "validation" or "test"."""
        ...

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        """`count` different problems of a split, the same for the same seed text; fewer where the split has fewer."""
        ...

    def verify(self, problem: Problem, completion: str, finish_reason: StopReason) -> Verdict:
        """Judge a completion (its end mark included if it ended)."""
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
