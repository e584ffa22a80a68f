"""This lab's own files: whole runs (JSONL, Parquet), single solutions (JSON, Parquet), and the lines of a trace folder.

A record that the lab wrote in full comes back as the trace that it was; what a trainer with the lab's writer left out
is not recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vimpo_core.formats import trace_files
from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import TOKEN_ARRAYS, Incoming, Refusal, Row, Sample
from vimpo_core.formats.outgoing import table
from vimpo_core.mistake import Mistake
from vimpo_core.runs import labels
from vimpo_core.types import CreditTrace, StopReason

NAME = "VIMPO Lab records"
TOOL = "VIMPO Lab"
UPDATES_BEHIND = 0
_RECORD = {"step", "group_id", "sample_idx", "prompt_text", "ids", "text"}
_LEFT_OUT: dict[str, Any] = {
    **dict.fromkeys(("gold", "status", "answer", "reward_reason"), ""),
    **dict.fromkeys(("first_wrong", "finish_reason", "reward", "group_mean_reward", "topk", *TOKEN_ARRAYS)),
    "prompt_ids": (),
    "rewards": {},
    "provenance": {},
}
"""What a trainer with the lab's writer may leave out -> what stands for it."""
_FACTS = ("algorithm", "name", "config")
_NUMBERS = ("temperature", "beta", "gae_lambda")
_ONE = "vimpo_lab"
"""Key of the metadata of a single solution's Parquet file."""


def matches(sample: Sample) -> bool:
    first = sample.first
    if sample.kind == "parquet":
        return table.METADATA.decode() in sample.metadata or _ONE in sample.metadata
    return _is_head(first) or set(first) >= _RECORD


def accompanies(sample: Sample) -> bool:
    """header.json of a trace folder."""
    return {"schema_version", "writer", "model"} <= set(sample.columns)


def facts(sample: Sample) -> dict[str, Any]:
    header = _header(sample)
    found = {name: header.get(name) for name in _FACTS} | {name: parts.finite(header.get(name)) for name in _NUMBERS}
    for ours, theirs in (("model", "model"), ("reference", "ref")):
        named = header.get(theirs)
        found[ours] = named.get("id") if isinstance(named, dict) else None
    found |= labels.of_header(header) | _brought(header)
    return {name: value for name, value in found.items() if value not in (None, "")}


def _brought(header: dict[str, Any]) -> dict[str, Any]:
    """What is true of a run that was itself brought from another tool before it was written here."""
    imported = header.get("imported")
    if not isinstance(imported, dict):
        return {}
    tool, behind = imported.get("tool"), imported.get("updates_behind")
    found: dict[str, Any] = {"tool": tool} if isinstance(tool, str) and tool.strip() else {}
    if type(behind) is int and 0 <= behind <= 1:
        found["updates_behind"] = behind
    if "settings" not in imported:  # written before this was noted: the defaults stand there as if they were settings
        found |= {"config": None, "beta": None, "gae_lambda": None, "algorithm": imported.get("rule") or None}
    return found


def metrics(file: Incoming) -> list[dict[str, float]]:
    """The metrics of every step, where the file has them."""
    if file.sample.kind == "parquet":
        found = _of_metadata(file.sample).get("metrics")
    else:
        first = next(iter(file.records()), None)
        found = first[1].get("metrics") if isinstance(first, tuple) else None
    steps = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return [
        {name: value for name, value in one.items() if parts.finite(value) is not None}
        for one in steps
        if type(one.get("step")) is int and one["step"] >= 0
    ]


def read(file: Incoming) -> Iterator[Row | Refusal]:
    sample = file.sample
    if sample.kind == "parquet" and _ONE in sample.metadata:
        yield from _records(sample.name, _of_metadata(sample).get("records"))
        return
    for found in file.records():
        if isinstance(found, Refusal):
            yield found
        elif _is_head(found[1]):
            yield from _records(found[0], found[1].get("records", []))
        else:
            yield _tried(*found)


def _is_head(values: dict[str, Any]) -> bool:
    header = values.get("header")
    return isinstance(header, dict) and "schema_version" in header and bool({"records", "metrics"} & set(values))


def _header(sample: Sample) -> dict[str, Any]:
    values = _of_metadata(sample) if sample.kind == "parquet" else sample.first
    header = values.get("header", values if accompanies(sample) else {})
    return header if isinstance(header, dict) else {}


def _of_metadata(sample: Sample) -> dict[str, Any]:
    said = sample.metadata.get(table.METADATA.decode(), sample.metadata.get(_ONE, ""))
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _records(place: str, found: Any) -> Iterator[Row | Refusal]:
    if not isinstance(found, list):
        yield Refusal(place, "its records are no list.")
        return
    for number, values in enumerate(found):
        at = f"{place}, record {number + 1}" if len(found) > 1 else place
        yield _tried(at, values) if isinstance(values, dict) else Refusal(at, "it is no record.")


def _tried(place: str, values: dict[str, Any]) -> Row | Refusal:
    try:
        if "more" in values and "topk_ids" in values:
            values = table.record_of(values)
        if missing := _RECORD - set(values):
            raise Mistake(f"it has no {', '.join(sorted(missing))}.")
        if isinstance(values["group_id"], str):
            return _marked(place, values)
        return _row_of(place, checked(_LEFT_OUT | {"mask": [True] * len(values["text"])} | values))
    except Mistake as error:
        return Refusal(place, str(error))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return Refusal(place, "it is no whole record of this lab: a part is missing or of another kind.")


def _row_of(place: str, trace: CreditTrace) -> Row:
    return Row(
        place=place,
        step=trace.step,
        prompt=trace.prompt_text,
        completion=trace.completion_text,
        reward=trace.reward,
        approximate={name: how[13:-1] for name, how in trace.provenance.items() if how.startswith("approximate (")},
        trace=trace,
    )


def checked(record: dict[str, Any]) -> CreditTrace:
    """The trace of a record that anybody may have written. Raises Mistake, or what `trace_files.trace_of` raises."""
    for name in ("step", "group_id", "sample_idx"):
        if rows.whole(record[name], name) is None:
            raise Mistake(f"it has no {name}.")
    for name in ("prompt_text", "gold", "status", "answer", "reward_reason"):
        rows.text(record.get(name), name)
    for name in ("reward", "group_mean_reward", "tool_advantage", "reference_rate"):
        rows.number(record.get(name), name)
    rows.token_ids(record["prompt_ids"], "prompt_ids")
    rows.token_texts(record["text"], "text")
    rows.token_texts(record.get("prompt_pieces", ()), "prompt_pieces")
    paid = {name: rows.number(value, f"reward {name}") for name, value in record["rewards"].items()}
    record = record | {"rewards": {name: value for name, value in paid.items() if value is not None}}
    for name, value in (record.get("extras") or {}).items():
        if not isinstance(value, str):
            rows.number(value, name)
    trace = trace_files.trace_of(record)
    length = len(trace.text)
    first_wrong = rows.whole(trace.first_wrong, "first_wrong")
    if first_wrong is not None and first_wrong >= length:
        raise Mistake("its first wrong token is beyond its last.")
    sizes = {name: getattr(trace, name) for name in ("ids", "mask", *TOKEN_ARRAYS, "critic_values", "collision")}
    sizes |= {"top_k_kl": trace.top_k_kl, **trace.tool_arrays}
    for name, values in sizes.items():
        if values is not None and values.shape != (length,):
            raise Mistake(f"it has {length} tokens and another number of entries in {name}.")
    if trace.topk is not None and {len(row) for row in trace.topk.text} - {trace.topk.ids.shape[1]}:
        raise Mistake("its alternatives have texts of another number.")
    if not all(isinstance(one, str) for row in (trace.topk.text if trace.topk else ()) for one in row):
        raise Mistake("a text of its alternatives is no text.")
    if not all(isinstance(one, str) for pair in trace.provenance.items() for one in pair):
        raise Mistake("what it says of where its arrays come from is no text.")
    return trace


def _marked(place: str, values: dict[str, Any]) -> Row:
    """A line whose group is a mark and no number, as another trainer may write it."""
    named = values.get("rewards")
    finish = values.get("finish_reason")
    return Row(
        place=place,
        step=rows.whole(values["step"], "step"),
        prompt=rows.text(values["prompt_text"], "prompt_text"),
        completion="".join(rows.token_texts(values["text"], "text") or ()),
        reward=rows.number(values.get("reward"), "reward"),
        rewards={str(n): rows.number(v, str(n)) for n, v in named.items()} if isinstance(named, dict) else {},
        advantage=rows.number(values.get("tool_advantage"), "tool_advantage"),
        gold=rows.text(values.get("gold"), "gold"),
        group=None if values["group_id"] is None else str(values["group_id"]),
        prompt_ids=rows.token_ids(values.get("prompt_ids"), "prompt_ids"),
        ids=rows.token_ids(values["ids"], "ids"),
        texts=rows.token_texts(values["text"], "text"),
        mask=rows.token_mask(values.get("mask"), "mask"),
        arrays=rows.arrays(values, {name: name for name in TOKEN_ARRAYS}) | _of_tool(values.get("tool_arrays")),
        approximate=_approximate(values.get("provenance")),
        finish=StopReason(finish) if finish in (StopReason.EOS, StopReason.LENGTH) else None,
        extras=parts.extras(values, ("rank", "temperature")),
    )


def _approximate(said: Any) -> dict[str, str]:
    """Why an array is not exact, of those that say so: "approximate (policy 1 update later)"."""
    pairs = said.items() if isinstance(said, dict) else ()
    marked = {name: how[:100] for name, how in pairs if isinstance(how, str) and how.startswith("approximate (")}
    return {name: how.removeprefix("approximate (").removesuffix(")") for name, how in marked.items()}


def _of_tool(named: Any) -> dict[str, Any]:
    return rows.arrays(named, {name: name for name in named}) if isinstance(named, dict) else {}
