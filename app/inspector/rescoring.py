"""Re-score: choose the model that wrote a brought run's solutions, see whether it fits what was recorded, and have
log-probabilities, exact KL and alternatives computed; or take that back.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import streamlit as st

from app import cache, gate, waiting
from app.inspector import inspection
from app.text import as_plain, as_sentence
from vimpo_core.lm import sources
from vimpo_core.lm.known import KNOWN
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.service import models_beside, rescore
from vimpo_core.service.models_beside import Found
from vimpo_core.service.rescore import Asked

LOOK_SECONDS, LIMIT_SECONDS = 900, 12 * 3600
OWN_BASE = "its own base"
AUTO = "the one that fits"
_FRESH_SECONDS = 10.0
_LOOK, _JOB = "rescore.look", "rescore.job"
_MODEL, _REFERENCE, _ROWS, _AT, _ENDED = (f"rescore.{name}" for name in ("model", "other", "rows", "at", "ended"))
_PROBLEM, _DONE = "rescore.problem", "rescore.done"


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    if not scene.source.tool or scene.is_typed:
        st.info("Only solutions that another tool recorded are scored again: of those trained here all was recorded.")
        return
    if gate.is_student():
        st.info("In a class the teacher scores a brought run again, with models of this computer.")
        return
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(as_sentence(problem), icon=":material/error:")
    if done := st.session_state.pop(_DONE, ""):
        st.success(as_plain(done), icon=":material/check:")
    run = scene.source.run
    notes, rows = cache.rescored(scene.source.folder, run.run_id, run.version, scene.step)
    _what_is_scored(scene, notes, len(rows))
    if _is_at_work(scene):
        return
    _offer_the_rest(scene)
    asked = _form(scene)
    if asked is not None:
        _check_and_go(scene, asked)


# --- what lies over the recorded -------------------------------------------------------------------------------------


def _what_is_scored(scene: inspection.Scene, notes: list[dict], rows: int) -> None:
    if not notes:
        st.markdown(
            f"Nothing of this run was scored again: every number is {as_plain(scene.source.tool)}'s own. With the "
            "model that wrote its solutions, log-probabilities, exact KL and alternatives can be computed, and VIMPO's "
            "credit read off."
        )
        return
    last, of_step = notes[-1], len(scene.traces)
    these = "All solutions of this step" if rows == of_step else f"{rows} of the {of_step} solutions of this step"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{these}** were scored again{'' if rows == of_step else ', the others are as recorded'}. The last time "
            f"{last['rows']} solution{'s' if last['rows'] > 1 else ''} under "
            f"{as_plain(' against '.join(last['names']))}, temperature {last['temperature']:g}.",
            width="stretch",
        )
        st.button(
            "Take it back",
            icon=":material/undo:",
            help="What was recorded was never overwritten: the solutions are then as they were before it.",
            on_click=_take_back,
            args=(scene,),
        )


def _offer_the_rest(scene: inspection.Scene) -> None:
    """A re-scoring that ended before it was done, as with the server: what it has is kept."""
    with cache.runs_dir().open(scene.source.run.run_id) as store:
        found = rescore.unfinished(store)
    if found is None:
        return
    asked, kept = found
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"A re-scoring under {as_plain(sources.label(asked.model))} ended after {kept} of {len(asked.places)} "
            "solutions. They are kept, and shown once all are there.",
            width="stretch",
        )
        st.button("Go on with it", icon=":material/play_arrow:", on_click=_go, args=(scene, asked))
        st.button("Drop it", icon=":material/delete:", on_click=_drop, args=(scene,))


def _drop(scene: inspection.Scene) -> None:
    try:
        rescore.drop(scene.source.run_dir)
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = str(error)


def _take_back(scene: inspection.Scene) -> None:
    try:
        note = rescore.undo(scene.source.run_dir)
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = str(error)
        return
    st.session_state[_DONE] = f"Taken back: {note['rows']} solutions are what they were before."
    waiting.forget(_JOB)
    cache.summaries.clear(scene.source.folder)


# --- what to score, and with what ------------------------------------------------------------------------------------


def _form(scene: inspection.Scene) -> Asked | None:
    imported = _imported(scene)
    place = imported.get("folder"), scene.source.run_dir
    found = _beside(*place, imported.get("updates_behind", 1), scene.step)
    st.caption(
        as_plain(models_beside.sentence(imported, scene.step)) + ("" if found else " No model lies beside its files.")
    )
    with st.container(horizontal=True, gap="medium"):
        model = _model(scene, found)
        reference = _reference(found, model)
        which = _rows(scene)
    with st.expander("Temperature and end token"), st.container(horizontal=True, gap="medium"):
        temperature = st.selectbox(
            "Temperature",
            [AUTO, "1", "0.7"],
            key=_AT,
            accept_new_options=True,
            help="Of both distributions. Left alone: the one at which the recorded log-probabilities fit, else the one "
            "that was recorded, else 1.",
            width=220,
        )
        as_ended = st.checkbox(
            "Score an end token where it was not recorded how a solution ended",
            key=_ENDED,
            help="Tools that write text alone leave the end token out. It is only right where solutions were not cut.",
        )
    try:
        if not model:
            st.caption("Choose the model that wrote these solutions, or type where it is.")
            return None
        at = None if temperature in (AUTO, None) else float(temperature)
        return Asked(sources.settled(model), which, reference and sources.settled(reference), at, as_ended)
    except ValueError as error:
        why = error if isinstance(error, Mistake) else f"temperature must be a number, got {temperature!r}."
        st.warning(as_sentence(why), icon=":material/error:")
    except OSError as error:
        st.warning(as_sentence(error), icon=":material/error:")
    return None


def _imported(scene: inspection.Scene) -> dict:
    """What the header says of where the run comes from."""
    return scene.source.run.imported or {}


@st.cache_data(ttl=_FRESH_SECONDS, max_entries=32, show_spinner=False)
def _beside(folder: str | None, run_dir: Path, behind: int, step: int) -> list[Found]:
    return models_beside.find({"folder": folder, "updates_behind": behind}, step, run_dir)


def _model(scene: inspection.Scene, found: list[Found]) -> str:
    updates = models_beside.updates_of(_imported(scene), scene.step)
    said = {one.source: one.said(scene.step, updates) for one in found}
    used = dict.fromkeys([*cache.runs_dir().models(), sources.BUNDLED, *KNOWN])
    options = [*said, *(model for model in used if model not in said)]
    if (typed := st.session_state.get(_MODEL)) and typed not in options:
        options.append(typed)
    chosen = st.selectbox(
        "Model that wrote them",
        options,
        index=0 if said else None,
        key=_MODEL,
        format_func=lambda source: said.get(source, source),
        accept_new_options=True,
        placeholder="a folder, org/name, a .gguf file",
        help="A checkpoint of the training: a PEFT adapter's folder is taken with its base as the reference. Or any "
        "model that is on this machine.",
        width=520,
    )
    problem = next((one.problem for one in found if one.source == chosen and one.problem), "")
    if problem:
        st.warning(as_sentence(problem), icon=":material/error:")
    return (chosen or "").strip()


def _reference(found: list[Found], model: str) -> str:
    base = models_beside.base_of(found)
    options = [OWN_BASE, *dict.fromkeys([*([base.source] if base else []), sources.BUNDLED, *KNOWN])]
    if (typed := st.session_state.get(_REFERENCE)) and typed not in options:
        options.append(typed)
    chosen = st.selectbox(
        "Reference",
        options,
        key=_REFERENCE,
        accept_new_options=True,
        help="What the policy is compared with: an adapter's own base, or another model with the same tokenizer. A "
        "whole model has no base: name the one that training began with.",
        width=240,
    )
    if chosen in (OWN_BASE, None):
        return model if base and model == base.source else ""  # before it learned anything it is its own reference
    return chosen.strip()


def _rows(scene: inspection.Scene) -> tuple[rescore.Place, ...]:
    traces, trace = scene.traces, scene.trace
    choices = {
        "solution": ("This solution", [trace]),
        "group": ("This prompt's", rescore.of_group(traces, trace.group_id)),
        "spread": ("Those that differ most in reward", rescore.spread(traces)),
        "step": ("This step's", traces),
    }
    chosen = st.selectbox(
        "Solutions",
        [*choices, "all"],
        index=2,
        key=_ROWS,
        format_func=lambda name: f"{choices[name][0]} ({len(choices[name][1])})" if name in choices else "All steps'",
        help="Every one is scored under the same model. Of another step it is some updates off.",
        width=260,
    )
    if chosen != "all":
        return rescore.places_of(choices[chosen][1])
    with cache.runs_dir().open(scene.source.run.run_id) as store:
        return rescore.all_places(store)


# --- check, go, wait -------------------------------------------------------------------------------------------------


def _check_and_go(scene: inspection.Scene, asked: Asked) -> None:
    look = _looking(scene, asked)
    pending = waiting.pending(_LOOK)
    is_asked = pending is not None and pending.key == look.key
    if not is_asked:
        st.button(
            "Check it",
            type="primary",
            icon=":material/rule:",
            on_click=waiting.send,
            args=(look,),
            help="Loads the model and compares three solutions with what was recorded. Nothing is written.",
        )
        return
    found = waiting.answer(look)
    if found is None:
        return
    lines = "  \n".join(map(as_plain, found.sentences))
    (st.warning if found.is_doubtful else st.info)(lines, icon=":material/rule:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Score {found.solutions} solution{'s' if found.solutions > 1 else ''} ({found.tokens:,} tokens)",
            type="primary",
            icon=":material/play_arrow:",
            on_click=_go,
            args=(scene, asked),
        )
        st.caption("In the background: it goes on if the page is closed, and shows nothing before all of it is there.")
    st.code(rescore.command_line(scene.source.run.run_id, asked), language="bash", wrap_lines=True)


def _stamps(asked: Asked) -> tuple:
    return tuple(bases.stamp(source) for source in (asked.model, asked.reference) if source)


def _looking(scene: inspection.Scene, asked: Asked) -> waiting.Question:
    return waiting.Question(
        _LOOK,
        (scene.source.folder, scene.source.run.run_id, scene.source.run.version, asked, _stamps(asked)),
        partial(rescore.rescore_service().ask, rescore.look, scene.source.run_dir, asked),
        "Loading the model and checking three solutions",
        LOOK_SECONDS,
        cancelled="Cancelled: nothing was checked.",
        if_long="Choose fewer solutions or a smaller model.",
    )


def _go(scene: inspection.Scene, asked: Asked) -> None:
    waiting.send(
        waiting.Question(
            _JOB,
            (scene.source.folder, scene.source.run.run_id, time.time()),  # each press is another one
            partial(rescore.rescore_service().ask, rescore.in_service, scene.source.run_dir, asked),
            f"Scoring {len(asked.places):,} solutions",
            LIMIT_SECONDS,
            cancelled="Cancelled: nothing is shown, and what was scored is kept.",
            if_long="The same as a command has no limit.",
            again="",
            tells_progress=True,
            until="end",
        )
    )


def _is_at_work(scene: inspection.Scene) -> bool:
    """Progress of this run's job; what came of it, once."""
    job = waiting.pending(_JOB)
    if job is None or job.key[:2] != (scene.source.folder, scene.source.run.run_id):
        return False
    note = waiting.answer(job)
    if note is not None:
        st.session_state[_DONE] = (
            f"Scored {note['rows']} solutions under {' against '.join(note['names'])} at temperature "
            f"{note['temperature']:g}. "
            + (
                rescore.UNMOVED
                if note["unmoved"]
                else "Least explained, above, opens the one whose credit and reward disagree most."
            )
        )
        waiting.forget(_JOB)
        cache.summaries.clear(scene.source.folder)
        st.rerun()
    if waiting.is_underway(job):
        return True
    waiting.forget(_JOB)
    return False
