"""The Scorecard page without a browser: what is measured, said and linked; seeds together; what cannot be measured."""

from concurrent.futures import Future
from urllib.parse import parse_qs, urlparse

import pytest

from tests.app.words.test_findings import numbers, report
from tests.pages.opening import StubService, again, open_page, payloads, press, widget, words
from tests.support.fakes import make_fake_run
from vimpo_core.measure.instructive import KINDS
from vimpo_core.measure.scorecard import SETS
from vimpo_core.service import scoring

ENTRY = {
    "prompt": "2+7*3=",
    "gold": "23",
    "solution": "9*3;27.",
    "tokens": list("9*3;27."),
    "line_starts": [0, 4],
    "credit": [-0.5, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0],
    "first_wrong": 0,
    "found": {
        "implied_advantage": {"token": 0, "place": 1.0},
        "surprisal_policy": {"token": 4, "place": 3.0},
        "surprisal_reference": {"token": 4, "place": 2.5},
    },
}


class FakeService(StubService):
    def shared_report(self, run_dir, step, which, solutions, rollouts, seed, progress):
        progress.tell(1, 4)
        self.progress = progress
        return self.asked_for(run_dir.name, step, which, solutions, rollouts, seed)

    def answer(self, **changes):
        run_id, step, which, solutions, rollouts, seed = self.asked[-1]
        self.progress.close()
        made = report(
            run_id=run_id,
            step=step,
            set=which,
            solutions=solutions,
            n_solutions=solutions,
            rollouts=rollouts,
            seed=seed,
            instructive={**{kind: [] for kind in KINDS}, "disagreement": [ENTRY]},
        )
        self.future.set_result(made | changes)


@pytest.fixture
def measuring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(scoring, "scorecard_service", lambda: fake)
    return fake


def open_card(**query):
    return open_page("scorecard", **query)


def answered(at, measuring, **changes):
    measuring.answer(**changes)
    return again(at)


def test_an_empty_folder_says_the_next_step(runs, measuring):
    assert "make-demos" in words(open_card()) and not measuring.asked


def test_the_newest_snapshot_is_measured_on_the_fixed_set_with_progress(runs, measuring):
    run_id = make_fake_run(runs.path, steps=10)
    at = open_card()
    assert measuring.asked == [(run_id, 10, "fixed", 256, 64, 0)]
    assert any(b.label == "Cancel" for b in at.button)
    assert "25 % after" in str(at.get("progress")[0].proto)
    answered(at, measuring)
    assert "Where it wins" in words(at) and "wrong solutions are few" not in words(at)
    assert at.code[0].value == (
        f"python -m vimpo_core truth {run_id} --step 10 --set fixed --solutions 256 --rollouts 64 --seed 0 --json"
    )
    open_card()  # somebody else, later
    assert len(measuring.asked) == 1


def test_a_quick_measurement_says_that_its_solutions_are_few(runs, measuring):
    make_fake_run(runs.path, steps=10)
    at = answered(open_card(solutions=64), measuring)
    assert "64 wrong solutions are few" in words(at)


def test_a_link_opens_the_same_measurement(runs, measuring):
    run_id = make_fake_run(runs.path, steps=10)
    open_card(run=run_id, step=5, set="own", solutions=256, rollouts=256)
    assert measuring.asked == [(run_id, 5, "own", 256, 256, 0)]


def test_where_implied_credit_loses_is_said_plainly(runs, measuring):
    make_fake_run(runs.path, steps=10)
    lead = report()["lead_of_implied"] | {"surprisal_policy": numbers(-0.1, -0.2, -0.05, "top1", "top3", "auc")}
    said = words(answered(open_card(), measuring, lead_of_implied=lead))
    assert "Where implied credit loses" in said and "less well than surprisal of the policy" in said
    assert "pearman" not in said


def test_flipped_rewards_are_named(runs, measuring):
    make_fake_run(runs.path, steps=10)
    assert "In this run's training 25 % of the rewards were flipped" in words(
        answered(open_card(), measuring, reward_noise=0.25)
    )


def test_each_instructive_solution_opens_in_inspect_at_its_first_wrong_token(runs, measuring):
    run_id = make_fake_run(runs.path, steps=10)
    at = answered(open_card(step=5), measuring)
    listed = payloads(at)
    assert [one["heading"] for one in listed] == [KINDS["disagreement"]]
    solution = listed[0]["problems"][0]["solutions"][0]
    assert solution["verdict"] == "points at #0, the first wrong one"
    assert solution["reward"] == "policy surprisal: points at #4; first wrong #0 in place 3"
    link = urlparse(solution["href"])
    assert link.path == "inspect"
    assert {name: value for name, (value,) in parse_qs(link.query).items()} == {
        "run": run_id,
        "step": "5",
        "mode": "typed",
        "problem": "2+7*3=",
        "solution": "9*3;27.",
        "token": "0",
        "more": "truth",
    }


def test_runs_that_differ_in_the_seed_alone_are_offered_together(runs, measuring):
    first = make_fake_run(runs.path, steps=10, seed=0)
    second = make_fake_run(runs.path, steps=10, seed=1)
    make_fake_run(runs.path, steps=10, seed=2, beta=0.3)
    at = answered(open_card(run=second), measuring)
    widget(at.toggle, "All 2 seeds together").set_value(True).run()
    assert [asked[0] for asked in measuring.asked] == [second, first]
    answered(at, measuring)
    assert "Over 2 seeds the AUC of implied credit" in words(at) and "lowest and highest seed" in words(at)
    assert f"Of run {second} (seed 1) alone, not of all seeds" in words(at)
    assert f"Run {second} alone: " in words(at)  # what is said of one run is not taken for that of both
    assert at.code[0].value.count("python -m vimpo_core truth") == 2
    assert open_card(run=second, seeds="all").code[0].value.count("truth") == 2


def test_a_run_of_its_own_kind_offers_no_seeds(runs, measuring):
    make_fake_run(runs.path, steps=10)
    assert not open_card().toggle


def test_after_a_cancel_it_can_be_measured_again(runs, measuring):
    make_fake_run(runs.path, steps=10)
    at = press(open_card(), "Cancel")
    at.run()
    assert "Cancelled: nothing was measured." in words(at)
    press(at, "Measure")
    assert len(measuring.asked) == 2


@pytest.mark.parametrize("which", SETS)
def test_a_bundled_run_shows_its_kept_numbers_and_measures_nothing(tmp_path, monkeypatch, measuring, which):
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(tmp_path))
    at = open_card(set=which)
    assert not measuring.asked and "256 wrong solutions with a known first wrong token" in words(at)
    open_card(set=which, rollouts=256)
    assert len(measuring.asked) == 1


def test_the_same_mistakes_of_the_bundled_runs_are_shown_at_once_and_compared_in_words(
    tmp_path, monkeypatch, measuring
):
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(tmp_path))
    at = open_card(run="vimpo-beta-0.3", set="same")
    assert not measuring.asked and "768 wrong solutions to" in words(at)
    assert "Whose mistakes they are matters more than who reads them" in words(at)
    assert "δ off VIMPO β 0.3 finds the first wrong token better than δ off GRPO" in words(at)
    assert "less well than surprisal of VIMPO β 0.3" in words(at)
    assert at.code[0].value == (
        "python -m vimpo_core truth vimpo-beta-0.3 --step 100 --set same --with grpo vimpo-beta-0.1 --solutions 256 "
        "--seed 0 --json"
    )
    assert "with= that cannot be compared" in words(open_card(run="grpo", set="same", **{"with": "smollm2-vimpo"}))


def test_the_same_mistakes_are_asked_of_the_run_and_of_those_that_the_link_names_else_of_another_rule(
    runs, measuring, monkeypatch
):
    own, twin = (make_fake_run(runs.path, steps=10, seed=seed) for seed in (0, 1))
    grpo = make_fake_run(runs.path, algorithm="grpo", steps=5)
    asked = []
    monkeypatch.setattr(
        measuring, "shared_same_report", lambda *given, progress: asked.append(given) or Future(), raising=False
    )
    at = open_card(run=own, set="same", solutions=64)
    widget(at.multiselect, "Beside it").set_value([grpo, twin]).run()
    assert at.query_params["with"] == f"{grpo},{twin}"
    first, both = (
        ((runs.path / own, 10), *others)
        for others in ([(runs.path / grpo, 5)], sorted([(runs.path / grpo, 5), (runs.path / twin, 10)]))
    )
    assert asked == [(first, 64, 0), (both, 64, 0)]


def test_a_run_without_snapshots_says_so(runs, measuring):
    run_id = make_fake_run(runs.path, steps=4)
    with runs.open_writable(run_id) as store:
        store.compact(None, True, keep_snapshot_steps=set())
    assert "kept no adapter" in words(open_card()) and not measuring.asked
