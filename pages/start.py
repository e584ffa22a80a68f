"""Start: one wrong solution, what each rule pushes its tokens by, apart from it what can be read off, and where to go
next.
"""

import streamlit as st

from app import routes
from app.components.aligned_strips import aligned_strips
from app.start import example


def main():
    st.title("Who gets the blame?", anchor=False)
    picture = example.picture()
    if picture is None:
        st.info(
            "There are no bundled runs yet. Make them with `python -m vimpo_core make-demos`, or train a run of your "
            "own."
        )
    else:
        show(picture)
    go_on(picture)


def show(picture):
    st.markdown(f"##### {example.question(picture)}")
    aligned_strips(
        key="start",
        title="The solution",
        first_wrong=picture.trace.first_wrong,
        token=picture.found.token,
        rows=example.rows(picture),
        **example.strips(picture),
    )
    for paragraph in example.paragraphs(picture):
        st.markdown(paragraph, width=820)
    st.caption(example.caption(picture))


def go_on(picture):
    with st.container(horizontal=True, key="onward"):
        if st.button("Train it yourself", type="primary"):
            st.switch_page(routes.TRAIN)
        # Links: switch_page would leave this page's path with the other one's query in the history.
        if picture:
            st.page_link(routes.INSPECT, label="Look closer", query_params=picture.address)
        st.page_link(routes.LEARN, label="Start the course", query_params={"chapter": "1"})


main()
