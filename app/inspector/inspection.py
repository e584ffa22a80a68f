"""What the Inspect page looks at: the run, step and solution of the address, quick picks, the words beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import cache, state
from app.sources import Source
from app.text import as_code, as_plain
from vimpo_core.config import setting
from vimpo_core.measure.scorecard import target_of
from vimpo_core.numbers import signed
from vimpo_core.rules import RULES
from vimpo_core.runs import recorded_settings
from vimpo_core.runs.folder import RunSummary
from vimpo_core.solutions import lenses, picks, pieces, reading
from vimpo_core.solutions.steps import drop_text, mistake_note, verifies_steps
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace, StopReason, VerdictStatus
from vimpo_core.views import credit_view
from vimpo_core.views.payload import with_version

BETAS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
VIEW_KEY = "credit"
_FIRST_LENS = "inspect.first_lens"
_SHORT_PROBLEM = 40
"""Characters of a problem that stands beside its verdict; a longer one has a box of its own."""


@dataclass(frozen=True)
class Scene:
    """The solutions of one step of a run and the one looked at, `traces[index]`; or a typed one on its own."""

    source: Source
    step: int
    traces: list[CreditTrace]
    index: int
    is_typed: bool = False

    @property
    def trace(self) -> CreditTrace:
        return self.traces[self.index]


_CHOSEN_ABOVE = ("mode", "run", "step", "group", "sample", "beta", "lambda", "problem", "solution", "tour")
_SELECTED_BELOW = ("token", "lens", "more")


def looked_at(is_watched: bool) -> tuple[str | None, ...]:
    """What the address says of the solution, for the part of the page below the pickers: when it changes, they have to
    follow. is_watched: what is selected below them counts too, since a tour wants to see it."""
    names = _CHOSEN_ABOVE + (_SELECTED_BELOW if is_watched else ())
    return tuple(st.query_params.get(name) for name in names)


# --- run, step, prompt, solution -------------------------------------------------------------------------------------


def sampled(source: Source, step: int) -> list[CreditTrace]:
    return cache.traces(source.folder, source.run.run_id, source.run.version, step)


def pick_solution(source: Source, step: int, notes: list[str]) -> Scene:
    """The prompt and solution pickers."""
    traces = sampled(source, step)
    groups = {group.group_id: group for group in picks.groups(traces)}
    names = dict(zip(groups, picks.told_apart([group.prompt for group in groups.values()]), strict=True))
    default = _default_index(traces, source.run.config.at(step).beta)
    group_id = state.chosen("group", list(groups), traces[default].group_id, notes, int)
    group_id = st.selectbox(
        "Prompt",
        list(groups),
        format_func=lambda g: f"{visible_text(names[g])}   {_result_of(groups[g], traces)}",
        help="The prompts of this step. Each was answered several times: their mean reward is the baseline.",
        width="stretch",
        **state.bound("group", group_id, "sample", "token"),
    )
    by_sample = {traces[i].sample_idx: i for i in groups[group_id].indices}
    first = (
        traces[default].sample_idx if traces[default].group_id == group_id else _first_wrong_or_first(traces, by_sample)
    )
    sample = state.chosen("sample", list(by_sample), first, notes, int)
    sample = st.selectbox(
        "Solution",
        list(by_sample),
        format_func=lambda s: _solution_label(traces[by_sample[s]], len(by_sample)),
        help="✓ right, ✕ wrong, – no answer that counts; then the answer that was read."
        if picks.is_judged(traces[default])
        else f"With the reward that {source.tool or 'its tool'} recorded.",
        width=200,
        **state.bound("sample", sample, "token"),
    )
    return Scene(source, step, traces, by_sample[sample])


def example(source: Source, step: int) -> tuple[str, str]:
    """Problem and solution that the empty form starts with: what was looked at before, else a clear mistake to
    correct.
    """
    recorded = source.steps[0]
    traces = sampled(source, step if step in recorded else recorded[-1])
    wanted = st.query_params.get("group"), st.query_params.get("sample")
    found = (i for i, t in enumerate(traces) if (str(t.group_id), str(t.sample_idx)) == wanted)
    trace = traces[next(found, _default_index(traces, source.run.config.at(step).beta))]
    return trace.prompt_text, pieces.readable(trace.text)


def is_at_reference(trace: CreditTrace) -> bool:
    """Whether policy and reference are the same, as they are before a run's first update unless it began with an
    adapter."""
    if trace.logprob is None or trace.ref_logprob is None:
        return False
    return np.array_equal(trace.logprob, trace.ref_logprob)


def quick_picks(source: Source, step: int) -> None:
    """Buttons that jump to a telling solution of the step, and its token."""
    traces = sampled(source, step)
    beta = source.run.config.at(step).beta
    for label, help, find in _choices(traces, beta):
        st.button(label, help=help, on_click=_jump, args=(source, step, label, find))


Choice = tuple[str, str, Callable[[list[CreditTrace]], picks.Pick | None]]


def _choices(traces: list[CreditTrace], beta: float) -> list[Choice]:
    is_judged = picks.is_judged(traces[0])
    if not is_judged:
        wrong: Choice = (
            "Lowest reward",
            "The first solution of this step that earned least: nobody here judged it right or wrong.",
            picks.lowest_reward,
        )
    elif verifies_steps(traces[0]):
        wrong = "First wrong one", "The first wrong solution of this step, at its first wrong token.", picks.first_wrong
    else:
        wrong = (
            "First failed one",
            "The first solution of this step that did not earn the whole reward, at its largest true drop once that "
            "is measured: no step verifier knows where it goes wrong.",
            picks.first_failed,
        )
    found: list[Choice] = [
        ("Most positive", "The token with the highest credit of this step.", lambda t: picks.most_positive(t, beta)),
        ("Most negative", "The token with the lowest credit of this step.", lambda t: picks.most_negative(t, beta)),
        wrong,
        (
            "Least explained",
            "Of this step's solutions with token credit, the one where it and the reward disagree most: the largest "
            "terminal residual.",
            lambda t: picks.least_explained(t, beta),
        ),
    ]
    return found if any(not reading.missing(trace) for trace in traces) else [wrong]


def take_note() -> str:
    """What the last quick pick had to say, once."""
    return st.session_state.pop("inspect.note", "")


def _jump(source: Source, step: int, label: str, find) -> None:
    traces = sampled(source, step)
    pick = find(traces)
    if pick is None:
        why = "every credit is 0 before learning" if step == 0 and not source.tool else "this step has none"
        st.session_state["inspect.note"] = f"{label}: {why}. Choose another step."
        return
    trace = traces[pick.index]
    state.put(group=trace.group_id, sample=trace.sample_idx, token=pick.token)


def _default_index(traces: list[CreditTrace], beta: float) -> int:
    if not picks.is_judged(traces[0]):
        return next((i for i, trace in enumerate(traces) if not reading.missing(trace)), 0)
    found = picks.clearest_example(traces, beta) or picks.first_wrong(traces)
    return found.index if found else 0


def _first_wrong_or_first(traces: list[CreditTrace], by_sample: dict[int, int]) -> int:
    failed = (s for s, i in by_sample.items() if not picks.is_correct(traces[i]))
    known = (s for s, i in by_sample.items() if traces[i].first_wrong is not None)
    return next(known, next(failed, next(iter(by_sample))))


def _result_of(group: picks.Group, traces: list[CreditTrace]) -> str:
    if picks.is_judged(traces[group.indices[0]]):
        return f"{group.correct} of {len(group.indices)} right"
    rewards = [traces[i].reward for i in group.indices]
    return f"mean reward {np.mean(rewards):.3g}" if np.isfinite(rewards).all() else "rewards not recorded"


def _solution_label(trace: CreditTrace, count: int) -> str:
    if not picks.is_judged(trace):
        return f"{trace.sample_idx + 1} of {count}   {reward_text(trace)}"
    mark = "✓" if picks.is_correct(trace) else "–" if trace.status == VerdictStatus.REJECTED else "✕"
    return (
        f"{trace.sample_idx + 1} of {count}   {mark} {visible_text(trace.answer)[:12] if trace.answer else 'no answer'}"
    )


# --- beta and lambda -------------------------------------------------------------------------------------------------


def pick_beta(source: Source, step: int, notes: list[str]) -> float:
    trained, limits = source.run.config.at(step).beta, setting("beta")
    beta = _exactly(trained, state.number("beta", limits["low"], limits["high"], trained, notes))
    return st.select_slider(
        "beta",
        sorted({*BETAS, trained, beta}),
        format_func=lambda b: f"{b:g}" + (f" ({_what_beta_is(source.run)})" if b == trained else ""),
        help=f"{limits['help']} Here it only changes how the same log-probabilities are read.",
        width=170,
        **state.bound("beta", beta),
    )


def _what_beta_is(run: RunSummary) -> str:
    """Beta of a run: a rule without it trains without, and a log-ratio can be read at any."""
    is_known = recorded_settings.is_known(run.imported, run.config, "beta")
    return "as trained" if is_known and "beta" in RULES[run.algorithm].settings else "only to read by"


def _exactly(trained: float, asked: float) -> float:
    """The run's own number where a link holds it shortened to six digits."""
    return trained if f"{asked:g}" == f"{trained:g}" else asked


def pick_lambda(source: Source, notes: list[str]) -> float:
    trained, limits = source.run.config.gae_lambda, setting("gae_lambda")
    gae_lambda = _exactly(trained, state.number("lambda", limits["low"], limits["high"], trained, notes))
    options = sorted({*(i / 20 for i in range(21)), trained, gae_lambda})
    return st.select_slider(
        "lambda",
        options,
        format_func=lambda x: f"{x:g}",
        help=limits["help"],
        width=130,
        **state.bound("lambda", gae_lambda),
    )


# --- the view --------------------------------------------------------------------------------------------------------


def payload(scene: Scene, beta: float, gae_lambda: float) -> dict:
    if scene.is_typed:
        return credit_view.inspector_payload(scene.traces, scene.index, beta, gae_lambda)
    found = _payload(scene, beta, gae_lambda)
    if not (tool := scene.source.tool):
        return found
    return with_version(found | {"tool_name": tool, "advice": ADVICE if reading.missing(scene.trace) else None})


ADVICE = "Score it again (Re-score), with the model that wrote it."
"""What to do where another tool did not record what token credit is made of."""


def _payload(scene: Scene, beta: float, gae_lambda: float) -> dict:
    run = scene.source.run
    found = cache.payload(scene.source.folder, run.run_id, run.version, scene.step, scene.index, beta, gae_lambda)
    # What was measured since is no part of the record that the rest is kept by.
    return found if scene.trace.largest_drop is None else with_version(found | credit_view.marks(scene.trace))


def facts(scene: Scene, beta: float) -> dict:
    """What a tour of the page asks for."""
    return {
        "run": scene.source.key,
        "step": scene.step,
        "solution": None if scene.is_typed else scene.index,
        "token": selected_token(scene.trace, []),
        "lens": selected_lens(scene.trace, []),
        "beta": beta,
        "section": st.query_params.get("more", ""),
    }


def strip_name(scene: Scene) -> str:
    return credit_view.credit_name(scene.source.run.algorithm, scene.source.tool)


def selected_token(trace: CreditTrace, notes: list[str]) -> int:
    """The token of the address; by default the first wrong one or the largest true drop, else the first."""
    last = max(0, len(trace.text) - 1)
    default = min(target_of(trace) or 0, last)
    return state.chosen("token", range(last + 1), default, notes, int)


def selected_lens(trace: CreditTrace, notes: list[str]) -> str:
    """The lens of the address; by default token credit, or what the solution has that comes nearest to it."""
    first = lenses.first_lens(trace)
    st.session_state[_FIRST_LENS] = first
    return state.chosen("lens", list(lenses.LENSES), first, notes)


def remember_selection() -> None:
    """Write what was selected in the browser to the address; the default lens leaves it clean."""
    selection = st.session_state[VIEW_KEY].get("view") or {}
    lens, token = selection.get("lens"), selection.get("token")
    state.put(
        lens=lens if lens in lenses.LENSES and lens != st.session_state.get(_FIRST_LENS, lenses.DEFAULT_LENS) else None,
        token=token if isinstance(token, int) else None,
    )


def headline(scene: Scene) -> str:
    """The problem, where it is a line that is not in a field above, and the verdict."""
    problem = "" if scene.is_typed else scene.trace.prompt_text
    is_short = len(problem) <= _SHORT_PROBLEM and "\n" not in problem
    said = verdict(scene.trace, scene.source.tool)
    return f"**{as_code(problem)}** {said}" if is_short and problem else said


def verdict(trace: CreditTrace, tool: str = "") -> str:
    """Badge, parsed answer, gold answer and first wrong token or largest true drop, as one line of markdown. tool: that
    recorded it."""
    if not picks.is_judged(trace):
        return _unjudged(trace, tool or "its tool")
    parts = [_badge(trace)]
    reason = as_plain(visible_text(trace.reward_reason or "none found"))
    if trace.status == VerdictStatus.REJECTED and trace.answer:
        answer = f"{as_code(trace.answer)} does not count ({reason})"
    else:
        answer = f"answer {as_code(trace.answer)}" if trace.answer else reason
    parts.append(f"{answer}, gold {as_code(trace.gold)}" if trace.gold else answer)
    if trace.first_wrong is not None:
        character = sum(pieces.character_counts(trace.text)[: trace.first_wrong])
        token = as_code(trace.text[trace.first_wrong])
        parts.append(
            f"first wrong token #{trace.first_wrong} {token} (character {character}): {as_plain(mistake_note(trace))}"
            + (", but the answer is right, and the reward reads nothing else" if picks.is_correct(trace) else "")
        )
    if trace.largest_drop is not None:
        parts.append(as_plain(drop_text(trace)))
    parts.append(_reward(trace))
    if trace.finish_reason == StopReason.LENGTH and "did not end" not in reason:
        parts.append("cut off before an end token")
    return " · ".join(part for part in parts if part)


_LISTED = 6


def _unjudged(trace: CreditTrace, tool: str) -> str:
    """Rewards, advantage and end as its tool recorded them."""
    parts = [f":gray-badge[{as_plain(reward_text(trace))}]"]
    if len(trace.rewards) > 1:
        named = list(trace.rewards.items())
        more = f" and {len(named) - _LISTED} more" if len(named) > _LISTED else ""
        parts.append("of " + ", ".join(f"{as_code(n)} {v:.4g}" for n, v in named[:_LISTED]) + more)
    if trace.tool_advantage is not None:
        parts.append(f"advantage by {as_plain(tool)} {signed(trace.tool_advantage, 3)} on all of it")
    if trace.gold:
        parts.append(f"gold {as_code(trace.gold)}")
    if trace.finish_reason == StopReason.LENGTH:
        parts.append("cut off before an end token")
    return " · ".join([*parts, "nobody here judged it"])


def reward_text(trace: CreditTrace) -> str:
    return f"reward {trace.reward:.4g}" if np.isfinite(trace.reward) else "no reward"


def _badge(trace: CreditTrace) -> str:
    if picks.is_correct(trace):
        return f":blue-badge[:material/check: {picks.judgement(trace)}]"
    if trace.status == VerdictStatus.REJECTED:
        return f":gray-badge[– {picks.judgement(trace)}]"
    return ":red-badge[:material/close: wrong]"


def _reward(trace: CreditTrace) -> str:
    said = f"reward {trace.reward:g}"
    if picks.is_flipped(trace):
        said += " (flipped by reward noise)"
    return said
