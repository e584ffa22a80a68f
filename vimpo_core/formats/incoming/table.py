"""The documented table for everything else (docs/bring_a_run.md): prompt, completion and reward, a row a completion, as
CSV, JSON Lines or Parquet; optional columns with tokens and one number a token.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.mistake import Mistake
from vimpo_core.types import StopReason

NAME = "table"
TOOL = "a table"
IS_GENERAL = True
"""Any file may have these columns: it counts only where no other format is there."""

NAMES = {
    "prompt": ("prompt",),
    "completion": ("completion", "response"),
    "reward": ("reward",),
    "step": ("step",),
    "group": ("group", "group_id"),
    "gold": ("gold", "answer", "ground_truth"),
    "advantage": ("advantage",),
    "finish": ("finish", "finish_reason"),
    "prompt_ids": ("prompt_ids", "prompt_token_ids"),
    "ids": ("ids", "token_ids"),
    "texts": ("texts", "tokens"),
    "mask": ("mask", "loss_mask"),
    "logprob": ("logprob", "logprobs"),
    "ref_logprob": ("ref_logprob", "ref_logprobs"),
    "kl": ("kl",),
    "entropy": ("entropy",),
    "sampler_logprob": ("sampler_logprob", "sampler_logprobs"),
}
"""What a column means -> the names that it may have."""
_LISTS = ("prompt_ids", "ids", "texts", "mask", *rows.TOKEN_ARRAYS)
_NUMBERS = ("reward", "step", "advantage")
_FINISH = {"eos": StopReason.EOS, "stop": StopReason.EOS, "length": StopReason.LENGTH}


def matches(sample: Sample) -> bool:
    return "prompt" in sample.columns and any(name in sample.columns for name in NAMES["completion"])


def read(file: Incoming) -> Iterator[Row | Refusal]:
    is_text = file.sample.kind == "csv"
    return rows.each(file, lambda place, values: _row(place, _typed(values) if is_text else values))


def _row(place: str, values: dict[str, Any]) -> Row:
    column = {what: next((n for n in names if n in values), names[0]) for what, names in NAMES.items()}
    rows.needs(values, "prompt", column["completion"], "reward")
    paid = _rewards(values)
    known = {*column.values(), *paid, *(["rewards"] if isinstance(values.get("rewards"), dict) else [])}
    group, finish = values.get(column["group"]), values.get(column["finish"])
    return Row(
        place=place,
        step=rows.whole(values.get("step"), "step"),
        prompt=rows.messages(values["prompt"], "prompt"),
        completion=rows.said(values[column["completion"]], "completion"),
        reward=rows.reward(values["reward"], "reward"),
        rewards=paid,
        is_total=True,
        advantage=rows.number(values.get("advantage"), "advantage"),
        gold=rows.label(values.get(column["gold"])),
        group=None if group is None else rows.label(group),
        prompt_ids=rows.token_ids(values.get(column["prompt_ids"]), column["prompt_ids"]),
        ids=rows.token_ids(values.get(column["ids"]), column["ids"]),
        texts=rows.token_texts(values.get(column["texts"]), column["texts"]),
        mask=rows.token_mask(values.get(column["mask"]), column["mask"]),
        arrays=rows.arrays(values, {column[name]: name for name in rows.TOKEN_ARRAYS}),
        finish=_FINISH.get(finish.lower()) if isinstance(finish, str) else None,
        extras={name: rows.shown(one) for name, one in values.items() if name not in known and one is not None},
    )


def _rewards(values: dict[str, Any]) -> dict[str, float | None]:
    """Each function's own reward: the numbers of `rewards` where it is a record, and of columns named reward_NAME or
    NAME_reward."""
    named = values.get("rewards")
    found = {str(n): rows.number(v, f"the reward {n}") for n, v in named.items()} if isinstance(named, dict) else {}
    for name, value in values.items():
        if name.startswith("reward_") or name.endswith("_reward"):
            with contextlib.suppress(ValueError):
                value = float(value) if isinstance(value, str) else value  # of a CSV, where all is text
            if isinstance(value, int | float):
                found[name] = rows.number(value, name)
    return found


def _typed(values: dict[str, str | None]) -> dict[str, Any]:
    """The cells of a CSV, where all is text, as what their column holds."""
    found: dict[str, Any] = dict(values)
    for what in (*_NUMBERS, *_LISTS):
        for name in NAMES[what]:
            cell = values.get(name)
            if cell is not None:
                found[name] = _number(cell, name) if what in _NUMBERS else _list(cell, name)
    return found


def _number(cell: str, name: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise Mistake(f"{name} is no number.") from None


def _list(cell: str, name: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise Mistake(f"{name} is no list as JSON writes it.") from None
