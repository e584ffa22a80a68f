"""The model of the next run: which one, what it is and needs, and fetching or converting one of one's own."""

from __future__ import annotations

import dataclasses
from functools import partial

import streamlit as st

from app import cache, gate, waiting
from app.components.part import part
from app.text import as_plain, as_sentence
from vimpo_core.config import TrainConfig, setting
from vimpo_core.lm import gguf_files, model_check, sources
from vimpo_core.lm.known import KNOWN
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.service import model_service
from vimpo_core.service.helper_process import ENDED

_LOOK, _GET = "model.look", "model.get"
_LOOK_SECONDS, _TRY_SECONDS, _GET_SECONDS = 120, 600, 24 * 3600
_TICK_SECONDS = 0.5
_SEEN_BY_MEMORY = (
    "task",
    "prompt_style",
    "max_new_tokens",
    "partial_rewards",
    "operands",
    "prompts_per_step",
    "group_size",
    "micro_batch_size",
    "lora_rank",
    "lora_layers",
)


def field(key: str) -> str:
    """The choice of a model, kept in the session under `key`: the bundled one, those with a short name, of one's runs
    and that were converted, or what somebody types. Returns the source."""
    st.session_state.setdefault(key, sources.BUNDLED)
    gguf_files.tidy()
    used = [*cache.runs_dir().models(), *map(str, gguf_files.all_converted())]
    options = list(dict.fromkeys([sources.BUNDLED, *KNOWN, *used, st.session_state[key] or sources.BUNDLED]))
    if gate.is_student():  # names no file of the teacher's computer, and fetches nothing onto it
        options = list(dict.fromkeys([sources.BUNDLED, *cache.runs_dir().models()]))
        if st.session_state[key] not in options:
            st.session_state[key] = sources.BUNDLED
    typed = st.selectbox(
        "Model",
        options,
        key=key,
        persist_state="session",
        accept_new_options=not gate.is_student(),
        help=f"{setting('model')['help']} Choose one, or type where it is. Nothing is fetched before you press Fetch.",
        width=560,
    )
    return (typed or sources.BUNDLED).strip() or sources.BUNDLED


def card(config: TrainConfig, in_dialog: bool) -> None:
    """What is known of a model of one's own, or the button that gets it. A dialog goes on looking by itself, as a rerun
    of the page would close it."""
    if config.model == sources.BUNDLED:
        return
    try:
        sources.is_here(config.model)
    except (Mistake, OSError) as error:  # not even a path
        st.warning(as_sentence(error), icon=":material/error:")
        return
    if _is_settled(config):
        waiting.ahead(_looking(config))
    ticks = in_dialog or _is_at_work(config)
    part(_card, run_every=_TICK_SECONDS if ticks else None)(config, in_dialog, ticks)


def _is_at_work(config: TrainConfig) -> bool:
    return any(waiting.is_underway(question) for question in (_looking(config), _getting(config)))


def _is_settled(config: TrainConfig) -> bool:
    try:
        return bool(sources.settled(config.model))
    except (Mistake, OSError):
        return False


def _card(config: TrainConfig, in_dialog: bool, ticks: bool) -> None:
    with st.container(border=True, gap="small"):
        if not sources.is_here(config.model):
            _offer(config)
        elif _is_settled(config):
            _facts(_looking(config))
        else:
            _say_why_not(config)
    if _is_at_work(config) != ticks and not in_dialog:
        st.rerun()  # begins or ends the ticking


def _say_why_not(config: TrainConfig) -> None:
    try:
        sources.settled(config.model)
    except (Mistake, OSError) as error:
        st.warning(as_sentence(error), icon=":material/error:")


def _facts(question: waiting.Question) -> None:
    found = waiting.ahead(question)
    if found is None:
        _wait(question)
        return
    if found["refused"]:
        st.warning(as_sentence(found["refused"]), icon=":material/error:")
    told = [(n, t) for n, t in model_check.lines(found) if n not in ("model", "refused")]
    st.markdown("  \n".join(f":small[**{as_plain(name)}** {as_plain(text)}]" for name, text in told))


def _offer(config: TrainConfig) -> None:
    """Look at it, fetch or convert it, with progress and Cancel."""
    question = _getting(config)
    whole = sources.whole_model(config.model)
    of_hub, named = sources.is_of_hub(whole), KNOWN.get(whole)
    where = "on this machine yet" if of_hub or named else "converted yet"
    st.caption(f"{as_plain(config.model)} is not {where}.")
    if _is_asked(question) and waiting.ahead(question) is None:
        _wait(question)
    if of_hub:
        look = _looking(config)
        if _is_asked(look):
            _facts(look)
        else:
            st.button(
                "Look at it first",
                icon=":material/search:",
                on_click=waiting.send,
                args=(look,),
                help="Fetches its small files alone, to say what it is and what a step will need.",
            )
    if named:
        label = f"Fetch it ({named.megabytes} MB, {named.licence})"
        what = "By pip, without running anything of it; checked by its sha256 and converted once to safetensors."
    elif of_hub:
        label = "Fetch it from the Hugging Face hub"
        what = "Configuration, tokenizer and safetensors files alone, into the hub's usual cache."
    else:
        label, what = "Convert it", "Once, to safetensors in float32."
    st.button(
        label,
        icon=":material/download:" if of_hub or named else ":material/sync:",
        disabled=waiting.is_underway(question),
        on_click=waiting.send,
        args=(question,),
        help=what,
    )


def _is_asked(question: waiting.Question) -> bool:
    """Whether this session asked for it last under its name."""
    asked = waiting.pending(question.name)
    return asked is not None and asked.key == question.key


def _wait(question: waiting.Question) -> None:
    if waiting.is_underway(question):
        waiting.show_progress(question)
    else:
        waiting.say_why_not(question)


def _looking(config: TrainConfig) -> waiting.Question:
    seen = dataclasses.replace(
        TrainConfig(model=config.model), **{name: getattr(config, name) for name in _SEEN_BY_MEMORY}
    )
    return waiting.Question(
        _LOOK,
        (seen, bases.stamp(config.model) if sources.is_here(config.model) else ()),
        partial(model_service.model_service().ask, model_service.look, seen),
        "Looking at the model",
        _LOOK_SECONDS,
        cancelled="Cancelled: nothing was looked at.",
    )


def _getting(config: TrainConfig) -> waiting.Question:
    source = sources.whole_model(config.model)
    doing = "Fetching" if sources.is_of_hub(source) else "Converting"
    return waiting.Question(
        _GET,
        (source,),
        partial(model_service.model_service().ask, model_service.get, source),
        f"{doing} {sources.label(source)}",
        _GET_SECONDS,
        cancelled="Cancelled. What came so far is kept, and is gone on with at the next press.",
        tells_progress=True,
        until="end",
    )


def require(configs: list[TrainConfig]) -> list[str]:
    """Try models and problems of one's own before runs are made of them; returns remarks on what is
    particular about them.

    Raises Mistake, one sentence, if one cannot be trained, or TimeoutError.
    """
    remarks: list[str] = []
    own = {(c.model, c.task): c for c in configs if (c.model, c.task) != (sources.BUNDLED, setting("task")["default"])}
    for config in own.values():
        with st.spinner(f"Loading {sources.label(config.model)} and trying it on a few tokens"):
            asked = model_service.model_service().ask(model_service.try_run, config, timeout=_TRY_SECONDS)
            try:
                remarks += asked.result()
            except ENDED as error:
                raise Mistake(
                    f"{config.model} could not be tried: the process that loaded it was ended, as happens where memory "
                    "is short. Close some programs, or choose a smaller model."
                ) from error
    return remarks
