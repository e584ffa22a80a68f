"""The table of solutions and two policies on one solution, without a browser."""

import pytest

from tests.pages.opening import StubService, open_inspect, payload_with, press, words
from tests.support.fakes import make_fake_run
from vimpo_core.service import scoring as service


class FakeService(StubService):
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
