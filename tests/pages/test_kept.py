"""What is kept in memory of a run is never shown as another one's that has its name by now."""

import dataclasses
import shutil

import numpy as np
import pytest
import streamlit as st
from streamlit.runtime.caching import cache_utils

from app import cache, live
from app.components import live_curves, solutions
from tests.pages.opening import StubService, again, one, open_inspect, open_page, payload_with, press, words
from tests.support.fakes import FakeTrainer, make_fake_run
from tests.support.real import small
from tests.support.sweeps import sweep
from vimpo_core.config import TrainConfig
from vimpo_core.paths import BUNDLED_MODEL
from vimpo_core.runs import snapshots, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import film, outcomes, rule_needs, scoring, second_reading
from vimpo_core.tasks.chain import ChainTask

PROMPT, SOLUTION = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."


@pytest.fixture
def two(tmp_path):
    """The folder of a run, and a function that puts another run of the same name in its place."""
    for name, config in (("old", {"beta": 0.1, "seed": 0}), ("new", {"beta": 0.3, "seed": 1})):
        assert make_fake_run(tmp_path / name, steps=6, **config) == "vimpo-1"

    def replace():
        shutil.rmtree(tmp_path / "old" / "vimpo-1")
        shutil.copytree(tmp_path / "new" / "vimpo-1", tmp_path / "old" / "vimpo-1")

    return tmp_path / "old", replace


def same(traces, others):
    return [trace.completion_text for trace in traces] == [trace.completion_text for trace in others]


def test_a_live_run_has_the_settings_metrics_and_solutions_of_the_run_that_is_there(two):
    folder, replace = two
    run = live.LiveRun(RunStore.open(folder / "vimpo-1"))
    assert run.look(fresh=True).config.beta == 0.1
    old = run.solutions(6)
    replace()
    there = RunStore.open(folder / "vimpo-1")
    assert same(run.solutions(6), there.traces(6)) and not same(run.solutions(6), old)
    sight = run.look(fresh=True)
    assert (sight.config.beta, sight.config.seed) == (0.3, 1)
    assert sight.rows == there.metrics()


def test_a_browser_draws_curves_and_solutions_of_another_run_of_the_name_anew(two, monkeypatch):
    folder, replace = two
    sent = []
    monkeypatch.setattr(live_curves, "_mount", lambda key, data, **_: sent.append(data[0]["version"]))

    def versions():
        run = live.LiveRun(RunStore.open(folder / "vimpo-1"))
        live_curves.live_curves([run.look(fresh=True).curves], 6, key="curves")
        step = solutions.StepSolutions("vimpo-1", run.look().config, 6, run.solutions(6))
        return sent[-1], solutions.payload([step], lambda step, trace: "")["version"]

    before = versions()
    assert versions() == before
    replace()
    assert all(now != old for now, old in zip(versions(), before, strict=True))


def test_solutions_are_never_filed_under_another_run_of_the_name(two):
    folder, replace = two
    created = RunStore.open(folder / "vimpo-1").header()["created"]
    old = cache.traces(folder, "vimpo-1", created, 6)
    replace()
    now = RunStore.open(folder / "vimpo-1").header()["created"]
    assert same(cache.traces(folder, "vimpo-1", now, 6), RunStore.open(folder / "vimpo-1").traces(6))
    assert same(cache.traces(folder, "vimpo-1", created, 6), old)
    with pytest.raises(ValueError, match="run vimpo-1 was deleted and another one made under its name"):
        cache.traces(folder, "vimpo-1", created, 5)


def trained(folder, **config) -> RunStore:
    runs = RunsDir(folder)
    runs.submit([TrainConfig(**(small().to_dict() | config))])
    worker.main(runs.path)
    return runs.open("vimpo-1")


def test_the_scoring_process_asks_the_policy_of_the_run_that_is_there(tmp_path):
    old, new = (trained(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    asked = (old.run_dir, 4, PROMPT, SOLUTION)

    def answers(run_dir):
        (scored,) = scoring.score_solution(run_dir, *asked[1:])
        frame = film.film_solution(run_dir, PROMPT, SOLUTION).frames[-1]
        truth = scoring.solution_truth(run_dir, *asked[1:], 8)
        return [
            scored.logprob,
            frame.logprob,
            truth.policy.outcomes,
            *rule_needs.step_values(run_dir, 4, 2),
        ]

    def tries():
        return outcomes.kept_outcomes(snapshots.identity(old.run_dir, 4), ChainTask(5), 0)

    before, tried = answers(old.run_dir), tries()
    wanted = answers(new.run_dir)
    shutil.rmtree(old.run_dir)
    shutil.copytree(new.run_dir, old.run_dir)
    assert tried and not tries()
    after = answers(old.run_dir)
    for is_, should in zip(after, wanted, strict=True):
        np.testing.assert_array_equal(is_, should)
    assert not np.array_equal(after[0], before[0]) and not np.array_equal(after[1], before[1])


def test_the_levers_forget_another_bundled_model(monkeypatch):
    from vimpo_core.labs import lever_updates
    from vimpo_core.labs.levers import Levers
    from vimpo_core.runs import bases

    asked = Levers(presses="", batch=0, learning_rate=1e-3, beta=0.1, actor_coef=0.05)
    first = lever_updates.press(asked).solutions
    assert lever_updates.press(asked).solutions is first
    monkeypatch.setattr(bases, "stamp", lambda source: ("other files",))
    assert lever_updates.press(asked).solutions is not first


# ---- the base model's files


class Unanswered(StubService):
    """Counts what it is asked, whatever that is."""

    def __getattr__(self, request):
        return lambda *asked, **more: self.asked_for(request, *asked)


@pytest.fixture
def asking(monkeypatch):
    fake = Unanswered()
    for name in ("scoring_service", "scorecard_service"):
        monkeypatch.setattr(scoring, name, lambda: fake)
    return fake


@pytest.fixture
def base(runs):
    """The files of a base model with a run of one's own on it and two bundled ones."""
    folder = shutil.copytree(BUNDLED_MODEL, runs.path.parent / "base")
    for path in (runs.path, cache.DEMOS):
        make_fake_run(path, steps=10, model=str(folder))
    make_fake_run(cache.DEMOS, algorithm="grpo", steps=10, model=str(folder))
    return folder


def write_again(base):
    shutil.copy(BUNDLED_MODEL / "model.safetensors", base)


TYPED = {"mode": "typed", "problem": PROMPT, "solution": SOLUTION, "step": 10}
ASKS = {
    "a typed solution": lambda: open_inspect(**TYPED),
    "is it right": lambda: open_inspect(more="truth", step=10),
    "what if": lambda: open_inspect(more="branch", step=10),
    "film": lambda: open_inspect(more="film", step=10),
    "sums": lambda: open_inspect(more="sums", step=10),
    "scorecard": lambda: open_page("scorecard"),
    "chapter 1": lambda: open_page("learn", chapter=1),
    "chapter 2": lambda: open_page("learn", chapter=2),
}


@pytest.mark.parametrize("page", sweep(ASKS, ["a typed solution", "scorecard"]))
def test_an_answer_is_asked_for_anew_once_the_base_model_has_other_files(base, asking, page):
    at = ASKS[page]()
    (first,) = asking.asked
    again(at)
    assert asking.asked == [first]
    write_again(base)
    again(at)
    assert asking.asked == [first, first]


def test_every_rule_forgets_monte_carlo_values_of_another_base_model(runs, base, asking):
    at = press(open_inspect(more="rules", step=10), "Measure Monte Carlo values")
    traces = runs.open("vimpo-1").traces(10)
    asking.future.set_result([np.linspace(0, t.reward, len(t.ids) + 1) for t in traces])

    def vineppo():
        return next(row for row in payload_with(again(at), "rows")["rows"] if row["key"] == "vineppo")["push"]

    assert vineppo()["values"]
    write_again(base)
    assert "not measured" in vineppo()["why_not"]
    assert any(button.label == "Measure Monte Carlo values" for button in at.button)


def test_the_other_runs_reading_is_read_anew_once_what_it_rests_on_has_changed(runs, base, monkeypatch):
    readings = []
    (cache.DEMOS / "vimpo-1" / second_reading.FILE).write_text("{ }")
    monkeypatch.setattr(second_reading, "read", lambda *asked: readings.append(asked))

    def read():
        st.cache_data.clear()  # the list of runs, kept for a second
        run = next(run for run in cache.summaries(cache.DEMOS) if run.algorithm == "vimpo")
        cache.second_reading_of(cache.DEMOS, run, 10)
        cache.second_reading_of(cache.DEMOS, run, 10)
        return len(readings)

    assert read() == 1
    write_again(base)
    assert read() == 2
    (cache.DEMOS / "vimpo-1" / second_reading.FILE).write_text("{}")
    assert read() == 3
    make_fake_run(cache.DEMOS, algorithm="grpo", steps=10)
    assert read() == 4


def test_a_link_to_a_run_or_a_step_made_a_moment_ago_opens_it_while_what_was_there_is_still_kept(runs, monkeypatch):
    monkeypatch.setattr(cache_utils, "TTLCACHE_TIMER", lambda: 0.0)  # nothing that is kept grows old
    st.cache_data.clear()

    def expect_opened(step):
        opened = open_inspect(run="vimpo-2", step=step)
        assert (one(opened.query_params["run"]), one(opened.query_params["step"])) == ("vimpo-2", str(step))
        assert "is not there" not in words(opened)

    make_fake_run(runs.path, steps=2)
    open_inspect(run="vimpo-1")
    make_fake_run(runs.path, steps=2)
    expect_opened(step=2)
    config = RunStore.open(runs.path / "vimpo-2").config()
    longer = FakeTrainer(dataclasses.replace(config, steps=3))
    *_, third = [longer.step() for _ in range(4)]
    with RunStore.open(runs.path / "vimpo-2", writable=True) as store:
        store.commit_step(third)
    expect_opened(step=3)
