"""verl's `trainer.rollout_data_dir` and `trainer.validation_data_dir`: JSON Lines, one file a step, text alone.

Special tokens are skipped in both texts, so that the words of roles stay and the marks of the chat template vanish.
Since 0.9 a `uid` a row says which solutions answer one prompt; before, equal prompts have to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample

NAME = "verl rollouts"
TOOL = "verl"
IN_ONE_FOLDER = True
_OWN = ("input", "output", "gts", "score", "step", "uid")


def matches(sample: Sample) -> bool:
    return sample.kind == "jsonl" and {"input", "output", "score"} <= set(sample.first)


def read(file: Incoming) -> Iterator[Row | Refusal]:
    return rows.each(file, _row)


def facts(sample: Sample) -> dict[str, Any]:
    return {"notes": ["verl leaves the marks of the chat template out: the prompt is not what the model read."]}


def _row(place: str, values: dict[str, Any]) -> Row:
    rows.needs(values, "input", "output", "score")
    return Row(
        place=place,
        step=rows.whole(values.get("step"), "step"),
        prompt=rows.text(values["input"], "input"),
        completion=rows.text(values["output"], "output"),
        reward=rows.reward(values["score"], "score"),
        gold=rows.label(values.get("gts")),
        group=_group(values.get("uid")),
        extras={name: rows.shown(one) for name, one in values.items() if name not in _OWN and one is not None},
    )


def _group(uid: Any) -> str | None:
    """{sample}_{rollout}_{output}: the sample; of a uid without these parts all of it."""
    return str(uid).rsplit("_", 2)[0][:200] if isinstance(uid, str | int) else None
