"""The controls of the Compare page: runs, axis, smoothing, figures, and what the table tells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import streamlit as st

from app import cache, state
from app.compare.chosen import Chosen, has, listed, member
from app.compare.figure import FIGURES
from app.sources import Source
from app.text import as_plain, as_sentence
from vimpo_core.measure import comparison
from vimpo_core.measure.comparison import AXES, Arm
from vimpo_core.measure.metrics import METRICS
from vimpo_core.runs.folder import ACTIVE
from vimpo_core.runs.names import arm_names

FIRST_FIGURES = ["sampled_accuracy", "greedy_accuracy", "kl_mean", "sampled-kl"]
_OF_BROUGHT = ["reward_mean", "length_mean", "kl_mean", "entropy_mean"]
"""What runs of other tools are first compared by: nobody measured their accuracy here."""
WINDOWS = {1: "off", 5: "5", 20: "20"}


def pick_arms(sources: Mapping[str, Source], notes: list[str]) -> Chosen | None:
    """The picker of arms. None after one sentence that says why nothing is drawn."""
    everything = _picker_arms(sources)
    keys = _keys_of_link()
    if keys is None:
        keys = _first_keys(everything)
    there = [key for key in dict.fromkeys(keys) if key in sources]
    by_id = {arm.keys[0]: arm for arm in everything}
    names = dict(zip(by_id, arm_names(everything), strict=True))
    selected = [name for name, arm in by_id.items() if set(arm.all_keys) & set(there)]
    st.session_state["compare.arms"] = selected
    st.multiselect(
        "Runs",
        list(by_id),
        key="compare.arms",
        format_func=lambda name: _option(names[name], by_id[name], there),
        on_change=_choose,
        args=(by_id, there),
        placeholder="Choose what to compare",
        help="Runs that differ by the seed alone are one entry. Single runs are ticked on the Runs page.",
    )
    _say_settings({names[name]: by_id[name].label for name in selected})
    if gone := [key for key in dict.fromkeys(keys) if key not in sources]:
        _refuse_missing(gone, there)
        return None
    if not there:
        st.caption("Choose runs above, or tick them on the Runs page.")
        return None
    found = comparison.arms([member(sources[key]) for key in there])
    if problem := comparison.task_problem(found):
        _refuse_tasks(problem, found)
        return None
    notes += [
        f"{listed([m.name for m in arm.repeated])} {has(arm.repeated)} a seed of {arm.label} that is there already, "
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
    for arm in comparison.arms([member(source) for source in sources.values()]):
        among.setdefault((arm.place, arm.members[0].origin), []).append(arm)
    return [arm for found in among.values() for arm in comparison.labelled(found)]


def _say_settings(labels: Mapping[str, str]) -> None:
    """By one tap, what each chosen name stands for: every setting that tells it from some other run."""
    if any(name != label for name, label in labels.items()):
        with st.popover("What the names stand for", icon=":material/tune:", type="tertiary"):
            st.markdown("\n".join(f"- **{as_plain(name)}**: {as_plain(label)}" for name, label in labels.items()))


def _option(name: str, arm: Arm, chosen: Sequence[str]) -> str:
    count = len(set(arm.all_keys) & set(chosen))
    seeds = arm.count if arm.members[0].is_seeded else ""
    some = f"{count} of {seeds}" if 0 < count < len(arm.keys) else seeds
    return " · ".join(part for part in (name, some, arm.place) if part)


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
        keys += [key for key in arm.all_keys if key in kept] or list(arm.keys)
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
            f"{listed(gone)}: the runs of published experiments are not part of the project, only their numbers are, "
            f"in docs/results.md; `{remade}` makes them again"
        )
    is_one = len(gone) == 1
    return (
        f"{listed(gone)} {'is' if is_one else 'are'} not there or {has(gone)} no step yet: "
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
    axes = {axis: name.capitalize().replace("Cpu", "CPU") for axis, (name, _) in AXES.items()}
    help = " ".join(f"{name[0].upper()}{name[1:]}: {what}" for name, what in AXES.values())
    return state.pick("Along", "x", axes, "step", notes, "at", help=help)


def pick_window(notes: list[str]) -> int:
    help = "Mean of so many measurements up to each point. The numbers in the table are never smoothed."
    return state.pick("Smoothing", "smooth", WINDOWS, 1, notes, parse=int, help=help)


def pick_figures(chosen: Chosen, notes: list[str]) -> list[str]:
    text = st.query_params.get("show")
    wanted = _first_figures(chosen) if text is None else [name for name in text.split(",") if name]
    shown = [name for name in wanted if name in FIGURES]
    if unknown := [name for name in wanted if name not in FIGURES]:
        notes.append(f"The link asks for {listed(unknown)}, which is no figure here; it is left out.")
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


def _first_figures(chosen: Chosen) -> list[str]:
    there = {name for run in chosen.curves.values() for name in run.series}
    return FIRST_FIGURES if there & set(FIRST_FIGURES[:2]) else [name for name in _OF_BROUGHT if name in there]


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


def say_what_is_unfinished(chosen: Chosen) -> None:
    """A line and a button where some of the runs are still growing."""
    runs = [source.run for source in chosen.sources.values() if source.run.state in ACTIVE]
    if runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Still training, shown as far as they are: {as_plain(listed([run.name for run in runs]))}.")
            st.button("Read them again", icon=":material/refresh:")
