"""A problem and a solution of one's own, scored by the service process while the page stays usable."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import state, waiting
from app.inspector.inspection import Scene
from app.sources import Source
from vimpo_core.service import scoring

LIMIT_SECONDS = 30
_LONGEST = 4000
_REQUEST = "typed.scoring"


def typed_solution(source: Source, step: int, example: tuple[str, str]) -> Scene | None:
    """The form, the wait and the result. Returns the scored solution, None as long as there is none.

    `example`: problem and solution that the empty form starts with.
    """
    problem, solution = _form(example)
    question = _question(source, step, problem, solution)
    if st.session_state.pop("typed.go", False) or _is_first_look(question):
        st.session_state["typed.seen"] = question.key
        waiting.send(question)
    asked = waiting.pending(_REQUEST)
    if asked is None or asked.key != question.key:
        st.caption("Press Score to see the credit of every token.")
        return None
    traces = waiting.answer(question)
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
            "Solution",
            solution,
            key="typed.solution",
            max_chars=_LONGEST,
            height=68,
            help="One operation a step, the steps separated by ; , or / and closed by a full stop.",
        )
        right.form_submit_button("Score", type="primary", on_click=_ask)
    return problem, solution


def _ask() -> None:
    state.put(problem=st.session_state["typed.problem"], solution=st.session_state["typed.solution"], token=None)
    st.session_state["typed.go"] = True


def _is_first_look(question: waiting.Question) -> bool:
    """A link with a typed solution is scored by itself, once."""
    return "solution" in st.query_params and st.session_state.get("typed.seen") != question.key


def _question(source: Source, step: int, problem: str, solution: str) -> waiting.Question:
    asked = (step, problem, solution)
    return waiting.Question(
        _REQUEST,
        (*source.origin, *asked),
        partial(scoring.scoring_service().ask, scoring.score_solution, source.run_dir, *asked),
        "Scoring under policy and reference",
        LIMIT_SECONDS,
        cancelled="Cancelled. Your text is still here: press Score to try again.",
        if_long="Try a shorter solution.",
        if_ended="Press Score to try again.",
        again="",
    )
