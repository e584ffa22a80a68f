"""Runs laid over each other: what differs by the seed alone is one arm, with its mean and its interval over seeds.
NumPy only.

A run's record n describes the policy after n updates, so a curve is a number of that policy against what had been spent
by then: updates, sampled tokens or CPU seconds of all earlier records. Curves of an arm are averaged where all its
seeds have one: a mean over changing members would move when nothing has.

Intervals are 95% t intervals of the mean over seeds (`intervals.bounds_over_seeds`), none below three seeds. The
held-out problems are the same for all seeds, so an interval of an accuracy does not hold what other problems would have
changed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vimpo_core import rules
from vimpo_core.config import TrainConfig
from vimpo_core.intervals import MIN_SEEDS, bounds_over_seeds
from vimpo_core.lm import sources
from vimpo_core.measure import scorecard
from vimpo_core.measure.metrics import METRICS, Row
from vimpo_core.numbers import percent
from vimpo_core.rules import RULES, Sampled
from vimpo_core.solutions.batch import counted, padded
from vimpo_core.tasks import registry
from vimpo_core.types import CreditTrace, known

AXES: dict[str, tuple[str, str]] = {
    "step": ("step", "Updates made before the policy was measured."),
    "tokens": (
        "sampled tokens",
        "All tokens sampled for the updates made so far, discarded and Monte Carlo ones included.",
    ),
    "cpu": (
        "CPU seconds",
        "Processor time of all earlier records, their measurements on held-out problems included.",
    ),
}
"""Axis -> its name and what it counts."""

TASK = ("task", "operands", "prompt_style", "model")
"""Settings that make another task: curves of different ones do not belong in one figure."""

_PARTICULAR = {setting for rule in RULES.values() for setting in rule.settings}
"""Settings that only some rules read."""
_SAME_RESULT = ("seed", "micro_batch_size", "snapshot_every", "threads")
"""Settings in which the runs of one arm may differ: the seed, and what changes no number but the time."""


# ---- which runs belong together


@dataclass(frozen=True)
class Member:
    """A run in a comparison.

    key: its name in links; place: the folder it comes from, in words; origin: what it is besides its settings, such as
    a fork or a tuning trial. Runs of another place or origin never share an arm. is_seeded: whether its seed and
    settings are known; of a run that another tool recorded they are not, so it is paired with none and called by its
    origin.
    """

    key: str
    name: str
    config: TrainConfig
    place: str = ""
    origin: str = ""
    is_seeded: bool = True

    @property
    def seed(self) -> int | None:
        return self.config.seed if self.is_seeded else None


@dataclass(frozen=True)
class Arm:
    """Runs that differ by the seed alone, by ascending seed. `repeated`: further runs of a seed that is there
    already.
    """

    members: tuple[Member, ...]
    label: str = ""
    repeated: tuple[Member, ...] = ()

    @property
    def config(self) -> TrainConfig:
        return self.members[0].config

    @property
    def place(self) -> str:
        return self.members[0].place

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(member.key for member in self.members)

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Those of the repeated runs too."""
        return (*self.keys, *(member.key for member in self.repeated))

    @property
    def seeds(self) -> tuple[int | None, ...]:
        return tuple(member.seed for member in self.members)

    @property
    def count(self) -> str:
        """How many runs it has, in words."""
        if not self.members[0].is_seeded:
            return "1 run"
        return "1 seed" if len(self.members) == 1 else f"{len(self.members)} seeds"


def arms(members: Sequence[Member]) -> list[Arm]:
    """The runs as arms, in the order in which each arm's first run comes; of two runs with one seed the first
    counts.
    """
    together: dict[tuple, list[Member]] = {}
    for member in members:
        together.setdefault(_arm_key(member), []).append(member)
    return labelled([_arm(found) for found in together.values()])


def _arm_key(member: Member) -> tuple:
    settings = member.config.to_dict()
    return (
        member.place,
        member.origin,
        *(value for name, value in settings.items() if name not in _SAME_RESULT),
    )


def _arm(found: list[Member]) -> Arm:
    by_seed: dict[int, Member] = {}
    for member in found:
        by_seed.setdefault(member.config.seed, member)
    kept = tuple(by_seed[seed] for seed in sorted(by_seed))
    return Arm(kept, repeated=tuple(member for member in found if member not in kept))


def labelled(found: Sequence[Arm]) -> list[Arm]:
    """The arms with labels that tell them apart: the rule, the settings it reads that differ, and where the places do,
    the place. Flipped rewards are named in every label as soon as one arm has any."""
    differing = set(differing_settings([arm for arm in found if arm.members[0].is_seeded]))
    if any(arm.config.reward_noise for arm in found):
        differing |= {"reward_noise", "reward_noise_unit"}
    named = [{name for name in differing if reads(arm, name)} for arm in found]
    is_placed = len({arm.place for arm in found}) > 1
    labels = [_label(arm, names, is_placed) for arm, names in zip(found, named, strict=True)]
    for number in range(len(found)):
        alike = [other for other, label in zip(found, labels, strict=True) if label == labels[number]]
        if len(alike) > 1:  # they differ in what their rule does not read
            named[number] |= set(differing_settings(alike))
    labels = [_label(arm, names, is_placed) for arm, names in zip(found, named, strict=True)]
    return [dataclasses.replace(arm, label=label) for arm, label in zip(found, labels, strict=True)]


def differing_settings(found: Sequence[Arm]) -> list[str]:
    """Settings, beside the algorithm, that are not the same in all arms."""
    configs = [arm.config.to_dict() for arm in found]
    names = [f.name for f in dataclasses.fields(TrainConfig) if f.name not in (*_SAME_RESULT, "algorithm")]
    return [name for name in names if len({config[name] for config in configs}) > 1]


def reads(arm: Arm, name: str) -> bool:
    return is_told_by(arm.config, name)


def is_told_by(config: TrainConfig, name: str) -> bool:
    """Whether the rule reads the setting: one that no rule names is read by all."""
    if name == "reward_noise_unit":
        return config.reward_noise > 0
    return name not in _PARTICULAR or name in RULES[config.algorithm].settings


def _label(arm: Arm, names: set[str], is_placed: bool) -> str:
    if not arm.members[0].is_seeded:
        return arm.members[0].origin
    own = RULES[arm.config.algorithm].settings
    fields = [f.name for f in dataclasses.fields(arm.config) if f.name in names]
    ordered = sorted(
        fields, key=lambda name: (name not in own, name.startswith("reward_noise"))
    )  # what is the rule's own first
    parts = [setting_text(name, getattr(arm.config, name)) for name in ordered]
    parts += [arm.members[0].origin, arm.place if is_placed else ""]
    return ", ".join(part for part in (RULES[arm.config.algorithm].name, *parts) if part)


_WORDS = {
    "actor_coef": "c_A {:g}",
    "gae_lambda": "lambda {:g}",
    "group_size": "groups of {}",
    "operands": "{} numbers",
    "prompts_per_step": "{} prompts a step",
    "steps": "{} steps",
}


def setting_text(name: str, value) -> str:
    """A setting in a few words: "beta 0.1", "c_A 0.05", "25 % flips"."""
    if name == "task":
        return registry.label(value)
    if name == "model":
        return (
            sources.label(value) if value in (sources.BUNDLED, sources.NOT_CHOSEN) else f"model {sources.label(value)}"
        )
    if name == "reward_noise":
        return f"{percent(value)} flips" if value else "no flips"
    if name == "reward_noise_unit":
        return "whole groups" if value == "group" else ""
    if name == "cap_v0":
        return f"V_0 at most {value:g}" if value else "V_0 not capped"
    if name == "max_grad_norm" and not value:
        return "no gradient clipping"
    if name in _WORDS:
        return _WORDS[name].format(value)
    return f"{name} {f'{value:g}' if isinstance(value, float) else value}".replace("_", " ")


def task_problem(found: Sequence[Arm]) -> str:
    """One sentence if the arms solve different tasks, naming the tasks and their runs; "" if they solve one."""
    tasks = by_task(found)
    if len(tasks) < 2:
        return ""
    listed = " and ".join(
        f"{task} ({_some([m.name for arm in of for m in arm.members])})" for task, of in tasks.items()
    )
    return (
        f"these runs solve different tasks, whose numbers cannot share a figure: {listed}. Keep the runs of one task."
    )


def by_task(found: Sequence[Arm]) -> dict[str, list[Arm]]:
    """Task in words -> its arms; only what differs is named."""
    differing = [name for name in TASK if len({getattr(arm.config, name) for arm in found}) > 1]
    tasks: dict[str, list[Arm]] = {}
    for arm in found:
        words = ", ".join(setting_text(name, getattr(arm.config, name)) for name in differing)
        tasks.setdefault(words, []).append(arm)
    return tasks


def _some(names: Sequence[str], most: int = 3) -> str:
    """ "a, b, c and 4 more"."""
    shown = ("; " if any("," in name for name in names) else ", ").join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


# ---- what a run measured


@dataclass(frozen=True)
class Curves:
    """What a run measured, as arrays.

    steps: int [S]; series: metric -> (indices into steps at which it was measured, values: float64, nan where not
        finite);
    spent: axis -> float64 [S], what had been spent before each record, nan where it is not known;
    tokens_are_estimated: some step did not count its tokens, and prompts x group x mean length stands in.
    """

    steps: np.ndarray
    series: dict[str, tuple[np.ndarray, np.ndarray]]
    spent: dict[str, np.ndarray]
    tokens_are_estimated: bool

    def along(self, metric: str, axis: str) -> tuple[np.ndarray, np.ndarray]:
        """Places on the axis and values of a metric: float64 [M] each, M = 0 where it was not recorded."""
        if metric not in self.series or not np.isfinite(self.spent[axis]).all():
            return np.empty(0), np.empty(0)
        indices, values = self.series[metric]
        return self.spent[axis][indices], values

    def newest(self, metric: str) -> list[Row]:
        """The last measurement of a metric as a row; none where it was not recorded."""
        if metric not in self.series:
            return []
        places, values = self.series[metric]
        return [{"step": int(self.steps[places[-1]]), metric: float(values[-1])}]


def curves(rows: Sequence[Row], config: TrainConfig | None) -> Curves:
    """Arrays of a run's metrics (`RunStore.metrics`, from step 0 on). config: None where it was not recorded, so that
    nothing stands in for tokens that were not counted.
    """
    steps = np.array([row["step"] for row in rows], dtype=np.int64)
    measured: dict[str, tuple[list[int], list[float | None]]] = {}
    for place, row in enumerate(rows):
        for name, value in row.items():
            found = measured.get(name)
            if found is None:
                found = measured[name] = ([], [])
            found[0].append(place)
            found[1].append(value)
    series = {
        name: (np.array(places), np.array(values, dtype=np.float64))  # None becomes nan
        for name, (places, values) in measured.items()
        if name != "step"
    }
    tokens = [row.get("tokens_sampled") for row in rows]
    batch_size = math.nan if config is None else config.batch_size
    guessed = [batch_size * (row.get("length_mean") or math.nan) for row in rows]
    cpu = [row.get("cpu_seconds") for row in rows]
    spent = {
        "step": steps.astype(np.float64),
        "tokens": _before([guess if count is None else count for count, guess in zip(tokens, guessed, strict=True)]),
        "cpu": _before([math.nan if seconds is None else seconds for seconds in cpu]),
    }
    return Curves(steps, series, spent, tokens_are_estimated=config is not None and None in tokens)


def _before(costs: Sequence[float]) -> np.ndarray:
    """Sum of the costs of all earlier records."""
    return np.concatenate([[0.0], np.cumsum(np.array(costs[:-1], dtype=np.float64))]) if costs else np.empty(0)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values (fewer at the start): nothing is smoothed with what came later. float [M]."""
    if window == 1 or not len(values):
        return values
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
    counts = np.concatenate([[0.0], np.cumsum(np.isfinite(values))])
    start = np.maximum(np.arange(len(values)) - window + 1, 0)
    end = np.arange(len(values)) + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(values), (sums[end] - sums[start]) / (counts[end] - counts[start]), np.nan)


# ---- an arm's curve


@dataclass(frozen=True)
class Line:
    """One metric of an arm along an axis.

    seeds: key -> (places, values) of each run that recorded it; x, mean, low, high: float [G], where all of them have a
    value; low and high are None below three seeds. missing: keys of the runs without the metric. steps: int [G] of a
    `path`.
    """

    seeds: dict[str, tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    missing: tuple[str, ...]
    steps: np.ndarray | None = None


def line(runs: Mapping[str, Curves], metric: str, axis: str, window: int = 1) -> Line:
    """The curve of a metric over the runs of one arm.

    Args:
        runs: the arm's curves, by key; axis: one of AXES.
        window: mean over so many measurements up to each one; 1 leaves them as they are.
    """
    seeds, missing = {}, []
    for key, run in runs.items():
        x, values = run.along(metric, axis)
        if len(x):
            seeds[key] = (x, smoothed(values, window))
        else:
            missing.append(key)
    x, rows = _on_one_grid([runs[key] for key in seeds], list(seeds.values()), metric)
    low, high = _bounds(rows, metric) if len(seeds) >= MIN_SEEDS else (None, None)
    mean = rows.mean(axis=0) if len(seeds) else np.empty(0)
    return Line(seeds, x, mean, low, high, tuple(missing))


def _on_one_grid(members, measured, metric) -> tuple[np.ndarray, np.ndarray]:
    """Places [G] that all seeds have reached, and their values there [n, G], interpolated between two measurements."""
    if not measured:
        return np.empty(0), np.empty((0, 0))
    steps = [member.steps[member.series[metric][0]] for member in members]
    shared = steps[0]
    for other in steps[1:]:
        shared = np.intersect1d(shared, other)
    at = [x[np.isin(s, shared)] for s, (x, _) in zip(steps, measured, strict=True)]
    grid = np.mean(at, axis=0)
    first, last = max(x[0] for x, _ in measured), min(x[-1] for x, _ in measured)
    grid = np.unique(np.clip(grid, first, last)) if first <= last else np.empty(0)
    return grid, np.array([np.interp(grid, x, values) for x, values in measured])


def path(runs: Mapping[str, Curves], x_metric: str, y_metric: str, window: int = 1) -> Line:
    """One metric of an arm's runs against another as training goes on, at the steps that have both; `window` as in
    `line`, for each of the two.

    `seeds` and the mean are in the order of the steps, so x may go back; `x` is the mean of x_metric. No band.
    """
    seeds, steps, missing = {}, {}, []
    for key, run in runs.items():
        at, x, y = _both(run, x_metric, y_metric, window)
        if len(at):
            seeds[key], steps[key] = (x, y), at
        else:
            missing.append(key)
    if not seeds:
        return Line({}, np.empty(0), np.empty(0), None, None, tuple(missing))
    shared = set.intersection(*(set(at.tolist()) for at in steps.values()))
    rows = [[column[np.isin(steps[key], list(shared))] for column in seeds[key]] for key in seeds]
    x, y = np.mean(rows, axis=0)
    return Line(seeds, x, y, None, None, tuple(missing), np.array(sorted(shared)))


def _both(run: Curves, x_metric, y_metric, window):
    if x_metric not in run.series or y_metric not in run.series:
        return np.empty(0), np.empty(0), np.empty(0)
    (at_x, x), (at_y, y) = run.series[x_metric], run.series[y_metric]
    _, in_x, in_y = np.intersect1d(at_x, at_y, return_indices=True)
    return run.steps[at_x[in_x]], smoothed(x, window)[in_x], smoothed(y, window)[in_y]


# ---- numbers


@dataclass(frozen=True)
class Number:
    """A metric of an arm at one place of the axis. values: key -> value of each run that got there.

    mean is nan where no run did; low and high are nan below three seeds. absent: keys without a value there.
    """

    values: dict[str, float]
    mean: float
    low: float
    high: float
    absent: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline over the seeds that both have; low and high are nan below three.

    ahead, behind: in how many of the n seeds the arm is better and worse; where neither direction is, higher and lower.
    """

    n: int
    mean: float
    low: float
    high: float
    ahead: int
    behind: int


def ends(runs: Mapping[str, Curves], metric: str, axis: str) -> dict[str, float]:
    """Key -> the last place at which the run measured the metric, of the runs that did."""
    places = {key: run.along(metric, axis)[0] for key, run in runs.items()}
    return {key: float(x[-1]) for key, x in places.items() if len(x)}


def number(runs: Mapping[str, Curves], metric: str, axis: str, at: float) -> Number:
    """What an arm's runs measured at a place of the axis, interpolated between two measurements, never beyond the
    last.
    """
    values = {key: _value_at(*run.along(metric, axis), at) for key, run in runs.items()}
    known = {key: value for key, value in values.items() if math.isfinite(value)}
    low, high = _interval(list(known.values()), metric)
    mean = float(np.mean(list(known.values()))) if known else math.nan
    return Number(known, mean, low, high, tuple(key for key in runs if key not in known))


def _value_at(x, values, at) -> float:
    slack = 1e-9 * max(abs(at), 1.0)
    if not len(x) or not x[0] - slack <= at <= x[-1] + slack:
        return math.nan
    return float(np.interp(at, x, values))


def _bounds(rows: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The interval of each column's mean; that of a share ends at 0 and 1."""
    low, high = bounds_over_seeds(rows)
    is_share = metric in METRICS and METRICS[metric].unit == "share"
    return (np.maximum(low, 0.0), np.minimum(high, 1.0)) if is_share else (low, high)


def _interval(values: Sequence[float], metric: str = "") -> tuple[float, float]:
    low, high = _bounds(np.array(values)[:, None], metric)
    return float(low[0]), float(high[0])


def difference(arm: Arm, number_of_arm: Number, baseline: Arm, number_of_baseline: Number, better: str) -> Difference:
    """The arm minus the baseline, seed by seed.

    Args:
        better: "up", "down" or "neither" (`metrics.Metric.better`): which sign counts as ahead.
    """
    first, second = (
        {m.seed: number.values[m.key] for m in of.members if m.is_seeded and m.key in number.values}
        for of, number in ((arm, number_of_arm), (baseline, number_of_baseline))
    )
    gaps = [first[seed] - second[seed] for seed in first if seed in second]
    if not gaps:
        return Difference(0, math.nan, math.nan, math.nan, 0, 0)
    sign = -1 if better == "down" else 1
    ahead, behind = (sum(sign * way * gap > 0 for gap in gaps) for way in (1, -1))
    return Difference(len(gaps), float(np.mean(gaps)), *_interval(gaps), ahead, behind)


# ---- credit


def own_mistakes_auc(traces: Sequence[CreditTrace], config: TrainConfig, rule: str) -> tuple[float, int] | None:
    """How well a rule's one-step credit (lambda 0) finds the first wrong token of these solutions: mean AUC, and of how
    many.

    0.5 is guessing, and what credit that is the same on every token gets. None where an array that the rule needs was
    not recorded, or no wrong solution has a known first wrong token.

    Args:
        rule: a key of RULES; "vimpo_value" reads the credit that the log-ratios imply, whatever trained them.
    """
    wrong = [place for place, trace in enumerate(traces) if scorecard.is_localisable(trace)]
    read = config if rule == config.algorithm else dataclasses.replace(config, kl_estimator="exact")
    by_top_k = read.kl_estimator == "top-k" and RULES[rule].value == "plain"
    needed = ("logprob", "ref_logprob", "top_k_kl" if by_top_k else "kl", *RULES[rule].needs)
    if not wrong or any(getattr(trace, name) is None for trace in traces for name in needed):
        return None
    found = RULES[rule].credit(
        _sampled(traces, RULES[rule].needs, read, needed[2]), dataclasses.replace(config, gae_lambda=0.0)
    )
    aucs = [
        scorecard.localise(-found[i][: len(traces[i].ids)], known(scorecard.target_of(traces[i])))[2] for i in wrong
    ]
    return float(np.mean(aucs)), len(aucs)


def _sampled(traces, needs, config, kl) -> Sampled:
    """The solutions as one padded batch, float64, with kappa's KL; `kl` names the measured one."""
    mask = counted(traces)
    prompts = {trace.group_id: place for place, trace in enumerate(traces)}
    logprobs, ref_logprobs, measured = (
        padded([getattr(t, name) for t in traces], mask.shape[1]) for name in ("logprob", "ref_logprob", kl)
    )
    return Sampled(
        logprobs,
        ref_logprobs,
        kl=rules.kappa_kl(config, logprobs, ref_logprobs, measured, measured),
        completion_mask=mask,
        rewards=np.array([t.reward for t in traces], dtype=np.float64),
        group_ids=np.array([prompts[t.group_id] for t in traces]),
        **{
            name: padded([getattr(t, name) for t in traces], mask.shape[1] + (name == "mc_values"))
            for name in needs
            if name != "reference_rate"  # no rule's credit reads it
        },
    )
