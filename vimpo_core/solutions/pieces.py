"""Tokens that are pieces of characters: a byte-level vocabulary cuts an emoji into two to four tokens, shown as <0xF0>.

Here they become readable again: which tokens make a character together, and the text that all of them spell.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from vimpo_core.types import CreditTrace

_SHOWN_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")


class Unit(NamedTuple):
    """Tokens [start, end) that end inside a character, all but the last one, and the text they spell together."""

    start: int
    end: int
    text: str


def bytes_of(shown: str) -> bytes | None:
    """The bytes that a text shows, "<0xC3><0xA9>"; None where it shows anything else."""
    return _bytes(shown) if _SHOWN_BYTES.fullmatch(shown) else None


def with_bytes_read(text: str, unreadable) -> list:
    """The parts of a text: what it says, bytes it shows being the characters that they are, and between such parts
    `unreadable(bytes, as shown)` of each stretch of bytes that are no characters."""
    parts: list = [""]
    at = 0
    for found in _SHOWN_BYTES.finditer(text):
        parts[-1] += text[at : found.start()]
        at = found.end()
        try:
            parts[-1] += _bytes(found[0]).decode()
        except UnicodeDecodeError:
            parts += [unreadable(_bytes(found[0]), found[0]), ""]
    parts[-1] += text[at:]
    return parts


def units(texts: Sequence[str]) -> list[Unit]:
    """The stretches of tokens that are characters only together, in order. Bytes that are no characters are in none."""
    found, t = [], 0
    while t < len(texts):
        unit = _unit_at(texts, t) if texts[t].startswith("<0x") else None
        if unit:
            found.append(unit)
        t = unit.end if unit else t + 1
    return found


def readable(texts: Sequence[str]) -> str:
    """What tokens spell, characters that were cut put together; bytes that are no characters stay as they are shown."""
    out, at = [], 0
    for unit in units(texts):
        out += [*texts[at : unit.start], unit.text]
        at = unit.end
    return "".join([*out, *texts[at:]])


def character_counts(texts: Sequence[str]) -> list[int]:
    """How many characters of the decoded text begin in each token; bytes that are no characters count as decoders
    replace them."""
    counts: list[int] = []
    raw, begun = b"", 0
    for text in texts:
        own = bytes_of(text)
        if own is None:
            raw, begun = b"", 0
            counts.append(len(text))
            continue
        raw += own
        counts.append(len(raw.decode(errors="replace")) - begun)
        begun += counts[-1]
    return counts


def first_difference(one: Sequence[str], other: Sequence[str]) -> tuple[int, Sequence[str], Sequence[str]] | None:
    """Where two ways to cut one text part, and the tokens that each has until they meet again; None where they do not.

    Raises ValueError where the texts differ.
    """
    if readable(one) != readable(other):
        raise ValueError("the tokens spell different texts. Compare two ways to cut one text.")
    start = next((t for t, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    if start == max(len(one), len(other)):
        return None
    ends, length = {}, 0
    for t in range(start, len(other)):
        length += _size(other[t])
        ends[length] = t + 1
    length = 0
    for t in range(start, len(one)):
        length += _size(one[t])
        if length in ends:
            return start, one[start : t + 1], other[start : ends[length]]
    return start, one[start:], other[start:]


def _size(text: str) -> int:
    own = bytes_of(text)
    return len(text.encode("utf-8", "surrogatepass") if own is None else own)


def prompt_pieces(traces: Sequence[CreditTrace], index: int) -> tuple[str, ...]:
    """The prompt's tokens as the model saw them; () where they are its own characters, or were not recorded."""
    own = traces[index]
    return next((t.prompt_pieces for t in traces if t.prompt_pieces and t.prompt_ids == own.prompt_ids), ())


@functools.lru_cache(maxsize=4096)
def _bytes(shown: str) -> bytes:
    return bytes.fromhex(shown.replace("<0x", "").replace(">", ""))


def _unit_at(texts: Sequence[str], start: int) -> Unit | None:
    """The shortest stretch from a token on whose bytes are whole characters; None where there is none."""
    decoder, text = codecs.getincrementaldecoder("utf-8")(), ""
    for t in range(start, len(texts)):
        own = bytes_of(texts[t])
        if own is None:
            return None
        try:
            text += decoder.decode(own)
        except UnicodeDecodeError:
            return None
        if not decoder.getstate()[0]:
            return Unit(start, t + 1, text)
    return None
