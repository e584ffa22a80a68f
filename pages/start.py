"""Start: one wrong solution, what each rule pushes its tokens by, beside it what can be read off, and where to go
next.
"""

import streamlit as st

from app import live, routes, state
from app.components.credit_rows import credit_rows
from app.course import class_place
from app.start import example, real

EXAMPLES = {"small": "Small model", "real": "Real words"}


def main():
    class_place.pinned()
    of_real = real.picture()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="headline"):
        st.title("Who gets the blame?", anchor=False, width="content")
        is_real = of_real is not None and _example() == "real"
    picture, of = (of_real, real) if is_real else (example.picture(), example)
    if picture is None:
        st.info(
            "There are no bundled runs yet. Make them with `python -m vimpo_core make-demos`, or train a run of your "
            "own."
        )
    else:
        show(picture, of)
    go_on(picture)
    if picture is not None:
        with st.expander("How this picture was made"):
            for paragraph in of.about(picture):
                st.markdown(paragraph, width=820)


def _example() -> str:
    """Whose words are shown: those of the small bundled model, or of a real one."""
    return state.pick("Whose words", "example", EXAMPLES, "small", [], label_visibility="collapsed", width="content")


def show(picture, of):
    st.markdown(f"##### {of.question(picture)}")
    credit_rows(of.rows(picture), key="start" if of is example else "start.real", more=of.more(picture))
    st.markdown(of.told(picture), width=1000)


def go_on(picture):
    with st.container(horizontal=True, key="onward"):
        if st.button("Train it yourself", type="primary", icon=":material/play_arrow:"):
            routes.play("first")
        # Links: switch_page would leave this page's path with the other one's query in the history.
        if picture:
            st.page_link(routes.INSPECT, label="Look closer", query_params=picture.address)
        st.page_link(routes.LEARN, label="Start the course", query_params={"chapter": "1"})
    live.get_ready()


main()
