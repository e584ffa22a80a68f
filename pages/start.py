"""Start: one wrong solution, what each rule pushes its tokens by, apart from it what can be read off, and where to go
next.
"""

import streamlit as st

from app import routes, state
from app.components.aligned_strips import aligned_strips
from app.start import example, real

EXAMPLES = {"small": "A small model's arithmetic", "real": "A real model's words"}


def main():
    st.title("Who gets the blame?", anchor=False)
    if (of_real := real.picture()) and _example() == "real":
        show(of_real, real)
        go_on(of_real)
        return
    picture = example.picture()
    if picture is None:
        st.info(
            "There are no bundled runs yet. Make them with `python -m vimpo_core make-demos`, or train a run of your "
            "own."
        )
    else:
        show(picture, example)
    go_on(picture)


def _example() -> str:
    """Whose words are shown: those of the small bundled model, or of a real one."""
    return state.pick("Whose words", "example", EXAMPLES, "small", [], label_visibility="collapsed")


def show(picture, of):
    st.markdown(f"##### {of.question(picture)}")
    aligned_strips(
        key="start" if of is example else "start.real",
        title="The solution",
        first_wrong=picture.trace.first_wrong,
        token=picture.token,
        rows=of.rows(picture),
        **of.strips(picture),
    )
    for paragraph in filter(None, of.paragraphs(picture)):
        st.markdown(paragraph, width=820)
    st.caption(of.caption(picture))


def go_on(picture):
    with st.container(horizontal=True, key="onward"):
        if st.button("Train it yourself", type="primary"):
            st.switch_page(routes.TRAIN)
        # Links: switch_page would leave this page's path with the other one's query in the history.
        if picture:
            st.page_link(routes.INSPECT, label="Look closer", query_params=picture.address)
        st.page_link(routes.LEARN, label="Start the course", query_params={"chapter": "1"})


main()
