"""Tags and a note that people keep with a run: fields of its header, so that they go wherever its file goes.

A file may come from anybody: what is read of it is cut to what could have been written here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from vimpo_core.mistake import Mistake

LONGEST_TAG = 30
MOST_TAGS = 12
LONGEST_NOTE = 2000
TAGS, NOTE = "tags", "note"
_QUOTED = 40


def tags_of(header: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of a run by its header; none where they are not what a run's tags can be."""
    found = header.get(TAGS)
    texts = [_line(tag) for tag in found if isinstance(tag, str)] if isinstance(found, list) else []
    return tuple(_once(tag for tag in texts if 0 < len(tag) <= LONGEST_TAG)[:MOST_TAGS])


def note_of(header: Mapping[str, Any]) -> str:
    """The note of a run by its header, "" for none."""
    found = header.get(NOTE)
    return plain(found)[:LONGEST_NOTE] if isinstance(found, str) else ""


def of_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header fields of both, those that there are."""
    found = {TAGS: list(tags_of(header)), NOTE: note_of(header)}
    return {name: value for name, value in found.items() if value}


def checked_tag(tag: str) -> str:
    """A tag as it is kept. Raises Mistake where it is empty or too long."""
    tag = _line(tag)
    if not 0 < len(tag) <= LONGEST_TAG:
        raise Mistake(f"a tag must have 1 to {LONGEST_TAG} characters, got {_told(tag)}. Use another one.")
    return tag


def checked_note(note: str) -> str:
    """A note as it is kept. Raises Mistake where it is too long."""
    note = plain(note)
    if len(note) > LONGEST_NOTE:
        raise Mistake(f"a note has at most {LONGEST_NOTE:,} characters, got {len(note):,}. Shorten it.")
    return note


def tags_in(text: str) -> list[str]:
    """The tags that somebody typed, separated by commas. Raises Mistake as `checked_tag`."""
    return _once(checked_tag(part) for part in text.split(",") if part.strip())


def changed(header: Mapping[str, Any], add: Iterable[str], remove: Iterable[str], note: str | None) -> dict[str, Any]:
    """Header fields with some tags more, some less, and another note (None: the same). Other tags stay, whoever put
    them there meanwhile.

    Raises Mistake for a tag or a note that cannot be kept.
    """
    gone = {_same(tag) for tag in remove}
    tags = _once([*(tag for tag in tags_of(header) if _same(tag) not in gone), *map(checked_tag, add)])
    if len(tags) > MOST_TAGS:
        raise Mistake(f"a run has at most {MOST_TAGS} tags, got {len(tags)}. Take some away first.")
    return {TAGS: tags} | ({} if note is None else {NOTE: checked_note(note)})


def without(header: dict[str, Any]) -> dict[str, Any]:
    """The header for files that are handed on: what somebody noted for themselves stays with the run."""
    return {name: value for name, value in header.items() if name not in (TAGS, NOTE)}


def _once(tags: Iterable[str]) -> list[str]:
    """Each tag once, whatever its capitals."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(_same(tag), tag)
    return list(found.values())


def _same(tag: str) -> str:
    return _line(tag).casefold()


def _line(text: str) -> str:
    """One line without a comma, which separates tags, and without what cannot be seen."""
    return " ".join(plain(text).replace(",", " ").split())


def plain(text: str) -> str:
    """Text without control characters, marks that turn the direction of what follows, and halves of characters."""
    kept = (c for c in text.replace("\r\n", "\n") if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()


def _told(tag: str) -> str:
    return f"{len(tag)}: {tag[:_QUOTED]}{'…' if len(tag) > _QUOTED else ''}" if tag else "none"
