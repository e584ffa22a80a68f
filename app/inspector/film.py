"""The film strip: the solution above under every saved policy of its run, and the way to train on from one of them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import state, waiting
from app.components.film_strip import film_strip
from app.inspector import about, fork_form, inspection
from app.text import as_sentence
from vimpo_core.service import scoring
from vimpo_core.service.film import Film, draw_gif, drawing_service, film_solution
from vimpo_core.solutions import lenses
from vimpo_core.views import credit_view

KEY, GIF = "film", "film.gif"
LIMIT_SECONDS = 60
_KEPT_FILMS = 64
_PATIENCE_SECONDS = 0.5


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    source = scene.source
    if not source.snapshots:
        none = "This run kept no adapter, so there is nothing to score the solution with. Choose another run."
        st.info(as_sentence(source.no_policy(none, "of any step to score the solution with")))
        return
    question = _question(scene)
    film = waiting.answer(question)
    if film is None:
        return
    for problem in film.problems.values():
        st.warning(as_sentence(problem), icon=":material/error:")
    notes: list[str] = []
    step = _step(scene, [frame.step for frame in film.frames], notes)
    for note in notes:
        st.info(as_sentence(note))
    film_strip(
        _payload(question.key, beta, gae_lambda, film),
        key=KEY,
        step=step,
        token=inspection.selected_token(scene.trace, []),
        lens=_lens(scene),
        has_group=not scene.is_typed,
        about=about.of_film(scene, beta, gae_lambda),
        on_change=_remember,
    )
    _offer_gif(scene, beta, gae_lambda, film, question.key)
    fork_form.fork_form(source, step)


# --- scoring ---------------------------------------------------------------------------------------------------------


def _question(scene: inspection.Scene) -> waiting.Question:
    source, trace = scene.source, scene.trace
    asked = (trace.prompt_text, trace.completion_text, None if scene.is_typed else tuple(map(int, trace.ids)))
    return waiting.Question(
        "film.scoring",
        (*source.origin, tuple(source.snapshots), *asked),
        partial(scoring.scoring_service().ask, film_solution, source.run_dir, *asked),
        "Scoring under every saved policy",
        source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled: there is no film of this solution yet.",
        if_long="Try a shorter solution.",
    )


@st.cache_resource(max_entries=_KEPT_FILMS, show_spinner=False)
def _payload(key: tuple, beta: float, gae_lambda: float, _film: Film) -> dict:
    return credit_view.film_payload(_film.frames, beta, gae_lambda)


# --- the film as a file ----------------------------------------------------------------------------------------------


def _offer_gif(scene: inspection.Scene, beta: float, gae_lambda: float, film: Film, key: tuple) -> None:
    """The film in the lens that is shown, as an animated picture: drawn at a press, then to be downloaded."""
    lens, theme = _lens(scene), "dark" if st.context.theme.type == "dark" else "light"
    said = about.of_film(scene, beta, gae_lambda)
    question = waiting.Question(
        GIF,
        (*key, beta, gae_lambda, lens, theme),
        partial(drawing_service().ask, draw_gif, film, lens, beta, gae_lambda, said, theme),
        "Drawing the film",
        LIMIT_SECONDS,
        cancelled="Cancelled: no film was written.",
        if_long="Try a shorter solution.",
        tells_progress=True,
        process="drawing process",
    )
    asked = waiting.pending(GIF)
    if waiting.kept(question) is None and (asked is None or asked.key != question.key):
        help = "An animated picture for slides and chats: these tokens step by step, with problem, run and scale."
        send = partial(waiting.send, question, _PATIENCE_SECONDS)
        st.button("Film as GIF", icon=":material/animated_images:", help=help, on_click=send)
    elif file := waiting.answer(question):
        name = f"film-{scene.source.run.run_id}-{lens}.gif"
        label = f"Download the film ({len(file) / 1000:.0f} kB)"
        st.download_button(
            label, file, name, "image/gif", icon=":material/download:", on_click="ignore", key="film.take"
        )


# --- what is selected ------------------------------------------------------------------------------------------------


def _step(scene: inspection.Scene, steps: list[int], notes: list[str]) -> int:
    """The step of the address; by default the newest one that is not after the solution's own."""
    default = max((step for step in steps if step <= scene.step), default=steps[0])
    return state.chosen("film", steps, default, notes, int)


def _lens(scene: inspection.Scene) -> str:
    """The lens of the address, or the nearest that a solution without a group has."""
    lens = inspection.selected_lens(scene.trace, [])
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
