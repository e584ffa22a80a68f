"""The branches made of one solution: kept for the session, listed as a tree, drawn, compared, named, removed,
exported.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app import cache, state
from app.components.pair_view import pair_view
from app.inspector import about
from app.text import as_code, as_plain
from vimpo_core.measure import branches
from vimpo_core.measure.branches import Branch, Tree
from vimpo_core.numbers import signed
from vimpo_core.solutions.pieces import readable
from vimpo_core.types import CreditTrace
from vimpo_core.views import pair_view as pairs

VIEW = "branch.pair"
_GROVES = "branch.groves"
_KEPT_GROVES = 16
"""Solutions of a session whose branches are kept."""


@dataclass
class Grove:
    """The tree of one solution in one session, and what is looked at.

    shown: id of the branch that is drawn; against: id of the one it is compared with, "" for what it grew from.
    place: where the next fork is, if in a branch: (its id, token, the solution's selected token then; once another one
        of those is selected, the fork is there).
    """

    key: str
    tree: Tree = ()
    shown: str = ""
    against: str = ""
    place: tuple[str, int, int] | None = None

    def branch(self, branch_id: str) -> Branch:
        return next(b for b in self.tree if b.id == branch_id)

    def has(self, branch_id: str) -> bool:
        return any(b.id == branch_id for b in self.tree)

    def add(self, branch: Branch) -> None:
        self.tree = branches.added(self.tree, branch)
        self.shown, self.against = branch.id, ""

    def remove(self, branch_id: str) -> None:
        self.tree = branches.removed(self.tree, branch_id)
        self.shown = next((b.id for b in reversed(self.tree)), "")
        self.against = ""

    def fork_point(self, token: int) -> tuple[str, int]:
        """The branch ("" for the solution) and the token to fork at: the last one that was clicked."""
        if self.place is None or self.place[2] != token or not self.has(self.place[0]):
            return "", token
        return self.place[0], min(self.place[1], len(self.branch(self.place[0]).trace.text) - 1)


def grove(key: str) -> Grove:
    """The session's branches of one solution; the oldest solution's are dropped when there are too many."""
    groves: dict[str, Grove] = st.session_state.setdefault(_GROVES, {})
    found = groves.pop(key, None) or Grove(key)
    groves[key] = found
    for old in list(groves)[:-_KEPT_GROVES]:
        del groves[old]
    return found


def show(place, grove: Grove, root: CreditTrace, token: int, beta: float, gae_lambda: float) -> None:
    """The list and the branch that is looked at; nothing while there is none. token: selected in the solution."""
    if not grove.tree:
        st.caption("Force a token: the policy finishes from there and, as a control, from the token as it was.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        _list(grove)
    with right:
        _handle(place, grove, root, beta, gae_lambda)
    _draw(place, grove, token, beta, gae_lambda)


def _list(grove: Grove) -> None:
    depths = {branch.id: depth for depth, branch in branches.outline(grove.tree)}
    key = f"branch.list.{grove.key}"
    st.session_state[key] = grove.shown
    st.radio(
        "Branches of this solution",
        list(depths),
        format_func=lambda b: _listed(grove.branch(b), depths[b]),
        key=key,
        on_change=_look_at,
        args=(grove, key),
    )


def _listed(branch: Branch, depth: int) -> str:
    stem = "\u2003" * (depth - 1) + "└\u2002" if depth else ""
    return f"{stem}{as_plain(branches.title(branch))} · {branch.after.successes} of {branch.after.n} right"


def _look_at(grove: Grove, key: str) -> None:
    grove.shown, grove.against = st.session_state[key], ""


def _handle(place, grove: Grove, root: CreditTrace, beta: float, gae_lambda: float) -> None:
    """Name, compare, remove, export."""
    branch = grove.branch(grove.shown)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = f"branch.name.{branch.id}"
        st.text_input(
            "Name",
            branches.title(branch),
            key=name,
            max_chars=branches.LONGEST_NAME,
            width=200,
            on_change=_rename,
            args=(grove, branch.id, name),
        )
        others = ["", *(b.id for b in grove.tree if b.id != branch.id)]
        against = f"branch.against.{branch.id}"
        st.session_state[against] = grove.against
        st.selectbox(
            "Compare with",
            others,
            key=against,
            width=260,
            on_change=_compare,
            args=(grove, against),
            format_func=lambda b: branches.title(grove.branch(b)) if b else "what it grew from",
        )
    with st.container(horizontal=True):
        st.button(
            "Look closer",
            icon=":material/search:",
            on_click=look_closer,
            args=(place, branch.trace),
            help="Its most frequent ending as a solution of its own, with everything Inspect shows.",
        )
        st.download_button(
            "Export the tree",
            _written(place, grove, root, beta, gae_lambda),
            "branches.json",
            "application/json",
            icon=":material/data_object:",
            on_click="ignore",
            help="JSON with lineage, all counts, and the settings that make each branch again.",
        )
        grown = len(grove.tree) - len(branches.removed(grove.tree, branch.id)) - 1
        st.button(
            f"Remove it and {grown} more" if grown else "Remove it",
            icon=":material/delete:",
            on_click=grove.remove,
            args=(branch.id,),
            help="With everything that grew from it.",
        )


def _rename(grove: Grove, branch_id: str, key: str) -> None:
    grove.tree = branches.renamed(grove.tree, branch_id, st.session_state[key])


def _compare(grove: Grove, key: str) -> None:
    grove.against = st.session_state[key]


def look_closer(place, trace: CreditTrace) -> None:
    """Open a solution in typed mode, under the policy that scored it."""
    for widget in ("typed.problem", "typed.solution"):
        st.session_state.pop(widget, None)
    state.put(
        mode="typed",
        problem=trace.prompt_text,
        solution=readable(trace.text),
        step=place.step,
        more=None,
        what=None,
        token=None,
        group=None,
        sample=None,
    )


def _written(place, grove: Grove, root: CreditTrace, beta: float, gae_lambda: float):
    source = place.scene.source

    def write() -> bytes:
        header = cache.export_header(source.folder, source.run.run_id, source.run.created, place.step)
        return branches.as_json(branches.export(grove.tree, header, root, beta, gae_lambda, place.baseline(beta)))

    return write


# --- drawing ---------------------------------------------------------------------------------------------------------


def _draw(place, grove: Grove, token: int, beta: float, gae_lambda: float) -> None:
    branch = grove.branch(grove.shown)
    if grove.against:
        other = grove.branch(grove.against)
        first, first_tries, first_at = other.trace, other.after, other.position
        names = branches.title(other), branches.title(branch)
        owners = other.id, branch.id
        difference = branches.difference(first_tries, branch.after, other.seed == branch.seed)
        st.markdown(_compared(names, difference))
    else:
        first, first_tries, first_at = branch.solution, branch.before, branch.position
        names = "Before", "Branch"
        owners = branch.parent, branch.id
        difference = branches.difference(first_tries, branch.after)
        st.markdown(_said(branch, difference, beta))
    counterpart = pairs.aligned_at_fork(first.ids.tolist(), branch.trace.ids.tolist())
    payload = pairs.pair_payload(
        first,
        branch.trace,
        names,
        counterpart,
        beta,
        gae_lambda,
        place.baseline(beta),
        (pairs.Tried(first_tries, first_at), pairs.Tried(branch.after, branch.position)),
    )
    pair_view(
        payload,
        key=VIEW,
        about=about.of_solution(place.scene, beta, gae_lambda),
        on_select=lambda: _fork_at(grove, owners, token),
    )


def _fork_at(grove: Grove, owners: tuple[str, str], selected: int) -> None:
    """A token clicked in a strip is where the next fork is; one of the solution itself becomes the selected token."""
    clicked = st.session_state[VIEW].get("token") or {}
    side, token = clicked.get("side"), clicked.get("token")
    if side not in (0, 1) or not isinstance(token, int):
        return
    if owners[side]:
        grove.place = (owners[side], token, selected)
    else:
        grove.place = None
        state.put(token=token)


def _said(branch: Branch, difference: tuple[float, float, float], beta: float) -> str:
    """What forcing the token changed, tried and implied, and how sure that is."""
    rate, low, high = difference
    own, forced = branch.solution.text[branch.position], "".join(branch.forced_text)
    implied = branches.implied_difference(branch, beta)
    return (
        f"{as_code(forced)} instead of {as_code(own)} at #{branch.position}: {_what(branch)} changes by "
        f"**{signed(rate)}** ({signed(low)} to {signed(high)}): {_verdict(difference, branch.k)} The policy itself "
        f"implies **{signed(implied)}** (δ at beta {beta:g}). Step {branch.step}, {branch.k} tries each, seed "
        f"{branch.seed}."
    )


def _what(branch: Branch) -> str:
    return "mean reward" if branch.before.is_partial or branch.after.is_partial else "success"


def _compared(names: tuple[str, str], difference: tuple[float, float, float]) -> str:
    rate, low, high = difference
    return (
        f"**{as_plain(names[1])}** against **{as_plain(names[0])}**: success differs by **{signed(rate)}** "
        f"({signed(low)} to {signed(high)}): {_verdict(difference)}"
    )


def _verdict(difference: tuple[float, float, float], k: int | None = None) -> str:
    rate, low, high = difference
    if low > 0:
        return "it helps."
    if high < 0:
        return "it hurts."
    if low == high == 0:
        return "no difference."
    found = "no difference found" if rate == 0 else "this may be chance"
    return found + (", more tries would tell more." if k and k < branches.COUNTS[-1] else ".")
