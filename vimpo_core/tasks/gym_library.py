"""What is asked of the library reasoning-gym, in the judge's process alone (`judge_process`)."""

from __future__ import annotations

import dataclasses
import difflib
import json
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from vimpo_core.mistake import Mistake

Options = tuple[tuple[str, str], ...]


def prepare() -> None:
    """Import the library. Raises Mistake where it is not installed."""
    try:
        import reasoning_gym  # noqa: F401
    except ImportError as error:
        raise Mistake(
            f"tasks of reasoning-gym need the library ({error}). Install it with `pip install -r "
            "requirements-worlds.txt`."
        ) from error


def facts(name: str, options: Options, size: int) -> dict[str, Any]:
    """Version of the library, and the set's settings as text."""
    config = _data_set(name, options, size).config
    shown = {f.name: repr(getattr(config, f.name))[:200] for f in dataclasses.fields(config)}
    return {"version": version("reasoning-gym"), "config": {k: v for k, v in shown.items() if k not in _FIXED}}


def item(number: int, name: str, options: Options, size: int) -> tuple[str, str]:
    """(question, answer) of an item; "" where the set gives no answer."""
    made = _entry(number, name, options, size)
    return made["question"], "" if made["answer"] is None else str(made["answer"])


def score(asked: tuple[int, str], name: str, options: Options, size: int) -> float:
    """The set's own score of an answer to an item."""
    number, answer = asked
    return float(_data_set(name, options, size).score_answer(answer, _entry(number, name, options, size)))


_FIXED = ("seed", "size")


@lru_cache(maxsize=4096)
def _entry(number: int, name: str, options: Options, size: int) -> dict:
    """Made once: some sets take a second an item."""
    return _data_set(name, options, size)[number]


@lru_cache(maxsize=4)
def _data_set(name: str, options: Options, size: int):
    prepare()
    from reasoning_gym.factory import DATASETS, create_dataset

    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, 3) or sorted(DATASETS)[:3]
        raise Mistake(f"reasoning-gym has no data set {name!r}. Near: {', '.join(near)}; {len(DATASETS)} in all.")
    fields = {f.name: f for f in dataclasses.fields(DATASETS[name][1]) if f.name not in _FIXED}
    values = {}
    for option, text in options:
        if option not in fields:
            raise Mistake(
                f"task gym:{name} has no option {option[:40]!r}. Known: {', '.join(fields)}, size, read, ask."
            )
        values[option] = _value(name, option, text, fields[option].default)
    try:
        # Some sets make all their items at once, and one refuses more than there are.
        return create_dataset(name, seed=0, size=size, **values)
    except Exception as error:  # AssertionError, ValueError, TypeError: each set has its own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise Mistake(f"task gym:{name} refuses its options: {reason[:200].rstrip('.')}.") from None


def _value(name: str, option: str, text: str, default) -> Any:
    """An option's value: JSON where it is some, else text; of the kind of its default."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(default, str):
        return text
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    wants_number = isinstance(default, int | float) and not isinstance(default, bool)
    if (wants_number and (isinstance(value, bool) or not isinstance(value, int | float))) or (
        isinstance(default, bool) and not isinstance(value, bool)
    ):
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise Mistake(f"task gym:{name}: the option {option} must be {kind}, got {text[:40]!r}. Default: {default!r}.")
    return value
