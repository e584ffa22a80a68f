"""The figure of the Compare page: a panel a metric, a path or a credit, and the words below it."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.compare.chosen import SAME_PROBLEMS, Chosen, Stamp, as_lines, curves_of, listed, stamp
from app.components.compare_view import arm_styles, panel
from app.sources import Source
from vimpo_core.experiment.results import RESULT_NAME
from vimpo_core.intervals import MIN_SEEDS
from vimpo_core.measure import comparison
from vimpo_core.measure.comparison import AXES, Arm, Curves
from vimpo_core.measure.metrics import METRICS, validation_problems
from vimpo_core.runs.store import RunStore
from vimpo_core.tasks.registry import task_of

PATHS = {"sampled-kl": "sampled_accuracy", "greedy-kl": "greedy_accuracy"}
"""Figures of an accuracy against KL, by their name in the link."""
CREDITS = {"implied-credit": "implied", "own-credit": "own"}
"""Figures of credit against accuracy: the credit that the log-ratios imply, or the rule's own."""
FIGURES = {
    **{name: metric.label for name, metric in METRICS.items()},
    "sampled-kl": "Sampled accuracy against KL",
    "greedy-kl": "Greedy accuracy against KL",
    "implied-credit": "Implied credit against accuracy",
    "own-credit": "The rule's own credit against accuracy",
}
_MOST_POINTS = 160
"""Of a seed's curve, about: a panel is some 500 pixels wide."""
_ACCURACY_OF_CREDIT = "sampled_accuracy"


def figure(chosen: Chosen, axis: str, shown: Sequence[str], window: int) -> dict[str, Any]:
    """What `compare_view` draws. A panel of which no run recorded anything says so."""
    stamps = tuple(chosen.stamps(arm) for arm in chosen.arms)
    panels = [_panel(chosen, axis, name, window) for name in shown]
    # Credit may be measured after a run's last step, so its points are part of what is drawn anew.
    points = repr([one for name, one in zip(shown, panels, strict=True) if name in CREDITS])
    labels = tuple(arm.label for arm in chosen.arms)
    return {
        "version": str(hash((stamps, axis, tuple(shown), window, labels, points))),
        "arms": [
            {
                **style,
                "label": arm.label,
                "count": arm.count,
                "seeds": [f"seed {'not recorded' if seed is None else seed}" for seed in arm.seeds],
            }
            for style, arm in zip(arm_styles([arm.config.algorithm for arm in chosen.arms]), chosen.arms, strict=True)
        ],
        "panels": panels,
        "about": {"title": "Runs laid over each other", "facts": _facts(chosen, axis, shown, window)},
    }


def _panel(chosen: Chosen, axis: str, name: str, window: int) -> dict[str, Any]:
    if name in PATHS:
        lines = [_path(chosen.stamps(arm), PATHS[name], window) for arm in chosen.arms]
        return panel("path", FIGURES[name], METRICS["kl_mean"], METRICS[PATHS[name]], lines)
    if name in CREDITS:
        found = [[_credit(chosen.sources[key], CREDITS[name]) for key in arm.keys] for arm in chosen.arms]
        lines = [_credit_points(arm, auc, chosen) for arm, auc in zip(chosen.arms, found, strict=True)]
        return panel("points", FIGURES[name], None, METRICS[_ACCURACY_OF_CREDIT], lines)
    lines = [_line(chosen.stamps(arm), name, axis, window) for arm in chosen.arms]
    return panel("curve", FIGURES[name], AXES[axis][0], METRICS[name], lines)


@functools.lru_cache(maxsize=2048)
def _line(stamps: tuple[Stamp, ...], metric: str, axis: str, window: int) -> dict[str, Any]:
    runs = {stamp: curves_of(*stamp) for stamp in stamps}
    return _drawn(comparison.line(runs, metric, axis, window), stamps)


@functools.lru_cache(maxsize=512)
def _path(stamps: tuple[Stamp, ...], accuracy: str, window: int) -> dict[str, Any]:
    runs = {stamp: curves_of(*stamp) for stamp in stamps}
    line = comparison.path(runs, "kl_mean", accuracy, window)
    return {**_drawn(line, stamps), "steps": [] if line.steps is None else line.steps.tolist()}


def _drawn(line: comparison.Line, stamps: Sequence[Stamp]) -> dict[str, Any]:
    return {
        "x": _numbers(line.x),
        "mean": _numbers(line.mean),
        "low": None if line.low is None else _numbers(line.low),
        "high": None if line.high is None else _numbers(line.high),
        "seeds": [_seed(line, stamp) for stamp in stamps],
    }


def _seed(line: comparison.Line, key) -> dict[str, Any] | None:
    """x is None where it is the arm's own."""
    if key not in line.seeds:
        return None
    x, values = thinned(*line.seeds[key])
    return {"x": None if np.array_equal(x, line.x) else _numbers(x), "y": _numbers(values)}


def thinned(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fewer points of a curve that is drawn thin: of each stretch the lowest and the highest, gaps left alone; and the
    ends.
    """
    every = -(-2 * len(x) // _MOST_POINTS)
    whole = len(x) // max(every, 1) * every
    if every < 3 or not np.isfinite(values).all():
        return x, values
    stretches = values[:whole].reshape(-1, every)
    starts = np.arange(0, whole, every)
    kept = {0, len(x) - 1, *(starts + stretches.argmin(1)).tolist(), *(starts + stretches.argmax(1)).tolist()}
    places = sorted(kept)
    return x[places], values[places]


def _numbers(values: np.ndarray) -> list[float | None]:
    """Five significant digits of the largest: what a screen can show; None where not finite."""
    finite = np.isfinite(values)
    largest = np.abs(values[finite]).max(initial=0.0)
    rounded = values if largest == 0 else np.round(values, 4 - math.floor(math.log10(largest)))
    return [value if is_finite else None for value, is_finite in zip(rounded.tolist(), finite.tolist(), strict=True)]


def _credit_points(arm: Arm, aucs: Sequence[tuple[float, int] | None], chosen: Chosen) -> dict[str, Any]:
    """One point a run that has both an AUC and an accuracy, and the arm's mean of these."""
    points = []
    for key, auc in zip(arm.keys, aucs, strict=True):
        _, accuracy = chosen.curves[key].along(_ACCURACY_OF_CREDIT, "step")
        known = accuracy[np.isfinite(accuracy)]
        points.append(None if auc is None or not len(known) else (auc[0], float(known[-1]), auc[1]))
    there = np.array([point for point in points if point is not None]).reshape(-1, 3)
    mean = there.mean(axis=0) if len(there) else None
    return {
        "x": [] if mean is None else [float(mean[0])],
        "mean": [] if mean is None else [float(mean[1])],
        "low": None,
        "high": None,
        "seeds": [None if p is None else {"x": [p[0]], "y": [p[1]], "n": p[2]} for p in points],
    }


def _credit(source: Source, which: str) -> tuple[float, int] | None:
    result = source.folder / source.run.run_id / RESULT_NAME
    measured = result.stat().st_mtime_ns if result.is_file() else None
    return _credit_of(*stamp(source), which, measured)


@functools.lru_cache(maxsize=512)
def _credit_of(
    folder: Path, run_id: str, created: str, last_step: int, which: str, measured_at: int | None
) -> tuple[float, int] | None:
    """AUC on the run's own mistakes and of how many: as its experiment measured it, else on the newest recorded
    solutions.
    """
    measured = _measured_credit(folder / run_id / RESULT_NAME) if which == "implied" else None
    if measured:
        return measured
    with RunStore.open(folder / run_id) as store:
        steps, config = store.trace_steps(), store.config()
        traces = store.traces(steps[-1]) if steps else []
    rule = "vimpo_value" if which == "implied" else config.algorithm
    return comparison.own_mistakes_auc(traces, config, rule)


def _measured_credit(file) -> tuple[float, int] | None:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))["credit"]
        if report and report["set"] == "own":
            return report["signals"]["implied_advantage"]["auc"], report["n_solutions"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or of another version
        pass
    return None


def _facts(chosen: Chosen, axis: str, shown: Sequence[str], window: int) -> list[str]:
    """What a saved picture says above the curves: the runs, and what has to be said below the figure."""
    return [*(f"{arm.label}: {listed(arm.keys)}" for arm in chosen.arms), *_said(chosen, axis, shown, window)]


def captions(chosen: Chosen, axis: str, shown: Sequence[str], window: int) -> str:
    """What has to be said below the figure."""
    return as_lines(_said(chosen, axis, shown, window))


def _said(chosen: Chosen, axis: str, shown: Sequence[str], window: int) -> list[str]:
    said = []
    if any(len(arm.keys) > 1 for arm in chosen.arms):
        said.append("Thick: mean over the seeds, as far as all of them reach. Thin: each seed.")
    if any(len(arm.keys) >= MIN_SEEDS for arm in chosen.arms):
        said.append(f"Band: 95% t interval of that mean over the seeds, at each place for itself. {SAME_PROBLEMS}")
    if few := [arm for arm in chosen.arms if len(arm.keys) < MIN_SEEDS]:
        said.append(_said_few(few))
    if window > 1:
        said.append(f"Smoothed: each point of a curve or path is the mean of the {window} measurements up to it.")
    curves = chosen.curves
    if set(shown) & {*PATHS, *PATHS.values(), *CREDITS}:
        problems = sorted(
            {
                validation_problems(member.config, curves[member.key].newest("validation_problems"))
                for arm in chosen.arms
                for member in arm.members
                if member.is_seeded  # what another tool measured by was not recorded
            }
        )
        said.append(
            f"Accuracies: of the {listed([str(n) for n in problems])} validation problems that each run measures "
            "itself by while it trains; test problems are those of the experiments, on Results."
        )
    if axis == "tokens" and any(run.tokens_are_estimated for run in curves.values()):
        said.append(
            "Some runs did not count the tokens they sampled: for them it is prompts × group size × mean length, "
            "without what was discarded."
        )
    said += [text for name in shown if (text := _said_missing(chosen, curves, axis, name))]
    if set(shown) & set(CREDITS):
        said.append(
            "Credit: mean AUC of the first wrong token among the tokens of the run's own wrong solutions at its last "
            "recorded step (or as its experiment measured it), one-step credit; 0.5 is guessing, and what the same "
            "credit on every token gets. Accuracy: the last measured one."
        )
    return said


def _said_few(arms: Sequence[Arm]) -> str:
    """One sentence for the arms that get no interval, and why."""
    labels = [f"{arm.label} ({arm.count})" for arm in arms]
    return (
        f"Fewer than {MIN_SEEDS} seeds say too little of how far others would fall, so no interval: {listed(labels)}."
    )


def _said_missing(chosen: Chosen, curves: Mapping[str, Curves], axis: str, name: str) -> str:
    names = {key: member.name for arm in chosen.arms for key, member in zip(arm.keys, arm.members, strict=True)}
    if name in CREDITS:
        missing = [names[key] for key in names if _credit(chosen.sources[key], CREDITS[name]) is None]
        what = "no credit of a wrong solution with a known first wrong token was recorded by"
        tasks = (task_of(chosen.sources[key].run.config) for key in names if names[key] in missing)
        if not all(task.verifies_steps for task in tasks):
            what = f"a task that judges answers alone knows no first wrong token (see its Scorecard), so {what}"
    else:
        needed = ("kl_mean", PATHS[name]) if name in PATHS else (name,)
        along = "step" if name in PATHS else axis
        missing = [names[key] for key in names if not all(len(curves[key].along(n, along)[0]) for n in needed)]
        what = "not recorded by"
    if not missing:
        return ""
    return f"{FIGURES[name]}: {what} {'any of these runs' if len(missing) == len(names) else listed(missing)}."
