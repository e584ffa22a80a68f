"""The kinds of tasks there are: the one place that knows them by name. A further kind is a file beside this one and an
entry in `TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Task, chain
from vimpo_core.tasks.spec import Spec, parse
from vimpo_core.types import Problem, known

PROMPT_STYLES = ("plain", "few-shot", "chat")
PARTIAL_REWARDS = ("kept", "exact")


class Settings(Protocol):
    """What tasks read of a run's settings (`config.TrainConfig`)."""

    @property
    def task(self) -> str: ...

    @property
    def operands(self) -> int: ...

    @property
    def prompt_style(self) -> str: ...

    @property
    def max_new_tokens(self) -> int: ...

    @property
    def partial_rewards(self) -> str: ...

    @property
    def model(self) -> str: ...


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    form: how its setting is written; words: what it asks, in a few words.
    check: raises Mistake where the settings cannot make a task of this kind; opens no file and no library.
    make: the task of a run.
    asks: of a kind that knows its prompts by their form: the task whose problem a prompt is, None for others; the
        settings are those of the prompt's run, None where it comes without one.
    """

    form: str
    words: str
    check: Callable[[Spec, Settings], None]
    make: Callable[[Spec, Settings], Task]
    asks: Callable[[str, Settings | None], Task | None] | None = None


def _check_chain(spec: Spec, config: Settings) -> None:
    if spec != Spec("chain"):
        raise Mistake(f"task chain takes no argument and no options, got {str(spec)[:60]!r}. Use chain.")
    if config.prompt_style != "plain":
        raise Mistake(
            f"prompt_style must be plain for the task chain, got {config.prompt_style!r}: its problems have no words."
        )
    if config.operands > 6 and config.model == "bundled":
        raise Mistake(
            f"the bundled reference knows 3 to 6 operands, got {config.operands}. Make one that knows more with "
            "`python -m vimpo_core make-reference --operands 8 --out FOLDER` and pass it as model."
        )


def _chain_that_asks(prompt: str, config: Settings | None) -> Task | None:
    return chain.task_that_asks(prompt, config.max_new_tokens if config else 0)


TASKS: dict[str, Kind] = {
    "chain": Kind(
        "chain",
        "arithmetic written step by step",
        _check_chain,
        lambda spec, config: chain.ChainTask(config.operands, config.max_new_tokens),
        _chain_that_asks,
    ),
}
"""name in the settings -> kind."""


def check(config: Settings) -> None:
    """Raise Mistake, one sentence, where the settings name no task; its file or library is not looked at."""
    kind, spec = _kind(config.task)
    kind.check(spec, config)


def task_of(config: Settings) -> Task:
    """The task that a run trains on. Raises Mistake as `check`."""
    kind, spec = _kind(config.task)
    return kind.make(spec, config)


def keeps_partial_rewards(config: Settings) -> bool:
    """Whether an answer that is nearly right earns what the judge gives it."""
    return config.partial_rewards == "kept"


def _kind(text: str) -> tuple[Kind, Spec]:
    spec = parse(text)
    if spec.kind not in TASKS:
        forms = ", ".join(kind.form for kind in TASKS.values())
        raise Mistake(f"task must be one of {forms}, got {text[:60]!r}.")
    return TASKS[spec.kind], spec


def task_that_asks(prompt: str, config: Settings | None = None) -> Task | None:
    """The task whose problem a recorded prompt is: that of its run, or without one the first that knows its own form.

    None where it is none's.
    """
    if config is not None:
        kind, spec = _kind(config.task)
        return kind.asks(prompt, config) if kind.asks else kind.make(spec, config)
    return next((task for kind in TASKS.values() if kind.asks and (task := kind.asks(prompt, None))), None)


def read_problem(prompt: str, config: Settings | None = None) -> tuple[Task, Problem]:
    """The task and the problem that a typed prompt states. config: of the run it is put to; None: any kind that knows
    its prompts by their form. Raises Mistake, one sentence, where it states none.
    """
    problem = (task_that_asks(prompt, config) or chain.ChainTask()).state(prompt)
    return known(task_that_asks(problem.prompt, config)), problem


@lru_cache(maxsize=16)
def held_out(task: Task, split: str, prompts: int) -> tuple[Problem, ...]:
    """The first `prompts` problems of a held-out split, the same on every machine; fewer where the split holds
    fewer.
    """
    return tuple(task.problems(f"held out/{split}", split, prompts))
