"""Every rule on the same tokens: aligned strips in two readings, and below them two rules' formulas with this token's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components.assets import as_data, read_asset, read_script, register_view
from vimpo_core.views.credit_view import with_version
from vimpo_core.views.rules_view import WHY_NOT

_mount = register_view(
    "rules_view", "shared/tokens.css", "credit_view/credit_view.css", "rules_view/rules_view.css"
)
_mount_diff = st.components.v2.component(
    "rule_diff",
    html=read_asset("rule_diff/rule_diff.html"),
    css=read_asset("rule_diff/rule_diff.css"),
    js=read_script("shared/drawing.js", "rule_diff/rule_diff.js"),
    isolate_styles=True,
)

LENSES = (
    {
        "key": "push",
        "label": "Push on log π",
        "help": "How hard the rule's loss pushes this token's log-probability, up or down.",
        "unit": "Push over the rule's own root mean square over all tokens of the step, so that rules of different units share one "
        "scale: 1 is that rule's typical push.",
    },
    {
        "key": "credit",
        "label": "Credit in reward units",
        "help": "What the rule credits the token with before it scales it: R, R minus the mean, δ, or an advantage A.",
        "unit": "In reward units; one scale for all rules.",
    },
)
"""The two readings. Their keys are those of `rules_view.rules_payload`."""


def rules_view(payload: dict, *, key: str, token: int, lens: str, on_change: Callable[[], None]) -> None:
    """Draw one solution under every rule.

    Args:
        payload: from `rules_view.rules_payload`.
        key: the session-state key; `st.session_state[key]["view"]` is {"token": int, "lens": str} after a selection, with
            "sample": int after a click on another solution of the group.
        token, lens: what is selected; a later value that differs from what the browser reported is followed.
        on_change: called after a selection.
    """
    data = {**payload, "lenses": LENSES, "token": token, "lens": lens}
    _mount(key=key, data=as_data(data), on_view_change=on_change)


@dataclass(frozen=True)
class Slot:
    """One slot of two rules: what stands there, and its lines of numbers as (symbol, written, result, says); one of each a rule.

    is_different: None where it is no choice of the rules but follows from the others.
    """

    title: str
    terms: Sequence[str]
    lines: Sequence[Sequence[tuple[str, str, str, str]]]
    is_different: bool | None


def rule_diff(slots: Sequence[Slot], names: tuple[str, str], why_not: tuple[str, str], *, key: str) -> None:
    """Draw two rules side by side, slot by slot.

    Args:
        names: of the rules; why_not: keys of WHY_NOT, "" where all numbers are there.
    """
    data = {
        "names": names,
        "slots": [asdict(slot) for slot in slots],
        "why_not": [WHY_NOT[why] if why else "" for why in why_not],
    }
    _mount_diff(key=key, data=as_data(with_version(data)))
