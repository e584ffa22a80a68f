"""The training curves: small multiples on canvas that keep zoom, hover and open notes while a run goes on.

Python sends numbers and words; the drawing is assets/components/live_curves/live_curves.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.components.assets import as_data, register
from app.components.hues import style_of
from app.words import judges
from vimpo_core.config import TrainConfig
from vimpo_core.measure.metrics import METRICS, Row, series, thin
from vimpo_core.rules import RULES

ALGORITHM_NAMES = {key: rule.name for key, rule in RULES.items()}


@dataclass(frozen=True)
class Chart:
    """One tile. `domain` fixes the y axis, `least_span` keeps rounding noise from filling it.

    The second metric of a tile is drawn thinner, with hollow points, and `short` names both. beside: a second metric
    that is drawn only where a run has it and it differs from the first.
    """

    title: str
    metrics: tuple[str, ...]
    short: tuple[str, ...] = ()
    beside: str = ""
    unit: str = ""
    domain: tuple[float, float] | None = None
    from_zero: bool = True
    least_span: float = 0.0
    is_rare: bool = False


CHARTS = (
    Chart("Accuracy", ("sampled_accuracy", "greedy_accuracy"), short=("sampled", "greedy"), domain=(0, 1)),
    Chart("Held-out reward", ("sampled_reward", "greedy_reward"), ("sampled", "greedy"), domain=(0, 1), is_rare=True),
    Chart("Mean reward", ("reward_mean",), ("sampled", "kept"), "reward_mean_kept", domain=(0, 1)),
    Chart("KL", ("kl_mean",), unit="nats", least_span=0.01),
    Chart("Value loss", ("value_loss",), least_span=0.01),
    Chart("Residual", ("residual_ratio",), unit="/ target", least_span=1.0),
    Chart("V moves by", ("value_range",), unit="of a reward", least_span=0.1, is_rare=True),
    Chart("Finds the mistake", ("mistake_auc",), domain=(0, 1), is_rare=True),
    Chart("Entropy", ("entropy_mean",), unit="nats", least_span=0.1),
    Chart("Dead groups", ("dead_group_share",), ("sampled", "kept"), "dead_group_share_kept", domain=(0, 1)),
    Chart("Length", ("length_mean",), unit="tokens", from_zero=False, least_span=4.0),
    Chart("Actor loss", ("actor_loss",), from_zero=False, least_span=0.01),
    Chart("Clip fraction", ("clip_fraction",), ("mean", "last"), "clip_fraction_last", least_span=0.1),
    Chart("Gradient", ("grad_norm",), ("mean", "last"), "grad_norm_last", least_span=0.1),
    Chart("Speed", ("tokens_per_second",), unit="tokens/s", least_span=100.0),
)
_BY_METRIC = {chart.metrics[0]: chart for chart in CHARTS}
SPARSE = ("sampled_accuracy", "greedy_accuracy", "sampled_reward", "greedy_reward")
"""Measured only now and then: every point is drawn."""

_mount = register("live_curves", hues=".curves")


def run_payload(run_id: str, config: TrainConfig, rows: Sequence[Row]) -> dict[str, Any]:
    """What the component needs of one run: thinned series and the words about its newest values.

    Args:
        rows: the run's metrics, ascending (`RunStore.metrics`).
    """
    names = [name for chart in CHARTS if _is_shown(chart, rows) for name in _drawn(chart, rows)]
    return {
        "id": run_id,
        "name": ALGORITHM_NAMES[config.algorithm],
        "style": config.algorithm,
        **style_of(config.algorithm),
        "last_step": rows[-1]["step"] if rows else None,
        "series": {name: _points(rows, name) for name in names},
        "notes": {name: _note(name, config, rows) for name in names},
    }


def live_curves(runs: Sequence[dict[str, Any]], x_max: int, key: str, only: Sequence[str] = ()) -> None:
    """Draw the curves of one run, or of several over each other.

    Args:
        runs: results of `run_payload`.
        only: the first metrics of the tiles to draw, in this order; all where none is named.
        x_max: last step of the x axis: all steps to come, so that nothing shifts while training goes on.
    """
    # Another run of the same name may be at the same step: its newest values are others.
    newest = [(run["id"], run["last_step"], *(note["value"] for note in run["notes"].values())) for run in runs]
    data = {
        "version": f"{newest} {x_max}",
        "x_max": x_max,
        "runs": list(runs),
        "charts": [
            _chart(chart, runs)
            for chart in (_BY_METRIC[name] for name in only or _BY_METRIC)
            if any(name in run["series"] for run in runs for name in chart.metrics)
        ],
    }
    _mount(key=key, data=as_data(data), height="content")


def _is_shown(chart: Chart, rows: Sequence[Row]) -> bool:
    """Whether a run has the tile: a rare one only where it measured it."""
    return not chart.is_rare or any(name in row for row in rows for name in chart.metrics)


def _drawn(chart: Chart, rows: Sequence[Row]) -> tuple[str, ...]:
    """The metrics that a tile shows of one run."""
    differs = any(chart.beside in row and row[chart.beside] != row.get(chart.metrics[0]) for row in rows)
    return (*chart.metrics, chart.beside) if differs else chart.metrics


def _points(rows, name) -> dict[str, list]:
    steps, values = thin(*series(rows, name))
    return {"steps": steps, "values": [None if v is None else float(f"{v:.5g}") for v in values]}


def _note(name, config, rows) -> dict[str, str]:
    """Value and remark at the newest step where the metric was measured."""
    measured = max((i for i, row in enumerate(rows) if name in row), default=-1)
    history = rows[: measured + 1]
    value = history[-1][name] if history else None
    return {"value": METRICS[name].text(value), "remark": judges.remark(name, value, config, history)}


def _chart(chart: Chart, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    has_beside = any(chart.beside in run["series"] for run in runs)
    names = (*chart.metrics, chart.beside) if has_beside else chart.metrics
    shorts = chart.short if len(names) > 1 else ("",)
    return {
        "id": chart.metrics[0],
        "title": chart.title,
        "unit": chart.unit,
        "domain": chart.domain,
        "from_zero": chart.from_zero,
        "least_span": chart.least_span,
        "metrics": [
            _metric(name, short, is_open=position > 0)
            for position, (name, short) in enumerate(zip(names, shorts, strict=True))
        ],
    }


def _metric(name: str, short: str, is_open: bool) -> dict[str, Any]:
    metric = METRICS[name]
    return {
        "name": name,
        "label": metric.label,
        "short": short,
        "percent": metric.unit == "share",
        "definition": metric.definition,
        "expected": metric.expected,
        "open": is_open,
        "sparse": name in SPARSE,
    }
