"""Plots of two lines each that grow while they are measured, on axes that stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from app.components.assets import as_data, register
from vimpo_core.labs.failures import Plot, Point
from vimpo_core.views.payload import with_version

_mount = register("curve_plots", "views")


def curve_plots(plots: Sequence[Plot], points: Sequence[Point], *, key: str) -> None:
    """Draw what has been measured so far; points: as `failures.Point`."""
    drawn = [_drawn(plot, [point for point in points if point["plot"] == i]) for i, plot in enumerate(plots)]
    _mount(key=key, data=as_data(with_version({"plots": drawn})))


def _drawn(plot: Plot, points: Sequence[Point]) -> dict:
    return asdict(plot) | {
        "points": [{"x": point["x"], "y": [point["y"].get(line.key) for line in plot.lines]} for point in points]
    }
