"""Inspect: pick a solution, or type one, and see what each of its tokens was credited with."""

import streamlit as st

from app import routes, state, waiting
from app.components.credit_view import credit_view
from app.components.part import part
from app.components.words_explained import words_explained
from app.course import class_pin, tours
from app.course.lesson import symbol
from app.inspector import about, brought, drop, inspection, sections, typed
from app.sources import pick_source, pick_step, problem_of, sources, state_note
from app.text import as_plain, as_sentence
from app.words.glossary import TERMS
from vimpo_core.solutions import reading
from vimpo_core.types import RunState

SYMBOLS = ("rho", "kappa", "td_terms", "values", "advantages", "kl", "beta", "gae_lambda")
ADAPTERS = f"Steps whose adapter was saved: {TERMS['adapter'].meaning}."
MODES = {"sampled": typed.SAMPLED, "typed": "Type your own"}


def main():
    notes = []
    found = sources()
    if not found:
        nothing_yet()
        return
    waiting.warm_up()  # most of what one may ask for here is answered by the scoring process
    scene, beta, gae_lambda = choose(found, notes)
    for note in [*notes, inspection.take_note()]:
        if note:
            st.info(as_sentence(note))
    if scene is not None:
        scene = drop.with_drop(scene)
        look(scene, beta, gae_lambda)
        tours.show("inspect", inspection.facts(scene, beta))


def nothing_yet():
    st.info(
        "There is no run to look at yet. Train one, or make the bundled runs with `python -m vimpo_core make-demos`."
    )
    if st.button("Train a run", type="primary"):
        st.switch_page(routes.TRAIN)


def choose(found, notes):
    """The pickers, from run to lambda. Returns the scene (None when there is none to show), beta and lambda."""
    mode = state.chosen("mode", list(MODES), "sampled", notes)
    bar = st.container(key="pickers", gap="small")
    row = bar.container(horizontal=True)
    with row:
        source = pick_source(found, notes, "stretch")
    if problem := problem_of(source):
        st.warning(as_sentence(problem), icon=":material/error:")
        return None, None, None
    if note := state_note(source):
        st.warning(as_sentence(note), icon=":material/error:")
    recorded, snapshots = source.steps
    if source.tool and source.run.state == RunState.RUNNING:
        brought.watch(source, recorded[-1])
    with row:
        if mode == "typed":
            step = pick_step(snapshots or recorded, "Adapter of step", ADAPTERS, notes, 170)
        else:
            step = pick_step(recorded, "Training step", "Steps whose solutions were recorded.", notes, 170)
            scene = inspection.pick_solution(source, step, notes)
    with bar.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, gap="xsmall", width="content", vertical_alignment="center"):
            look = {"label_visibility": "collapsed", "width": "content"}
            state.segments("Solution to look at", "mode", MODES, mode, "token", **look)
            if mode == "sampled":
                inspection.quick_picks(source, step)
        with st.container(horizontal=True, width="content"):
            beta = inspection.pick_beta(source, step, notes)
            gae_lambda = inspection.pick_lambda(source, notes)
    if mode == "typed" and source.tool:
        st.info(as_sentence(source.no_policy("", "to score a text with")))
        scene = None
    elif mode == "typed":
        scene = typed.typed_solution(source, step, inspection.example(source, step))
    return scene, beta, gae_lambda


def look(scene, beta, gae_lambda):
    if scene.source.tool:
        brought.show(scene)
    with st.container(key="headline", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(inspection.headline(scene))
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if not scene.is_typed:
                trace = scene.trace
                class_pin.button(class_pin.of_solution(scene.source, scene.step, trace.group_id, trace.sample_idx))
            tours.button()
    if not scene.source.tool:
        drop.offer(scene)
    if scene.step == 0 and not scene.source.tool and inspection.is_at_reference(scene.trace):
        st.caption(
            "Step 0 is untrained: policy and reference are the same, so every credit is exactly 0. Move the step "
            "slider."
        )
    if note := reading.note(scene.trace):
        st.caption(as_plain(note))
    part(views)(scene, beta, gae_lambda, inspection.looked_at(tours.is_running()))


def views(scene, beta, gae_lambda, looked_at):
    """Tabs, credit view and the section that is open. A press in here reruns this part alone; the whole page where it
    chose another solution, or a tour looks on.
    """
    if inspection.looked_at(tours.is_running()) != looked_at:
        st.rerun()
    section = sections.pick(scene)
    view(scene, beta, gae_lambda, is_folded=bool(section))
    if section:
        sections.show(section, scene, beta, gae_lambda)
    else:
        st.caption(f"What the symbols mean: {', '.join(map(symbol, SYMBOLS))}")
        words_explained("adapter", "kl", "nat", "whitened")


def view(scene, beta, gae_lambda, is_folded):
    notes = []
    token, lens = inspection.selected_token(scene.trace, notes), inspection.selected_lens(scene.trace, notes)
    for note in notes:
        st.info(as_sentence(note))
    credit_view(
        inspection.payload(scene, beta, gae_lambda),
        key=inspection.VIEW_KEY,
        token=token,
        lens=lens,
        name=inspection.strip_name(scene),
        about=about.of_solution(scene, beta, gae_lambda),
        is_folded=is_folded,
        on_change=inspection.remember_selection,
    )


main()
