"""A problem and a solution of one's own, scored by the service process while the page stays usable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from app import state, waiting
from app.inspector import inspection
from app.inspector.inspection import Scene
from app.sources import Source
from app.text import as_code
from vimpo_core.service import scoring
from vimpo_core.service.requests import MAX_SOLUTION_CHARACTERS
from vimpo_core.solutions import pieces
from vimpo_core.types import CreditTrace

LIMIT_SECONDS = 30
SAMPLED = "Sampled in training"
"""What the page calls the solutions of a run."""
_NAMED = "typed.named"
_LONGEST_PROBLEM = 4000
_MOST_LISTED = 6
_SHORT = 200
"""Characters of a solution that a low field shows."""
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
    if traces is None:
        return None
    if said := _cut_otherwise(traces[0], source, step):
        st.info(said)
    return Scene(source, step, traces, 0, is_typed=True)


def _cut_otherwise(trace: CreditTrace, source: Source, step: int) -> str:
    """That the text is a sampled solution's which the model wrote in other tokens, as markdown; "" where it is not."""
    recorded = inspection.sampled(source, step) if step in source.steps[0] else []
    spelt = pieces.readable(trace.text)
    same = [t for t in recorded if t.prompt_text == trace.prompt_text and pieces.readable(t.text) == spelt]
    if not same or any(np.array_equal(t.ids, trace.ids) for t in same):
        return ""
    sample = same[0]
    found = pieces.first_difference(sample.text, trace.text)
    where = ""
    if found:
        at, there, here = found
        where = f" The first difference is at token #{at}: {_listed(there)} sampled, {_listed(here)} here."
    return (
        f"The text is solution {sample.sample_idx + 1} of prompt {sample.group_id + 1} of step {step}, but the model "
        f"wrote it in other tokens: {len(sample.text)} then, {len(trace.text)} here, as the tokenizer cuts a text."
        f"{where} Credit belongs to tokens: *{SAMPLED}* shows that of the sampled ones."
    )


def _listed(texts: Sequence[str]) -> str:
    more = " …" if len(texts) > _MOST_LISTED else ""
    return " ".join(as_code(text) for text in texts[:_MOST_LISTED]) + more


def _form(example: tuple[str, str]) -> tuple[str, str]:
    problem = st.query_params.get("problem", example[0])[:_LONGEST_PROBLEM]
    solution = st.query_params.get("solution", example[1])[:MAX_SOLUTION_CHARACTERS]
    _follow_address(problem, solution)
    with st.form("typed", border=False):
        left, middle, right = st.columns([2, 4, 1], vertical_alignment="bottom")
        field = left.text_area if "\n" in problem else left.text_input  # the latter would join its lines
        field(
            "Problem",
            key="typed.problem",
            max_chars=_LONGEST_PROBLEM,
            help="For the bundled model: 9+2+9+7*6=",
        )
        middle.text_area(
            "Solution",
            key="typed.solution",
            max_chars=MAX_SOLUTION_CHARACTERS,
            height=68 if len(solution) < _SHORT else 190,
            help="One operation a step, the steps separated by ; , or / and closed by a full stop.",
        )
        right.form_submit_button("Score", type="primary", on_click=_ask)
    return problem, solution


def _follow_address(problem: str, solution: str) -> None:
    """What the fields hold is what the address names, also after Back; what is being typed is not touched."""
    named = problem, solution
    if st.session_state.get(_NAMED) != named or "typed.solution" not in st.session_state:
        st.session_state["typed.problem"], st.session_state["typed.solution"] = st.session_state[_NAMED] = named


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
        source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled. Your text is still here: press Score to try again.",
        if_long="Try a shorter solution.",
        if_ended="Press Score to try again.",
        again="",
    )
