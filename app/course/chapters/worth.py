"""Chapter 7, Is it worth it?: GRPO beside VIMPO on clean and on flipped rewards, equally tuned, with intervals."""

from __future__ import annotations

import streamlit as st

from app import cache, routes
from app.course.effort import Effort
from app.course.folding import fold
from app.course.interval_plot import Interval, interval_plot
from app.course.lesson import TEXT_WIDTH, Control, Lesson, Option, Plan, Question, symbol, term
from app.text import as_plain, as_sentence
from app.words import verdicts
from app.words.citation import PAPER_NOISY, PAPER_PARAMETERS
from app.words.verdicts import SOURCES, Match
from vimpo_core.config import TrainConfig
from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import percent

LIVE_STEPS = 40
"""Of the pair that the chapter trains: it is over within a minute."""
LIVE_FLIPS = 0.25
_PROBLEM = "course.worth.problem"

AHEAD = Question(
    "ahead",
    "A quarter of the rewards is flipped: right solutions earn 0, wrong ones 1. Both algorithms got equally many "
    "tuning trials and were trained with fresh seeds. Who then solves more test problems when every token is drawn by "
    "its probability, as in training: VIMPO with its credit for every token, or GRPO?",
    (
        Option(
            "vimpo",
            "VIMPO: its credit averages over noisy rewards",
            "{noisy} The paper does find VIMPO ahead on noisy rewards, {paper}, for a model of {paper_size} "
            "parameters and with the rewards of whole groups flipped together.",
            is_right=verdicts.who_leads(0.25) == "first",
        ),
        Option(
            "grpo",
            "GRPO: it spends nothing on staying near the reference",
            f"{{noisy}} Staying near the reference has its price: the Results page has the {term('kl')} of both.",
            is_right=verdicts.who_leads(0.25) == "second",
        ),
        Option(
            "open",
            "Neither, as far as these seeds can show",
            "{noisy} Where an interval holds 0, neither was shown to be better, and neither to be equally good.",
            is_right=verdicts.who_leads(0.25) == "open",
        ),
    ),
)
QUESTIONS = (AHEAD,)
EFFORT = Effort(words=490, words_on_press=120, looks=3, presses=3)

NOISE = Control(
    "flips",
    "Flipped rewards",
    tuple(SOURCES),
    0.25,
    "Share of the training rewards that are turned round, as a careless grader would.",
    label_of=percent,
)
CONTROLS = (NOISE,)

PLAN = Plan(
    aims=(
        "Read a paired difference with its interval, and say what it can show.",
        "Name what makes a comparison fair: equal tuning, fresh seeds, problems that tuning never saw.",
        "Weigh accuracy against what a readable credit is good for.",
    ),
    timings=(
        (2, "Collect opinions: is credit for every token worth it?"),
        (3, "Predict who is ahead with a quarter of the rewards flipped; collect reasons, then reveal."),
        (5, "Move the slider; for each share read both differences, sampled and greedy, with their intervals aloud."),
        (5, "Close: where would you use VIMPO all the same? What would you measure next? Hand in."),
    ),
    asks=(
        (
            "The mean difference is below 0, but the interval holds 0. What may one say?",
            "That these seeds cannot tell. Neither “worse” nor “equally good” was shown.",
        ),
        (
            "Sampled and greedy accuracy name different winners. Which of them counts?",
            "The one that was chosen before looking. Here tuning went by the sampled one; both are shown, so that "
            "nobody picks the kinder.",
        ),
        (
            "Why not tune on the test problems?",
            "Then the best of many tries is chosen by luck on those very problems, and the number flatters whoever "
            "tried most.",
        ),
    ),
    misconceptions=(
        (
            "The paper shows it, so it is so here.",
            "The paper trained a model of {paper_size} parameters. Here it is 143,000; a small world can differ, and "
            "says so.",
        ),
        (
            "One good run proves it.",
            "Seeds differ by several points. That is why there are at least five, and an interval.",
        ),
    ),
)


def numbers() -> dict[str, str]:
    """The measured differences in words."""
    return {
        "clean": _said(0.0),
        "noisy": _said(0.25),
        "paper": f"{PAPER_NOISY['VIMPO']} against {PAPER_NOISY['GRPO']}",
        "paper_size": PAPER_PARAMETERS,
    }


def show(lesson: Lesson) -> None:
    lesson.text(
        "VIMPO's credit can be read {token} by token, as how far each has moved from the {reference}. Does VIMPO also "
        "**learn better** than {grpo}, which pushes all tokens of a solution alike? Such questions are easily "
        "answered wrongly: tune your favourite longer, choose a good {seed}, look at the test problems while tuning. "
        "So the rules were written down before any result: equally many tuning trials, at least five fresh seeds, test "
        "problems that no training and no trial saw, differences paired by seed and problem, each with its "
        "{interval}.",
        grpo=symbol("grpo_advantages", "GRPO"),
        seed=term("seed"),
        token=term("token"),
        interval=term("interval"),
        reference=symbol("reference", "reference"),
    )
    if not lesson.predict(AHEAD, **numbers()):
        return
    lesson.text("#### The scoreboard")
    noise = lesson.control(NOISE)
    found = verdicts.match(noise)
    if found is None:
        st.info(
            f"Not measured yet at {percent(noise)} flipped rewards. `python -m vimpo_core experiment "
            f"experiments/{SOURCES[noise]}.toml --out docs/results/{SOURCES[noise]}` measures it."
        )
    else:
        _scoreboard(lesson, found)
    _close(lesson)


def _scoreboard(lesson: Lesson, found: Match) -> None:
    interval_plot(
        [_interval(side) for side in (found.second, found.first)],
        key="course.worth.plot",
        title=f"Share of {found.test_prompts} test problems solved after {found.steps} steps, sampled",
    )
    lesson.text(f"**{verdicts.difference(found)}**")
    lesson.text(
        f"**{verdicts.difference(found, verdicts.GREEDY)}** Greedy takes the likeliest token every time. The two need "
        "not agree: sampled accuracy pays for every token that is still left to chance, greedy accuracy does not. Both "
        "were declared before; tuning chose by the sampled one."
    )
    for warning in verdicts.warnings(found):
        said = as_plain(warning).replace("beta", symbol("beta", "beta")).replace("c\\_A", symbol("actor_coef"))
        st.caption(said, width=TEXT_WIDTH)
    if again := verdicts.matches_again(found.noise):
        _again(lesson, again)
    if (price := verdicts.price(found)) and (
        box := fold("What tuning tried, and what it cost", "price", width=TEXT_WIDTH)
    ):
        box.markdown(as_plain(price), width=TEXT_WIDTH)


def _again(lesson: Lesson, again: list[tuple[str, Match]]) -> None:
    often = {1: "once more", 2: "twice more"}.get(len(again), f"{len(again)} times more")
    if box := fold(f"Does it hold? It was asked {often}", "again", width=TEXT_WIDTH):
        with box:
            for words, other in again:
                said = f"{verdicts.difference(other)} {verdicts.difference(other, verdicts.GREEDY)}"
                lesson.text(f"**{words[0].upper()}{words[1:]}.** {said}")
            lesson.text(
                "One contest among several comes out large by luck, or because the rival was tuned less well, which no "
                "interval holds; so one asks twice."
            )


def _interval(side: verdicts.Side) -> Interval:
    return Interval(
        side.name, side.algorithm, side.mean, side.low, side.high, tuple(accuracy for _, accuracy, _ in side.seeds)
    )


def _close(lesson: Lesson) -> None:
    lesson.text(
        "#### So what is it good for?\nVIMPO's credit can be **read**, for every token, from one forward pass of the "
        "{policy} and one of its reference, without training a {critic}. (So can a GRPO-trained policy's: chapter 1.) "
        "The [Scorecard](scorecard?run=vimpo-beta-0.3) says how often it is right, and where plain {surprisal} beats "
        "it. The [Results](results) have every contest, also those where VIMPO lost; rewards, {actor} and model are "
        "not in all things the paper's: [what differs](notation#differences).",
        policy=symbol("policy", "policy"),
        critic=term("critic"),
        actor=term("actor"),
        surprisal=symbol("surprisal", "surprisal"),
    )
    clean, noisy = verdicts.match(0.0), verdicts.match(0.25)
    if (
        clean is not None
        and noisy is not None
        and (box := fold("Whose accuracy suffers more from flips?", "loss", width=TEXT_WIDTH))
    ):
        box.markdown(verdicts.loss_by_noise(clean, noisy)[1], width=TEXT_WIDTH)
    _live(lesson)
    lesson.onward()


def _live(lesson: Lesson) -> None:
    lesson.text(
        "**See such a training.** Both, {steps} steps, the same seed, {flips} of the rewards flipped. One pair shows "
        "what it looks like; it cannot show who is better.",
        steps=LIVE_STEPS,
        flips=percent(LIVE_FLIPS),
    )
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(as_sentence(problem), icon=":material/error:")
    if st.button("Train both with flipped rewards", icon=":material/play_arrow:"):
        _train()


def _train() -> None:
    """Queue the pair and show it on the Train page; where it cannot be queued a sentence says why."""
    runs = cache.runs_dir()
    configs = [
        TrainConfig(algorithm=algorithm, steps=LIVE_STEPS, reward_noise=LIVE_FLIPS) for algorithm in ("vimpo", "grpo")
    ]
    try:
        runs.submit(configs)
        runs.ensure_worker()
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)
        st.rerun()
    # Train shows the newest job; an address of its own would be two entries of the history.
    st.switch_page(routes.TRAIN)


def _said(noise: float) -> str:
    found = verdicts.match(noise)
    if found is None:
        return f"With {percent(noise)} flipped this is not measured yet, so neither was shown to be ahead."
    return verdicts.difference(found)
