"""How well each signal finds the token that it should: a mark and an interval a signal, one panel a measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from app.components.hues import INK, SHADES
from app.words.findings import NAMES, over_seeds

MEASURES = {"top1": "top-1", "top3": "top-3", "auc": "AUC"}
CONCENTRATION = {"gini": ("Gini", 2), "effective_tokens": ("tokens in effect", 1)}
"""On how few tokens a signal lies: for the table alone. Digits after the point."""


def scorecard_figure(reports: Sequence[dict], key: str) -> None:
    """Draw one report with its 95% intervals, or several seeds with their mean, lowest and highest."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    st.plotly_chart(figure(reports, theme), key=key, config={"displaylogo": False, "displayModeBar": False})


def figure(reports: Sequence[dict], theme: str) -> go.Figure:
    marks = over_seeds(reports) if len(reports) > 1 else _with_intervals(reports[0])
    panels = {
        label: {NAMES[name]: marks[name][measure] for name in NAMES if name in marks}
        for measure, label in MEASURES.items()
    }
    credit = SHADES[theme][reports[0]["algorithm"]][0]
    return _drawn(panels, {NAMES["implied_advantage"]: credit}, theme, guessing=[2], columns=len(panels))


def dots(panels: dict[str, dict[str, tuple[float, float, float]]], larger: Sequence[str], key: str) -> None:
    """Draw AUCs with their intervals: panel -> row -> value, low, high. larger: rows with larger marks."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    chart = _drawn(panels, dict.fromkeys(larger, SHADES[theme]["vimpo"][0]), theme, range(len(panels)), columns=2)
    st.plotly_chart(chart, key=key, config={"displaylogo": False, "displayModeBar": False})


def _drawn(panels: dict, hues: dict[str, str], theme: str, guessing: Iterable[int], columns: int) -> go.Figure:
    """A mark and an interval a row in every panel. hues: of the rows that are credit; guessing: panels where one half
    is guessing."""
    names = list(next(iter(panels.values())))[::-1]  # Plotly counts upwards
    lines = -(-len(panels) // columns)
    height = 60 + 36 * len(names)
    chart = make_subplots(
        lines,
        columns,
        subplot_titles=list(panels),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=60 / (lines * height),
    )
    places = [{"row": 1 + at // columns, "col": 1 + at % columns} for at in range(len(panels))]
    for place, rows in zip(places, panels.values(), strict=True):
        for name in (name for name in names if name in rows):
            value, low, high = rows[name]
            colour = hues.get(name, INK[theme])
            chart.add_trace(
                go.Scatter(
                    x=[value],
                    y=[name],
                    mode="markers",
                    showlegend=False,
                    cliponaxis=False,
                    error_x={"array": [high - value], "arrayminus": [value - low], "color": colour, "thickness": 2},
                    marker={
                        "color": colour,
                        "size": 12 if name in hues else 9,
                        "symbol": "circle" if name in hues else "diamond",
                    },
                    hovertemplate=f"{value:.3f} ({low:.3f} to {high:.3f})<extra>{name}</extra>",
                ),
                **place,
            )
        chart.update_xaxes(range=[-0.06, 1.06], tickvals=[0, 0.5, 1], ticktext=["0", ".5", "1"], tickangle=0, **place)
    for at in guessing:
        chart.add_vline(x=0.5, line={"dash": "dot", "width": 1}, **places[at])
    chart.update_xaxes(tickfont_color=INK[theme])
    chart.update_yaxes(tickfont={"size": 15, "color": INK[theme]}, ticksuffix="  ")
    chart.update_annotations(font={"size": 16, "color": INK[theme]})
    chart.update_layout(height=lines * height, margin={"l": 8, "r": 8, "t": 36, "b": 8}, font_size=14)
    return chart


def _with_intervals(report: dict) -> dict[str, dict[str, tuple[float, float, float]]]:
    return {
        name: {key: tuple(found[f"{key}{end}"] for end in ("", "_low", "_high")) for key in MEASURES}
        for name, found in report["signals"].items()
    }


def table(reports: Sequence[dict]) -> dict[str, list[str]]:
    """The figure in numbers: a row a signal."""
    marks = over_seeds(reports) if len(reports) > 1 else _with_intervals(reports[0])
    names = [name for name in NAMES if name in marks]
    columns = {
        label: ["{:.3f} ({:.3f} to {:.3f})".format(*marks[name][key]) for name in names]
        for key, label in MEASURES.items()
    }
    columns |= {
        label: [_over_runs([report["signals"][name].get(key) for report in reports], digits) for name in names]
        for key, (label, digits) in CONCENTRATION.items()
    }
    return {"signal": [NAMES[name] for name in names], **columns}


def _over_runs(values: Sequence[float | None], digits: int) -> str:
    """Their mean; a dash where a run has none."""
    if any(value is None for value in values):
        return "–"
    return f"{sum(values) / len(values):.{digits}f}"
