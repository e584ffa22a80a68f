"""Files that are not what they seem: each refused in one sentence, or its good rows kept and the others counted."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vimpo_core.formats.incoming import opening
from vimpo_core.formats.incoming.assemble import MAX_ROWS, import_run, survey
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.mistake import Mistake

GOOD = {"prompt": "2+3=", "completion": "5.", "reward": 1.0}
TOKENS = {**GOOD, "token_ids": [5, 6], "logprobs": [-0.1, -0.2], "ref_logprobs": [-0.1, -0.2]}


def _lines(*records: dict) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


REFUSED = {
    "empty": (b"", "is empty. There is nothing to bring."),
    "blank": (b" \n \n", "is empty but for spaces"),
    "utf16": (json.dumps(GOOD).encode("utf-16"), "is written in UTF-16. Save it as UTF-8."),
    "huge_int": (b'{"prompt":"a","completion":"b","reward":' + b"9" * 5000 + b"}", "a number with too many digits"),
    "one_long_line": (_lines({**GOOD, "completion": "5" * 2_000_000}), "completion has more than 500,000 characters"),
    "deep": (b"[" * 100_000, "cannot be read: it is nested too deeply."),
    "deep_inside": (b'{"prompt":' + b"[" * 100_000, "is nested too deeply."),
    "twice": (b'{"prompt":"a","prompt":"b","completion":"c","reward":1}', "it names 'prompt' twice."),
    "lengths": (_lines({**TOKENS, "logprobs": [-0.1]}), "it has 2 tokens and another number of entries in logprob."),
    "no_reward": (_lines({"prompt": "a", "completion": "b"}), "it has no reward."),
    "no_rows": (b"prompt,completion,reward\n", "holds no rows."),
    "pickle": (b"\x80\x04\x95rest", "is a Python pickle, which runs code when it is opened, so it is not: docs/"),
    "torch": (b"PK\x03\x04rest", "it can hold code, so it is not opened: docs/bring_a_run.md"),
    "numpy": (b"\x93NUMPY", "so it is not opened: docs/bring_a_run.md"),
    "not_parquet": (b"PAR1 and no more", "is no Parquet file that can be read, or is cut off"),
    "something": (b"\x00\x01\x02", "is neither JSON, CSV nor Parquet"),
    "other": (_lines({"loss": 1.0}), "is of no format that is known here; it has 'loss'. A table needs the columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_taken_is_refused_in_one_sentence_and_nothing_is_written(tmp_path, name):
    content, sentence = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Mistake) as refused:
        import_run(recognise([(tmp_path / name, name)]), tmp_path / "runs" / "run")
    assert name in str(refused.value) and sentence in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists() or list((tmp_path / "runs").iterdir()) == []


INFINITE = b'{"prompt":"a","completion":"b","reward":1e999}'
KEPT = {
    "torn": (_lines(GOOD, GOOD) + b'{"prompt": "2+', 2, {"the last line is cut off.": 1}),
    "nan": (_lines({**GOOD, "reward": float("nan")}, GOOD), 1, {"reward is no finite number.": 1}),
    "infinite": (
        _lines(GOOD) + b'{"prompt":"a","completion":"b","reward":1e999}',
        1,
        {"reward is no finite number.": 1},
    ),
    "two_formats": (_lines(GOOD, {"input": "a", "output": "b", "score": 1.0}), 1, {"it has no prompt.": 1}),
    "not_a_record": (_lines(GOOD) + b"[1]\n7\n", 1, {"it is no record.": 2}),
    "markup": (_lines({**GOOD, "completion": '<b onclick="x">5</b> =1+1 \u202e\x00'}), 1, {}),
    "beyond_what_floats_hold": (
        _lines(
            {**GOOD, "reward": 1e300},
            {**GOOD, "token_ids": [1], "logprobs": [-1e300]},
            {**GOOD, "token_ids": [1], "logprobs": [-1e15]},
        ),
        1,
        {
            "a reward or advantage of it is beyond 1e+15.": 1,
            "logprobs holds a number that is not finite or is beyond 1e+15.": 1,
        },
    ),
    "half_a_pair": (b'{"prompt":"a","completion":"\\ud83d","reward":1}', 1, {}),
}


@pytest.mark.parametrize("name", KEPT)
def test_good_rows_are_kept_beside_bad_ones_that_are_counted(tmp_path, name):
    content, rows, refused = KEPT[name]
    (tmp_path / name).write_bytes(content)
    store = import_run(recognise([(tmp_path / name, name)]), tmp_path / "run")
    found = store.imported()["survey"]
    assert (found["rows"], {why: those["rows"] for why, those in found["refused"].items()}) == (rows, refused)
    assert len(store.traces(0)) == rows
    if name == "two_formats":
        assert "two formats: those of verl rollouts are left out" in store.imported()["notes"][0]


def test_a_log_probability_above_zero_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(_lines({**TOKENS, "logprobs": [0.4, -0.2]}))
    assert survey(recognise([(tmp_path / "a.jsonl", "a")]))["doubts"] == [
        "1 row has a log-probability above 0 (logprob)."
    ]


def test_a_parquet_file_that_unpacks_a_thousandfold_is_not_read_on(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_BATCH", 2**18)
    table = pa.table({"prompt": ["a"] * 2000, "completion": ["5" * 10_000] * 2000, "reward": [1.0] * 2000})
    pq.write_table(table, tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 50_000
    with pytest.raises(Mistake, match=r"bomb.parquet unpacks to more than 0.25 MiB in 32 rows"):
        survey(recognise([(tmp_path / "bomb.parquet", "bomb.parquet")]))


def test_a_parquet_file_whose_text_is_no_text_is_refused(tmp_path):
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xd0")])
    pq.write_table(pa.table({"prompt": text, "completion": text, "reward": [1.0]}), tmp_path / "a")
    with pytest.raises(Mistake, match="a cannot be read beyond row 0"):
        recognise([(tmp_path / "a", "a")])


def test_of_more_rows_than_are_read_the_first_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("vimpo_core.formats.incoming.assemble.MAX_ROWS", 3)
    (tmp_path / "a.jsonl").write_bytes(_lines(*[GOOD] * 5))
    found = survey(recognise([(tmp_path / "a.jsonl", "a")]))
    assert (MAX_ROWS, found["rows"]) == (200_000, 3) and "There are more than 3 rows" in found["doubts"][-1]


def test_a_name_is_shown_and_never_a_path(tmp_path):
    (tmp_path / "a").write_bytes(_lines(GOOD))
    store = import_run(recognise([(tmp_path / "a", "../../etc/passwd\n<b>")]), tmp_path / "run", "a\n" * 99)
    assert store.imported()["files"] == ["../../etc/passwd\n<b>"]
    assert store.header()["name"] == ("a " * 40)


def test_a_link_in_a_folder_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(_lines(GOOD))
    (tmp_path / "brought").mkdir()
    (tmp_path / "brought" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(Mistake, match="there is no file in what you brought"):
        recognise([(tmp_path / "brought", "brought")])


def test_several_runs_of_a_tool_are_not_mixed(tmp_path):
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "1.jsonl").write_bytes(_lines({"input": run, "output": "x", "score": 1.0, "step": 1}))
    with pytest.raises(Mistake, match=r"there are 2 folders of verl rollouts in what you brought \(a, b\)"):
        recognise([(tmp_path, "runs")])
