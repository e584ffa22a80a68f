"""Which runs are made, and that none is made twice. Training and measuring are made up; the processes are real."""

import os
from dataclasses import replace
from functools import partial

import pytest

from tests.support.experiments import (
    SMALL,
    UNTUNED,
    Diverging,
    FailingOnce,
    carried_out,
    deadly,
    made_up,
    result_files,
    written,
)
from tests.support.fakes import FakeTrainer
from tests.support.kills import assert_same_run
from vimpo_core.experiment import results, run, runner
from vimpo_core.experiment.results import Measurement
from vimpo_core.experiment.run import Job, RunFailed
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.locks import LockedError, exclusive
from vimpo_core.runs.store import RunStore
from vimpo_core.types import RunState


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished experiment: plan and folder."""
    folder = tmp_path_factory.mktemp("finished")
    experiment = written(folder)
    assert carried_out(experiment, folder / "out") == {}
    return experiment, folder / "out"


def test_every_declared_run_is_there_and_small_and_opens_in_the_app(finished):
    _, out = finished
    listed = RunsDir(out / "runs").list()
    assert len(listed) == 2 + 4 and {each.state for each in listed} == {RunState.FINISHED}
    names = {each.name for each in listed}
    assert {"GRPO, tuning, seed 900", "GRPO, seed 100", "VIMPO, seed 101"} <= names
    for each in listed:
        store = RunStore.open(out / "runs" / each.run_id)
        assert store.trace_steps() == store.snapshot_steps() == [each.steps]
        assert store.resume_state() is None and len(store.metrics()) == each.steps + 1


def test_tuning_chooses_by_validation_alone(finished):
    experiment, out = finished
    (grpo, _) = runner.outcomes(experiment, out)
    # `made_up` says 3e-3 on validation problems and 1e-3 on test problems.
    assert grpo.chosen == {"learning_rate": 3e-3}
    assert [trial.settings["learning_rate"] for trial in grpo.trials] == [1e-3, 3e-3]
    splits = {result.config["seed"]: result.measurement["split"] for trial in grpo.trials for result in trial.results}
    assert splits == {900: "validation"}
    assert {r.measurement["split"] for r in grpo.results.values()} == {"test"}
    assert all(len(r.sampled) == 16 for r in grpo.results.values())


def test_arms_with_the_same_product_get_the_same_number_of_trials(tmp_path):
    ranges = "ranges = {learning_rate = [1e-4, 3e-4, 1e-3], beta = [0.1, 0.2]}\n"
    text = SMALL.replace("ranges = {learning_rate = [1e-3, 3e-3]}\n", ranges) + ranges
    jobs = runner.tuning_jobs(written(tmp_path, text))
    counts = [sum(job.config.algorithm == rule for job in jobs) for rule in ("grpo", "vimpo")]
    assert counts == [2, 2]


def test_a_rerun_repeats_nothing(finished):
    experiment, out = finished
    before = result_files(out)
    assert carried_out(experiment, out, make_trainer=None, measure=None) == {}  # either would fail if it were called
    assert result_files(out) == before and len(before) == 6


def test_a_rerun_makes_only_what_is_missing(tmp_path):
    experiment, out = written(tmp_path, UNTUNED), tmp_path / "out"
    carried_out(experiment, out)
    before = result_files(out)
    lost = next(iter(before))
    (out / "runs" / lost / "result.json").unlink()
    assert carried_out(experiment, out, make_trainer=None) == {}  # it was trained: only measuring is left
    after = result_files(out)
    assert {name for name in before if before[name] != after[name]} == {lost}


def test_other_test_problems_measure_again_but_do_not_train_again(tmp_path):
    out = tmp_path / "out"
    carried_out(written(tmp_path, UNTUNED), out)
    larger = written(tmp_path, UNTUNED.replace("test_prompts = 16", "test_prompts = 32"))
    assert carried_out(larger, out, make_trainer=None) == {}
    assert {len(r.greedy) for o in runner.outcomes(larger, out) for r in o.results.values()} == {32}


def test_a_process_that_dies_takes_no_other_run_along(tmp_path):
    experiment, out = written(tmp_path, UNTUNED), tmp_path / "out"
    failed = carried_out(experiment, out, measure=deadly)
    (dead,) = failed
    assert dead.startswith("vimpo-101-") and len(result_files(out)) == 3
    before = result_files(out)
    assert carried_out(experiment, out) == {}
    after = result_files(out)
    assert len(after) == 4 and all(after[name] == before[name] for name in before)


def test_an_interrupted_run_goes_on_from_its_last_step(tmp_path):
    job = runner.final_jobs(written(tmp_path, UNTUNED), tmp_path)[0]
    with pytest.raises(RunFailed, match=r"interrupted\. Step 2 failed: the machine hiccuped"):
        run.carry_out(tmp_path / "a", job, FailingOnce, made_up)
    assert RunStore.open(tmp_path / "a" / job.run_id).last_step() == 1
    for folder in "ab":
        run.carry_out(tmp_path / folder, job, FakeTrainer, made_up)
    assert_same_run(*(RunStore.open(tmp_path / folder / job.run_id) for folder in "ab"))


def test_a_run_whose_experiment_was_killed_stops_by_itself(tmp_path):
    job = runner.final_jobs(written(tmp_path, UNTUNED), tmp_path)[0]
    nobody = os.getpid()  # this process is not its own parent
    with pytest.raises(RunFailed, match="is stopped"):
        run.carry_out(tmp_path, job, FakeTrainer, made_up, partial(run.lives, nobody))
    run.carry_out(tmp_path, job, FakeTrainer, made_up, partial(run.lives, os.getppid()))
    assert results.load(tmp_path / job.run_id, job.measurement).state == "finished"


def test_a_diverged_run_is_a_result_at_its_last_snapshot(tmp_path):
    experiment, out = written(tmp_path, UNTUNED), tmp_path / "out"
    assert carried_out(experiment, out, make_trainer=Diverging) == {}
    found = [r for outcome in runner.outcomes(experiment, out) for r in outcome.results.values()]
    assert len(found) == 4 and all(r.has_diverged for r in found)
    assert {(r.last_step, r.evaluated_step) for r in found} == {(2, 0)}
    assert found[0].message.startswith("the loss was not finite at step 3")


def test_tuning_avoids_what_diverged_unless_everything_did(finished):
    experiment, out = finished
    tried = runner.outcomes(experiment, out)[0].trials
    best = tried[1]
    broken = [_diverged(best) if trial is best else trial for trial in tried]
    assert runner.chosen_settings(experiment, experiment.arms[0], broken) == {"learning_rate": 1e-3}
    all_broken = [_diverged(trial) for trial in tried]
    assert runner.chosen_settings(experiment, experiment.arms[0], all_broken) == {"learning_rate": 3e-3}


def _diverged(trial):
    ended = [results.Result(**{**vars(r), "state": "diverged"}) for r in trial.results]
    return runner.Trial(trial.settings, ended, 0)


def test_nothing_is_chosen_while_a_trial_is_missing(finished):
    experiment, out = finished
    first, second = runner.outcomes(experiment, out)[0].trials
    assert runner.chosen_settings(experiment, experiment.arms[0], [first, runner.Trial({}, [], 1)]) is None
    assert runner.chosen_settings(experiment, experiment.arms[0], [first, second]) is not None


def test_arms_that_come_to_the_same_settings_share_their_runs(tmp_path):
    twin = UNTUNED + '[[arm]]\nname = "VIMPO again"\nalgorithm = "vimpo"\n'
    experiment = written(tmp_path, twin)
    assert len(runner.final_jobs(experiment, tmp_path)) == 4


def test_a_folder_where_the_settings_mean_something_else_is_refused(tmp_path):
    first, second = runner.final_jobs(written(tmp_path, UNTUNED), tmp_path)[:2]
    run.carry_out(tmp_path, first, FakeTrainer, made_up)
    (tmp_path / first.run_id).rename(tmp_path / second.run_id)
    with pytest.raises(RunFailed, match="has other settings than its name says"):
        run.carry_out(tmp_path, second, FakeTrainer, made_up)


def test_an_experiment_runs_once_at_a_time(tmp_path):
    experiment = written(tmp_path)
    (tmp_path / "out").mkdir()
    with (
        exclusive(tmp_path / "out" / runner.LOCK_NAME, "held"),
        pytest.raises(LockedError, match="already running"),
    ):
        carried_out(experiment, tmp_path / "out")


def test_progress_counts_runs_and_steps_to_the_end(tmp_path):
    seen = []
    runner.run_all(written(tmp_path), tmp_path / "out", 2, seen.append, FakeTrainer, made_up)
    assert (seen[0].runs_done, seen[0].runs_total, seen[0].steps_total) == (0, 6, 2 * 3 + 4 * 4)
    assert (seen[-1].runs_done, seen[-1].steps_done, seen[-1].stage) == (6, seen[-1].steps_total, "final")
    assert [p.runs_done for p in seen] == sorted(p.runs_done for p in seen)


def test_the_forecast_counts_what_is_left(finished, tmp_path):
    experiment, out = finished
    before, after = runner.forecast(experiment, tmp_path / "none"), runner.forecast(experiment, out)
    assert (before.tuning_runs, before.final_runs, before.done) == (2, 4, 0) and before.cpu_seconds > 0
    assert (after.done, after.cpu_seconds) == (6, 0)


def test_runs_of_another_model_are_not_priced_by_the_bundled_one(finished, tmp_path):
    experiment, out = finished
    larger = replace(experiment, base={**experiment.base, "model": "smollm2"})
    assert runner.forecast(larger, tmp_path / "none").cpu_seconds is None
    assert runner.forecast(larger, out).cpu_seconds is None  # what is finished there is the bundled model's


def test_a_damaged_result_is_measured_again(tmp_path):
    job = runner.final_jobs(written(tmp_path, UNTUNED), tmp_path)[0]
    run.carry_out(tmp_path, job, FakeTrainer, made_up)
    file = tmp_path / job.run_id / results.RESULT_NAME
    whole = file.read_bytes()
    for damage in (
        b"{",
        b"",
        b"\xff\xfe{",
        whole[:-9] + b"\xe4" + whole[-8:],
        b'["a list"]',
        b'{"run_id": "x"}',
    ):
        file.write_bytes(damage)
        assert results.load(file.parent, job.measurement) is None
    run.carry_out(tmp_path, job, None, made_up)
    assert results.load(file.parent, job.measurement).run_id == job.run_id
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())  # an editor's mark is no damage
    assert results.load(file.parent, job.measurement).run_id == job.run_id


def test_the_folder_of_a_run_is_named_by_its_settings_alone():
    from vimpo_core.config import TrainConfig

    config = TrainConfig(seed=5, beta=0.2)
    assert Job("a", config, Measurement("test", 8)).run_id == Job("b", config, Measurement("validation", 9)).run_id
    assert results.run_id(config) != results.run_id(TrainConfig(seed=5, beta=0.3))
