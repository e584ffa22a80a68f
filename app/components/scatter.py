"""Reward against telescope as a picture whose points can be opened with the mouse or the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.components.assets import as_data, register
from vimpo_core.measure.telescope import Telescope
from vimpo_core.numbers import signed
from vimpo_core.solutions import picks, reading
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace

_mount = register("scatter", "views")


def scatter(
    found: Telescope,
    traces: Sequence[CreditTrace],
    chosen: CreditTrace,
    *,
    key: str,
    version: str,
    about: dict,
    on_open: Callable[[], None],
    with_residuals: bool = False,
) -> None:
    """Draw the solutions of a step, those of the chosen one's prompt strong, itself ringed.

    Args:
        found: of `traces`.
        version: changes with the numbers, not with `chosen`.
        about: what a saved picture says above it, from `formats.about`.
        on_open: called after a point was opened: `st.session_state[key]["open"]` is then {"group": int, "sample": int}.
        with_residuals: also draw each point's way to the line.
    """
    points = [
        {
            "x": point.x,
            "y": point.y,
            "group": traces[point.index].group_id,
            "sample": traces[point.index].sample_idx,
            "right": point.is_correct,
            "own": traces[point.index].group_id == chosen.group_id,
            "lines": _lines(point, traces[point.index]),
        }
        for point in found.points
    ]
    data = {
        "points": points,
        "group": chosen.group_id,
        "sample": chosen.sample_idx,
        "version": version,
        "about": about,
        "residuals": with_residuals,
        "anchor": reading.anchor_name(chosen),
        "symbol": "δ = ρ − κ" if reading.has_kappa(chosen) else "δ = ρ",
    }
    _mount(key=key, data=as_data(data), on_open_change=on_open)


def _lines(point, trace) -> list[str]:
    answer = visible_text(trace.answer)[:20] if trace.answer else "no answer"
    result = f"{answer} {'✓ right' if point.is_correct else '✕ wrong'}"
    return [
        f"{visible_text(trace.prompt_text)} {result if picks.is_judged(trace) else f'reward {trace.reward:.4g}'}",
        f"solution {trace.sample_idx + 1} of prompt {trace.group_id}",
        f"credits add up to {signed(point.x, 3)}",
        f"reward − {reading.anchor_name(trace)} {signed(point.y, 3)}",
        f"residual {signed(point.x - point.y, 3)}",
    ]
