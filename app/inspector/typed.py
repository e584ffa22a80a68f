"""A problem and a solution of one's own, scored by the service process while the page stays usable."""

from __future__ import annotations

import streamlit as st

from app import cache, state, waiting
from app.inspector.inspection import Scene
from app.sources import Source
from vimpo_core.service import scoring as service

LIMIT_SECONDS = 30
TOP_K = 5
_LONGEST = 4000
_KEY = "typed.scoring"


def typed_solution(source: Source, step: int, example: tuple[str, str]) -> Scene | None:
    """The form, the wait and the result. Returns the scored solution, None as long as there is none.

    `example`: problem and solution that the empty form starts with.
    """
    problem, solution = _form(example)
    asked = (*cache.origin(source.folder, source.run), step, problem, solution)
    scoring = waiting.pending(_KEY)
    if scoring is None or scoring.asked != asked:
        if not st.session_state.pop("typed.go", False) and not _is_first_look(asked):
            st.caption("Press Score to see the credit of every token.")
            return None
        scoring = _start(source, step, problem, solution, asked)
        if scoring is None:
            return None
    if not scoring.future.done():
        waiting.wait(scoring, "Scoring under policy and reference", LIMIT_SECONDS)
        return None
    traces = waiting.result(
        scoring,
        cancelled="Cancelled. Your text is still here: press Score to try again.",
        too_long=f"Scoring took longer than {LIMIT_SECONDS} s and was ended. Try a shorter solution.",
        ended="The scoring process ended unexpectedly. Press Score to try again.",
    )
    return None if traces is None else Scene(source, step, traces, 0, is_typed=True)


def _form(example: tuple[str, str]) -> tuple[str, str]:
    problem = st.query_params.get("problem", example[0])[:_LONGEST]
    solution = st.query_params.get("solution", example[1])[:_LONGEST]
    with st.form("typed", border=False):
        left, middle, right = st.columns([2, 4, 1], vertical_alignment="bottom")
        left.text_input(
            "Problem",
            problem,
            key="typed.problem",
            max_chars=_LONGEST,
            help="For the bundled model: 9+2+9+7*6=",
        )
        middle.text_area(
            "Solution", solution, key="typed.solution", max_chars=_LONGEST, height=68,
            help="One operation a step, the steps separated by ; , or / and closed by a full stop.",
        )  # fmt: skip
        right.form_submit_button("Score", type="primary", on_click=_ask)
    return problem, solution


def _ask() -> None:
    state.put(
        problem=st.session_state["typed.problem"], solution=st.session_state["typed.solution"], token=None
    )
    st.session_state["typed.go"] = True
    waiting.forget(_KEY)


def _is_first_look(asked: tuple) -> bool:
    """A link with a typed solution is scored by itself, once."""
    if "solution" not in st.query_params or st.session_state.get("typed.seen") == asked:
        return False
    st.session_state["typed.seen"] = asked
    return True


def _start(source: Source, step: int, problem: str, solution: str, asked: tuple) -> waiting.Request | None:
    st.session_state["typed.seen"] = asked

    def ask():
        return service.scoring_service().score(
            source.folder / source.run.run_id, step, problem, solution, top_k=TOP_K, timeout=LIMIT_SECONDS
        )

    return waiting.send(_KEY, asked, ask)
