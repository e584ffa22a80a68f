"""Bringing a run as the page and the command line do: in a process of its own that may be killed."""

import json
import os

import numpy as np
import pytest
from safetensors import numpy

from tests.support.waiting import PATIENCE, eventually, never_returns
from vimpo_core import cli
from vimpo_core.formats.incoming.survey import adapters_kept
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import remove_leftovers
from vimpo_core.service import import_service, models_beside
from vimpo_core.service.import_service import ask_import, ask_survey, outcome

GOOD = {"prompt": "2+3=", "completion": "5.", "reward": 1.0}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "reward": 0.0}) + "\n")
    return [(str(path), "table.jsonl")]


def test_a_run_is_looked_at_then_brought_and_not_twice(tmp_path, table):
    runs = tmp_path / "runs"
    assert outcome(ask_survey(table, runs))["rows"] == 2
    assert not runs.exists()
    run_id = outcome(ask_import(runs, table, "Mine", tmp_path))
    (summary,) = RunsDir(runs).list()
    assert (summary.run_id, summary.name, summary.imported["folder"]) == (run_id, "Mine", str(tmp_path))
    assert outcome(ask_survey(table, runs))["already"] == run_id
    with pytest.raises(Mistake, match=f"the same files were brought before: they are run {run_id}"):
        outcome(ask_import(runs, table))
    with pytest.raises(Mistake, match="cannot be resumed"):
        RunsDir(runs).resume([run_id])
    with pytest.raises(Mistake, match="cannot be forked"):
        RunsDir(runs).fork(run_id, 0, summary.config)


def test_adapters_of_a_dropped_folder_are_kept_with_the_run_and_go_with_it(tmp_path, table):
    held = numpy.save({"lora_A": np.zeros((2, 3), np.float32)})
    good = {"adapter_config.json": b'{"peft_type": "LORA", "r": 2}', "adapter_model.safetensors": held}
    folders = {
        "out/../checkpoint-007": good,
        "out/checkpoint-9": {**good, "optimizer.pt": b"PK\x03\x04"},
        "final": good,
        "whole": {"trainer_state.json": b"{}", "model.safetensors": held},
        "no-settings": {"adapter_model.safetensors": held},
        "cut": {**good, "adapter_model.safetensors": held[:-1]},
        "other": {**good, "adapter_config.json": b"[]"},
    }
    for number, (name, content) in enumerate((f"{f}/{n}", c) for f, files in folders.items() for n, c in files.items()):
        (tmp_path / str(number)).write_bytes(content)
        table.append((str(tmp_path / str(number)), name))
    kept = ["adapter-0", "checkpoint-7", "checkpoint-9"]
    found = outcome(ask_survey(table, is_handed_over=True))
    assert sorted(found["adapters"]) == kept and adapters_kept(found) == "3 adapters, kept with the run"
    left = {name.split("/")[-2] if "/" in name else name for name in found["left_alone"]}
    assert left == {"checkpoint-9", "no-settings", "cut", "other", "models"}
    assert "of a dropped folder adapters alone are" in found["left_alone"]["models"]
    assert outcome(ask_survey(table))["adapters"] == []

    runs = RunsDir(tmp_path / "runs")
    run_id = outcome(ask_import(runs.path, table, is_handed_over=True))
    folder = runs.path / run_id / "adapters"
    inside = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert sorted(inside) == [f"{name}/{file}" for name in kept for file in sorted(good)]
    (run,) = runs.list()
    assert [one.name for one in models_beside.find(run.imported, 10, runs.path / run_id)] == [
        "checkpoint-9",
        "checkpoint-7",
        "adapter-0",
    ]
    runs.delete(run_id)
    assert not folder.exists()
    runs.restore(run_id)
    assert len(list(folder.iterdir())) == 3
    (killed := runs.path / ".new-killed").mkdir()
    (runs.path / run_id).rename(killed)
    for path in (killed, *killed.rglob("*")):
        os.utime(path, (0, 0))
    remove_leftovers(runs.path)
    assert not killed.exists()


def test_what_meets_a_limit_is_one_sentence_and_the_next_is_read(tmp_path, table):
    hungry = import_service.import_process().ask(_hungry, timeout=PATIENCE)
    with pytest.raises(Mistake, match="takes more than 3 GiB of memory"):
        outcome(hungry)
    with pytest.raises(Mistake, match="was stopped and nothing was written"):
        outcome(import_service.import_process().ask(os._exit, 9, timeout=PATIENCE))
    assert outcome(ask_survey(table))["rows"] == 2


def test_an_import_that_is_cancelled_leaves_nothing(tmp_path, table, monkeypatch):
    monkeypatch.setattr(import_service, "bring", _half_written)
    future = ask_import(tmp_path, table)
    (hidden,) = eventually(lambda: list(tmp_path.glob(".new-*/run.db"))[:1])
    future.cancel()
    eventually(lambda: not hidden.parent.exists())
    assert RunsDir(tmp_path).list() == []


def test_the_command_line_says_what_is_in_it_and_brings_it(tmp_path, table, capsys):
    path, runs = table[0][0], str(tmp_path / "runs")
    assert cli.main(["import", path, "--runs-dir", runs, "--dry-run"]) == 0
    assert "rows               2" in capsys.readouterr().out
    assert cli.main(["import", path, "--runs-dir", runs, "--as", "Mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run_id"], told["rows"], told["format"]) == ("table-1", 2, "table")
    assert cli.main(["import", str(tmp_path / "nothing"), "--runs-dir", runs]) == 2
    assert "there is no file or folder" in capsys.readouterr().err


def _half_written(brought, runs_dir, hidden, name, folder, is_handed_over, progress):
    hidden.mkdir()
    (hidden / "run.db").touch()
    never_returns()


def _hungry():
    with import_service._within_memory():
        return len(bytearray(64 * 2**30))
