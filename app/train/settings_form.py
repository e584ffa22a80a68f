"""The settings of the next run: grouped fields with help, safe ranges and advice beside the setting it concerns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from app.settings import Field, draw_field, is_read, remarks, show_remark
from app.text import as_plain, as_sentence
from app.train import model_card, task_card
from vimpo_core.config import TrainConfig, setting
from vimpo_core.mistake import Mistake
from vimpo_core.rules import RULES
from vimpo_core.tasks import Task

FIRST_CHOICE = ["vimpo", "grpo"]
MOST_AT_ONCE = 4
"""Algorithms of one job: more curves over each other cannot be told apart."""
_KEY = "train.{}"
_MODEL = "model"
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


def settings_form(
    start: Callable[[list[TrainConfig], str], None], measured_lengths: Mapping[Task, float], in_dialog: bool = False
) -> None:
    """Draw the form; the start button calls `start` with one config an algorithm and the name typed.

    Args:
        start: raises Mistake or OSError with one sentence, which is then shown; typed values stay.
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
    for key in chosen:
        rule = RULES[key]
        st.caption(f"**{as_plain(rule.name)}** {as_plain(rule.formula)}. {as_plain(rule.differs)}")
    side_by_side, about_model = st.container(horizontal=True, gap="medium"), st.container()
    with side_by_side:
        model = model_card.field(_KEY.format(_MODEL))
    task, about_task = task_card.fields(_KEY, side_by_side), st.container()
    slots = _fields(chosen)
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
    configs, problem = _configs(chosen, model, task)
    if configs:
        with about_model:
            model_card.card(configs[0], in_dialog)
        if not task_card.reads_operands():
            with about_task:
                task_card.card(configs[0], in_dialog)
    for remark in remarks(configs, measured_lengths):
        with slots[remark.setting]:
            show_remark(remark)
    if problem:
        is_of_task = problem.split()[0] in ("task", *(field.name for field in task_card.WORDED))
        with about_task if is_of_task else slots.get(problem.split()[0], st.container()):
            st.warning(problem, icon=":material/error:")
    if row.button(
        "Start training",
        key=_KEY.format("start"),
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(problem),
        help=problem or None,
    ):
        try:
            start(configs, name)
        except (Mistake, OSError) as error:
            st.warning(as_sentence(error), icon=":material/error:")


def typed(name: str):
    """What the form holds for a setting, None before it was drawn."""
    return st.session_state.get(_KEY.format(name))


def fill_untouched(config: TrainConfig, algorithms: list[str]) -> None:
    """Begin with a run's settings unless somebody has typed some already, and with its model and its problems whatever
    was typed. Call before the form is drawn.
    """
    st.session_state[_KEY.format(_MODEL)] = config.model
    task_card.put(config, _KEY)
    st.session_state.setdefault(_KEY.format("algorithms"), algorithms)
    for field in _all_fields():
        st.session_state.setdefault(_KEY.format(field.name), getattr(config, field.name))


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
    return draw_field(field, _KEY.format(field.name), setting(field.name)["default"], disabled)


def _configs(chosen: Sequence[str], model: str, task: str) -> tuple[list[TrainConfig], str]:
    """The configs typed in, or none and the sentence that says what is impossible.

    A setting that an algorithm does not read stays at its default: the run's settings say what made it.
    """
    if not chosen:
        return [], "algorithms: none is chosen. Choose at least one to train."
    worded = () if task_card.reads_operands() else task_card.WORDED
    values = {
        field.name: value
        for field in (*_all_fields(), *worded)
        if _is_asked(field.name)
        and (value := st.session_state.get(_KEY.format(field.name), _MISSING)) is not _MISSING
        and is_read(field.name, chosen)
    }
    if empty := next((name for name, value in values.items() if value is None), None):
        return [], f"{empty} is empty. Type a number, such as {setting(empty)['default']:g}."
    try:
        return [
            TrainConfig(algorithm=key, model=model, task=task, **{n: v for n, v in values.items() if is_read(n, [key])})
            for key in chosen
        ], ""
    except Mistake as error:
        return [], str(error)
