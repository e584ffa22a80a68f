"""A solution's value by both anchors as two curves over its tokens; a position is chosen with the pointer or the
keys.
"""

from __future__ import annotations

from dataclasses import asdict

from app.components.assets import as_data, register
from vimpo_core.views.lessons import Anchored
from vimpo_core.views.payload import with_version

_mount = register("anchors_view", "views")


def anchors_view(found: Anchored, anchor: str, *, key: str, at: int) -> None:
    """Draw the curves.

    Args:
        anchor: "start", "end" or "both".
        at: position that is chosen at first, 0 to T: before that token.
    """
    _mount(key=key, data=as_data(with_version(asdict(found) | {"anchor": anchor, "at": at})))
