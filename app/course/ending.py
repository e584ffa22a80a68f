"""Where a reader can go from the end of a part of the course."""

from __future__ import annotations

import streamlit as st

from app import routes
from app.words.citation import VIMPO


def ways_on() -> None:
    """Links to one's own problem, one's own training, all results, and the paper."""
    st.markdown("#### Where to go from here")
    with st.container(horizontal=True, key="ways-on"):
        st.page_link(routes.INSPECT, label="Your own problem", icon=":material/edit:", query_params={"mode": "typed"})
        st.page_link(routes.TRAIN, label="Your own model", icon=":material/model_training:")
        st.page_link(routes.RESULTS, label="All results", icon=":material/query_stats:")
        st.page_link(VIMPO.url, label=f"The paper, arXiv {VIMPO.arxiv}", icon=":material/article:")
