"""The settings of the next run: grouped fields with help, safe ranges and advice beside the setting it concerns."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import gate
from app.settings import Field, draw_field, remarks, show_remark
from app.text import as_plain, as_sentence
from app.train import model_card, task_card
from vimpo_core.config import TrainConfig, setting
from vimpo_core.labs.presets import Preset
from vimpo_core.mistake import Mistake
from vimpo_core.rules import RULES, is_read
from vimpo_core.runs import folder
from vimpo_core.tasks import Task

FIRST_CHOICE = ["vimpo", "grpo"]
MOST_AT_ONCE = 4
"""Algorithms of one job: more curves over each other cannot be told apart."""
_KEY = "train.{}"
_MODEL, _SEED = "model", "seed"
_MISSING = object()


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
        Field("reward_noise_unit", "What flips together"),
    ),
}
EXPERT: dict[str, tuple[Field, ...]] = {
    "Run": (
        Field("lr_schedule", "Schedule"),
        Field("warmup_steps", "Warm-up steps", 1),
        Field("updates_per_batch", "Updates a batch", 1),
        Field("max_grad_norm", "Gradient limit", 0.5, "%g"),
        Field("lora_layers", "LoRA on top layers", 1),
        Field("eval_every", "Measure every", 1),
        Field("eval_prompts", "Validation problems", 16),
        Field("snapshot_every", "Save adapter every", 1),
        Field("device", "Device"),
        Field("threads", "Threads", 1),
    ),
    "VIMPO's switches": (
        Field("value_loss", "Value loss"),
        Field("huber_delta", "Huber delta", 0.1, "%g"),
        Field("baseline", "Baseline"),
        Field("cap_v0", "Highest V_0", 0.1, "%g"),
        Field("kl_estimator", "KL estimate"),
        Field("kl_top_k", "Tokens of top-k KL", 1),
        Field("beta_end", "Beta at the end", 0.05, "%g"),
        Field("actor_schedule", "Schedule of c_A"),
        Field("actor_coef_rule", "Rule of c_A"),
        Field("refresh_every", "Refresh reference every", 1),
    ),
    "Critic and tries": (
        Field("critic_lr", "Critic's learning rate", 1e-4, "%.1e"),
        Field("critic_updates", "Critic updates a batch", 1),
        Field("critic_clip", "Critic clip", 0.05, "%g"),
        Field("vine_rollouts", "Tries a prefix", 1),
        Field("reference_rollouts", "Reference's tries a problem", 1),
    ),
    "Clip and average": (
        Field("clip_low", "Clip below", 0.05, "%g"),
        Field("clip_high", "Clip above", 0.05, "%g"),
        Field("loss_average", "Average over"),
        Field("resample_rounds", "Draw again at most", 1),
        Field("top_entropy_quantile", "Share of tokens learned on", 0.05, "%.2f"),
    ),
}
"""Fields that no chosen algorithm reads are not drawn."""
LABELS: dict[str, str] = {
    field.name: field.label for fields in (*GROUPS.values(), *EXPERT.values(), task_card.WORDED) for field in fields
}
"""Setting -> what its field is called."""
_CODE_NAMES = re.compile(rf"\b({'|'.join(name for name in LABELS if '_' in name)})\b")
"""Names that only code has: a word such as beta or steps means the same on the page."""


@dataclass(frozen=True)
class Typed:
    """What the form holds. configs: one an algorithm, none where something is impossible; problems: setting -> what is
    wrong with it, in the words of the page."""

    configs: list[TrainConfig]
    name: str
    problems: dict[str, str]


def settings_form(measured_lengths: Mapping[Task, float], in_dialog: bool = False) -> Typed:
    """Draw the form, with advice and what is wrong beside the setting that it concerns; returns what it holds.

    Args:
        measured_lengths: task -> mean solution length in tokens, where a run has measured it.
    """
    st.session_state.setdefault(_KEY.format("algorithms"), FIRST_CHOICE)
    chosen = st.multiselect(
        "Algorithms",
        list(RULES),
        format_func=lambda key: RULES[key].name,
        max_selections=MOST_AT_ONCE,
        key=_KEY.format("algorithms"),
        persist_state="session",
        help="Several: one job that steps them in turn, on the same seed and the same prompts.",
    )
    slots = {"algorithms": st.container(gap=None)}
    for key in chosen:
        rule = RULES[key]
        st.caption(f"**{as_plain(rule.name)}** {as_plain(in_words(rule.differs))}")
    side_by_side, about_model = st.container(horizontal=True, gap="medium"), st.container()
    with side_by_side:
        model = model_card.field(_KEY.format(_MODEL))
    task, about_task = task_card.fields(_KEY, side_by_side), st.container()
    slots |= _fields(chosen)
    name = st.text_input(
        "Name",
        key=_KEY.format("name"),
        persist_state="session",
        placeholder="Named after its settings",
        max_chars=60,
        width=320,
        help="What the run is called in lists. Left empty, it is named after its settings.",
    )
    configs, problems = _configs(chosen, model, task)
    if configs:
        with about_model:
            model_card.card(configs[0], in_dialog)
        if not task_card.reads_operands():
            with about_task:
                task_card.card(configs[0], in_dialog)
    for remark in remarks(configs, measured_lengths):
        if remark.setting not in problems:
            with slots[remark.setting]:
                show_remark(dataclasses.replace(remark, text=in_words(remark.text)))
    for setting_name, problem in problems.items():
        with slots.get(setting_name, about_task):
            st.warning(as_sentence(problem), icon=":material/error:")
    return Typed([] if problems else configs, name, problems)


def start_button(typed: Typed, label: str, start: Callable[[list[TrainConfig], str], None]) -> None:
    """The button that starts what was typed. start: gets a config an algorithm and the name; raises Mistake or OSError
    with one sentence, which is then shown, and typed values stay."""
    if st.button(
        label,
        key=_KEY.format("start"),
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(typed.problems),
        help=f"Not possible yet. {_place(next(iter(typed.problems)))} Open Settings." if typed.problems else None,
    ):
        try:
            start(typed.configs, typed.name)
        except (Mistake, OSError) as error:
            st.warning(as_sentence(error), icon=":material/error:")


def command_lines(typed: Typed) -> str:
    """The commands that make the same runs, one a line."""
    lines = []
    for config in typed.configs:
        own = typed.name.strip() and (
            typed.name if len(typed.configs) == 1 else f"{typed.name}: {folder.default_name(config)}"
        )
        lines.append(folder.command_line(config) + (f" --name {shlex.quote(own)}" if own else ""))
    return "\n".join(lines)


def in_words(text: str) -> str:
    """A sentence of the library in the words of the page: a setting is called what its field is called."""
    return _CODE_NAMES.sub(lambda found: f"“{LABELS[found[0]]}”", text)


def _place(name: str) -> str:
    return (
        f"See “{LABELS[name]}”." if name in LABELS else "See the problems." if name == "task" else "See the algorithms."
    )


def typed(name: str):
    """What the form holds for a setting, None before it was drawn."""
    return st.session_state.get(_KEY.format(name))


def configs_of(preset: Preset) -> list[TrainConfig]:
    """The settings of a preset's runs; in a class a student's have the seed of that student."""
    seed = gate.own_seed()
    return preset.configs if seed is None else [dataclasses.replace(config, seed=seed) for config in preset.configs]


def fill_untouched(config: TrainConfig, algorithms: list[str]) -> None:
    """Begin with a run's settings unless somebody has typed some already, and with its model and its problems whatever
    was typed. Call before the form is drawn.
    """
    st.session_state[_KEY.format(_MODEL)] = config.model
    task_card.put(config, _KEY)
    st.session_state.setdefault(_KEY.format("algorithms"), algorithms)
    if (seed := gate.own_seed()) is not None:
        st.session_state.setdefault(_KEY.format(_SEED), seed)
    for field in _all_fields():
        st.session_state.setdefault(_KEY.format(field.name), getattr(config, field.name))


def fill(preset: Preset) -> None:
    """Fill the form with a preset, whatever was typed. Call before the form is drawn."""
    st.session_state[_KEY.format("algorithms")] = list(preset.algorithms)
    st.session_state[_KEY.format("name")] = ""
    st.session_state[_KEY.format(_MODEL)] = setting(_MODEL)["default"]
    task_card.put(TrainConfig(), _KEY)
    for field in _all_fields():
        st.session_state[_KEY.format(field.name)] = preset.settings.get(field.name, _default(field.name))


def _all_fields() -> tuple[Field, ...]:
    return tuple(field for groups in (GROUPS, EXPERT) for group in groups.values() for field in group)


def _fields(chosen: Sequence[str]) -> dict[str, st.delta_generator.DeltaGenerator]:
    """Draw all fields; returns the place for advice under each."""
    slots = {}
    grid = st.grid("auto", min_column_width=240, gap="medium")
    for title, fields in GROUPS.items():
        with grid.container():
            st.markdown(f"**{title}**")
            for field in fields:
                if _is_asked(field.name):
                    slots[field.name] = _field(field, disabled=not is_read(field.name, chosen))
    with st.expander("For experts"):
        for title, fields in EXPERT.items():
            shown = [field for field in fields if is_read(field.name, chosen)]
            if not shown:
                continue
            st.markdown(f"**{title}**")
            grid = st.grid("auto", min_column_width=180)
            for field in shown:
                with grid.container():
                    slots[field.name] = _field(field)
    return slots


def _is_asked(name: str) -> bool:
    """Whether the chosen kind of task reads a setting."""
    return name != "operands" or task_card.reads_operands()


def _field(field: Field, disabled: bool = False):
    return draw_field(field, _KEY.format(field.name), _default(field.name), disabled)


def _default(name: str) -> Any:
    """What a field begins with: in a class the seed is each student's own."""
    own = gate.own_seed() if name == _SEED else None
    return setting(name)["default"] if own is None else own


def _configs(chosen: Sequence[str], model: str, task: str) -> tuple[list[TrainConfig], dict[str, str]]:
    """The configs typed in, and setting -> what is impossible about it, all at once; what is impossible stands in the
    configs at its default, so that advice on the others is not hidden.

    A setting that an algorithm does not read stays at its default: the run's settings say what made it.
    """
    problems = {} if chosen else {"algorithms": "Choose at least one algorithm to train."}
    worded = () if task_card.reads_operands() else task_card.WORDED
    values = {
        field.name: value
        for field in (*_all_fields(), *worded)
        if _is_asked(field.name)
        and (value := st.session_state.get(_KEY.format(field.name), _MISSING)) is not _MISSING
        and is_read(field.name, chosen)
    }
    problems |= {name: problem for name, value in values.items() if (problem := _impossible(name, value))}
    possible = {name: value for name, value in values.items() if name not in problems}

    def made(settings: Mapping[str, Any]) -> list[TrainConfig]:
        return [TrainConfig(algorithm=key, model=model, **_read_by(key, settings)) for key in chosen]

    try:
        return made(possible | {"task": task}), problems
    except Mistake as error:  # of the problems, or of their wording
        about_task = {"task", *(field.name for field in worded)}
        rest = {name: value for name, value in possible.items() if name not in about_task}
        return made(rest), problems | {"task": in_words(str(error))}


def _read_by(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if is_read(name, [key])}


def _impossible(name: str, value: Any) -> str:
    """What is wrong with the value of a field, "" where nothing is."""
    known = setting(name)
    if value is None:
        return f"Empty. Type a number, such as {known['default']:g}."
    if known["low"] is not None and not known["low"] <= value <= known["high"]:
        return f"{value:g} is not possible. Type a number from {known['low']:g} to {known['high']:g}."
    return ""
