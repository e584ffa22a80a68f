"""Start: one wrong solution, GRPO's flat blame above VIMPO's credit for each token, and where to go from there."""

import streamlit as st

from app import example, routes
from app.components.credit_view import credit_view


def main():
    st.title("Who gets the blame?", anchor=False)
    picture = example.picture()
    if picture is None:
        st.info(
            "There are no bundled runs yet. Make them with `python -m vimpo_core make-demos`, or train a run of your own."
        )
    else:
        show(picture)
    go_on(picture)


def show(picture):
    st.markdown(f"##### {example.question(picture)}")
    credit_view(
        picture.payload,
        key="start",
        token=picture.found.token,
        lens="td_terms",
        layout="start",
        headlines=example.headlines(picture),
        legend=example.legend(picture),
    )
    st.markdown(example.paragraph(picture), width=820)
    st.caption(example.caption(picture))


def go_on(picture):
    with st.container(horizontal=True):
        if st.button("Train it yourself", type="primary"):
            st.switch_page(routes.TRAIN)
        if picture and st.button("Look closer"):
            st.switch_page(routes.INSPECT, query_params=picture.address)
        if st.button("Start the course"):
            st.switch_page(routes.LEARN, query_params={"chapter": "1"})


main()
