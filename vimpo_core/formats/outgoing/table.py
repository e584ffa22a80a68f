"""A run as a Parquet table: a row a solution, list columns for its tokens.

Every field of the record (`trace_files.record`) has a column of its own type or stands in `more`, JSON in ASCII: what
few solutions have, and texts that UTF-8 cannot hold, which their columns show escaped. A null list was not recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from vimpo_core.formats import trace_files
from vimpo_core.measure.checks import TOKEN_ARRAYS
from vimpo_core.runs.store import RunStore
from vimpo_core.types import SCHEMA_VERSION, CreditTrace

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = b"vimpo_lab_run"
"""Key of the file's metadata: {"schema_version", "header", "metrics"} as JSON."""
_NUMBERS = {"step": "int64", "group_id": "int64", "sample_idx": "int64", "first_wrong": "int64"}
_NUMBERS |= {"reward": "double", "group_mean_reward": "double"}
_TEXTS = ("prompt_text", "gold", "reward_reason", "finish_reason", "status", "answer")
_TOPK = {"ids": "int32", "text": "string", "logprob": "float", "ref_logprob": "float"}


def schema() -> pa.Schema:
    """The columns and their types."""
    import pyarrow as pa

    types = {name: pa.type_for_alias(alias) for name, alias in _NUMBERS.items()}
    types |= dict.fromkeys(_TEXTS, pa.string())
    types |= {"prompt_ids": pa.list_(pa.int32()), "ids": pa.list_(pa.int32())}
    types |= {"text": pa.list_(pa.string()), "mask": pa.list_(pa.bool_())}
    types |= dict.fromkeys(TOKEN_ARRAYS, pa.list_(pa.float32()))
    types |= {f"topk_{name}": pa.list_(pa.list_(pa.type_for_alias(alias))) for name, alias in _TOPK.items()}
    return pa.schema(types | {"more": pa.string()})


def write(store: RunStore, header: dict, read: Callable[[int], list[CreditTrace]], file: BinaryIO, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {"schema_version": SCHEMA_VERSION, "header": header, "metrics": store.metrics()}
    columns = schema().with_metadata({METADATA: json.dumps(about, allow_nan=False).encode("ascii")})
    with pq.ParquetWriter(file, columns) as writer:
        for step in header["steps"]:
            writer.write_table(pa.Table.from_pylist([row(trace) for trace in read(step)], columns))


def row(trace: CreditTrace) -> dict:
    """Column -> value of one solution."""
    topk = trace.topk
    own = {name: getattr(trace, name) for name in TOKEN_ARRAYS}
    own |= {f"topk_{name}": None if topk is None else list(getattr(topk, name)) for name in _TOPK}
    bare = trace.with_(topk=None, **dict.fromkeys(TOKEN_ARRAYS))
    record = trace_files.record(bare) | {"provenance": trace_files.provenance(trace)}
    columns = {name: record.pop(name) for name in (*_NUMBERS, *_TEXTS, "prompt_ids", "ids", "text", "mask")} | own
    more = {name: value for name, value in record.items() if name not in (*TOKEN_ARRAYS, "topk")}
    unwritten = {name: value for name, value in columns.items() if _is_text(name) and _escaped(value) != value}
    columns |= {name: _escaped(value) for name, value in unwritten.items()}
    return columns | {"more": json.dumps(more | unwritten, allow_nan=False)}


def record_of(columns: dict) -> dict:
    """The record whose `row` it is, with arrays as they are in the table."""
    more = json.loads(columns["more"])
    found = {name: value for name, value in columns.items() if name != "more"} | more
    topk = {name: found.pop(f"topk_{name}") for name in _TOPK}
    width = len(topk["ids"][0]) if topk["ids"] else 0
    return found | {"topk": None if topk["ids"] is None else {"k": width, **topk}}


def _is_text(name: str) -> bool:
    return name in (*_TEXTS, "text", "topk_text")


def _escaped(value):
    """Parquet text is UTF-8, which has no half characters."""
    if isinstance(value, list):
        return [_escaped(v) for v in value]
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
