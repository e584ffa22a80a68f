"""Chapter 2, A policy is a pair: a token's credit is a log-ratio to a frozen reference, so before training all of it is
0.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app import routes, waiting
from app.components.aligned_strips import Bar, Row, aligned_strips, chosen_token
from app.components.part import part
from app.course import bundled
from app.course.effort import Effort
from app.course.lesson import Control, Lesson, Option, Plan, Question, symbol, term
from app.text import as_code
from vimpo_core.measure import scorecard
from vimpo_core.numbers import signed
from vimpo_core.runs.folder import RunSummary
from vimpo_core.service import scoring
from vimpo_core.service.film import Film, film_solution
from vimpo_core.solutions import ledger, lenses
from vimpo_core.solutions.steps import mistake_note, step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace

LIMIT_SECONDS = 60
_FILM, _STRIP = "course.pair.film", "course.pair.strip"

ZERO = Question(
    "zero",
    "Training has not begun: step 0. What is the credit of every token of this wrong solution?",
    (
        Option(
            "zero",
            "0, for every token",
            "The policy still **is** the reference, so each log-ratio is the log of 1 and the KL is 0 as well: "
            "{zeros} of {count} credits are exactly 0. Credit is what training has moved, and it has moved nothing "
            "yet.",
            is_right=True,
        ),
        Option(
            "flat",
            "The same negative number for every token, since the answer is wrong",
            "That is GRPO's advantage, {grpo} here: it needs only rewards, this one less the mean of its group, "
            "{above}, over their spread. VIMPO's credit compares two networks, and before "
            "training they are the same network: {zeros} of {count} credits are exactly 0.",
        ),
        Option(
            "unlikely",
            "Negative where the model found its own token unlikely",
            "That is surprisal, a property of one network. Here an unlikely token is just as unlikely under the "
            "reference, so their ratio is 1 and its log 0: {zeros} of {count} credits are exactly 0.",
        ),
        Option(
            "mistake",
            "Negative at the first wrong token only",
            "It may come to that, but somebody would have to know the mistake, and nothing has been learned from any "
            "reward yet: {zeros} of {count} credits are exactly 0.",
        ),
    ),
)
QUESTIONS = (ZERO,)
EFFORT = Effort(words=310, looks=3, presses=4, formulas=1)

RUN = bundled.run_control("Whose training is replayed: one of the bundled runs.")


STEP = Control(
    "step",
    "Training step",
    lambda: bundled.common_steps(1),
    0,
    "The same solution, read by the policy as it was after so many updates.",
)
CONTROLS = (RUN, STEP)

PLAN = Plan(
    aims=(
        "Say what the two networks of a pair are, and what the adapter has to do with it.",
        "Work out a token's credit from two probabilities, beta and the KL, sign included.",
        "Explain why credit cannot exist before something was learned.",
    ),
    timings=(
        (1, "Read the definition together: policy, reference, log-ratio."),
        (2, "Predict the credit at step 0, each on their own."),
        (2, "Reveal, then move the step slider: which tokens gain, which lose? By step {last} the lowest is {lowest}."),
        (2, "Let one student work out one credit from the two bars on the board."),
    ),
    asks=(
        (
            "The policy doubles a token's probability and the reference stays. What is its log-ratio?",
            "log 2, about 0.69 nats, whatever the probability was before.",
        ),
        (
            "Could one read such a credit off a model that was trained by GRPO?",
            "Yes: any policy and reference make a pair. Whether the credit is any good is measured on the Scorecard.",
        ),
    ),
    misconceptions=(
        (
            "The credit is the policy's probability.",
            "It is how much that probability has changed against the reference, on a log scale, times beta.",
        ),
        (
            "The reference is an older, worse model that could be thrown away.",
            "Without it there is no ratio. It stays frozen and in use for the whole training.",
        ),
    ),
)


def numbers() -> dict[str, str]:
    """The credits of the first bundled run: all at step 0, and the lowest one of the solution at the last recorded
    step.
    """
    return bundled.of_first_run(_numbers)


def show(lesson: Lesson) -> None:
    if not bundled.run_ids():
        st.info(bundled.NOTHING)
        return
    story = st.container()
    run = bundled.runs()[lesson.control(RUN)]
    trace = _solution(run)
    with story:
        _tell(lesson, run, trace)
    if lesson.answer(ZERO) is None or not lesson.link.is_unlocked:
        _film(run, trace)  # asked for while the reader thinks
        _pair(run, trace, is_hidden=True)
    if not lesson.predict(ZERO, **_numbers(run)):
        return
    part(_through_training)(lesson, run, trace)


def _tell(lesson: Lesson, run: RunSummary, trace: CreditTrace) -> None:
    lesson.text(
        "Training here changes a **policy**, {policy}, and keeps a frozen copy of how it began, the **reference**, "
        "{reference}. (They are one model: the policy is the reference with a small {adapter} switched on.) For every "
        "{token} the two can be compared by their **log-ratio** $\\log \\pi - \\log \\pi_{\\mathrm{ref}}$: above 0 "
        "where training made the token more likely, below 0 where it made it rarer. A number {beta}, here "
        "{beta_value}, turns {nats} (the unit of a natural logarithm) into reward: {rho} = β (log π − log π_ref). "
        "What the policy moved at this position on average, {kappa} = β {kl}, is taken off. What is left is the "
        "token's **credit**:",
        policy=symbol("policy"),
        reference=symbol("reference"),
        beta=symbol("beta"),
        beta_value=f"{run.config.beta:g}",
        rho=symbol("rho"),
        kappa=symbol("kappa"),
        adapter=term("adapter"),
        token=term("token"),
        nats=term("nat", "nats"),
        kl=term("kl"),
    )
    st.latex(
        r"\delta_t = \beta\,(\log \pi - \log \pi_{\mathrm{ref}}) - \beta\,\mathrm{KL}(\pi, \pi_{\mathrm{ref}})",
        width=780,
    )
    lesson.text(
        "Below is a solution that the untrained model wrote for {prompt} Its answer {answer} is wrong.",
        prompt=as_code(trace.prompt_text),
        answer=as_code(trace.answer or "nothing"),
    )


def _through_training(lesson: Lesson, run: RunSummary, untrained: CreditTrace) -> None:
    """The reveal: the slider, the solution at its step, and what happened to it."""
    lesson.text("Now let training run. The solution stays as it is; only the policy that reads it changes.")
    step = lesson.control(STEP)
    film = _film(run, untrained)
    trace = untrained if step == 0 else _frame(film, step)
    if trace is None:
        waiting.answer(_question(run, untrained))
        return
    _pair(run, trace)
    lesson.text(_what_happened(run, trace, step))
    lesson.onward(
        see=(
            "See it as a film in Inspect",
            routes.INSPECT,
            {
                "run": run.run_id,
                "step": 0,
                "group": untrained.group_id,
                "sample": untrained.sample_idx,
                "more": "film",
                "film": step,
            },
        )
    )


def _what_happened(run: RunSummary, trace: CreditTrace, step: int) -> str:
    delta = lenses.credit_of(trace, run.config.beta)
    if step == 0:
        return "All zeros, and both bars of every token are equal. **Move the slider** to see credit come about."
    lowest, wrong = int(delta.argmin()), trace.first_wrong
    hit = (
        "That is the first wrong token: training has met such mistakes and made them rarer."
        if lowest == wrong
        else f"The first wrong token is \\#{wrong} {as_code(trace.text[wrong])} and has {signed(delta[wrong])}."
    )
    return (
        f"After {step} updates the lowest credit, {signed(delta[lowest])}, is at \\#{lowest} "
        f"{as_code(trace.text[lowest])}. {hit} {int((abs(delta) < 0.01).sum())} of {len(delta)} tokens still have "
        f"almost none (below 0.01): nothing had to change "
        "there. This solution took part in the first update only; all the others learned from fresh ones."
    )


# --- the solution and its bars ---------------------------------------------------------------------------------------


def _pair(run: RunSummary, trace: CreditTrace, is_hidden: bool = False) -> None:
    """The solution, coloured by credit, and the two probabilities of the chosen token; `is_hidden`: before the
    prediction.
    """
    key = f"{_STRIP}.{run.run_id}.{'ask' if is_hidden else 'see'}"
    token = chosen_token(key, len(trace.text))
    aligned_strips(
        key=key,
        text=[visible_text(text) for text in trace.text],
        line_starts=step_starts(trace),
        title="The solution",
        says="choose a token with a click or the arrow keys",
        first_wrong=None if is_hidden else trace.first_wrong,
        token=trace.first_wrong if token is None else token,
        rows=() if is_hidden else (_credit_row(run, trace),),
        bars=[_bars(run, trace, t, is_hidden) for t in range(len(trace.text))],
        notes=None if is_hidden else _sums(run, trace),
    )


def _credit_row(run: RunSummary, trace: CreditTrace) -> Row:
    delta = lenses.credit_of(trace, run.config.beta)
    # One scale for all steps, so that colours grow as training goes on.
    scale = {"max": 2 * run.config.beta, "signed": True, "unit": "reward", "decimals": 2}
    says = f"scale −{scale['max']:g} to +{scale['max']:g} reward"
    return Row("Credit δ", says, [round(float(value), 4) for value in delta], scale)


def _bars(run: RunSummary, trace: CreditTrace, t: int, is_hidden: bool) -> list[Bar]:
    policy, reference = float(np.exp(trace.logprob[t])), float(np.exp(trace.ref_logprob[t]))
    mine = (None, "?") if is_hidden else (policy, f"{policy:.3f}")
    return [Bar("policy π", *mine, run.algorithm), Bar("reference π_ref", reference, f"{reference:.3f}")]


def _sums(run: RunSummary, trace: CreditTrace) -> list[str]:
    """Each token's credit as the sum that it is; the shown digits add up (`ledger.ledger`)."""
    book = ledger.ledger(trace, run.config.beta, gae_lambda=0.0)
    digits, nats = book.reward_decimals, ledger.NATS_DECIMALS
    arrays = {name: book.arrays[name] for name in ("logprob", "ref_logprob", "kl", "td_terms")}
    lines = []
    for t in range(len(trace.text)):
        ratio = (arrays["logprob"][t] - arrays["ref_logprob"][t]) / 10**nats
        credit = signed(arrays["td_terms"][t] / 10**digits, digits)
        kl = arrays["kl"][t] / 10**nats
        lines.append(
            f"δ = {run.config.beta:g} × ({signed(ratio, nats)}) − {run.config.beta:g} × {kl:.{nats}f} = {credit}"
        )
    return lines


# --- where it comes from ---------------------------------------------------------------------------------------------


def _solution(run: RunSummary) -> CreditTrace:
    """A wrong solution of the untrained policy: of those that began with a right step and then made a mistake with a
    name, the one with the likeliest mistake. What the model does often, training can make rare.
    """
    traces = bundled.traces(run, 0)
    wrong = [trace for trace in traces if scorecard.is_localisable(trace)]
    late = [trace for trace in wrong if trace.first_wrong > step_starts(trace)[1]]
    named = [trace for trace in late if ": " in mistake_note(trace)]
    return max(named or late or wrong, key=lambda trace: float(trace.ref_logprob[trace.first_wrong]))


def _numbers(run: RunSummary) -> dict[str, str]:
    trace = _solution(run)
    delta = lenses.credit_of(trace, run.config.beta)
    last = bundled.steps(run)[0][-1]
    lowest = min(float(lenses.credit_of(t, run.config.beta).min()) for t in bundled.traces(run, last))
    return {
        "count": str(len(delta)),
        "zeros": str(int((delta == 0).sum())),
        "last": str(last),
        "lowest": signed(lowest),
        "above": signed(trace.reward - trace.group_mean_reward),
        "grpo": signed(_grpo(run, trace)),
    }


def _grpo(run: RunSummary, trace: CreditTrace) -> float:
    """GRPO's advantage of the solution in the group it was sampled in; no unit."""
    traces = bundled.traces(run, 0)
    own = (trace.group_id, trace.sample_idx)
    index = next(i for i, other in enumerate(traces) if (other.group_id, other.sample_idx) == own)
    return float(lenses.lens_values(traces, index, "grpo", run.config.beta, run.config.gae_lambda)[0])


def _frame(film: Film | None, step: int) -> CreditTrace | None:
    return None if film is None else next((frame for frame in film.frames if frame.step == step), None)


def _question(run: RunSummary, trace: CreditTrace) -> waiting.Question:
    asked = (trace.prompt_text, trace.completion_text, tuple(trace.ids.tolist()))
    ask = partial(scoring.scoring_service().ask, film_solution, bundled.folder_of(run), *asked)
    key, doing = (*bundled.origin(run), *asked), "Reading the solution under every saved policy"
    return waiting.Question(_FILM, key, ask, doing, LIMIT_SECONDS)


def _film(run: RunSummary, trace: CreditTrace) -> Film | None:
    return waiting.ahead(_question(run, trace))
