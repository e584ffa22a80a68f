"""Train VIMPO and GRPO and watch: settings, transport, live curves, newest solutions."""

import streamlit as st

from app import routes
from app.components import look
from app.components.live_curves import live_curves
from app.components.solutions import solutions
from app.course import tours
from app.text import as_sentence
from app.train import settings_form, training
from vimpo_core.types import RunState

TICK_SECONDS = 0.5


def main():
    job = training.selected_job()
    if job is None:
        first_view()
    else:
        show_job(job)


def first_view():
    demos = training.demo_sights()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown("### Train a run")
        tours.button()
    st.caption(training.WHO, width=820)
    if note := training.take_note():
        st.info(note)
    if last := training.last_job():
        st.page_link(
            routes.TRAIN,
            label=f"Show the last run: {training.names(last)}, {last.state}, {training.step_text(last)}",
            icon=":material/history:",
            query_params={"job": last.job_id},
        )
    settings_form.settings_form(training.start, training.measured_lengths(demos))
    if demos:
        st.markdown("#### What to expect: the bundled runs")
        live_curves([s.curves for s in demos], max(s.config.steps for s in demos), key="demo_curves")
        st.caption(training.whose_problems(demos))
    tours.show("train", {"beta": settings_form.typed("beta"), "job": None})


@st.dialog("Settings of the next run", position="right", width="medium")
def drawer(lengths):
    settings_form.settings_form(training.start, lengths, in_dialog=True)


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
    st.fragment(watch, run_every=TICK_SECONDS if job.is_active else None)(job.job_id, job.is_active)


def watch(job_id, was_active):
    """The part that follows the run; once the run ends, one last rerun of the page stops the ticking."""
    job = training.find_job(job_id)
    if job is None or job.job_id != job_id or job.is_active != was_active:
        st.rerun()
    transport(job)
    views(job)
    tours.show("train", training.facts(job))


def views(job):
    if job.step is None:
        st.caption("The curves begin with the first step.")
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
