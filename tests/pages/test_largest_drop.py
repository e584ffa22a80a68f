"""Inspect and Scorecard where no step verifier knows the first wrong token: nothing pretends to, and the largest true
drop stands for it once it was measured.
"""

import pytest

from tests.app.words.test_findings import report
from tests.pages.opening import StubService, again, open_page, payloads, press, widget, words
from tests.support.fakes import made_anew, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.measure.instructive import KINDS
from vimpo_core.service import scoring
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.types import Drop

CLEAR = Drop(2, 0.5, 0.4, 0.6, 0.75, 0.25, 64, 9, 900)
NOISE = Drop(1, 0.02, -0.1, 0.14, 0.5, 0.48, 64, 9, 900)


class FakeService(StubService):
    def largest_drop(self, run_dir, step, prompt, solution, tries, ids, starts, progress):
        self.progress = progress
        return self.asked_for(run_dir.name, step, prompt, solution, tries, ids)

    def shared_report(self, run_dir, step, which, solutions, rollouts, seed, progress):
        self.progress = progress
        return self.asked_for(run_dir.name, step, which, solutions, rollouts, seed)

    def answered(self, at, found):
        self.progress.close()
        self.future.set_result(found)
        return again(at)


@pytest.fixture
def measuring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(scoring, "scoring_service", lambda: fake)
    monkeypatch.setattr(scoring, "scorecard_service", lambda: fake)
    return fake


@pytest.fixture
def no_steps(runs, monkeypatch):
    """A run whose task does not say where a solution first goes wrong."""
    monkeypatch.setattr(ChainTask, "verifies_steps", False)
    monkeypatch.setattr(ChainTask, "first_wrong", lambda self, problem, completion: None)
    run = made_anew(runs.path, TrainConfig(steps=10))
    assert all(t.first_wrong is None for t in runs.open(run).traces(10))
    return run


def drawn(at):
    return next(p for p in payloads(at) if "arrays" in p)


def test_the_drop_is_measured_at_a_press_then_named_marked_and_selected(no_steps, measuring):
    at = press(open_page("inspector"), "First failed one")
    assert drawn(at)["first_wrong"] is None and drawn(at)["largest_drop"] is None
    said = words(at)
    assert "At most" in said and "irst wrong" not in said
    at = press(at, "Find the largest true drop")
    ((run, step, *_, tries, ids),) = measuring.asked
    assert (run, step, tries) == (no_steps, 10, 64) and ids and widget(at.button, "Cancel")
    at = measuring.answered(at, CLEAR)
    found = drawn(at)
    assert (found["largest_drop"], found["token"], found["first_wrong"]) == (2, 2, None)
    assert found["note"] == "true drop 0.75 to 0.25"
    said = words(at)
    assert "largest true drop #2" in said and "−0.50, 95% −0.60 to −0.40" in said and "irst wrong" not in said
    assert widget(at.button, "Refine the drop to 256 tries")


def test_where_no_drop_is_above_noise_the_page_says_so_and_marks_nothing(no_steps, measuring):
    at = press(press(open_page("inspector"), "First failed one"), "Find the largest true drop")
    at = measuring.answered(at, NOISE)
    assert "no true drop above noise: the largest, at #1" in words(at)
    assert drawn(at)["largest_drop"] is None


def test_measuring_a_drop_can_be_cancelled(no_steps, measuring):
    at = press(open_page("inspector"), "Find the largest true drop")
    at = press(at, "Cancel")
    assert "Cancelled: the largest true drop was not measured." in words(at)
    assert widget(at.button, "Find the largest true drop")


def test_a_task_that_verifies_steps_offers_no_drop(runs, measuring):
    make_fake_run(runs.path, steps=10)
    at = open_page("inspector")
    assert widget(at.button, "First wrong one")
    assert not any("drop" in button.label for button in at.button)


def test_the_table_of_every_rule_ranks_the_largest_true_drop(no_steps, measuring):
    at = press(press(open_page("inspector", more="rules"), "First failed one"), "Find the largest true drop")
    at = measuring.answered(at, CLEAR)
    table = next(m.value for m in at.markdown if "| Rule |" in m.value)
    assert "Largest true drop ranks" in table and "irst wrong" not in table


def test_a_scorecard_names_what_it_measures_against(no_steps, measuring):
    at = open_page("scorecard")
    assert "style" not in {str(option) for option in widget(at.segmented_control, "Solutions").options}
    entry = {
        "prompt": "2+7*3=",
        "gold": "23",
        "solution": "9*3;27.",
        "tokens": list("9*3;27."),
        "line_starts": [0],
        "credit": [-0.5, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0],
        "first_wrong": None,
        "largest_drop": 2,
        "found": {
            name: {"token": 0, "place": 3.0}
            for name in ("implied_advantage", "surprisal_policy", "surprisal_reference")
        },
    }
    made = report(
        n_solutions=200,
        solutions=256,
        target="largest true drop",
        n_wrong=256,
        drop_tries=64,
        drop_rollouts=98765,
        mean_drop=0.4,
        instructive={**{kind: [] for kind in KINDS}, "misses": [entry]},
    )
    at = measuring.answered(at, made)
    said = words(at)
    assert "This task judges answers, not steps" in said and "200 wrong solutions with a true drop above noise" in said
    listed = next(p for p in payloads(at) if "problems" in p)
    assert listed["heading"] == "Implied credit does not point at the largest true drop, the farthest off first"
    solution = listed["problems"][0]["solutions"][0]
    assert (solution["strip"]["firstWrong"], solution["strip"]["mark"]) == (2, "drop")
    assert "largest true drop #2 in place 3" in solution["verdict"] and "token=2" in solution["href"]
