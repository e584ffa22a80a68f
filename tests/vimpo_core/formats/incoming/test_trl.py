"""Folders that TRL 1.16's `log_completions` wrote."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.formats.incoming.trl import rewards_among
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState

DATA = Path(__file__).parents[3] / "data" / "incoming" / "trl"


@pytest.fixture
def bring(tmp_path):
    def made(name: str):
        return import_run(recognise([(DATA / name, name)]), tmp_path / "runs" / name)

    return made


def test_a_folder_of_completions_becomes_a_run_that_opens(bring, tmp_path):
    store = bring("plain")
    assert (store.state(), store.trace_steps(), store.config().task) == (RunState.FINISHED, [1, 2], "recorded")
    traces = store.traces(1)
    assert [(t.group_id, t.sample_idx) for t in traces] == [(g, i) for g in (0, 1) for i in range(4)]
    first = traces[0]
    assert (first.prompt_text, first.completion_text, first.reward) == ("3+1=", "4.", 1.0)
    assert (first.group_mean_reward, first.group_rewards) == (0.75, (1.0, 1.0, 0.0, 1.0))
    assert (first.tool_advantage, first.provenance["ids"]) == (0.4999000132083893, "missing")
    assert first.logprob is None and set(first.ids.tolist()) == {-1}
    (summary,) = RunsDir(tmp_path / "runs").list()
    assert (summary.imported["tool"], summary.steps, summary.config.group_size) == ("TRL", 2, 4)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["plain"]


def test_messages_are_read_as_text(bring):
    trace = bring("conversational").traces(1)[0]
    assert trace.prompt_text.startswith("system: Add.\nuser: ")
    assert trace.prompt_messages[0] == ("system", "Add.")
    assert "assistant" not in trace.completion_text


def test_a_reward_that_is_none_is_not_counted_and_several_are_summed(bring):
    store = bring("two_rewards_none")
    alone, both = store.traces(2)[0], store.traces(1)[0]
    assert (alone.rewards, alone.reward) == ({"correct": 1.0}, 1.0)
    assert set(both.rewards) == {"correct", "short_or_none"} and both.reward == sum(both.rewards.values())
    assert store.imported()["survey"]["rewards"] == {"correct": 16, "short_or_none": 8}


def test_what_a_function_logs_at_some_steps_is_kept_where_it_was(bring):
    store = bring("extra_some")
    assert [set(store.traces(step)[0].extras) for step in (1, 2)] == [set(), {"parsed"}]


def test_rows_written_again_under_later_steps_are_counted_once(bring):
    store = bring("reuse")
    found = store.imported()["survey"]
    assert (found["rows"], found["repeated"], store.trace_steps()) == (32, 32, [1])
    assert found["rewards"] == {"correct": 32}


def test_a_number_logged_beside_the_rewards_is_told_from_them_by_the_advantage():
    rewards = np.array([1.0, 0.0, 0.0, 1.0])
    advantages = (rewards - 0.5) / (rewards.std(ddof=1) + 1e-4)
    records = [
        {"prompt": "a", "paid": r, "length": n, "advantage": a}
        for r, n, a in zip(rewards, [3.0, 5.0, 4.0, 9.0], advantages, strict=True)
    ]
    assert rewards_among(records, ["paid", "length"]) == ["paid"]


def test_a_file_that_is_cut_off_among_whole_ones_is_said(tmp_path):
    for name in ("completions_00001.parquet", "completions_00002.parquet"):
        (tmp_path / name).write_bytes((DATA / "plain" / name).read_bytes()[: -9 if "2" in name else None])
    (tmp_path / "training_args.bin").write_bytes(b"PK\x03\x04")
    store = import_run(recognise([(tmp_path, "out")]), tmp_path / "run")
    (note,) = store.imported()["notes"]
    assert note.startswith("completions_00002.parquet is no Parquet file that can be read, or is cut off")
    assert (store.trace_steps(), len(store.imported()["survey"]["left_alone"])) == ([1], 2)


def _written(path: Path, **columns) -> Path:
    shared = {"step": [3, 3], "prompt": ["a", "a"], "completion": ["b", "c"], "advantage": [0.7, -0.7]}
    pq.write_table(pa.table({**shared, **columns}), path)
    return path


def test_a_reward_function_named_step_takes_the_steps_place_and_the_file_says_the_step(tmp_path):
    path = _written(tmp_path / "completions_00012.parquet", step=[1.0, 0.0])
    store = import_run(recognise([(path, path.name)]), tmp_path / "run")
    assert [(t.reward, t.rewards) for t in store.traces(12)] == [(1.0, {"step": 1.0}), (0.0, {"step": 0.0})]


def test_a_reward_function_named_prompt_leaves_nothing_to_read(tmp_path):
    path = _written(tmp_path / "a.parquet", prompt=[1.0, 0.0])
    with pytest.raises(Mistake, match="its prompt is a number: a reward function of that name took the column's place"):
        import_run(recognise([(path, "a.parquet")]), tmp_path / "run")


def test_rewards_of_a_function_named_advantage_are_lost_and_its_rows_are_kept(tmp_path):
    path = _written(tmp_path / "a.parquet")
    store = import_run(recognise([(path, "a.parquet")]), tmp_path / "run")
    assert [np.isnan(t.reward) and t.tool_advantage for t in store.traces(3)] == [0.7, -0.7]
    assert store.imported()["survey"]["doubts"] == ["2 of 2 rows have no reward."]


def test_token_ids_that_a_reward_function_logged_are_the_tokens(tmp_path):
    path = _written(tmp_path / "a.parquet", spy=[None, None], correct=[1.0, 0.0], completion_ids=[[5, 6], [7]])
    first, second = import_run(recognise([(path, "a.parquet")]), tmp_path / "run").traces(3)
    assert (first.ids.tolist(), first.text, first.rewards) == ([5, 6], ("[5]", "[6]"), {"correct": 1.0})
    assert (second.ids.tolist(), second.extras["completion"]) == ([7], "c")
