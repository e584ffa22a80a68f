"""The Start page's second example: a wrong solution that a real language model wrote, as it was recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from app import cache
from app.components.aligned_strips import Row
from app.start import example
from app.start import push_and_reading as pushes
from app.text import as_code, as_plain, as_sentence
from vimpo_core.lm import known, sources
from vimpo_core.numbers import signed
from vimpo_core.rules import RULES
from vimpo_core.runs.folder import RunSummary
from vimpo_core.service import examples
from vimpo_core.service.examples import Example
from vimpo_core.solutions import lenses
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views import credit_rows


@dataclass(frozen=True)
class Picture:
    """One wrong solution of the bundled VIMPO run of a real model, with what was measured of it."""

    folder: Path
    run: RunSummary
    step: int
    index: int
    trace: CreditTrace
    found: Example
    number: int

    @property
    def delta(self) -> np.ndarray:
        return lenses.credit_of(self.trace, self.run.config.beta)

    @property
    def token(self) -> int:
        """That of the lowest credit."""
        return int(self.delta.argmin())

    @property
    def address(self) -> dict[str, str]:
        """Query parameters of the same solution on the Inspect page."""
        view = {
            "run": self.run.run_id,
            "step": self.step,
            "group": self.trace.group_id,
            "sample": self.trace.sample_idx,
            "token": self.token,
        }
        return {name: str(value) for name, value in view.items()}


def picture(number: int = 1) -> Picture | None:
    """An example that was kept, the first is number 1 and the last stands for those beyond; None where there is no run
    of a real model, or nothing was kept with it.
    """
    folder = cache.real_folder()
    for run in cache.summaries(folder):
        step, found = _examples(folder, run.run_id, run.created, _written(folder, run))
        if run.algorithm != "vimpo" or not found:
            continue
        number = min(number, len(found))
        index, example = list(found.items())[number - 1]
        return Picture(
            folder, run, step, index, cache.traces(folder, run.run_id, run.created, step)[index], example, number
        )
    return None


def _written(folder: Path, run: RunSummary) -> int | None:
    file = folder / run.run_id / examples.FILE
    return file.stat().st_mtime_ns if file.is_file() else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _examples(folder: Path, run_id: str, created: str, written: int | None) -> tuple[int, dict[int, Example]]:
    """The step of the examples, and index into its solutions -> example."""
    step = examples.step_of(folder / run_id) if written else None
    if step is None or step not in cache.steps(folder, run_id, created)[0]:
        return 0, {}
    return step, examples.read(folder / run_id, cache.traces(folder, run_id, created, step))


def question(p: Picture) -> str:
    """The last line of the prompt: the lines before it are solved examples."""
    lines = [line for line in p.trace.prompt_text.splitlines() if line.strip()]
    return (
        f"{as_code(lines[-1])} the model wrote {as_code(p.trace.answer or 'nothing')}, the answer is "
        f"{as_code(p.trace.gold)}"
    )


def rows(p: Picture) -> dict:
    """Payload of `credit_rows`."""
    others = {run.run_id: run.algorithm for run in cache.summaries(p.folder)}
    return credit_rows.credit_rows(p.trace, p.run.config.at(p.step), {others[p.found.run_id]: p.found.other})


def more(p: Picture) -> list[Row]:
    """The truth, which was measured when the run was made: in reward units as the three above it."""
    advantages, tries = p.found.truth.advantages(), p.found.truth.rollouts
    drop = int(advantages.argmin())
    token = visible_text(p.trace.text[drop])
    return [
        Row(
            "The truth, by trying",
            f"{signed(advantages[drop])} on #{drop} “{token}”",
            [float(value) for value in advantages],
            picks=(drop,),
            note=f"How much the success rate changes with each token, by {tries} tries from before and after it.",
        )
    ]


def told(p: Picture) -> str:
    return " ".join(filter(None, (_where(p), pushes.how_hard(p.folder, p.run, p.step, p.index), _weights(p))))


def about(p: Picture) -> list[str]:
    return [_who(p), _how_often(p), example.WHAT_ROWS_ARE]


def _who(p: Picture) -> str:
    config, before = p.run.config, sum(1 for line in p.trace.prompt_text.splitlines() if line.strip()) // 2
    return (
        f"**These are the words of {sources.label(config.model)}**, a language model with 135 million weights, after "
        f"{p.step} steps of {RULES[config.algorithm].name}, seed {config.seed}. It read {before} solved problems "
        "before this one. Nobody tells where such a solution first goes wrong: there is no red underline, only what "
        "trying shows. The weights, Apache-2.0, are no part of the project."
    )


def _where(p: Picture) -> str:
    """Whether credit points where the truth does, here and in all examples that were tried."""
    advantages, bounds = p.found.truth.advantages(), p.found.truth.advantage_bounds()
    low, drop = p.token, int(advantages.argmin())
    measured = f"{signed(advantages[drop])}, 95% {signed(bounds[0][drop])} to {signed(bounds[1][drop])}"
    if low == drop:
        return f"δ is lowest where the success rate falls most ({measured})."
    return f"The success rate falls most elsewhere than δ, on #{drop} ({measured})."


def _how_often(p: Picture) -> str:
    """Over all examples that were tried, not this one alone; and what a rival that needs no training finds."""
    _, found = _examples(p.folder, p.run.run_id, p.run.created, _written(p.folder, p.run))
    traces, beta = cache.traces(p.folder, p.run.run_id, p.run.created, p.step), p.run.config.beta
    drops = {i: int(one.truth.advantages().argmin()) for i, one in found.items()}

    def hits(points: Callable[[int], int]) -> int:
        return sum(points(i) == drop for i, drop in drops.items())

    own = hits(lambda i: int(lenses.credit_of(traces[i], beta).argmin()))
    other = hits(lambda i: int(lenses.credit_of(found[i].other, beta).argmin()))
    surprisal = hits(lambda i: int(np.asarray(traces[i].logprob).argmin()))
    algorithm = next(run.algorithm for run in cache.summaries(p.folder) if run.run_id == p.found.run_id)
    return (
        f"Lowest δ and largest fall of the success rate meet in {own} of the {len(found)} wrong solutions that were "
        f"tried, those whose lowest δ stands out most; this is number {p.number} of them. Read off the "
        f"{RULES[algorithm].name} run it is {other}, and the highest surprisal, which needs no training, points there "
        f"in {surprisal}. One run a rule and one seed: no comparison of the rules."
    )


def _weights(p: Picture) -> str:
    model = p.run.config.model
    if sources.is_here(model):
        return ""
    if model not in known.KNOWN:
        return as_sentence(f"What was recorded is shown; the weights of {as_plain(model)} are not on this machine")
    text, _, command = known.how_to_get(model).rpartition(": ")
    return f"What was recorded is shown; {text}: `{command}`"
