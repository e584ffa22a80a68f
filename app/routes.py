"""The pages and how to get from one to another."""

from __future__ import annotations

import streamlit as st

from vimpo_core.paths import ROOT

PAGES = ROOT / "pages"
START, TRAIN, INSPECT, SCORECARD, COMPARE, RUNS = (
    PAGES / f"{name}.py" for name in ("start", "train", "inspector", "scorecard", "compare", "runs")
)
LEARN, NOTATION, TEACH, RESULTS = (PAGES / f"{name}.py" for name in ("learn", "notation", "teach", "results"))
TREE = PAGES / "tree.py"
CLASSROOM, BOARD = PAGES / "classroom.py", PAGES / "board.py"
_PLAY = "routes.play"


def navigation(is_class: bool):
    """Register the pages, with those that only a class has; returns the one of the current address."""
    of_class = [
        st.Page(CLASSROOM, title="Class", url_path="class"),
        st.Page(BOARD, title="Board", url_path="board", visibility="hidden"),
    ]
    return st.navigation(
        {
            "": [
                st.Page(START, title="Start", default=True),
                st.Page(TRAIN, title="Train", url_path="train"),
                # The file is not called inspect.py, so that it can never stand before the standard library's module.
                st.Page(INSPECT, title="Inspect", url_path="inspect"),
                st.Page(SCORECARD, title="Scorecard", url_path="scorecard"),
                st.Page(COMPARE, title="Compare", url_path="compare"),
                st.Page(RUNS, title="Runs", url_path="runs"),
                *(of_class if is_class else ()),
            ],
            "Learn": [
                st.Page(LEARN, title="The course", url_path="learn"),
                st.Page(TREE, title="Tree lab", url_path="tree"),
                st.Page(NOTATION, title="Notation", url_path="notation"),
                st.Page(RESULTS, title="Results", url_path="results"),
                st.Page(TEACH, title="For teachers", url_path="teach"),
            ],
        },
        position="top",
    )


def play(preset: str) -> None:
    """Open Train and have it start a preset: once, for whatever opens that page later no longer asks for it."""
    st.session_state[_PLAY] = preset
    st.switch_page(TRAIN)


def asked_to_play() -> str:
    """The preset that `play` asked for, the first time; "" from then on."""
    return st.session_state.pop(_PLAY, "")
