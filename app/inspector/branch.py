"""What if? Force one token to be another and let the policy finish, or edit the text; see what becomes of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial

import streamlit as st

from app import state, waiting
from app.inspector import branch_edit, branch_tree, inspection
from app.inspector.branch_tree import Grove
from app.text import as_code, as_plain, as_sentence
from vimpo_core.measure import branches
from vimpo_core.numbers import percent
from vimpo_core.service import scoring
from vimpo_core.solutions import lenses, reading
from vimpo_core.types import CreditTrace, StopReason

LIMIT_SECONDS = 30
PATIENCE_SECONDS = 0.3
MODES = {"force": "Force a token", "edit": "Edit the text"}
_ROOT = "branch.root"
_REQUEST = "branch.request"
_ASK = "branch.ask"
_COUNT, _SEED, _TYPED = "branch.k", "branch.seed", "branch.typed"


@dataclass(frozen=True)
class Place:
    """The solution that branches grow from, and the policy that finishes them.

    step: the snapshot used, the newest not after the solution's own step; key: of the solution under this policy.
    """

    scene: inspection.Scene
    step: int

    @property
    def run_dir(self):
        return self.scene.source.run_dir

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(self.scene.trace.ids.tolist())

    @property
    def key(self) -> str:
        named = (*self.scene.source.origin, self.step, self.scene.trace.prompt_text, self.ids)
        return hashlib.sha256(repr(named).encode()).hexdigest()[:16]

    def baseline(self, beta: float) -> float:
        """V_0 of everything here, as the run's value loss has it for the solution; nan for a typed one."""
        return reading.anchor(self.scene.trace, beta)


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    snapshots = scene.source.snapshots
    if not snapshots:
        none = "This run kept no adapter, so there is no policy to finish a solution. Choose another run."
        st.info(as_sentence(scene.source.no_trying(none, "to finish a solution")))
        return
    if not scene.trace.text:
        st.info("This solution has no tokens to change. Choose another one.")
        return
    place = Place(scene, max((s for s in snapshots if s <= scene.step), default=snapshots[0]))
    if place.step != scene.step:
        st.caption(
            f"No adapter of step {scene.step} was kept: here the policy of step {place.step} is asked, the nearest "
            f"before."
        )
    notes: list[str] = []
    mode = state.pick("What to change", "what", MODES, "force", notes, label_visibility="collapsed")
    for note in notes:
        st.info(as_sentence(note))
    root = _root(place)
    if root is None:
        return
    if mode == "edit":
        branch_edit.show(place, root, beta, gae_lambda)
    else:
        _force(place, root, beta, gae_lambda)


def _root(place: Place) -> CreditTrace | None:
    """The solution with the alternatives at each token; asking for it also loads the policy that will finish branches.

    None after a sentence, or while it is being scored. What was recorded is shown without waiting.
    """
    trace = place.scene.trace
    is_known = place.step == place.scene.step and trace.topk is not None
    is_known = is_known and lenses.credit_of(trace, 1.0) is not None
    asked = (place.run_dir, place.step, trace.prompt_text, trace.completion_text)
    ask = partial(scoring.scoring_service().ask, scoring.score_solution, *asked, ids=place.ids)
    question = waiting.Question(
        _ROOT,
        (place.key,),
        ask,
        "Scoring the solution under this policy",
        place.scene.source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled: the alternatives are not known.",
    )
    waiting.ahead(question)
    if is_known and waiting.is_underway(question):
        return trace
    found = waiting.answer(question)
    return found and (trace if is_known else found[0])


# --- forcing a token -------------------------------------------------------------------------------------------------


def _force(place: Place, root: CreditTrace, beta: float, gae_lambda: float) -> None:
    grove = branch_tree.grove(place.key)
    token = inspection.selected_token(place.scene.trace, [])
    parent, position = grove.fork_point(token)
    grown_from = grove.branch(parent).trace if parent else root
    _choices(place, grove, parent, grown_from, position)
    _grow(place, grove)
    branch_tree.show(place, grove, root, token, beta, gae_lambda)


def _choices(place: Place, grove: Grove, parent: str, trace: CreditTrace, position: int) -> None:
    """Where the fork is, the likeliest alternatives as buttons, and a field for anything else."""
    whose = f"the branch {as_plain(branches.title(grove.branch(parent)))}" if parent else "the solution above"
    st.markdown(
        f"Fork at token **#{position}** {as_code(trace.text[position])} of {whose}. "
        "Another place: click a token in any strip, above or below."
    )
    if trace.finish_reason == StopReason.EOS and position == len(trace.text) - 1:
        st.info(as_sentence(branches.AT_THE_END.format(position)))
        return
    common = {"parent": parent, "solution": tuple(trace.ids.tolist()), "position": position}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("Force instead", width="content", help="Chance under the policy / under the reference.")
        for other in branches.alternatives(trace, position):
            st.button(
                f"{as_code(other.text)} {_chance(other.logprob)} / {_chance(other.ref_logprob)}",
                key=f"branch.force.{other.id}",
                on_click=_ask,
                args=(place.key, {**common, "forced": (other.id,)}),
            )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        with (
            st.form("branch.form", border=False, width="content"),
            st.container(horizontal=True, vertical_alignment="bottom", width="content"),
        ):
            st.text_input(
                "Or type what to force",
                key=_TYPED,
                max_chars=200,
                width=190,
                placeholder="one or more characters",
                help="It takes the place of the token; what came after is written anew. Spaces in front count, and "
                "bytes may be written as they are shown, `<0xC3>`. End it with . to end the solution.",
            )
            st.form_submit_button("Force it", on_click=_ask_typed, args=(place.key, common))
        st.segmented_control(
            "Tries",
            branches.COUNTS,
            default=32,
            required=True,
            key=_COUNT,
            persist_state="session",
            help="How often the policy finishes, from the forced token and from the solution's own. More tries, "
            "narrower interval.",
        )
        st.number_input(
            "Seed",
            0,
            2**31 - 1,
            0,
            key=_SEED,
            width=130,
            persist_state="session",
            help="Same seed, same tries. With seed 0 they are those of the value curves.",
        )


def _chance(logprob: float) -> str:
    chance = math.exp(logprob)
    return "<1 %" if chance < 0.01 else percent(chance)


def _ask(key: str, wanted: dict) -> None:
    st.session_state[_ASK] = (key, wanted)


def _ask_typed(key: str, common: dict) -> None:
    _ask(key, {**common, "forced": st.session_state[_TYPED]})


def _grow(place: Place, grove: Grove) -> None:
    """Send what was asked for, wait for it, put it into the tree."""
    key, wanted = st.session_state.pop(_ASK, (None, None))
    if key == place.key and len(grove.tree) >= branches.MOST_BRANCHES:
        st.warning(as_sentence(branches.FULL), icon=":material/error:")
        return
    if key == place.key:
        waiting.send(_question(place, wanted), PATIENCE_SECONDS)
    asked = waiting.pending(_REQUEST)
    if asked is None or asked.key[0] != place.key:
        return
    found = waiting.answer(asked)
    if found is not None:
        waiting.forget(_REQUEST)
        grove.add(found)


def _question(place: Place, wanted: dict) -> waiting.Question:
    wanted = {**wanted, "k": st.session_state.get(_COUNT) or 32, "seed": st.session_state.get(_SEED) or 0}
    asked = (place.run_dir, place.step, place.scene.trace.prompt_text)
    return waiting.Question(
        _REQUEST,
        (place.key, *wanted.items()),
        partial(scoring.scoring_service().ask, scoring.branch_solution, *asked, **wanted),
        "The policy finishes the solution",
        place.scene.source.seconds(LIMIT_SECONDS),
        cancelled="Cancelled. The branches below are still there.",
        if_long="Try fewer.",
        if_ended="Force the token again.",
        again="",
    )
