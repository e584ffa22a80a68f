"""Runs as the pages read them: each thing once for all browsers, a bounded number of them kept.

What is returned is shared between sessions: never change it.
"""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from app.words import verdicts
from vimpo_core.formats import export
from vimpo_core.measure import checks
from vimpo_core.measure.telescope import Telescope, reward_against_telescope
from vimpo_core.mistake import Mistake
from vimpo_core.paths import DEMOS, REAL, default_runs_dir
from vimpo_core.runs import bases
from vimpo_core.runs import waits as waiting_times
from vimpo_core.runs.folder import RunsDir, RunSummary, version_of
from vimpo_core.runs.store import RunStore
from vimpo_core.runs.waits import Wait
from vimpo_core.service import second_reading
from vimpo_core.service.class_runs import ClassRuns, with_owners
from vimpo_core.service.classroom import ENVIRONMENT, Classroom
from vimpo_core.solutions import picks
from vimpo_core.types import CreditTrace
from vimpo_core.views import credit_view

FRESH_SECONDS = 1.0
PUBLISHED_SECONDS = 60.0
"""Published runs are finished: to read hundreds of them every second would make each page wait."""
PUBLISHED = verdicts.RESULTS
"""A folder a published experiment: its numbers come with the project, its runs lie there only where somebody made
them.
"""


def own_folder() -> Path:
    return default_runs_dir()


MEMBER = "class.member"
"""Where a session keeps who looks, of a class alone (`gate`)."""


def runs_dir() -> RunsDir:
    """One's own runs, to be changed too: in a class by whom they belong to, and by the teacher."""
    member = st.session_state.get(MEMBER)
    if member is None:
        return RunsDir(own_folder(), read_only=is_class())  # the board for the projector, which nobody is
    return ClassRuns(own_folder(), Classroom(own_folder()), member)


def is_class() -> bool:
    """Whether this is the web server of a class."""
    return bool(os.environ.get(ENVIRONMENT))


def bundled_folder() -> Path:
    return DEMOS


def real_folder() -> Path:
    """The bundled runs of a real language model, whose base weights have to be fetched."""
    return REAL


def is_bundled(folder: Path) -> bool:
    return folder in (DEMOS, REAL)


def bundled_runs() -> list[tuple[Path, RunSummary]]:
    """The bundled runs with their folders: those of the bundled model, newest first, then those of a real one."""
    return [(folder, run) for folder in (DEMOS, REAL) for run in summaries(folder)]


def experiment_folders() -> dict[str, Path]:
    """The runs folder of every experiment that has one, by the experiment's name: those below `experiments/`, beside
    one's own runs folder, and the published ones. A run's id follows from its settings, so one's own remake of a
    published experiment has the same runs and stands for it."""
    found = [*PUBLISHED.glob("*/runs"), *(default_runs_dir().parent / "experiments").glob("*/runs")]
    return {folder.parent.name: folder for folder in sorted(found, key=_is_own) if folder.is_dir()}


def _is_own(folder: Path) -> tuple[bool, Path]:
    return PUBLISHED not in folder.parents, folder


def is_published(experiment: str) -> bool:
    """Whether the experiment's numbers come with the project; its runs need not."""
    return (PUBLISHED / experiment / "results.json").is_file()


@st.cache_data(ttl=FRESH_SECONDS, max_entries=16, show_spinner=False)
def summaries(folder: Path) -> list[RunSummary]:
    """The runs of a folder, newest first; a half-written one is listed with what is wrong in `message`. Only one's own
    can be changed."""
    if PUBLISHED in folder.parents:
        return _published(folder)
    found = RunsDir(folder, folder != own_folder()).list()
    is_of_class = folder == own_folder() and is_class()
    return with_owners(found, Classroom(folder)) if is_of_class else found


@st.cache_data(ttl=FRESH_SECONDS, max_entries=1, show_spinner=False)
def waits(folder: Path) -> dict[str, Wait]:
    """How long each job of one's own folder waits; worked out once for all who wait."""
    return waiting_times.waits(RunsDir(folder, read_only=True))


@st.cache_data(ttl=PUBLISHED_SECONDS, max_entries=16, show_spinner=False)
def _published(folder: Path) -> list[RunSummary]:
    return RunsDir(folder, read_only=True).list()


def origin(folder: Path, run: RunSummary) -> tuple:
    """What every answer of the scoring process about a run is kept by: the run, and where its numbers come from now.
    What was recorded needs no more than `run.version`, as no file of the base model changes it."""
    return str(folder), run.run_id, bases.Origin(run.version, bases.stamp(run.config.model))


def steps(folder: Path, run_id: str, version: str, fresh: bool = False) -> tuple[list[int], list[int]]:
    """Steps with recorded solutions, and steps with a saved adapter, as they were a moment ago unless `fresh`. version:
    of the run's summary. Raises Mistake when the run cannot be read."""
    if fresh:
        _steps.clear(folder, run_id, version)
    return _steps(folder, run_id, version)


@st.cache_data(ttl=FRESH_SECONDS, max_entries=64, show_spinner=False)
def _steps(folder: Path, run_id: str, version: str) -> tuple[list[int], list[int]]:
    with _opened(folder, run_id, version) as store:
        return store.trace_steps(), store.snapshot_steps()


def _opened(folder: Path, run_id: str, version: str) -> RunStore:
    """The run that was asked for, never another one that has its name by now. Raises Mistake; where the run was scored
    again a moment ago the page begins anew."""
    store = RunsDir(folder, read_only=is_bundled(folder)).open(run_id)
    header = store.header()
    if version_of(header) == version:
        return store
    if version.startswith(header["created"]):
        summaries.clear(folder)
        st.rerun()
    raise Mistake(f"run {run_id} was deleted and another one made under its name. Reload the page.")


@st.cache_resource(max_entries=48, show_spinner=False)
def traces(folder: Path, run_id: str, version: str, step: int) -> list[CreditTrace]:
    """The solutions of a step. A committed step never changes but by being scored again; `version` is that of the
    run's summary."""
    with _opened(folder, run_id, version) as store:
        return store.traces(step)


@st.cache_resource(max_entries=48, show_spinner=False)
def rescored(folder: Path, run_id: str, version: str, step: int) -> tuple[list[dict], set[tuple[int, int]]]:
    """How solutions of a brought run were scored again, the last time at the end, and which of a step."""
    with _opened(folder, run_id, version) as store:
        return store.rescored(), store.rescored_rows(step)


@st.cache_resource(max_entries=256, show_spinner=False)
def payload(folder: Path, run_id: str, version: str, step: int, index: int, beta: float, gae_lambda: float) -> dict:
    """`credit_view.inspector_payload` of one solution of a run."""
    return credit_view.inspector_payload(traces(folder, run_id, version, step), index, beta, gae_lambda)


@st.cache_resource(max_entries=48, show_spinner=False)
def telescope(folder: Path, run_id: str, version: str, step: int, beta: float) -> Telescope:
    return reward_against_telescope(traces(folder, run_id, version, step), beta)


@st.cache_resource(max_entries=48, show_spinner=False)
def failed_checks(
    folder: Path, run_id: str, version: str, step: int, beta: float, gae_lambda: float
) -> dict[str, list[int]]:
    """`checks.step_checks` of a step."""
    return checks.step_checks(traces(folder, run_id, version, step), beta, gae_lambda)


@st.cache_resource(max_entries=48, show_spinner=False)
def export_header(folder: Path, run_id: str, version: str, step: int) -> dict:
    """The run's header as exported files state it, with the fingerprint of the step's adapter."""
    with _opened(folder, run_id, version) as store:
        return export.header_of(store, step)


def second_reading_of(folder: Path, run: RunSummary, step: int) -> second_reading.SecondReading | None:
    """The step's wrong solutions under the policy of another bundled run, where that was kept."""
    file = folder / run.run_id / second_reading.FILE
    if not file.is_file():
        return None
    others = tuple((other.run_id, other.version) for other in summaries(folder))
    written = file.stat().st_mtime_ns, file.stat().st_size
    return _second_reading((*origin(folder, run), others, written), folder, run, step)


@st.cache_resource(max_entries=64, show_spinner=False)
def _second_reading(key: tuple, _folder: Path, _run: RunSummary, step: int) -> second_reading.SecondReading | None:
    """Kept by the run, the base model's files, the folder's other runs and the file that was kept."""
    return second_reading.read(_folder / _run.run_id, traces(_folder, _run.run_id, _run.version, step))


def best_example(folder: Path) -> tuple[RunSummary, int, picks.Example] | None:
    """The clearest example of a folder: newest step of the VIMPO run with the largest beta that has one."""
    found = [run for run in summaries(folder) if run.algorithm == "vimpo"]
    for run in sorted(found, key=lambda run: -run.config.beta):
        if best := _best_example_of(folder, run.run_id, run.version, run.config.beta):
            return run, *best
    return None


@st.cache_resource(max_entries=16, show_spinner=False)
def _best_example_of(folder: Path, run_id: str, version: str, beta: float) -> tuple[int, picks.Example] | None:
    for step in reversed(steps(folder, run_id, version)[0]):
        if example := picks.clearest_example(traces(folder, run_id, version, step), beta):
            return step, example
    return None
