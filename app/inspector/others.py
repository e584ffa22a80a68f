"""Other policies that can read the solution looked at: runs of the same model on the same task, and which adapter of
theirs.
"""

from __future__ import annotations

import streamlit as st

from app import state
from app.inspector.inspection import Scene
from app.sources import Source, sources
from vimpo_core.rules import RULES


def same_kind(scene: Scene) -> dict[str, Source]:
    """key -> run of this scene's model and task, its own included. Whether one kept an adapter is known when it is
    opened.
    """
    own = scene.source.run.config
    return {
        source.key: source
        for source in sources()
        if source.run.algorithm and not source.tool and source.run.last_step is not None
        if (source.run.config.model, source.run.config.task) == (own.model, own.task)
    }


def nearest(steps: list[int], step: int) -> int:
    """The step whose adapter stands nearest, the earlier one of two."""
    return min(steps, key=lambda kept: (abs(kept - step), kept))


def first_other(scene: Scene, among: dict[str, Source]) -> str | None:
    """The run to begin with: another of GRPO or VIMPO, whichever this one is not, of the same folder if possible."""
    wanted = "vimpo" if scene.source.run.algorithm == "grpo" else "grpo"
    found = [source for source in among.values() if source.key != scene.source.key]
    found.sort(key=lambda source: (source.run.algorithm != wanted, source.folder != scene.source.folder))
    return next((source.key for source in found), None)


def pick_run(
    label: str, name: str, among: dict[str, Source], first: str, notes: list[str], help: str, *forget: str
) -> Source:
    """The picker of another run. name: of it in the address; forget: what a change drops from there."""
    key = state.chosen(name, list(among), first, notes)
    key = st.selectbox(
        label,
        list(among),
        format_func=lambda key: among[key].label,
        help=help,
        width=340,
        **state.bound(name, key, *forget),
    )
    return among[key]


def name_of(source: Source, beside: Source) -> str:
    """What tells a run's policy from another's in a word or two."""
    rule = RULES[source.run.algorithm].name
    return rule if source.run.algorithm != beside.run.algorithm else source.run.name
