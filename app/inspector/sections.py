"""The views of a solution on Inspect: tabs, each of its own address. Nothing of one is imported or computed before
it is opened.
"""

from __future__ import annotations

from importlib import import_module

import streamlit as st

from app import state
from app.inspector.inspection import Scene

SECTIONS: dict[str, str] = {
    "table": "All solutions",
    "truth": "Is it right?",
    "rules": "Every rule",
    "beside": "Side by side",
    "branch": "What if?",
    "film": "Film strip",
    "sums": "Does it add up?",
    "scatter": "Reward against telescope",
    "take": "Take it along",
    "rescore": "Re-score",
}
"""name in the address (its code is app/inspector/<name>.py, or as in _MODULES, function `show`) -> what its tab is
called.
"""

_CREDIT = "credit"
"""The tab that stands open where the address names none: the credit view alone, whole."""
_OF_BROUGHT = "rescore"
"""What is offered of a run alone that another tool recorded."""
_MODULES = {
    "table": "solution_table",
    "rescore": "rescoring",
    "sums": "checks",
    "scatter": "telescope",
    "take": "export",
}
"""Names in addresses that people keep; their modules are called as in the core."""


def pick(scene: Scene) -> str:
    """The tabs. Returns the section that is open, "" for the credit view."""
    offered = {name: words for name, words in SECTIONS.items() if name != _OF_BROUGHT}
    if scene.source.tool and not scene.is_typed:
        offered = {_OF_BROUGHT: SECTIONS[_OF_BROUGHT]} | offered
    notes: list[str] = []
    opened = state.pick(
        "Views of this solution",
        "more",
        {_CREDIT: "Token by token"} | offered,
        _CREDIT,
        notes,
        unsaid=_CREDIT,
        label_visibility="collapsed",
        width="content",
    )
    for note in notes:
        st.info(note)
    return "" if opened == _CREDIT else opened


def show(section: str, scene: Scene, beta: float, gae_lambda: float) -> None:
    import_module(f"app.inspector.{_MODULES.get(section, section)}").show(scene, beta, gae_lambda)
