"""The film strip: the solution above under every saved policy of its run, and the way to train on from one of them."""

from __future__ import annotations

import streamlit as st

from app import cache, state, waiting
from app.components.film_strip import film_strip
from app.inspector import fork_form, inspection
from app.text import as_sentence
from vimpo_core.service import scoring
from vimpo_core.service.film import Film
from vimpo_core.solutions import lenses
from vimpo_core.views import credit_view

KEY = "film"
LIMIT_SECONDS = 60
_REQUEST = "film.scoring"
_KEPT_FILMS = 32


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    source = scene.source
    snapshots = cache.steps(source.folder, source.run.run_id)[1]
    if not snapshots:
        st.info(
            "This run kept no adapter, so there is nothing to score the solution with. Choose another run."
        )
        return
    key = _key(scene, snapshots)
    film = _film(scene, key)
    if film is None:
        return
    for problem in film.problems.values():
        st.warning(as_sentence(problem), icon=":material/error:")
    notes: list[str] = []
    step = _step(scene, [frame.step for frame in film.frames], notes)
    for note in notes:
        st.info(as_sentence(note))
    film_strip(
        _payload(key, beta, gae_lambda, film),
        key=KEY,
        step=step,
        token=inspection.selected_token(scene.trace, []),
        lens=_lens(),
        has_group=not scene.is_typed,
        on_change=_remember,
    )
    fork_form.fork_form(source, step)


# --- scoring ---------------------------------------------------------------------------------------------------------


def _key(scene: inspection.Scene, snapshots: list[int]) -> tuple:
    run, trace = scene.source.run, scene.trace
    ids = None if scene.is_typed else tuple(int(i) for i in trace.ids)
    where = cache.origin(scene.source.folder, run)
    return (*where, tuple(snapshots), trace.prompt_text, trace.completion_text, ids)


@st.cache_resource(max_entries=_KEPT_FILMS, show_spinner=False)
def _kept(key: tuple) -> list[Film]:
    """The place of one film, for all browsers: empty until it was made."""
    return []


def _film(scene: inspection.Scene, key: tuple) -> Film | None:
    """The film, at once where it is kept; else the wait for it, and None."""
    place = _kept(key)
    if place:
        return place[0]
    request = waiting.pending(_REQUEST)
    if request is None or request.asked != key:
        run_dir = scene.source.folder / scene.source.run.run_id
        *_, prompt, solution, ids = key
        request = waiting.send(
            _REQUEST, key,
            lambda: scoring.scoring_service().film(run_dir, prompt, solution, ids, timeout=LIMIT_SECONDS),
        )  # fmt: skip
        if request is None:
            return None
    if not request.future.done():
        waiting.wait(request, "Scoring under every saved policy", LIMIT_SECONDS)
        return None
    film = waiting.result(
        request,
        cancelled="Cancelled: there is no film of this solution yet.",
        too_long=f"The film took longer than {LIMIT_SECONDS} s and was ended. Try a shorter solution.",
        ended="The scoring process ended unexpectedly.",
    )
    if film is not None:
        place.append(film)
    elif st.button("Try again", icon=":material/refresh:"):
        waiting.forget(_REQUEST)
        st.rerun()
    return film


@st.cache_resource(max_entries=2 * _KEPT_FILMS, show_spinner=False)
def _payload(key: tuple, beta: float, gae_lambda: float, _film: Film) -> dict:
    return credit_view.film_payload(_film.frames, beta, gae_lambda)


# --- what is selected ------------------------------------------------------------------------------------------------


def _step(scene: inspection.Scene, steps: list[int], notes: list[str]) -> int:
    """The step of the address; by default the newest one that is not after the solution's own."""
    default = max((step for step in steps if step <= scene.step), default=steps[0])
    return state.chosen("film", steps, default, notes, int)


def _lens() -> str:
    """The lens of the address, or the nearest that a solution without a group has."""
    lens = inspection.selected_lens([])
    if lens in credit_view.FILM_LENSES:
        return lens
    return "values_from_end" if lens in lenses.VALUE_LENSES else lenses.DEFAULT_LENS


def _remember() -> None:
    """Write to the address what was changed in the browser, and only that."""
    selection = st.session_state[KEY].get("view") or {}
    step, token, lens = (selection.get(name) for name in ("step", "token", "lens"))
    if isinstance(step, int):
        state.put(film=step)
    if isinstance(token, int):
        state.put(token=token)
    if lens in credit_view.FILM_LENSES:
        state.put(lens=None if lens == lenses.DEFAULT_LENS else lens)
