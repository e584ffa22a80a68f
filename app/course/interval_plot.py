"""A mark and its interval for each of a few algorithms, with every seed as a small dot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components.hues import SHADES


@dataclass(frozen=True)
class Interval:
    """One line of the plot, shares from 0 to 1; low and high None where there is no interval; seeds: the single runs."""

    name: str
    algorithm: str
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


def interval_plot(intervals: Sequence[Interval], *, key: str, title: str) -> None:
    """Draw the intervals, first on top."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    st.plotly_chart(
        figure(intervals, theme, title),
        key=key,
        width=780,
        config={"displaylogo": False, "displayModeBar": False},
    )


def figure(intervals: Sequence[Interval], theme: str, title: str):
    import plotly.graph_objects as go  # costs a sixth of a second: not before there is something to draw

    chart = go.Figure()
    for one in reversed(intervals):
        colour = SHADES[theme][one.algorithm][0]
        chart.add_scatter(
            x=[one.mean], y=[one.name], mode="markers", showlegend=False,
            error_x=_bars(one, colour), marker={"color": colour, "size": 15},
            hovertemplate=f"{one.mean:.1%}{_bounds(one)}<extra>{one.name}</extra>",
        )  # fmt: skip
        chart.add_scatter(
            x=list(one.seeds), y=[one.name] * len(one.seeds), mode="markers", showlegend=False,
            marker={"color": colour, "size": 7, "symbol": "circle-open"},
            hovertemplate="one seed: %{x:.1%}<extra></extra>",
        )  # fmt: skip
    chart.update_xaxes(tickformat=".0%", title_text=_axis(intervals))
    chart.update_yaxes(tickfont_size=17, ticksuffix="  ")
    chart.update_layout(
        height=110 + 70 * len(intervals), margin={"l": 8, "r": 16, "t": 44, "b": 8}, font_size=15,
        title={"text": title, "font_size": 16},
    )  # fmt: skip
    return chart


def _bars(one: Interval, colour: str) -> dict | None:
    if one.low is None:
        return None
    return {
        "array": [one.high - one.mean],
        "arrayminus": [one.mean - one.low],
        "color": colour,
        "thickness": 3,
    }


def _bounds(one: Interval) -> str:
    return "" if one.low is None else f" ({one.low:.1%} to {one.high:.1%})"


def _axis(intervals: Sequence[Interval]) -> str:
    seeds = "small circles are single seeds"
    return seeds if any(one.low is None for one in intervals) else f"95 % interval; {seeds}"
