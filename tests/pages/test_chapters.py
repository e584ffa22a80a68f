"""Chapters 3 to 7 without a browser: right and wrong answers, hidden controls, and what is said where nothing is
measured.
"""

import json
from concurrent.futures import Future

import numpy as np
import pytest

from app.course import chapters
from app.course.chapters import goes_wrong, worth
from app.course.widgets import failures as failures_view
from app.course.widgets import levers as levers_view
from app.words import verdicts
from tests.pages.opening import again, open_page, payload_with, press, widget, words
from tests.support.fakes import make_fake_run
from vimpo_core import numbers
from vimpo_core.labs import failures
from vimpo_core.labs.levers import Levers, Moment, Pressed
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import RunsDir

NUMBER = {chapter.key: chapter.number for chapter in chapters.ALL}


@pytest.fixture(autouse=True)
def lab(monkeypatch, tmp_path):
    """A lab that presses at once by a rule of its own, and reproduces failures when the test tells it to."""
    stub = StubLab(tmp_path)
    for module in (levers_view, failures_view):
        monkeypatch.setattr(module, "lab_service", lambda: stub)
        module.warm_up.clear()
    failures_view._demonstrations_on.clear()
    return stub


class StubLab:
    def __init__(self, folder):
        make_fake_run(folder, steps=1)
        with RunsDir(folder).open("vimpo-1") as store:
            self.solutions = tuple(store.traces(0)[:8])
        self.asked, self.told, self.future = [], None, Future()

    def warm_up_levers(self):
        return Future()

    warm_up_failures = warm_up_levers

    def press(self, asked: Levers, timeout, asker, is_wanted):
        self.asked.append(asked)
        found = Future()
        found.set_result(
            Pressed(asked, self.solutions, self._moment(asked.presses[:-1]), self._moment(asked.presses), 0.1)
        )
        return found

    def _moment(self, presses):
        """Only the value loss moves anything here: by 0.1 nats a press."""
        moved = 0.1 * presses.count("v")
        width = max(len(t.ids) for t in self.solutions)

        def filled(value, more=0):
            return np.full((len(self.solutions), width + more), value, dtype=np.float32)

        return Moment(
            logprobs=filled(-1 + moved),
            kl=filled(0),
            td_terms=filled(0),
            values=filled(0.5, 1),
            advantages=filled(0),
            whitened=filled(0),
            whitened_at_0=filled(0),
            whitened_at_1=filled(0),
            residual=np.full(len(self.solutions), 0.25, dtype=np.float32),
            value_loss=0.1,
            actor_loss=0.0,
            clip_fraction=0.0,
        )

    def reproduce(self, key, seed, told, timeout, **who):
        self.told = told
        return self.future


def learn(key, **query):
    return open_page("learn", chapter=NUMBER[key], **query)


def commit(at, choice):
    widget(at.radio, "Your prediction").set_value(choice)
    return press(again(at), "Commit and see")


def labels(widgets):
    return {w.label for w in widgets}


@pytest.mark.parametrize("key", ["identity", "anchored", "levers", "goes_wrong", "worth"])
def test_every_answer_gets_its_own_reply_and_only_then_the_reveal(key):
    question = chapters.ALL[NUMBER[key] - 1].questions[0]
    replies = set()
    for option in question.options:
        at = learn(key)
        assert "Right." not in words(at) and "Not quite." not in words(at)
        at = commit(at, option.key)
        assert ("Right." if option.is_right else "Not quite.") in words(at)
        replies.add(next(m.value for m in at.markdown if "Right.**" in m.value or "Not quite.**" in m.value))
    assert len(replies) == len(question.options)


# ---- chapter 5


def test_the_levers_come_after_the_prediction(lab):
    at = learn("levers")
    assert "Step the actor" not in labels(at.button) and not lab.asked
    at = commit(at, "none")
    assert {"Step the value loss", "Step the actor", "Step both", "Undo", "Reset"} <= labels(at.button)
    assert "exactly 0" in words(at)


def test_presses_stand_in_the_address_and_are_replayed(lab):
    at = commit(learn("levers"), "none")
    at = press(at, "Step the actor")
    assert "moved nothing" in words(at)
    at = press(at, "Step the value loss")
    assert lab.asked[-1].presses == "av" and "of a token by 0.100 [nats]" in words(at)
    at = press(at, "Undo")
    assert "Pressed so far: the actor." in words(at)
    at = press(at, "Reset")
    assert "Nothing pressed yet" in words(at)


def test_a_link_brings_the_presses_and_a_wrong_one_is_said(lab):
    at = commit(learn("levers", press="vvv", rate="0.003"), "none")
    assert lab.asked[-1].presses == "vvv" and lab.asked[-1].learning_rate == 3e-3
    assert "the value loss 3 times" in words(at)
    at = commit(learn("levers", press="vx"), "none")
    assert "presses were dropped" in words(at) and "Nothing pressed yet" in words(at)


def test_slow_motion_walks_through_six_stages(lab):
    at = commit(learn("levers", press="v"), "none")
    assert "Next" not in labels(at.button)
    at = commit(learn("levers", press="v", more="slow"), "none")
    seen = []
    for _ in range(6):
        seen.append(words(at))
        if not widget(at.button, "Next").disabled:
            at = press(at, "Next")
    assert widget(at.button, "Next").disabled and len(set(seen)) == 6
    assert "probability" in str(payload_with(at, "rows")) or "log π" in str(payload_with(at, "rows"))


def test_a_lever_that_a_link_hides_keeps_its_value(lab):
    at = commit(learn("levers", hide="beta:0.3", beta="0.02"), "none")
    assert "beta" not in {s.label for s in at.select_slider} and lab.asked[-1].beta == 0.3


def test_chapter_5_sets_lambda_and_shows_the_push_at_both_ends(lab):
    def shown(at):
        return [row["label"] for row in payload_with(at, "rows")["rows"]]

    at = commit(learn("levers", batch=3, press="v"), "none")
    assert lab.asked[-1].gae_lambda == 1.0
    assert shown(at)[2:] == ["the actor pushes, λ 1", "it would, λ 0"]
    at = commit(learn("levers", batch=3, press="v", **{"lambda": "0.9"}), "none")
    assert lab.asked[-1].gae_lambda == 0.9
    assert shown(at)[2:] == ["it would, λ 1", "the actor pushes, λ 0.9", "it would, λ 0"]


def test_chapter_5_says_what_another_lambda_did_to_learning_as_it_was_measured(lab):
    assert verdicts.switch("lambda 0.9") in words(commit(learn("levers"), "none"))
    found = json.loads((verdicts.RESULTS / "switches" / "results.json").read_text())
    (arm,) = [arm for arm in found["blocks"][0]["arms"] if arm["name"] == "lambda 0.9"]
    assert verdicts.switch("lambda 0.9").startswith(numbers.points(arm["difference"]["sampled"]["mean"]))
    assert "not measured" in verdicts.switch("lambda 2")


# ---- chapter 6


def test_a_failure_is_drawn_as_it_comes_and_ends_with_its_verdict(lab):
    at = press(commit(learn("goes_wrong", failure="runaway"), "flat_learns"), "Show it")
    lab.told.tell({"plot": 0, "x": 3, "y": {"ill": 0.5, "well": 0.6}})
    at = again(at)
    assert payload_with(at, "plots")["plots"][0]["points"] == [{"x": 3, "y": [0.5, 0.6]}]
    assert "Cancel" in labels(at.button) and "Why." not in words(at)
    for x in range(4, 25):
        for plot in (0, 1):
            lab.told.tell({"plot": plot, "x": x, "y": {"ill": 0.0, "well": 0.6}})
    lab.future.set_result(None)
    at = again(again(at))
    assert "the mean reward began at 0.50 and fell to 0.00" in words(at) and "Way out." in words(at)


def test_a_second_reader_shares_the_demonstration(lab):
    press(commit(learn("goes_wrong", failure="runaway"), "flat_learns"), "Show it")
    other = commit(learn("goes_wrong", failure="runaway"), "flat_learns")
    assert "Show it" not in labels(other.button) and "Cancel" in labels(other.button)


def test_a_cancelled_demonstration_can_be_started_again(lab):
    at = press(commit(learn("goes_wrong", failure="runaway"), "flat_learns"), "Show it")
    at = again(press(at, "Cancel"))
    assert "Show it" in labels(at.button)


def test_a_demonstration_that_fails_says_one_sentence(lab):
    at = press(commit(learn("goes_wrong", failure="runaway"), "flat_learns"), "Show it")
    lab.future.set_exception(Mistake("no model at assets: config.json is missing. Make it."))
    at = again(again(at))
    assert any("config.json is missing" in w.value.replace("\\", "") for w in at.warning)


def test_every_failure_can_be_chosen():
    assert set(goes_wrong.FAILURE.found()) == set(failures.FAILURES) and len(failures.FAILURES) == 7


# ---- chapter 7


def test_what_is_not_measured_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(verdicts.match, "__defaults__", (tmp_path, False))
    at = commit(learn("worth", flips="0.4"), worth.AHEAD.options[0].key)
    assert "Not measured yet at 40 % flipped rewards" in words(at)


@pytest.mark.parametrize("key", ["flips"])
def test_the_share_of_flips_can_be_fixed_by_a_link(key):
    at = commit(learn("worth", hide="flips:0", flips="0.4"), "open")
    assert not at.select_slider
