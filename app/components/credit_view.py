"""The credit view: one solution as coloured tokens, value curve and formula card, linked in the browser.

All numbers go over at once; Python hears only which token and lens are selected. Token text reaches the page through
`textContent` alone, never through `html=`.
"""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register_view

_mount = register_view("credit_view", "tokens.css", "credit_view.css")


def credit_view(
    payload: dict,
    *,
    key: str,
    token: int,
    lens: str,
    name: str = "VIMPO",
    on_change: Callable[[], None] | None = None,
    layout: str = "inspect",
    headlines: dict[str, str] | None = None,
    legend: str = "",
) -> None:
    """Draw a solution.

    Args:
        payload: from `views.inspector_payload`.
        key: the session-state key; after a selection `st.session_state[key]["view"]` is {"token": int, "lens": str}.
        token, lens: what is selected at first; a later value that differs from what the browser reported is followed.
        name: whose credit the first strip shows.
        on_change: called after a selection changed.
        layout: "inspect" for all linked parts, "start" for the two strips side by side with their headlines.
        headlines: "lens" and "grpo": the sentence after each strip.
        legend: replaces the sentence about units in the legend.
    """
    data = {
        **payload,
        "token": token,
        "lens": lens,
        "name": name,
        "layout": layout,
        "headlines": headlines or {},
        "legend": legend,
    }
    _mount(key=key, data=as_data(data), on_view_change=on_change or (lambda: None))
