"""Show me around: a tour of a page on its real controls. A step names what to try and is complete when it was done.

The address holds the step (`?tour=1` starts one), so that a link can begin a lesson. What was done is seen here, in
what the page shows before and after; what never leaves the browser (pointing at a curve) is seen there
(assets/components/tour/tour.js).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import state
from vimpo_core.types import RunState

Facts = Mapping[str, Any]
"""What a page shows, under the names that its steps ask for; None for what is not on it now."""

KEY = "tour"
FIRST_OF_A_RUN = 3
"""The step of the Train page's tour that a run already under way begins with."""

_BUTTON = "tour_begin"
_SEEN, _DONE, _ASKED = "tour.seen", "tour.done", "tour.asked"


@dataclass(frozen=True)
class Step:
    """One thing to try.

    target: CSS selector of what is ringed, looked for in the page and in every component's open shadow root.
    said: what has happened, once it is done.
    is_done: of the facts as last known and as they are now; None where the browser sees it.
    until: selector that matches, beside or inside the target, once it is done; "" where the page sees it.
    """

    title: str
    text: str
    said: str
    target: str
    is_done: Callable[[Facts, Facts], bool] | None = None
    until: str = ""


def _changed(name: str, *same: str) -> Callable[[Facts, Facts], bool]:
    """Whether a fact changed while the facts `same` did not. None: it was, or is, not on the page."""

    def is_done(before: Facts, now: Facts) -> bool:
        values = before.get(name), now.get(name)
        return (
            None not in values and values[0] != values[1] and all(before.get(other) == now.get(other) for other in same)
        )

    return is_done


_SOLUTION = ("run", "step", "solution")


def _opened(before: Facts, now: Facts) -> bool:
    return bool(now["section"]) and before.get("section") != now["section"]


def _started(before: Facts, now: Facts) -> bool:
    return now.get("job") is not None and before.get("job") != now["job"]


def _is_paused(before: Facts, now: Facts) -> bool:
    """A run that holds still already counts: its Pause button does nothing. Before its first step there is nothing to
    see.
    """
    return now.get("held_at") is not None


def _stepped(before: Facts, now: Facts) -> bool:
    """The run held still, ran for a moment that may have been seen, and holds still one step further."""
    return _changed("held_at", "job")(before, now) and now["held_at"] == before["held_at"] + 1


def _goes_on(before: Facts, now: Facts) -> bool:
    return now.get("state") in (RunState.RUNNING, RunState.FINISHED)


TOURS: dict[str, tuple[Step, ...]] = {
    "train": (
        Step(
            "Choose beta",
            "Beta says how much reward one nat of change in a token's log-probability stands for. Change it, say to "
            "0.2.",
            "Small beta: the policy learns, but its values are flat. Large beta: readable values, slower learning.",
            ".st-key-train-beta",
            _changed("beta"),
        ),
        Step(
            "Start",
            "VIMPO and GRPO train in turn, on the same seed and the same prompts. Press Play.",
            "The run goes on by itself, even when this tab is closed.",
            ".st-key-train-start",
            _started,
        ),
        Step(
            "Hold still",
            "Wait until the curves have begun, then press Pause: the run holds still after its step. Too early? Press "
            "Step once.",
            "Nothing is lost: Play goes on from here.",
            ".st-key-control_-material-pause-",
            _is_paused,
        ),
        Step(
            "Read the curves",
            "Point at a chart, or move to one with the Tab key and press an arrow key: all charts show the same step.",
            "VIMPO is drawn solid, GRPO dashed. The small i beside a title says what to make of the value.",
            ".curves .tile .plot",
            until='.curves[data-hover="yes"]',
        ),
        Step(
            "One step",
            "Press Step: sample, verify, credit, one update. The solutions of the new step appear beside the curves.",
            "The colours say which tokens were credited, blue for and orange against.",
            ".st-key-control_-material-skip_next-",
            _stepped,
        ),
        Step(
            "Go on",
            "Press Play. When the run ends, Look closer opens its newest solutions token by token.",
            "That is all. Stop ends a run early and keeps every finished step.",
            ".st-key-control_-material-play_arrow-",
            _goes_on,
        ),
    ),
    "inspect": (
        Step(
            "Select a token",
            "This is a solution that the model wrote, one step a line. Select a token, by a click or with the arrow "
            "keys.",
            "Blue and a solid line: credited. Orange and a dashed line: blamed. Red marks the first wrong token where "
            "it is known, violet dots the largest true drop once it was measured.",
            '.credit-view .strip-host[data-strip="lens"]',
            _changed("token", *_SOLUTION),
        ),
        Step(
            "Follow the value",
            "The value of the solution so far, as the policy implies it. Select the token where it falls or rises "
            "most: click in the curve, or use the arrow keys in the strip.",
            "Each token moves the value by its credit. What is missing at the end is the residual.",
            ".credit-view .left .curve .plot",
            _changed("token", *_SOLUTION),
        ),
        Step(
            "Colour by something else",
            "The tokens can show more than credit. Choose another quantity, for instance surprisal.",
            "A surprising token need not be a wrong one: compare it with the marked one. The strips apart from it "
            "are what GRPO and VIMPO push.",
            ".credit-view .toolbar .picker",
            _changed("lens"),
        ),
        Step(
            "Move beta",
            "Beta turns nats into reward. Move it: nothing is trained again, the same log-probabilities are read anew.",
            "Credit grows and shrinks with beta; which tokens stand out stays the same.",
            ".st-key-url-beta",
            _changed("beta"),
        ),
        Step(
            "Go back in training",
            "Move the step slider to the left, towards the untrained model.",
            "At step 0 policy and reference are the same, so every credit is exactly 0.",
            ".st-key-url-step",
            _changed("step", "run"),
        ),
        Step(
            "Another solution",
            "Each prompt was answered several times; their mean reward is where the value curve begins. Choose "
            "another one.",
            "Right answers, too, can hold blamed tokens, and wrong ones credited tokens.",
            ".st-key-url-sample",
            _changed("solution", "run", "step"),
        ),
        Step(
            "Is it right?",
            "Credit is a claim. Open one of these to check it, for instance against values found by trying.",
            "That is all. The address of this page holds everything you see: it can be sent to somebody else.",
            ".st-key-url-more",
            _opened,
        ),
    ),
}
"""page -> its steps, in order."""


def button(first: int = 1) -> None:
    """Offers the tour of this page, from step `first` on (counted from 1)."""
    st.button(
        "Show me around",
        key=_BUTTON,
        type="tertiary",
        icon=":material/signpost:",
        width="content",
        help="A short tour of this page. You try each thing yourself.",
        on_click=_go,
        args=(first, True),
    )


def is_running() -> bool:
    """Whether a tour runs, so that a part of a page which changes alone must rerun the page."""
    return "tour" in st.query_params


def show(page: str, facts: Facts) -> None:
    """Draw the step of the address, if one is asked for, and note what was done. Call once all of `facts` is up to
    date.
    """
    if not is_running():
        st.session_state.pop(_SEEN, None)
        return
    steps, notes = TOURS[page], []
    number = state.chosen("tour", range(1, len(steps) + 1), 1, notes, int)
    if not is_running():  # the address asked for a step that there is not
        state.put(tour=number)
    for note in notes:
        st.info(note)
    done = _done(page)
    known = {name: value for name, value in facts.items() if value is not None}
    before = st.session_state.get(_SEEN, {}).get(page, known)
    step = steps[number - 1]
    if step.is_done and step.is_done(before, facts):
        done.add(number)
    st.session_state[_SEEN] = {page: before | known}
    _draw(page, number, number in done)


def _draw(page: str, number: int, is_done: bool) -> None:
    from app.components.tour import tour  # read from disk only where a tour runs

    steps = TOURS[page]
    step = steps[number - 1]
    tour(
        {
            "number": number,
            "count": len(steps),
            "title": step.title,
            "text": step.text,
            "said": step.said,
            "target": step.target,
            "until": step.until,
            "done": is_done,
            "asked": st.session_state.get(_ASKED, 0),
            "button": f".st-key-{_BUTTON} button",
        },
        key=KEY,
        on_go=lambda: _go(st.session_state[KEY]["go"]),
        on_done=lambda: _done(page).add(st.session_state[KEY]["done"]),
    )


def _done(page: str) -> set[int]:
    """The numbers of the steps done on this page."""
    return st.session_state.setdefault(_DONE, {}).setdefault(page, set())


def _go(number: int | None, is_fresh: bool = False) -> None:
    """Callback: to another step, or out of the tour at 0. `is_fresh`: nothing counts as done."""
    if is_fresh:
        st.session_state.pop(_DONE, None)
    st.session_state[_ASKED] = st.session_state.get(_ASKED, 0) + 1
    state.put(tour=number or None)
