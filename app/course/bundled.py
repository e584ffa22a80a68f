"""The bundled runs as the chapters use them: which there are, their steps and solutions."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import cache
from vimpo_core.runs.folder import RunsDir, RunSummary
from vimpo_core.types import CreditTrace

NOTHING = "This chapter looks at a bundled run, and there is none. Make them with `python -m vimpo_core make-demos`."


def runs() -> dict[str, RunSummary]:
    """run_id -> run, those with the largest beta first, GRPO last; only runs that kept solutions and adapters."""
    found = [run for run in cache.summaries(cache.bundled_folder()) if run.algorithm and all(steps(run))]
    return {r.run_id: r for r in sorted(found, key=lambda r: (r.algorithm != "vimpo", -r.config.beta))}


def run_ids() -> tuple[str, ...]:
    return tuple(runs())


def first_run(run_ids: tuple[str, ...]) -> str | None:
    """The default of a run control."""
    return run_ids[0] if run_ids else None


def folder_of(run: RunSummary) -> Path:
    """The run's own folder, as the scoring process wants it."""
    return cache.bundled_folder() / run.run_id


def origin(run: RunSummary) -> tuple:
    """What answers about the run are kept by."""
    return cache.origin(cache.bundled_folder(), run)


def steps(run: RunSummary) -> tuple[list[int], list[int]]:
    """Steps with recorded solutions, and steps with a saved adapter."""
    return cache.steps(cache.bundled_folder(), run.run_id)


def traces(run: RunSummary, step: int) -> list[CreditTrace]:
    """The solutions of a recorded step."""
    return cache.traces(cache.bundled_folder(), run.run_id, run.created, step)


@st.cache_resource(max_entries=8, show_spinner=False)
def _accuracy(run_id: str, created: str) -> float:
    with RunsDir(cache.bundled_folder(), read_only=True).open(run_id) as store:
        measured = (row.get("sampled_accuracy") for row in reversed(store.metrics()))
        return next((value for value in measured if value is not None), float("nan"))


def sampled_accuracy(run: RunSummary) -> float:
    """Share of right answers on the run's validation problems as it was last measured during training; nan when it
    never was.
    """
    return _accuracy(run.run_id, run.created)
