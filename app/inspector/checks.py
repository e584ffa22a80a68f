"""Does it add up? What must hold for any solution with credit, checked on this one and on its whole step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app import cache, state, waiting
from app.components.cards import cards
from app.inspector import inspection
from app.text import as_plain, as_sentence
from vimpo_core.measure import checks
from vimpo_core.measure.checks import Check
from vimpo_core.numbers import short
from vimpo_core.service import scoring

LIMIT_SECONDS = 30
_RESULTS = {
    True: ":green[:material/check_circle: holds]",
    False: ":red[:material/cancel: **does not hold**]",
    None: ":gray[:material/help: not checked]",
}


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    above = st.container()  # the wait is drawn below, so that nothing jumps when it is over
    expected, why_not = _expectation(scene)
    found = checks.solution_checks(scene.traces, scene.index, beta, gae_lambda, expected, why_not)
    with above:
        st.markdown(_summary(found))
        _table(found)
    if not scene.is_typed:
        _whole_step(scene, beta, gae_lambda)


# --- the expectation over the vocabulary -----------------------------------------------------------------------------


def _expectation(scene: inspection.Scene) -> tuple[checks.ExpectedDeltas | None, str]:
    """What the model says over the whole vocabulary, asked for once a solution; else None and why it is not there."""
    source, trace = scene.source, scene.trace
    if scene.step not in source.snapshots:
        kept = ", ".join(map(str, source.snapshots)) or "none"
        return None, f"needs the model, but no adapter of step {scene.step} was kept (kept: {kept})"
    ids = tuple(trace.ids.tolist())
    asked = (source.run_dir, scene.step, trace.prompt_text, trace.completion_text, ids)
    question = waiting.Question(
        "sums.expectation",
        (*source.origin, scene.step, trace.prompt_text, ids),
        partial(scoring.scoring_service().ask, scoring.expected_deltas, *asked),
        "Asking the model for its whole vocabulary",
        source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled: the average over the vocabulary was not checked.",
        again="Ask the model again",
    )
    found = waiting.answer(question)
    return found, "being computed" if waiting.is_underway(question) else "the model gave no answer"


# --- this solution ---------------------------------------------------------------------------------------------------


def _summary(found: Sequence[Check]) -> str:
    known = [check for check in found if check.passed is not None]
    wrong = [check for check in known if not check.passed]
    left = f"; {len(found) - len(known)} cannot be checked here" if len(known) < len(found) else ""
    if wrong:
        return f":red[:material/cancel:] **{len(wrong)} of {len(known)} checks do not hold for this solution**{left}."
    return f":green[:material/check_circle:] **All {len(known)} checks hold for this solution**{left}."


def _table(found: Sequence[Check]) -> None:
    """What does not hold comes first, what cannot be checked last."""
    order = sorted(found, key=lambda check: (False, True, None).index(check.passed))
    rows = [
        (_RESULTS[check.passed], as_plain(check.claim), _numbers(check), as_sentence(check.explanation))
        for check in order
    ]
    cards("sums", ("", "What must hold", "Off by (allowed)", "In words"), rows)


def _numbers(check: Check) -> str:
    if check.passed is None:
        return ""
    return f"{short(check.value)} ({short(check.tolerance)}) {check.unit}"


# --- the whole step --------------------------------------------------------------------------------------------------


def _whole_step(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    run = scene.source.run
    failed = cache.failed_checks(scene.source.folder, run.run_id, run.version, scene.step, beta, gae_lambda)
    wrong = {name: indices for name, indices in failed.items() if indices}
    total = len(scene.traces)
    if not wrong:
        st.caption(f"The same checks on recorded numbers hold for all {total} solutions of step {scene.step}.")
        return
    st.markdown(f"**In the whole step {scene.step}**, {total} solutions:")
    for name, indices in wrong.items():
        first = scene.traces[indices[0]]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":red[:material/cancel:] {as_plain(checks.CLAIMS[name])}: not so for {len(indices)} of them.")
            st.button("Open the first one", key=f"sums.{name}", on_click=_open, args=(first,))


def _open(trace) -> None:
    state.put(group=trace.group_id, sample=trace.sample_idx, token=None)
