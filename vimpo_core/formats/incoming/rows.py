"""The one record that every reader of another tool's file yields, and what a reader is handed.

A reader is a module of this folder with

    NAME                            of the format, as "TRL completions"
    TOOL                            who writes it, as "TRL"
    matches(sample) -> bool         whether a file is one of its own, by content and never by name
    read(file) -> Iterator[Row | Refusal]       of one file; `each(file, make)` does it where a record is a row

or, where what a file's columns mean shows in all files together,

    look(files, beside, before) -> Any          what `read(file, looked)` is given, its `notes` for the first table;
                                                beside: those that `accompanies` knows; before: of files read earlier

and, where there is something to say,

    UPDATES_BEHIND = 0              by how many updates the policy that wrote step N is behind N; 1 where it is not said

    accompanies(sample) -> bool     whether a file holds no rows but belongs to them, such as a metadata.json
    facts(sample) -> dict           what a file says of the whole run: any of `FACTS`
    IN_ONE_FOLDER = True            where all files of a run lie in one folder: several are several runs
    GIVES_WAY = True                where what our own writer wrote beside it is the same run, with more of it
    metrics(file) -> list[dict]     what a file says of its steps, {"step": n, name: value}

It opens nothing, trusts nothing and never raises but `Mistake`: one sentence of what is wrong with the one row, which
is then refused and counted. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vimpo_core.mistake import Mistake
from vimpo_core.types import CreditTrace, StopReason

FACTS = (
    *("algorithm", "model", "reference", "temperature", "beta", "gae_lambda", "notes", "config", "name"),
    *("tool", "updates_behind"),
)
"""What `facts` may give: notes is a list of sentences, config settings of a run of this lab, tool and updates_behind
take the place of the reader's own, the others are text or numbers."""
MAX_TEXT = 500_000
"""Characters of a prompt or completion."""
_SHOWN = 2000
"""Characters of what is only shown."""
MAX_TOKENS = 200_000
"""Tokens of a completion."""
LARGEST = 1e15
"""No tool means a larger reward or number a token; its square still fits 32 bits."""
TOKEN_ARRAYS = ("logprob", "ref_logprob", "kl", "entropy", "sampler_logprob")
"""Names of arrays that mean here what they mean in `CreditTrace`."""
Prompt = str | Sequence[Mapping[str, str]]
Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Row:
    """One completion as its tool recorded it. What is not recorded is None, "" or (), never zeros.

    Attributes:
        step: training step; prompt: text, or messages (role, content); completion: its text, "" where only tokens were.
        reward: what training saw; rewards: by the name of each function; advantage: of the whole solution.
        gold: the right answer; group: the tool's own mark of solutions to one prompt.
        prompt_ids, ids, texts: tokens; mask: which of them counted in the loss.
        arrays: name -> one number a token (nan where one is missing): `TOKEN_ARRAYS`, others under the tool's own name.
        approximate: array -> why it is not exact, as "k3". finish: how it ended.
        is_total: whether `reward` is known to be what training made of `rewards`.
        extras: whatever else there is to show. remarks: sentences on how it was read, for the first table, which counts
            the rows of each. place: "completions_00012.parquet, row 5".
        trace: a record that this lab itself wrote, whole: then it is taken as it is.
    """

    place: str
    step: int | None = None
    prompt: Prompt = ""
    completion: str = ""
    reward: float | None = None
    rewards: dict[str, float | None] = field(default_factory=dict)
    advantage: float | None = None
    gold: str = ""
    group: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    ids: tuple[int, ...] | None = None
    texts: tuple[str, ...] | None = None
    mask: tuple[bool, ...] | None = None
    arrays: Mapping[str, Numbers] = field(default_factory=dict)
    approximate: dict[str, str] = field(default_factory=dict)
    finish: StopReason | None = None
    extras: dict[str, str | float] = field(default_factory=dict)
    is_total: bool = False
    remarks: tuple[str, ...] = ()
    trace: CreditTrace | None = None


@dataclass(frozen=True)
class Refusal:
    """A row that cannot be taken, and why, in a sentence that fits others of its kind: they are counted by it."""

    place: str
    why: str


@dataclass(frozen=True)
class Sample:
    """What a file looks like.

    Attributes:
        name: its last part, to be shown; never a path.
        kind: "jsonl", "json" (one document), "csv" or "parquet".
        columns: name -> type, as pyarrow writes it of Parquet; of others the Python type's name in the first record
            that has the column, "str", "int", "float", "bool", "list", "dict" or "NoneType".
        records: the first few records. A JSON document that is no list of records is the only one; lists in it are cut
            to their first few items, however deep.
        metadata: of a Parquet file.
    """

    name: str
    kind: str
    columns: dict[str, str]
    records: tuple[dict[str, Any], ...]
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> dict[str, Any]:
        return self.records[0] if self.records else {}


class Incoming(Protocol):
    """A file as a reader is handed it (`opening`): parsed, within limits."""

    @property
    def sample(self) -> Sample: ...

    def records(self) -> Iterator[tuple[str, dict[str, Any]] | Refusal]:
        """Place and values of each record, in order; Refusal for one that could not be parsed."""
        ...


def each(file: Incoming, make: Callable[[str, dict[str, Any]], Row]) -> Iterator[Row | Refusal]:
    """`make(place, values)` of every record; a Mistake that it raises is the refusal of that one."""
    for found in file.records():
        if isinstance(found, Refusal):
            yield found
            continue
        try:
            yield make(*found)
        except Mistake as error:
            yield Refusal(found[0], str(error))


# ---- values of other people, checked


def text(value: Any, what: str) -> str:
    """A text; None is "". Mistake for anything else, or too long."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Mistake(f"{what} is no text but {_kind(value)}.")
    if len(value) > MAX_TEXT:
        raise Mistake(f"{what} has more than {MAX_TEXT:,} characters.")
    return value


def number(value: Any, what: str) -> float | None:
    """A finite number; None, nan and infinity are None. Mistake for text and the like."""
    if value is None or isinstance(value, bool):
        return None if value is None else float(value)
    if not isinstance(value, int | float):
        raise Mistake(f"{what} is no number but {_kind(value)}.")
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def reward(value: Any, what: str) -> float | None:
    """A number; None is None. Mistake for nan and infinity, which no judge means."""
    found = number(value, what)
    if found is None and value is not None:
        raise Mistake(f"{what} is no finite number.")
    return found


def needs(values: Mapping[str, Any], *names: str) -> None:
    """Mistake naming the first of the columns that a record does not have."""
    for name in names:
        if values.get(name) is None:
            raise Mistake(f"it has no {name}.")


def shown(value: Any) -> str | float:
    """Whatever a tool wrote beside, to be looked at: a number, or a text, not too long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and number(value, "") is not None:
        return value
    return (value if isinstance(value, str) else str(value))[:_SHOWN]


def label(value: Any) -> str:
    """An answer or a mark as a text; None is ""."""
    return "" if value is None else str(shown(value))


def whole(value: Any, what: str) -> int | None:
    """A whole number from 0 on that a float holds exactly; None is None. 3.0 is 3."""
    found = number(value, what)
    if found is None:
        return None
    if found != int(found) or not 0 <= found < 2**53:
        raise Mistake(f"{what} is no whole number from 0 to 2^53.")
    return int(found)


def messages(value: Any, what: str) -> Prompt:
    """A prompt: a text, or a list of messages, each with a role and a content."""
    if not isinstance(value, list | tuple):
        return text(value, what)
    if not all(isinstance(one, dict) and isinstance(one.get("content") or "", str) for one in value):
        raise Mistake(f"{what} is a list whose items are no messages of role and content.")
    found = [
        {"role": text(one.get("role"), f"a role in {what}"), "content": text(one.get("content"), what)} for one in value
    ]
    if sum(len(one["content"]) for one in found) > MAX_TEXT:
        raise Mistake(f"{what} has more than {MAX_TEXT:,} characters.")
    return found


def said(value: Any, what: str) -> str:
    """A completion as text: a text, or the contents of a list of messages."""
    found = messages(value, what)
    if isinstance(found, str):
        return found
    return found[0]["content"] if len(found) == 1 else as_text(found)


def as_text(prompt: Prompt) -> str:
    """A prompt to be read: messages as "role: content", a line each; a lone one without its role."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n".join(f"{one['role']}: {one['content']}" for one in prompt)


def token_ids(value: Any, what: str) -> tuple[int, ...] | None:
    """Token ids; None is None. Mistake where one is no whole number, or there are too many."""
    if value is None:
        return None
    _check_list(value, what)
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not all(type(one) is int and 0 <= one < 2**31 for one in value):
        raise Mistake(f"{what} holds something that is no token id.")
    return tuple(value)


def token_texts(value: Any, what: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    _check_list(value, what)
    if not all(isinstance(one, str) for one in value):
        raise Mistake(f"{what} holds something that is no text.")
    return tuple(value)


def token_mask(value: Any, what: str) -> tuple[bool, ...] | None:
    if value is None:
        return None
    _check_list(value, what)
    if not all(one in (0, 1) for one in value):
        raise Mistake(f"{what} holds something that is neither true nor false.")
    return tuple(map(bool, value))


def array(value: Any, what: str) -> np.ndarray | None:
    """One number a token, float32, nan where there is none; None where nothing at all was recorded."""
    if value is None:
        return None
    _check_list(value, what)
    try:
        found = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise Mistake(f"{what} holds something that is no number.") from None
    if found.ndim != 1:
        raise Mistake(f"{what} is no plain list of numbers.")
    if not found.size or np.isnan(found).all():
        return None if found.size else found.astype(np.float32)
    if np.nanmax(np.abs(found)) > LARGEST:
        raise Mistake(f"{what} holds a number that is not finite or is beyond {LARGEST:g}.")
    return found.astype(np.float32)


def arrays(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Numbers]:
    """Those arrays of a record that it has: `names` maps the tool's names to ours."""
    found = {ours: array(values.get(theirs), theirs) for theirs, ours in names.items()}
    return {name: one for name, one in found.items() if one is not None}


def _check_list(value: Any, what: str) -> None:
    if not isinstance(value, list | tuple | np.ndarray):
        raise Mistake(f"{what} is no list but {_kind(value)}.")
    if len(value) > MAX_TOKENS:
        raise Mistake(f"{what} has more than {MAX_TOKENS:,} entries.")


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a record"
    if isinstance(value, list | tuple):
        return "a list"
    return {str: "a text", bool: "true or false", int: "a number", float: "a number"}.get(type(value), "something else")
