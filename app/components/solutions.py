"""The newest solutions of a training step: prompt, verdict, coloured tokens, reward, group; paired where runs share
prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.components.assets import as_data, register
from app.components.live_curves import ALGORITHM_NAMES
from vimpo_core.config import TrainConfig
from vimpo_core.solutions import ledger, lenses, picks
from vimpo_core.solutions.steps import step_starts
from vimpo_core.solutions.visible_text import visible_lines, visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views.payload import round_up, shown_texts, shown_units, with_version

SHOWN_PROBLEMS = 4
_LONGEST_PROMPT = 600


_mount = register("solutions", "tokens", hues=".solutions")


@dataclass(frozen=True)
class StepSolutions:
    """All solutions one run sampled at one step."""

    run_id: str
    config: TrainConfig
    step: int
    traces: list[CreditTrace]


def solutions(steps: Sequence[StepSolutions], link: Callable[[StepSolutions, CreditTrace], str], key: str) -> None:
    """Draw the first solution of the first few prompts, one run below the other on the same prompt.

    Args:
        steps: the runs at the same step; a prompt is shown when every one of them has solutions of it.
        link: address of the page that looks closer at one solution.
    """
    draw_list(payload(steps, link), key)


def draw_list(listed: dict[str, Any], key: str) -> None:
    """Draw what `payload` gives, or what somebody else made like it."""
    _mount(key=key, data=as_data(listed), height="content")


def payload(steps: Sequence[StepSolutions], link: Callable[[StepSolutions, CreditTrace], str]) -> dict[str, Any]:
    groups = [{group.group_id: group for group in picks.groups(step.traces)} for step in steps]
    shown = [group.prompt for group in groups[0].values()]
    names = dict(zip(groups[0], picks.told_apart(shown), strict=True))
    shared = [g for g in groups[0] if all(g in other and _same_prompt(groups[0][g], other[g]) for other in groups)]
    problems = [
        _problem(steps, [g[group_id] for g in groups], names[group_id], link) for group_id in shared[:SHOWN_PROBLEMS]
    ]
    listed = {
        "heading": f"Solutions of step {steps[0].step}",
        "scale": scale_of(steps[0].config.beta, problems),
        "problems": problems,
    }
    return with_version(listed)


def _same_prompt(a: picks.Group, b: picks.Group) -> bool:
    return a.prompt == b.prompt


def _problem(steps, groups, name, link) -> dict[str, Any]:
    return {
        "prompt": visible_lines(name, _LONGEST_PROMPT),
        "gold": visible_lines(groups[0].gold, _LONGEST_PROMPT),
        "solutions": [_solution(step, group, link) for step, group in zip(steps, groups, strict=True)],
    }


def _solution(step: StepSolutions, group: picks.Group, link) -> dict[str, Any]:
    trace = step.traces[group.indices[0]]
    credit = lenses.credit_of(trace, step.config.at(step.step).beta)
    return {
        "name": ALGORITHM_NAMES[step.config.algorithm],
        "style": step.config.algorithm,
        "right": picks.is_correct(trace),
        "verdict": _verdict(trace),
        "reward": f"reward {trace.reward:g}" + (", flipped" if picks.is_flipped(trace) else ""),
        "group": f"group {group.correct} of {len(group.indices)} right",
        "href": link(step, trace),
        "strip": {
            "label": f"{ALGORITHM_NAMES[step.config.algorithm]} token credit",
            "text": shown_texts(trace.text),
            "units": shown_units(trace.text),
            "lineStarts": step_starts(trace),
            "values": None if credit is None else [float(f"{value:.4g}") for value in credit],
            "firstWrong": trace.first_wrong,
            "note": "",
            "layout": "flow",
            "interactive": False,
            "small": True,
        },
    }


def _verdict(trace: CreditTrace) -> str:
    word = picks.judgement(trace) if trace.status else "not judged"
    return f"{word}, {visible_text(trace.answer)}" if trace.answer else word


def scale_of(beta: float, problems: list[dict]) -> dict[str, Any]:
    """One symmetric scale for everything in the list, rounded up so that it seldom moves."""
    shown = [solution["strip"]["values"] for problem in problems for solution in problem["solutions"]]
    largest = max((abs(value) for values in shown for value in values or ()), default=0.0)
    caption = "token credit δ, reward" if largest else "No token credit yet: policy and reference still agree."
    return {
        "max": round_up(largest),
        "signed": True,
        "unit": "reward",
        "decimals": 2 if largest >= 0.1 else ledger.reward_decimals(beta),
        "caption": caption,
    }
