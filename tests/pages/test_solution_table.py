"""The table of solutions and two policies on one solution, without a browser."""

import pytest

from tests.pages.opening import StubService, open_inspect, payload_with, press, widget, words
from tests.support.fakes import make_fake_run
from vimpo_core.runs.store import RunStore
from vimpo_core.service import scoring as service


class FakeService(StubService):
    def score_solution(self, run_dir, step, prompt, solution, ids):
        return self.asked_for(run_dir.name, step, solution, ids)

    def read_now(self, run_dir, step, solutions, progress):
        return self.asked_for(run_dir.name, step, solutions)


@pytest.fixture
def scoring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(service, "scoring_service", lambda: fake)
    return fake


def columns(at):
    return payload_with(at, "columns")["columns"]


def test_the_step_or_the_run_is_listed_whole_and_the_solution_looked_at_is_marked(runs):
    make_fake_run(runs.path, steps=3)
    at = open_inspect(more="table", step=2, group=1, sample=2, only="missed", sort="-length")
    table = payload_with(at, "columns")
    traces = runs.open("vimpo-1").traces(2)
    assert table["current"] == "2/1/2" and table["only"] == "missed" and table["sort"] == {"key": "length", "way": -1}
    assert table["columns"]["length"] == [len(trace.text) for trace in traces]
    assert columns(open_inspect(more="table", rows="run"))["step"] == [step for step in range(4) for _ in traces]


def test_a_second_reading_is_not_recorded_until_it_is_asked_for(runs, scoring):
    make_fake_run(runs.path, steps=4, snapshot_every=2)
    make_fake_run(runs.path, steps=4, algorithm="grpo", snapshot_every=2)
    at = open_inspect(run="vimpo-1", more="table", step=3)
    assert set(columns(at)["other"]) == {None} and "no adapter of step 3 was kept" in words(at)
    press(at, "Read step 3 off GRPO")
    traces = runs.open("vimpo-1").traces(3)
    ((run_id, step, asked),) = scoring.asked
    assert (run_id, step) == ("grpo-2", 2) and [ids for _, _, ids in asked] == [tuple(t.ids.tolist()) for t in traces]
    scoring.future.set_result(traces)
    at.run()
    assert columns(at)["other"] == columns(at)["own"]
    assert not any(button.label == "Read step 3 off GRPO" for button in at.button)


def test_one_solution_stands_under_two_policies_of_steps_whose_adapter_was_kept(runs, scoring):
    make_fake_run(runs.path, steps=4, snapshot_every=2)
    at = open_inspect(
        **{"run": "vimpo-1", "more": "beside", "step": 4, "group": 0, "sample": 1, "token": 3, "beside-step": 3}
    )
    trace = runs.open("vimpo-1").traces(4)[1]
    assert scoring.asked == [("vimpo-1", 0, trace.completion_text, tuple(trace.ids.tolist()))]
    assert "beside-step '3', which is not there; showing 0 instead" in words(at)
    assert widget(at.select_slider, "Its step").options == ["0", "2"]  # 4 is what it stands beside
    scoring.future.set_result([trace.with_(logprob=trace.ref_logprob, kl=trace.kl * 0)])
    at.run()
    pair = payload_with(at, "differences")
    assert pair["short"] == ["step 4", "step 0"] and pair["token"] == 3
    assert pair["differences"]["td_terms"] == [-value for value in pair["sides"][0]["td_terms"]]


def test_a_run_without_adapters_says_so(runs, scoring):
    make_fake_run(runs.path, steps=2)
    make_fake_run(runs.path, steps=2, algorithm="grpo")
    with RunStore.open(runs.path / "grpo-2", writable=True) as store, store._transaction("test") as connection:
        connection.execute("DELETE FROM snapshots")
    assert "kept no adapter" in words(open_inspect(run="vimpo-1", more="beside"))
    assert "kept no adapter" in words(open_inspect(run="vimpo-1", more="table")) and not scoring.asked
