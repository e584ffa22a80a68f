"""The runs that a link can name, and choosing one and a step of it.

A run is one's own, a bundled one, or one of an experiment; every page calls it by the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app import cache, state
from app.components import look
from vimpo_core.lm.sources import BUNDLED as BUNDLED_MODEL
from vimpo_core.runs.folder import RunSummary
from vimpo_core.tasks.registry import RECORDED
from vimpo_core.types import RUN_STATE_ADVICE, RunState

BUNDLED = "bundled/"
NOT_FOLLOWED = "Nobody follows its folder any more; its steps so far are safe. Follow the folder again to go on."
_TIMES_OF_OTHERS = 20


@dataclass(frozen=True)
class Source:
    """A run that can be looked at. `key` is its name in the address: its run_id, "bundled/" before it if one's own has
    the same.
    """

    key: str
    folder: Path
    run: RunSummary

    @property
    def run_dir(self) -> Path:
        return self.folder / self.run.run_id

    @property
    def origin(self) -> tuple:
        return cache.origin(self.folder, self.run)

    def seconds(self, usual: float) -> float:
        """How long an answer about it may take: `usual` is the bundled model's, others are larger and have to be
        loaded."""
        return usual if self.run.config.model == BUNDLED_MODEL else _TIMES_OF_OTHERS * usual

    @property
    def steps(self) -> tuple[list[int], list[int]]:
        """`cache.steps` of the run; as they are now where they lack the step that the link names. Raises Mistake."""
        found, step = cache.steps(self.folder, self.run.run_id, self.run.version), st.query_params.get("step")
        if step is None or step in map(str, found[0] + found[1]):
            return found
        return cache.steps(self.folder, self.run.run_id, self.run.version, fresh=True)

    @property
    def snapshots(self) -> list[int]:
        """Steps whose adapter was kept. Raises Mistake when the run cannot be read."""
        return self.steps[1]

    @property
    def tool(self) -> str:
        """The tool that recorded it; "" for the lab's own."""
        return self.run.tool

    def no_policy(self, otherwise: str, purpose: str) -> str:
        """Why there is no policy of the run to do something with. otherwise: the sentence for a run of the lab's own
        that kept none; purpose: "to finish a solution"."""
        if not self.tool:
            return otherwise
        return (
            f"Not recorded: a run brought from {self.tool} holds no adapter, so there is no policy {purpose}. Choose a "
            "run that was trained here."
        )

    def no_trying(self, otherwise: str, purpose: str) -> str:
        """The same of what has to be judged afterwards: a model can be chosen, the judge of a brought run cannot."""
        if not self.tool or self.run.config.task != RECORDED:
            return self.no_policy(otherwise, purpose)
        who = "The model that scored it again" if self.run.rescored else "A policy"
        return (
            f"A run brought from {self.tool} comes without the judge that paid its rewards. {who} could write on from "
            "here, and nobody could say what that earns. Its own rewards and the credit above are what there is: to "
            "try, choose a run that was trained here."
        )

    @property
    def label(self) -> str:
        where = f"{place}: " if (place := place_of(self)) else ""
        if not self.run.algorithm:
            return f"{where}{self.run.name} (cannot be read)"
        # Nothing that changes while the run trains: Streamlit finds a selection by its label.
        by = f"from {self.tool}, " if self.tool else ""
        return f"{where}{self.run.name}" + ("" if where else f"  ({by}{self.run.run_id})")


def sources() -> list[Source]:
    """One's own runs, newest first, then the bundled ones, and the run of an experiment if the address names one.

    The list is kept for a moment. A link may name a run that was made or got its first step since, so one that it lacks
    is looked for again.
    """
    found = _sources()
    named = ",".join(st.query_params.get(name, "") for name in ("run", "runs"))
    if set(filter(None, named.split(","))) - {source.key for source in found if source.run.last_step is not None}:
        cache.summaries.clear(cache.own_folder())
        found = _sources()
    return found


def _sources() -> list[Source]:
    own = [Source(run.run_id, cache.own_folder(), run) for run in cache.summaries(cache.own_folder())]
    taken = {source.key for source in own}
    bundled = [
        Source(BUNDLED + run.run_id if run.run_id in taken else run.run_id, folder, run)
        for folder, run in cache.bundled_runs()
    ]
    return own + bundled + _of_experiment(st.query_params.get("run", ""))


def _of_experiment(key: str) -> list[Source]:
    """The run that "EXPERIMENT/RUN" names; experiments have too many runs to list them all."""
    name, _, run_id = key.partition("/")
    folder = cache.experiment_folders().get(name) if run_id else None
    return [Source(key, folder, run) for run in cache.summaries(folder) if run.run_id == run_id] if folder else []


def experiment_sources() -> list[Source]:
    """The runs of every experiment, newest first within each."""
    return [
        Source(f"{name}/{run.run_id}", folder, run)
        for name, folder in cache.experiment_folders().items()
        for run in cache.summaries(folder)
    ]


def place_of(source: Source) -> str:
    """Where a run comes from, in words; "" for one's own."""
    if cache.is_bundled(source.folder):
        return "bundled"
    return "" if source.folder == cache.own_folder() else source.folder.parent.name


def is_of_experiment(source: Source) -> bool:
    return source.folder != cache.own_folder() and not cache.is_bundled(source.folder)


def pick_source(found: list[Source], notes: list[str], width: int | str = 400) -> Source:
    """The run picker. The default is the newest VIMPO run that has solutions."""
    by_key = {source.key: source for source in found}
    usable = [s for s in found if s.run.algorithm and s.run.last_step is not None]
    first = next((s for s in usable if s.run.algorithm == "vimpo"), (usable or found)[0])
    key = state.chosen("run", list(by_key), first.key, notes)
    picked = st.selectbox(
        "Run",
        list(by_key),
        format_func=lambda key: by_key[key].label,
        help="Your own runs, newest first, then the bundled ones.",
        width=width,
        **state.bound("run", key, "step", "group", "sample", "token", "beta", "lambda", "film"),
    )
    look.name_tab(by_key[picked].run.name)
    return by_key[picked]


def problem_of(source: Source) -> str:
    """A sentence saying why there is nothing to look at in this run, "" when there is."""
    if not source.run.algorithm:
        return f"This run cannot be read: {source.run.message}"
    if source.run.last_step is None:
        return f"This run has no step yet. {RUN_STATE_ADVICE[source.run.state]}"
    if not source.steps[0]:
        return "This run kept no solutions to look at. Choose another run."
    return ""


def state_note(source: Source) -> str:
    """What to say about a run that did not end well; "" otherwise."""
    if source.run.state not in (RunState.DIVERGED, RunState.INTERRUPTED):
        return ""
    if source.tool:
        return NOT_FOLLOWED
    return source.run.message or RUN_STATE_ADVICE[source.run.state]


def pick_step(steps: list[int], label: str, help: str, notes: list[str], width: int = 220) -> int:
    """The step slider; the default is the newest."""
    step = state.chosen("step", steps, steps[-1], notes, int)
    if len(steps) == 1:
        st.markdown(f"{label}  \n**{steps[0]}**")
        return steps[0]
    return st.select_slider(label, steps, help=help, width=width, **state.bound("step", step, "token", "film"))
