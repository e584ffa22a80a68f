"""Which format a file is of, and what it takes to add one."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from vimpo_core.formats.incoming import recognise, rows
from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.mistake import Mistake

DATA = Path(__file__).parents[3] / "data"


def test_a_format_is_added_by_a_reader_and_its_name_in_the_list(tmp_path, monkeypatch):
    words = ModuleType("words")
    words.NAME, words.TOOL = "Words of a diary", "diary"
    words.matches = lambda sample: "said" in sample.columns
    words.read = lambda file: rows.each(
        file, lambda place, values: rows.Row(place, completion=values["said"], reward=values["stars"])
    )
    words.facts = lambda sample: {"algorithm": "vimpo", "name": "My diary", "beta": 0.25, "notes": ["Rain."]}
    words.metrics = lambda file: [{"step": 0, "grad_norm": 0.5}, {"step": 9, "grad_norm": 0.7}]
    monkeypatch.setattr(recognise, "FORMATS", [words, *recognise.FORMATS])
    (tmp_path / "diary").write_text(json.dumps({"said": "two words", "stars": 3}) + "\n")
    store = import_run(recognise.recognise([(tmp_path / "diary", "diary")]), tmp_path / "run")
    assert [trace.text for trace in store.traces(0)] == [("two", " words")]
    first = {"step": 0, "grad_norm": 0.5, "reward_mean": 3.0}
    assert store.metrics() == [first, {"step": 9, "grad_norm": 0.7}] and store.trace_steps() == [0]
    assert (store.header()["name"], store.config().algorithm, store.config().beta) == ("My diary", "vimpo", 0.25)
    assert store.imported()["notes"] == ["Rain."]


def test_what_lies_beside_a_runs_files_is_left_alone_and_said(tmp_path):
    (tmp_path / "2.jsonl").write_text('{"input": "a", "output": "b", "score": 1}\n')
    (tmp_path / "10.jsonl").write_text('{"input": "a", "output": "c", "score": 1}\n')
    (tmp_path / "again.jsonl").write_text('{"input": "a", "output": "b", "score": 1}\n')
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "weights.bin").write_bytes(b"\x80\x02 and so on")
    found = recognise.recognise([(tmp_path, "run")])
    assert [file.name for file in found.files] == ["2.jsonl", "10.jsonl"]
    assert set(found.left_alone) == {"again.jsonl", "config.json", "weights.bin"}
    assert "is the same file as 2.jsonl" in found.left_alone["again.jsonl"]


def test_the_files_of_checkpoints_beside_a_run_are_one_remark(tmp_path):
    (tmp_path / "2.jsonl").write_text('{"input": "a", "output": "b", "score": 1}\n')
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for name in ("adapter_config.json", "optimizer.pt", "adapter_model.safetensors"):
            (tmp_path / f"checkpoint-{step}" / name).write_bytes(b"PK\x03\x04")
    assert recognise.recognise([(tmp_path, "run")]).left_alone == {
        "models": "6 files of models and checkpoints (checkpoint-2, checkpoint-10) are not read here: they are for "
        "Re-score, on Inspect."
    }


def test_files_of_two_formats_are_not_one_run(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"input": "a", "output": "b", "score": 1}\n')
    (tmp_path / "b.jsonl").write_text('{"step": 1, "prompt": "a", "response": "b", "reward": 1}\n')
    assert recognise.recognise([(tmp_path, "x")]).reader.TOOL == "verl"  # a general table yields to a format
    other = ModuleType("other")
    other.NAME, other.TOOL, other.matches = "others", "other", lambda sample: "response" in sample.columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognise, "FORMATS", [other, *recognise.FORMATS])
        with pytest.raises(Mistake, match=r"of 2 formats: others \(b.jsonl\), verl rollouts \(a.jsonl\)"):
            recognise.recognise([(tmp_path, "x")])


def test_what_trl_logs_beside_our_own_traces_is_the_same_run_and_gives_way(tmp_path):
    shutil.copytree(DATA / "incoming" / "trl" / "plain", tmp_path / "completions")
    record = {"step": 1, "group_id": 0, "sample_idx": 0, "prompt_text": "a", "reward": 1.0, "ids": [5], "text": ["5"]}
    (tmp_path / "traces" / "step_000001").mkdir(parents=True)
    (tmp_path / "traces" / "step_000001" / "rank_0.jsonl").write_text(json.dumps(record) + "\n")
    found = recognise.recognise([(tmp_path, "out")])
    assert [file.name for file in found.files] == ["traces/step_000001/rank_0.jsonl"]
    assert len(found.left_alone) == 2 and all("completions/" in name for name in found.left_alone)


def test_a_folder_of_traces_says_which_steps_lack_a_rank_or_their_mark(tmp_path):
    record = {"group_id": 0, "prompt_text": "a", "reward": 1.0, "ids": [5], "text": ["5"]}
    there = {1: (0, 1), 2: (0,), 3: (0, 1)}
    for step, ranks in there.items():
        inside = tmp_path / f"step_{step:06d}"
        inside.mkdir()
        for rank in ranks:
            line = json.dumps({**record, "step": step, "sample_idx": rank, "rank": rank})
            (inside / f"rank_{rank}.jsonl{'.tmp' if step == 3 and rank else ''}").write_text(f"{line}\n")
        if step < 3:
            (inside / "STABLE").touch()
    (tmp_path / "replaced_1_step_000003").mkdir()
    (tmp_path / "replaced_1_step_000003" / "rank_0.jsonl").write_text(line + "\n")
    store = import_run(recognise.recognise([(tmp_path, "traces")]), tmp_path / "run")
    assert [len(store.traces(step)) for step in there] == [2, 1, 2]
    assert store.imported()["notes"] == [
        "step_000002 lacks rank_1.jsonl: what the other ranks wrote is kept.",
        "step_000003 was not finished when it was read: what is whole of it is kept.",
        "step_000003 lacks rank_1.jsonl: what the other ranks wrote is kept.",
    ]


def test_a_reader_that_did_not_foresee_a_file_does_not_end_the_reading_of_the_others(tmp_path, monkeypatch):
    careless = ModuleType("careless")
    careless.NAME = careless.TOOL = "careless"
    careless.matches = lambda sample: sample.first["kind"] == "careless"  # KeyError for other files
    careless.facts = careless.metrics = lambda _: 1 / 0
    careless.read = lambda file: rows.each(
        file, lambda place, values: rows.Row(place, completion="".join(values["said"]), reward=1.0)
    )
    monkeypatch.setattr(recognise, "FORMATS", [careless, *recognise.FORMATS])
    (tmp_path / "1.jsonl").write_text('{"kind": "careless", "said": ["a"]}\n{"kind": "careless", "said": [7]}\n')
    (tmp_path / "2.jsonl").write_text('{"kind": "careless", "said": ["b"]}\n')
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    store = import_run(recognise.recognise([(tmp_path, "run")]), tmp_path / "run")
    assert [trace.text for trace in store.traces(0)] == [("a",), ("b",)]
    (why,) = store.imported()["survey"]["refused"]
    assert why == "its reader did not foresee what it holds (TypeError), so it was not read on."


def test_a_header_names_a_hundred_files_and_counts_the_others(tmp_path):
    for step in range(120):
        (tmp_path / f"{step}.jsonl").write_text(f'{{"input": "a", "output": "b", "score": 1, "step": {step}}}\n')
    found = import_run(recognise.recognise([(tmp_path, "run")]), tmp_path / "run").imported()
    assert (len(found["files"]), found["survey"]["file_count"], found["survey"]["steps"]["count"]) == (100, 120, 120)
