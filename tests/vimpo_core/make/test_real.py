"""The bundled runs of a real model are what the command that makes them says, and small enough for git."""

import pytest

from vimpo_core.config import TrainConfig
from vimpo_core.lm.known import KNOWN
from vimpo_core.make import real
from vimpo_core.mistake import Mistake
from vimpo_core.paths import REAL, ROOT
from vimpo_core.runs.store import RunStore
from vimpo_core.service import examples
from vimpo_core.tasks import tables
from vimpo_core.types import RunState


@pytest.mark.parametrize("name", real.RUNS)
def test_a_bundled_run_has_the_settings_and_problems_of_the_command_and_says_it(name):
    with RunStore.open(REAL / name) as store:
        header = store.header()
        assert store.config() == TrainConfig(**real.SETTINGS, **real.RUNS[name])
        assert (store.state(), header["command"]) == (RunState.FINISHED, real.COMMAND)
        assert (set(store.trace_steps()), set(store.snapshot_steps())) == (real.SOLUTIONS_AT, real.SNAPSHOTS_AT)
        kept = examples.read(REAL / name, store.traces(examples.step_of(REAL / name)))
    assert header["model"]["id"] in KNOWN and len(header["model"]["sha256"]) == 64
    assert header["problems"] == {"backwards.jsonl": f"sha256 {tables.fingerprint(str(ROOT / real.PROBLEMS))}"}
    assert kept and all(one.truth.rollouts == examples.TRIES for one in kept.values())


def test_both_runs_take_12_mb_at_most_and_hold_no_weights_of_the_model():
    files = [file for file in REAL.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 12e6
    assert {file.name for file in files} == {"run.db", "run.lock", "examples.json"}


def test_kept_examples_of_another_run_are_not_shown(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / examples.FILE).write_text((REAL / "smollm2-vimpo" / examples.FILE).read_text())
    assert examples.read(tmp_path / "run", []) == {}


def test_without_the_weights_nothing_is_made_and_the_command_that_gets_them_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VIMPO_MODELS_DIR", str(tmp_path / "models"))
    with pytest.raises(Mistake, match="models get smollm2"):
        real.make_real(tmp_path / "out")
    assert not (tmp_path / "out").exists()
