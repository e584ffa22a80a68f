"""The section "Is it right?" without a browser: stages that follow each other, cancelling, what is drawn and said."""

from concurrent.futures import Future

import numpy as np
import pytest
import streamlit as st
from pebble import ProcessExpired

from app import waiting
from app.inspector import truth
from tests.pages.opening import (
    Address,
    StubService,
    again,
    one,
    open_inspect,
    payload_with,
    press,
    widget,
    words,
)
from tests.support.fakes import make_fake_run
from vimpo_core.measure.truth import STAGES, PrefixValues, soft_value
from vimpo_core.mistake import Mistake
from vimpo_core.service import scoring
from vimpo_core.service.helper_process import Asked
from vimpo_core.service.scoring import PrefixTruth


class FakeService(StubService):
    """Keeps what it was asked for; `answers`: how many of the next requests are done at once."""

    def __init__(self):
        self.asked, self.futures, self.answers = [], [], 0

    def solution_truth(self, run_dir, step, prompt, solution, rollouts, ids, places=None):
        self.asked.append((run_dir.name, step, prompt, solution, ids, rollouts))
        self.places = places
        self.futures.append(Future())
        if self.answers:
            self.answers -= 1
            self.answer()
        return self.futures[-1]

    def answer(self):
        *_, ids, rollouts = self.asked[-1]
        tokens = len(ids) if self.places is None else len(self.places) - 1
        self.futures[-1].set_result(PrefixTruth(found(tokens, rollouts), found(tokens, rollouts)))


def found(tokens, rollouts):
    """Half succeed up to the middle of the solution, none after it."""
    t = np.arange(tokens + 1)[:, None]
    outcomes = (np.arange(rollouts) < rollouts // 2)[None] & (t <= tokens // 2)
    return PrefixValues(outcomes, np.arange(tokens + 1) == tokens)


@pytest.fixture
def trying(monkeypatch):
    monkeypatch.setattr(truth, "_PATIENCE_SECONDS", 0)
    fake = FakeService()
    monkeypatch.setattr(scoring, "scoring_service", lambda: fake)
    return fake


def drawn(at):
    return payload_with(at, "monte_carlo")


def open_truth(**query):
    return open_inspect(more="truth", group=0, sample=0, **query)


def test_it_says_how_many_questions_are_ahead_and_looks_the_less_often(runs, trying, monkeypatch):
    make_fake_run(runs.path, steps=10)
    ticks = []
    monkeypatch.setattr(truth, "part", lambda draw, run_every=None: ticks.append(run_every) or draw)
    at = open_truth()
    assert "Trying 16 times from every prefix…" in progress(at) and ticks == [waiting._TICK_SECONDS]
    behind = Asked(None, None, bool)
    behind.place = lambda: 30
    monkeypatch.setattr(FakeService, "solution_truth", lambda self, *args, **options: behind)
    at = open_truth(step=10)
    assert "Trying 16 times from every prefix, 30 questions ahead." in progress(at)
    assert ticks[-1] == pytest.approx(ticks[0] + 1.5)


def progress(at):
    return at.get("progress")[0].proto.text


def test_it_asks_for_nothing_until_it_is_opened(runs, trying):
    make_fake_run(runs.path, steps=10)
    open_inspect()
    assert not trying.asked


def test_sixteen_tries_are_drawn_then_the_stages_follow_by_themselves(runs, trying):
    run_id = make_fake_run(runs.path, steps=10)
    trace = runs.open(run_id).trace(10, 0, 0)
    at = open_truth(step=10)
    assert trying.asked == [
        (run_id, 10, trace.prompt_text, trace.completion_text, tuple(trace.ids.tolist()), STAGES[0])
    ]
    assert drawn(at) is None and any(b.label == "Cancel" for b in at.button)
    for done, coming in zip(STAGES, (*STAGES[1:], None), strict=True):
        trying.answer()
        again(at)
        payload = drawn(at)
        assert payload["rollouts"] == done and len(payload["monte_carlo"]["value"]) == len(trace.ids) + 1
        assert trying.asked[-1][-1] == (coming or STAGES[-1])
    assert f"256 tries from each of {len(trace.ids)} prefixes, by the policy and by the reference" in words(at)
    assert not any(b.label == "Cancel" for b in at.button) and len(trying.asked) == len(STAGES)
    at = open_truth(step=10)  # somebody else, later
    assert drawn(at)["rollouts"] == STAGES[-1] and len(trying.asked) == len(STAGES)


def test_cancel_keeps_what_was_found_and_go_on_resumes(runs, trying):
    make_fake_run(runs.path, steps=10)
    trying.answers = 1
    at = press(open_truth(step=10), "Cancel")
    assert trying.futures[-1].cancelled() and drawn(at)["rollouts"] == STAGES[0]
    assert "Cancelled before 64" in words(at)
    trying.answers = 2
    press(at, "Go on")
    assert drawn(at)["rollouts"] == STAGES[-1] and trying.asked[-1][-1] == STAGES[-1]


@pytest.mark.parametrize("error", [TimeoutError(), ProcessExpired("gone")])
def test_a_request_that_failed_was_not_cancelled_by_anybody(runs, trying, error):
    make_fake_run(runs.path, steps=10)
    at = open_truth(step=10)
    trying.futures[-1].set_exception(error)
    again(at)
    assert "Stopped before 16" in words(at) and "Cancelled" not in words(at)
    trying.answers = 1
    at = press(press(at, "Go on"), "Cancel")
    assert "Cancelled before 64" in words(at)


def test_beta_moves_the_curves_without_new_tries(runs, trying):
    make_fake_run(runs.path, steps=10)
    trying.answers = 3
    at = open_truth(step=10)
    before = drawn(at)
    widget(at.select_slider, "beta").set_value(0.5).run()
    after = drawn(at)
    assert len(trying.asked) == 3 and after["monte_carlo"] == before["monte_carlo"]
    assert after["soft"]["value"][0] == pytest.approx(float(soft_value(0.5, 0.5)), abs=1e-3)
    assert after["advantages"] != before["advantages"]


def test_the_token_of_the_address_is_the_cursor(runs, trying):
    make_fake_run(runs.path, steps=10)
    trying.answers = 3
    assert drawn(open_truth(step=10, token=4))["token"] == 4


def test_a_flipped_run_says_that_monte_carlo_does_not_flip(runs, trying):
    make_fake_run(runs.path, steps=10, reward_noise=0.25)
    trying.answers = 3
    at = open_truth(step=10)
    assert "In training 25 % of the rewards were flipped" in words(at) and "verifier's own" in words(at)
    assert "Log-probabilities recorded" in words(at)


def test_a_step_without_an_adapter_offers_the_nearest_kept_one(runs, trying):
    run_id = make_fake_run(runs.path, steps=10)
    trace = runs.open(run_id).trace(7, 0, 0)
    at = open_truth(step=7)
    assert not trying.asked and "Kept: 0, 5, 10." in words(at)
    trying.score_solution = lambda *_, **__: Future()  # Inspect scores what was typed
    press(at, "Look at this solution under step 5")
    assert (one(at.query_params["mode"]), one(at.query_params["step"])) == ("typed", "5")
    assert one(at.query_params["solution"]) == trace.completion_text


def test_a_run_without_snapshots_says_so(runs, trying):
    run_id = make_fake_run(runs.path, steps=4)
    with runs.open_writable(run_id) as store:
        store.compact(None, True, keep_snapshot_steps=set())
    assert "kept no adapter" in words(open_truth()) and not trying.asked


def test_a_refused_request_is_one_sentence_and_can_be_asked_again(runs, trying):
    make_fake_run(runs.path, steps=10)
    at = open_truth(step=10)
    trying.futures[-1].set_exception(Mistake("the adapter of step 10 does not match its checksum."))
    again(at)
    assert "The adapter of step 10 does not match its checksum." in words(at)
    trying.answers = 3
    press(at, "Go on")
    assert drawn(at)["rollouts"] == STAGES[-1]


@pytest.mark.parametrize(("view", "address"), [({"token": 3}, {"token": "3"}), ({"token": "<b>"}, {}), (None, {})])
def test_a_selected_token_goes_to_the_address(monkeypatch, view, address):
    query = Address({})
    monkeypatch.setattr(st, "query_params", query)
    monkeypatch.setattr(st, "session_state", {truth.KEY: {"view": view}})
    truth._remember()
    assert query == address


def test_of_a_long_solution_chosen_prefixes_are_tried_and_the_rest_is_missing(runs, trying, monkeypatch):
    monkeypatch.setattr(truth, "_is_long", lambda scene: True)
    make_fake_run(runs.path, steps=10)
    trying.answers = 3
    at = open_truth(step=10)
    payload = drawn(at)
    tried = [t for t, value in enumerate(payload["monte_carlo"]["value"]) if value is not None]
    assert tuple(tried) == trying.places and len(tried) < len(payload["text"]) + 1
    assert f"{len(tried) - 1} of {len(payload['text'])} prefixes were tried" in words(at)  # the whole one needs no try
    assert payload["stretches"]
    trying.answers = 3
    widget(at.segmented_control, "Prefixes to try").select("every")
    assert None not in drawn(again(at))["monte_carlo"]["value"]
    assert trying.places is None
