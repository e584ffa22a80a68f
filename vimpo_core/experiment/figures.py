"""Pictures of an experiment as SVG text. Imports matplotlib late."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from vimpo_core.intervals import bounds_over_seeds
from vimpo_core.views.rule_styles import DARK, DASHES, LIGHT

CAPTIONS = {
    "accuracy": "Test accuracy: mean and 95% interval (from 3 seeds on); each dot is a seed.",
    "difference": "Test accuracy minus that of the arm compared with, paired by seed and problem: mean and 95% "
    "interval.",
    "learning": "Validation accuracy during training: mean over seeds, band its 95% interval over seeds (from 3 on), "
    "each seed thin.",
    "kl": "Validation accuracy against KL to the reference: the path of the mean over seeds, dots are the seeds at "
    "the end.",
    "credit": "Credit quality of the last snapshot against its sampled test accuracy; each dot is a seed.",
}
"""Kinds of figure with what they show; a block has those whose numbers were measured."""

_INK, _LINE, _BACK = "#26303b", "#c9ced5", "#fffffe"
_HOWS = ("sampled", "greedy")
_POINTS_A_PIXEL = 0.3
"""How the rules' dashes are drawn here, as multiples of the line's width."""
_SPARE_DASHES = ("-", (0, (5, 2)), (0, (5, 1.5, 1, 1.5)), (0, (9, 3)), (0, (2, 4)))
"""Lines of the second, third, ... arm of a rule."""
_MARKERS = "os^DvPXph*d"
"""Dots of the first, second, ... arm: hues alone cannot be told apart by everybody."""


def draw_all(found: dict) -> dict[str, str]:
    """Every figure of the numbers of `tables.numbers`: name -> SVG text. A kind without numbers is left out."""
    drawn = {}
    for i, block in enumerate(found["blocks"]):
        arms = [arm for arm in _styled(block["arms"]) if arm["runs"]]
        if not arms:
            continue
        for kind, draw in _KINDS.items():
            if not any(_NEEDS[kind](arm) for arm in arms):
                continue
            drawn[f"{kind}-{i}"] = _svg(lambda axes, draw=draw, arms=arms: draw(axes, arms), f"{kind}-{i}", len(arms))
    return drawn


def inline(svg: str) -> str:
    """A picture as an element of a page, in the page's own colours."""
    element = svg[svg.index("<svg") :]
    colours = {_INK: "currentColor", _LINE: "var(--line)", _BACK: "none"}
    for rule, shades in LIGHT.items():
        colours |= {light: f"light-dark({light}, {dark})" for light, dark in zip(shades, DARK[rule], strict=True)}
    return re.sub("|".join(colours), lambda found: colours[found[0]], element)


def in_theme(svg: str, theme: str, ink: str) -> str:
    """A picture for a page that is "light" or "dark", on the page's own ground; ink: of its words."""
    colours = {_INK: ink, _LINE: f"{ink}55", _BACK: "none"}
    if theme == "dark":
        colours |= {light: dark for rule in LIGHT for light, dark in zip(LIGHT[rule], DARK[rule], strict=True)}
    return re.sub("|".join(colours), lambda found: colours[found[0]], svg)


def _styled(arms: list[dict]) -> list[dict]:
    """The arms with a shade of their rule, and a dash and a marker of their own."""
    counts: dict[str, int] = {}
    styled = []
    for i, arm in enumerate(arms):
        shades, copy = LIGHT[arm["algorithm"]], counts.get(arm["algorithm"], 0)
        counts[arm["algorithm"]] = copy + 1
        look = {"hue": shades[copy % len(shades)], "dash": _dash(arm["algorithm"], copy)}
        styled.append({**arm, **look, "marker": _MARKERS[i % len(_MARKERS)]})
    return styled


def _dash(algorithm: str, copy: int):
    """The rule's own line for its first arm."""
    if copy:
        return _SPARE_DASHES[copy % len(_SPARE_DASHES)]
    lengths = DASHES[algorithm]
    return (0, tuple(_POINTS_A_PIXEL * length for length in lengths)) if lengths else "-"


def _svg(draw: Callable, name: str, n_arms: int) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # words stay words: they can be found, read aloud, and take the page's font
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _LINE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "grid.color": _LINE,
        "grid.alpha": 0.5,
        "text.parse_math": False,  # an arm's name is a name, dollars included
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9.0, 3.4 + 0.18 * n_arms), facecolor=_BACK, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, 2)
        for each in axes:
            each.set_facecolor("none")
            each.grid(True, linewidth=0.6)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # Ids such as "axes_1" come in every figure; a page with several needs them apart.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", file.getvalue())


def _accuracy(axes, arms: list[dict]) -> None:
    for axis, how in zip(axes, _HOWS, strict=True):
        for row, arm in enumerate(arms):
            seeds = [100 * run[how] for run in arm["runs"]]
            axis.plot(
                seeds,
                [row + 0.2] * len(seeds),
                arm["marker"],
                color=arm["hue"],
                markersize=4,
                alpha=0.45,
                linestyle="none",
            )
            _mark(axis, row, arm, arm[how])
        _name_rows(axis, arms, is_first=axis is axes[0])
        axis.set_xlabel(f"test accuracy, {how}, %")


def _difference(axes, arms: list[dict]) -> None:
    compared = [arm for arm in arms if arm["difference"] and arm["difference"]["sampled"]]
    for axis, how in zip(axes, _HOWS, strict=True):
        axis.axvline(0, color=_INK, linewidth=1)
        for row, arm in enumerate(compared):
            _mark(axis, row, arm, arm["difference"][how])
        _name_rows(axis, compared, is_first=axis is axes[0])
        axis.set_xlabel(f"difference in test accuracy, {how}, points")


def _mark(axis, row: int, arm: dict, estimate: dict) -> None:
    if estimate["low"] is not None:
        axis.plot([100 * estimate["low"], 100 * estimate["high"]], [row, row], color=arm["hue"], linewidth=2)
    axis.plot([100 * estimate["mean"]], [row], arm["marker"], color=arm["hue"], markersize=8)


def _name_rows(axis, arms: list[dict], is_first: bool) -> None:
    axis.set_yticks(range(len(arms)), [arm["name"] if is_first else "" for arm in arms])
    axis.set_ylim(len(arms) - 0.5, -0.5)


def _learning(axes, arms: list[dict]) -> None:
    for axis, how in zip(axes, _HOWS, strict=True):
        for arm in arms:
            curves = [_points(run["curves"][f"{how}_accuracy"]) for run in arm["runs"]]
            for curve in curves:
                axis.plot(
                    list(curve),
                    [100 * v for v in curve.values()],
                    color=arm["hue"],
                    linewidth=0.6,
                    alpha=0.35,
                )
            steps, mean, low, high = _band(curves)
            if not np.isnan(low).all():
                axis.fill_between(
                    steps, 100 * low, 100 * high, color=arm["hue"], alpha=0.6 / (3 + len(arms)), linewidth=0
                )
            axis.plot(steps, 100 * mean, color=arm["hue"], linestyle=arm["dash"], linewidth=2, label=arm["name"])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel("step")
        axis.set_ylabel(f"validation accuracy, {how}, %")
    _legend(axes)


def _kl(axes, arms: list[dict]) -> None:
    for axis, how in zip(axes, _HOWS, strict=True):
        for arm in arms:
            kls = [_points(run["curves"]["kl_mean"]) for run in arm["runs"]]
            accuracies = [_points(run["curves"][f"{how}_accuracy"]) for run in arm["runs"]]
            steps = [s for s in _shared(accuracies) if all(s in kl for kl in kls)]
            x = [np.mean([kl[s] for kl in kls]) for s in steps]
            y = [100 * np.mean([accuracy[s] for accuracy in accuracies]) for s in steps]
            axis.plot(x, y, color=arm["hue"], linestyle=arm["dash"], linewidth=1.6, label=arm["name"])
            ends = [
                (kl[max(both)], 100 * a[max(both)])
                for kl, a in zip(kls, accuracies, strict=True)
                if (both := kl.keys() & a.keys())
            ]
            axis.plot(
                *zip(*ends, strict=True),
                arm["marker"],
                color=arm["hue"],
                markersize=5,
                alpha=0.7,
                linestyle="none",
            )
        axis.set_xlabel("KL to the reference, nats a token")
        axis.set_ylabel(f"validation accuracy, {how}, %")
    _legend(axes)


def credit_target(arms: list[dict]) -> str:
    """What credit is asked to find: the first wrong token, or what stands for it where the task has no steps."""
    targets = (run["credit"].get("target") for arm in arms for run in arm["runs"] if run["credit"])
    return next(targets, None) or "first wrong token"


def _credit(axes, arms: list[dict]) -> None:
    labels = (("auc", f"AUC of the {credit_target(arms)}"), ("pearson", "Pearson with Monte Carlo"))
    for axis, (name, label) in zip(axes, labels, strict=True):
        for arm in arms:
            known = [run for run in arm["runs"] if run[name] is not None]
            x, y = [run[name] for run in known], [100 * run["sampled"] for run in known]
            axis.plot(
                x,
                y,
                arm["marker"],
                color=arm["hue"],
                markersize=6,
                alpha=0.75,
                linestyle="none",
                label=arm["name"],
            )
        axis.set_xlabel(label)
        axis.set_ylabel("test accuracy, sampled, %")
    _legend(axes)


def _legend(axes) -> None:
    handles, names = axes[0].get_legend_handles_labels()
    # A name that begins with an underscore would be left out of a legend made by itself.
    axes[0].figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)


_KINDS = {
    "accuracy": _accuracy,
    "difference": _difference,
    "learning": _learning,
    "kl": _kl,
    "credit": _credit,
}


_NEEDS = {
    "accuracy": lambda arm: True,
    "difference": lambda arm: arm["difference"] and arm["difference"]["sampled"],
    "learning": lambda arm: True,
    "kl": lambda arm: True,
    "credit": lambda arm: arm["auc"] or arm["pearson"],
}
"""What an arm must have to be in a kind of figure; one that no arm is in is not drawn."""


def _points(curve: list) -> dict[int, float]:
    """step -> value, without what was not finite."""
    steps, values = curve
    return {step: value for step, value in zip(steps, values, strict=True) if value is not None}


def _shared(curves: list[dict[int, float]]) -> list[int]:
    """The steps that all seeds have; one that diverged ends the mean with it."""
    return sorted(set.intersection(*(set(curve) for curve in curves)))


def _band(curves: list[dict[int, float]]):
    """steps, and mean, low, high over seeds at each: arrays [n]; low and high are nan below three seeds."""
    steps = _shared(curves)
    values = np.array([[curve[s] for s in steps] for curve in curves]).reshape(len(curves), len(steps))
    return np.array(steps), values.mean(axis=0), *bounds_over_seeds(values)
