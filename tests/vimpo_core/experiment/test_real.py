"""A real experiment through the command line: killed in the middle, run again, reported."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.experiments import result_files
from tests.support.waiting import PATIENCE, eventually
from vimpo_core.paths import ROOT
from vimpo_core.runs.store import RunStore

pytestmark = pytest.mark.slow

TINY = """
name = "tiny"
question = "Does it run?"
steps = 12
test_prompts = 16
seeds = [100, 101]
credit = {solutions = 2, rollouts = 2}
[base]
operands = 4
prompts_per_step = 3
group_size = 4
eval_prompts = 8
[[arm]]
name = "GRPO"
algorithm = "grpo"
[[arm]]
name = "VIMPO"
algorithm = "vimpo"
"""


def _start(file, *options):
    command = [sys.executable, "-m", "vimpo_core", "experiment", str(file), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _last_steps(out):
    found = {}
    for folder in out.glob("runs/[a-z]*"):
        found[folder.name] = RunStore.open(folder).last_step()
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder, results when it was killed -9, last steps then, and the rerun's exit code, stdout and stderr."""
    file = tmp_path_factory.mktemp("killed") / "tiny.toml"
    file.write_text(TINY, encoding="utf-8")
    out = file.with_suffix("")
    process = _start(file, "--jobs", "1")
    # The first run is done and the second has begun: some of what is there must stay, some must go on.
    eventually(lambda: process.poll() is not None or (result_files(out) and len(_last_steps(out)) > 1))
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before, steps = result_files(out), _last_steps(out)
    again = _start(file, "--jobs", "2", "--json")
    printed, errors = again.communicate(timeout=PATIENCE)
    return out, before, steps, (again.returncode, printed, errors)


def test_a_killed_experiment_loses_nothing_and_repeats_nothing(killed):
    out, before, steps, (code, _, errors) = killed
    assert code == 0, errors
    after = result_files(out)
    assert len(before) < len(after) == 4
    assert all(after[name] == before[name] for name in before)
    assert all(_last_steps(out)[name] == 12 for name in steps)
    for name in after:
        assert [row["step"] for row in RunStore.open(out / "runs" / name).metrics()] == list(range(13))


def test_its_report_has_accuracies_and_credit_of_both_arms(killed):
    out, _, _, (_, printed, _) = killed
    assert json.loads(printed) | {"failed": {}} == json.loads(printed)
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    for arm in found["blocks"][0]["arms"]:
        assert [run["seed"] for run in arm["runs"]] == [100, 101]
        assert all(run["curves"]["kl_mean"][0] == [0, 10, 12] for run in arm["runs"])
        assert 0 <= arm["sampled"]["mean"] <= 1 and arm["pearson"] is not None
        assert arm["runs"][0]["credit"]["set"] == "own"
    assert "credit-0.svg" in {file.name for file in (out / "figures").iterdir()}


def test_a_measured_accuracy_is_that_of_the_eval_command(killed):
    from vimpo_core import reports

    out = killed[0]
    name = next(iter(result_files(out)))
    raw = json.loads(result_files(out)[name])
    store = RunStore.open(out / "runs" / name)
    found = reports.evaluate_run(store, prompts=16, seed=raw["config"]["seed"])
    assert found["sampled_accuracy"] == sum(raw["sampled"]) / 16
    assert found["greedy_accuracy"] == sum(raw["greedy"]) / 16


def test_a_wrong_file_is_one_sentence_and_exit_code_2(tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text(TINY.replace("group_size = 4", "group_size = 1"), encoding="utf-8")
    process = _start(file, "--dry-run")
    printed, errors = process.communicate()
    assert process.returncode == 2 and printed == ""
    assert errors.count("\n") == 1 and "wrong.toml, line 11: group_size must be between 2 and 64, got 1" in errors


def test_a_dry_run_writes_nothing(tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(TINY, encoding="utf-8")
    process = _start(file, "--dry-run", "--json")
    printed, errors = process.communicate()
    found = json.loads(printed)
    assert (found["tuning_runs"], found["final_runs"], found["done"]) == (0, 4, 0), errors
    assert list(tmp_path.iterdir()) == [file]
