"""The bundled runs as the chapters use them: which there are, their steps and solutions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app import cache
from app.course.lesson import Control
from vimpo_core.runs.folder import RunsDir, RunSummary
from vimpo_core.types import CreditTrace

NOTHING = "This chapter looks at a bundled run, and there is none. Make them with `python -m vimpo_core make-demos`."


def runs() -> dict[str, RunSummary]:
    """run_id -> run, those with the largest beta first, GRPO last; only runs that kept solutions and adapters."""
    found = [run for run in cache.summaries(cache.bundled_folder()) if run.algorithm and all(steps(run))]
    return {r.run_id: r for r in sorted(found, key=lambda r: (r.algorithm != "vimpo", -r.config.beta))}


def run_ids() -> tuple[str, ...]:
    return tuple(runs())


def run_control(help: str) -> Control:
    return Control(
        "run",
        "Run",
        run_ids,
        lambda ids: ids[0] if ids else None,
        help,
        kind="list",
        label_of=lambda run_id: runs()[run_id].name,
    )


def of_first_run(numbers: Callable[[RunSummary], dict[str, str]]) -> dict[str, str]:
    """What a chapter says of the run that it begins with; nothing where there is none."""
    return next((numbers(run) for run in runs().values()), {})


def folder_of(run: RunSummary) -> Path:
    """The run's own folder, as the scoring process wants it."""
    return cache.bundled_folder() / run.run_id


def origin(run: RunSummary) -> tuple:
    """What answers about the run are kept by."""
    return cache.origin(cache.bundled_folder(), run)


def steps(run: RunSummary) -> tuple[list[int], list[int]]:
    """Steps with recorded solutions, and steps with a saved adapter."""
    return cache.steps(cache.bundled_folder(), run.run_id, run.version)


def common_steps(which: int) -> tuple[int, ...]:
    """What all runs have of `steps`: 0 those with solutions, 1 those with an adapter."""
    found = [set(steps(run)[which]) for run in runs().values()]
    return tuple(sorted(set.intersection(*found))) if found else (0,)


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
