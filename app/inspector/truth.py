"""Is it right? Implied credit beside values found by trying, refined by themselves: 16, then 64, then 256 tries a prefix."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import cache, state, waiting
from app.components.truth_curves import truth_curves
from app.inspector import inspection
from app.text import as_sentence
from vimpo_core.config import flips_text
from vimpo_core.measure.truth import STAGES
from vimpo_core.service import scoring
from vimpo_core.service.scoring import PrefixTruth
from vimpo_core.views import truth_curves as truth_views

KEY = "truth"
LIMIT_SECONDS = 120
_REQUEST, _HELD, _CANCELLED, _SELECTED = "truth.trying", "truth.held", "truth.cancelled", "truth.selected"
_TICK_SECONDS = 0.25
_PATIENCE_SECONDS = 0.3
_KEPT_SOLUTIONS = 64


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    snapshots = cache.steps(scene.source.folder, scene.source.run.run_id)[1]
    if scene.step not in snapshots:
        _no_adapter(scene, snapshots)
        return
    key = _key(scene)
    is_going_on = _next_stage(key) is not None and not _is_held(key)
    st.fragment(_curves, run_every=_TICK_SECONDS if is_going_on else None)(scene, key, beta, is_going_on)


def _curves(scene: inspection.Scene, key: tuple, beta: float, was_going_on: bool) -> None:
    """The part that runs again by itself while the truth is being refined."""
    if st.session_state.pop(_SELECTED, False):
        st.rerun()  # so that the views above follow
    problem = _advance(scene, key)
    is_going_on = _next_stage(key) is not None and not _is_held(key)
    if was_going_on and not is_going_on and not problem:
        st.rerun()  # stop the clock
    found = _kept(key)
    if found:
        truth = found[max(found)]
        algorithm = scene.source.run.algorithm
        truth_curves(
            truth_views.truth_payload(scene.trace, *truth, beta, algorithm),
            key=KEY,
            token=inspection.selected_token(scene.trace, []),
            on_change=_remember,
        )
        st.markdown(
            "  \n".join(
                map(as_sentence, truth_views.reading(scene.trace, truth.policy, beta, truth.reference))
            )
        )
    _status(scene, key, is_going_on)


# --- trying ----------------------------------------------------------------------------------------------------------


def _key(scene: inspection.Scene) -> tuple:
    run, trace = scene.source.run, scene.trace
    where = cache.origin(scene.source.folder, run)
    return (*where, scene.step, trace.prompt_text, trace.completion_text, tuple(trace.ids.tolist()))


@st.cache_resource(max_entries=_KEPT_SOLUTIONS, show_spinner=False)
def _kept(key: tuple) -> dict[int, PrefixTruth]:
    """tries a prefix -> what they found, for all browsers; filled while it is refined."""
    return {}


def _next_stage(key: tuple) -> int | None:
    done = max(_kept(key), default=0)
    return next((stage for stage in STAGES if stage > done), None)


def _is_held(key: tuple) -> bool:
    """Whether the user cancelled, or something failed: nothing more is tried until asked."""
    return st.session_state.get(_HELD) == key


def _advance(scene: inspection.Scene, key: tuple) -> bool:
    """Take what is done and ask for the next stage. True after a problem, which stands on the page."""
    stage = _next_stage(key)
    while stage is not None and not _is_held(key):
        request = waiting.pending(_REQUEST)
        if request is None or request.asked != (key, stage):
            patience = (
                0 if _kept(key) else _PATIENCE_SECONDS
            )  # the first answer at once, the others when they come
            request = waiting.send(_REQUEST, (key, stage), partial(_ask, scene, key, stage), patience)
        if request is None or not request.future.done():
            return request is None
        found = waiting.result(
            request,
            cancelled="Cancelled: what was found so far is kept.",
            too_long=f"{stage} tries took longer than {LIMIT_SECONDS} s and were ended. Try a shorter solution.",
            ended="The trying process ended unexpectedly.",
        )
        if found is None:
            st.session_state[_HELD] = key
            return True
        _kept(key)[stage] = found
        stage = _next_stage(key)
    return False


def _ask(scene: inspection.Scene, key: tuple, stage: int):
    run_dir = scene.source.folder / scene.source.run.run_id
    *_, prompt, solution, ids = key
    return scoring.scoring_service().prefix_values(
        run_dir, scene.step, prompt, solution, stage, ids=ids, timeout=LIMIT_SECONDS
    )


# --- what is said and done around the curves --------------------------------------------------------------------------


def _status(scene: inspection.Scene, key: tuple, is_going_on: bool) -> None:
    done, coming = max(_kept(key), default=0), _next_stage(key)
    with st.container(horizontal=True, vertical_alignment="center"):
        if is_going_on:
            st.progress(done / STAGES[-1], f"{_tries(scene, done)}Trying {coming} times from every prefix…")
            st.button("Cancel", on_click=_cancel, args=(key,))
        elif coming is not None:
            how = "Cancelled" if st.session_state.get(_CANCELLED) == key else "Stopped"
            st.markdown(f"{_tries(scene, done)}{how} before {coming}.")
            st.button("Go on", icon=":material/refresh:", on_click=_go_on)
    if not is_going_on and coming is None:
        st.caption(f"{_tries(scene, done)}{_provenance(scene)}")
    elif done:
        st.caption(_provenance(scene))


def _tries(scene: inspection.Scene, done: int) -> str:
    prefixes = len(scene.trace.text) + 1
    return (
        f"{done} tries from each of {prefixes} prefixes, by the policy and by the reference. " if done else ""
    )


def _provenance(scene: inspection.Scene) -> str:
    """Where the numbers come from, and what is not alike about them."""
    how = scene.trace.provenance.get("logprob", "recorded")
    parts = [
        f"Log-probabilities {how if scene.trace.logprob is not None else 'not recorded'}; the tries were made now, with the "
        f"adapter of step {scene.step}. The soft optimum is another policy's value, what is best at this beta, so the "
        "implied curve need not meet it."
    ]
    config = scene.source.run.config
    if config.reward_noise:
        parts.append(
            f"**In training {flips_text(config.reward_noise, config.reward_noise_unit)} were flipped.** Monte Carlo counts the verifier's own verdicts, "
            "without flips; the policy learned from flipped ones."
        )
    if not scene.is_typed and scene.trace.rewards.get("verifier", scene.trace.reward) != scene.trace.reward:
        parts.append(
            "This solution's own reward was flipped: the last Monte Carlo value is the verifier's verdict, R − group "
            "mean the trainer's."
        )
    return " ".join(parts)


def _no_adapter(scene: inspection.Scene, snapshots: list[int]) -> None:
    if not snapshots:
        st.info(
            "This run kept no adapter, so there is no policy to try the solution with. Choose another run."
        )
        return
    near = min(snapshots, key=lambda step: abs(step - scene.step))
    st.info(
        f"Step {scene.step} kept no adapter, so its policy cannot try the solution again. Kept: {', '.join(map(str, snapshots))}."
    )
    st.button(f"Look at this solution under step {near}", on_click=_look_under, args=(scene.trace, near))


def _look_under(trace, step: int) -> None:
    typed = {"mode": "typed", "problem": trace.prompt_text, "solution": trace.completion_text}
    state.put(**typed, step=step, group=None, sample=None)


def _cancel(key: tuple) -> None:
    st.session_state[_HELD] = st.session_state[_CANCELLED] = key
    if request := waiting.pending(_REQUEST):
        request.future.cancel()


def _go_on() -> None:
    st.session_state.pop(_HELD, None)
    st.session_state.pop(_CANCELLED, None)
    waiting.forget(_REQUEST)


def _remember() -> None:
    token = (st.session_state[KEY].get("view") or {}).get("token")
    if isinstance(token, int):
        state.put(token=token)
        st.session_state[_SELECTED] = True
