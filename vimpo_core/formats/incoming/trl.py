"""TRL's `log_completions`: one Parquet file a logged step, text and rewards, no tokens.

Every reward function has a column of its own name and so has whatever it logs besides; TRL's own columns are `step`,
`prompt`, `completion` and, last, `advantage`. A function called `step`, `prompt` or `completion` takes that column's
place; the rewards of one called `advantage` are lost under TRL's own. Which numbers are rewards: `trl_rewards`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vimpo_core.formats.incoming import rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.formats.incoming.trl_rewards import Logged, Rewards, rewards_among
from vimpo_core.mistake import Mistake

NAME = "TRL completions"
TOOL = "TRL"
IN_ONE_FOLDER = True
GIVES_WAY = True
_OWN = ("step", "prompt", "completion", "advantage")
_NUMBERS = ("double", "float", "halffloat")
_SPIED = "completion_ids"
"""What a reward function may log of the tokens, which TRL itself does not."""
_FILES, _ROWS = 64, 4096
"""Of which the advantages are compared with the rewards."""
_LOST = (
    "A reward function is called advantage: TRL writes its own advantages over its rewards, so they are lost, and with "
    "them the whole reward."
)


@dataclass(frozen=True)
class Looked:
    """What the numbers of all files together are. names: all that may be rewards; remarks: what is to be said."""

    names: tuple[str, ...]
    rewards: Rewards
    remarks: tuple[str, ...]
    """Of what is doubtful."""
    notes: tuple[str, ...] = ()


def matches(sample: Sample) -> bool:
    columns = sample.columns
    lists = {name for name, kind in columns.items() if "list<" in kind}
    return sample.kind == "parquet" and set(_OWN) <= set(columns) and lists <= {"prompt", "completion", _SPIED}


def look(files: Sequence[Incoming], beside: Sequence[Incoming] = (), before: Looked | None = None) -> Looked:
    """Of some of the files, spread over all; what earlier ones said for certain stays."""
    if before is not None and before.rewards.is_sure:
        return before
    every = max(1, math.ceil(len(files) / _FILES))
    taken: list[list[dict[str, Any]]] = []
    names: dict[str, None] = {}
    for file in files[::every]:
        try:
            names |= dict.fromkeys(_numeric(file.sample))
            taken.append([found[1] for found in file.records() if not isinstance(found, Refusal)])
        except (Mistake, OSError):  # said when it is read
            continue
        if sum(map(len, taken)) >= _ROWS:
            break
    logged = _logged(taken, tuple(names))
    rewards = rewards_among(logged)
    return Looked(logged.names, rewards, _remarks(logged, rewards), _notes(rewards))


def _logged(files: Sequence[Sequence[dict[str, Any]]], names: tuple[str, ...]) -> Logged:
    groups: list[int] = []
    for records in files:
        runs = [len(list(run)) for _, run in itertools.groupby(repr(one.get("prompt")) for one in records)]
        size, start = math.gcd(*runs) if runs else 1, 1 + max(groups, default=-1)
        if size > 1:  # TRL writes group after group, and two of one prompt may follow each other
            groups += [start + index // size for index in range(len(records))]
        else:
            groups += [start + number for number, run in enumerate(runs) for _ in range(run)]
    flat = [one for records in files for one in records]
    return Logged(
        names,
        np.array([[_or_nan(one.get(name)) for name in names] for one in flat]).reshape(len(flat), len(names)),
        np.array([_or_nan(one.get("advantage")) for one in flat]),
        np.array(groups, np.int64),
        np.array([number for number, records in enumerate(files) for _ in records], np.int64),
    )


def _remarks(logged: Logged, rewards: Rewards) -> tuple[str, ...]:
    names = ", ".join(logged.names)[:200]
    if not logged.names:
        return ("TRL wrote no rewards: those of a function that is called advantage are lost under TRL's own column.",)
    if rewards.is_sure:
        return ()
    if logged.is_telling:
        return (
            f"The advantages are not made of the rewards that are there ({names}): some function may be called like a "
            "column of TRL's or like another one, so that its rewards are lost, or rewards are scaled in a way that is "
            f"not known here. The reward is {'their plain sum' if len(logged.names) > 1 else 'this one alone'}.",
        )
    if len(logged.names) > 1:
        return (f"Every advantage is 0, so nothing tells which of {names} are rewards: all are, without weights.",)
    return ()


def _notes(rewards: Rewards) -> tuple[str, ...]:
    if not rewards.is_sure or (len(rewards.weights) < 2 and not rewards.is_weighted):
        return ()
    if not rewards.is_weighted:
        return (f"The reward is the sum of {', '.join(rewards.weights)[:300]}, as the advantages say.",)
    shown = ", ".join(f"{name} × {weight:g}" for name, weight in rewards.weights.items())
    return (f"The advantages are those of weighted rewards, and so is the reward: {shown[:300]}.",)


def read(file: Incoming, looked: Looked) -> Iterator[Row | Refusal]:
    sample = file.sample
    spied = sample.columns.get(_SPIED, "").startswith("list<")
    number = re.search(r"(\d+)\D*$", sample.name.rpartition(".")[0])
    of_file = number and int(number[1][:9])
    is_step_paid, is_lost = sample.columns["step"] in _NUMBERS, _is_lost(sample)
    weights = looked.rewards.weights
    remarks = (_LOST,) if is_lost else looked.remarks
    if is_step_paid:
        remarks = (*remarks, _said_of_step(of_file))

    def make(place: str, values: dict[str, Any]) -> Row:
        for own in ("prompt", "completion"):
            if sample.columns[own] in _NUMBERS:
                raise Mistake(f"its {own} is a number: a reward function of that name took the column's place.")
        named = {name: rows.number(values[name], name) for name in weights if name in values}
        earned = [weights[name] * one for name, one in named.items() if one is not None]
        beside = [n for n in values if n not in (*_OWN, *weights, _SPIED if spied else "")]
        return Row(
            place=place,
            step=of_file if is_step_paid else rows.whole(values["step"], "step"),
            prompt=rows.messages(values["prompt"], "prompt"),
            completion=rows.said(values["completion"], "completion"),
            reward=sum(earned) if earned and not is_lost else None,
            rewards=named,
            is_total=looked.rewards.is_sure,
            advantage=rows.number(values.get("advantage"), "advantage"),
            ids=rows.token_ids(values.get(_SPIED), _SPIED) if spied else None,
            extras={name: rows.shown(values[name]) for name in beside if values[name] is not None},
            remarks=remarks,
        )

    return rows.each(file, make)


def _is_lost(sample: Sample) -> bool:
    """Whether a function is called advantage: its column stands where the function's stood, before others."""
    names = list(sample.columns)
    return any(sample.columns[name] in _NUMBERS for name in names[names.index("advantage") + 1 :])


def _said_of_step(of_file: int | None) -> str:
    where = (
        "the file's name says the step" if of_file is not None else "no name of a file says the step: it counts as 0"
    )
    return f"A reward function is called step: its rewards stand in TRL's column of that name, and {where}."


def _numeric(sample: Sample) -> list[str]:
    """Columns that may be rewards. One named as a column of TRL's own is, where TRL's own would be no number."""
    return [name for name, kind in sample.columns.items() if kind in _NUMBERS and (name not in _OWN or name == "step")]


def _or_nan(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
