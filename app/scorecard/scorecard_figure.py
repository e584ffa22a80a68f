"""How well each signal finds the token that it should: a mark and an interval a signal, one panel a measure."""

from __future__ import annotations

from collections.abc import Sequence

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
    names = [name for name in NAMES if name in marks][::-1]  # Plotly counts upwards
    chart = make_subplots(
        1, len(MEASURES), subplot_titles=list(MEASURES.values()), shared_yaxes=True, horizontal_spacing=0.04
    )
    credit = SHADES[theme][reports[0]["algorithm"]][0]
    for column, measure in enumerate(MEASURES, 1):
        for name in names:
            value, low, high = marks[name][measure]
            is_credit = name == "implied_advantage"
            colour = credit if is_credit else INK[theme]
            chart.add_trace(
                go.Scatter(
                    x=[value],
                    y=[NAMES[name]],
                    mode="markers",
                    showlegend=False,
                    cliponaxis=False,
                    error_x={"array": [high - value], "arrayminus": [value - low], "color": colour, "thickness": 2},
                    marker={
                        "color": colour,
                        "size": 12 if is_credit else 9,
                        "symbol": "circle" if is_credit else "diamond",
                    },
                    hovertemplate=f"{value:.3f} ({low:.3f} to {high:.3f})<extra>{NAMES[name]}</extra>",
                ),
                row=1,
                col=column,
            )
        chart.update_xaxes(
            range=[-0.06, 1.06],
            tickvals=[0, 0.5, 1],
            ticktext=["0", ".5", "1"],
            tickangle=0,
            row=1,
            col=column,
        )
    chart.add_vline(x=0.5, line={"dash": "dot", "width": 1}, row=1, col=3)
    chart.update_xaxes(tickfont_color=INK[theme])
    chart.update_yaxes(tickfont={"size": 15, "color": INK[theme]}, ticksuffix="  ")
    chart.update_annotations(font={"size": 16, "color": INK[theme]})
    chart.update_layout(height=60 + 36 * len(names), margin={"l": 8, "r": 8, "t": 36, "b": 8}, font_size=14)
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
