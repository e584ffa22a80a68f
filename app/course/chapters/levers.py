"""Chapter 5, Two levers: real updates with the value loss alone, the actor alone, or both, and what every token
does.
"""

from __future__ import annotations

import streamlit as st

from app import routes
from app.components.part import part
from app.course.effort import Effort
from app.course.lesson import Control, Lesson, Option, Plan, Question, symbol, term
from app.course.widgets import levers
from app.words import verdicts
from vimpo_core.labs.levers import ACTOR_COEFS, BETAS, LAMBDAS, LEARNING_RATES, PROMPTS, SAMPLES

FIRST = Question(
    "first",
    "An untrained policy has written {count} solutions, right and wrong ones. Now **the actor alone** makes one "
    "update. Which tokens become more likely?",
    (
        Option(
            "none",
            "None: nothing moves at all",
            f"The actor multiplies each token's ratio by its advantage, and advantages are read off log π − log "
            f"{symbol('reference')}. Before the first update that is 0 for every token, so is the {term('gradient')}. "
            f"Press it below: the table says 0.",
            is_right=True,
        ),
        Option(
            "right",
            "Those of the right solutions",
            "That is what GRPO would do: it multiplies by how far a reward lies above its group's mean, over the "
            "group's spread. VIMPO's actor has no reward in it, only advantages read off the policy, and these are "
            "all 0 before anything has moved.",
        ),
        Option(
            "likely",
            "Those that are likely already",
            "It does amplify, but what it amplifies is how far the policy has **moved away from its reference**, not "
            "how likely a token is. Nothing has moved yet, so there is nothing to amplify.",
        ),
        Option(
            "noise",
            "Random ones, as the advantages are noise at first",
            "Noise would need two different numbers to subtract. Policy and reference are the same network at the "
            "start, so every advantage is exactly 0, not nearly.",
        ),
    ),
)
QUESTIONS = (FIRST,)
EFFORT = Effort(words=490, words_on_press=180, looks=6, presses=7, formulas=2, wait_seconds=10)

RATE = Control("rate", "Learning rate", LEARNING_RATES, 1e-3, "Step size of Adam in every press.")
BETA = Control("beta", "β", BETAS, 0.1, "Reward per nat: how much reward a log-ratio stands for.")
COEF = Control("c_A", "c_A, weight of the actor", ACTOR_COEFS, 0.05, "Counts where both are stepped together.")
REACH = Control(
    "lambda",
    "λ, how far back a credit reaches",
    LAMBDAS,
    1.0,
    "A token is pushed by its own credit and those that follow, each times λ once more. 1: all of them; 0: its own "
    "alone.",
    kind="buttons",
)
CONTROLS = (RATE, BETA, COEF, REACH)

PLAN = Plan(
    aims=(
        "Say which of VIMPO's two losses knows the reward, and which does not.",
        "Follow one update from sampling to the moved tokens, with numbers.",
        "Explain why the actor is silent at first, and what it does later.",
    ),
    timings=(
        (2, "Read the two losses. Which of them has R in it?"),
        (3, "Predict what the actor alone does first; collect reasons."),
        (4, "Press the actor, then the value loss three times, then the actor again. What changed for it?"),
        (4, "λ 1 against λ 0: which tokens does the actor push? Which of them would you want pushed?"),
        (3, "Raise the learning rate or c_A, and let the class predict before each press."),
    ),
    asks=(
        (
            "The value loss pushes every token of a solution alike. Where does credit for single tokens come from "
            "then?",
            "Solutions share tokens and weights. A token that stands in right solutions and wrong ones is pushed both "
            "ways; one that stands only in wrong ones is pushed down each time.",
        ),
        (
            "Why is the actor worth having, if it knows no reward?",
            "It turns the credit that has been read off into a push on single tokens, which speeds up slow learning. "
            "Too strong, it runs away (chapter 6).",
        ),
    ),
    misconceptions=(
        (
            "The actor sees the reward.",
            "It sees advantages only, and these come from log-ratios. Press it first: nothing moves.",
        ),
        (
            "The value loss is a critic's loss.",
            "It is a loss on the policy's own log-ratios; descending it changes the policy.",
        ),
    ),
)


def numbers() -> dict[str, str]:
    """The size of the batch, and what another λ did to learning where that was measured."""
    found = verdicts.switch("lambda 0.9")
    return {"count": str(PROMPTS * SAMPLES), "prompts": str(PROMPTS), "samples": str(SAMPLES), "other_lambda": found}


def show(lesson: Lesson) -> None:
    levers.warm_up()
    lesson.text(
        "VIMPO trains one network, the {policy}, with two losses. Both see the {credit} of chapter 1: how far a "
        "{token}'s probability has moved from the frozen {reference}, in reward units. The {value} wants the credits "
        "of a solution to add up to its reward less its {mean}, and squares what is left: **the reward comes in "
        "here and nowhere else**. The {actor}'s loss pushes each token by its **advantage** A, its own credit and "
        "those that follow; **λ** says how far that reaches.",
        reference=symbol("reference", "reference"),
        value=symbol("value_loss", "value loss"),
        actor=term("actor"),
        credit=symbol("td_terms", "credit δ"),
        token=term("token"),
        mean=symbol("baseline", "group's mean"),
        policy=symbol("policy", "policy"),
    )
    st.latex(
        r"\begin{aligned} L &= L_V + c_A L_A \\"
        r" L_V &= \tfrac12\,\mathrm{mean}\bigl(\textstyle\sum_t \delta_t - (R - \bar R)\bigr)^2 \\"
        r" L_A &= \mathrm{mean}_t\Bigl(-\tilde A_t \, \tfrac{\pi(y_t)}{\pi_{\text{old}}(y_t)}\Bigr) \\"
        r" A_t &= \delta_t + \lambda\,\delta_{t+1} + \lambda^2 \delta_{t+2} + \dots \end{aligned}",
        width=780,
    )
    lesson.text(
        "({coef} weighs the actor. π over π_old: how likely the token is now against when it was written, {clipped}. "
        "Ã: A less its mean over the {batch}, over its spread.) Below you train by hand: {prompts} problems, {samples} "
        "solutions each, written by the untrained model. Every press is one real update of its network.",
        **numbers(),
        clipped=term("clipped"),
        coef=symbol("actor_coef"),
        batch=term("batch"),
    )
    if not lesson.predict(FIRST, **numbers()):
        return
    part(_press)(lesson)


def _press(lesson: Lesson) -> None:
    lesson.text(
        "**Try it in this order**: the actor; the value loss three times; the actor again. Then set **λ** to 0 and "
        "compare the last two rows."
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        reach = lesson.control(REACH)
        with st.popover("Other settings", icon=":material/tune:"):
            rate, beta, coef = (lesson.control(control) for control in (RATE, BETA, COEF))
    levers.show(rate, beta, coef, reach)
    lesson.text(
        "The lab trains with λ 1, so VIMPO pushes much as GRPO does; the single token is what one *reads off*. Does a "
        "shorter reach learn better? λ 0.9 was tried once, sampled accuracy against λ 1, {seeds} paired, with its "
        "{interval}: {other_lambda} ([all results](results?open=one-switch-at-a-time)).",
        **numbers(),
        seeds=term("seed", "seeds"),
        interval=term("interval"),
    )
    lesson.onward(see=("Train a whole run", routes.TRAIN, {}))
