"""The film strip section without a browser: what is asked for, drawn and said; the fork form under it."""

import pytest
import streamlit as st

from app.inspector import film, sections
from tests.pages.opening import Address, StubService, again, open_inspect, payload_with, press, widget
from tests.support.fakes import make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.service import scoring as service
from vimpo_core.service.film import Film


class FakeService(StubService):
    def film_solution(self, run_dir, prompt, solution, ids):
        return self.asked_for(run_dir.name, prompt, solution, ids)

    def draw_gif(self, *settings, progress):
        return self.asked_for(*settings)


@pytest.fixture
def scoring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(service, "scoring_service", lambda: fake)
    return fake


def drawn(at):
    return payload_with(at, "frames")


def frames_of(runs, run_id, steps):
    """Frames as the service makes them: the same tokens at every step, in no group."""
    trace = runs.open(run_id).trace(10, 0, 0)
    return [trace.with_(step=step, group_mean_reward=float("nan")) for step in steps]


def open_film(**query):
    return open_inspect(more="film", group=0, sample=0, **query)


def finish(at, runs, scoring, run_id, steps=(0, 5, 10), problems=None):
    scoring.future.set_result(Film(frames_of(runs, run_id, steps), problems or {}))
    return again(at)


def test_it_is_offered_below_the_credit_view_and_asks_for_nothing_until_it_is_opened(runs, scoring):
    make_fake_run(runs.path, steps=10)
    open_inspect()
    assert sections.SECTIONS["film"] == "Film strip" and not scoring.asked


def test_the_film_of_the_solution_is_asked_for_once_and_drawn(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    trace = runs.open(run_id).trace(10, 0, 0)
    at = open_film(step=10)
    assert scoring.asked == [(run_id, trace.prompt_text, trace.completion_text, tuple(int(i) for i in trace.ids))]
    assert any(b.label == "Cancel" for b in at.button) and drawn(at) is None
    finish(at, runs, scoring, run_id)
    payload = drawn(at)
    assert [frame["step"] for frame in payload["frames"]] == [0, 5, 10]
    assert (payload["step"], payload["text"], payload["lens"]) == (10, list(trace.text), "td_terms")
    at = open_film(step=10)  # somebody else, later
    assert drawn(at)["frames"] == payload["frames"] and len(scoring.asked) == 1


def test_the_link_names_step_token_and_lens(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=10, film=5, token=2, lens="kl"), runs, scoring, run_id)
    payload = drawn(at)
    assert (payload["step"], payload["token"], payload["lens"]) == (5, 2, "kl")
    assert not at.info


def test_the_film_is_drawn_as_a_gif_at_a_press_and_can_be_cancelled(runs, scoring, monkeypatch):
    drawing = FakeService()
    monkeypatch.setattr(film, "drawing_service", lambda: drawing)
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=10, lens="kl"), runs, scoring, run_id)
    assert not drawing.asked
    press(at, "Film as GIF")
    (asked,) = drawing.asked
    assert asked[1] == "kl" and run_id in asked[4]["facts"][0] and asked[5] == "light"
    press(at, "Cancel")
    assert drawing.future.cancelled() and any("no film was written" in note.value for note in at.info)
    press(at, "Try again")
    press(at, "Film as GIF")
    drawing.future.set_result(b"GIF89a" * 1000)
    again(at)
    assert [button.label for button in at.get("download_button")] == ["Download the film (6 kB)"]


def test_a_step_without_a_frame_falls_back_with_a_note(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=7, film=6), runs, scoring, run_id)
    assert drawn(at)["step"] == 5  # the newest frame that is not after the solution's own step
    assert "film '6'" in at.info[0].value.replace("\\", "") and "film" not in at.query_params


@pytest.mark.parametrize(
    ("asked", "shown"), [("values", "values_from_end"), ("grpo", "td_terms"), ("entropy", "entropy")]
)
def test_a_lens_that_needs_a_group_gives_way_to_the_nearest(runs, scoring, asked, shown):
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=10, lens=asked), runs, scoring, run_id)
    assert drawn(at)["lens"] == shown


def test_a_damaged_snapshot_is_said_and_the_others_are_shown(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    said = "the adapter of step 5 does not match its checksum. Use another step."
    at = finish(open_film(step=10), runs, scoring, run_id, steps=(0, 10), problems={5: said})
    assert [w.value.replace("\\", "") for w in at.warning] == [said.replace("the", "The", 1)]
    assert [frame["step"] for frame in drawn(at)["frames"]] == [0, 10]


def test_a_run_without_snapshots_says_so_and_asks_for_nothing(runs, scoring):
    run_id = make_fake_run(runs.path, steps=4)
    with runs.open_writable(run_id) as store:
        store.compact(None, True, keep_snapshot_steps=set())
    at = open_film()
    assert any("kept no adapter" in info.value for info in at.info) and not scoring.asked


def test_after_a_cancel_it_can_be_tried_again(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = press(open_film(step=10), "Cancel")
    at.run()
    assert any("Cancelled" in info.value for info in at.info)
    press(at, "Try again")
    assert len(scoring.asked) == 2


@pytest.mark.parametrize(
    ("selection", "address"),
    [
        ({"step": 5}, {"film": "5"}),
        ({"step": 5, "token": 3}, {"film": "5", "token": "3"}),
        ({"lens": "entropy"}, {"lens": "entropy"}),
        ({"lens": "td_terms"}, {}),
        ({"step": "<b>", "token": None, "lens": "EVIL"}, {}),
    ],
)
def test_what_was_changed_in_the_browser_goes_to_the_address(monkeypatch, selection, address):
    query = Address({})
    monkeypatch.setattr(st, "query_params", query)
    monkeypatch.setattr(st, "session_state", {film.KEY: {"view": selection}})
    film._remember()
    assert query == address


# --- the fork form ---------------------------------------------------------------------------------------------------


def test_the_form_makes_a_fork_with_the_typed_settings_and_leads_to_train(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=10, film=5), runs, scoring, run_id)
    beta = [n for n in at.number_input if n.label == "Beta"][-1]
    beta.set_value(0.25).run()
    press(at, "Train on from step 5")
    (job,) = [job for job in runs.jobs() if run_id not in job.run_ids]
    fork = runs.open(job.run_ids[0])
    assert (fork.config().beta, fork.last_step(), fork.header()["fork"]["step"]) == (0.25, 5, 5)
    assert fork.header()["fork"]["optimizer"] == "replay"


def test_at_the_end_of_a_run_the_form_offers_more_steps(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=10), runs, scoring, run_id)
    assert widget(at.number_input, "Steps, the past included").value == 60


def test_what_cannot_be_forked_is_said_beside_the_button(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = finish(open_film(step=10, film=5), runs, scoring, run_id)
    widget(at.number_input, "Steps, the past included").set_value(3).run()
    press(at, "Train on from step 5")
    assert "steps must be more than the fork" in at.warning[-1].value.replace("\\", "").lower()
    assert len(runs.jobs()) == 1


def test_a_fork_says_where_it_comes_from(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    runs.fork(run_id, 10, TrainConfig(steps=20), "fresh")
    at = finish(open_film(run="vimpo-2", step=10), runs, scoring, run_id)
    assert any("a fork of VIMPO beta 0.1, seed 0" in c.value.replace("\\", "") for c in at.caption)
