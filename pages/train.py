"""Train VIMPO and GRPO and watch: settings, transport, live curves, newest solutions."""

import streamlit as st

from app import live, routes
from app.components import look
from app.components.live_curves import live_curves
from app.components.part import part
from app.components.solutions import solutions
from app.course import class_place, tours
from app.text import as_plain, as_sentence
from app.train import presets, settings_form, training
from vimpo_core.types import RunState

TICK_SECONDS, FIRST_TICK_SECONDS, QUEUE_SECONDS = 0.5, 0.2, 1.0
"""How often a run is looked at; before its first point, where somebody waits for that; while others are before it."""


def main():
    job = training.selected_job()
    if job is None:
        first_view()
    else:
        show_job(job)


def first_view():
    live.get_ready()
    notes = []
    preset = presets.chosen(notes)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("### Train", width="content")
        play = st.container(width="content")
        st.caption(training.WHO, width="stretch")
        last_run()
        tours.button()
    show_notes([*notes, training.take_note()])
    if said := class_place.seed_words():
        st.markdown(said)
    presets.cards(preset)
    expected(preset)
    with st.expander("Settings", icon=":material/tune:", expanded=tours.is_running()):
        typed = form(preset, training.measured_lengths(training.demo_sights()))
    with play:
        settings_form.start_button(typed, "Play", training.start)
    tours.show("train", {"beta": settings_form.typed("beta"), "job": None})


def last_run():
    if last := training.last_job():
        st.page_link(
            routes.TRAIN,
            label="Last run",
            icon=":material/history:",
            query_params={"job": last.job_id},
            help=f"{training.names(last)}, {last.state}, {training.step_text(last)}.",
        )


def show_notes(notes):
    if notes := [as_plain(note) for note in notes if note]:
        st.info("  \n".join(notes))


def expected(preset):
    """What the chosen preset shows, and the curves of its recorded run."""
    st.markdown(presets.said(preset))
    if curves := presets.curves(preset):
        live_curves(curves, preset.config().steps, key="expected", only=preset.curves)


def form(preset, lengths, in_dialog=False):
    top = st.container(horizontal=True, vertical_alignment="center")
    typed = settings_form.settings_form(lengths, in_dialog)
    with top:
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            help=f"All settings as in “{preset.title}”.",
            on_click=settings_form.fill,
            args=(preset,),
        )
        if typed.configs and (changed := presets.differing(preset, typed)):
            st.caption(f"{changed} other than in “{preset.title}”", width="content")
    if typed.configs:
        st.caption("The same on the command line:")
        st.code(settings_form.command_lines(typed), language="bash", wrap_lines=True)
    return typed


@st.dialog("Settings of the next run", position="right", width="medium")
def drawer(lengths):
    live.get_ready()
    typed = form(presets.pick(), lengths, in_dialog=True)
    settings_form.start_button(typed, "Start training", training.start)


def show_job(job):
    look.name_tab(training.names(job).replace("\\", ""))
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(training.headline(job))
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if job.is_active:
                tours.button(first=tours.FIRST_OF_A_RUN)
            wants_new = st.button("New run", icon=":material/tune:", help="Settings of the next run. This one goes on.")
    if wants_new:
        settings_form.fill_untouched(job.sights[0].config, job.algorithms)
        drawer(training.measured_lengths(job.sights))
    show_notes([training.take_note()])
    is_active, has_begun, is_behind = job.stands
    pace = QUEUE_SECONDS if is_behind else TICK_SECONDS if has_begun else FIRST_TICK_SECONDS
    part(watch, run_every=pace if is_active else None)(job.job_id, job.stands)


def watch(job_id, was):
    """The part that follows the run; when its turn comes, it begins or ends, the page is run once more: the ticking
    changes.
    """
    job = training.find_job(job_id)
    if job is None or job.job_id != job_id or job.stands != was:
        st.rerun()
    transport(job)
    views(job)
    tours.show("train", training.facts(job))


def views(job):
    if not job.has_begun:
        st.caption(training.waiting_words(job))
        return
    page = st.grid(3, min_column_width=380, gap="medium")
    with page.cell(column_span=2):
        live_curves([s.curves for s in job.sights], job.steps, key="curves")
        st.caption(training.whose_problems(job.sights))
    with page.cell():
        if steps := training.newest_solutions(job):
            solutions(steps, training.inspect_link, key="solutions")
            if said := training.whose_credit(steps):
                st.caption(said)


def transport(job):
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.state == RunState.FINISHED:
            afterwards(job)
        else:
            buttons(job)
        st.markdown(training.progress_text(job))
        for line in training.state_lines(job):
            st.markdown(line, width="content")
    st.progress(job.progress)
    if problem := training.take_problem():
        st.warning(as_sentence(problem), icon=":material/error:")


def buttons(job):
    for control in training.controls(job):
        st.button(
            control.label,
            key=f"control_{control.icon}",
            icon=control.icon,
            help=control.help,
            type=control.type,
            disabled=not control.is_enabled,
            on_click=training.act,
            args=(job, control.command),
        )


def afterwards(job):
    st.page_link(
        routes.INSPECT,
        label="Look closer",
        icon=":material/search:",
        query_params=training.inspect_view(job),
        help="Its newest solutions, token by token.",
    )
    st.page_link(
        routes.COMPARE,
        label="Compare",
        icon=":material/stacked_line_chart:",
        query_params=training.compare_view(job),
        help="Its curves beside those of other runs.",
    )


main()
