"""Chapter 6, What goes wrong: seven failures, each reproduced by real training in seconds."""

from __future__ import annotations

import streamlit as st

from app import routes
from app.course.effort import Effort
from app.course.lesson import Control, Lesson, Option, Plan, Question, symbol, term
from app.course.widgets import failures
from vimpo_core.config import STABLE_BALANCE, safe_text
from vimpo_core.labs.failures import (
    FAILURES,
    FLAT_BETA,
    HEALTHY,
    LARGE_BETA,
    RUNAWAY_COEF,
    SEEDS,
    STABLE_COEF,
)

FLAT = Question(
    "flat",
    "Beta is made {times} times smaller, {beta} → {flat}, and nothing else changes. What happens to the values V, and "
    "what to learning?",
    (
        Option(
            "flat_learns",
            "V becomes flat, and it learns as well as before",
            f"Beta only sets the scale on which log-ratios are read as reward. The {term('gradient')} of the "
            f"{symbol('value_loss', 'value loss')} stays that of {term('reinforce')} with a "
            f"{symbol('baseline', 'group mean')}, so it learns; but beta times a few tenths of a nat is nothing to "
            "look at.",
            is_right=True,
        ),
        Option(
            "flat_stops",
            "V becomes flat, and so it learns nothing",
            f"Flat values say that little was **explained**, not that little was learned: at a small beta the "
            f"{symbol('value_loss', 'value loss')} has the {term('gradient')} of {term('reinforce')} with a "
            f"{symbol('baseline', 'group mean')}, and {term('adam')} makes up for its size. Show it below "
            "and read both curves.",
        ),
        Option(
            "same",
            "V stays as it was, and it learns more slowly",
            "V adds up beta times log-ratios. With beta {times} times smaller the log-ratios would have to grow "
            "{times} times for V to stay, and no policy moves that far in a few updates.",
        ),
        Option(
            "wild",
            "V swings wildly, and learning breaks",
            "That is the other end: a large beta makes every small move overshoot the reward. Show “Beta too large” "
            "below.",
        ),
    ),
)
QUESTIONS = (FLAT,)
EFFORT = Effort(words=260, words_on_press=150, looks=4, presses=2, wait_seconds=40)

FAILURE = Control(
    "failure",
    "What goes wrong",
    tuple(FAILURES),
    next(iter(FAILURES)),
    "Seven ways in which VIMPO, or the person who looks at it, goes astray.",
    kind="list",
    label_of=lambda key: FAILURES[key].title,
)
SEED = Control(
    "seed",
    "Seed",
    SEEDS,
    SEEDS[0],
    "Fixes problems and samples. What comes out with every seed is no accident.",
    kind="buttons",
)
CONTROLS = (FAILURE, SEED)

PLAN = Plan(
    aims=(
        "Recognise a failed run from two curves, and name the setting that did it.",
        "Tell a loss that says nothing from a gradient that is 0.",
        "Know the safe ranges: beta {safe_beta}, balance c_A / (0.4 T beta) at most {stable_balance}.",
    ),
    timings=(
        (1, "Predict what a tiny beta does."),
        (2, "Reveal; show “Beta too small” and read both curves."),
        (2, "Show “c_A too large”. Stop before the end: at which update would you have noticed?"),
        (2, "Show “Why is my loss 0?”. Let somebody explain it with the slow motion of chapter 5."),
        (1, "One more of the class's choice."),
    ),
    asks=(
        (
            "c_A {runaway} ran away and {stable} did not. What is the number to watch?",
            "The balance c_A / (0.4 T beta), and KL against accuracy: KL that climbs while the reward does not is the "
            "sign.",
        ),
        (
            "A colleague scores policy and reference in bf16. What do their first credits show?",
            "Rounding: some thousandths of a nat a token, as much as a policy moves in a careful first update.",
        ),
    ),
    misconceptions=(
        (
            "The loss must go down, or nothing is learned.",
            "A surrogate at ratio 1 with whitened advantages is 0 by construction. Watch the reward.",
        ),
        ("More groups are always better.", "Small groups agree by chance, and a group that agrees teaches nothing."),
    ),
)


def numbers() -> dict[str, str]:
    """The settings that the failures compare."""
    return {
        "beta": f"{HEALTHY.beta:g}",
        "flat": f"{FLAT_BETA:g}",
        "large": f"{LARGE_BETA:g}",
        "times": f"{HEALTHY.beta / FLAT_BETA:.0f}",
        "runaway": f"{RUNAWAY_COEF:g}",
        "stable": f"{STABLE_COEF:g}",
        "safe_beta": safe_text("beta"),
        "stable_balance": f"{STABLE_BALANCE:g}",
    }


def show(lesson: Lesson) -> None:
    failures.warm_up()
    lesson.text(
        "So far everything worked. Most first runs do not, and the curves look much alike: a flat line, a zero, a "
        "collapse. Here are seven ways to get there. Each is trained in front of you, with the real code, beside "
        "settings that work. First a prediction about {beta}, the price of a {nat}, and the values {values}.",
        beta=symbol("beta"),
        nat=term("nat"),
        values=symbol("values"),
    )
    if not lesson.predict(FLAT, **numbers()):
        return
    with st.container(horizontal=True, gap="medium"):
        key, seed = lesson.control(FAILURE), lesson.control(SEED)
    failures.show(key, seed)
    st.caption(
        "These trainings are short, one seed at a time: they show the mechanism. Where the edges lie stands under "
        "[Results](results?open=what-do-the-two-levers)."
    )
    lesson.onward(see=("Try it on the Train page", routes.TRAIN, {}))
