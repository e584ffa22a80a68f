"""TRL's `log_completions`: one Parquet file a logged step, text and rewards, no tokens.

Every reward function has a column of its own name and so has whatever it logs besides; TRL's own columns are `step`,
`prompt`, `completion` and, last, `advantage`. A function of one of these names takes its column's place.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vimpo_core.formats.incoming import rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.mistake import Mistake

NAME = "TRL completions"
TOOL = "TRL"
IN_ONE_FOLDER = True
GIVES_WAY = True
_OWN = ("step", "prompt", "completion", "advantage")
_NUMBERS = ("double", "float", "halffloat")
_SPIED = "completion_ids"
"""What a reward function may log of the tokens, which TRL itself does not."""
_EPSILON = 1e-4
"""What TRL adds to the deviation that it divides by."""
_CLOSE = 1e-3


def matches(sample: Sample) -> bool:
    columns = sample.columns
    lists = {name for name, kind in columns.items() if "list<" in kind}
    return sample.kind == "parquet" and set(_OWN) <= set(columns) and lists <= {"prompt", "completion", _SPIED}


def read(file: Incoming) -> Iterator[Row | Refusal]:
    found = list(file.records())
    good = [one for one in found if not isinstance(one, Refusal)]
    names = _numeric(file.sample)
    paid = rewards_among([values for _, values in good], names)
    spied = file.sample.columns.get(_SPIED, "").startswith("list<")
    step = None if file.sample.columns["step"] in _NUMBERS else "step"
    number = re.search(r"(\d+)\D*$", file.sample.name.rpartition(".")[0])

    def make(place: str, values: dict[str, Any]) -> Row:
        for own in ("prompt", "completion"):
            if file.sample.columns[own] in _NUMBERS:
                raise Mistake(f"its {own} is a number: a reward function of that name took the column's place.")
        named = {name: rows.number(values[name], name) for name in paid}
        earned = [one for one in named.values() if one is not None]
        return Row(
            place=place,
            step=rows.whole(values["step"], "step") if step else number and int(number[1][:9]),
            prompt=rows.messages(values["prompt"], "prompt"),
            completion=rows.said(values["completion"], "completion"),
            reward=sum(earned) if earned else None,
            rewards=named,
            advantage=rows.number(values.get("advantage"), "advantage"),
            ids=rows.token_ids(values.get(_SPIED), _SPIED) if spied else None,
            extras=_extras(values, [n for n in values if n not in (*_OWN, *paid, _SPIED if spied else "")]),
        )

    for one in found:
        if isinstance(one, Refusal):
            yield one
            continue
        try:
            yield make(*one)
        except Mistake as error:
            yield Refusal(one[0], str(error))


def _numeric(sample: Sample) -> list[str]:
    """Columns that may be rewards. One named as a column of TRL's own is, where TRL's own would be no number."""
    return [name for name, kind in sample.columns.items() if kind in _NUMBERS and (name not in _OWN or name == "step")]


def rewards_among(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Those columns whose sum, normalised within each prompt, is the advantage; all where no choice of them is, as with
    weights of their own.

    What a reward function logs besides can be a number as well, and nothing else tells it from a reward.
    """
    if len(names) < 2 or len(names) > 8 or not records or records[0].get("advantage") is None:
        return list(names)
    groups: dict[str, list[int]] = {}
    for index, values in enumerate(records):
        groups.setdefault(repr(values["prompt"]), []).append(index)
    advantages = np.array([_or_nan(values["advantage"]) for values in records])
    columns = {name: np.array([_or_nan(values[name]) for values in records]) for name in names}
    for size in range(len(names), 0, -1):
        for chosen in itertools.combinations(names, size):
            total = np.nansum([columns[name] for name in chosen], axis=0)
            if all(_agree(total[group], advantages[group]) for group in groups.values()):
                return list(chosen)
    return list(names)


def _agree(rewards: np.ndarray, advantages: np.ndarray) -> bool:
    if len(rewards) < 2 or not np.isfinite(advantages).all():
        return True
    normal = (rewards - rewards.mean()) / (rewards.std(ddof=1) + _EPSILON)
    return bool(np.abs(normal - advantages).max() < _CLOSE)


def _or_nan(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _extras(values: dict[str, Any], names: Sequence[str]) -> dict[str, str | float]:
    found = {name: values[name] for name in names if values[name] is not None}
    return {name: rows.shown(one) for name, one in found.items()}
