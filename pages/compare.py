"""Compare: runs laid over each other, seeds as bands, and a table of numbers with paired differences."""

import streamlit as st

from app import routes
from app.compare import choosing, figure, number_table
from app.compare.chosen import catalogue
from app.components import look
from app.components.compare_view import compare_view
from app.components.link_table import link_table
from app.components.part import part
from app.components.words_explained import words_explained
from app.text import as_plain, as_sentence
from app.words import verdicts


def main():
    st.markdown("### Compare")
    sources = catalogue()
    if not sources:
        nothing_yet()
        return
    notes = []
    chosen = choosing.pick_arms(sources, notes)
    if chosen is None:
        return
    look.name_tab(", ".join(arm.members[0].name for arm in chosen.arms))
    choosing.say_what_is_unfinished(chosen)
    lay_over(chosen, notes)
    experiments()


@part  # a browser takes longer over a whole page than over its figure and table
def lay_over(chosen, notes):
    notes = list(notes)
    axis, shown, window = choices(chosen, notes)
    for note in notes:
        st.info(as_sentence(note))
    if shown:
        with st.spinner("Reading the runs"):
            drawn = figure.figure(chosen, axis, shown, window)
        compare_view(drawn, key="compare")
        st.caption(figure.captions(chosen, axis, shown, window))
        words_explained("arm", "auc", "dead-group", "kl", "nat")
    else:
        st.caption("Choose at least one figure.")
    numbers(chosen, axis)


def experiments():
    """What the declared experiments say: text only, and where to see it drawn."""
    with st.expander("What the experiments say"):
        st.markdown("\n".join(f"- {as_plain(sentence)}" for sentence in verdicts.short_answer()), width=900)
    st.page_link(
        routes.LEARN,
        label="The scoreboard, in chapter 7 of the course",
        query_params={"chapter": "7"},
        icon=":material/school:",
        help="Equal tuning, fresh seeds, test problems that no trial saw. Results, under Learn, has every experiment.",
    )


def nothing_yet():
    st.info(
        "There is no run to compare yet. Train one, or make the bundled runs with `python -m vimpo_core make-demos`."
    )
    if st.button("Train a run", type="primary"):
        st.switch_page(routes.TRAIN)


def choices(chosen, notes):
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        axis = choosing.pick_axis(notes)
        window = choosing.pick_window(notes)
    shown = choosing.pick_figures(chosen, notes)
    return axis, shown, window


@part
def numbers(chosen, axis):
    st.markdown("#### Numbers")
    notes = []
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        metric = choosing.pick_metric(chosen, axis, notes)
        if metric is None:
            return
        baseline = choosing.pick_baseline(chosen, notes)
        at = choosing.pick_place(chosen, metric, axis, notes)
    for note in notes:
        st.info(as_sentence(note))
    found = number_table.numbers(chosen, metric, axis, at, baseline)
    link_table("A row an arm, with its difference to the baseline", *number_table.table(found), key="numbers")
    st.caption(number_table.table_captions(found))
    st.download_button(
        "The numbers of each run (CSV)",
        lambda: number_table.as_csv(found),
        f"{metric}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    head, rows = number_table.settings_table(chosen)
    if rows:
        with st.expander("Settings that differ"):
            link_table("Settings that differ between the arms", head, rows, key="settings")


main()
