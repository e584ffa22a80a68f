"""What runs are called until somebody names them, and how those of one name are told apart."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence, Set

from vimpo_core.config import TrainConfig
from vimpo_core.lm import sources
from vimpo_core.measure.comparison import Arm, is_told_by, setting_text
from vimpo_core.rules import RULES

LONGEST_NAME = 80
_TELLS_NOTHING = ("micro_batch_size", "snapshot_every", "threads")
"""Settings that change no number but the time."""

_MOST_RIVALS = 40

Named = tuple[str, TrainConfig | None]
"""A run's name and its settings, None where nobody recorded them."""


def default_name(config: TrainConfig) -> str:
    """What a run is called until somebody names it: "VIMPO beta 0.1, seed 0", with its model unless it is the bundled
    one."""
    return _name(config, f", seed {config.seed}")


def _name(config: TrainConfig, seed: str) -> str:
    rule = RULES[config.algorithm]
    scale = f" beta {config.beta:g}" if rule.value else ""
    model = "" if config.model == sources.BUNDLED else f", {sources.label(config.model)}"
    return f"{rule.name}{scale}{seed}{model}"


def arm_names(found: Sequence[Arm]) -> tuple[str, ...]:
    """What arms are called where one is chosen, newest first: as somebody named the only run of one, else by rule and
    beta and, where that is another arm's name too, by what differs."""
    called = [(_arm_name(arm), dataclasses.replace(arm.config, seed=0)) for arm in found]
    return told_apart(called[::-1])[::-1]


def _arm_name(arm: Arm) -> str:
    first = arm.members[0]
    if not first.is_seeded:
        return arm.label
    made = default_name(first.config)
    if len(arm.members) == 1 and not first.name.startswith(made):
        return first.name
    return ", ".join(filter(None, (_name(first.config, ""), first.origin)))


def told_apart(runs: Sequence[Named]) -> tuple[str, ...]:
    """The names of runs, oldest first, each one once: a run whose name an earlier one has is called by what differs
    as well, or by a number where nothing does. So a new run changes no older one's name."""
    return _told_apart(tuple(runs))


@functools.lru_cache(maxsize=16)
def _told_apart(runs: tuple[Named, ...]) -> tuple[str, ...]:
    names = {name for name, _ in runs}
    found: dict[str, None] = {}
    exact: set[str] = set()
    for number, (name, config) in enumerate(runs):
        if name in exact:
            found[_apart(name, config, _rivals(name, runs[:number]), found.keys() | names)] = None
        else:
            found[name] = None
        exact.add(name)
    return tuple(found)


def _rivals(name: str, earlier: Sequence[Named]) -> list[TrainConfig]:
    """The settings of earlier runs of this name, with or without more behind it, each once."""
    more = (f"{name}, ", f"{name} (")
    found = (config for other, config in earlier if config and (other == name or other.startswith(more)))
    return list(dict.fromkeys(found))[:_MOST_RIVALS]


def new_name(config: TrainConfig, runs: Sequence[Named]) -> str:
    """What a new run of these settings is called beside the runs there are, oldest first."""
    return told_apart([*runs, (default_name(config), config)])[-1]


def _apart(name: str, config: TrainConfig | None, rivals: Sequence[TrainConfig], taken: Set[str]) -> str:
    """A name that is not taken: with the settings that differ from those of earlier runs of the name, as few as do."""
    left, parts = list(rivals), []
    while config is not None and (telling := _most_telling(config, left)):
        parts.append(_said(telling, config))
        left = [rival for rival in left if getattr(rival, telling) == getattr(config, telling)]
    more, number = "".join(f", {part}" for part in parts), 1
    while (found := _fitting(name, more + (f" ({number})" if number > 1 else ""))) in taken:
        number += 1
    return found


def _most_telling(config: TrainConfig, others: Sequence[TrainConfig]) -> str | None:
    """The setting in which it differs from most of the others; None where it differs from none."""
    counts = {
        f.name: sum(getattr(other, f.name) != getattr(config, f.name) for other in others)
        for f in dataclasses.fields(config)
        if f.name not in _TELLS_NOTHING and is_told_by(config, f.name) and _said(f.name, config)
    }
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def _said(name: str, config: TrainConfig) -> str:
    value = getattr(config, name)
    return RULES[value].name if name == "algorithm" else setting_text(name, value)


def _fitting(name: str, more: str) -> str:
    more = more if len(more) < LONGEST_NAME // 2 else f"{more[: LONGEST_NAME // 2 - 1]}…"
    room = LONGEST_NAME - len(more)
    return (name if len(name) <= room else f"{name[: room - 1]}…") + more
