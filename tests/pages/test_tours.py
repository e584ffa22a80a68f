"""The tours without a browser: each step is complete when its action was done and not before, and no tour costs
nothing.
"""

import dataclasses

import pytest

from app.course import tours
from app.train import training
from tests.pages.opening import again, one, open_inspect, open_page, payload_with, press, widget
from tests.support.fakes import make_fake_run
from vimpo_core.types import RunState


def note(at):
    """What the tour draws, None where none runs."""
    return payload_with(at, "target")


def to_step(at, number):
    at.query_params["tour"] = str(number)
    return again(at)


def number_of(page, title):
    return next(n for n, step in enumerate(tours.TOURS[page], 1) if step.title == title)


@pytest.fixture
def inspected(runs):
    make_fake_run(runs.path, steps=6)
    return runs


# --- Inspect ---------------------------------------------------------------------------------------------------------


def go_to(**query):
    def act(at):
        for name, value in query.items():
            at.query_params[name] = str(value)
        return again(at)

    return act


def move(label, value):
    def act(at):
        widget(at.select_slider, label).set_value(value)
        return again(at)

    return act


def choose_solution(at):
    box = widget(at.selectbox, "Solution")
    box.set_value(next(i for i in range(4) if i != box.value))
    return again(at)


def open_section(at):
    widget(at.button_group, "Views of this solution").set_value("take")
    return again(at)


select_token = go_to(token=3)
INSPECT_ACTIONS = {
    "Select a token": select_token,
    "Follow the value": select_token,
    "Colour by something else": go_to(lens="kl"),
    "Move beta": move("beta", 0.3),
    "Go back in training": move("Training step", 2),
    "Another solution": choose_solution,
    "Is it right?": open_section,
}


def test_every_step_of_inspect_has_its_action():
    assert list(INSPECT_ACTIONS) == [step.title for step in tours.TOURS["inspect"]]


@pytest.mark.parametrize("title", INSPECT_ACTIONS)
def test_an_inspect_step_is_complete_after_its_action_and_no_other(inspected, title):
    number = number_of("inspect", title)
    action = INSPECT_ACTIONS[title]
    at = open_inspect(group=0, sample=0, token=1, tour=number)
    assert note(at)["title"] == title and not note(at)["done"]
    assert not note(again(at))["done"], "a rerun is no action"
    for name, other in INSPECT_ACTIONS.items():
        assert other is action or not note(other(at))["done"], name
    assert note(action(open_inspect(group=0, sample=0, token=1, tour=number)))["done"]


def test_a_step_stays_done_when_one_goes_on_and_comes_back(inspected):
    at = go_to(token=3)(open_inspect(token=1, tour=1))
    assert note(at)["done"]
    at = to_step(at, 2)
    assert not note(at)["done"], "the selection before this step does not count for it"
    assert note(to_step(at, 1))["done"]


def test_the_button_starts_the_tour_anew(inspected):
    at = go_to(token=3)(open_inspect(token=1, tour=1))
    at = to_step(at, 4)
    press(at, "Show me around")
    assert one(at.query_params["tour"]) == "1" and not note(at)["done"] and note(at)["asked"] == 1


@pytest.mark.parametrize("asked", ["0", "8", "-1", "nan", "<b>"])
def test_a_step_that_there_is_not_gets_a_sentence_and_the_first_one(inspected, asked):
    at = open_inspect(tour=asked)
    assert note(at)["number"] == 1 and one(at.query_params["tour"]) == "1"
    assert any("tour" in info.value for info in at.info)


def test_without_a_tour_nothing_of_it_is_drawn_or_read(inspected, monkeypatch):
    monkeypatch.setattr(tours, "_draw", None)
    for at in (open_inspect(token=2), open_page("train")):
        assert note(at) is None and "tour" not in at.query_params


# --- Train -----------------------------------------------------------------------------------------------------------


class Staged:
    """A finished run, shown as if it had made `steps` steps and were in `state`."""

    def __init__(self, runs, monkeypatch):
        self.state, self.steps = RunState.RUNNING, 2
        make_fake_run(runs.path, steps=6)
        self.job_id = runs.jobs()[0].job_id
        find = training.find_job

        def staged(job_id):
            job = find(job_id)
            sights = [dataclasses.replace(s, rows=s.rows[: self.steps + 1]) for s in job.sights]
            return dataclasses.replace(job, state=self.state, sights=sights)

        monkeypatch.setattr(training, "find_job", staged)

    def open(self, title):
        return open_page("train", job=self.job_id, tour=number_of("train", title))

    def then(self, at, **changes):
        for name, value in changes.items():
            setattr(self, name, value)
        return again(at)


@pytest.fixture
def staged(runs, monkeypatch):
    return Staged(runs, monkeypatch)


def type_number(at, label, value):
    widget(at.number_input, label).set_value(value)
    again(at)


def test_beta_counts_when_it_was_changed(runs):
    at = open_page("train", tour=number_of("train", "Choose beta"))
    assert not note(at)["done"]
    type_number(at, "Group size", 4)
    assert not note(at)["done"]
    type_number(at, "Beta", 0.2)
    assert note(at)["done"]


def test_start_counts_when_the_run_is_queued(runs):
    at = open_page("train", tour=number_of("train", "Start"))
    type_number(at, "Beta", 0.2)
    assert not note(at)["done"]
    press(at, "Play")
    assert runs.jobs() and note(at)["done"]


def test_pause_counts_when_the_run_holds_still(staged):
    at = staged.open("Hold still")
    assert not note(at)["done"]
    assert not note(staged.then(at, steps=3))["done"]
    assert not note(staged.then(at, steps=-1, state=RunState.PAUSED))["done"], "there are no curves yet"
    assert note(staged.then(at, steps=0))["done"]


def test_a_step_counts_when_it_was_made_while_the_run_held_still(staged):
    at = staged.open("One step")
    assert not note(staged.then(at, steps=3))["done"], "it was running"
    assert not note(staged.then(at, state=RunState.PAUSED))["done"]
    assert not note(staged.then(at, state=RunState.RUNNING))["done"], "the step is being made"
    assert note(staged.then(at, state=RunState.PAUSED, steps=4))["done"]


def test_playing_for_a_while_is_no_single_step(staged):
    staged.state = RunState.PAUSED
    at = staged.open("One step")
    staged.then(at, state=RunState.RUNNING, steps=4)
    assert not note(staged.then(at, state=RunState.PAUSED, steps=5))["done"]


def test_play_counts_when_the_run_goes_on(staged):
    staged.state = RunState.PAUSED
    at = staged.open("Go on")
    assert not note(at)["done"]
    assert note(staged.then(at, state=RunState.RUNNING))["done"]


def test_what_only_the_browser_sees_is_left_to_it(staged):
    at = staged.open("Read the curves")
    assert note(at)["until"] and not note(at)["done"]
    assert not note(staged.then(at, steps=3, state=RunState.PAUSED))["done"]


@pytest.mark.parametrize("page", tours.TOURS)
def test_a_step_is_seen_by_the_page_or_by_the_browser_and_never_by_both(page):
    for step in tours.TOURS[page]:
        assert bool(step.is_done) != bool(step.until), step.title
        assert 20 < len(step.text) < 190 and step.text.endswith("."), step.title
        assert step.said.endswith("."), step.title
