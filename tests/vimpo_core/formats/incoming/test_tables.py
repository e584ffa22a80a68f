"""verl's rollouts, and the documented table in its three kinds of files."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from vimpo_core.formats.incoming.assemble import import_run, pieces, survey, to_trace
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.formats.incoming.rows import Row
from vimpo_core.paths import BUNDLED_MODEL
from vimpo_core.types import StopReason

VERL = {"input": "user\n3+4=\nassistant\n", "output": "7.", "gts": "7", "score": 1.0, "step": 4, "acc": True}


@pytest.fixture
def bring(tmp_path):
    def made(name: str, content: bytes):
        (tmp_path / name).write_bytes(content)
        return import_run(recognise([(tmp_path / name, name)]), tmp_path / "run")

    return made


def _lines(*records: dict) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def test_verls_groups_are_those_of_its_uid(bring):
    uids = ("00-3_0_0", "00-3_1_0", "00-7_0_0")
    traces = bring("4.jsonl", _lines(*[{**VERL, "uid": uid} for uid in uids])).traces(4)
    assert [(t.group_id, t.sample_idx) for t in traces] == [(0, 0), (0, 1), (1, 0)]
    assert (traces[0].gold, traces[0].reward, traces[0].extras) == ("7", 1.0, {"acc": "true"})


def test_without_a_uid_verls_groups_are_those_of_equal_prompts(bring):
    store = bring("4.jsonl", _lines(VERL, {**VERL, "input": "other"}, VERL))
    assert [(t.group_id, t.sample_idx) for t in store.traces(4)] == [(0, 0), (0, 1), (1, 0)]
    assert "1 of 2 groups do not have" in store.imported()["survey"]["doubts"][0]


def test_a_value_of_a_verl_reward_function_that_is_called_step_is_not_taken_for_the_step(tmp_path):
    for name in ("4.jsonl", "5.jsonl"):
        (tmp_path / name).write_bytes(_lines({**VERL, "output": name, "step": 2}, {**VERL, "step": 3}))
    store = import_run(recognise([(tmp_path, "rollout")]), tmp_path / "run")
    assert [[t.extras["step"] for t in store.traces(step)] for step in (4, 5)] == [[2, 3], [2, 3]]
    assert any("The steps are the names'" in note for note in store.imported()["survey"]["notes"])


def test_rewards_of_a_table_keep_their_names_and_other_numbers_beside_them_are_named(bring):
    row = {"prompt": "1+1=", "completion": "2", "reward": 0.7, "reward_right": 1.0, "format_reward": 0.1, "length": 3}
    store = bring("table.jsonl", _lines(row, {**row, "rewards": {"brief": 0.5}}))
    assert [t.rewards for t in store.traces(0)] == [
        {"reward_right": 1.0, "format_reward": 0.1},
        {"brief": 0.5, "reward_right": 1.0, "format_reward": 0.1},
    ]
    assert [t.reward for t in store.traces(0)] == [0.7, 0.7]
    said = store.imported()["survey"]
    assert not any("several rewards" in one for one in said["doubts"])
    assert said["notes"] == ["Numbers beside the reward, shown with a solution and counted in nothing: length."]


TABLE = {
    "prompt": "2+3=",
    "completion": "5.",
    "reward": 0.5,
    "step": 2,
    "group": "p",
    "answer": "5",
    "finish": "length",
    "token_ids": [5, 6],
    "tokens": ["5", "."],
    "loss_mask": [1, 0],
    "logprobs": [-0.5, -0.25],
    "kl": [0.125, 0.0],
    "seed": 7,
}


def _parquet(path, record: dict) -> bytes:
    pq.write_table(pa.table({name: [value] for name, value in record.items()}), path)
    return path.read_bytes()


def _csv(record: dict) -> bytes:
    cells = [json.dumps(v) if isinstance(v, list) else str(v) for v in record.values()]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    return f"{','.join(record)}\n{','.join(quoted)}\n".encode()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_the_documented_table_is_the_same_run_in_every_kind_of_file(bring, tmp_path, kind):
    contents = {
        "csv": lambda: _csv(TABLE),
        "jsonl": lambda: _lines(TABLE),
        "json": lambda: json.dumps([TABLE], indent=1).encode(),
        "parquet": lambda: _parquet(tmp_path / "made", TABLE),
    }
    store = bring("table", contents[kind]())
    (trace,) = store.traces(2)
    assert (trace.prompt_text, trace.text, trace.reward, trace.gold) == ("2+3=", ("5", "."), 0.5, "5")
    assert (trace.ids.tolist(), trace.mask.tolist()) == ([5, 6], [True, False])
    np.testing.assert_array_equal(trace.logprob, np.float32([-0.5, -0.25]))
    np.testing.assert_array_equal(trace.kl, np.float32([0.125, 0]))
    assert trace.ref_logprob is None and trace.finish_reason is StopReason.LENGTH
    assert trace.provenance == {"logprob": "recorded", "kl": "recorded"}
    assert float(trace.extras["seed"]) == 7
    assert store.imported()["sources"]["logprob"] == "recorded"
    assert store.imported()["sources"]["ref_logprob"] == "missing"
    assert store.metrics() == [{"step": 2, "kl_mean": 0.0625, "length_mean": 2.0, "reward_mean": 0.5}]


@pytest.mark.parametrize("text", ["", " ", "a  b\n\n c ", "\n", "one", "é\u2028x\ty" + "z" * 300])
def test_the_pieces_of_a_completion_spell_it(text):
    assert "".join(pieces(text)) == text and len(pieces(text)) >= 1


def test_texts_that_are_not_the_sampled_tokens_are_counted_where_the_tokenizer_is_here(tmp_path):
    tokenizer = Tokenizer.from_file(str(BUNDLED_MODEL / "tokenizer.json"))
    ids = tokenizer.encode("42;62.", add_special_tokens=False).ids
    rows = [ids, [*ids, 1], [*ids[:2], ids[0], *ids[3:]], [*ids[:-1], 9999]]
    header = {"header": {"schema_version": 1, "model": {"id": "bundled"}}, "metrics": []}
    shared = {"step": 1, "group_id": 0, "prompt_text": "7*6+20=", "reward": 1.0, "rank": 0}
    texts = [["4", "2", ";", "6", "2", ".", ""][: len(one)] for one in rows]
    records = [
        {**shared, "sample_idx": i, "ids": one, "text": text}
        for i, (one, text) in enumerate(zip(rows, texts, strict=True))
    ]
    (tmp_path / "a").write_bytes(_lines(header, *records))
    doubts = survey(recognise([(tmp_path / "a", "a")]))["doubts"]
    assert doubts == [
        "1 of 4 solutions that were looked at are cut into other tokens by bundled's tokenizer than those that were "
        "sampled.",
        "1 of 4 solutions that were looked at hold token ids beyond the vocabulary of bundled.",
    ]


def test_of_a_completion_without_a_word_nothing_counts():
    row = Row("x, row 1", prompt="2+3=", reward=1.0)
    assert not to_trace(row, 0, 0, 0).mask.any()
    assert to_trace(replace(row, completion="5."), 0, 0, 0).mask.all()
    assert to_trace(replace(row, ids=(7,), texts=("",)), 0, 0, 0).mask.all()  # an end token says nothing
