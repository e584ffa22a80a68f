"""Still charts that lay runs over each other, one panel a metric."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from app.components.hues import SHADES
from vimpo_core.metrics import METRICS, Row, series, thin

MARKERS = ("circle", "square", "diamond", "triangle-up", "x")
DASHES = {"vimpo": "solid", "grpo": "dash"}


def compare_curves(runs: Sequence[tuple[str, str, Sequence[Row]]], metrics: Sequence[str], key: str) -> None:
    """Draw the chosen metrics of the chosen runs.

    Args:
        runs: (label, algorithm, metric rows) of each run.
        metrics: names in METRICS, one panel each.
    """
    theme = "dark" if st.context.theme.type == "dark" else "light"
    st.plotly_chart(figure(runs, metrics, theme), key=key, config={"displaylogo": False})


def figure(runs: Sequence[tuple[str, str, Sequence[Row]]], metrics: Sequence[str], theme: str) -> go.Figure:
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    panels = make_subplots(
        rows, columns, subplot_titles=[_title(name) for name in metrics], horizontal_spacing=0.08,
        vertical_spacing=0.28 / rows,
    )  # fmt: skip
    for position, name in enumerate(metrics):
        place = {"row": position // columns + 1, "col": position % columns + 1}
        for trace in _traces(runs, name, theme, is_first=position == 0):
            panels.add_trace(trace, **place)
        if METRICS[name].unit == "share":
            panels.update_yaxes(tickformat=".0%", **place)
    panels.update_xaxes(title_text="step", title_standoff=4)
    panels.update_annotations(font_size=16)
    panels.update_layout(
        height=300 * rows + 60, margin={"l": 8, "r": 8, "t": 70, "b": 8}, hovermode="x unified", font_size=14,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1 + 0.16 / rows, "x": 0, "font_size": 15},
    )  # fmt: skip
    return panels


def _title(name: str) -> str:
    unit = METRICS[name].unit
    return METRICS[name].label + (f", {unit}" if unit not in ("", "share", "reward") else "")


def _traces(runs, name, theme, is_first):
    seen: dict[str, int] = {}
    # Dashed lines last: on top of a solid one they show both.
    for label, algorithm, rows in sorted(runs, key=lambda run: run[1] == "grpo"):
        copy = seen[algorithm] = seen.get(algorithm, -1) + 1
        shades = SHADES[theme][algorithm]
        steps, values = thin(*series(rows, name))
        colour = shades[copy % len(shades)]
        yield go.Scatter(
            x=steps, y=values, name=label, legendgroup=f"{label} {algorithm} {copy}", showlegend=is_first,
            mode="lines+markers" if len(steps) <= 40 else "lines",
            line={"color": colour, "dash": DASHES[algorithm], "width": 2},
            marker={"symbol": MARKERS[copy % len(MARKERS)], "size": 7},
        )  # fmt: skip
