"""Train on from a step with other settings: a small form that makes a fork and leads to Train."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import streamlit as st

from app import cache, routes
from app.settings import Field, draw_field, remarks, show_remark
from app.sources import Source
from app.text import as_plain, as_sentence
from vimpo_core.config import setting
from vimpo_core.mistake import Mistake
from vimpo_core.rules import is_read
from vimpo_core.runs import forks
from vimpo_core.runs.folder import RunsDir

FIELDS = (
    Field("algorithm", "Algorithm"),
    Field("beta", "Beta", 0.05, "%g"),
    Field("actor_coef", "Actor weight c_A", 0.01, "%g"),
    Field("gae_lambda", "Lambda", 0.05, "%g"),
    Field("learning_rate", "Learning rate", 1e-4, "%.1e"),
    Field("steps", "Steps, the past included", 10),
    Field("group_size", "Group size", 1),
    Field("reward_noise", "Flipped rewards", 0.05, "%.2f"),
    Field("reward_noise_unit", "What flips together"),
)
MORE_STEPS = 50
"""Steps beyond the fork that are offered where the parent was at its end."""
_OPTIMIZER = "fork.optimizer"


def fork_form(source: Source, step: int) -> None:
    """The form for a fork of the run at `step`, closed at first."""
    parent = source.run
    if lineage := _lineage(source.folder, parent.run_id, parent.created):
        st.caption(f"This run is {as_plain(lineage)}.")
    with st.expander(f"Train on from step {step} with other settings", icon=":material/fork_right:"):
        st.caption(
            f"Makes a new run with the steps 0 to {step} of this one; the next update is the first with the new "
            "settings. Seed, problems, model and adapter rank stay as they are."
        )
        values, slots = _fields(source, step)
        optimizer = st.radio(
            "Optimizer state",
            list(forks.OPTIMIZERS),
            format_func=lambda o: _optimizer_words(o, source, step),
            key=_OPTIMIZER,
            persist_state="session",
        )
        try:
            config = dataclasses.replace(parent.config, **values)
        except Mistake as error:
            st.warning(as_sentence(error), icon=":material/error:")
            return
        for remark in remarks([config], {}):
            with slots.get(remark.setting, st.container()):
                show_remark(remark)
        if st.button(f"Train on from step {step}", type="primary", icon=":material/play_arrow:"):
            _start(source, step, config, optimizer)


def _fields(source: Source, step: int) -> tuple[dict, dict]:
    """The typed values by setting, and the places for advice."""
    config, values, slots = source.run.config, {}, {}
    defaults = config.to_dict() | {"steps": max(config.steps, step + 1)}
    if config.steps <= step:
        defaults["steps"] = step + MORE_STEPS
    grid = st.grid("auto", min_column_width=170, gap="medium")
    for field in FIELDS:
        key = f"fork.{source.key}.{field.name}"
        is_idle = not is_read(field.name, [values["algorithm"]]) if "algorithm" in values else False
        with grid.container():
            slots[field.name] = draw_field(field, key, defaults[field.name], disabled=is_idle)
        values[field.name] = st.session_state[key]
    return {name: setting(name)["default"] if value is None else value for name, value in values.items()}, slots


def _optimizer_words(optimizer: str, source: Source, step: int) -> str:
    if optimizer == "fresh":
        return "New: starts at once; its first updates differ from the parent's, whatever the settings"
    seconds = _seconds(source.folder, source.run.run_id, source.run.created, step)
    return (
        f"Exact: makes the steps before again first, about {seconds:.0f} s; then only the new settings make a "
        f"difference"
    )


def _start(source: Source, step: int, config, optimizer: str) -> None:
    runs = cache.runs_dir()
    try:
        runs.fork(source.run.run_id, step, config, optimizer, source=_folder(source.folder))
        runs.ensure_worker()
    except (Mistake, OSError) as error:
        st.warning(as_sentence(error), icon=":material/error:")
        return
    # Train shows the newest job; an address of its own would be two entries of the history.
    st.switch_page(routes.TRAIN)


@st.cache_data(max_entries=64, show_spinner=False)
def _lineage(folder: Path, run_id: str, created: str) -> str:
    """Where the run was forked, in words; "" for one that trained from the start."""
    with _folder(folder).open(run_id) as store:
        fork = store.header().get("fork")
    return forks.describe(fork) if fork else ""


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds(folder: Path, run_id: str, created: str, step: int) -> float:
    """How long the steps before took when they were made."""
    with _folder(folder).open(run_id) as store:
        return sum(row.get("wall_seconds") or 0.0 for row in store.metrics() if row["step"] <= step)


def _folder(folder: Path) -> RunsDir:
    return RunsDir(folder, read_only=cache.is_bundled(folder))
