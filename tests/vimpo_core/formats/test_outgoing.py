"""A whole run as a file: what was measured comes back bit for bit, and UNIPO's build script can read what it is
given.
"""

import dataclasses
import json
import math
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.hostile import hostile_trace
from vimpo_core import cli
from vimpo_core.config import TrainConfig
from vimpo_core.formats import trace_files
from vimpo_core.formats.outgoing import run_export, table
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions import lenses
from vimpo_core.types import StepRecord

_OF_THE_RUN = ("group_rewards", "config", "provenance")
"""What the other rows, the settings, and the file itself say."""


def words_only(**changes):
    """As another tool's text log has it: no ids, no arrays, no reward, texts that UTF-8 cannot hold."""
    nothing = dict.fromkeys(("logprob", "ref_logprob", "kl", "entropy", "sampler_logprob", "topk"))
    own = {"advantages": np.array([0.5, np.nan], np.float32), "values": np.array([0.1, np.nan], np.float32)}
    said = {"ids": np.full(2, -1, np.int32), "text": ("a", " \ud800"), "mask": np.array([True, False])}
    more = {"tool_arrays": own, "extras": {"env": "\udfff", "tokens": 3.0}, "tool_advantage": 0.1, "first_wrong": None}
    asked = {"prompt_messages": (("user", "1+1="),), "finish_reason": None, "reward": math.nan}
    return hostile_trace(**nothing | said | more | asked | changes)


def hostile_store(tmp_path):
    """A run of two steps: hostile solutions, and some of words alone."""
    critic = {"critic_values": np.array([0.1] * 12, np.float32), "mc_values": np.linspace(0, 1, 13).astype(np.float32)}
    first = [hostile_trace(), hostile_trace(sample_idx=1, reward=0.0, **critic)]
    second = [words_only(step=5), words_only(step=5, sample_idx=1, answer="\ud800", gold="4")]
    with RunStore.create(tmp_path / "run", TrainConfig(steps=5), {"name": "mine"}) as made:
        for step, traces in ((3, first), (4, []), (5, second)):
            made.commit_step(StepRecord(step, {"reward_mean": 0.25, "actor_loss": math.inf}, {}, traces, b""))
    return RunStore.open(tmp_path / "run")


@pytest.fixture
def store(tmp_path):
    return hostile_store(tmp_path)


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a) if f.name != "config")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def alike(found, stored):
    """Everything that one row can hold is equal, down to the bits."""
    told = {name: getattr(stored, name) for name in _OF_THE_RUN}
    return same(found.with_(**told), stored) and found.provenance == trace_files.provenance(stored)


def all_traces(store):
    return [trace for step in store.trace_steps() for trace in store.traces(step)]


def test_lines_read_back_bit_for_bit(store, tmp_path):
    told = []
    report = run_export.write(store, "jsonl", tmp_path / "run.jsonl", on_step=lambda *at: told.append(at))
    head, *rows = map(json.loads, (tmp_path / "run.jsonl").read_text("ascii").splitlines())
    assert (report["steps"], report["solutions"]) == (2, 4)
    assert told[-1] == (2, 2) and report["bytes"] == (tmp_path / "run.jsonl").stat().st_size
    assert head["header"]["steps"] == [3, 5] and head["header"]["config"]["steps"] == 5
    assert head["metrics"] == store.metrics() and head["metrics"][0]["actor_loss"] is None
    found = [trace_files.trace_of(row) for row in rows]
    assert all(alike(a, b) for a, b in zip(found, all_traces(store), strict=True))


def test_a_table_reads_back_bit_for_bit(store, tmp_path):
    run_export.write(store, "parquet", tmp_path / "run.parquet")
    found = pq.read_table(tmp_path / "run.parquet")
    assert json.loads(found.schema.metadata[table.METADATA])["metrics"] == store.metrics()
    rows = found.to_pylist()
    assert rows[0]["text"][5] == "\\ud800" and rows[2]["logprob"] is None and rows[2]["topk_ids"] is None
    again = [trace_files.trace_of(table.record_of(row)) for row in rows]
    assert all(alike(a, b) for a, b in zip(again, all_traces(store), strict=True))


def test_the_command_writes_over_nothing_unless_it_is_forced(store, tmp_path, capsys):
    asked = ["export-run", "run", "--runs-dir", str(tmp_path), "--out", str(tmp_path / "out.jsonl")]
    (tmp_path / "out.jsonl").write_text("mine")
    assert cli.main(asked) == 2
    assert "is there already. Add --force to write over it" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert cli.main([*asked, "--force"]) == 0 and (tmp_path / "out.jsonl").read_text() != "mine"
    assert "remarks" not in capsys.readouterr().out


def test_some_steps_are_written_alone_and_those_that_are_not_there_are_named(store, tmp_path):
    run_export.write(store, "jsonl", tmp_path / "run.jsonl", run_export.steps_in("4-9, 12"))
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == 3
    with pytest.raises(Mistake, match=r"kept no solutions of the steps asked for. It has steps 3, 5"):
        run_export.write(store, "jsonl", tmp_path / "no.jsonl", [7])
    with pytest.raises(Mistake, match="numbers and ranges"):
        run_export.steps_in("all")
    with pytest.raises(Mistake, match=r"end in .json or .jsonl"):
        run_export.write(store, "unipo", tmp_path / "run.txt")
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["run.jsonl"]


# ---- UNIPO: what poloclub/unipo's build script does with a file, and what its viewer asks of the outcome


def built(path):
    """Header and entries as its script reads them; every step as the page fetches it."""
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        document = json.loads(text)
        header, entries = document["header"], document["entries"]
    else:
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line.pop("type") for line in lines] == ["header", *["step"] * (len(lines) - 1)]
        header, *entries = lines
    assert header["algorithm"] and re.fullmatch(r"[a-z0-9_-]+", header["algorithm"])
    for value in (header, *entries):  # it is written again in UTF-8, and read by a browser
        again = json.dumps(value, ensure_ascii=False).encode("utf-8").decode("utf-8")
        json.loads(again, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return header, entries


def check(entries):
    assert [entry["step"] for entry in entries] == sorted({entry["step"] for entry in entries})
    for entry in entries:
        assert all(isinstance(value, float) for value in entry["metrics"].values()) and "reward" in entry["metrics"]
        ids = []
        for prompt in entry.get("prompts", ()):
            assert isinstance(prompt["prompt"], str) and prompt["responses"]
            for response in prompt["responses"]:
                ids.append(response["id"])
                assert re.fullmatch(r"[a-z0-9_]+", response["id"])  # it stands in a CSS selector
                assert {"reward", "response_text", "response_length", "tokens"} <= set(response)
                lengths = {len(values) for values in response["tokens"].values()}
                assert lengths == {response["response_length"]} and {"ids", "strings"} <= set(response["tokens"])
                assert None not in response["tokens"].get("values", ())  # it asks each for its digits
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_unipos_rules_hold_for_what_is_hostile_and_what_is_missing(store, tmp_path, suffix):
    report = run_export.write(store, "unipo", tmp_path / f"run.{suffix}")
    header, entries = built(tmp_path / f"run.{suffix}")
    check(entries)
    assert "asks for policy_objective, which" in report["remarks"][0]
    assert header["hparams"]["kl_estimator"] == "exact" and "policy_objective" not in entries[0]["metrics"]
    whole, words = (entry["prompts"][0]["responses"][0] for entry in entries if "prompts" in entry)
    assert whole["tokens"]["ref_log_probs"][3:5] == [None, None] and whole["tokens"]["strings"][5] == "\\ud800"
    assert words["reward"] is None and words["tokens"]["ids"] == [None, None] and "log_probs" not in words["tokens"]
    assert "values" not in words["tokens"]


def test_unipo_is_told_what_the_run_measured(real_run, tmp_path, capsys):
    out = tmp_path / "run.json"
    asked = ["export-run", "vimpo-1", "--runs-dir", str(real_run.parent), "--to", "unipo", "--json"]
    assert cli.main([*asked, "--steps", "1-2", "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    store = RunStore.open(real_run)
    _, entries = built(out)
    check(entries)
    traces, config = store.traces(2), store.config().at(2)
    assert report["solutions"] == 2 * len(traces) and report["remarks"] == []
    assert entries[-1]["metrics"]["policy_objective"] == -store.metrics()[2]["actor_loss"]
    responses = [response for prompt in entries[-1]["prompts"] for response in prompt["responses"]]
    for index, (response, trace) in enumerate(zip(responses, traces, strict=True)):
        tokens = {
            name: np.array(values, np.float32) for name, values in response["tokens"].items() if name != "strings"
        }
        assert tokens["log_probs"].tobytes() == tokens["old_log_probs"].tobytes() == trace.logprob.tobytes()
        assert tokens["token_kl"].tobytes() == trace.kl.tobytes()
        whitened = lenses.lens_values(traces, index, "advantages_whitened", config.beta, config.gae_lambda)
        assert np.allclose(response["tokens"]["advantages"], whitened, rtol=1e-12, atol=0)
