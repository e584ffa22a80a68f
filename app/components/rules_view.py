"""Every rule on the same tokens: aligned strips in two readings."""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register

_mount = register("rules_view", "views", "tokens", "solution")

LENSES = (
    {
        "key": "push",
        "label": "Push on log π",
        "help": "How hard the rule's loss pushes this token's log-probability, up or down.",
        "unit": "Push over the rule's own root mean square over all tokens of the step, so that rules of different "
        "units share one "
        "scale: 1 is that rule's typical push.",
        "signs": ["made more likely", "made less likely"],
    },
    {
        "key": "credit",
        "label": "Credit in reward units",
        "help": "What the rule credits the token with before it scales it: R, R minus the mean, δ, or an advantage A.",
        "unit": "In reward units; one scale for all rules.",
        "signs": ["positive", "negative"],
    },
)
"""The two readings. Their keys are those of `rules_view.rules_payload`."""


def rules_view(payload: dict, *, key: str, token: int, lens: str, about: dict, on_change: Callable[[], None]) -> None:
    """Draw one solution under every rule.

    Args:
        payload: from `rules_view.rules_payload`.
        key: the session-state key; `st.session_state[key]["view"]` is {"token": int, "lens": str} after a selection,
            with "sample": int after a click on another solution of the group.
        token, lens: what is selected; a later value that differs from what the browser reported is followed.
        about: what a saved picture says above it, from `formats.about`.
        on_change: called after a selection.
    """
    data = {**payload, "lenses": LENSES, "token": token, "lens": lens, "about": about}
    _mount(key=key, data=as_data(data), on_view_change=on_change)
