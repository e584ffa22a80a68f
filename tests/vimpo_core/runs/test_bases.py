"""A run is used on the network and tokenizer that it was trained with, or not at all; and on the CPU where its graphics
card is missing."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from tests.support.fakes import FakeTrainer
from tests.support.real import small
from vimpo_core import cli, reports
from vimpo_core.experiment import run as experiment_run
from vimpo_core.experiment.results import Measurement
from vimpo_core.lm import sources
from vimpo_core.paths import BUNDLED_MODEL, DEMOS
from vimpo_core.runs import bases, snapshots, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import film, rule_needs, scoring, truth_report
from vimpo_core.types import RunState

PROMPT, SLIP = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."
STEP = 2
"""The last step that the runs here were stopped after, of 4."""


def stop_after(step):
    def look(store, record):
        if record.step == step:
            raise KeyboardInterrupt

    return look


def begun(runs: RunsDir, **changes) -> RunStore:
    """A run by the real trainer, stopped after STEP."""
    job_id = runs.submit([small(**changes)])
    worker.main(runs.path, on_record=stop_after(STEP), only_job=job_id)
    return runs.open(next(job.run_ids[0] for job in runs.jobs() if job.job_id == job_id))


def change_weights(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file({name: 1.01 * t for name, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def change_tokenizer(folder):
    """Two characters change places."""
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = told["model"]["vocab"]
    vocab["+"], vocab["-"] = vocab["-"], vocab["+"]
    (folder / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run whose base weights were changed after it was stopped."""
    folder = tmp_path_factory.mktemp("changed")
    base = shutil.copytree(BUNDLED_MODEL, folder / "base")
    found = RunsDir(folder / "runs")
    store = begun(found, model=str(base))
    assert store.state() == RunState.STOPPED and store.last_step() == STEP
    change_weights(base)
    return found


RUN = "vimpo-1"
OTHER = f"run {RUN} was trained with other base weights than .*base has now"
USES = {
    "score": lambda run: scoring.score_solution(run, STEP, PROMPT, SLIP),
    "what if": lambda run: scoring.branch_solution(run, STEP, PROMPT, SLIP, 3, "1", k=2),
    "truth of a solution": lambda run: scoring.solution_truth(run, STEP, PROMPT, SLIP, 4),
    "sums": lambda run: scoring.expected_deltas(run, STEP, PROMPT, SLIP),
    "every rule": lambda run: rule_needs.step_values(run, STEP, 2),
    "film": lambda run: film.film_solution(run, PROMPT, SLIP),
    "eval": lambda run: reports.evaluate_run(RunStore.open(run), prompts=8),
    "truth": lambda run: truth_report.truth_report(RunStore.open(run), solutions=2, rollouts=2),
}


@pytest.mark.parametrize("use", USES)
def test_whatever_needs_the_network_refuses_another_one(runs, use):
    with pytest.raises(ValueError, match=OTHER):
        USES[use](runs.path / RUN)


def test_the_sentence_has_both_fingerprints_and_says_what_to_do(runs):
    store = runs.open(RUN)
    was = store.header()["model"]["sha256"][:12]
    with pytest.raises(ValueError, match=rf"sha256 {was} then, [0-9a-f]{{12}} now.*Put the old model back"):
        snapshots.load_snapshot(store.run_dir, STEP)


def test_what_was_recorded_can_still_be_read(runs):
    store = runs.open(RUN)
    assert store.traces(STEP) and store.metrics() and store.snapshot(STEP)
    assert cli.main(["export", RUN, "--runs-dir", str(runs.path), "--out", str(runs.path.parent / "x.html")]) == 0


def test_resuming_is_refused_and_changes_nothing(runs):
    before = runs.open(RUN).header()
    job_id = runs.resume([RUN])
    worker.main(runs.path, only_job=job_id)
    store = runs.open(RUN)
    assert store.state() == RunState.STOPPED
    assert store.message().startswith(f"It could not start: run {RUN} was trained with other base weights")
    assert (store.last_step(), store.header()) == (STEP, before)


@pytest.mark.parametrize("optimizer", ["replay", "fresh"])
def test_a_fork_is_refused(runs, optimizer):
    job_id = runs.fork(RUN, STEP, runs.open(RUN).config(), optimizer)
    worker.main(runs.path, only_job=job_id)
    store = runs.open(next(job.run_ids[0] for job in runs.jobs() if job.job_id == job_id))
    assert store.state() == RunState.STOPPED and store.last_step() == STEP
    assert f"run {store.run_id} was trained with other base weights" in store.message()


def test_another_tokenizer_is_refused_even_with_the_same_weights(tmp_path):
    base = shutil.copytree(BUNDLED_MODEL, tmp_path / "base")
    store = begun(RunsDir(tmp_path / "runs"), model=str(base))
    change_tokenizer(base)
    with pytest.raises(ValueError, match=f"run {RUN} was trained with another tokenizer than"):
        scoring.score_solution(store.run_dir, STEP, PROMPT, SLIP)


def change_cutting(folder):
    """The vocabulary stays; text is cut in other places."""
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    told["normalizer"] = {"type": "Replace", "pattern": {"String": "88888"}, "content": "8"}
    (folder / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")


def test_a_tokenizer_that_cuts_otherwise_over_the_same_vocabulary_is_another_one(tmp_path):
    base = shutil.copytree(BUNDLED_MODEL, tmp_path / "base")
    store = begun(RunsDir(tmp_path / "runs"), model=str(base))
    fork = RunsDir(tmp_path / "runs").fork(RUN, STEP, store.config(), "fresh")
    change_cutting(base)
    with pytest.raises(ValueError, match=f"run {RUN} was trained with another tokenizer than"):
        scoring.score_solution(store.run_dir, STEP, PROMPT, SLIP)
    worker.main(tmp_path / "runs", only_job=fork)
    assert "was trained with another tokenizer" in RunStore.open(tmp_path / "runs" / "vimpo-2").message()


def test_an_older_run_that_noted_its_vocabulary_alone_is_compared_by_that(tmp_path):
    base = shutil.copytree(BUNDLED_MODEL, tmp_path / "base")
    store = begun(RunsDir(tmp_path / "runs"), model=str(base))
    with RunStore.open(store.run_dir, writable=True) as writable:
        writable.update_header({"tokenization_sha256": None})
    snapshots.load_snapshot(store.run_dir, STEP)
    change_cutting(base)
    snapshots.load_snapshot(store.run_dir, STEP)
    change_tokenizer(base)
    with pytest.raises(ValueError, match="another tokenizer"):
        snapshots.load_snapshot(store.run_dir, STEP)


def test_a_policy_in_memory_does_not_outlive_its_base(tmp_path):
    base = shutil.copytree(BUNDLED_MODEL, tmp_path / "base")
    store = begun(RunsDir(tmp_path / "runs"), model=str(base))
    kept = snapshots.load_snapshot(store.run_dir, STEP)
    assert snapshots.load_snapshot(store.run_dir, STEP) is kept
    change_weights(base)
    with pytest.raises(ValueError, match="other base weights"):
        snapshots.load_snapshot(store.run_dir, STEP)


def test_a_copy_of_the_base_under_another_time_stamp_is_the_same_base(tmp_path):
    base = shutil.copytree(BUNDLED_MODEL, tmp_path / "base")
    store = begun(RunsDir(tmp_path / "runs"), model=str(base))
    shutil.rmtree(base)
    shutil.copytree(BUNDLED_MODEL, base, copy_function=shutil.copy)
    snapshots.load_snapshot(store.run_dir, STEP)


def test_an_experiment_is_not_mixed_from_two_networks(tmp_path):
    base = shutil.copytree(BUNDLED_MODEL, tmp_path / "base")
    jobs = [
        experiment_run.Job(f"seed {seed}", small(model=str(base), seed=seed), Measurement("test", 8)) for seed in (0, 1)
    ]

    def made_up(store, measurement):
        return {"sampled": [True] * 8, "greedy": [True] * 8, "credit": None}

    def carry_out(job):
        return experiment_run.carry_out(tmp_path / "runs", job, worker.make_trainer, made_up)

    first = carry_out(jobs[0])
    change_weights(base)
    for _ in range(2):  # a refused run is no reason to refuse the others
        with pytest.raises(ValueError, match=f"run {first} of this experiment was trained with other base"):
            carry_out(jobs[1])
    refused = RunStore.open(tmp_path / "runs" / jobs[1].run_id)
    assert refused.state() == RunState.STOPPED and "Put the old model back" in refused.message()
    shutil.copytree(BUNDLED_MODEL, base, dirs_exist_ok=True)
    carry_out(jobs[1])


def test_a_refreshed_reference_is_not_taken_for_the_base(tmp_path):
    """Resuming such a run puts the refreshed weights in the base's place; what is noted are the base's."""
    runs = RunsDir(tmp_path)
    store = begun(runs, refresh_every=1)
    noted = store.header()["model"]["sha256"]
    worker.main(runs.path, only_job=runs.resume([store.run_id]))
    assert store.state() == RunState.FINISHED
    assert store.header()["model"]["sha256"] == noted == RunStore.open(DEMOS / "grpo").header()["model"]["sha256"]
    snapshots.load_snapshot(store.run_dir, 4)


def test_the_refreshed_fingerprint_of_an_older_run_is_no_reason_to_refuse_it(tmp_path):
    store = begun(RunsDir(tmp_path), refresh_every=1)
    with RunStore.open(store.run_dir, writable=True) as writable:
        writable.update_header({"model": {"id": "bundled", "sha256": "0" * 64, "lora_rank": 8}})
    snapshots.load_snapshot(store.run_dir, STEP)
    runs = RunsDir(tmp_path)
    config = dataclasses.replace(store.config(), refresh_every=0)
    worker.main(runs.path, only_job=runs.fork(store.run_id, STEP, config, "fresh"))
    assert runs.open("vimpo-2").state() == RunState.FINISHED


@pytest.mark.parametrize("demo", ["grpo", "vimpo-beta-0.1", "vimpo-beta-0.3"])
def test_the_bundled_runs_stand_on_the_bundled_model(demo):
    policy = bases.load_policy(RunStore.open(DEMOS / demo))
    assert policy.source == "bundled"


def test_fingerprints_are_taken_once_while_the_files_stay(runs, monkeypatch):
    from vimpo_core.lm import models

    store = RunStore.open(DEMOS / "grpo")
    bases.load_policy(store)
    monkeypatch.setattr(models, "fingerprint", lambda policy: pytest.fail("taken again"))
    bases.load_policy(store)


# ---- a run that was trained on a graphics card


@pytest.fixture
def on_cuda(tmp_path, monkeypatch):
    """A run that says it was trained on a graphics card, where there is none."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    runs = RunsDir(tmp_path)
    store = begun(runs)
    with RunStore.open(store.run_dir, writable=True) as writable, writable._transaction("test") as connection:
        writable._put(connection, "config", small(device="cuda").to_dict())
    assert runs.open(store.run_id).config().device == "cuda"
    return runs


def test_it_is_scored_and_filmed_on_the_cpu(on_cuda):
    run = on_cuda.path / RUN
    (scored,) = scoring.score_solution(run, STEP, PROMPT, SLIP)
    filmed = film.film_solution(run, PROMPT, SLIP)
    np.testing.assert_array_equal(filmed.frames[-1].logprob, scored.logprob)


def test_it_is_resumed_on_the_cpu_and_says_so_for_good(on_cuda):
    worker.main(on_cuda.path, only_job=on_cuda.resume([RUN]))
    store = on_cuda.open(RUN)
    assert (store.state(), store.last_step(), store.config().device) == (RunState.FINISHED, 4, "cuda")
    assert store.message().startswith("From step 3 on it was computed on the CPU")
    assert "not bit for bit" in on_cuda.list()[0].message


def test_a_fresh_fork_goes_on_on_the_cpu_and_a_replay_says_what_to_do(on_cuda):
    config = on_cuda.open(RUN).config()
    for optimizer in ("fresh", "replay"):
        worker.main(on_cuda.path, only_job=on_cuda.fork(RUN, STEP, config, optimizer))
    fresh, replay = on_cuda.open("vimpo-2"), on_cuda.open("vimpo-3")
    assert fresh.state() == RunState.FINISHED
    assert fresh.message().startswith("From step 2 on it was computed on the CPU")
    assert replay.state() == RunState.STOPPED and "--optimizer fresh" in replay.message()


def test_a_new_run_is_not_quietly_trained_on_another_device_than_asked(on_cuda):
    worker.main(on_cuda.path, only_job=on_cuda.submit([small(device="cuda")]))
    store = on_cuda.open("vimpo-2")
    assert store.state() == RunState.STOPPED and "Use --device cpu" in store.message()


def test_a_run_where_it_was_trained_has_no_remark(tmp_path):
    runs = RunsDir(tmp_path)
    worker.main(runs.path, FakeTrainer, only_job=runs.submit([small()]))
    assert runs.open(RUN).message() == ""


def test_a_run_whose_model_was_not_chosen_is_kept_by_no_model_at_all():
    assert bases.stamp(sources.NOT_CHOSEN) == ()
