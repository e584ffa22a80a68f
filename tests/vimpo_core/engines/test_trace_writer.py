"""The traces that engines leave: every number reads back to the same bits, no half of a step is ever there."""

import json
import subprocess
import sys

import numpy as np
import pytest

from vimpo_core.engines import trace_writer


def test_float32_numbers_read_back_to_the_same_bits():
    drawn = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    values = drawn[np.isfinite(drawn)]
    back = np.array(json.loads(trace_writer.line({"kl": values, "%s": values[:3]}))["kl"], np.float32)
    assert (back.view(np.uint32) == values.view(np.uint32)).all()
    mixed = json.loads(trace_writer.line({"kl": np.array([np.nan, -np.inf, 0.5]), "%.9g": np.array([])}))
    assert mixed == {"kl": ["nan", "-inf", 0.5], "%.9g": []}


def test_a_record_is_one_line_whatever_is_in_it():
    record = {
        "text": ["\u2028\n", "\ud83d"],
        "ids": np.arange(3),
        "mask": np.array([True, False]),
        "reward": float("nan"),
        "rewards": {"length": float("nan"), "right": 1.0},
        "kl": None,
        "entropy": np.float32([0.1]),
        "tool_arrays": {"advantages": np.float32([0.5])},
    }
    line = trace_writer.line(record)
    assert line.isascii() and "\n" not in line
    assert json.loads(line) == {
        "text": ["\u2028\n", "\ud83d"],
        "ids": [0, 1, 2],
        "mask": [True, False],
        "reward": None,
        "rewards": {"length": None, "right": 1.0},
        "kl": None,
        "entropy": [pytest.approx(0.1)],
        "tool_arrays": {"advantages": [0.5]},
    }


def test_a_step_is_there_at_once_or_not_at_all(tmp_path):
    def broken():
        yield {"step": 3}
        raise OSError("no space left")

    with pytest.raises(OSError):
        trace_writer.write_step(tmp_path, 3, 0, broken())
    assert not list(tmp_path.rglob("*.jsonl"))
    written = trace_writer.write_step(tmp_path, 3, 1, [{"step": 3}])
    assert [file.name for file in written.parent.iterdir()] == ["rank_1.jsonl"]
    assert json.loads(written.read_text()) == {"step": 3, "rank": 1}
    trace_writer.mark_stable(tmp_path, 3)
    assert (tmp_path / "step_000003" / "STABLE").read_bytes() == b""


def test_steps_that_are_done_again_are_set_aside_not_lost(tmp_path):
    for step in (0, 1, 2):
        trace_writer.write_step(tmp_path, step, 0, [{"step": step}])
    trace_writer.set_aside(tmp_path, 1)
    trace_writer.write_step(tmp_path, 2, 0, [])
    trace_writer.set_aside(tmp_path, 2)
    names = sorted(folder.name for folder in tmp_path.iterdir())
    assert names == [".replaced_1_step_000001", ".replaced_1_step_000002", ".replaced_2_step_000002", "step_000000"]


def test_the_writer_needs_no_engine():
    program = "import sys, vimpo_core.engines.trace_writer; print({'torch', 'trl', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
