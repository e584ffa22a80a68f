"""The picture of the Start page: which solution, its rows, and the sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app import cache
from app.components.aligned_strips import Row
from app.start import push_and_reading as pushes
from app.text import as_code, as_plain
from vimpo_core.numbers import signed
from vimpo_core.rules import RULES
from vimpo_core.runs.folder import RunSummary
from vimpo_core.solutions import lenses, picks
from vimpo_core.types import CreditTrace
from vimpo_core.views import solution_table


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


def rows(p: Picture) -> dict:
    """Payload of `credit_rows`."""
    return pushes.credit_payload(p.folder, p.run, p.step, p.found.index)


def more(p: Picture) -> list[Row]:
    return []


def told(p: Picture) -> str:
    """What the rows do not show: how hard each rule pushes in the end, and how often the picture is so clear."""
    return (
        f"{pushes.how_hard(p.folder, p.run, p.step, p.found.index)} This is the clearest of {p.found.wrong} wrong "
        f"solutions: δ names the mistake in {p.found.hits}{_others(p)}."
    )


def _others(p: Picture) -> str:
    """The same count by the other readings of All solutions on Inspect."""
    traces = cache.traces(p.folder, p.run.run_id, p.run.version, p.step)
    wrong = [i for i, trace in enumerate(traces) if trace.first_wrong is not None and not picks.is_correct(trace)]
    found = []
    if other := cache.second_reading_of(p.folder, p.run, p.step):
        read = {i: lenses.credit_of(trace, p.run.config.beta) for i, trace in other.traces.items()}
        rule = next(one.algorithm for one in cache.summaries(p.folder) if one.run_id == other.run_id)
        found.append((sum(_hits(traces[i], read.get(i)) for i in wrong), f"δ off {RULES[rule].name}"))
    found.append((sum(_hits(traces[i], traces[i].logprob) for i in wrong), "surprisal"))
    return "".join(f", {how} in {count}" for count, how in found)


def _hits(trace: CreditTrace, values: np.ndarray | None) -> bool:
    return solution_table.blamed(trace, values) == trace.first_wrong


def about(p: Picture) -> list[str]:
    """How the numbers were made, for whoever asks."""
    config = p.run.config.at(p.step)
    delta = lenses.credit_of(p.trace, config.beta)
    asked = p.trace.reward - p.trace.group_mean_reward
    return [
        f"A solution of step {p.step} of the bundled run “{as_plain(p.run.name)}”. The mean reward of its group is "
        f"{p.trace.group_mean_reward:.3g}, so VIMPO's value loss asks the δ of all its tokens to add up to "
        f"{signed(asked)}; they add up to {signed(delta.sum())}.",
        WHAT_ROWS_ARE,
    ]


WHAT_ROWS_ARE = (
    "The rows are credit in reward units, as Inspect shows it under Every rule. GRPO: the reward minus the mean of the "
    "solution's group. δ = β (log π − log π\\_ref − KL): how far the trained policy π has moved from π\\_ref, where it "
    "began. VIMPO: δ of the token and, times λ a step, of all that follow. A push is what training makes of it, minus "
    "the gradient of the rule's loss in the token's log-probability: GRPO divides by the spread of the group's "
    "rewards; VIMPO whitens over the step, weighs that with c\\_A, and adds its value loss, which moves all tokens of "
    "a solution alike. A rule's usual push is its root mean square over all tokens of the step."
)
