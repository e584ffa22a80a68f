"""The picture of the Start page: which solution, and the sentences about it."""

from __future__ import annotations

from dataclasses import dataclass

from app import cache
from app.text import as_code, as_plain, signed
from vimpo_core import picks, views
from vimpo_core.runs import RunSummary
from vimpo_core.types import CreditTrace


@dataclass(frozen=True)
class Picture:
    """One wrong solution of a bundled run with what GRPO and VIMPO make of it, in reward units: `grpo` on every token,
    `delta` on the first wrong one."""

    run: RunSummary
    step: int
    found: picks.Example
    trace: CreditTrace
    payload: dict
    delta: float

    @property
    def grpo(self) -> float:
        """Reward minus group mean, before GRPO divides by the group's spread."""
        return self.trace.reward - self.trace.group_mean_reward

    @property
    def address(self) -> dict[str, str]:
        """Query parameters of the same solution on the Inspect page."""
        view = {
            "run": self.run.run_id, "step": self.step, "group": self.trace.group_id, "sample": self.trace.sample_idx,
            "token": self.found.token,
        }  # fmt: skip
        return {name: str(value) for name, value in view.items()}


def picture() -> Picture | None:
    """The clearest example of the bundled runs; None when there are none."""
    best = cache.best_example(cache.bundled_folder())
    if best is None:
        return None
    run, step, found = best
    traces = cache.traces(cache.bundled_folder(), run.run_id, run.created, step)
    payload = views.start_payload(traces, found.index, run.config.beta)
    delta = views.credit_of(traces[found.index], run.config.beta)[found.token]
    return Picture(run, step, found, traces[found.index], payload, float(delta))


def question(p: Picture) -> str:
    return f"{as_code(p.trace.prompt_text)} the model wrote {as_code(p.trace.answer)}, the answer is {as_code(p.trace.gold)}"


def headlines(p: Picture) -> dict[str, str]:
    return {"grpo": f"every token {signed(p.grpo)}", "lens": f"one token {signed(p.delta)}"}


def legend(p: Picture) -> str:
    return (
        "One scale for both strips, in reward units. GRPO's number is the reward minus the group's mean; for its update GRPO "
        "also divides it by the group's spread, for every token alike."
    )


def paragraph(p: Picture) -> str:
    """What is seen, in numbers of this very solution, and how it was chosen."""
    note = as_plain(views.mistake_note(p.trace))
    return (
        f"The solution earned {p.trace.reward:g} where its group of solutions earned {p.trace.group_mean_reward:.2f} on average. "
        f"**GRPO** only knows that: all {len(p.trace.text)} tokens get the same {signed(p.grpo)}, the right steps before the mistake "
        f"included. **VIMPO** reads a credit for every token off the policy itself: the lowest, {signed(p.delta)}, is on the very "
        f"token that went wrong ({note}); the next lowest gets {signed(p.delta + p.found.margin)}. "
        f"It is not always this clear. In {p.found.hits} of the {p.found.wrong} wrong solutions of this step the lowest credit is "
        "on the first wrong token; this one was picked because it shows it by the widest margin."
    )


def caption(p: Picture) -> str:
    return f"Step {p.step} of the bundled run “{as_plain(p.run.name)}”. Point at a token for its numbers."
