"""The models that lie beside an imported run's files: what its training saved, and which of them wrote a step.

A trainer that counts updates logs the solutions of step N after update N, and sampled them before it: under the policy
of N - 1 updates. Of its `checkpoint-M` folders that is the one with M = N - 1. This lab's own step N is that of N
updates (`header["imported"]["updates_behind"]`).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from vimpo_core.lm import adapter_files, sources
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import ADAPTERS_NAME

_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,9})")
_MOST = 200


@dataclass(frozen=True)
class Found:
    """A model beside the run.

    source: its folder, or its base's source. updates: that it had at its saving; None at the end of training, whenever
        that was. is_adapter: on a base that is then the reference. problem: why it cannot be loaded; "" otherwise.
    """

    source: str
    updates: int | None
    is_adapter: bool
    problem: str = ""

    @property
    def name(self) -> str:
        return Path(self.source).name or self.source

    def distance(self, updates: int) -> tuple[int, int]:
        """How many updates it is from a policy of so many; a later one is further than an earlier."""
        late = (10**9 if self.updates is None else self.updates) - updates
        return abs(late), int(late > 0)

    def said(self, step: int, updates: int) -> str:
        """Whose policy it is, for the solutions of a step that a policy of so many updates wrote."""
        what = "adapter" if self.is_adapter else "whole model"
        if self.updates is None:
            return f"{self.name} ({what} saved at the end of training)"
        late = self.updates - updates
        if not late:
            return f"{self.name} ({what}): the policy that wrote step {step}"
        how = f"{abs(late)} update{'s' if abs(late) > 1 else ''} {'later' if late > 0 else 'earlier'}"
        return f"{self.name} ({what}): {how} than the policy that wrote step {step}"


def updates_of(imported: dict, step: int) -> int:
    """How many updates the policy had that wrote a step of a brought run (`header["imported"]`)."""
    return max(0, step - imported.get("updates_behind", 1))


def find(imported: dict, step: int, run_dir: Path | None = None) -> list[Found]:
    """The models beside a brought run's files (`header["imported"]`), or kept in its own folder, the nearest to the
    policy that wrote `step` first; [] where nothing is known. Where it is the model that training began with, an
    adapter's base is the first.
    """
    found: dict[str, Found] = {}
    for place in _places(imported, run_dir):
        for one in _in(place):
            found.setdefault(one.source, one)
        if imported.get("folder") and any(one.updates is not None for one in found.values()):
            break
    updates = updates_of(imported, step)
    nearest = sorted(found.values(), key=lambda one: one.distance(updates))
    base = base_of(nearest)
    return [base, *nearest] if base and not updates else nearest


def _places(imported: dict, run_dir: Path | None) -> list[Path]:
    if folder := imported.get("folder"):
        return [Path(folder), Path(folder).parent]
    if run_dir is None:
        return []
    kept = run_dir.absolute() / ADAPTERS_NAME
    return [kept, *sorted(kept.glob("adapter-*"))]


def _in(place: Path) -> list[Found]:
    with contextlib.suppress(OSError):
        names = sorted(place.iterdir())[: 10 * _MOST]
        marked = [(path, _CHECKPOINT.fullmatch(path.name)) for path in names]
        there = [(path, int(mark[1])) for path, mark in marked if mark and path.is_dir()][:_MOST]
        return [one for path, updates in [*there, (place, None)] if (one := _look(path, updates))]
    return []


def _look(folder: Path, updates: int | None) -> Found | None:
    if adapter_files.is_one(folder):
        return Found(str(folder), updates, True, _problem(folder))
    if (folder / "config.json").is_file():
        return Found(str(folder), updates, False, _problem(folder))
    return None


def _problem(folder: Path) -> str:
    try:
        if adapter_files.is_one(folder):
            sources.adapter_of(str(folder))
            sources.find(sources.base_alike(folder)[0])
        else:
            sources.find(str(folder))
    except (Mistake, OSError) as error:
        return str(error)
    return ""


def sentence(imported: dict, step: int) -> str:
    """Which policy wrote a step, in general."""
    updates = updates_of(imported, step)
    before = "before that step's update, so " if updates < step else ""
    return (
        f"The solutions of step {step} were sampled {before}by the policy of {updates} update"
        f"{'' if updates == 1 else 's'}"
        + ("." if updates else ": the model that training began with, before it learned anything.")
    )


def base_of(found: list[Found]) -> Found | None:
    """The model that training began with, where an adapter names one that is here: the first step was written by it."""
    for one in found:
        if one.is_adapter and not one.problem:
            return Found(sources.base_alike(Path(one.source))[0], 0, False)
    return None
