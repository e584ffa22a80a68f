"""What an experiment declares: its TOML file, read and checked before anything runs.

    name = "clean"                          # names the folder and the report
    title = "Clean rewards"                 # of the report; default: the name
    question = "Does VIMPO beat GRPO?"
    steps = 100
    test_prompts = 512
    seeds = [100, 101, 102, 103, 104]
    compare_to = "GRPO"                     # the arm that the others are compared with; default: the first
    credit = {set = "own", solutions = 64, rollouts = 32}       # optional: also measure the last snapshot's credit

    [base]                                  # settings of all arms (config.TrainConfig)
    operands = 5
    [vary]                                  # optional: each combination is a block of tables with every arm in it
    reward_noise = [0.0, 0.25]
    [tune]                                  # optional, for arms with ranges
    trials = 6
    seeds = [900]
    steps = 100
    validation_prompts = 512
    choose_by = "sampled_accuracy"
    [[arm]]
    name = "GRPO"
    algorithm = "grpo"
    ranges = {learning_rate = [1e-3, 3e-3]}

A path (`model = "my-model"`, `task = "file:problems.csv"`) counts from the folder of this file where something lies
there, else from the repository root, wherever the command is typed. An arm's settings win over those of the block, and
these over `base`. Tuning is separate for each block, with the same trials in each. No torch here.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vimpo_core import files
from vimpo_core.config import TrainConfig
from vimpo_core.experiment.toml_lines import line_numbers
from vimpo_core.lm.sources import whole_model
from vimpo_core.measure.scorecard import SETS
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import registry

Settings = dict[str, bool | int | float | str]

CHOICES = ("sampled_accuracy", "greedy_accuracy")
"""What a trial may be chosen by, on validation problems."""

SNAPSHOT_EVERY = 10
"""Steps between snapshots unless the file says otherwise: only the last is kept, and a run that diverges is measured at
it.
"""

LONGEST_NAME = 60
_SETTINGS = {f.name for f in dataclasses.fields(TrainConfig)}
_DECLARED = {"seed": "seeds", "steps": "steps"}
"""Settings that the experiment decides for all arms alike, and by which key."""


@dataclass(frozen=True)
class Tune:
    """How the ranges of an arm are searched: at most `trials` settings, each trained with every seed for `steps`
    steps.
    """

    trials: int = 6
    seeds: tuple[int, ...] = (900,)
    steps: int = 100
    validation_prompts: int = 512
    choose_by: str = "sampled_accuracy"


@dataclass(frozen=True)
class Credit:
    """How credit quality is measured; the words are those of `python -m vimpo_core truth`."""

    set: str = "own"
    solutions: int = 64
    rollouts: int = 32


@dataclass(frozen=True)
class Arm:
    """One contestant: fixed settings, and the values from which tuning may choose."""

    name: str
    settings: Settings
    ranges: dict[str, tuple]

    def trials(self, limit: int) -> list[Settings]:
        """At most `limit` different points of the ranges' product, drawn by the arm's name, in the product's order."""
        points = list(self.points())
        drawn = random.Random(self.name).sample(range(len(points)), min(limit, len(points)))
        return [points[i] for i in sorted(drawn)]

    def points(self) -> Iterator[Settings]:
        """All points of the ranges: one empty one where there are none."""
        return (dict(zip(self.ranges, values, strict=True)) for values in itertools.product(*self.ranges.values()))

    @property
    def first_point(self) -> Settings:
        """Some point of the ranges, where any will do."""
        return {key: values[0] for key, values in self.ranges.items()}

    @property
    def range_size(self) -> int:
        """How many points the ranges have."""
        return math.prod(map(len, self.ranges.values()))


@dataclass(frozen=True)
class Plan:
    """A checked experiment. `blocks`: the combinations of what varies, one empty one if nothing does."""

    path: Path
    name: str
    title: str
    question: str
    steps: int
    test_prompts: int
    seeds: tuple[int, ...]
    compare_to: str
    base: Settings
    blocks: tuple[Settings, ...]
    arms: tuple[Arm, ...]
    tune: Tune | None
    credit: Credit | None

    def config(self, arm: Arm, block: Settings, chosen: Settings, seed: int, steps: int) -> TrainConfig:
        """The settings of one run."""
        settings: dict[str, Any] = {"snapshot_every": SNAPSHOT_EVERY} | self.base | block | arm.settings | chosen
        return TrainConfig(**(settings | {"seed": seed, "steps": steps}))


def read(path: Path) -> Plan:
    """The experiment declared in a file.

    Raises:
        Mistake: one sentence with the file, the line and what is wrong: no TOML, an unknown or missing key, an
            impossible value or combination.
        OSError: the file cannot be read.
    """
    try:
        text = files.read_text(path).replace("\r\n", "\n")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise Mistake(f"{path}: the file is not UTF-8 text. Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"^(.*) \(at line (\d+), column \d+\)$", str(error))
        what, line = (place[1], f", line {place[2]}") if place else (str(error), "")
        raise Mistake(f"{path}{line}: this is not TOML: {what}.") from error
    return _Reader(path, raw, line_numbers(text)).plan()


class _Reader:
    """Turns the raw tables into a `Plan`; every complaint knows its line."""

    def __init__(self, path: Path, raw: dict, lines: dict):
        self._path, self._raw, self._lines = path, raw, lines

    def plan(self) -> Plan:
        raw = self._raw
        known = ("name", "title", "question", "steps", "test_prompts", "seeds", "credit", "compare_to")
        self._known_keys((), raw, (*known, "base", "vary", "tune", "arm"))
        name = self._text(("name",))
        if not re.fullmatch(r"[\w-]+", name):
            self._fail(("name",), f"name must be letters, digits, - and _, as it names a folder, got {name!r}")
        seeds = self._seeds(("seeds",))
        tune = self._tune(seeds) if "tune" in raw else None
        base = self._settings(("base",))
        blocks = self._blocks()
        arms = self._arms(tune is not None, blocks)
        plan = Plan(
            path=self._path,
            name=name,
            title=self._text(("title",), name),
            question=self._text(("question",)),
            steps=self._whole(("steps",), 1, 10_000, 100),
            test_prompts=self._whole(("test_prompts",), 8, 4096, 512),
            seeds=seeds,
            compare_to=self._compare_to(arms),
            base=base,
            blocks=blocks,
            arms=arms,
            tune=tune,
            credit=self._credit() if "credit" in raw else None,
        )
        self._try_all(plan)
        return plan

    # ---- parts

    def _blocks(self) -> tuple[Settings, ...]:
        varied = self._ranges(("vary",))
        return tuple(dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values()))

    def _tune(self, seeds: tuple[int, ...]) -> Tune:
        self._known_keys(("tune",), self._table(("tune",)), _names(Tune))
        found = Tune(
            trials=self._whole(("tune", "trials"), 1, 1000, Tune.trials),
            seeds=self._seeds(("tune", "seeds"), Tune.seeds),
            steps=self._whole(("tune", "steps"), 1, 10_000, Tune.steps),
            validation_prompts=self._whole(("tune", "validation_prompts"), 8, 4096, Tune.validation_prompts),
            choose_by=self._one_of(("tune", "choose_by"), CHOICES, Tune.choose_by),
        )
        if shared := sorted(set(found.seeds) & set(seeds)):
            self._fail(
                ("tune", "seeds"),
                f"seed {shared[0]} is among the final seeds too, and those have to be fresh. Tune with other ones",
            )
        return found

    def _credit(self) -> Credit:
        self._known_keys(("credit",), self._table(("credit",)), _names(Credit))
        return Credit(
            set=self._one_of(("credit", "set"), tuple(SETS), Credit.set),
            solutions=self._whole(("credit", "solutions"), 2, 1024, Credit.solutions),
            rollouts=self._whole(("credit", "rollouts"), 1, 1024, Credit.rollouts),
        )

    def _arms(self, is_tuned: bool, blocks: tuple[Settings, ...]) -> tuple[Arm, ...]:
        tables = self._raw.get("arm", [])
        if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
            self._fail(("arm",), "an experiment needs at least one [[arm]]")
        arms: list[Arm] = []
        for i in range(len(tables)):
            arm = self._arm(i)
            if any(arm.name == other.name for other in arms):
                self._fail(("arm", i, "name"), f"two arms are called {arm.name!r}. Give each its own name")
            if arm.ranges and not is_tuned:
                self._fail(("arm", i, "ranges"), "ranges need a [tune] table that says how to search them")
            for key in (*arm.settings, *arm.ranges):
                if key in blocks[0]:
                    place = ("arm", i, key) if key in arm.settings else ("arm", i, "ranges", key)
                    self._fail(place, f"{key} is varied for all arms in [vary], so an arm cannot set it")
            arms.append(arm)
        return tuple(arms)

    def _arm(self, i: int) -> Arm:
        name = self._text(("arm", i, "name"))
        if len(name) > LONGEST_NAME or not name.isprintable():
            self._fail(("arm", i, "name"), f"an arm's name must have 1 to {LONGEST_NAME} printable characters")
        ranges = self._ranges(("arm", i, "ranges"))
        settings = self._settings(("arm", i), ("name", "ranges"))
        if both := next((key for key in ranges if key in settings), None):
            self._fail(("arm", i, both), f"{both} is both fixed and in ranges of arm {name!r}. Keep one")
        return Arm(name, settings, ranges)

    def _compare_to(self, arms: tuple[Arm, ...]) -> str:
        names = tuple(arm.name for arm in arms)
        return self._one_of(("compare_to",), names, names[0])

    def _try_all(self, plan: Plan) -> None:
        """Build the settings of every run there may be, each point of the ranges included."""
        for i, arm in enumerate(plan.arms):
            for block, chosen in itertools.product(plan.blocks, arm.points()):
                try:
                    plan.config(arm, block, chosen, plan.seeds[0], plan.steps)
                except Mistake as error:
                    self._fail(self._place_of(str(error), i), f"{str(error).rstrip('.')} (arm {arm.name!r})")

    def _place_of(self, message: str, arm: int) -> tuple:
        """Where the setting that a complaint of `TrainConfig` names first was given; else the arm's header."""
        for word in re.findall(r"\w+", message):
            for table in (("arm", arm, "ranges"), ("arm", arm), ("vary",), ("base",)):
                if word in _SETTINGS and (*table, word) in self._lines:
                    return (*table, word)
        return ("arm", arm)

    # ---- values

    def _settings(self, place: tuple, others: tuple[str, ...] = ()) -> Settings:
        table = self._table(place)
        self._setting_names(place, table, others)
        found = {key: self._whole_path(key, value) for key, value in table.items() if key not in others}
        for key, value in found.items():
            if isinstance(value, list | dict):
                self._fail((*place, key), f"{key} must be one value here, got {value!r}. Lists belong to ranges")
        return found

    def _ranges(self, place: tuple) -> dict[str, tuple]:
        table = self._table(place)
        self._setting_names(place, table)
        for key, values in table.items():
            if not isinstance(values, list) or not values:
                self._fail((*place, key), f"{key} must be a list of values here, got {values!r}")
            if any(values.count(value) > 1 for value in values):
                self._fail((*place, key), f"{key} lists a value twice: {values!r}")
        return {key: tuple(self._whole_path(key, value) for value in values) for key, values in table.items()}

    def _whole_path(self, key: str, value):
        """A model or a file of problems that lies beside the experiment's file, by its whole path; else as it stands,
        which counts from the repository root.
        """
        folder = self._path.parent
        if key == "model" and isinstance(value, str) and (folder / value).exists():
            return whole_model(value, folder)
        if key == "task" and isinstance(value, str):
            return registry.whole_if_there(value, folder)
        return value

    def _setting_names(self, place: tuple, table: dict, others: tuple[str, ...] = ()) -> None:
        for key in table:
            if key in _DECLARED:
                self._fail((*place, key), f"{key} is the same for all arms: set {_DECLARED[key]} at the top")
        self._known_keys(place, table, (*others, *sorted(_SETTINGS - set(_DECLARED))))

    def _known_keys(self, place: tuple, table: dict, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                advice = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
                self._fail((*place, key), f"unknown key {key!r} in {_called(place)}. {advice}", end="")

    def _table(self, place: tuple) -> dict:
        value = self._value(place, {})
        if not isinstance(value, dict):
            self._fail(place, f"{place[-1]} must be a table of settings, got {value!r}")
        return value

    def _value(self, place: tuple, default):
        value = self._raw
        for key in place:
            if isinstance(value, dict) and key not in value:
                return default
            value = value[key]
        return value

    def _text(self, place: tuple, default: str | None = None) -> str:
        value = self._value(place, default)
        if value is None:
            self._fail(place[:-1], f'{place[-1]} is missing in {_called(place[:-1])}. Add {place[-1]} = "..."')
        if not isinstance(value, str) or not value.strip():
            self._fail(place, f"{place[-1]} must be text, got {value!r}")
        return " ".join(value.split())

    def _whole(self, place: tuple, low: int, high: int, default: int) -> int:
        value = self._value(place, default)
        if type(value) is not int or not low <= value <= high:
            self._fail(place, f"{place[-1]} must be a whole number from {low} to {high}, got {value!r}")
        return value

    def _one_of(self, place: tuple, choices: tuple[str, ...], default: str) -> str:
        value = self._value(place, default)
        if value not in choices:
            self._fail(place, f"{place[-1]} must be one of {', '.join(choices)}, got {value!r}")
        return value

    def _seeds(self, place: tuple, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        value = self._value(place, default)
        if value is None:
            self._fail(place[:-1], "seeds is missing. Add at least one, such as seeds = [100, 101, 102]")
        is_list = isinstance(value, list | tuple) and value and all(type(seed) is int for seed in value)
        if not is_list or len(set(value)) < len(value) or not all(0 <= seed < 2**31 for seed in value):
            self._fail(place, f"seeds must be a list of different whole numbers from 0, got {value!r}")
        return tuple(value)

    def _fail(self, place: tuple, sentence: str, end: str = "."):
        """Raise with the line of `place`, or of the nearest table around it that the file spells out."""
        while place and place not in self._lines:
            place = place[:-1]
        line = f", line {self._lines[place]}" if place else ""
        raise Mistake(f"{self._path}{line}: {sentence}{end}")


def _names(kind) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


def _called(place: tuple) -> str:
    """What a reader calls a table."""
    if not place:
        return "the experiment"
    tables = [part for part in place if isinstance(part, str)]
    return f"[[{tables[0]}]]" if len(place) > 1 and len(tables) == 1 else f"[{'.'.join(tables)}]"


def block_label(block: Settings) -> str:
    """ "reward_noise 0.25, operands 5", or "" for the only block."""
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in block.items()
    )


def groups(plan: Plan) -> Iterator[tuple[Settings, Arm]]:
    """Every block with every arm, in the file's order."""
    return itertools.product(plan.blocks, plan.arms)
