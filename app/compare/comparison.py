"""What the Compare page asks for: the arms of the link, their curves, the table of numbers, and the words beside
them.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from app import cache, state
from app.components.compare_view import arm_styles, panel
from app.components.link_table import Piece
from app.sources import Source, experiment_sources, is_of_experiment, place_of, sources
from app.text import as_plain, as_sentence
from vimpo_core.experiment.results import RESULT_NAME
from vimpo_core.intervals import MIN_SEEDS
from vimpo_core.measure import comparison
from vimpo_core.measure.comparison import AXES, Arm, Curves, Difference, Member, Number
from vimpo_core.measure.metrics import METRICS, validation_problems
from vimpo_core.numbers import percent, points
from vimpo_core.runs.folder import ACTIVE
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
FIRST_FIGURES = ["sampled_accuracy", "greedy_accuracy", "kl_mean", "sampled-kl"]
WINDOWS = {1: "off", 5: "5", 20: "20"}
MOST_IN_A_SENTENCE = 5
_MOST_POINTS = 160
"""Of a seed's curve, about: a panel is some 500 pixels wide."""
_ACCURACY_OF_CREDIT = "sampled_accuracy"
_ON_PROBLEMS = ("sampled_accuracy", "greedy_accuracy")
_SAME_PROBLEMS = (
    "All seeds are measured on the same held-out problems: what other problems would change is not in an "
    "interval of accuracy."
)
_TUNING = ", tuning, "
"""What the experiment runner puts into the name of a run that only chose settings."""


Stamp = tuple[Path, str, str, int]
"""Folder, id, creation time and last step of a run: what its numbers depend on. Another run of the same name, or the
same one grown longer, is read anew."""


@dataclass(frozen=True)
class Chosen:
    """The arms that are compared; `sources` and `curves` by the key of a run."""

    arms: list[Arm]
    sources: dict[str, Source]

    @functools.cached_property
    def curves(self) -> dict[str, Curves]:
        return {key: _curves(*_stamp(self.sources[key])) for arm in self.arms for key in arm.keys}

    def stamps(self, arm: Arm) -> tuple[Stamp, ...]:
        return tuple(_stamp(self.sources[key]) for key in arm.keys)

    def of(self, arm: Arm) -> dict[str, Curves]:
        return {key: self.curves[key] for key in arm.keys}


# --- which runs there are --------------------------------------------------------------------------------------------


def catalogue() -> dict[str, Source]:
    """Every run with at least one step, by its key: one's own, those of experiments ("NAME/RUN"), the bundled ones."""
    found = sources()
    own = [source for source in found if source.folder == cache.own_folder()]
    bundled = [source for source in found if cache.is_bundled(source.folder)]
    return {
        source.key: source for source in [*own, *experiment_sources(), *bundled] if source.run.last_step is not None
    }


def _member(source: Source) -> Member:
    return Member(source.key, source.run.name, source.run.config, place_of(source), _origin(source))


def _origin(source: Source) -> str:
    if is_of_experiment(source):
        return "tuning" if _TUNING in source.run.name else ""
    return _fork(*_stamp(source)[:3])


# Python's own cache: Streamlit takes half a millisecond to make a key of its arguments, for thirty runs as long as to
# read them.
@functools.lru_cache(maxsize=1024)
def _fork(folder: Path, run_id: str, created: str) -> str:
    with RunStore.open(folder / run_id) as store:
        fork = store.header().get("fork")
    return f"fork of {fork['run_id']} at step {fork['step']}" if fork else ""


def _stamp(source: Source) -> Stamp:
    return source.folder, source.run.run_id, source.run.created, source.run.last_step


@functools.lru_cache(maxsize=256)
def _curves(folder: Path, run_id: str, created: str, last_step: int) -> Curves:
    with RunStore.open(folder / run_id) as store:
        return comparison.curves(store.metrics(), store.config())


# --- choosing --------------------------------------------------------------------------------------------------------


def pick_arms(sources: Mapping[str, Source], notes: list[str]) -> Chosen | None:
    """The picker of arms. None after one sentence that says why nothing is drawn."""
    everything = _picker_arms(sources)
    keys = _keys_of_link()
    if keys is None:
        keys = _first_keys(everything)
    there = [key for key in dict.fromkeys(keys) if key in sources]
    by_id = {arm.keys[0]: arm for arm in everything}
    selected = [name for name, arm in by_id.items() if set(arm.keys) & set(there)]
    st.session_state["compare.arms"] = selected
    st.multiselect(
        "Runs",
        list(by_id),
        key="compare.arms",
        format_func=lambda name: _option(by_id[name], there),
        on_change=_choose,
        args=(by_id, there),
        placeholder="Choose what to compare",
        help="Runs that differ by the seed alone are one entry. Single runs are ticked on the Runs page.",
    )
    if gone := [key for key in dict.fromkeys(keys) if key not in sources]:
        _refuse_missing(gone, there)
        return None
    if not there:
        st.caption("Choose runs above, or tick them on the Runs page.")
        return None
    found = comparison.arms([_member(sources[key]) for key in there])
    if problem := comparison.task_problem(found):
        _refuse_tasks(problem, found)
        return None
    notes += [
        f"{_listed([m.name for m in arm.repeated])} {_has(arm.repeated)} a seed of {arm.label} that is there already, "
        "and counts no second time."
        for arm in found
        if arm.repeated
    ]
    return Chosen(found, {key: sources[key] for key in there})


def _picker_arms(sources: Mapping[str, Source]) -> list[Arm]:
    """All arms, labelled among those of their place and origin: an experiment's tuning tried settings that its runs
    share.
    """
    among: dict[tuple[str, str], list[Arm]] = {}
    for arm in comparison.arms([_member(source) for source in sources.values()]):
        among.setdefault((arm.place, arm.members[0].origin), []).append(arm)
    return [arm for found in among.values() for arm in comparison.labelled(found)]


def _option(arm: Arm, chosen: Sequence[str]) -> str:
    count = len(set(arm.keys) & set(chosen))
    seeds = f"{len(arm.keys)} {'seed' if len(arm.keys) == 1 else 'seeds'}"
    some = f"{count} of {seeds}" if 0 < count < len(arm.keys) else seeds
    return " · ".join(part for part in (arm.label, some, arm.place) if part)


def _keys_of_link() -> list[str] | None:
    """The runs of the link (?runs=a,b), None where it names none."""
    text = st.query_params.get("runs")
    return None if text is None else [key for key in text.split(",") if key]


def _first_keys(everything: Sequence[Arm]) -> list[str]:
    """What is compared before anybody has chosen: the bundled runs, else the newest arms of one task."""
    bundled = [arm for arm in everything if arm.place == "bundled"]
    tasks = comparison.by_task(bundled or everything)
    return [key for arm in next(iter(tasks.values()))[:4] for key in arm.keys]


def _choose(by_id: Mapping[str, Arm], before: Sequence[str]) -> None:
    """Picker callback: an arm that stays keeps its runs, a new one comes with all of them."""
    kept = set(before)
    keys = []
    for name in st.session_state["compare.arms"]:
        arm = by_id[name]
        keys += [key for key in arm.keys if key in kept] or list(arm.keys)
    put_runs(keys)


def put_runs(keys: Sequence[str]) -> None:
    """Write the runs that are compared to the link; what is said of a baseline or a place is forgotten."""
    state.put(runs=",".join(keys), baseline=None, at=None)


def _refuse_missing(gone: Sequence[str], there: Sequence[str]) -> None:
    st.warning(
        as_sentence(f"{_why_missing(gone)}. The comparison of this link is not drawn without."),
        icon=":material/error:",
    )
    if there:
        others = f"Compare the {len(there)} others" if len(there) > 1 else "Show the other one"
        st.button(others, type="primary", on_click=put_runs, args=(there,))


def _why_missing(gone: Sequence[str]) -> str:
    experiments = list(dict.fromkeys(key.partition("/")[0] for key in gone))
    if all(cache.is_published(name) for name in experiments):
        remade = " and ".join(f"python -m vimpo_core experiment experiments/{name}.toml" for name in experiments)
        return (
            f"{_listed(gone)}: the runs of published experiments are not part of the project, only their numbers are, "
            f"in docs/results.md; `{remade}` makes them again"
        )
    is_one = len(gone) == 1
    return (
        f"{_listed(gone)} {'is' if is_one else 'are'} not there or {_has(gone)} no step yet: "
        f"{'it' if is_one else 'they'} may have been deleted"
    )


def _refuse_tasks(problem: str, found: Sequence[Arm]) -> None:
    st.warning(as_sentence(problem), icon=":material/error:")
    with st.container(horizontal=True):
        for number, (task, arms) in enumerate(comparison.by_task(found).items()):
            keys = [key for arm in arms for key in arm.keys]
            runs = "run" if len(keys) == 1 else "runs"
            st.button(
                f"Keep {task} ({len(keys)} {runs})",
                key=f"compare.task{number}",
                on_click=put_runs,
                args=(keys,),
            )


def pick_axis(notes: list[str]) -> str:
    axis = state.chosen("x", list(AXES), "step", notes)
    st.segmented_control(
        "Along",
        list(AXES),
        format_func=lambda name: AXES[name][0].capitalize().replace("Cpu", "CPU"),
        required=True,
        help=" ".join(f"{name[0].upper()}{name[1:]}: {what}" for name, what in AXES.values()),
        **state.bound("x", axis, "at"),
    )
    return axis


def pick_window(notes: list[str]) -> int:
    window = state.chosen("smooth", list(WINDOWS), 1, notes, int)
    st.segmented_control(
        "Smoothing",
        list(WINDOWS),
        format_func=WINDOWS.get,
        required=True,
        help="Mean of so many measurements up to each point. The numbers in the table are never smoothed.",
        **state.bound("smooth", window),
    )
    return window


def pick_figures(notes: list[str]) -> list[str]:
    text = st.query_params.get("show")
    wanted = FIRST_FIGURES if text is None else [name for name in text.split(",") if name]
    shown = [name for name in wanted if name in FIGURES]
    if unknown := [name for name in wanted if name not in FIGURES]:
        notes.append(f"The link asks for {_listed(unknown)}, which is no figure here; it is left out.")
        state.put(show=",".join(shown))
    st.session_state["compare.show"] = shown
    st.multiselect(
        "Figures",
        list(FIGURES),
        key="compare.show",
        format_func=FIGURES.get,
        on_change=lambda: state.put(show=",".join(st.session_state["compare.show"])),
        help="A metric along the chosen axis, accuracy against KL as training goes on, or credit against accuracy.",
    )
    return shown


def say_what_is_unfinished(chosen: Chosen) -> None:
    """A line and a button where some of the runs are still growing."""
    runs = [source.run for source in chosen.sources.values() if source.run.state in ACTIVE]
    if runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Still training, shown as far as they are: {as_plain(_listed([run.name for run in runs]))}.")
            st.button("Read them again", icon=":material/refresh:")


# --- the figure ------------------------------------------------------------------------------------------------------


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
            {**style, "label": arm.label, "seeds": [f"seed {seed}" for seed in arm.seeds]}
            for style, arm in zip(arm_styles([arm.config.algorithm for arm in chosen.arms]), chosen.arms, strict=True)
        ],
        "panels": panels,
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
    runs = {stamp: _curves(*stamp) for stamp in stamps}
    return _drawn(comparison.line(runs, metric, axis, window), stamps)


@functools.lru_cache(maxsize=512)
def _path(stamps: tuple[Stamp, ...], accuracy: str, window: int) -> dict[str, Any]:
    runs = {stamp: _curves(*stamp) for stamp in stamps}
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
    x, values = _thinned(*line.seeds[key])
    return {"x": None if np.array_equal(x, line.x) else _numbers(x), "y": _numbers(values)}


def _thinned(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    return _credit_of(*_stamp(source), which, measured)


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


def captions(chosen: Chosen, axis: str, shown: Sequence[str], window: int) -> str:
    """What has to be said below the figure."""
    said = []
    if any(len(arm.keys) > 1 for arm in chosen.arms):
        said.append("Thick: mean over the seeds, as far as all of them reach. Thin: each seed.")
    if any(len(arm.keys) >= MIN_SEEDS for arm in chosen.arms):
        said.append(f"Band: 95% t interval of that mean over the seeds, at each place for itself. {_SAME_PROBLEMS}")
    if few := [arm for arm in chosen.arms if len(arm.keys) < MIN_SEEDS]:
        said.append(_said_few(few))
    if window > 1:
        said.append(f"Smoothed: each point of a curve or path is the mean of the {window} measurements up to it.")
    curves = chosen.curves
    if set(shown) & {*PATHS, *PATHS.values(), *CREDITS}:
        problems = sorted({validation_problems(member.config) for arm in chosen.arms for member in arm.members})
        said.append(
            f"Accuracies: of the {_listed([str(n) for n in problems])} validation problems that each run measures "
            "itself by while it trains. docs/results.md has those of test problems."
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
    return _lines(said)


def _said_few(arms: Sequence[Arm]) -> str:
    """One sentence for the arms that get no interval, and why."""
    labels = [f"{arm.label} ({len(arm.keys)} {'seed' if len(arm.keys) == 1 else 'seeds'})" for arm in arms]
    return (
        f"Fewer than {MIN_SEEDS} seeds say too little of how far others would fall, so no interval: {_listed(labels)}."
    )


def _lines(sentences: Sequence[str]) -> str:
    return "  \n".join(as_plain(text) for text in sentences)


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
    return f"{FIGURES[name]}: {what} {'any of these runs' if len(missing) == len(names) else _listed(missing)}."


# --- numbers ---------------------------------------------------------------------------------------------------------


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


def pick_metric(chosen: Chosen, axis: str, notes: list[str]) -> str | None:
    """The metric of the table, among those that some run recorded."""
    there = [name for name in METRICS if any(len(run.along(name, axis)[0]) for run in chosen.curves.values())]
    if not there:
        st.caption("These runs recorded nothing along this axis.")
        return None
    metric = state.chosen("number", there, there[0], notes)
    st.selectbox(
        "Metric",
        there,
        format_func=lambda name: METRICS[name].label,
        width=240,
        help=METRICS[metric].definition,
        **state.bound("number", metric, "at"),
    )
    return metric


def pick_baseline(chosen: Chosen, notes: list[str]) -> int:
    """Index of the arm that the others are compared with: in the link by the key of its first run."""
    names = [arm.keys[0] for arm in chosen.arms]
    first = next((arm.keys[0] for arm in chosen.arms if arm.config.algorithm == "grpo"), names[0])
    baseline = state.chosen("baseline", names, first, notes)
    st.selectbox(
        "Compared with",
        names,
        format_func=lambda name: chosen.arms[names.index(name)].label,
        width=320,
        help="The other arms' differences to it are taken seed by seed, over the seeds that both have.",
        **state.bound("baseline", baseline),
    )
    return names.index(baseline)


def pick_place(chosen: Chosen, metric: str, axis: str, notes: list[str]) -> float:
    """Where the numbers are read; the default is the last place that all runs have reached."""
    ends = comparison.ends(chosen.curves, metric, axis).values()
    shared, last = min(ends), math.floor(max(ends))
    if last < 1:
        return shared
    wanted = st.query_params.get("at")
    at = shared if wanted is None else state.number("at", 0, last, math.floor(shared), notes)
    st.slider(
        f"Read at, {AXES[axis][0]}",
        0,
        last,
        width=320,
        step=1 if axis == "step" else max(1, last // 100),
        help="The default is the last place that every run has reached. Further on, runs that ended earlier are left "
        "out.",
        **state.bound("at", math.floor(at)),
    )
    return at


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
    # Said in the cell: a bare "0" below "Seeds" would read as none.
    what = Piece("seed " if len(arm.members) == 1 else "seeds ", is_aside=True)
    links = [Piece(str(member.config.seed), f"inspect?{urlencode({'run': member.key})}") for member in arm.members]
    return [what, *[piece for link in links for piece in (link, Piece(" "))][:-1]]


def _mean(arm: Arm, number: Number, metric: str) -> list[Piece]:
    if not number.n:
        return [Piece("no value", is_aside=True)]
    few = f", n = {number.n}" if number.absent else ""
    interval = (
        f" ({_value(metric, number.low)} to {_value(metric, number.high)}{few})"
        if math.isfinite(number.low)
        else f" ({_few(number.n)})"
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
        place += f", the last place that all runs reached ({_listed(short)} ended there)"
    said = [
        f"Read at {place}, between two measurements interpolated, never smoothed. In brackets: 95% t interval of the "
        f"mean over seeds, from {MIN_SEEDS} seeds on; for the difference, of the mean over seeds of the paired "
        "differences. A seed leads to its solutions, a number to its runs."
    ]
    if metric in _ON_PROBLEMS and any(number.n >= MIN_SEEDS for number in found.numbers):
        said.append(_SAME_PROBLEMS)
    absent = [members[key].name for number in found.numbers for key in number.absent]
    if absent:
        said.append(f"Without a value there, and left out: {_listed(absent)}.")
    return _lines(said)


def as_csv(found: Numbers) -> str:
    """A line a run: arm, seed, run, and its value at the place; empty where it has none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["arm", "seed", "run", found.axis, found.metric])
    for arm, number in zip(found.chosen.arms, found.numbers, strict=True):
        for member in arm.members:
            writer.writerow(
                [
                    arm.label,
                    member.config.seed,
                    member.key,
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


def _listed(names: Sequence[str]) -> str:
    """ "a, b and c"; with semicolons where a name has a comma of its own; "and 7 more" after the first few."""
    between = "; " if any("," in name for name in names) else ", "
    if len(names) > MOST_IN_A_SENTENCE:
        return f"{between.join(names[:MOST_IN_A_SENTENCE])} and {len(names) - MOST_IN_A_SENTENCE} more"
    return between.join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)


def _has(things: Sequence) -> str:
    return "has" if len(things) == 1 else "have"
