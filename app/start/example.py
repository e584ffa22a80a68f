"""The picture of the Start page: which solution, what pushes its tokens, what can be read off them, and the
sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app import cache
from app.components.aligned_strips import Row
from app.start import push_and_reading
from app.text import as_code, as_plain
from vimpo_core.numbers import signed
from vimpo_core.runs.folder import RunSummary
from vimpo_core.solutions import lenses, picks
from vimpo_core.solutions.steps import mistake_note
from vimpo_core.types import CreditTrace


@dataclass(frozen=True)
class Picture:
    """One wrong solution of a bundled VIMPO run."""

    folder: Path
    run: RunSummary
    step: int
    found: picks.Example
    trace: CreditTrace

    @property
    def token(self) -> int:
        return self.found.token

    @property
    def address(self) -> dict[str, str]:
        """Query parameters of the same solution on the Inspect page."""
        view = {
            "run": self.run.run_id,
            "step": self.step,
            "group": self.trace.group_id,
            "sample": self.trace.sample_idx,
            "token": self.found.token,
        }
        return {name: str(value) for name, value in view.items()}


def picture() -> Picture | None:
    """The clearest example of the bundled runs; None when there are none."""
    folder = cache.bundled_folder()
    best = cache.best_example(folder)
    if best is None:
        return None
    run, step, found = best
    return Picture(folder, run, step, found, cache.traces(folder, run.run_id, run.created, step)[found.index])


def question(p: Picture) -> str:
    return (
        f"{as_code(p.trace.prompt_text)} the model wrote {as_code(p.trace.answer)}, the answer is "
        f"{as_code(p.trace.gold)}"
    )


def rows(p: Picture) -> list[Row]:
    where = (p.folder, p.run, p.step, p.found.index)
    return [*push_and_reading.push_rows(*where), *push_and_reading.reading_rows(*where)]


def strips(p: Picture) -> dict:
    """The solution itself, for `aligned_strips`."""
    return push_and_reading.solution(p.trace) | {"says": f"red: {mistake_note(p.trace)}"}


def paragraphs(p: Picture) -> list[str]:
    """What is seen, in numbers of this very solution, and how it was chosen."""
    return [_pushed(p), _read_off(p)]


def _pushed(p: Picture) -> str:
    """Why both rows are flat; and why VIMPO's is faint where its value loss has nothing left to ask for."""
    config = p.run.config.at(p.step)
    delta = lenses.credit_of(p.trace, config.beta)
    asked = p.trace.reward - p.trace.group_mean_reward
    said = (
        "**Training blames nearly every token alike.** The reward says only that the whole solution is wrong. GRPO "
        f"hands that to all {len(p.trace.text)} tokens. VIMPO gives each token a credit, but λ says how far back a "
        f"credit reaches, and at λ {config.gae_lambda:g}, with which it trains here, a token is pushed by its own "
        "credit and all that follow, so the mistake falls on every token before it too."
    )
    if abs(delta.sum() - asked) < _SETTLED * abs(asked):
        said += (
            f" Its push is faint because the credits below already add up to {signed(delta.sum())}, nearly the reward "
            f"minus the group's mean, {signed(asked)}: that sum is all that its value loss asks for."
        )
    return said


def _read_off(p: Picture) -> str:
    delta = lenses.credit_of(p.trace, p.run.config.beta)
    said = (
        f"**The trained policy knows more.** Its credit δ is lowest, {signed(delta.min())}, on the very token that "
        f"went wrong; the next lowest is {signed(delta.min() + p.found.margin)}."
    )
    if other := _other_reading(p, delta):
        said += f" {other}"
    return (
        f"{said} It is not always this clear: in {p.found.hits} of the {p.found.wrong} wrong solutions of this step "
        "the lowest δ is on the first wrong token; this one was picked because it shows it by the widest margin."
    )


def _other_reading(p: Picture, delta: np.ndarray) -> str:
    """How alike the other run's policy reads these tokens."""
    other = push_and_reading.second(p.folder, p.run, p.step)
    if other is None or p.found.index not in other.traces:
        return ""
    read = lenses.credit_of(other.traces[p.found.index], p.run.config.beta)
    alike = float(np.corrcoef(delta, read)[0, 1])
    if alike > _NEARLY_THE_SAME:
        return (
            f"That is not VIMPO's alone: the bundled GRPO run gives nearly the same map of this solution "
            f"(correlation {alike:.2f})."
        )
    return f"The bundled GRPO run gives another map of this solution (correlation {alike:.2f})."


def caption(p: Picture) -> str:
    return (
        f"VIMPO: Value-Implicit Policy Optimization. GRPO: Group Relative Policy Optimization. Step {p.step} of the "
        f"bundled run “{as_plain(p.run.name)}”. The same rules on any solution: Inspect, Every rule."
    )


_SETTLED = 0.1
"""Of R - group mean: a residual below this leaves the value loss next to nothing to push."""
_NEARLY_THE_SAME = 0.9
