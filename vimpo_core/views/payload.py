"""What payloads share: numbers as they travel, a scale that reads well, and a hash of the content."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import overload

from vimpo_core.solutions import pieces
from vimpo_core.solutions.steps import step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace


@overload
def whole(values: None) -> None: ...
@overload
def whole(values: Iterable[float]) -> list[int | None]: ...
def whole(values: Iterable[float] | None) -> list[int | None] | None:
    """Whole numbers of the last shown digit as they travel; None inside where not finite, None for what is missing."""
    if values is None:
        return None
    return [int(v) if math.isfinite(v) else None for v in values]


def tokens_of(trace: CreditTrace) -> dict:
    """What every drawing of a solution needs of its tokens: readable texts, which of them are one character together,
    where lines or steps begin, where it goes wrong."""
    return {
        "text": shown_texts(trace.text),
        "units": shown_units(trace.text),
        "line_starts": step_starts(trace),
        **marked(trace),
    }


def marked(trace: CreditTrace) -> dict:
    """The token that stands out: the first wrong one, or the largest true drop where that was measured and is clear."""
    drop = trace.largest_drop
    return {
        "first_wrong": trace.first_wrong,
        "largest_drop": drop.token if drop is not None and drop.is_clear else None,
    }


def shown_texts(texts: Sequence[str]) -> list[str]:
    """Each token as a reader can see it."""
    return [visible_text(text) for text in texts]


def shown_units(texts: Sequence[str]) -> list[list]:
    """[first token, token behind the last, text] of the characters that are cut into several tokens."""
    return [[unit.start, unit.end, visible_text(unit.text)] for unit in pieces.units(texts)]


def with_version(payload: dict) -> dict:
    """The payload with a hash of its content: the component redraws only when it changes."""
    content = json.dumps({key: value for key, value in payload.items() if key != "version"})
    return payload | {"version": hashlib.sha256(content.encode()).hexdigest()[:16]}


def round_up(largest: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten; 0 stays 0."""
    if largest <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(float(f"{m * power:.3g}") for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if m * power >= largest * (1 - 1e-9))
