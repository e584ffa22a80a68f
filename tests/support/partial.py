"""A task for tests that gives part of the reward and does not know where a solution first goes wrong, and trees with
such rewards.
"""

import random
from dataclasses import dataclass

import numpy as np

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import registry
from vimpo_core.tree import tabular
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus

LEVELS = (0.0, 0.01, 0.3, 0.75, 1.0)


def partial_tree(vocab=3, depth=4, seed=0):
    """A tree whose leaves earn one of `LEVELS`."""
    rng = np.random.default_rng(seed)
    return tabular.Tree(vocab, depth, rng.choice(LEVELS, size=vocab**depth))


@dataclass(frozen=True)
class Credited(Verdict):
    """A verdict with its own reward."""

    earned: float = 0.0

    @property
    def reward(self):
        return self.earned


@dataclass(frozen=True)
class Closeness:
    """Write the sum of some numbers; a wrong answer earns the more the more of its digits are right."""

    name = "closeness"
    end = "."
    max_new_tokens = 12
    typical_length = 6.0
    verifies_steps = False

    def problem(self, rng, split):
        a, b, c = (rng.randint(1, 9) for _ in range(3))
        return Problem(f"{a}+{b}+{c}=", str(a + b + c))

    def problems(self, seed, split, count):
        rng = random.Random(f"{seed}/{split}")
        return [self.problem(rng, split) for _ in range(count)]

    def verify(self, problem, completion, finish_reason):
        answer = completion.rstrip(".").rpartition(";")[2].rpartition(",")[2].rpartition("/")[2]
        if finish_reason is not StopReason.EOS:
            return Credited(VerdictStatus.REJECTED, answer, "cut off", 0.0)
        if answer == problem.gold:
            return Credited(VerdictStatus.CORRECT, answer, "", 1.0)
        same = sum(a == b for a, b in zip(answer, problem.gold, strict=False))
        return Credited(VerdictStatus.INCORRECT, answer, "", 0.1 + 0.4 * same / 2)

    def first_wrong(self, problem, completion):
        return None

    def step_starts(self, completion):
        return []

    def mistake(self, problem, completion):
        return ""

    def restyled(self, completion, rng):
        return completion


def asks(prompt):
    return Closeness() if prompt.endswith("=") and prompt.count("+") == 2 and len(prompt) == 6 else None


def states(prompt):
    if asks(prompt) is None:
        raise Mistake("no three digits to add.")
    return Problem(prompt, str(sum(map(int, prompt[:-1].split("+")))))


def add_closeness(monkeypatch):
    """The registry with this task first, under a name that the settings know."""
    kinds = {"closeness": registry.Kind(lambda config: Closeness(), asks, states), **registry.TASKS}
    monkeypatch.setattr(registry, "TASKS", kinds)
    field = TrainConfig.__dataclass_fields__["task"]
    monkeypatch.setattr(field, "metadata", {**field.metadata, "choices": tuple(kinds)})
