"""VIMPO minus GRPO in several contests: a mark and its interval for each of the two measures, around the line of no
difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.components.hues import INK, SHADES
from app.words import verdicts
from app.words.verdicts import Gap, Match
from vimpo_core.numbers import points

WIDTH = 900
_LINE_PIXELS = 64
_WORDS, _PLACES = 0.36, {verdicts.HOW: 0.0, verdicts.GREEDY: -0.25}
"""Of a line: the middle of its words, and of its two marks below them. The marks are 11 pixels, the words 20 high."""
_GROUND = {"light": "#ffffff", "dark": "#14171c"}
"""Of a page: behind words, so that the line of no difference does not run through them."""
_STEPS = re.compile(r", \d+ steps$")
"""Left out in the plot, where words have little room."""
_SYMBOLS = {verdicts.HOW: "circle", verdicts.GREEDY: "diamond-open"}


@dataclass(frozen=True)
class Contest:
    """words: what is special about it."""

    words: str
    found: Match

    def gap(self, how: str) -> Gap | None:
        return self.found.greedy if how == verdicts.GREEDY else self.found.gap


def difference_plot(contests: Sequence[Contest], *, key: str) -> None:
    """Draw the differences, first on top; what it means stands below it."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    st.plotly_chart(
        figure(contests, theme),
        key=key,
        width=WIDTH,
        alt=spoken(contests),
        config={"displaylogo": False, "displayModeBar": False},
    )
    st.caption(
        "VIMPO minus GRPO in percentage points of test problems solved, with 95 % intervals over seeds and problems. "
        "●: every token drawn by its probability (sampled); ◇: the likeliest token every time (greedy). Right of the "
        "line VIMPO is better; an interval that crosses it cannot tell. Intervals are not widened for the number of "
        "contests.",
        width=WIDTH,
    )


def figure(contests: Sequence[Contest], theme: str):
    import plotly.graph_objects as go  # costs a sixth of a second: not before there is something to draw

    chart = go.Figure()
    colour = SHADES[theme]["vimpo"][0]
    last = len(contests) - 1
    for how, above in _PLACES.items():
        shown = [(last - place, contest.words, contest.gap(how)) for place, contest in enumerate(contests)]
        shown = [(y, words, gap) for y, words, gap in shown if gap and gap.low is not None]
        chart.add_scatter(
            x=[100 * gap.mean for _, _, gap in shown],
            y=[y + above for y, _, _ in shown],
            mode="markers",
            showlegend=False,
            marker={"color": colour, "size": 11, "symbol": _SYMBOLS[how], "line_width": 2},
            error_x={
                "array": [100 * (gap.high - gap.mean) for _, _, gap in shown],
                "arrayminus": [100 * (gap.mean - gap.low) for _, _, gap in shown],
                "color": colour,
                "thickness": 2,
            },
            text=[f"{words}<br>{how}: {_said(gap)}" for _, words, gap in shown],
            hovertemplate="%{text}<extra></extra>",
        )
    chart.add_vline(0, line_color=INK[theme], line_width=1, layer="below")
    for place, contest in enumerate(contests):
        words = {"text": _STEPS.sub("", contest.words), "font": {"size": 14, "color": INK[theme]}}
        chart.add_annotation(
            words, x=0, xref="paper", y=last - place + _WORDS, showarrow=False, xanchor="left", bgcolor=_GROUND[theme]
        )
    chart.update_xaxes(ticksuffix=" points", tickfont_color=INK[theme], zeroline=False)
    chart.update_yaxes(visible=False, range=[-0.5, last + 0.7])
    chart.update_layout(
        height=40 + _LINE_PIXELS * len(contests), margin={"l": 8, "r": 16, "t": 8, "b": 8}, font_size=14
    )
    return chart


def spoken(contests: Sequence[Contest]) -> str:
    """The plot in words."""
    said = [
        f"{contest.words}, {how}: {_said(gap)}"
        for contest in contests
        for how in (verdicts.HOW, verdicts.GREEDY)
        if (gap := contest.gap(how))
    ]
    return f"VIMPO minus GRPO in points. {'; '.join(said)}"


def _said(gap: Gap) -> str:
    if gap.low is None or gap.high is None:
        return points(gap.mean)
    return f"{points(gap.mean)} ({points(gap.low)} to {points(gap.high)})"
