"""Files of a solution read back to the same bits, and a missing array stays missing."""

import csv
import dataclasses
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hostile import HEADER, TEXTS, hostile_trace
from vimpo_core.formats import trace_files
from vimpo_core.measure.checks import TOKEN_ARRAYS
from vimpo_core.types import CreditTrace

BETA, LAMBDA = 0.1, 0.9


def same(a, b) -> bool:
    """Equal down to the bits of every array; nan equals nan."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return a == b or (isinstance(a, float) and isinstance(b, float) and np.isnan(a) and np.isnan(b))


def json_round_trip(trace: CreditTrace) -> CreditTrace:
    file = json.loads(trace_files.to_json(trace, HEADER))
    assert file["header"] == HEADER and len(file["records"]) == 1
    return trace_files.trace_of(file["records"][0])


def whole_provenance(trace):
    return trace.with_(provenance=trace_files.provenance(trace))


def csv_rows(trace):
    return list(csv.DictReader(io.StringIO(trace_files.to_csv([trace, trace], 0, "run-1", BETA, LAMBDA), newline="")))


def parquet_of(trace):
    blob = trace_files.to_parquet([trace, trace], 0, HEADER, "run-1", BETA, LAMBDA)
    return pq.read_table(io.BytesIO(blob))


def test_json_reads_back_bit_for_bit():
    trace = whole_provenance(hostile_trace())
    assert same(json_round_trip(trace), trace)


def test_json_holds_what_was_measured_and_nothing_derived():
    record = trace_files.record(hostile_trace())
    assert not set(trace_files.DERIVED) & set(record)
    assert record["ref_logprob"][3:5] == ["nan", "-inf"]
    assert record["topk"]["k"] == 2


@pytest.mark.parametrize("name", [*TOKEN_ARRAYS, "topk"])
def test_a_missing_array_is_null_or_empty_never_zero(name):
    trace = whole_provenance(hostile_trace(**{name: None}))
    assert trace.provenance[name] == "missing"
    record = trace_files.record(trace)
    assert record[name] is None and same(json_round_trip(trace), trace)
    if name == "topk":
        return
    assert {row[name] for row in csv_rows(trace)} == {""}
    assert parquet_of(trace)[name].null_count == len(TEXTS)
    if name in ("logprob", "ref_logprob", "kl"):
        assert {row["td_terms"] for row in csv_rows(trace)} == {""}


def test_a_solution_on_its_own_has_no_start_anchored_values():
    trace = hostile_trace(group_mean_reward=float("nan"))
    assert np.isnan(json_round_trip(trace).group_mean_reward)
    assert {row["values"] for row in csv_rows(trace)} == {""}
    assert {row["td_terms"] for row in csv_rows(trace)} != {""}


def test_csv_arrays_read_back_bit_for_bit():
    trace, rows = hostile_trace(), csv_rows(hostile_trace())
    for name in TOKEN_ARRAYS:
        found = np.array([row[name] for row in rows]).astype(np.float32)
        assert found.tobytes() == getattr(trace, name).tobytes(), name
    assert [int(row["id"]) for row in rows] == trace.ids.tolist()
    assert [row["mask"] == "true" for row in rows] == trace.mask.tolist()
    assert tuple(json.loads(row["text"]) for row in rows) == TEXTS


def test_no_cell_of_the_csv_starts_a_formula():
    cells = [cell for row in csv_rows(hostile_trace()) for name, cell in row.items() if name == "text"]
    assert all(cell.startswith('"') for cell in cells)


def test_csv_credit_is_the_credit_of_the_lenses():
    from vimpo_core.solutions import lenses

    trace = hostile_trace(ref_logprob=hostile_trace().logprob - np.float32(0.5))
    found = np.array([float(row["td_terms"]) for row in csv_rows(trace)])
    assert found.tobytes() == lenses.lens_values([trace, trace], 0, "td_terms", BETA, LAMBDA).tobytes()


def test_parquet_reads_back_bit_for_bit_with_the_record_in_its_metadata():
    trace = whole_provenance(hostile_trace())
    table = parquet_of(trace)
    for name in TOKEN_ARRAYS:
        assert str(table.schema.field(name).type) == "float"
        assert table[name].to_numpy().tobytes() == getattr(trace, name).tobytes(), name
    kept = json.loads(table.schema.metadata[b"vimpo_lab"])
    assert kept["header"] == HEADER and same(trace_files.trace_of(kept["records"][0]), trace)
    assert table["text"].to_pylist()[5] == "\\ud800"


def test_a_solution_without_tokens_is_written_too():
    empty = {name: np.zeros(0, np.float32) for name in TOKEN_ARRAYS}
    trace = whole_provenance(
        hostile_trace(ids=np.zeros(0, np.int32), text=(), mask=np.zeros(0, bool), topk=None, first_wrong=None, **empty)
    )
    assert same(json_round_trip(trace), trace)
    assert csv_rows(trace) == [] and parquet_of(trace).num_rows == 0


@given(st.lists(st.floats(width=32), min_size=12, max_size=12), st.text(max_size=4))
def test_any_float32_and_any_text_survive(values, text):
    values = np.array(values, np.float32)
    trace = hostile_trace(logprob=values, kl=values[::-1].copy(), text=(text, *TEXTS[1:]), topk=None)
    # A nan is a nan: its payload bits are nobody's number.
    back = json_round_trip(trace)
    assert np.array_equal(back.logprob, values, equal_nan=True) and back.text[0] == text
    rows = csv_rows(trace)
    assert np.array_equal(np.array([r["logprob"] for r in rows]).astype(np.float32), values, equal_nan=True)
    assert json.loads(rows[0]["text"]) == text
