"""Side by side: the solution above under two policies, of two runs or of two steps of one, on one scale."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app import state, waiting
from app.components.pair_view import pair_view
from app.inspector import about, inspection, others
from app.inspector.inspection import Scene
from app.sources import Source
from app.text import as_plain, as_sentence
from vimpo_core.numbers import signed
from vimpo_core.rules import RULES
from vimpo_core.service import scoring
from vimpo_core.solutions import reading
from vimpo_core.solutions.lenses import credit_of
from vimpo_core.types import CreditTrace
from vimpo_core.views import pair_view as pairs

KEY = "beside"
LIMIT_SECONDS = 30
_PATIENCE_SECONDS = 0.3
_REQUEST = "beside.scoring"
_STEP = "beside-step"


def show(scene: Scene, beta: float, gae_lambda: float) -> None:
    among = others.same_kind(scene)
    if scene.source.tool or not among:
        st.info(as_sentence(scene.source.no_policy("There is no run to set beside it.", "to set beside it")))
        return
    if not scene.trace.text or reading.missing(scene.trace):
        st.info("Token credit of this solution was not recorded, so there is nothing to compare. Choose another one.")
        return
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        first = others.first_other(scene, among) or scene.source.key
        other = others.pick_run(
            "Beside it", "beside", among, first, notes, "A run of the same model and task, or another step.", _STEP
        )
        step = _pick_step(scene, other, notes)
    for note in notes:
        st.info(as_sentence(note))
    if step is None:
        return
    scored = waiting.answer(_question(scene, other, step), _PATIENCE_SECONDS)
    if scored is None:
        return
    second = scored[0].with_(largest_drop=scene.trace.largest_drop)
    payload = _payload(scene, other, step, second, beta, gae_lambda)
    pair_view(
        payload,
        key=KEY,
        about=about.of_solution(scene, beta, gae_lambda),
        token=inspection.selected_token(scene.trace, []),
        on_select=_remember,
    )
    st.caption(_said(scene, other, step, second, beta))


def _pick_step(scene: Scene, other: Source, notes: list[str]) -> int | None:
    """A step whose adapter was kept, by default the nearest one that is not what stands beside it; None without one."""
    is_own = other.key == scene.source.key
    kept = [step for step in other.snapshots if not (is_own and step == scene.step)]
    if not kept:
        more = "another " if is_own and other.snapshots else ""
        st.info(
            f"{as_plain(other.run.name)} kept no adapter of {more or 'any '}step, so no policy of it can score this "
            "solution. Choose another run."
        )
        return None
    step = state.chosen(_STEP, kept, kept[0] if is_own else others.nearest(kept, scene.step), notes, int)
    if len(kept) == 1:
        st.markdown(f"Its step  \n**{step}**")
        return step
    return st.select_slider(
        "Its step", kept, help="Steps whose adapter was kept.", width=220, **state.bound("at", step)
    )


def _question(scene: Scene, other: Source, step: int) -> waiting.Question:
    trace = scene.trace
    asked, ids = (step, trace.prompt_text, trace.completion_text), tuple(map(int, trace.ids))
    return waiting.Question(
        _REQUEST,
        (*other.origin, *asked, ids),
        partial(scoring.scoring_service().ask, scoring.score_solution, other.run_dir, *asked, ids=ids),
        f"Scoring under {other.run.name}, step {step}",
        other.seconds(LIMIT_SECONDS),
        cancelled="Cancelled: there is nothing beside it yet.",
        if_long="Try a shorter solution.",
    )


def _payload(scene: Scene, other: Source, step: int, second: CreditTrace, beta: float, gae_lambda: float) -> dict:
    short = _short(scene, other, step)
    names = (f"{short[0]}, step {scene.step}", f"{short[1]}, step {step}")
    if other.key == scene.source.key:
        names = (short[0].capitalize(), short[1].capitalize())
    baseline = reading.anchor(scene.trace, beta)
    return pairs.policies_payload(scene.trace, second, names, short, beta, gae_lambda, baseline)


def _short(scene: Scene, other: Source, step: int) -> tuple[str, str]:
    """What tells the two policies apart, as short as may be: the rule, the run's name, or the step."""
    own = scene.source
    if other.key == own.key:
        return f"step {scene.step}", f"step {step}"
    return others.name_of(own, other), others.name_of(other, own)


def _said(scene: Scene, other: Source, step: int, second: CreditTrace, beta: float) -> str:
    """How alike the two maps are, where the numbers are from, and what is not alike in how they are read."""
    parts = []
    maps = [credit_of(trace, beta) for trace in (scene.trace, second)]
    if len(scene.trace.text) > 2 and all(delta is not None and np.ptp(delta) > 0 for delta in maps):
        parts.append(f"Correlation of the two δ over {len(scene.trace.text)} tokens: {signed(_correlation(*maps), 2)}.")
    how = scene.trace.provenance.get("logprob", "recorded")
    parts.append(
        f"The first as {how}; the second scored now, with the adapter of step {step}. Both at beta {beta:g}"
        f"{_own_beta(other, step, beta)}, V from the first's {as_plain(reading.anchor_name(scene.trace))}."
    )
    if (note := reading.note(second)) and note != reading.note(scene.trace):
        parts.append(f"Of the second: {as_plain(note)}")
    return " ".join(parts)


def _own_beta(other: Source, step: int, beta: float) -> str:
    rule, own = RULES[other.run.algorithm], other.run.config.at(step).beta
    if "beta" not in rule.settings:
        return f" ({as_plain(rule.name)} trains without one: at another its δ scales)"
    return f" (the second trained with {own:g})" if own != beta else ""


def _correlation(first, second) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def _remember() -> None:
    token = (st.session_state[KEY].get("token") or {}).get("token")
    if isinstance(token, int):
        state.put(token=token)
