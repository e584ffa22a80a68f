"""Chapter 1, Who gets the blame?: the reader marks a token, then sees on the same tokens what GRPO and VIMPO push, what
can be read off the trained policy, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from app import routes, waiting
from app.components.aligned_strips import Row, aligned_strips, chosen_token
from app.components.credit_rows import credit_rows
from app.components.part import part
from app.course import bundled
from app.course.effort import Effort
from app.course.folding import fold
from app.course.lesson import Control, Lesson, Option, Plan, Question, symbol, term
from app.start import example, push_and_reading, real
from app.text import as_code, as_plain
from vimpo_core.measure import scorecard
from vimpo_core.runs.folder import RunSummary
from vimpo_core.service import scoring
from vimpo_core.solutions import lenses
from vimpo_core.solutions.steps import mistake_note
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace
from vimpo_core.views.payload import round_up

TRIES = 64
LIMIT_SECONDS = 60
_MOST_EXAMPLES = 6
_TRUTH, _STRIP, _MARKS = "course.blame.truth", "course.blame.strip", "course.blame.marks"

BLAME = Question(
    "blame",
    "The answer is wrong. Which token would you blame?",
    (
        Option(
            "hit",
            "The first wrong token",
            "You marked {marked}, and that is where it went wrong: {mistake}. Everything before it was right, and "
            "everything after it only follows from it.",
            is_right=True,
        ),
        Option(
            "before",
            "A token before it",
            "You marked {marked}. Up to there every step was right, and somebody going on from there could still have "
            "reached {gold}. The first wrong token is {wrong}: {mistake}.",
        ),
        Option(
            "after",
            "A token after it",
            "You marked {marked}. By then it was too late: the mistake was made at {wrong} ({mistake}), and your "
            "token only carries it on. If you went from the wrong answer backwards, that is what the reward does too: "
            "it comes at the end.",
        ),
    ),
)
QUESTIONS = (BLAME,)
EFFORT = Effort(words=400, looks=8, presses=3, wait_seconds=10)

RUN = bundled.run_control("Whose solution it is: one of the bundled runs.")
EXAMPLE = Control(
    "example",
    "Solution",
    tuple(range(1, _MOST_EXAMPLES + 1)),
    1,
    "Wrong solutions of the run's last step: those where credit δ points at the mistake take turns with those where "
    "it does not.",
    kind="buttons",
)
CONTROLS = (RUN, EXAMPLE)

PLAN = Plan(
    aims=(
        "Say what credit assignment is, and why one reward at the end of a solution leaves it open.",
        "Tell what a rule pushes (nearly the same on every token, for GRPO and for VIMPO at λ 1) from what can be "
        "read off the trained policy: a credit for each token.",
        "Name a simple rival, surprisal, and the measurement that decides between them.",
    ),
    timings=(
        (2, "Show the wrong solution. Everybody marks a token in silence."),
        (3, "Collect a few marks with reasons, then reveal."),
        (3, "Read the pushes, and move λ from 1 to 0: which tokens does VIMPO push now?"),
        (3, "Read the readings: what does each row know, what can it not know? Then the real model's words."),
        (2, "Take the counts over the whole step: credit δ {delta}, surprisal {surprisal} of {wrong}. Who was ahead?"),
    ),
    asks=(
        (
            "GRPO gives every token the same number. What would it have to know to do better?",
            "Where the solution went wrong. The reward alone does not say; something must be known about each prefix.",
        ),
        (
            "Surprisal needs no reward at all. Why does it find so many mistakes?",
            "The model is mostly right, so what it finds unlikely is often a slip. An unusual but harmless choice is "
            "surprising too.",
        ),
    ),
    misconceptions=(
        (
            "The last token is to blame, because it is the wrong answer.",
            "The answer follows from the step before. Ask from which prefix on the right answer could not be reached "
            "any more.",
        ),
        (
            "VIMPO is told where the mistake is.",
            "It sees the reward of whole solutions only. The credit is how far training moved each token away from "
            "the reference.",
        ),
        (
            "VIMPO pushes only the wrong token.",
            "At λ 1 every token before a large credit shares it, so most of a wrong solution is pushed alike, as GRPO "
            "does. The one orange token is read off the policy afterwards, and off a GRPO-trained one as well.",
        ),
    ),
)


@dataclass(frozen=True)
class Case:
    """A wrong solution, `trace`, among the solutions of its step."""

    run: RunSummary
    step: int
    traces: list[CreditTrace]
    index: int

    @property
    def trace(self) -> CreditTrace:
        return self.traces[self.index]

    @property
    def surprisal(self) -> np.ndarray:
        return -np.asarray(self.trace.logprob, dtype=np.float64)

    @property
    def above_group(self) -> float:
        """Reward minus group mean."""
        return self.trace.reward - self.trace.group_mean_reward


def numbers() -> dict[str, str]:
    """How often each points at the first wrong token, in the first bundled run."""
    return bundled.of_first_run(counts)


def show(lesson: Lesson) -> None:
    if not bundled.run_ids():
        st.info(bundled.NOTHING)
        return
    story = st.container()
    with st.container(horizontal=True, gap="medium"):
        run_id, number = lesson.control(RUN), lesson.control(EXAMPLE)
    case = _case(bundled.runs()[run_id], number)
    trace = case.trace
    with story:
        _tell(lesson, trace)
    part(_mark_and_see)(lesson, case, (list(bundled.run_ids()).index(run_id), number))


def _tell(lesson: Lesson, trace: CreditTrace) -> None:
    lesson.text(
        "A language model was asked for {prompt} It wrote the solution below, one operation a step, and came to "
        "{answer}. The right answer is {gold}. Training knows one number about it, the reward: {reward} for a wrong "
        "answer, 1 for a right one. But it has to change **tokens**, here a digit or a sign each. Which ones? That is "
        "the question of credit, and GRPO (Group Relative Policy Optimization) and VIMPO (Value-Implicit Policy "
        "Optimization) answer it differently.",
        prompt=as_code(trace.prompt_text),
        answer=as_code(trace.answer or "nothing"),
        gold=as_code(trace.gold),
        reward=f"{trace.reward:g}",
    )


def _mark_and_see(lesson: Lesson, case: Case, which: tuple[int, int]) -> None:
    truth = _truth(case)
    mark = _mark(lesson, which)
    if mark is None:
        _ask(lesson, case, which)
        return
    if not lesson.link.is_unlocked:
        _discuss(case, mark)
    if not lesson.replied(BLAME, _kind(case, mark), **_words(case, mark)):
        return
    _see(lesson, case, mark, truth)


# --- marking ---------------------------------------------------------------------------------------------------------


def _ask(lesson: Lesson, case: Case, which: tuple[int, int]) -> None:
    key = f"{_STRIP}.ask.{case.run.run_id}.{which[1]}"
    st.markdown(f"**Predict.** {BLAME.ask} Click on it, or walk there with the arrow keys.")
    token = chosen_token(key, len(case.trace.text))
    _strips(case, key, token, says="wrong answer", hint="No token is marked yet.")
    label = "Mark a token first" if token is None else f"Blame #{token} “{visible_text(case.trace.text[token])}”"
    st.button(
        as_plain(label),
        type="primary",
        disabled=token is None,
        key="course.blame.commit",
        on_click=_commit,
        args=(lesson, case, which, token),
    )


def _discuss(case: Case, mark: int) -> None:
    """What a class talks about until the teacher says the word: the solution and the reader's own mark."""
    st.markdown(f"**{BLAME.ask}**")
    _strips(
        case, f"{_STRIP}.locked", None, says="wrong answer", rows=(_own_row(case.trace.with_(first_wrong=None), mark),)
    )


def _own_row(trace: CreditTrace, mark: int) -> Row:
    return Row("You", f"point {push_and_reading.points(trace, mark)}", picks=(mark,))


def _commit(lesson: Lesson, case: Case, which: tuple[int, int], token: int) -> None:
    """Keep the first mark in the browser, those of further solutions while the session lasts."""
    st.session_state.setdefault(_MARKS, {})[which] = token
    if lesson.answer(BLAME) is None:
        lesson.commit(BLAME, _kind(case, token), (*which, token))


def _mark(lesson: Lesson, which: tuple[int, int]) -> int | None:
    """The token that the reader blamed in this solution."""
    given = lesson.answer(BLAME)
    if given is None:
        st.session_state.pop(_MARKS, None)  # the chapter was started again
        return None
    if given.details[:2] == which and len(given.details) == 3:
        return given.details[2]
    return st.session_state.get(_MARKS, {}).get(which)


def _kind(case: Case, token: int) -> str:
    wrong = case.trace.first_wrong
    return "hit" if token == wrong else "before" if token < wrong else "after"


def _words(case: Case, mark: int) -> dict[str, str]:
    trace = case.trace
    return {
        "marked": _name(trace, mark),
        "wrong": _name(trace, trace.first_wrong),
        "gold": as_code(trace.gold),
        "mistake": as_plain(mistake_note(trace)),
    }


def _name(trace: CreditTrace, token: int) -> str:
    return f"\\#{token} {as_code(trace.text[token])}" if token < len(trace.text) else f"\\#{token}"


# --- seeing ----------------------------------------------------------------------------------------------------------


def _see(lesson: Lesson, case: Case, mark: int, truth: scoring.PrefixTruth | None) -> None:
    place = (bundled.folder_of(case.run).parent, case.run, case.step, case.index)
    credit_rows(
        push_and_reading.credit_payload(*place), key=f"{_STRIP}.see.{which_of(case)}", more=_rows(case, mark, truth)
    )
    if truth is None:
        waiting.answer(_question(case))
    lesson.text(
        "**Two ways to push.** Training moves each token's probability up or down. GRPO let the model write {group} "
        "solutions to this prompt: every token gets the reward less their mean. VIMPO gives each token a {credit}, and "
        "**λ** says how far back it reaches. **Move λ from 1 to 0**: at 1, as VIMPO trains here, each token also gets "
        "every credit that follows it, so all that stand before a large one share it; at 0 each keeps its own.",
        group=sum(other.group_id == case.trace.group_id for other in case.traces),
        credit=symbol("td_terms", "credit δ"),
    )
    lesson.text(
        "**Read off** afterwards, δ needs no reward any more: it is how far training moved a token's probability from "
        "where it began (chapter 2). Any trained {policy} has it: flip the switch. {surprisal} needs no training at "
        "all, only how unlikely the model found its own token. **The truth** is measured: the model finishes the "
        "solution {tries} times from before and after every token; {q} − {v} is how the share of right answers "
        "changes.",
        tries=TRIES,
        policy=symbol("policy", "policy"),
        surprisal=symbol("surprisal", "Surprisal"),
        q=symbol("q_values"),
        v=symbol("values"),
    )
    lesson.text(_verdict(case.run), **counts(case.run))
    _see_a_real_one()
    trace = case.trace
    lesson.onward(
        see=(
            "Open this solution in Inspect",
            routes.INSPECT,
            {
                "run": case.run.run_id,
                "step": case.step,
                "group": trace.group_id,
                "sample": trace.sample_idx,
                "token": trace.first_wrong,
            },
        )
    )


def which_of(case: Case) -> str:
    """Names a solution among those of all runs."""
    return f"{case.run.run_id}.{case.step}.{case.index}"


def _see_a_real_one() -> None:
    """The second example: the same rows on the words of a real language model, as they were recorded."""
    picture = real.picture(2)  # the first one is Start's
    if picture is not None and (box := fold("The same on a real model's words", "real")):
        with box:
            st.markdown(real.question(picture))
            credit_rows(real.rows(picture), key=f"{_STRIP}.real", more=real.more(picture))
            st.markdown(real.told(picture), width=820)


def _verdict(run: RunSummary) -> str:
    """Who was right how often over the step; says so where surprisal is ahead."""
    found = counts(run)
    lead = int(found["delta"]) - int(found["surprisal"])
    ahead = (
        "**Here surprisal is ahead**, though it knows nothing about rewards: a credit has to beat it to be worth its "
        "price."
        if lead < 0
        else "The two are level here."
        if lead == 0
        else "Credit δ is ahead here, by a number of solutions that is no proof."
    )
    return (
        "**One solution proves nothing.** Of the {wrong} wrong solutions of step {step} of this run, the lowest δ is "
        "on the first wrong token in **{delta}**, the highest surprisal in **{surprisal}**; guessing finds about "
        f"{{guess}}. {ahead} The [Scorecard](scorecard) measures it over hundreds, with "
        f"{term('interval', 'intervals')}."
    )


def _rows(case: Case, mark: int, truth: scoring.PrefixTruth | None) -> list[Row]:
    """What stands below the two pushes and the reading."""
    trace, surprisal = case.trace, case.surprisal
    strangest = int(surprisal.argmax())
    nats = {"max": round_up(surprisal.max()), "signed": False, "unit": "nats", "decimals": 2}
    points, numbers = push_and_reading.points, push_and_reading.numbers
    return [
        _own_row(trace, mark),
        Row("Surprisal", f"points {points(trace, strangest)}", numbers(surprisal), nats, (strangest,)),
        _truth_row(trace, truth),
    ]


def _truth_row(trace: CreditTrace, truth: scoring.PrefixTruth | None) -> Row:
    if truth is None:
        said = f"first wrong: #{trace.first_wrong}"
        return Row("The truth, Q − V", said, absent=f"being tried, {TRIES} times from every prefix")
    advantages = truth.policy.advantages()
    drop = int(advantages.argmin())
    return Row(
        "The truth, Q − V",
        f"points {push_and_reading.points(trace, drop)}",
        push_and_reading.numbers(advantages),
        push_and_reading.scale_of([advantages], "reward"),
        (drop,),
    )


def _strips(case: Case, key: str, token: int | None, **more) -> None:
    aligned_strips(key=key, title="The solution", token=token, **push_and_reading.solution(case.trace), **more)


# --- where the numbers come from -------------------------------------------------------------------------------------


def _case(run: RunSummary, number: int) -> Case:
    step = bundled.steps(run)[0][-1]
    traces = bundled.traces(run, step)
    order = _order(run.run_id, run.created, step, run.config.beta)
    return Case(run, step, traces, order[(number - 1) % len(order)])


@st.cache_resource(max_entries=16, show_spinner=False)
def _order(run_id: str, created: str, step: int, beta: float) -> list[int]:
    """Wrong solutions of a step: the clearest find of credit δ first, then a miss, then the next find; the Start page's
    own last.
    """
    traces = bundled.traces(bundled.runs()[run_id], step)
    wrong = [i for i, trace in enumerate(traces) if scorecard.is_localisable(trace)]
    gap = {i: _gap(lenses.credit_of(traces[i], beta), traces[i].first_wrong) for i in wrong}
    shown = example.picture()
    seen = shown.found.index if shown and (shown.run.run_id, shown.step) == (run_id, step) else None
    finds = sorted((i for i in wrong if gap[i] > 0 and i != seen), key=lambda i: -gap[i])
    misses = sorted((i for i in wrong if gap[i] <= 0), key=lambda i: gap[i])
    return [i for pair in zip(finds, misses, strict=False) for i in pair] or wrong


def _gap(delta: np.ndarray, wrong: int) -> float:
    """How much lower the first wrong token's credit is than every other's; negative where another is lower."""
    return float(np.delete(delta, wrong).min(initial=0.0) - delta[wrong])


@st.cache_resource(max_entries=16, show_spinner=False)
def _counted(run_id: str, created: str, step: int, beta: float) -> dict[str, str]:
    traces = bundled.traces(bundled.runs()[run_id], step)
    wrong = [i for i, trace in enumerate(traces) if scorecard.is_localisable(trace)]
    found = scorecard.signals(traces, beta, 1.0)

    def hits(name: str) -> int:
        return round(sum(scorecard.localise(found[name][i], traces[i].first_wrong)[0] for i in wrong))

    return {
        "wrong": str(len(wrong)),
        "step": str(step),
        "delta": str(hits("implied_advantage")),
        "surprisal": str(hits("surprisal_policy")),
        "guess": str(hits("grpo")),
    }


def counts(run: RunSummary) -> dict[str, str]:
    """How often each points at the first wrong token over the run's last step, as text."""
    return _counted(run.run_id, run.created, bundled.steps(run)[0][-1], run.config.beta)


def _question(case: Case) -> waiting.Question:
    asked = (case.step, case.trace.prompt_text, case.trace.completion_text, TRIES)
    ids, folder = tuple(case.trace.ids.tolist()), bundled.folder_of(case.run)
    ask = partial(scoring.scoring_service().ask, scoring.solution_truth, folder, *asked, ids=ids)
    key, doing = (*bundled.origin(case.run), *asked, ids), "Trying to finish it from every prefix"
    return waiting.Question(_TRUTH, key, ask, doing, LIMIT_SECONDS)


def _truth(case: Case) -> scoring.PrefixTruth | None:
    """Asked for while the reader thinks, so that it is there when it is needed."""
    return waiting.ahead(_question(case))
