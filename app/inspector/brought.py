"""What Inspect says of a solution that another tool recorded: where its numbers come from, and what is not there."""

from __future__ import annotations

import streamlit as st

from app import cache, state
from app.components.part import part
from app.inspector import inspection
from app.sources import Source
from app.text import as_code, as_plain
from app.words.arrays import NAMES, listed
from vimpo_core.formats.trace_files import provenance
from vimpo_core.solutions.visible_text import visible_lines
from vimpo_core.types import CreditTrace

_LOOK_SECONDS = 1.0
LONGEST_TEXT = 2000
"""Characters of another column that are shown."""


def show(scene: inspection.Scene) -> None:
    """One line on the solution above everything else."""
    st.caption(as_plain(f"{line(scene.source.tool, scene.trace)}{mixed(scene)}"))
    if extras := scene.trace.extras:
        with st.expander(f"{len(extras)} other column{'s' if len(extras) > 1 else ''} of its row"):
            as_recorded = [as_plain(visible_lines(str(value), LONGEST_TEXT)) for value in extras.values()]
            st.table({"Column": [as_code(name) for name in extras], "As it was recorded": as_recorded})


def mixed(scene: inspection.Scene) -> str:
    """How many solutions of the step were scored again, so that no numbers of two kinds stand beside each other
    unsaid."""
    run = scene.source.run
    if not run.rescored:
        return ""
    notes, rows = cache.rescored(scene.source.folder, run.run_id, run.version, scene.step)
    others = len(scene.traces) - len(rows)
    if not rows or scene.is_typed:
        return ""
    if not others:
        said = f" All {len(rows)} solutions of this step were" if len(rows) > 1 else " Its one solution was"
        return f"{said} scored again.{one_model(notes)}"
    these = "1 solution was" if len(rows) == 1 else f"{len(rows)} solutions were"
    said = f" Of this step {these} scored again and {others} {'is' if others == 1 else 'are'} as recorded."
    return said + one_model(notes)


def one_model(notes: list[dict]) -> str:
    """A sentence where solutions of several steps were scored by one model, whose policy is not that of each step."""
    of_several = [note for note in notes if len(note.get("steps", ())) > 1]
    if not of_several:
        return ""
    names = listed(list(dict.fromkeys(" against ".join(note["names"]) for note in of_several)))
    return (
        f" Solutions of {max(len(note['steps']) for note in of_several)} steps were scored under one model ({names}): "
        "what changes from step to step is the solutions, not the policy that reads them."
    )


def watch(source: Source, newest: int) -> None:
    """Of a run that is followed: a step that has come since, at once where the newest is looked at."""
    part(_watch, run_every=_LOOK_SECONDS)(source, newest)


def _watch(source: Source, newest: int) -> None:
    steps, _ = cache.steps(source.folder, source.run.run_id, source.run.version, fresh=True)
    if steps[-1] == newest:
        st.caption(f"Followed while it trains: step {newest} is the newest.")
        return
    if not {"step", "group", "sample", "token"} & set(st.query_params):
        st.rerun()  # the pickers stand at the newest step
    st.button(
        f"Step {steps[-1]} is there now: show it",
        icon=":material/sync:",
        on_click=state.put,
        kwargs={"step": None, "group": None, "sample": None, "token": None},
    )


def line(tool: str, trace: CreditTrace) -> str:
    said = provenance(trace)
    by_source: dict[str, list[str]] = {}
    for name, words in NAMES.items():
        by_source.setdefault(said[name], []).append(words)
    missing = by_source.pop("missing", [])
    pieces = "" if trace.has_ids else f"Words, not tokens: {tool} did not record tokens. "
    known = "; ".join(f"{listed(words)} {how}" for how, words in by_source.items())
    return (
        f"Brought from {tool}. {pieces}"
        + (f"{known[:1].upper()}{known[1:]}. " if known else "")
        + (f"Not recorded: {listed(missing)}." if missing else "")
    ).strip()
