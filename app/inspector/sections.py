"""What Inspect offers below the credit view. Nothing is imported or computed before it is opened."""

from __future__ import annotations

from importlib import import_module

import streamlit as st

from app import state

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
"""name in the address (its code is app/inspector/<name>.py, or as in _MODULES, function `show`) -> what the control
calls it.
"""


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


def is_open() -> bool:
    """Whether a section is open that may show the selected token."""
    return st.query_params.get("more") in SECTIONS


def sections(scene, beta: float, gae_lambda: float) -> None:
    """The control, and below it the section that is open, if any."""
    offered = {name: words for name, words in SECTIONS.items() if name != _OF_BROUGHT}
    if scene.source.tool and not scene.is_typed:
        offered = {_OF_BROUGHT: SECTIONS[_OF_BROUGHT]} | offered
    notes: list[str] = []
    opened = state.pick("More about this solution", "more", offered, None, notes, required=False)
    for note in notes:
        st.info(note)
    if opened:
        import_module(f"app.inspector.{_MODULES.get(opened, opened)}").show(scene, beta, gae_lambda)
