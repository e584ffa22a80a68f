"""SkyRL's evaluation dump: text, and a score that is a number or one a token, whose sum is the reward."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.types import StopReason

NAME = "SkyRL evaluations"
TOOL = "SkyRL"


def matches(sample: Sample) -> bool:
    return sample.kind == "jsonl" and {"input_prompt", "output_response", "score"} <= set(sample.columns)


def accompanies(sample: Sample) -> bool:
    """The means of all data sets."""
    return bool(sample.columns) and all(name.startswith("eval/") for name in sample.columns)


def facts(sample: Sample) -> dict[str, Any]:
    if accompanies(sample):
        return {}
    return {"notes": ["These are evaluations, not training. SkyRL names the step in the folder's name alone."]}


def read(file: Incoming) -> Iterator[Row | Refusal]:
    named = re.search(r"global_step_(\d{1,9})", file.sample.name)
    return rows.each(file, functools.partial(_row, int(named[1]) if named else None))


def _row(step: int | None, place: str, values: dict[str, Any]) -> Row:
    score = values.get("score")
    extras = parts.extras(values, ("stop_reason", "env_class", "data_source"))
    reward = None if isinstance(score, list) else rows.number(score, "score")
    if isinstance(score, list):
        paid = rows.array(score, "score")
        reward = None if paid is None or not np.isfinite(paid).all() else float(np.sum(paid, dtype=np.float64))
        extras["tokens"] = len(score)
    return Row(
        place=place,
        step=step,
        prompt=rows.messages(values.get("input_prompt"), "input_prompt"),
        completion=rows.text(values.get("output_response"), "output_response"),
        reward=reward,
        gold=_gold(values.get("env_extras")),
        finish=StopReason.LENGTH if values.get("stop_reason") == "length" else None,
        extras=extras,
    )


def _gold(extras: Any) -> str:
    spec = extras.get("reward_spec") if isinstance(extras, dict) else None
    gold = spec.get("ground_truth") if isinstance(spec, dict) else None
    return gold if isinstance(gold, str) else str(gold) if isinstance(gold, int | float) else ""
