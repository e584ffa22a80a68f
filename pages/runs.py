"""Runs: one's own and the bundled ones; rename, delete, resume, open, and compare any of them."""

import streamlit as st

from app import routes, run_table, training
from app.components.compare_curves import compare_curves
from vimpo_core.metrics import METRICS
from vimpo_core.runs import LONGEST_NAME

TICK_SECONDS = 2.0
COLUMNS = [0.03, 0.28, 0.22, 0.1, 0.15, 0.14, 0.08]
A_PAGE = 12
FIRST_METRICS = ["sampled_accuracy", "reward_mean", "kl_mean", "residual_ratio"]


def main():
    st.markdown("### Runs")
    found = run_table.entries()
    if not any(not entry.run.read_only for entry in found):
        st.markdown(
            "You have no runs of your own yet: start one on the Train page. The bundled ones are here to compare with."
        )
    run_table.take_toggled()
    is_live = run_table.has_active(found)
    st.fragment(listing, run_every=TICK_SECONDS if is_live else None)(is_live)
    compare([entry for entry in found if entry.key in run_table.chosen_from_link() and entry.is_readable])


def listing(was_live):
    found = run_table.entries()
    if run_table.take_toggled() or run_table.has_active(found) != was_live:
        st.rerun()
    if problem := run_table.take_problem():
        st.warning(problem, icon=":material/error:")
    shown = found
    if len(found) > A_PAGE:
        page = st.pagination(-(-len(found) // A_PAGE), key="runs_page")
        shown = found[A_PAGE * (page - 1) : A_PAGE * page]
    for entry in shown:
        line(entry)


def line(entry):
    with st.container(key=f"line_{entry.key}"):
        tick, name, state, step, accuracy, links, menu = st.columns(COLUMNS, vertical_alignment="center")
        with tick:
            checkbox(entry)
        name.markdown(run_table.name_text(entry))
        state.markdown(run_table.state_text(entry))
        step.markdown(entry.step)
        accuracy.markdown(entry.accuracies)
        with links:
            ways_on(entry)
        if entry.actions:
            with menu:
                actions(entry)


def checkbox(entry):
    key = f"tick_{entry.key}"
    st.session_state.setdefault(key, entry.key in run_table.chosen_from_link())
    st.checkbox(
        f"Compare {entry.run.name}", key=key, label_visibility="collapsed", disabled=not entry.is_readable,
        on_change=run_table.toggle, args=(entry.key,),
    )  # fmt: skip


def ways_on(entry):
    if entry.train_view:
        st.page_link(
            routes.TRAIN,
            label="Train",
            icon=":material/show_chart:",
            query_params=entry.train_view,
            help="Its curves and controls.",
        )
    if entry.inspect_view:
        st.page_link(
            routes.INSPECT,
            label="Inspect",
            icon=":material/search:",
            query_params=entry.inspect_view,
            help="Its solutions, token by token.",
        )


def actions(entry):
    chosen = st.menu_button(
        "Do",
        entry.actions,
        key=f"menu_{entry.key}",
        icon=":material/more_horiz:",
        help="What to do with this run",
    )
    match chosen:
        case run_table.RESUME:
            run_table.resume(entry)
            st.rerun()
        case run_table.RENAME:
            rename(entry)
        case run_table.DELETE:
            delete(entry)


@st.dialog("Rename a run")
def rename(entry):
    name = st.text_input("Name", value=entry.run.name, max_chars=LONGEST_NAME)
    if st.button("Rename", type="primary"):
        try:
            entry.folder.rename(entry.run.run_id, name)
        except (ValueError, OSError) as error:
            st.warning(str(error), icon=":material/error:")
        else:
            st.rerun()


@st.dialog("Delete a run")
def delete(entry):
    st.markdown(f"Delete **{training.plain(entry.run.name)}** and all its steps for good?")
    if st.button("Delete for good", type="primary", icon=":material/delete:"):
        try:
            entry.folder.delete(entry.run.run_id)
        except (ValueError, OSError) as error:
            st.warning(str(error), icon=":material/error:")
        else:
            st.rerun()


def compare(chosen):
    st.markdown("#### Compare")
    if len(chosen) < 2:
        st.caption(
            "Tick two or more runs above to lay their curves over each other and see where their settings differ."
        )
        return
    metrics = st.multiselect(
        "Metrics", list(METRICS), default=FIRST_METRICS, format_func=lambda name: METRICS[name].label, key="metrics",
        help="One panel each; the table below shows their last values.",
    )  # fmt: skip
    if not metrics:
        st.caption("Choose at least one metric.")
        return
    labels = run_table.labels(chosen)
    lines = [(label, e.run.algorithm, e.sight.rows) for label, e in zip(labels, chosen, strict=True)]
    compare_curves(lines, metrics, key="compare")
    st.table(run_table.comparison(chosen, metrics))


main()
