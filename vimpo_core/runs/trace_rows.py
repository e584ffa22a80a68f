"""A `CreditTrace` as a row of the run store, and back, bit for bit.

Token arrays are little-endian blobs (ids int32, mask uint8, the others float32), texts are JSON in ASCII, so half a
surrogate pair survives; what was not recorded is NULL.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

import numpy as np

from vimpo_core.types import CreditTrace, StopReason, TopK

_FLOAT_ARRAYS = ("logprob", "ref_logprob", "kl", "entropy", "sampler_logprob")
_RECORD_FIELDS = (
    "prompt_text",
    "prompt_ids",
    "gold",
    "finish_reason",
    "text",
    "rewards",
    "reward_reason",
    "status",
    "answer",
    "first_wrong",
    "provenance",
)

_RARE_ARRAYS = {"critic_values": 0, "mc_values": 1, "collision": 0, "top_k_kl": 0}
"""name -> how many numbers it has beyond one a token."""

COLUMNS = (
    "step",
    "group_id",
    "sample_idx",
    "reward",
    "group_mean_reward",
    "record",
    "ids",
    "mask",
    *_FLOAT_ARRAYS,
    "topk_ids",
    "topk_logprob",
    "topk_ref_logprob",
    "topk_text",
)


def to_row(trace: CreditTrace) -> tuple:
    """The values of `COLUMNS`. Raises ValueError if an array's shape does not fit the tokens."""
    length = len(trace.ids)
    record = json.dumps({name: getattr(trace, name) for name in _RECORD_FIELDS} | _rare(trace, length))
    arrays = [_blob(trace, name, "<f4", getattr(trace, name), (length,)) for name in _FLOAT_ARRAYS]
    return (
        trace.step,
        trace.group_id,
        trace.sample_idx,
        float(trace.reward),
        float(trace.group_mean_reward),
        record,
        _blob(trace, "ids", "<i4", trace.ids, (length,)),
        _blob(trace, "mask", "u1", trace.mask, (length,)),
        *arrays,
        *_topk_blobs(trace, length),
    )


def _rare(trace: CreditTrace, length: int) -> dict[str, Any]:
    """What few runs have, in the record: a column for it would be one that older files lack."""
    shapes = {name: (length + more,) for name, more in _RARE_ARRAYS.items()}
    found = {name: _blob(trace, name, "<f4", getattr(trace, name), shape) for name, shape in shapes.items()}
    numbers = {name: np.frombuffer(blob, "<f4").tolist() for name, blob in found.items() if blob is not None}
    rare = {name: getattr(trace, name) for name in ("reference_rate", "reference_rewards")}
    rare["prompt_pieces"] = trace.prompt_pieces or None
    rare |= {name: getattr(trace, name) or None for name in ("prompt_messages", "extras")}
    rare["tool_advantage"] = trace.tool_advantage
    rare["tool_arrays"] = {
        name: _packed(_bytes(trace, name, "<f4", values, (length,))) for name, values in trace.tool_arrays.items()
    } or None
    return numbers | {name: value for name, value in rare.items() if value is not None}


def _packed(blob: bytes) -> str:
    """Numbers in JSON bit for bit, nan included, at a fraction of what their digits cost to read."""
    return base64.b64encode(blob).decode("ascii")


def _topk_blobs(trace: CreditTrace, length: int) -> tuple:
    if trace.topk is None:
        return None, None, None, None
    topk = trace.topk
    shape = (length, *np.shape(topk.ids)[1:])
    return (
        zlib.compress(_bytes(trace, "topk.ids", "<i4", topk.ids, shape), 1),  # small numbers, mostly zeros
        _blob(trace, "topk.logprob", "<f4", topk.logprob, shape),
        _blob(trace, "topk.ref_logprob", "<f4", topk.ref_logprob, shape),
        zlib.compress(json.dumps(topk.text).encode(), 1),  # a few texts repeated a thousand times
    )


def _blob(trace: CreditTrace, name: str, dtype: str, values, shape: tuple[int, ...]) -> bytes | None:
    return None if values is None else _bytes(trace, name, dtype, values, shape)


def _bytes(trace: CreditTrace, name: str, dtype: str, values, shape: tuple[int, ...]) -> bytes:
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(
            f"{name} of solution {trace.sample_idx} of prompt {trace.group_id} must have shape {shape}, got "
            f"{array.shape}."
        )
    return array.astype(dtype).tobytes()


def from_row(row: tuple) -> CreditTrace:
    """The solution that `to_row` wrote; its arrays are the reader's own."""
    columns = dict(zip(COLUMNS, row, strict=True))
    record = json.loads(columns["record"])
    record["prompt_ids"], record["text"] = tuple(record["prompt_ids"]), tuple(record["text"])
    record["prompt_pieces"] = tuple(record.get("prompt_pieces", ()))
    if record["finish_reason"] is not None:
        record["finish_reason"] = StopReason(record["finish_reason"])
    if "prompt_messages" in record:
        record["prompt_messages"] = tuple((role, content) for role, content in record["prompt_messages"])
    if "tool_arrays" in record:
        packed = record["tool_arrays"].items()
        record["tool_arrays"] = {name: _array(base64.b64decode(blob), "<f4", np.float32) for name, blob in packed}
    for name in _RARE_ARRAYS:
        if name in record:
            record[name] = np.array(record[name], dtype=np.float32)
    if "reference_rewards" in record:
        record["reference_rewards"] = tuple(record["reference_rewards"])
    ids = _array(columns["ids"], "<i4", np.int32)
    floats: dict[str, Any] = {name: _floats(columns[name]) for name in _FLOAT_ARRAYS}
    return CreditTrace(
        step=columns["step"],
        group_id=columns["group_id"],
        sample_idx=columns["sample_idx"],
        reward=_number(columns["reward"]),
        group_mean_reward=_number(columns["group_mean_reward"]),
        ids=ids,
        mask=_array(columns["mask"], "u1", np.bool_),
        **floats,
        topk=_topk(columns, len(ids)),
        **record,
    )


def _topk(columns: dict, length: int) -> TopK | None:
    if columns["topk_ids"] is None:
        return None
    shape = (length, -1) if length else (0, 0)
    return TopK(
        ids=_array(zlib.decompress(columns["topk_ids"]), "<i4", np.int32).reshape(shape),
        text=json.loads(zlib.decompress(columns["topk_text"])),
        logprob=_array(columns["topk_logprob"], "<f4", np.float32).reshape(shape),
        ref_logprob=_array(columns["topk_ref_logprob"], "<f4", np.float32).reshape(shape),
    )


def _array(blob: bytes, stored: str, dtype) -> np.ndarray:
    return np.frombuffer(blob, dtype=stored).astype(dtype)


def _floats(blob: bytes | None) -> np.ndarray | None:
    return None if blob is None else _array(blob, "<f4", np.float32)


def _number(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return math.nan if value is None else value
