"""AReaL's trajectory dump: a file a task, text cut into prompt and completion at a token, perhaps inside a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample

NAME = "AReaL trajectories"
TOOL = "AReaL"
_OWN = ("task_id", "sample_idx", "seqlen", "prompt_len", "head_version", "tail_version", "prompt", "completion")


def matches(sample: Sample) -> bool:
    return sample.kind == "jsonl" and set(_OWN) <= set(sample.columns)


def facts(sample: Sample) -> dict[str, Any]:
    return {
        "notes": [
            "AReaL cuts the text into prompt and completion at a token: the cut can fall inside a word. Steps are the "
            "version of the policy that wrote the last token."
        ]
    }


def read(file: Incoming) -> Iterator[Row | Refusal]:
    return rows.each(file, _row)


def _row(place: str, values: dict[str, Any]) -> Row:
    task = values.get("task_id")
    tail, head = values.get("tail_version"), values.get("head_version")
    whole, prompt = rows.whole(values.get("seqlen"), "seqlen"), rows.whole(values.get("prompt_len"), "prompt_len")
    extras = parts.extras(values, ("sample_idx",))
    if whole is not None and prompt is not None and whole >= prompt:
        extras["tokens"] = whole - prompt
    if isinstance(head, int) and head >= 0 and head != tail:  # -1: of the prompt, which no policy wrote
        extras["head_version"] = head
    return Row(
        place=place,
        step=None if tail == -1 else rows.whole(tail, "tail_version"),
        prompt=rows.text(values.get("prompt"), "prompt"),
        completion=rows.text(values.get("completion"), "completion"),
        reward=rows.number(values.get("reward"), "reward"),
        group=None if task is None else str(task),
        extras=extras,
    )
