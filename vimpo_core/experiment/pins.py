"""Which weights and problems an experiment means, settled before it runs: the same at every rerun, whatever became of
the names meanwhile. No torch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.experiment.plan import Plan, Settings, groups
from vimpo_core.files import read_text, write_whole
from vimpo_core.lm import gguf_files, sources
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import registry

NAME = "models.json"
"""In an experiment's folder: what its file calls a model -> what its runs keep of it."""


def settled(plan: Plan, out: Path) -> Plan:
    """The plan as it is carried out: a model of the hub at the commit that it resolved to the first time, a .gguf file
    as the folder that it was converted to. Both are noted in `out`.

    Raises:
        Mistake: a model or a task's file is not on this machine, or cannot be trained; one sentence, before any run.
        OSError: `out` cannot be written.
    """
    known = _read(out)
    pins = known | {
        model: sources.settled(model)
        for model in {config.model for config in _configs(plan)} - set(known)
        if sources.is_of_hub(model) or gguf_files.is_named(model)
    }
    found = _with(plan, pins)
    configs = list(_configs(found))
    for model in {config.model for config in configs}:
        sources.find(model)
    for task in {config.task for config in configs}:
        registry.check_file(task, plan.path.parent)
    if pins != known:
        write_whole(out / NAME, json.dumps(pins, indent=1) + "\n", make_folder=True)
    return found


def as_settled(plan: Plan, out: Path) -> Plan:
    """The plan as it was carried out in `out`, as far as that was begun."""
    return _with(plan, _read(out))


def _read(out: Path) -> dict[str, str]:
    try:
        found = json.loads(read_text(out / NAME))
        return {str(model): str(pin) for model, pin in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise Mistake(
            f"{out / NAME}: this is not what the experiment wrote of its models. Put the old file back, or use another "
            "--out folder."
        ) from error


def _configs(plan: Plan) -> Iterator[TrainConfig]:
    """The settings of every run there may be, but for seed and steps."""
    for block, arm in groups(plan):
        for point in arm.points():
            yield plan.config(arm, block, point, plan.seeds[0], plan.steps)


def _with(plan: Plan, pins: dict[str, str]) -> Plan:
    """The plan with these models in place of their names."""

    def pinned(settings: Settings) -> Settings:
        return {key: pin(key, value) for key, value in settings.items()}

    def pin(key: str, value):
        return pins.get(value, value) if key == "model" else value

    arms = tuple(
        dataclasses.replace(
            arm,
            settings=pinned(arm.settings),
            ranges={key: tuple(pin(key, value) for value in values) for key, values in arm.ranges.items()},
        )
        for arm in plan.arms
    )
    return dataclasses.replace(plan, base=pinned(plan.base), blocks=tuple(map(pinned, plan.blocks)), arms=arms)
