"""The address bar: one press is one entry of the history, floats come back as they were, the menu loses no choice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st_numbers

from app import state
from tests.pages.opening import again, one, open_inspect, open_page, payload_with, press, widget
from tests.support.fakes import make_fake_run
from vimpo_core.types import RunState


@given(st_numbers.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_from_the_address_as_the_very_same_number(value):
    assert float(state.text_of(value)) == value


def test_short_numbers_stay_short_in_the_address():
    assert [state.text_of(v) for v in (0.1, 1e-5, 2.0, 3, "own")] == ["0.1", "1e-05", "2", "3", "own"]


BETA = 0.10666666666666667


@pytest.mark.parametrize("text", ["0.106667", "0.10666666666666667"])
def test_a_shortened_beta_in_a_link_is_the_runs_own(runs, text):
    run_id = make_fake_run(runs.path, beta=BETA, steps=4)
    at = open_inspect(run=run_id, beta=text)
    slider = widget(at.select_slider, "beta")
    assert slider.value == BETA and sum("as trained" in option for option in slider.options) == 1
    assert payload_with(at, "arrays")["beta"] == BETA


def test_a_quick_pick_writes_the_address_once(runs, monkeypatch):
    make_fake_run(runs.path, steps=10)
    at = open_inspect(group=2, sample=1, token=3)
    sent = []
    send = state.st.query_params.__class__.from_dict
    monkeypatch.setattr(
        state.st.query_params.__class__,
        "from_dict",
        lambda self, new: (sent.append(dict(new)), send(self, new))[1],
    )
    press(at, "First wrong one")
    assert len(sent) == 1 and {"group", "sample", "token"} <= sent[0].keys()


def test_a_press_that_brings_the_address_from_before_the_last_one_undoes_nothing(runs):
    make_fake_run(runs.path, steps=10)
    at = open_inspect(step=10)
    widget(at.select_slider, "Training step").set_value(5)
    again(at)
    at.query_params["step"] = "10"  # the browser was not yet told
    press(at, "First wrong one")
    assert one(at.query_params["step"]) == "5" and one(at.query_params["group"])


@pytest.mark.parametrize(
    "page, query",
    [
        ("inspector", {"step": "5", "group": "1", "sample": "2"}),
        ("compare", {"runs": "vimpo-1", "smooth": "5"}),
        ("runs", {"runs": "vimpo-1"}),
        ("scorecard", {"set": "own", "step": "5"}),
    ],
)
def test_the_menu_leads_back_to_a_page_as_it_was_left(runs, monkeypatch, page, query):
    from tests.pages.test_scorecard import FakeService
    from vimpo_core.service import scoring

    monkeypatch.setattr(scoring, "scorecard_service", FakeService)
    make_fake_run(runs.path, steps=10)
    make_fake_run(runs.path, steps=10, algorithm="grpo")
    at = open_page(page, **query)
    at.switch_page("../pages/notation.py")
    again(at)
    at.query_params.clear()  # as the menu does
    at.switch_page(f"../pages/{page}.py")
    again(at)
    assert {name: one(at.query_params[name]) for name in query} == query


def test_a_link_beats_what_the_page_last_showed(runs):
    make_fake_run(runs.path, steps=10)
    at = open_inspect(step=5)
    at.switch_page("../pages/notation.py")
    again(at)
    at.query_params.clear()
    at.query_params["step"] = "10"
    at.switch_page("../pages/inspector.py")
    again(at)
    assert one(at.query_params["step"]) == "10" and widget(at.select_slider, "Training step").value == 10


def test_what_is_unticked_stays_unticked(runs):
    run_id = make_fake_run(runs.path, steps=4)
    at = open_page("runs", runs=run_id)
    assert payload_with(at, "groups")["runs"] == run_id
    at.query_params.clear()  # as the list writes it
    again(at)
    at.switch_page("../pages/notation.py")
    again(at)
    at.switch_page("../pages/runs.py")
    again(at)
    assert payload_with(at, "groups")["runs"] == "" and "runs" not in at.query_params


def test_a_runs_label_does_not_change_while_it_trains(runs):
    run_id = make_fake_run(runs.path, steps=10)
    with runs.open_writable(run_id) as store:
        labels = set()
        for now in (RunState.RUNNING, RunState.PAUSED, RunState.FINISHED):
            store.set_state(now)
            state.st.cache_data.clear()
            labels.add(tuple(widget(open_inspect().selectbox, "Run").options))
    assert len(labels) == 1
