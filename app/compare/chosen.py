"""The runs that Compare lays over each other: which there are, in arms, and their curves, read once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app import cache
from app.sources import Source, experiment_sources, is_of_experiment, place_of, sources
from app.text import as_plain
from vimpo_core.measure import comparison
from vimpo_core.measure.comparison import Arm, Curves, Member
from vimpo_core.rules import RULES
from vimpo_core.runs.store import RunStore

MOST_IN_A_SENTENCE = 5
SAME_PROBLEMS = (
    "All seeds are measured on the same held-out problems: what other problems would change is not in an "
    "interval of accuracy."
)
_TUNING = ", tuning, "
"""What the experiment runner puts into the name of a run that only chose settings."""
Stamp = tuple[Path, str, str, int]
"""Folder, id, creation time and last step of a run: what its numbers depend on. Another run of the same name, or the
same one grown longer, is read anew."""


@dataclass(frozen=True)
class Chosen:
    """The arms that are compared; `sources` and `curves` by the key of a run."""

    arms: list[Arm]
    sources: dict[str, Source]

    @functools.cached_property
    def curves(self) -> dict[str, Curves]:
        return {key: curves_of(*stamp(self.sources[key])) for arm in self.arms for key in arm.keys}

    def stamps(self, arm: Arm) -> tuple[Stamp, ...]:
        return tuple(stamp(self.sources[key]) for key in arm.keys)

    def of(self, arm: Arm) -> dict[str, Curves]:
        return {key: self.curves[key] for key in arm.keys}


def catalogue() -> dict[str, Source]:
    """Every run with at least one step, by its key: one's own, those of experiments ("NAME/RUN"), the bundled ones."""
    found = sources()
    own = [source for source in found if source.folder == cache.own_folder()]
    bundled = [source for source in found if cache.is_bundled(source.folder)]
    return {
        source.key: source for source in [*own, *experiment_sources(), *bundled] if source.run.last_step is not None
    }


def member(source: Source) -> Member:
    return Member(source.key, source.run.name, source.run.config, place_of(source), _origin(source), not source.tool)


def _origin(source: Source) -> str:
    if is_of_experiment(source):
        return "tuning" if _TUNING in source.run.name else ""
    if source.tool:  # its settings were not recorded, so that they never tell two such runs apart
        rule = RULES[source.run.algorithm].name if (source.run.imported or {}).get("rule") else ""
        return ", ".join(filter(None, [rule, source.tool, f"{source.run.name} ({source.run.run_id})"]))
    return _fork(*stamp(source)[:3])


# Python's own cache: Streamlit takes half a millisecond to make a key of its arguments, for thirty runs as long as to
# read them.
@functools.lru_cache(maxsize=1024)
def _fork(folder: Path, run_id: str, created: str) -> str:
    with RunStore.open(folder / run_id) as store:
        fork = store.header().get("fork")
    return f"fork of {fork['run_id']} at step {fork['step']}" if fork else ""


def stamp(source: Source) -> Stamp:
    return source.folder, source.run.run_id, source.run.created, source.run.last_step


@functools.lru_cache(maxsize=256)
def curves_of(folder: Path, run_id: str, created: str, last_step: int) -> Curves:
    with RunStore.open(folder / run_id) as store:
        return comparison.curves(store.metrics(), None if store.imported() else store.config())


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"; with semicolons where a name has a comma of its own; "and 7 more" after the first few."""
    between = "; " if any("," in name for name in names) else ", "
    if len(names) > MOST_IN_A_SENTENCE:
        return f"{between.join(names[:MOST_IN_A_SENTENCE])} and {len(names) - MOST_IN_A_SENTENCE} more"
    return between.join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)


def has(things: Sequence) -> str:
    return "has" if len(things) == 1 else "have"


def as_lines(sentences: Sequence[str]) -> str:
    return "  \n".join(as_plain(text) for text in sentences)
