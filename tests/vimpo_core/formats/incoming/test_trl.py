"""Folders that TRL 1.16's `log_completions` wrote."""

from pathlib import Path

import numpy as np
import pytest

from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.formats.incoming.trl import rewards_among
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
