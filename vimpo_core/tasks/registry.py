"""The kinds of tasks there are: the one place that knows them by name. A further kind is a file beside this one and an
entry in `TASKS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Protocol

from vimpo_core.mistake import Mistake
from vimpo_core.paths import as_path
from vimpo_core.tasks import Task, chain, files, gym, math_sets, tables
from vimpo_core.tasks.files import FileTask
from vimpo_core.tasks.gym import GymTask
from vimpo_core.tasks.math_sets import MathTask
from vimpo_core.tasks.recorded import RecordedTask
from vimpo_core.tasks.spec import Spec, parse
from vimpo_core.tasks.worded import WordedTask
from vimpo_core.tasks.wording import READINGS
from vimpo_core.types import Problem, known

PROMPT_STYLES = ("plain", "few-shot", "chat")
PARTIAL_REWARDS = ("kept", "exact")
LOOKED_AT = 200_000
"""Problems among which the longest are looked for."""
_LONGEST = 8


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
class Option:
    """An option of a kind of task as a field of a form: its name in the setting, a label, its choices (() for text)."""

    name: str
    label: str
    choices: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    form: how its setting is written; words: what it asks, in a few words.
    check: raises Mistake where the settings cannot make a task of this kind; opens no file and no library.
    make: the task of a run. opens: whether its argument is the path of a file.
    argument: what stands after the colon, as a label; "" where nothing does. options: its fields of a form;
        more_options: what further ones there may be, as a help text.
    reads_operands: whether the setting `operands` means something to it. said: a run's task in a few words.
    asks: of a kind that knows its prompts by their form: the task whose problem a prompt is, None for others; the
        settings are those of the prompt's run, None where it comes without one.
    """

    form: str
    words: str
    check: Callable[[Spec, Settings], None]
    make: Callable[[Spec, Settings], Task]
    asks: Callable[[str, Settings | None], Task | None] | None = None
    opens: bool = False
    argument: str = ""
    example: str = ""
    options: tuple[Option, ...] = ()
    more_options: str = ""
    reads_operands: bool = False
    said: Callable[[Spec, Settings], str] = lambda spec, config: label(str(spec))


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


def _worded(make, spec: Spec, config: Settings) -> Task:
    return make(spec, config.prompt_style, config.max_new_tokens, config.partial_rewards == "exact")


def _chain_that_asks(prompt: str, config: Settings | None) -> Task | None:
    return chain.task_that_asks(prompt, config.max_new_tokens if config else 0)


def _read(choices: tuple[str, ...]) -> Option:
    words = "; ".join(f"{name}: {READINGS[name].words}" for name in choices)
    return Option("read", "Where the answer stands", choices, f"{words}.")


_COLUMNS = (
    Option("prompt", "Prompt column", help="Left empty, it is guessed from the names."),
    Option("answer", "Answer column", help="Left empty, it is guessed from the names."),
)


TASKS: dict[str, Kind] = {
    "chain": Kind(
        "chain",
        "arithmetic written step by step",
        _check_chain,
        lambda spec, config: chain.ChainTask(config.operands, config.max_new_tokens),
        _chain_that_asks,
        reads_operands=True,
        said=lambda spec, config: f"{config.operands} numbers",
    ),
    "gym": Kind(
        "gym:NAME?option=value",
        "a data set of the library reasoning-gym",
        lambda spec, config: gym.check(spec),
        lambda spec, config: _worded(GymTask, spec, config),
        argument="Data set",
        example="chain_sum",
        options=(_read(gym.READINGS),),
        more_options="The set's own settings, as min_terms=2&max_terms=3. Look at the problems to see which there are.",
    ),
    "file": Kind(
        "file:PATH?prompt=COLUMN&answer=COLUMN",
        "rows of your own CSV, JSON or Parquet file",
        lambda spec, config: files.check(spec),
        lambda spec, config: _worded(FileTask, spec, config),
        opens=True,
        argument="File",
        example="problems.csv",
        options=(
            *_COLUMNS,
            _read(FileTask.readings),
            Option("compare", "Compare as", files.COMPARE, "Exact numbers (42, 0.5, 3/4), or the same words."),
        ),
    ),
    "math": Kind(
        "math:PATH",
        "competition mathematics in the form it is published in",
        lambda spec, config: math_sets.check(spec),
        lambda spec, config: _worded(MathTask, spec, config),
        opens=True,
        argument="File",
        example="test.jsonl",
        options=(*_COLUMNS, _read(MathTask.readings)),
    ),
}
"""name in the settings -> kind, of those that can be trained on."""

RECORDED = "recorded"
"""The setting `task` of a run that another tool recorded."""
_RECORDED = Kind(
    RECORDED,
    "what another tool recorded",
    lambda spec, config: None,
    lambda spec, config: RecordedTask(config.max_new_tokens),
    said=lambda spec, config: "recorded by another tool",
)


def label(text: str) -> str:
    """A task's setting without its options and folders: "chain", "gym chain_sum", "file problems.csv"."""
    spec = parse(text)
    return f"{spec.kind} {PurePath(spec.argument).name}".strip()


def said(config: Settings) -> str:
    """A run's task in a few words: "5 numbers", "gym chain_sum", "file problems.csv"."""
    kind, spec = _kind(config.task)
    return kind.said(spec, config)


def reads_operands(config: Settings) -> bool:
    """Whether the setting `operands` means something to the run's task."""
    return _kind(config.task)[0].reads_operands


def check(config: Settings) -> None:
    """Raise Mistake, one sentence, where the settings name no task; its file or library is not looked at."""
    kind, spec = _kind(config.task)
    kind.check(spec, config)


def task_of(config: Settings) -> Task:
    """The task that a run trains on. Raises Mistake as `check`."""
    kind, spec = _kind(config.task)
    return kind.make(spec, config)


def whole(text: str, beside: Path | None = None) -> str:
    """A task's setting with the path of its file from the root on, wherever it is read again. beside: the folder that
    the path counts from, None for the current one.
    """
    spec = parse(text)
    if not _opens(spec):
        return text
    return str(replace(spec, argument=str(((beside or Path()) / as_path(spec.argument)).absolute())))


def whole_if_there(text: str, beside: Path) -> str:
    """`whole` where the file lies in the folder `beside`; else, and where no task can be read from it, as it stands,
    which counts from the repository root.
    """
    try:
        whole_path = whole(text, beside)
        return whole_path if tables.place(parse(whole_path).argument).is_file() else text
    except (Mistake, ValueError):  # whoever uses it says what is wrong
        return text


def check_file(text: str, beside: Path) -> None:
    """Raise Mistake where a task's file is not there. beside: the folder where it was looked for first."""
    spec = parse(text)
    if not _opens(spec) or (place := tables.place(spec.argument)).is_file():
        return
    first = Path(os.path.abspath(beside)) / as_path(spec.argument)
    both = f"there is neither {first} nor {place}" if first != place else f"there is no {place}"
    raise Mistake(f"task {text!r} names no file: {both}. Put it there, or give its whole path.")


def opens_file(text: str) -> bool:
    """Whether the setting `task` names a file."""
    return _opens(parse(text))


def _opens(spec: Spec) -> bool:
    """Whether it names a file."""
    return spec.kind in TASKS and TASKS[spec.kind].opens and bool(spec.argument.strip())


def _kind(text: str) -> tuple[Kind, Spec]:
    spec = parse(text)
    if spec == Spec(RECORDED):
        return _RECORDED, spec
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


def stamp(text: str) -> tuple[int, ...]:
    """Time and size of a task's file: others once it was written again; () where it has none, or it is not there."""
    spec = parse(text)
    if not _opens(spec):
        return ()
    try:
        stat = tables.place(spec.argument).stat()
    except (OSError, ValueError):
        return ()
    return stat.st_mtime_ns, stat.st_size


def check_enough(task: Task, prompts: int) -> None:
    """Raise Mistake where the training split holds fewer problems than a step asks for, or none can be had."""
    if (there := len(task.problems("enough", "train", prompts))) < prompts:
        raise Mistake(
            f"prompts_per_step is {prompts}, and the training split of {task.name[:200]} holds {there} "
            f"{'problem' if there == 1 else 'problems'}. Use fewer prompts a step, or give more problems."
        )


def trial_problems(task: Task, count: int) -> list[Problem]:
    """Problems to try a model on: some of the training split, and of a task in words the longest of all there are."""
    found = task.problems("trial", "train", count)
    if isinstance(task, WordedTask):
        found += sorted(task.everything(LOOKED_AT), key=lambda problem: -len(problem.prompt))[:_LONGEST]
    return found


@lru_cache(maxsize=16)
def held_out(task: Task, split: str, prompts: int) -> tuple[Problem, ...]:
    """The first `prompts` problems of a held-out split, the same on every machine; fewer where the split holds
    fewer.
    """
    return tuple(task.problems(f"held out/{split}", split, prompts))
