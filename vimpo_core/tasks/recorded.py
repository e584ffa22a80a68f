"""The task of a run that another tool recorded: its prompts and rewards are in the run, its judge is not here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Answer, Chat, WholeSolutions
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus

_BUDGET = 128
NOT_HERE = (
    "this run was recorded by another tool: its problems and its judge are not here. Train on a task of the lab "
    "instead."
)


@dataclass(frozen=True)
class RecordedTask(WholeSolutions):
    """Knows no problem and judges nothing."""

    budget: int = 0

    name = "recorded"
    end = ""
    prompt_style = "plain"
    gives_partial_rewards = True

    @property
    def max_new_tokens(self) -> int:
        return self.budget or _BUDGET

    @property
    def typical_length(self) -> float:
        """Nobody has measured it: half the budget."""
        return self.max_new_tokens / 2

    def source(self) -> dict[str, str]:
        return {}

    def problem(self, rng: random.Random, split: str) -> Problem:
        raise Mistake(NOT_HERE)

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        raise Mistake(NOT_HERE)

    def state(self, prompt: str) -> Problem:
        return Problem(prompt, "")

    def render(self, problem: Problem, chat: Chat) -> str:
        return problem.prompt

    def verify(self, problem: Problem, completion: str, finish_reason: StopReason) -> Verdict:
        return Verdict(VerdictStatus.REJECTED, reason="Judged by the tool that recorded the run, not here.")

    def verify_all(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self.verify(*answer) for answer in answers]
