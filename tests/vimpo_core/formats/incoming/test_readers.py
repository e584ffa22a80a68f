"""Other tools' files, a reader each: what they recorded arrives under its right name, and nothing that they did not."""

import json
import math

import numpy as np
import pytest

from tests.vimpo_core.formats.test_outgoing import alike, all_traces, hostile_store
from vimpo_core import reports
from vimpo_core.formats import export, trace_files
from vimpo_core.formats.incoming.assemble import import_run, records_of
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.formats.incoming.rows import Refusal
from vimpo_core.formats.outgoing import run_export
from vimpo_core.paths import ROOT
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.types import StopReason

DATA = ROOT / "tests" / "data" / "incoming"
PRIME = {
    "schema_version": 1,
    "step": 3,
    "rank": 0,
    "micro_step": 0,
    "env_name": "gsm8k",
    "token_ids": [9, 11, 20, 30, 1],
    "position_ids": [0, 1, 2, 3, 4],
    "loss_mask": [False, False, True, False, True],
    "advantages": [0.0, 0.0, 0.5, 0.0, 0.5],
    "inference_logprobs": [0.0, 0.0, -0.31, 0.0, -0.02],
    "trainer_logprobs": [-6.9, -2.2, -0.3, -1.1, -0.02],
    "entropy": [6.9, 1.1, 0.8, 0.7, 0.1],
    "mismatch_kl": [None, None, 0.0001, None, 0.0],
    "importance_ratio": [0.5, 0.1, 1.01, 0.3, 1.0],
    "is_masked": [None, None, True, None, False],
}
INSTRUCT = {
    "step": 5,
    "sample_idx": 0,
    "prompt_idx": 2,
    "prompt_tokens": [9, 11],
    "response_tokens": [20, 1],
    "reward": 1.0,
    "advantage": 0.5,
    "finish_reason": "stop",
    "dataset": "gsm8k",
    "ground_truth": [20],
    "request_info": None,
    "logprobs": [-0.31, -0.02],
}
BOARD = {
    "step": 4,
    "prompt": "<PAD>2+3=",
    "response": "5<eos><PAD><PAD>",
    "response_tokens": ["5", "<eos>", "<PAD>", "<PAD>"],
    "logprobs": [-0.31, -0.02, -9.0],
    "ref_logprobs": [-0.44, -0.02, -9.0],
    "values": [0.2, 0.6, 0.0],
    "token_rewards": [0.0, 1.0, 0.0],
    "reward": 1.0,
    "ref_response": "6",
}
NODE = {"message": {"role": "user", "content": "2+3="}, "token_ids": [9, 11], "mask": [False, False]}
ANSWER = {
    "parent": 0,
    "sampled": True,
    "message": {"role": "assistant", "content": [{"type": "text", "text": "5"}]},
    "token_ids": [7, 20, 1],
    "mask": [False, True, True],
    "logprobs": [-0.31, -0.02],
    "advantages": [0.5, 0.5],
    "reference_logprobs": [-0.44, None],
}
EPISODE = {
    "id": "e1",
    "env": {"id": "gsm8k"},
    "task": {"type": "T", "data": {"prompt": "2+3=", "answer": "5"}},
    "group": {"id": "g1"},
    "run": {"type": "train", "id": "r", "work": {"type": "train", "step": 8}},
    "ok": True,
    "traces": [
        {
            "id": "t1",
            "task": {"type": "T", "data": {"prompt": "2+3=", "answer": "5"}},
            "agent": {"config": {}, "trainable": True},
            "rewards": {"correct": {"score": 1.0, "weight": 0.8}, "brief": {"score": 0.5}, "unasked": None},
            "metrics": {"turns": 1.0},
            "calls": [{"node": 1, "finish_reason": "stop", "sampling": {"temperature": 0.7}}],
            "nodes": [NODE, ANSWER],
        }
    ],
}
TURN = {"prompt_ids": [9, 11], "completion_ids": [20], "completion_mask": [1], "completion_logprobs": [-0.5]}
LEGACY = {
    "example_id": 3,
    "prompt": [{"role": "user", "content": "2+3="}],
    "completion": [{"role": "assistant", "content": "5"}],
    "reward": 1.0,
    "answer": "5",
    "is_completed": True,
    "is_truncated": True,
    "metrics": {"correct": 1.0},
    "trajectory": [
        {"tokens": TURN, "advantage": 0.25},
        {"tokens": TURN | {"prompt_ids": [9, 11, 20, 30, 31], "completion_ids": [1]}, "advantage": 0.25},
    ],
}
UNIPO = {
    "header": {"algorithm": "grpo", "model_name": "m", "reference_model_name": "m0", "hparams": {"beta": 0.2}},
    "entries": [
        {
            "step": 7,
            "metrics": {"policy_objective": 0.1, "reward": 1.0},
            "prompts": [
                {
                    "prompt": "2+3=",
                    "responses": [
                        {
                            "id": "s0",
                            "reward": 1.0,
                            "advantage": 0.5,
                            "response_text": "5",
                            "response_length": 2,
                            "tokens": {
                                "ids": [20, 1],
                                "strings": ["5", "<eos>"],
                                "log_probs": [-0.3, -0.02],
                                "old_log_probs": [-0.31, -0.02],
                                "ref_log_probs": [-0.44, -0.02],
                                "token_kl": [0.02, 0.0],
                                "rewards": [0.0, 1.0],
                            },
                        }
                    ],
                }
            ],
        }
    ],
}


@pytest.fixture
def bring(tmp_path):
    """The rows that the reader of a file of these records makes of it."""

    def read(*records, name="some.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        found = recognise([(tmp_path / name, name)])
        looked = found.reader.look(found.files) if hasattr(found.reader, "look") else None
        return [row for file in found.files for row in records_of(found.reader, file, looked)]

    return read


def listed(values):
    return [None if math.isnan(value) else round(float(value), 5) for value in values]


def test_prime_rl_drops_what_it_fills_in_and_calls_nothing_a_kl_to_the_reference(bring):
    (row,) = bring(PRIME)
    assert (row.step, row.prompt_ids, row.ids, row.mask) == (3, (9, 11), (20, 30, 1), (True, False, True))
    found = {name: listed(values) for name, values in row.arrays.items()}
    assert found == {
        "logprob": [-0.3, -1.1, -0.02],
        "sampler_logprob": [-0.31, None, -0.02],
        "entropy": [0.8, 0.7, 0.1],
        "advantages": [0.5, None, 0.5],
        "mismatch_kl": [0.0001, None, 0.0],
        "importance_ratio": [1.01, None, 1.0],
        "is_masked": [1.0, None, 0.0],
    }
    assert (row.advantage, row.reward, row.group, row.prompt, row.texts) == (0.5, None, None, "", None)


def test_prime_rls_first_number_belongs_to_nothing_and_its_first_layout_has_the_reward(bring):
    whole = PRIME | {"loss_mask": [True] * 5, "rewards": [0.25] * 5, "training_mode": "rl"}
    first, second = bring(whole, PRIME | {"loss_mask": [False] * 5})
    assert listed(first.arrays["logprob"])[0] is None and listed(first.arrays["entropy"])[:2] == [None, 1.1]
    assert (first.reward, first.prompt_ids) == (0.25, ())
    assert isinstance(second, Refusal) and "where the completion begins was not recorded" in second.why


def test_open_instructs_logprobs_are_the_samplers(bring, tmp_path):
    rows = bring(INSTRUCT, INSTRUCT | {"logprobs": None, "finish_reason": "length", "ground_truth": "5"})
    assert {name: listed(values) for name, values in rows[0].arrays.items()} == {"sampler_logprob": [-0.31, -0.02]}
    assert (rows[0].ids, rows[0].prompt_ids, rows[0].group, rows[0].gold) == ((20, 1), (9, 11), "2", "")
    assert (rows[1].arrays, rows[1].gold) == ({}, "5")
    assert [row.finish for row in rows] == [StopReason.EOS, StopReason.LENGTH]
    meta = {"run_name": "r", "git_commit": "c", "model_name": "org/m", "timestamp": "t"}
    (tmp_path / "r_metadata.jsonl").write_text(json.dumps(meta))
    assert recognise([(tmp_path, "r")]).facts == {"name": "r", "model": "org/m"}


def test_rl_logging_boards_padding_is_cut_off(bring):
    row, refused, bare = bring(
        BOARD, BOARD | {"values": [0.5]}, {name: BOARD[name] for name in ("prompt", "response", "reward", "step")}
    )
    assert (row.prompt, row.completion, row.texts, row.ids) == ("2+3=", "5<eos>", ("5", "<eos>"), None)
    assert listed(row.arrays["ref_logprob"]) == [-0.44, -0.02] and listed(row.arrays["token_rewards"]) == [0.0, 1.0]
    assert set(row.arrays) == {"logprob", "ref_logprob", "values", "token_rewards"} and row.extras == {
        "ref_response": "6"
    }
    assert isinstance(refused, Refusal) and "by more than padding" in refused.why
    assert (bare.texts, bare.arrays) == (None, {})


def test_verifiers_traces_are_laid_out_over_all_tokens(bring):
    (row,) = bring(EPISODE)
    assert (row.step, row.group, row.gold, row.completion) == (8, "g1", "5", "5")
    assert (row.prompt_ids, row.ids, row.mask) == ((9, 11, 7), (20, 1), (True, True))
    found = {name: listed(values) for name, values in row.arrays.items()}
    assert found == {"sampler_logprob": [-0.31, -0.02], "ref_logprob": [-0.44, None], "advantages": [0.5, 0.5]}
    assert row.rewards == {"correct": 1.0, "brief": 0.5, "unasked": None} and row.reward == pytest.approx(1.3)
    assert row.extras == {"turns": 1.0, "temperature": 0.7} and row.finish is StopReason.EOS


def test_what_prime_rls_trainer_wrote_beside_a_trace_counts_where_it_covers_the_sampled_tokens(tmp_path):
    streams = {"trainer_logprobs": [None, None, None, -0.3, -0.01], "entropies": [None, None, None, 0.5, None]}
    old = {"version": 1, "trace_id": "t1", "info": {}, "branches": [{"index": 0, **streams, "advantages": [9.0] * 5}]}
    new = old | {"branches": [{"index": 0, "advantages": [0, 0, 0, 0.25, 0.25]}]}
    (tmp_path / "annotations").mkdir()
    for name, records in {"traces.jsonl": [EPISODE], "annotations/00001.jsonl": [old, new]}.items():
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in records))
    store = import_run(recognise([(tmp_path, "run")]), tmp_path / "run")
    (trace,) = store.traces(8)
    assert listed(trace.logprob) == [-0.3, -0.01] and listed(trace.tool_arrays["advantages"]) == [0.25, 0.25]
    assert (trace.tool_advantage, trace.entropy, trace.provenance["logprob"]) == (0.25, None, "recorded")
    survey = store.imported()["survey"]
    assert survey["doubts"][0].startswith("Numbers beside a trace do not cover its sampled tokens")
    assert any("stands in the place of the trace's own" in note for note in survey["notes"])


def test_each_branch_of_a_verifiers_trace_is_a_solution_and_frozen_agents_are_none(bring):
    (trace,) = EPISODE["traces"]
    untokenised = {name: ANSWER[name] for name in ("parent", "sampled", "message")}
    branched = trace | {"nodes": [NODE, ANSWER, untokenised]}
    judge = trace | {"agent": {"config": {}, "trainable": False}}
    broken = trace | {"nodes": [NODE, ANSWER | {"parent": 5}]}
    found = bring(EPISODE | {"traces": [branched, judge, broken], "run": None, "group": None})
    assert [isinstance(one, Refusal) for one in found] == [False, False, True]
    assert (found[0].ids, found[1].ids, found[1].arrays) == ((20, 1), None, {})
    assert (found[0].step, found[0].group, found[1].finish) == (None, None, None)


def test_the_turns_of_verifiers_older_line_are_one_solution_with_the_environments_tokens_masked(bring):
    row, apart, text = bring(
        LEGACY,
        LEGACY | {"trajectory": [LEGACY["trajectory"][1], LEGACY["trajectory"][0]]},
        {name: value for name, value in LEGACY.items() if name != "trajectory"},
    )
    assert (row.prompt_ids, row.ids, row.mask) == ((9, 11), (20, 30, 31, 1), (True, False, False, True))
    assert listed(row.arrays["sampler_logprob"]) == [-0.5, None, None, -0.5] and row.advantage == 0.25
    assert (row.group, row.gold, row.finish, row.extras) == ("3", "5", StopReason.LENGTH, {"correct": 1.0})
    assert apart.ids is None and "does not begin with the tokens" in apart.extras["tokens_left_out"]
    assert (text.ids, text.completion) == (None, "5")


@pytest.mark.parametrize("as_lines", [False, True])
def test_unipos_kl_is_exact_only_where_it_says_so(bring, as_lines):
    header = UNIPO["header"]
    for estimator, name in ((None, "token_kl"), ("k3", "token_kl"), ("exact", "kl")):
        told = header | {"hparams": {"kl_estimator": estimator}}
        lines = [{"type": "header", **told}, {"type": "step", **UNIPO["entries"][0]}]
        (row,) = bring(*lines) if as_lines else bring(UNIPO | {"header": told})
        found = {name: listed(values) for name, values in row.arrays.items()}
        assert found.pop(name) == [0.02, 0.0]
        assert found == {
            "logprob": [-0.31, -0.02],
            "log_probs": [-0.3, -0.02],
            "ref_logprob": [-0.44, -0.02],
            "rewards": [0.0, 1.0],
        }
        assert (row.step, row.prompt, row.reward, row.advantage) == (7, "2+3=", 1.0, 0.5)


def test_what_unipo_says_of_the_run_is_kept(bring, tmp_path):
    (tmp_path / "u.json").write_text(json.dumps(UNIPO, indent=1))
    found = recognise([(tmp_path / "u.json", "u.json")])
    assert found.facts.pop("notes") and found.facts == {
        "algorithm": "grpo",
        "model": "m",
        "reference": "m0",
        "beta": 0.2,
    }
    assert found.reader.metrics(found.files[0]) == [{"step": 7, "policy_objective": 0.1, "reward": 1.0}]


# ---- files as the tools wrote them (tests/data/README.md)


def _survey(folder, tmp_path):
    store = import_run(recognise([(DATA / folder, folder)]), tmp_path / "run")
    return store, store.imported()["survey"]


def test_prime_rls_files(tmp_path):
    store, found = _survey("prime_rl", tmp_path)
    assert (found["rows"], found["tokens"], found["left_alone"], store.trace_steps()) == (2, 4, {}, [3])
    assert found["arrays"] | {"ids": "recorded", "entropy": "recorded"} == found["arrays"]
    assert [found["arrays"][name] for name in ("kl", "ref_logprob", "topk")] == ["missing"] * 3
    first, second = store.traces(3)
    assert (first.ids.tolist(), second.prompt_ids, first.tool_advantage) == ([20, 1], (9, 12), 0.5)
    assert np.allclose(first.tool_arrays["importance_ratio"], np.exp(first.logprob - first.sampler_logprob), rtol=1e-6)


def test_verifiers_files(tmp_path):
    store, found = _survey("verifiers", tmp_path)
    (trace,) = store.traces(0)
    for name in ("logprob", "sampler_logprob", "entropy"):
        assert found["arrays"][name] == trace.provenance[name] == "approximate (written with 4 decimals)"
    assert (trace.ids.tolist(), trace.prompt_ids, trace.reward) == ([20, 21, 22, 1], (9, 11, 7), 1.0)
    assert (
        listed(trace.logprob) == [-0.0, -0.3141, -1.2345, -0.02]
        and trace.tool_arrays["advantages"].tolist() == [0.0] * 4
    )
    assert (trace.rewards, trace.extras["reasoning_content"], trace.ref_logprob) == ({"correct": 1.0}, "easy", None)


def test_areals_files(tmp_path):
    store, found = _survey("areal", tmp_path)
    assert (found["rows"], found["steps"]["count"], store.trace_steps()) == (4, 2, [4, 5])
    assert "rollout/4/19.jsonl is empty" in found["left_alone"]["rollout/4/19.jsonl"]
    cut = store.traces(5)[0]
    assert cut.prompt_text.endswith("<to") and cut.completion_text.startswith("ol>") and cut.extras["tokens"] == 18
    assert [trace.reward for trace in store.traces(4)] == [1.0, 0.0, 1.0] and "head_version" not in cut.extras


def test_skyrls_files(tmp_path):
    store, found = _survey("skyrl", tmp_path)
    assert (found["rows"], store.trace_steps()) == (3, [5])
    of_list = next(trace for trace in store.traces(5) if trace.extras["data_source"] == "unknown")
    assert (of_list.reward, of_list.extras["tokens"], of_list.finish_reason) == (1.0, 3, StopReason.LENGTH)
    assert [trace.gold for trace in store.traces(5)].count("7") == 2


def test_tinker_cookbooks_files(tmp_path):
    store, found = _survey("tinker", tmp_path)
    assert found["rows"] == 2 and found["left_alone"] == {}
    assert (store.header()["temperature"], store.header()["model"]["id"]) == (0.7, "Qwen/Qwen3-4B")
    trace = store.traces(0)[0]
    assert trace.ids.tolist() == [25, 16, 2] and trace.prompt_ids == (1, 2, 3) and math.isnan(trace.reward)
    assert trace.sampler_logprob.tolist() == [-0.5, np.float32(-0.25000008940696716), 0.0] and trace.logprob is None


# ---- our own, there and back


@pytest.fixture
def store(tmp_path):
    return hostile_store(tmp_path)


@pytest.mark.parametrize("to", ["jsonl", "parquet"])
def test_a_run_comes_back_bit_for_bit(store, tmp_path, to):
    run_export.write(store, to, tmp_path / f"out.{to}")
    again = import_run(recognise([(tmp_path / f"out.{to}", "out")]), tmp_path / "again")
    assert all(alike(a, b) for a, b in zip(all_traces(again), all_traces(store), strict=True))
    assert again.header()["name"] == "mine" and again.config().steps == store.config().steps
    assert [(row["step"], row["reward_mean"]) for row in again.metrics()] == [(3, 0.25), (4, 0.25), (5, 0.25)]


@pytest.mark.parametrize("to", ["json", "parquet"])
def test_a_solution_comes_back_bit_for_bit(store, tmp_path, to):
    traces, header = store.traces(3), run_export.header_of(store, [3])
    blob = (
        trace_files.to_json(traces[1], header).encode()
        if to == "json"
        else trace_files.to_parquet(traces, 1, header, "run", 0.1, 1.0)
    )
    (tmp_path / f"one.{to}").write_bytes(blob)
    again = import_run(recognise([(tmp_path / f"one.{to}", "one")]), tmp_path / "again")
    (found,) = again.traces(3)
    assert alike(found.with_(group_id=1, sample_idx=1, group_mean_reward=traces[1].group_mean_reward), traces[1])


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_what_unipo_holds_of_a_run_comes_back_bit_for_bit(real_run, tmp_path, suffix):
    store = RunStore.open(real_run)
    run_export.write(store, "unipo", tmp_path / f"out.{suffix}")
    again = import_run(recognise([(tmp_path / f"out.{suffix}", "out")]), tmp_path / "again")
    for found, stored in zip(all_traces(again), all_traces(store), strict=True):
        for name in ("ids", "logprob", "ref_logprob", "kl"):
            assert getattr(found, name).tobytes() == getattr(stored, name).tobytes(), name
        for name in ("step", "text", "prompt_text", "reward", "group_rewards"):
            assert getattr(found, name) == getattr(stored, name)
        assert found.entropy is None and "token_objective" in found.tool_arrays


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [1]},
        {"step": -1},
        {"text": [1] * 12},
        {"logprob": ["much"] * 12},
        {"topk": {"k": 2}},
        {"rewards": 7},
        {"first_wrong": 99},
        {"finish_reason": "bored"},
        {"provenance": {"kl": []}},
        {"prompt_ids": [10**40]},
        {"extras": {"a": [[]]}},
    ],
)
def test_a_record_of_ours_that_somebody_changed_is_refused(store, bring, change):
    record = trace_files.record(store.traces(3)[0])
    kept, refused = bring(record, record | change)
    assert kept.trace is not None and isinstance(refused, Refusal)


def test_a_line_of_a_trainer_with_our_writer_has_what_it_wrote_and_no_more(bring):
    line = {"step": 3, "group_id": 4, "sample_idx": 2, "rank": 1, "prompt_text": "2+3=", "prompt_pieces": ["2+", "3="]}
    line |= {
        "reward": 1.0,
        "rewards": {"right": 1.0, "brief": None},
        "ids": [20, 1],
        "text": ["5", "<eos>"],
        "kl": None,
    }
    line |= {"logprob": [-0.31, "nan"], "finish_reason": "eos", "tool_arrays": {"ratio": [1.0, 1.1]}}
    line |= {"provenance": {"logprob": "approximate (policy 1 update later)", "kl": "missing"}}
    row, marked = bring(line, line | {"group_id": "p7"})
    trace = row.trace
    assert (trace.step, trace.group_id, trace.sample_idx, trace.rewards) == (3, 4, 2, {"right": 1.0})
    assert listed(trace.logprob) == listed(marked.arrays["logprob"]) == [-0.31, None]
    assert trace.mask.all() and (trace.kl, trace.entropy, trace.prompt_pieces) == (None, None, ("2+", "3="))
    assert row.approximate == {"logprob": "policy 1 update later"} and trace.finish_reason is StopReason.EOS
    assert (marked.trace, marked.group, set(marked.arrays)) == (None, "p7", {"logprob", "ratio"})


@pytest.mark.parametrize(("tool", "said"), [("TRL", {}), ("UNIPO", {"algorithm": "grpo", "beta": 0.2})])
def test_a_brought_run_that_is_exported_again_and_again_says_only_settings_that_were_recorded(tmp_path, tool, said):
    (tmp_path / "u.json").write_text(json.dumps(UNIPO))
    brought = DATA / "trl" / "plain" if tool == "TRL" else tmp_path / "u.json"
    for again in range(3):
        run = import_run(recognise([(brought, brought.name)]), tmp_path / "runs" / f"run-{again}")
        imported = run.imported()
        assert (imported["tool"], imported["settings"], imported["updates_behind"]) == (tool, sorted(said), 1)
        brought = tmp_path / f"{again}.jsonl"
        run_export.write(run, "jsonl", brought)
        run_export.write(run, "unipo", tmp_path / "again.json")
        header = json.loads(brought.read_text().partition("\n")[0])["header"]
        assert header["config"] == export.header_of(run, run.trace_steps()[0])["config"] == said
        assert (header["algorithm"], header["beta"], header["gae_lambda"]) == (
            *map(said.get, ("algorithm", "beta")),
            None,
        )
        viewed = json.loads((tmp_path / "again.json").read_text())["header"]
        assert viewed["hparams"] == {name: said[name] for name in said if name != "algorithm"}
        assert viewed["algorithm"] == said.get("algorithm", "trl")
    line = reports.run_line(RunsDir(tmp_path / "runs").list()[0])
    assert (line["algorithm"], line["steps"], line["tool"]) == (said.get("algorithm"), None, tool)


def test_a_file_that_gave_defaults_as_settings_of_a_brought_run_is_not_believed(tmp_path, store):
    header = run_export.header_of(store, [3]) | {"imported": {"tool": "TRL", "rule": "", "updates_behind": 1}}
    (tmp_path / "old.json").write_text(trace_files.to_json(store.traces(3)[0], header))
    run = import_run(recognise([(tmp_path / "old.json", "old.json")]), tmp_path / "old")
    assert run_export.header_of(run, [3])["config"] == {}
