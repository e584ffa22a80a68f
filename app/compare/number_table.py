"""The tables of the Compare page: a metric at one place with paired differences, and the settings that differ."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from app.compare.chosen import SAME_PROBLEMS, Chosen, as_lines, listed
from app.components.link_table import Piece
from vimpo_core.files import as_cell
from vimpo_core.intervals import MIN_SEEDS
from vimpo_core.measure import comparison
from vimpo_core.measure.comparison import AXES, Arm, Difference, Number
from vimpo_core.measure.metrics import METRICS
from vimpo_core.numbers import percent, points

_ON_PROBLEMS = ("sampled_accuracy", "greedy_accuracy", "sampled_reward", "greedy_reward")


@dataclass(frozen=True)
class Numbers:
    """A metric of every arm at one place, and the difference of each to the baseline (None for itself)."""

    chosen: Chosen
    metric: str
    axis: str
    at: float
    baseline: int
    numbers: list[Number]
    differences: list[Difference | None]


def numbers(chosen: Chosen, metric: str, axis: str, at: float, baseline: int) -> Numbers:
    found = [comparison.number(chosen.of(arm), metric, axis, at) for arm in chosen.arms]
    gaps = [
        None
        if place == baseline
        else comparison.difference(arm, number, chosen.arms[baseline], found[baseline], METRICS[metric].better)
        for place, (arm, number) in enumerate(zip(chosen.arms, found, strict=True))
    ]
    return Numbers(chosen, metric, axis, at, baseline, found, gaps)


def table(found: Numbers) -> tuple[list[str], list[list[list[Piece]]]]:
    """Head and rows of `link_table`: a row an arm; its seeds lead to Inspect, its numbers to its runs on the Runs
    page.
    """
    metric = METRICS[found.metric]
    baseline = found.chosen.arms[found.baseline]
    better = "Higher in" if metric.better == "neither" else "Ahead in"
    unit = ", points" if metric.unit == "share" else ""
    head = ["Arm", "Seeds", metric.label, f"Minus {baseline.label}{unit}", better]
    rows = []
    for arm, number, gap in zip(found.chosen.arms, found.numbers, found.differences, strict=True):
        cells = [[Piece(arm.label)], _seeds(arm), _mean(arm, number, found.metric)]
        rows.append([*cells, *_compared(arm, baseline, gap, found.metric)])
    return head, rows


def _seeds(arm: Arm) -> list[Piece]:
    """How many seeds, and which: each leads to its solutions."""
    links = [Piece(_said(member.seed), f"inspect?{urlencode({'run': member.key})}") for member in arm.members]
    which = [piece for link in links for piece in (link, Piece(" "))][:-1]
    return [Piece(f"{arm.count}: ", is_aside=True), *which]


def _said(seed: int | None) -> str:
    return "not recorded" if seed is None else str(seed)


def _mean(arm: Arm, number: Number, metric: str) -> list[Piece]:
    if not number.n:
        return [Piece("no value", is_aside=True)]
    few = f", n = {number.n}" if number.absent else ""
    interval = (
        f" ({_value(metric, number.low)} to {_value(metric, number.high)}{few})"
        if math.isfinite(number.low)
        else f" ({_few(number.n) if arm.members[0].is_seeded else arm.count})"
    )
    return [Piece(_value(metric, number.mean), _runs(arm.keys)), Piece(interval, is_aside=True)]


def _few(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"{seeds} seeds, too few for an interval"


def _compared(arm: Arm, baseline: Arm, gap: Difference | None, metric: str) -> list[list[Piece]]:
    """The cells of the difference and of who is ahead."""
    if gap is None:
        return [[], [Piece("baseline", is_aside=True)]]
    if not gap.n:
        return [[Piece("no seed in common", is_aside=True)], []]
    interval = (
        f" ({_gap(metric, gap.low)} to {_gap(metric, gap.high)})" if math.isfinite(gap.low) else f" ({_few(gap.n)})"
    )
    ties = gap.n - gap.ahead - gap.behind
    tied = f", {ties} tied" if ties else ""
    return [
        [Piece(_gap(metric, gap.mean), _runs((*arm.keys, *baseline.keys))), Piece(interval, is_aside=True)],
        [Piece(f"{gap.ahead} of {gap.n} {'seed' if gap.n == 1 else 'seeds'}{tied}")],
    ]


def _runs(keys: Sequence[str]) -> str:
    return f"runs?{urlencode({'show': ','.join(keys)})}"


def _value(metric: str, value: float) -> str:
    share = METRICS[metric].unit == "share"
    return percent(value, 1) if share else METRICS[metric].text(value)


def _gap(metric: str, value: float) -> str:
    if METRICS[metric].unit == "share":
        return points(value)
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return sign + METRICS[metric].text(abs(value))


def table_captions(found: Numbers) -> str:
    """What has to be said below the table."""
    chosen, metric, axis = found.chosen, found.metric, found.axis
    members = {member.key: member for arm in chosen.arms for member in arm.members}
    ends = comparison.ends(chosen.curves, metric, axis)
    at = f"{found.at:,.0f}"
    place = f"step {at}" if axis == "step" else f"{at} {AXES[axis][0]}"
    if found.at == min(ends.values()) < max(ends.values()):
        short = [members[key].name for key, end in ends.items() if end == min(ends.values())]
        place += f", the last place that all runs reached ({listed(short)} ended there)"
    said = [
        f"Read at {place}, between two measurements interpolated, never smoothed. In brackets: 95% t interval of the "
        f"mean over seeds, from {MIN_SEEDS} seeds on; for the difference, of the mean over seeds of the paired "
        "differences. A seed leads to its solutions, a number to its runs."
    ]
    if metric in _ON_PROBLEMS and any(number.n >= MIN_SEEDS for number in found.numbers):
        said.append(SAME_PROBLEMS)
    absent = [members[key].name for number in found.numbers for key in number.absent]
    if absent:
        said.append(f"Without a value there, and left out: {listed(absent)}.")
    return as_lines(said)


def as_csv(found: Numbers) -> str:
    """A line a run: arm, seed, run, and its value at the place; empty where it has none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["arm", "seed", "run", found.axis, found.metric])
    for arm, number in zip(found.chosen.arms, found.numbers, strict=True):
        for member in arm.members:
            writer.writerow(
                [
                    as_cell(arm.label),
                    _said(member.seed),
                    as_cell(member.key),
                    f"{found.at:g}",
                    number.values.get(member.key, ""),
                ]
            )
    return out.getvalue()


def settings_table(chosen: Chosen) -> tuple[list[str], list[list[list[Piece]]]]:
    """Head and rows of `link_table`: a row a setting that differs between the arms, a column an arm. No rows where none
    does.
    """
    rows = [
        [
            [Piece(name.replace("_", " "))],
            *(
                [Piece(_shown(getattr(arm.config, name)))]
                + ([] if comparison.reads(arm, name) else [Piece(" not read", is_aside=True)])
                for arm in chosen.arms
            ),
        ]
        for name in comparison.differing_settings(chosen.arms)
    ]
    return ["Setting", *(arm.label for arm in chosen.arms)], rows


def _shown(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
