"""Edit the text of a solution and see, token by token, what its credit becomes."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import waiting
from app.components.pair_view import pair_view
from app.inspector import about, branch_tree
from app.text import as_code, as_plain
from vimpo_core.service import scoring
from vimpo_core.solutions import picks
from vimpo_core.solutions.steps import mistake_note
from vimpo_core.types import CreditTrace
from vimpo_core.views import pair_view as pairs

LIMIT_SECONDS = 30
PATIENCE_SECONDS = 0.3
VIEW = "branch.edited"
_REQUEST = "branch.edit"
_LONGEST = 4000


def show(place, root: CreditTrace, beta: float, gae_lambda: float) -> None:
    edited = _form(place, root)
    if edited is not None:
        waiting.send(_question(place, root, edited), PATIENCE_SECONDS)
    asked = waiting.pending(_REQUEST)
    if asked is None or asked.key[0] != place.key:
        st.caption("Change any character, then compare: the policy scores the new text, the original stays.")
        return
    found = waiting.answer(asked)
    if found is not None:
        _draw(place, root, found[0], beta, gae_lambda)


def _question(place, root: CreditTrace, edited: str) -> waiting.Question:
    asked = (place.run_dir, place.step, root.prompt_text, edited)
    return waiting.Question(
        _REQUEST,
        (place.key, edited),
        partial(scoring.scoring_service().ask, scoring.score_solution, *asked),
        "Scoring the edited solution",
        place.scene.source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled. Your text is still here.",
        if_long="Try a shorter solution.",
        if_ended="Compare again.",
        again="",
    )


def _form(place, root: CreditTrace) -> str | None:
    """The field, filled with the solution. Returns the text when it was just submitted."""
    with st.form("branch.edit.form", border=False):
        text = st.text_area(
            "Edit the solution",
            root.completion_text,
            key=f"branch.text.{place.key}",
            max_chars=_LONGEST,
            height=68,
            help="Any character of the vocabulary, anywhere. Scored under the same policy and reference.",
        )
        is_sent = st.form_submit_button("Compare with the original", type="primary")
    return text if is_sent else None


def _draw(place, root: CreditTrace, edited: CreditTrace, beta: float, gae_lambda: float) -> None:
    ids = root.ids.tolist(), edited.ids.tolist()
    if ids[0] == ids[1]:
        st.info("Nothing is different yet. Change a character, then compare.")
        return
    st.markdown(_said(root, edited, pairs.first_difference(*ids)))
    payload = pairs.pair_payload(
        root,
        edited,
        ("Original", "Edited"),
        pairs.aligned_by_end(*ids),
        beta,
        gae_lambda,
        place.baseline(beta),
    )
    pair_view(payload, key=VIEW, about=about.of_solution(place.scene, beta, gae_lambda))
    st.button(
        "Look closer",
        icon=":material/search:",
        on_click=branch_tree.look_closer,
        args=(place, edited),
        help="Opens the edited text as a solution of its own, with everything Inspect shows.",
    )


def _said(root: CreditTrace, edited: CreditTrace, first: int) -> str:
    """Verdict and first wrong token of both, and how the tokens are put side by side."""
    shift = len(edited.text) - len(root.text)
    aligned = (
        "compared place by place"
        if shift == 0
        else f"compared place by place up to #{first}, where they first differ, and from the end after it, since the "
        f"edit is "
        f"{abs(shift)} token{'s' if abs(shift) > 1 else ''} {'longer' if shift > 0 else 'shorter'}"
    )
    return f"Before {_judged(root)}, now {_judged(edited)}. Tokens are {aligned}."


def _judged(trace: CreditTrace) -> str:
    said = f"**{picks.judgement(trace)}**"
    if trace.first_wrong is None:
        return said + ("" if picks.is_correct(trace) or trace.answer else " (it does not end)")
    token = as_code(trace.text[trace.first_wrong])
    return f"{said}, first wrong token #{trace.first_wrong} {token} ({as_plain(mistake_note(trace))})"
