"""Settings of a run as fields of a form: who reads one, its help and limits, and the advice beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from vimpo_core.config import Advice, TrainConfig, advice, safe_text, setting
from vimpo_core.lm import sources
from vimpo_core.rules import readers
from vimpo_core.tasks import Task
from vimpo_core.tasks.registry import task_of

_ICONS = {"note": ":material/info:", "caution": ":material/warning:", "danger": ":material/dangerous:"}


@dataclass(frozen=True)
class Field:
    """One number or choice of the form; `step` is the stepper's increment, `format` how the number is shown."""

    name: str
    label: str
    step: float | None = None
    format: str | None = None


def model_facts(config: TrainConfig) -> list[str]:
    """What a line of facts says of a run's model: nothing of the bundled one."""
    return [] if config.model in (sources.BUNDLED, sources.NOT_CHOSEN) else [f"model {sources.label(config.model)}"]


def draw_field(field: Field, key: str, default, disabled: bool = False):
    """One setting, kept in the session under `key`; returns the place for advice under it."""
    known = setting(field.name)
    st.session_state.setdefault(key, default)
    shared = {"key": key, "persist_state": "session", "help": _help(field, known), "disabled": disabled}
    if known["choices"]:
        st.selectbox(field.label, known["choices"], **shared)
    else:
        st.number_input(field.label, step=field.step, format=field.format, **shared)
    return st.container(gap=None)


def _help(field: Field, known: Mapping) -> str:
    parts = [known["help"].replace("*", r"\*")]
    if known["safe"]:
        parts.append(f"Safe: {safe_text(field.name)}.")
    if known["low"] is not None:
        parts.append(f"Allowed: {known['low']:g} to {known['high']:g}.")
    if named := [name.replace("*", r"\*") for name in readers(field.name)]:
        parts.append(f"Read by {', '.join(named)}.")
    parts.append(f"Its name in code and on the command line: `{field.name}`.")
    return " ".join(parts)


def remarks(configs: list[TrainConfig], measured_lengths: Mapping[Task, float]) -> list[Advice]:
    """Advice for all configs, each remark once, on settings that the form shows."""
    found: dict[tuple[str, str], Advice] = {}
    for config in configs:
        length = measured_lengths.get(task_of(config)) or task_of(config).typical_length
        for remark in advice(config, length if math.isfinite(length) else task_of(config).typical_length):
            found.setdefault((remark.setting, remark.text), remark)
    return list(found.values())


def show_remark(remark: Advice) -> None:
    if remark.level == "note":
        st.caption(f"{_ICONS['note']} {remark.text}")
    else:
        st.warning(remark.text, icon=_ICONS[remark.level])
