"""Chapter 4, Anchored at the end: a prefix's value counted from either end, and the gap between the two that is
squared.
"""

from __future__ import annotations

import math

import streamlit as st

from app import cache, routes
from app.components.anchors_view import anchors_view
from app.components.part import part
from app.components.scatter import scatter
from app.course import bundled
from app.course.effort import Effort
from app.course.lesson import Control, Lesson, Option, Plan, Question, symbol, term
from app.text import as_code
from vimpo_core.formats.about import about_step, run_words
from vimpo_core.measure.telescope import Telescope
from vimpo_core.numbers import fixed, percent, signed
from vimpo_core.runs.folder import RunSummary
from vimpo_core.types import CreditTrace
from vimpo_core.views import lessons

_SCATTER, _OPENED = "course.anchored.scatter", "course.anchored.opened"

BEFORE = Question(
    "before",
    "Now a point for every solution of a training step: to the right the sum of its credits, upwards its reward minus "
    "the group mean. **Before training**, where do all points lie, and what is the loss?",
    (
        Option(
            "upright",
            "On the upright line at 0, and the loss is {loss}",
            "No token has credit yet (chapter 2), so every sum is exactly 0, while the rewards already differ. The "
            "whole distance of every reward from its group mean is residual: half the mean square is {loss}.",
            is_right=True,
        ),
        Option(
            "diagonal",
            "On the diagonal, and the loss is 0",
            "On the diagonal the credits of a solution already add up to its reward. That is the goal, not the start: "
            "no token has credit yet, so all sums are 0 and the loss is {loss}.",
        ),
        Option(
            "level",
            "On the level line at 0, and the loss is 0",
            "That would need every reward to equal its group mean. In {agree} of {groups} groups all solutions got "
            "the same reward, and only those points are at 0. The others lie above and below, so the loss is {loss}.",
        ),
        Option(
            "cloud",
            "In a cloud around 0, as an untrained network is random, and the loss is above {loss}",
            "The network is trained well enough, and the same network stands on both sides of the log-ratio: all "
            "{count} sums are exactly 0, none of them random. The loss is {loss}, all of it from the rewards.",
        ),
    ),
)
QUESTIONS = (BEFORE,)
EFFORT = Effort(words=425, looks=4, presses=3, formulas=2)

RUN = bundled.run_control("Whose solutions: one of the bundled runs.")
ANCHOR = Control(
    "anchor",
    "Count V",
    ("both", "start", "end"),
    "both",
    "From the start: begin at the group mean and add credits. From the end: begin at the reward and take them off "
    "again.",
    kind="buttons",
    label_of={"both": "both ways", "start": "from the start", "end": "from the end"}.get,
)


STEP = Control(
    "step",
    "Training step",
    lambda: bundled.common_steps(0),
    0,
    "The solutions of this step, sampled by the policy of that moment.",
)
CONTROLS = (RUN, ANCHOR, STEP)

PLAN = Plan(
    aims=(
        "Work out the value of a prefix from credits, from either end.",
        "Name the terminal residual and show it in the picture.",
        "Say what the value loss does in one sentence, and where the reward enters.",
    ),
    timings=(
        (2, "Read the recurrence on the solution; let one student add up three credits."),
        (1, "Switch the anchor. What is the same between the curves? The gap, {residual}, at every token."),
        (2, "Predict the picture before training."),
        (
            2,
            "Reveal; move the step slider from 0 ({loss}) to the last ({last_loss}). Why can the loss rise in between?",
        ),
        (2, "Open a point far from the line and say what its solution did."),
    ),
    asks=(
        (
            "Why does the gap between the two curves not depend on where one looks?",
            "Both add the same credits; they differ only in where they begin. The gap is the residual everywhere.",
        ),
        (
            "At the last step the loss would be {last_untouched} with no credit at all, and it is {last_loss}. What "
            "made it fall from {loss}?",
            "Both: solutions of one prompt agree more often, so rewards lie closer to their mean, and the credits "
            "explain what they explain. Only the second is the fit.",
        ),
    ),
    misconceptions=(
        (
            "V is a critic's estimate.",
            "It is counted up from log-ratios of the policy and its frozen reference. Nothing else is trained.",
        ),
        (
            "The end-anchored curve is the right one.",
            "Neither is. Where the residual is 0 they are the same curve; before that both are guesses.",
        ),
    ),
)


def numbers() -> dict[str, str]:
    """The first bundled run at its first and last recorded step."""
    return bundled.of_first_run(_numbers)


def show(lesson: Lesson) -> None:
    if not bundled.run_ids():
        st.info(bundled.NOTHING)
        return
    story = st.container()
    with st.container(horizontal=True, gap="medium"):
        run_id, anchor = lesson.control(RUN), lesson.control(ANCHOR)
    run = bundled.runs()[run_id]
    trace = _example(run)
    with story:
        _tell(lesson, trace)
    _curves(run, trace, anchor, "course.anchored.curves")
    _explain(lesson, run, trace)
    if lesson.predict(BEFORE, **_numbers(run)):
        part(_fit)(lesson, run, anchor)


# --- two anchors -----------------------------------------------------------------------------------------------------


def _tell(lesson: Lesson, trace: CreditTrace) -> None:
    lesson.text(
        "A prefix of a solution has a **value**, {value}: the reward to expect from here. Each {token} changes it by "
        "its {credit} (chapter 3). So start with what solutions to this prompt get on average, the {baseline}, and add "
        "credits; or start with what this one was paid, and take them off from the end:",
        value=symbol("values"),
        token=term("token"),
        credit=symbol("td_terms", "credit δ"),
        baseline=symbol("baseline", "group mean"),
    )
    st.latex(
        r"\begin{aligned} &\text{from the start:} & V_0 &= \text{group mean}, & V_{t+1} &= V_t + \delta_t \\"
        r"&\text{from the end:} & V_T &= \text{reward}, & V_t &= V_{t+1} - \delta_t \end{aligned}",
        width=780,
    )
    lesson.text(
        "A wrong solution of the trained model to {prompt} (its answer {answer}, right {gold}); move over its tokens:",
        prompt=as_code(trace.prompt_text),
        answer=as_code(trace.answer or "none"),
        gold=as_code(trace.gold),
    )


def _explain(lesson: Lesson, run: RunSummary, trace: CreditTrace) -> None:
    found = lessons.anchored(trace, run.config.beta)
    lesson.text(
        "From the start the curve begins at the group mean {baseline}; its credits add up to {total} and take it to "
        "{arrived}. The reward was {reward}. What is left, {arrived} − {reward} = **{residual}**, is the {name}. The "
        "same {residual} lies between the two curves at **every** token. Were it 0, the credits would say exactly what "
        "was paid.",
        baseline=_amount(found, found.baseline),
        total=signed(found.amount(found.start[-1] - found.baseline), found.decimals),
        arrived=_amount(found, found.start[-1]),
        reward=_amount(found, found.reward),
        residual=_amount(found, found.residual),
        name=symbol("terminal_residual", "terminal residual"),
    )


def _curves(run: RunSummary, trace: CreditTrace, anchor: str, key: str) -> None:
    at = len(trace.text) if trace.first_wrong is None else trace.first_wrong + 1
    anchors_view(lessons.anchored(trace, run.config.beta), anchor, key=key, at=at)


def _amount(found: lessons.Anchored, units: int) -> str:
    return fixed(found.amount(units), found.decimals)


# --- the fit ---------------------------------------------------------------------------------------------------------


def _fit(lesson: Lesson, run: RunSummary, anchor: str) -> None:
    lesson.text(
        "The {name} is half the mean square of all residuals, and it is the only place where VIMPO looks at a "
        "reward:\n\n$$L_V = \\tfrac12\\,\\mathrm{mean}\\Big(\\textstyle\\sum_t\\delta_t - (R - \\bar "
        "R)\\Big)^2$$\n\n(R: the reward; R̄: its group's mean.) A least-squares fit, then, of what the {policy} has "
        "moved. The thin lines are the residuals: the loss pulls every point along its line towards the diagonal.",
        name=symbol("value_loss", "value loss"),
        policy=symbol("policy", "policy"),
    )
    step = lesson.control(STEP)
    traces, found = bundled.traces(run, step), _telescope(run, step)
    chosen = _chosen(run, step, traces)
    left, right = st.columns([5, 4], gap="large")
    with left:
        scatter(
            found,
            traces,
            chosen,
            key=_SCATTER,
            version=f"{run.run_id} {run.created} {step}",
            about=about_step(run_words(run.name, run.run_id, run.algorithm), step, run.config.at(step).beta),
            with_residuals=True,
            on_open=lambda: _open(run.run_id, step),
        )
    with right:
        st.markdown(_reading(found, traces, step, run.config.group_size))
    lesson.text(
        "The ringed point: {prompt}, answer {answer}, reward {reward}. Click another one, or press Enter on it.",
        prompt=as_code(chosen.prompt_text),
        answer=as_code(chosen.answer or "none"),
        reward=f"{chosen.reward:g}",
    )
    _curves(run, chosen, anchor, "course.anchored.opened_curves")
    lesson.onward(
        see=(
            "Open this picture in Inspect",
            routes.INSPECT,
            {"run": run.run_id, "step": step, "group": chosen.group_id, "sample": chosen.sample_idx, "more": "scatter"},
        )
    )


def _open(run_id: str, step: int) -> None:
    point = st.session_state[_SCATTER].get("open") or {}
    st.session_state[_OPENED] = (run_id, step, point.get("group"), point.get("sample"))


def _chosen(run: RunSummary, step: int, traces: list[CreditTrace]) -> CreditTrace:
    """The opened solution of this step; before one was opened the point that is furthest from the line."""
    run_id, of_step, group, sample = st.session_state.get(_OPENED, ("", -1, None, None))
    if (run_id, of_step) == (run.run_id, step):
        for trace in traces:
            if (trace.group_id, trace.sample_idx) == (group, sample):
                return trace
    return traces[lessons.furthest_point(traces, run.config.beta)]


def _reading(found: Telescope, traces: list[CreditTrace], step: int, size: int) -> str:
    agree, groups = lessons.agreeing_groups(traces)
    parts = [
        f"**Step {step}, {len(found.points)} solutions.** :blue[○] right, :red[✕] wrong; large: the ringed one's "
        f"prompt.",
        f"Value loss: **{found.value_loss:.4f}**. With no credit at all it would be {found.untouched_loss:.4f}.",
    ]
    if step == 0:
        return "\n\n".join([*parts, "All sums are 0: the points stand on one upright line. **Move the slider.**"])
    share = (
        f"the credits explain {percent(found.explained)} of it"
        if found.explained >= 0
        else "the credits of these fresh solutions are further off than no credit at all would be"
    )
    parts.append(
        f"The points have spread sideways: {share}. These solutions were drawn **before** the policy learned from "
        "them, so this is the loss on unseen ones, and it is noisy."
    )
    parts.append(
        f"In {agree} of {groups} groups all solutions got the same reward: a better policy is right more often, which "
        "lowers the loss whatever the credits say."
    )
    parts.append(
        f"The residuals are **{_ratio(found):.2f}** of what there is to explain (root mean squares). On average it "
        f"cannot be below {size**-0.5:.2f}: a group of {size} is a guess of its prompt's success rate, and no credit "
        f"can foresee it."
    )
    return "\n\n".join(parts)


def _ratio(found: Telescope) -> float:
    return math.sqrt(found.value_loss / found.untouched_loss) if found.untouched_loss else math.nan


# --- where it comes from ---------------------------------------------------------------------------------------------


def _example(run: RunSummary) -> CreditTrace:
    traces = bundled.traces(run, bundled.steps(run)[0][-1])
    return traces[lessons.clearest_fall(traces, run.config.beta)]


def _telescope(run: RunSummary, step: int) -> Telescope:
    return cache.telescope(cache.bundled_folder(), run.run_id, run.created, step, run.config.beta)


def _numbers(run: RunSummary) -> dict[str, str]:
    steps = bundled.steps(run)[0]
    first, last = _telescope(run, steps[0]), _telescope(run, steps[-1])
    agree, groups = lessons.agreeing_groups(bundled.traces(run, steps[0]))
    example = lessons.anchored(_example(run), run.config.beta)
    return {
        "loss": f"{first.value_loss:.4f}",
        "count": str(len(first.points)),
        "agree": str(agree),
        "groups": str(groups),
        "last_loss": f"{last.value_loss:.4f}",
        "last_untouched": f"{last.untouched_loss:.4f}",
        "residual": _amount(example, example.residual),
    }
