"""Runs: one's own and the bundled ones; rename, delete, resume, open, and tick those to compare."""

import streamlit as st

from app import cache, routes
from app.runs import bring, run_table
from app.text import as_plain, as_sentence
from vimpo_core.mistake import Mistake
from vimpo_core.runs.names import LONGEST_NAME

TICK_SECONDS, FOLLOWED_SECONDS = 2.0, 1.0
COLUMNS = [0.03, 0.28, 0.22, 0.1, 0.15, 0.14, 0.08]
A_PAGE = 12


def main():
    st.markdown("### Runs")
    bring.show()
    found = run_table.entries()
    if not any(not entry.run.read_only for entry in found):
        st.markdown(
            "You have no runs of your own yet: start one on the Train page. The bundled ones are here to compare with."
        )
    is_live = run_table.has_active(found) or bring.waits_for_a_step()
    tick = FOLLOWED_SECONDS if run_table.has_followed(found) else TICK_SECONDS
    st.fragment(listing, run_every=tick if is_live else None)(is_live)


def listing(was_live):
    found = run_table.entries()
    if (run_table.has_active(found) or bring.waits_for_a_step()) != was_live:
        st.rerun()
    bring.say_what_is_followed()
    if was_live:
        cache.runs_dir().wake_worker()
    if problem := run_table.take_problem():
        st.warning(as_sentence(problem), icon=":material/error:")
    shown = run_table.shown(found)
    ways_to_all(shown, found)
    if len(shown) > A_PAGE:
        page = st.pagination(-(-len(shown) // A_PAGE), key="runs_page")
        shown = shown[A_PAGE * (page - 1) : A_PAGE * page]
    for entry in shown:
        line(entry)
    if others := run_table.left_alone():
        st.caption(others)
    recently_deleted()


def ways_to_all(shown, found):
    """The way to Compare with what is ticked, and back from a part of the list to all of it."""
    ticked = run_table.chosen_from_link()
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        if ticked:
            st.page_link(
                routes.COMPARE,
                label=f"Compare the {len(ticked)} ticked" if len(ticked) > 1 else "Look at the ticked one in Compare",
                icon=":material/stacked_line_chart:",
                query_params={"runs": ",".join(ticked)},
                help="Their curves over each other, and a table with differences.",
            )
        else:
            st.caption("Tick runs to compare them.")
        if "show" in st.query_params:
            st.caption(f"The link shows {len(shown)} {'run' if len(shown) == 1 else 'runs'} of it.")
            st.button(f"Show all {len(found)} runs", on_click=run_table.show_all)


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
        f"Compare {entry.run.name}",
        key=key,
        label_visibility="collapsed",
        disabled=not entry.is_readable,
        on_change=run_table.toggle,
        args=(entry.key,),
    )


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
    if entry.rescore_view:
        st.page_link(
            routes.INSPECT,
            label="Re-score",
            icon=":material/calculate:",
            query_params=entry.rescore_view,
            help="Log-probabilities, exact KL and alternatives of its solutions, with the model that wrote them.",
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
        case run_table.UNFOLLOW:
            run_table.unfollow(entry)
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
        except (Mistake, OSError) as error:
            st.warning(as_sentence(error), icon=":material/error:")
        else:
            st.rerun()


@st.dialog("Delete a run")
def delete(entry):
    st.markdown(
        f"Delete **{as_plain(entry.run.name)}** and all its steps? It stays under *Recently deleted* for a week."
    )
    if st.button("Delete", type="primary", icon=":material/delete:"):
        try:
            entry.folder.delete(entry.run.run_id)
        except (Mistake, OSError) as error:
            st.warning(as_sentence(error), icon=":material/error:")
        else:
            st.rerun()


def recently_deleted():
    """What lies in the bin, each with its way back."""
    deleted = run_table.deleted()
    if not deleted:
        return
    with st.expander(f"Recently deleted ({len(deleted)})", icon=":material/delete:"):
        st.caption("Kept for a week, then removed for good when the next run has been trained or deleted.")
        for run in deleted:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    "Undo",
                    key=f"restore_{run.entry}",
                    icon=":material/undo:",
                    help=f"Bring {run.run_id} back.",
                    on_click=run_table.restore,
                    args=(run.entry,),
                )
                st.markdown(run_table.deleted_text(run), width="content")
        if st.button("Empty the bin", icon=":material/delete_forever:", help="Frees the disk at once."):
            empty_bin(len(deleted))


@st.dialog("Empty the bin")
def empty_bin(count):
    st.markdown(
        f"Remove {'the deleted run' if count == 1 else f'all {count} deleted runs'} for good? This cannot be undone."
    )
    if st.button("Remove for good", type="primary", icon=":material/delete_forever:"):
        try:
            cache.runs_dir().empty_bin()
        except (Mistake, OSError) as error:
            st.warning(as_sentence(error), icon=":material/error:")
        else:
            st.rerun()


main()
