"""Trainings worth starting with one press, as data: what each shows, its settings, and its recorded run.

Each was run with seed 0 (`python docs/make_presets.py`, which refuses one that does not show what it says); what it
recorded lies in assets/presets.json and is what pages draw before anything was trained. What other seeds came to lies
in assets/preset_seeds.json (`--seed N`). Nothing here imports torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.numbers import percent, significant
from vimpo_core.paths import ASSETS
from vimpo_core.rules import is_read

RECORDED, OTHER_SEEDS = ASSETS / "presets.json", ASSETS / "preset_seeds.json"
LATE = 10
"""Records at the end over which a figure averages."""

Row = Mapping[str, float]
Rows = Mapping[str, Sequence[Row]]
"""Algorithm -> what its run recorded, a row a step."""


@dataclass(frozen=True)
class Preset:
    """One training, of one or more rules side by side.

    shows: what can be seen, in a sentence; figure: the same in the recorded numbers; holds: whether they show it.
    settings: what differs from the defaults; algorithms: the first is what the command line trains.
    curves: the metrics to look at, the first is the picture's; ceiling: of the picture's axis; beside: the preset whose
    first rule is drawn faintly in it, to compare with.
    """

    key: str
    title: str
    shows: str
    algorithms: tuple[str, ...]
    curves: tuple[str, ...]
    figure: Callable[[Rows], str]
    holds: Callable[[Rows], bool]
    settings: Mapping[str, Any] = field(default_factory=dict)
    ceiling: float = 1.0
    beside: str = ""

    def config(self, algorithm: str = "", **others: Any) -> TrainConfig:
        """The settings of one of its runs (the first rule's by default); a setting that the rule does not read is left
        at its default. others: settings in the place of the preset's."""
        algorithm = algorithm or self.algorithms[0]
        own = {name: value for name, value in self.settings.items() if is_read(name, [algorithm])}
        return TrainConfig(**{"algorithm": algorithm} | own | others)

    @property
    def configs(self) -> list[TrainConfig]:
        return [self.config(algorithm) for algorithm in self.algorithms]


def late(rows: Sequence[Row], name: str) -> float:
    """Mean of a metric over the last records that have it."""
    found = [row[name] for row in rows if name in row]
    return sum(found[-LATE:]) / len(found[-LATE:])


def _ends(rows: Sequence[Row], name: str) -> tuple[float, float]:
    """A metric's first and last value."""
    found = [row[name] for row in rows if name in row]
    return found[0], found[-1]


def _accuracies(rows: Rows) -> str:
    """ "40 % right at first, 78 % (VIMPO) and 77 % (GRPO) at the end" """
    first, vimpo = _ends(rows["vimpo"], "sampled_accuracy")
    _, grpo = _ends(rows["grpo"], "sampled_accuracy")
    return f"{percent(first)} right at first, {percent(vimpo)} (VIMPO) and {percent(grpo)} (GRPO) at the end."


def _learns(rows: Rows, *algorithms: str) -> bool:
    """Accuracy rises by more than its noise: 128 problems, twice the standard error of a difference."""
    return all(last - first > 0.12 for first, last in (_ends(rows[a], "sampled_accuracy") for a in algorithms))


def _flat(rows: Rows) -> str:
    _, last = _ends(rows["vimpo"], "sampled_accuracy")
    return f"{percent(last)} right in the end, yet V moves by {late(rows['vimpo'], 'value_range'):.1g} of a reward."


def _first_low(rows: Sequence[Row]) -> int | None:
    """The first step with a mean reward of 0.1 or less."""
    return next((int(row["step"]) for row in rows if row["reward_mean"] <= 0.1), None)


def _runaway(rows: Rows) -> str:
    first, _ = _ends(rows["vimpo"], "reward_mean")
    return f"its reward falls from {significant(first)} below 0.1 in {_first_low(rows['vimpo'])} steps."


def _readable(rows: Rows) -> str:
    vimpo, grpo = (late(rows[a], "mistake_auc") for a in ("vimpo", "grpo"))
    others = f"{percent(vimpo)} of the other tokens; {percent(grpo)} at GRPO's own"
    return f"in its last {LATE} steps lower there than at {others}."


_ALL = (
    Preset(
        "first",
        "First run",
        "VIMPO and GRPO learn the same sums from the same prompts.",
        ("vimpo", "grpo"),
        ("sampled_accuracy", "value_range", "kl_mean"),
        _accuracies,
        lambda rows: _learns(rows, "vimpo", "grpo"),
    ),
    Preset(
        "flat",
        "Beta too small",
        "It learns as well, but its values are flat.",
        ("vimpo", "grpo"),
        ("value_range", "sampled_accuracy", "kl_mean"),
        _flat,
        lambda rows: _learns(rows, "vimpo") and late(rows["vimpo"], "value_range") < 0.001,
        {"beta": 5e-4, "actor_coef": 4e-4, "steps": 60},
        ceiling=0.1,
        beside="first",
    ),
    Preset(
        "noisy",
        "Noisy rewards",
        "A quarter of the rewards is flipped; both still learn.",
        ("vimpo", "grpo"),
        ("sampled_accuracy", "reward_mean", "dead_group_share"),
        _accuracies,
        lambda rows: _learns(rows, "vimpo", "grpo"),
        {"reward_noise": 0.25},
        beside="first",
    ),
    Preset(
        "runaway",
        "The actor runs away",
        "The actor weighs 20 times too much; the value loss alone is fine.",
        ("vimpo", "vimpo_value"),
        ("reward_mean", "sampled_accuracy", "kl_mean"),
        _runaway,
        lambda rows: late(rows["vimpo"], "reward_mean") < 0.1 and late(rows["vimpo_value"], "reward_mean") > 0.6,
        {"actor_coef": 1.0, "steps": 40},
    ),
    Preset(
        "readable",
        "Credit that stays readable",
        "Beta is three times larger: VIMPO's credit stays low at the mistakes that it still makes.",
        ("vimpo", "grpo"),
        ("mistake_auc", "value_range", "sampled_accuracy"),
        _readable,
        lambda rows: late(rows["vimpo"], "mistake_auc") > late(rows["grpo"], "mistake_auc") + 0.15,
        {"beta": 0.3, "actor_coef": 0.1},
    ),
)

PRESETS: dict[str, Preset] = {preset.key: preset for preset in _ALL}
FIRST = "first"
"""The defaults themselves."""


@functools.lru_cache(maxsize=1)
def recorded() -> dict[str, dict[str, list[dict[str, float]]]]:
    """Preset -> algorithm -> the rows of its curves, as seed 0 recorded them; {} where the file is missing."""
    if not RECORDED.is_file():
        return {}
    return {key: {a: run["rows"] for a, run in runs.items()} for key, runs in _file().items()}


@functools.lru_cache(maxsize=1)
def other_seeds() -> dict[str, dict[str, dict[str, Any]]]:
    """Preset -> seed beside 0 -> {"figure", "holds"}: what it came to and whether that shows what is said."""
    return json.loads(OTHER_SEEDS.read_text(encoding="utf-8")) if OTHER_SEEDS.is_file() else {}


def on_how_many_seeds(key: str) -> str:
    """ "Shown on 3 of 3 seeds." """
    tried = other_seeds().get(key, {})
    holds = 1 + sum(one["holds"] for one in tried.values())
    return f"Shown on {holds} of {1 + len(tried)} seeds." if tried else "Tried on one seed."


def recorded_settings() -> dict[str, dict[str, TrainConfig]]:
    """Preset -> algorithm -> the settings that its recorded run was made with."""
    return {
        key: {a: TrainConfig.from_dict(run["settings"]) for a, run in runs.items()} for key, runs in _file().items()
    }


def _file() -> dict[str, Any]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))
