"""What is asked of the library Math-Verify, in the judge's process alone (`judge_process`)."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.metadata import version

from vimpo_core.mistake import Mistake


def prepare() -> None:
    """Import the library. Raises Mistake where it is not installed."""
    try:
        import math_verify  # noqa: F401
    except ImportError as error:
        raise Mistake(
            f"tasks of competition mathematics need the library Math-Verify ({error}). Install it with `pip install -r "
            "requirements-worlds.txt`."
        ) from error
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns of every answer it cannot read


def version_of(package: str) -> str:
    prepare()
    return version(package)


def compare(asked: tuple[str, str]) -> tuple[bool, str]:
    """(whether the answer that a solution gives equals the gold one, that answer as it was read; "" for none)."""
    prepare()
    from math_verify import verify

    gold, solution = asked
    found = _parsed(solution)
    shown = next((part for part in reversed(found) if isinstance(part, str)), "") or (str(found[0]) if found else "")
    return bool(found) and bool(verify(list(_gold(gold)), found, timeout_seconds=None)), shown


def refusal(gold: str) -> str:
    """Why a gold answer cannot be compared; "" where it equals itself."""
    if not _gold(gold):
        return f"Math-Verify reads no answer in {gold[:60]!r}."
    return "" if compare((gold, _boxed(gold)))[0] else f"Math-Verify does not find {gold[:60]!r} equal to itself."


@lru_cache(maxsize=4096)
def _gold(gold: str) -> tuple:
    return tuple(_parsed(_boxed(gold)))


def _boxed(gold: str) -> str:
    inside = gold.strip().strip("$")
    return inside if r"\boxed" in inside else rf"\boxed{{{inside}}}"


def _parsed(text: str) -> list:
    prepare()
    from math_verify import parse

    return parse(text, parsing_timeout=None)
