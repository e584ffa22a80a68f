"""A task for tests that gives part of the reward and does not know where a solution first goes wrong, and trees with
such rewards.
"""

import random
import re
from dataclasses import dataclass

import numpy as np

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import WholeSolutions, registry
from vimpo_core.tree import tabular
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus

LEVELS = (0.0, 0.01, 0.3, 0.75, 1.0)


def partial_tree(vocab=3, depth=4, seed=0):
    """A tree whose leaves earn one of `LEVELS`."""
    rng = np.random.default_rng(seed)
    return tabular.Tree(vocab, depth, rng.choice(LEVELS, size=vocab**depth))


@dataclass(frozen=True)
class Closeness(WholeSolutions):
    """Write the sum of three digits; a wrong answer earns the more the more of its own digits are right."""

    name = "closeness"
    end = "."
    max_new_tokens = 12
    typical_length = 6.0
    gives_partial_rewards = True
    prompt_style = "plain"

    def source(self):
        return {}

    def problem(self, rng, split):
        return self.state(f"{'+'.join(str(rng.randint(1, 9)) for _ in range(3))}=")

    def problems(self, seed, split, count):
        rng = random.Random(f"{seed}/{split}")
        return [self.problem(rng, split) for _ in range(count)]

    def state(self, prompt):
        if not asks(prompt, None):
            raise Mistake("no three digits to add.")
        return Problem(prompt, str(sum(map(int, prompt[:-1].split("+")))))

    def render(self, problem, chat):
        return problem.prompt

    def verify(self, problem, completion, finish_reason):
        answer = re.split("[;,/]", completion.rstrip("."))[-1]
        if finish_reason is not StopReason.EOS:
            return Verdict(VerdictStatus.REJECTED, answer, "cut off")
        if answer == problem.gold:
            return Verdict(VerdictStatus.CORRECT, answer)
        same = sum(a == b for a, b in zip(answer, problem.gold, strict=False))
        return Verdict(VerdictStatus.INCORRECT, answer, partial=0.1 + 0.2 * same)

    def verify_all(self, answers):
        return [self.verify(*answer) for answer in answers]


def asks(prompt, config):
    return Closeness() if re.fullmatch(r"\d\+\d\+\d=", prompt) else None


def add_closeness(monkeypatch):
    """The registry with this task first."""
    kind = registry.Kind("closeness", "sums", lambda spec, config: None, lambda spec, config: Closeness(), asks)
    monkeypatch.setattr(registry, "TASKS", {"closeness": kind, **registry.TASKS})
