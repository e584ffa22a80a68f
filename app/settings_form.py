"""The settings of the next run: grouped fields with help, safe ranges and advice beside the setting it concerns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st

from vimpo_core.config import ALGORITHMS, Advice, TrainConfig, advice, setting
from vimpo_core.tasks.chain import typical_length

BOTH = "both"
CHOICES = {BOTH: "VIMPO and GRPO", "vimpo": "VIMPO", "grpo": "GRPO"}
VIMPO_ONLY = ("actor_coef", "gae_lambda")
_KEY = "train.{}"
_ICONS = {"note": ":material/info:", "caution": ":material/warning:", "danger": ":material/dangerous:"}


@dataclass(frozen=True)
class Field:
    """One number or choice of the form; `step` is the stepper's increment, `format` how the number is shown."""

    name: str
    label: str
    step: float | None = None
    format: str | None = None


GROUPS: dict[str, tuple[Field, ...]] = {
    "Credit": (
        Field("beta", "Beta", 0.05, "%g"),
        Field("actor_coef", "Actor weight c_A", 0.01, "%g"),
        Field("gae_lambda", "Lambda", 0.05, "%g"),
    ),
    "Learning": (
        Field("learning_rate", "Learning rate", 1e-4, "%.1e"),
        Field("steps", "Steps", 10),
        Field("lora_rank", "LoRA rank", 1),
    ),
    "Batch": (
        Field("prompts_per_step", "Prompts a step", 1),
        Field("group_size", "Group size", 1),
        Field("seed", "Seed", 1),
    ),
    "Problems": (
        Field("operands", "Numbers in a problem", 1),
        Field("reward_noise", "Flipped rewards", 0.05, "%.2f"),
    ),
}
EXPERT = (
    Field("lr_schedule", "Schedule"),
    Field("warmup_steps", "Warm-up steps", 1),
    Field("updates_per_batch", "Updates a batch", 1),
    Field("eval_every", "Measure every", 1),
    Field("snapshot_every", "Save adapter every", 1),
    Field("device", "Device"),
    Field("threads", "Threads", 1),
)


def settings_form(
    start: Callable[[list[TrainConfig], str], None], measured_lengths: Mapping[int, float]
) -> None:
    """Draw the form; the start button calls `start` with one config an algorithm and the name typed.

    Args:
        start: raises ValueError or OSError with one sentence, which is then shown; typed values stay.
        measured_lengths: operands -> mean solution length in tokens, where a run has measured it.
    """
    st.session_state.setdefault(_KEY.format("algorithms"), BOTH)
    chosen = st.segmented_control(
        "Algorithm",
        list(CHOICES),
        format_func=CHOICES.get,
        required=True,
        key=_KEY.format("algorithms"),
        persist_state="session",
        help="Both: one job that steps the two in turn, on the same seed and the same prompts.",
    )
    slots = _fields(uses_vimpo=chosen != "grpo")
    row = st.container(horizontal=True, vertical_alignment="bottom")
    name = row.text_input(
        "Name",
        key=_KEY.format("name"),
        persist_state="session",
        placeholder="Named after its settings",
        max_chars=60,
        width=320,
        help="What the run is called in lists. Left empty, it is named after its settings.",
    )
    configs, problem = _configs(chosen)
    for remark in remarks(configs, measured_lengths):
        with slots[remark.setting]:
            show_remark(remark)
    if problem:
        with slots.get(problem.split()[0], st.container()):
            st.warning(problem, icon=":material/error:")
    if row.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(problem),
        help=problem or None,
    ):
        try:
            start(configs, name)
        except (ValueError, OSError) as error:
            st.warning(str(error), icon=":material/error:")


def fill_untouched(config: TrainConfig, algorithms: str) -> None:
    """Begin with a run's settings unless somebody has typed some already. Call before the form is drawn."""
    st.session_state.setdefault(_KEY.format("algorithms"), algorithms)
    for field in _all_fields():
        st.session_state.setdefault(_KEY.format(field.name), getattr(config, field.name))


def _all_fields() -> tuple[Field, ...]:
    return tuple(field for group in GROUPS.values() for field in group) + EXPERT


def _fields(uses_vimpo: bool) -> dict[str, st.delta_generator.DeltaGenerator]:
    """Draw all fields; returns the place for advice under each."""
    slots = {}
    grid = st.grid("auto", min_column_width=240, gap="medium")
    for title, fields in GROUPS.items():
        with grid.container():
            st.markdown(f"**{title}**")
            for field in fields:
                slots[field.name] = _field(field, disabled=not uses_vimpo and field.name in VIMPO_ONLY)
    with st.expander("For experts"):
        grid = st.grid("auto", min_column_width=180)
        for field in EXPERT:
            with grid.container():
                slots[field.name] = _field(field)
    return slots


def _field(field: Field, disabled: bool = False):
    return draw_field(field, _KEY.format(field.name), setting(field.name)["default"], disabled)


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
    parts = [known["help"]]
    if known["safe"]:
        parts.append(f"Safe: {known['safe'][0]:g} to {known['safe'][1]:g}.")
    if known["low"] is not None:
        parts.append(f"Allowed: {known['low']:g} to {known['high']:g}.")
    if field.name in VIMPO_ONLY:
        parts.append("VIMPO only.")
    return " ".join(parts)


def _configs(chosen: str) -> tuple[list[TrainConfig], str]:
    """The configs typed in, or none and the sentence that says what is impossible."""
    values = {field.name: st.session_state[_KEY.format(field.name)] for field in _all_fields()}
    if empty := next((name for name, value in values.items() if value is None), None):
        return [], f"{empty} is empty. Type a number, such as {setting(empty)['default']:g}."
    try:
        return [TrainConfig(algorithm=name, **values) for name in ALGORITHMS if chosen in (BOTH, name)], ""
    except ValueError as error:
        return [], str(error)


def remarks(configs: list[TrainConfig], measured_lengths: Mapping[int, float]) -> list[Advice]:
    """Advice for all configs, each remark once, on settings that the form shows."""
    found: dict[tuple[str, str], Advice] = {}
    for config in configs:
        length = measured_lengths.get(config.operands) or typical_length(config.operands)
        for remark in advice(config, length if math.isfinite(length) else typical_length(config.operands)):
            found.setdefault((remark.setting, remark.text), remark)
    return list(found.values())


def show_remark(remark: Advice) -> None:
    if remark.level == "note":
        st.caption(f"{_ICONS['note']} {remark.text}")
    else:
        st.warning(remark.text, icon=_ICONS[remark.level])
