"""Folders that TRL 1.16's `log_completions` wrote."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
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


PAID = np.array([[1, 0, 0, 1, 0, 1, 1, 1, 0.5, 0, 1, 0], [0.2, 0.9, 0.1, 0.4, 0.3, 0, 0.8, 0.5, 0.1, 0.7, 0.2, 0]]).T
LENGTH = [3.0, 5, 4, 9, 2, 8, 7, 1, 6, 5, 3, 2]


def _run(tmp_path, total, scale="group", **columns):
    """A run of one file whose advantages TRL made of `total`: three groups of four."""
    grouped = np.asarray(total, float).reshape(3, 4)
    spread = {"group": grouped.std(1, ddof=1, keepdims=True) + 1e-4, "batch": grouped.std(ddof=1) + 1e-4, "none": 1}
    advantages = ((grouped - grouped.mean(1, keepdims=True)) / spread[scale]).ravel()
    prompts = [prompt for prompt in ("a", "a", "b") for _ in range(4)]
    made = {"step": [2] * 12, "prompt": prompts, "completion": [f"c{i}" for i in range(12)]}
    if columns.pop("first", False):
        made["advantage"] = advantages
    pq.write_table(pa.table(made | columns | {"advantage": advantages}), tmp_path / "completions_00002.parquet")
    return import_run(recognise([(tmp_path, "out")]), tmp_path / "run")


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_number_logged_beside_the_rewards_is_told_from_them_by_the_advantage(tmp_path, scale):
    store = _run(tmp_path, PAID.sum(1), scale, right=PAID[:, 0], brief=PAID[:, 1], length=LENGTH)
    assert [t.reward for t in store.traces(2)] == pytest.approx(PAID.sum(1))
    assert [t.extras["length"] for t in store.traces(2)] == LENGTH
    found = store.imported()["survey"]
    assert found["rewards"] == {"brief": 12, "right": 12}
    assert found["notes"][0] == "The reward is the sum of right, brief, as the advantages say."
    assert found["notes"][-1].endswith("counted in nothing: length.")


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_weights_of_rewards_are_found_in_the_advantages(tmp_path, scale):
    total = PAID @ [1, -0.25]
    store = _run(tmp_path, total, scale, right=PAID[:, 0], brief=PAID[:, 1])
    assert [t.reward for t in store.traces(2)] == pytest.approx(total)
    assert "weighted rewards, and so is the reward: right × 1, brief × -0.25." in store.imported()["survey"]["notes"][0]


@pytest.mark.parametrize("is_first", [True, False])
def test_one_of_several_rewards_that_is_called_advantage_is_said_to_be_lost(tmp_path, is_first):
    """Where it stands before another one TRL's column stands in its place; as the last the advantages give it away."""
    store = _run(tmp_path, PAID.sum(1), right=PAID[:, 0], first=is_first)
    (said,) = [one for one in store.imported()["survey"]["doubts"] if "groups" not in one and "rows have" not in one]
    rewards = [t.reward for t in store.traces(2)]
    if is_first:
        assert said.startswith("A reward function is called advantage") and np.isnan(rewards).all()
    else:
        assert said.startswith("The advantages are not made of the rewards that are there (right)")
        assert rewards == PAID[:, 0].tolist()
    assert [t.rewards for t in store.traces(2)] == [{"right": one} for one in PAID[:, 0]]


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
    assert store.imported()["survey"]["doubts"][0].startswith("A reward function is called step: its rewards stand in")


def test_a_reward_function_named_prompt_leaves_nothing_to_read(tmp_path):
    path = _written(tmp_path / "a.parquet", prompt=[1.0, 0.0])
    with pytest.raises(Mistake, match="its prompt is a number: a reward function of that name took the column's place"):
        import_run(recognise([(path, "a.parquet")]), tmp_path / "run")


def test_rewards_of_a_function_named_advantage_are_lost_and_its_rows_are_kept(tmp_path):
    path = _written(tmp_path / "a.parquet")
    store = import_run(recognise([(path, "a.parquet")]), tmp_path / "run")
    assert [np.isnan(t.reward) and t.tool_advantage for t in store.traces(3)] == [0.7, -0.7]
    lost, unpaid = store.imported()["survey"]["doubts"]
    assert lost.startswith("TRL wrote no rewards: those of a function that is called advantage are lost")
    assert unpaid == "2 of 2 rows have no reward."


def test_token_ids_that_a_reward_function_logged_are_the_tokens(tmp_path):
    path = _written(tmp_path / "a.parquet", spy=[None, None], correct=[1.0, 0.0], completion_ids=[[5, 6], [7]])
    first, second = import_run(recognise([(path, "a.parquet")]), tmp_path / "run").traces(3)
    assert (first.ids.tolist(), first.text, first.rewards) == ([5, 6], ("[5]", "[6]"), {"correct": 1.0})
    assert (second.ids.tolist(), second.extras["completion"]) == ([7], "c")
