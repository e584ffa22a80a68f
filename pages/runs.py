"""Runs: one's own, brought and bundled ones in a list that is searched, sorted and acted on; what was deleted."""

import streamlit as st

from app import cache
from app.components import runs_list
from app.components.part import part
from app.runs import acting, bring, run_table
from app.text import as_sentence
from vimpo_core.mistake import Mistake

TICK_SECONDS, FOLLOWED_SECONDS = 2.0, 1.0


def main():
    st.markdown("### Runs")
    bring.show()
    found = run_table.entries()
    if not any(not entry.run.read_only for entry in found):
        st.markdown(
            "You have no runs of your own yet: start one on the Train page. Those below are here to compare with."
        )
    is_live = run_table.has_active(found) or bring.waits_for_a_step()
    tick = FOLLOWED_SECONDS if run_table.has_followed(found) else TICK_SECONDS
    st.session_state["runs.found"] = found
    part(listing, run_every=tick if is_live else None)(is_live)


def listing(was_live):
    is_whole = "runs.found" in st.session_state
    found = st.session_state.pop("runs.found", None) or run_table.entries()
    if (run_table.has_active(found) or bring.waits_for_a_step()) != was_live:
        st.rerun()
    bring.say_what_is_followed()
    if was_live:
        cache.runs_dir().wake_worker()
    shown = run_table.shown(found)
    if "show" in st.query_params:
        way_to_all(shown, found)
    notes = []
    address = run_table.address(notes)
    for note in notes:
        st.info(as_sentence(note))
    if shown:
        payload = run_table.payload(shown) | address | {"said": acting.said()}
        runs_list.runs_list(payload, acting.KEY, on_view=acting.view, on_act=acting.act, is_whole=is_whole)
    if others := run_table.left_alone():
        st.caption(others)
    recently_deleted()


def way_to_all(shown, found):
    """The way back from a part of the list to all of it."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        st.caption(f"The link shows {len(shown)} {'run' if len(shown) == 1 else 'runs'} of it.")
        st.button(f"Show all {len(found)} runs", on_click=run_table.show_all)


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
                    on_click=acting.restore,
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
