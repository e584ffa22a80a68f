"""A mark and its interval for each of a few algorithms, with every seed as a small dot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components.hues import INK, SHADES
from app.text import as_plain
from vimpo_core.numbers import percent

WIDTH = 780


@dataclass(frozen=True)
class Interval:
    """One line of the plot, shares from 0 to 1; low and high None where there is no interval; seeds: the single
    runs.
    """

    name: str
    algorithm: str
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


def interval_plot(intervals: Sequence[Interval], *, key: str, title: str) -> None:
    """Draw the intervals, first on top. The words stand outside of the plot, whose own would be cut on a narrow
    window.
    """
    theme = "dark" if st.context.theme.type == "dark" else "light"
    st.markdown(f"**{as_plain(title)}**", width=WIDTH)
    st.plotly_chart(
        figure(intervals, theme),
        key=key,
        width=WIDTH,
        alt=_spoken(intervals, title),
        config={"displaylogo": False, "displayModeBar": False},
    )
    st.caption(_legend(intervals), width=WIDTH)


def figure(intervals: Sequence[Interval], theme: str):
    import plotly.graph_objects as go  # costs a sixth of a second: not before there is something to draw

    chart = go.Figure()
    for one in reversed(intervals):
        colour = SHADES[theme][one.algorithm][0]
        chart.add_scatter(
            x=[one.mean],
            y=[one.name],
            mode="markers",
            showlegend=False,
            error_x=_bars(one, colour),
            marker={"color": colour, "size": 15},
            hovertemplate=f"{percent(one.mean, 1)}{_bounds(one)}<extra>{one.name}</extra>",
        )
        chart.add_scatter(
            x=list(one.seeds),
            y=[one.name] * len(one.seeds),
            mode="markers",
            showlegend=False,
            marker={"color": colour, "size": 7, "symbol": "circle-open"},
            text=[percent(seed, 1) for seed in one.seeds],
            hovertemplate="one seed: %{text}<extra></extra>",
        )
    chart.update_xaxes(tickformat=".0%")
    chart.update_xaxes(tickfont_color=INK[theme])
    chart.update_yaxes(tickfont={"size": 17, "color": INK[theme]}, ticksuffix="  ")
    chart.update_layout(height=44 + 70 * len(intervals), margin={"l": 8, "r": 16, "t": 8, "b": 8}, font_size=15)
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
    return "" if one.low is None else f" ({percent(one.low, 1)} to {percent(one.high, 1)})"


def _spoken(intervals: Sequence[Interval], title: str) -> str:
    return f"{title}: {', '.join(f'{one.name} {percent(one.mean, 1)}{_bounds(one)}' for one in intervals)}"


def _legend(intervals: Sequence[Interval]) -> str:
    seeds = "small circles: single seeds"
    is_bare = any(one.low is None for one in intervals)
    return f"Large: the mean{'' if is_bare else ' with its 95 % interval'}; {seeds}."
