"""The tasks there are: the one place that knows them by name. A further task is a file beside this one and an entry in
`TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Task, chain
from vimpo_core.types import Problem, known


class Settings(Protocol):
    """What tasks read of a run's settings (`config.TrainConfig`, which lists the names below as its choices)."""

    @property
    def task(self) -> str: ...

    @property
    def operands(self) -> int: ...


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    make: the task of a run, from its settings. asks: the task whose problem a recorded prompt is, None for another
        kind's.
    states: the problem that a typed prompt states; raises Mistake, one sentence, where it states none.
    """

    make: Callable[[Settings], Task]
    asks: Callable[[str], Task | None]
    states: Callable[[str], Problem]


TASKS: dict[str, Kind] = {
    "chain": Kind(lambda config: chain.ChainTask(config.operands), chain.task_that_asks, chain.problem_from),
}
"""name in the settings -> kind. The first one says what is wrong with a prompt that states no problem."""


def task_of(config: Settings) -> Task:
    """The task that a run trains on."""
    return TASKS[config.task].make(config)


def task_that_asks(prompt: str) -> Task | None:
    """The task whose problem a recorded prompt is; None where it is none's."""
    return next((task for kind in TASKS.values() if (task := kind.asks(prompt)) is not None), None)


def read_problem(prompt: str) -> tuple[Task, Problem]:
    """The task and the problem that a typed prompt states. Raises Mistake, one sentence, where it states none."""
    first_refusal: Mistake | None = None
    for kind in TASKS.values():
        try:
            problem = kind.states(prompt)
        except Mistake as refusal:
            first_refusal = first_refusal or refusal
        else:
            return known(kind.asks(problem.prompt)), problem
    raise known(first_refusal)


@lru_cache(maxsize=16)
def held_out(task: Task, split: str, prompts: int) -> tuple[Problem, ...]:
    """The first `prompts` problems of a held-out split, the same on every machine; fewer where the split holds
    fewer.
    """
    return tuple(task.problems(f"held out/{split}", split, prompts))
