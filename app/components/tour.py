"""One step of a tour: a ring around the real element, and a small note beside it. Drawn by
assets/components/tour/tour.js.
"""

from __future__ import annotations

from collections.abc import Callable

from app.components.assets import as_data, register

_mount = register("tour")


def tour(step: dict, *, key: str, on_go: Callable[[], None], on_done: Callable[[], None]) -> None:
    """Draw a step.

    Args:
        step: "number" of "count", "title", "text", "said" (shown once "done"), "target" and "until" (selectors),
            "asked" (rises when a button of the tour was pressed: the note takes the focus) and "button" (selector of
            what gets the focus at the end).
        key: the session-state key; `st.session_state[key]["go"]` is the number of the step asked for, 0 to end the
            tour, and `["done"]` the number of the step that the browser saw done.
        on_go, on_done: called when one of them is set.
    """
    _mount(key=key, data=as_data(step), on_go_change=on_go, on_done_change=on_done)
