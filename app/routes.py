"""The pages and how to get from one to another."""

from __future__ import annotations

import streamlit as st

from vimpo_core.paths import ROOT

PAGES = ROOT / "pages"
START, TRAIN, INSPECT, SCORECARD, RUNS = (
    PAGES / f"{name}.py" for name in ("start", "train", "inspector", "scorecard", "runs")
)


def navigation():
    """Register the pages; returns the one of the current address."""
    return st.navigation(
        [
            st.Page(START, title="Start", default=True),
            st.Page(TRAIN, title="Train", url_path="train"),
            # The file is not called inspect.py, so that it can never stand before the standard library's module.
            st.Page(INSPECT, title="Inspect", url_path="inspect"),
            st.Page(SCORECARD, title="Scorecard", url_path="scorecard"),
            st.Page(RUNS, title="Runs", url_path="runs"),
        ],
        position="top",
    )
