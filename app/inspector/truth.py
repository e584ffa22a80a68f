"""Is it right? Implied credit beside values found by trying, refined by themselves: 16, then 64, then 256 tries a
prefix.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app import state, waiting
from app.components.part import part
from app.components.truth_curves import truth_curves
from app.inspector import about, inspection
from app.text import as_sentence
from vimpo_core.config import flips_text
from vimpo_core.lm.sources import BUNDLED
from vimpo_core.measure.truth import STAGES, places_of
from vimpo_core.service import scoring
from vimpo_core.solutions import picks
from vimpo_core.solutions.pieces import readable
from vimpo_core.solutions.steps import step_starts
from vimpo_core.views import truth_curves as truth_views

KEY = "truth"
LIMIT_SECONDS = 120
LONG = 40
"""Tokens of a solution above which not every prefix is tried by itself, of a model other than the bundled one."""
SOME, EVERY = "some", "every"
_REQUEST, _HELD, _CANCELLED, _SELECTED = "truth.trying", "truth.held", "truth.cancelled", "truth.selected"
_PATIENCE_SECONDS = 0.3


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    if scene.step not in scene.source.snapshots:
        _no_adapter(scene, scene.source.snapshots)
        return
    _offer_places(scene)
    is_going_on, tick = _is_going_on(scene), None
    if is_going_on:
        question = _question(scene, _next_stage(scene))
        waiting.ahead(question, _PATIENCE_SECONDS)  # asked already: how many are before it sets the pace
        tick = waiting.tick(question)
    part(_curves, run_every=tick)(scene, beta, is_going_on)


def _curves(scene: inspection.Scene, beta: float, was_going_on: bool) -> None:
    """The part that runs again by itself while the truth is being refined."""
    if st.session_state.pop(_SELECTED, False):
        st.rerun()  # so that the views above follow
    problem = _advance(scene)
    is_going_on = _is_going_on(scene)
    if was_going_on and not is_going_on and not problem:
        st.rerun()  # stop the clock
    if done := _done(scene):
        truth = waiting.kept(_question(scene, done))
        algorithm = scene.source.run.algorithm
        truth_curves(
            truth_views.truth_payload(scene.trace, *truth, beta, algorithm, _places(scene)),
            key=KEY,
            token=inspection.selected_token(scene.trace, []),
            about=about.of_solution(scene, beta),
            on_change=_remember,
        )
        st.markdown(
            "  \n".join(
                map(
                    as_sentence,
                    truth_views.reading(scene.trace, truth.policy, beta, truth.reference, _places(scene)),
                )
            )
        )
    _status(scene, done, is_going_on)


def measured(scene: inspection.Scene) -> tuple[np.ndarray | None, int]:
    """The policy's mean reward from every prefix as it was found here, by the most tries that anybody waited for, and
    how many those are; None and 0 where not all prefixes were tried."""
    if scene.step not in scene.source.snapshots or _places(scene) is not None or not (done := _done(scene)):
        return None, 0
    return waiting.kept(_question(scene, done)).policy.value, done


# --- trying ----------------------------------------------------------------------------------------------------------


def _offer_places(scene: inspection.Scene) -> None:
    """Which prefixes to try, of a long solution of a model that takes its time."""
    if not _is_long(scene):
        return
    some = len(places_of(len(scene.trace.text), step_starts(scene.trace))) - 1  # nothing follows the whole solution
    options = {SOME: f"At {some} places", EVERY: f"Every one of {len(scene.trace.text)}"}
    notes: list[str] = []
    where = "where its lines or steps begin" if len(step_starts(scene.trace)) > 1 else "spread evenly"
    st.segmented_control(
        "Prefixes to try",
        list(options),
        format_func=options.get,
        required=True,
        help=f"Each try finishes the solution from there. The places are {where}; what is left out is not tried.",
        **state.bound("prefixes", state.chosen("prefixes", list(options), SOME, notes)),
    )


def _is_long(scene: inspection.Scene) -> bool:
    return len(scene.trace.text) > LONG and scene.source.run.config.model != BUNDLED


def _places(scene: inspection.Scene) -> tuple[int, ...] | None:
    """Lengths of the prefixes that are tried; None for all of them."""
    if not _is_long(scene) or st.query_params.get("prefixes") == EVERY:
        return None
    return places_of(len(scene.trace.text), step_starts(scene.trace))


def _key(scene: inspection.Scene) -> tuple:
    trace = scene.trace
    asked = (trace.prompt_text, trace.completion_text, tuple(trace.ids.tolist()))
    return (*scene.source.origin, scene.step, _places(scene), *asked)


def _question(scene: inspection.Scene, tries: int) -> waiting.Question:
    *_, prompt, solution, ids = key = _key(scene)
    asked = (scene.source.run_dir, scene.step, prompt, solution, tries)
    places = _places(scene)
    options = {} if places is None else {"places": places}
    return waiting.Question(
        _REQUEST,
        (key, tries),
        partial(scoring.scoring_service().ask, scoring.solution_truth, *asked, ids=ids, **options),
        f"Trying {tries} times from {_from_where(scene)}",
        scene.source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled: what was found so far is kept.",
        if_long="Try a shorter solution.",
    )


def _done(scene: inspection.Scene) -> int:
    """The most tries a prefix that anybody has waited for."""
    return max((stage for stage in STAGES if waiting.kept(_question(scene, stage)) is not None), default=0)


def _next_stage(scene: inspection.Scene) -> int | None:
    done = _done(scene)
    return next((stage for stage in STAGES if stage > done), None)


def _is_going_on(scene: inspection.Scene) -> bool:
    """Unless the user cancelled, or something failed: nothing more is tried until asked."""
    return _next_stage(scene) is not None and st.session_state.get(_HELD) != _key(scene)


def _advance(scene: inspection.Scene) -> bool:
    """Take what is done and ask for the next stage. True after a problem, which stands on the page."""
    while _is_going_on(scene):
        question = _question(scene, _next_stage(scene))
        if waiting.ahead(question) is not None:
            continue
        if waiting.is_underway(question):
            return False
        waiting.say_why_not(question)
        st.session_state[_HELD] = _key(scene)
        return True
    return False


# --- what is said and done around the curves --------------------------------------------------------------------------


def _status(scene: inspection.Scene, done: int, is_going_on: bool) -> None:
    key, coming = _key(scene), _next_stage(scene)
    with st.container(horizontal=True, vertical_alignment="center"):
        if is_going_on:
            place = waiting.place(_question(scene, coming))
            doing = f"Trying {coming} times from {_from_where(scene)}" + (f", {place}." if place else "…")
            st.progress(done / STAGES[-1], f"{_tries(scene, done)}{doing}")
            st.button("Cancel", on_click=_cancel, args=(key,))
        elif coming is not None:
            how = "Cancelled" if st.session_state.get(_CANCELLED) == key else "Stopped"
            st.markdown(f"{_tries(scene, done)}{how} before {coming}.")
            st.button("Go on", icon=":material/refresh:", on_click=_go_on)
    if not is_going_on and coming is None:
        st.caption(f"{_tries(scene, done)}{_provenance(scene)}")
    elif done:
        st.caption(_provenance(scene))


def _from_where(scene: inspection.Scene) -> str:
    places = _places(scene)
    return "every prefix" if places is None else f"each of {len(places) - 1} places"


def _tries(scene: inspection.Scene, done: int) -> str:
    """Of prefixes that leave the policy a choice: what nothing follows is known, not tried."""
    if not done:
        return ""
    tried = int((~waiting.kept(_question(scene, done)).policy.is_exact).sum())
    return f"{done} tries from each of {tried} prefixes, by the policy and by the reference. "


def _provenance(scene: inspection.Scene) -> str:
    """Where the numbers come from, and what is not alike about them."""
    how = scene.trace.provenance.get("logprob", "recorded")
    parts = [
        f"Log-probabilities {how if scene.trace.logprob is not None else 'not recorded'}; the tries were made now, "
        f"with the adapter of step {scene.step}. The soft optimum is another policy's value, what is best at this "
        "beta, so the implied curve need not meet it."
    ]
    config = scene.source.run.config
    if config.reward_noise:
        parts.append(
            f"**In training {flips_text(config.reward_noise, config.reward_noise_unit)} were flipped.** Monte Carlo "
            "counts the verifier's own verdicts, without flips; the policy learned from flipped ones."
        )
    if not scene.is_typed and picks.is_flipped(scene.trace):
        parts.append(
            "This solution's own reward was flipped: the last Monte Carlo value is the verifier's verdict, R − group "
            "mean the trainer's."
        )
    return " ".join(parts)


def _no_adapter(scene: inspection.Scene, snapshots: list[int]) -> None:
    if not snapshots:
        none = "This run kept no adapter, so there is no policy to try the solution with. Choose another run."
        st.info(as_sentence(scene.source.no_trying(none, "to try the solution with")))
        return
    near = min(snapshots, key=lambda step: abs(step - scene.step))
    st.info(
        f"Step {scene.step} kept no adapter, so its policy cannot try the solution again. Kept: "
        f"{', '.join(map(str, snapshots))}."
    )
    st.button(f"Look at this solution under step {near}", on_click=_look_under, args=(scene.trace, near))


def _look_under(trace, step: int) -> None:
    typed = {"mode": "typed", "problem": trace.prompt_text, "solution": readable(trace.text)}
    state.put(**typed, step=step, group=None, sample=None)


def _cancel(key: tuple) -> None:
    st.session_state[_HELD] = st.session_state[_CANCELLED] = key
    waiting.cancel(_REQUEST)


def _go_on() -> None:
    st.session_state.pop(_HELD, None)
    st.session_state.pop(_CANCELLED, None)
    waiting.forget(_REQUEST)


def _remember() -> None:
    token = (st.session_state[KEY].get("view") or {}).get("token")
    if isinstance(token, int):
        state.put(token=token)
        st.session_state[_SELECTED] = True
