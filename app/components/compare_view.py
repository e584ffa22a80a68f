"""Arms laid over each other in panels: curves with bands and seeds, paths, points. Hovering reads values in the
browser.

Python sends numbers and styles; the drawing is assets/components/compare_view/compare_view.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from app.components.assets import as_data, register
from app.components.hues import DASHES, MARKERS, SHADES
from vimpo_core.measure.metrics import Metric

_SPARE_MARKERS = (
    "triangle-up",
    "diamond",
    "star",
    "square",
    "hourglass",
    "triangle-down",
    "pentagon",
    "circle",
    "cross",
    "hexagon",
    "plus",
)
"""For a further arm of an algorithm: those that are hardest to mistake first."""

_mount = register("compare_view", "views")


def compare_view(figure: dict[str, Any], key: str) -> None:
    """Draw a figure.

    Args:
        figure: "version" (changes with anything else), "arms" (`arm_styles` with label, count and seeds), "panels" (of
            `panel`).
    """
    _mount(key=key, data=as_data(figure), height="content")


def arm_styles(algorithms: Sequence[str]) -> list[dict[str, Any]]:
    """How each arm is drawn: its algorithm's hue and dash. A further arm of an algorithm gets another shade and a
    marker that no other arm has, as long as there are any."""
    taken = {MARKERS[algorithm] for algorithm in algorithms}
    free = [marker for marker in _SPARE_MARKERS if marker not in taken]
    styles = []
    for place, algorithm in enumerate(algorithms):
        copy = algorithms[:place].count(algorithm)
        marker = MARKERS[algorithm] if not copy or not free else free.pop(0)
        hues = {theme: of[algorithm][copy % len(of[algorithm])] for theme, of in SHADES.items()}
        styles.append({"hues": hues, "dash": DASHES[algorithm], "marker": marker})
    return styles


def panel(
    kind: Literal["curve", "path", "points"],
    title: str,
    x: str | Metric | None,
    y: Metric,
    lines: list[dict[str, Any]],
) -> dict[str, Any]:
    """One panel. `lines`: one an arm, in the order of the arms: x, mean, low, high (or None) and seeds (None where not
    recorded).

    Args:
        x: the axis in words, a metric, or None for credit's AUC.
    """
    x_title, x_percent = ("AUC of the first wrong token", False) if x is None else (x, False)
    if isinstance(x, Metric):
        x_title, x_percent = _axis_title(x), x.unit == "share"
    return {
        "kind": kind,
        "title": title,
        "x": {"title": x_title, "percent": x_percent},
        "y": {"title": _axis_title(y), "percent": y.unit == "share"},
        "lines": lines,
    }


def _axis_title(metric: Metric) -> str:
    return metric.label if metric.unit in ("", "share") else f"{metric.label}, {metric.unit}"
