"""One solution as JSON (schema version 1, complete), and as a table of its tokens in CSV and Parquet.

Measured float32 numbers are written with the fewest digits that read back to the same bits. An array that was not
recorded is null or an empty column, never zeros. rho, kappa and what follows from them are in the tables for the beta
that is named beside them, as the run's own value loss reads them, from `v0`; JSON holds only what was measured, and in
its header the settings of the run ("config") that say how it is read.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence

import numpy as np

from vimpo_core.files import as_cell
from vimpo_core.measure.checks import TOKEN_ARRAYS
from vimpo_core.solutions import lenses, reading
from vimpo_core.types import CreditTrace, Drop, StopReason, TopK

_PLAIN = (
    "step",
    "group_id",
    "sample_idx",
    "prompt_text",
    "prompt_ids",
    "gold",
    "reward",
    "rewards",
    "reward_reason",
    "group_mean_reward",
    "finish_reason",
    "status",
    "answer",
    "first_wrong",
)
_RARE_ARRAYS = ("critic_values", "mc_values", "collision", "top_k_kl")
"""Of few rules: in the record where they were recorded."""
DERIVED = ("rho", "kappa", "td_terms", "values", "values_from_end", "advantages")
"""Columns of the tables that follow from the measured ones; `values` and `values_from_end` hold V_{t+1}, after
token t.
"""


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_json(trace: CreditTrace, header: dict) -> str:
    """{"header": ..., "records": [one record]}. ASCII, so that half a surrogate pair survives."""
    fields = ",\n".join(f"  {json.dumps(k)}: {_dumps(v)}" for k, v in record(trace).items())
    return f'{{"header": {_dumps(header)},\n"records": [{{\n{fields}\n}}]}}\n'


def record(trace: CreditTrace) -> dict:
    """The record of one completion, ready for JSON: nan and inf inside an array are text, a missing array is None."""
    plain = {name: getattr(trace, name) for name in _PLAIN}
    plain |= {name: _finite(plain[name]) for name in ("reward", "group_mean_reward")}
    arrays = {name: _short(getattr(trace, name)) for name in TOKEN_ARRAYS}
    topk = None
    if trace.topk is not None:
        topk = {"k": int(trace.topk.ids.shape[1]), "ids": trace.topk.ids.tolist(), "text": trace.topk.text}
        topk |= {name: _short(getattr(trace.topk, name)) for name in ("logprob", "ref_logprob")}
    return {
        **plain,
        "ids": trace.ids.tolist(),
        "text": list(trace.text),
        "mask": np.asarray(trace.mask, bool).tolist(),
        **arrays,
        "topk": topk,
        **({"prompt_pieces": list(trace.prompt_pieces)} if trace.prompt_pieces else {}),
        **_for_some_rules(trace),
        **_of_a_tool(trace),
        **({} if trace.largest_drop is None else {"largest_drop": dataclasses.asdict(trace.largest_drop)}),
        "provenance": provenance(trace),
    }


def _for_some_rules(trace: CreditTrace) -> dict:
    """What V_0, kappa and credit of some rules are made of, where it was recorded."""
    found = {
        "group_rewards": list(map(_finite, trace.group_rewards)) or None,
        "reference_rate": trace.reference_rate,
        "reference_rewards": trace.reference_rewards and list(trace.reference_rewards),
        **{name: _short(getattr(trace, name)) for name in _RARE_ARRAYS},
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_a_tool(trace: CreditTrace) -> dict:
    """What another tool recorded beside what the lab knows."""
    found = {
        "prompt_messages": [list(message) for message in trace.prompt_messages] or None,
        "tool_advantage": trace.tool_advantage,
        "tool_arrays": {name: _short(values) for name, values in trace.tool_arrays.items()} or None,
        "extras": {name: _plain(value) for name, value in trace.extras.items()} or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def provenance(trace: CreditTrace) -> dict[str, str]:
    """Where each array comes from: recorded, recomputed, approximate, or missing."""
    of_topk = trace.provenance.get("topk", trace.provenance.get("logprob", "recorded"))
    said = {name: trace.provenance.get(name, "recorded") for name in TOKEN_ARRAYS} | {"topk": of_topk}
    said = {name: how if getattr(trace, name) is not None else "missing" for name, how in said.items()}
    return {**trace.provenance, **said}


def trace_of(record: dict) -> CreditTrace:
    """The trace that `record` wrote, bit for bit; numbers of arrays may be NumPy's.

    KeyError, TypeError, ValueError, AttributeError or OverflowError for what is no such record.
    """
    named = {field.name for field in dataclasses.fields(CreditTrace)}
    fields = {name: value for name, value in record.items() if name in named}
    for name in ("reward", "group_mean_reward"):
        fields[name] = math.nan if fields[name] is None else float(fields[name])
    for name in (*TOKEN_ARRAYS, *_RARE_ARRAYS):
        fields[name] = None if fields.get(name) is None else _numbers(fields[name])
    for name in ("text", "prompt_pieces"):
        fields[name] = tuple(fields.get(name) or ())
    fields["prompt_ids"] = tuple(map(int, fields["prompt_ids"]))
    earned = fields.get("group_rewards") or ()
    fields["group_rewards"] = tuple(math.nan if one is None else float(one) for one in earned)
    rewards, topk, drop = (fields.get(name) for name in ("reference_rewards", "topk", "largest_drop"))
    finish = fields["finish_reason"]
    return CreditTrace(
        **fields
        | {
            "ids": np.asarray(fields["ids"], np.int32),
            "mask": np.asarray(fields["mask"], np.bool_),
            "finish_reason": None if finish is None else StopReason(finish),
            "reference_rewards": None if rewards is None else tuple(rewards),
            "topk": None if topk is None else _topk_of(topk, len(fields["ids"])),
            "largest_drop": None if drop is None else Drop(**drop),
            "prompt_messages": tuple((role, content) for role, content in fields.get("prompt_messages") or ()),
            "tool_arrays": {name: _numbers(values) for name, values in (fields.get("tool_arrays") or {}).items()},
        }
    )


def _topk_of(topk: dict, length: int) -> TopK:
    shape = (length, int(topk["k"]))
    numbers = [np.array([_numbers(row) for row in topk[name]], np.float32) for name in ("logprob", "ref_logprob")]
    ids = np.array([list(row) for row in topk["ids"]], np.int32).reshape(shape)
    return TopK(ids, [list(row) for row in topk["text"]], *(found.reshape(shape) for found in numbers))


def _numbers(values) -> np.ndarray:
    """float32 of numbers and of the texts "nan", "inf" and "-inf"."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)


# --- tables ----------------------------------------------------------------------------------------------------------


@np.errstate(invalid="ignore")  # inf - inf is nan in a table: an answer, not a warning
def token_table(traces: Sequence[CreditTrace], index: int, run_id: str, beta: float, gae_lambda: float) -> dict:
    """Column -> one value a token (a list or an array), or None where it was not recorded."""
    trace = traces[index]
    length = len(trace.ids)

    def constant(value):
        return [value] * length

    columns = {
        "run_id": constant(run_id),
        "step": constant(trace.step),
        "group_id": constant(trace.group_id),
        "sample_idx": constant(trace.sample_idx),
        "index": list(range(length)),
        "id": trace.ids.tolist(),
        "text": list(trace.text),
        "mask": np.asarray(trace.mask, bool).tolist(),
    }
    columns |= {
        name: None if getattr(trace, name) is None else np.asarray(getattr(trace, name), np.float32)
        for name in TOKEN_ARRAYS
    }
    columns |= {
        "beta": constant(beta),
        "gae_lambda": constant(gae_lambda),
        "reward": constant(float(trace.reward)),
        "group_mean_reward": constant(float(trace.group_mean_reward)),
        "v0": constant(reading.anchor(trace, beta)),
    }
    return columns | {
        name: lenses.lens_values(traces, index, name, beta, gae_lambda) if _is_derivable(trace, name) else None
        for name in DERIVED
    }


def to_csv(traces: Sequence[CreditTrace], index: int, run_id: str, beta: float, gae_lambda: float) -> str:
    """The table, a line a token. `text` is a JSON string: line breaks and half characters survive, and no spreadsheet
    can take a token for a formula.
    """
    table = token_table(traces, index, run_id, beta, gae_lambda)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    table["text"] = [json.dumps(text) for text in table["text"]]
    table["run_id"] = [as_cell(run_id) for run_id in table["run_id"]]
    table["mask"] = ["true" if counted else "false" for counted in table["mask"]]
    # str() of a float32 or float64 has the fewest digits that read back to the same bits.
    columns = [[""] * len(traces[index].ids) if c is None else map(str, c) for c in table.values()]
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def to_parquet(
    traces: Sequence[CreditTrace], index: int, header: dict, run_id: str, beta: float, gae_lambda: float
) -> bytes:
    """The table with types, a row a token; the file's metadata holds "vimpo_lab": header and complete record as
    JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = token_table(traces, index, run_id, beta, gae_lambda)
    # Parquet text is UTF-8, which has no half characters; the record in the metadata keeps them.
    table["text"] = [_as_utf8(text) for text in table["text"]]
    types = {"run_id": pa.string(), "text": pa.string(), "mask": pa.bool_()}
    types |= dict.fromkeys(("step", "group_id", "sample_idx", "index", "id"), pa.int32())
    types |= dict.fromkeys(TOKEN_ARRAYS, pa.float32())
    length = len(traces[index].ids)
    columns = {
        name: pa.nulls(length, types.get(name, pa.float64()))
        if values is None
        else pa.array(values, types.get(name, pa.float64()))
        for name, values in table.items()
    }
    out = io.BytesIO()
    metadata = {"vimpo_lab": to_json(traces[index], header).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), out)
    return out.getvalue()


# --- inside ----------------------------------------------------------------------------------------------------------


def _is_derivable(trace: CreditTrace, name: str) -> bool:
    """A solution on its own has no V_0 to anchor `values` at: the column is empty then, not nan."""
    return name != "values" or not reading.why_no_anchor(trace)


def _dumps(value) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ":"))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value):
    return _finite(value) if isinstance(value, float) else value


def _short(array) -> list | None:
    """float32 as floats with the fewest digits that read back to the same bits; nan and inf as text."""
    if array is None:
        return None
    array = np.asarray(array, np.float32)
    if array.ndim > 1:
        return [_short(row) for row in array]
    return [float(str(x)) if np.isfinite(x) else str(x) for x in array]


def _as_utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
