"""What a model is asked, how its answer is judged, and where a solution first goes wrong. One file a task."""

from __future__ import annotations

import random
from typing import Protocol

from vimpo_core.types import Problem, StopReason, Verdict


class Task(Protocol):
    """What the trainer needs to know of a task. Texts are the model's, so nothing here raises on them or evals them."""

    name: str
    end: str
    """The mark that ends a written solution; the model's end token stands for it."""
    max_new_tokens: int

    def problem(self, rng: random.Random, split: str) -> Problem:
        """One random problem of the split "train", "validation" or "test"."""
        ...

    def verify(self, problem: Problem, completion: str, finish_reason: StopReason) -> Verdict:
        """Judge a completion (its end mark included if it ended)."""
        ...

    def first_wrong(self, problem: Problem, completion: str) -> int | None:
        """Index of the first wrong character of a completion, None if no step is wrong."""
        ...
