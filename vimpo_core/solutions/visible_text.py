"""Token text as a reader can see it. Model text is hostile: what draws nothing, or reorders its neighbours, becomes a
mark.
"""

from __future__ import annotations

import functools
import unicodedata

_MARKS = {
    "\n": "⏎",
    "\r": "␍",
    "\t": "⇥",
    "\x7f": "␡",
    "\u00a0": "⟨NBSP⟩",
    "\u00ad": "⟨SHY⟩",
    "\u061c": "⟨ALM⟩",
    "\u200b": "⟨ZWSP⟩",
    "\u200c": "⟨ZWNJ⟩",
    "\u200d": "⟨ZWJ⟩",
    "\u200e": "⟨LRM⟩",
    "\u200f": "⟨RLM⟩",
    "\u2028": "⟨LS⟩",
    "\u2029": "⟨PS⟩",
    "\u202a": "⟨LRE⟩",
    "\u202b": "⟨RLE⟩",
    "\u202c": "⟨PDF⟩",
    "\u202d": "⟨LRO⟩",
    "\u202e": "⟨RLO⟩",
    "\u2060": "⟨WJ⟩",
    "\u2066": "⟨LRI⟩",
    "\u2067": "⟨RLI⟩",
    "\u2068": "⟨FSI⟩",
    "\u2069": "⟨PDI⟩",
    "\ufeff": "⟨BOM⟩",
    "\ufffd": "\ufffd",
}
# Letters and marks that draw nothing although their category says otherwise.
_BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
_LONGEST_TOKEN = 80
_COMMANDS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\r\t"}
_COMMANDS |= {code: f"⟨U+{code:04X}⟩" for code in range(0x80, 0xA0)}
_COMMANDS |= {
    ord(character): mark
    for character, mark in _MARKS.items()
    if character in "\x7f\u061c\u200e\u200f" or "\u2028" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
}


@functools.lru_cache(maxsize=50_000)
def visible_text(text: str) -> str:
    """A token's text with everything one could not see made visible: U+202E as ⟨RLO⟩, a lone space as ␣, nothing as ∅.

    The result holds no control, bidirectional, zero-width or unassigned character and no surrogate. Long texts are cut.
    """
    if not text:
        return "∅"
    if text.strip(" ") == "":
        return "␣" * min(len(text), _LONGEST_TOKEN)
    return "".join(_visible_characters(text[:_LONGEST_TOKEN])) + ("…" if len(text) > _LONGEST_TOKEN else "")


def without_commands(text: str) -> str:
    """A text that neither tells a terminal what to do nor turns round what stands beside it: controls, but for line
    breaks and tabs, and direction marks become visible; all else stays as it is."""
    return text.translate(_COMMANDS)


def visible_lines(text: str, longest: int) -> str:
    """A text of several lines, its breaks kept, everything else that one could not see made visible as in a token."""
    cut = text[:longest].replace("\r\n", "\n")
    lines = ("".join(_visible_characters(line)) for line in cut.split("\n"))
    return "\n".join(lines) + ("…" if len(text) > longest else "")


def _visible_characters(text: str) -> list[str]:
    shown: list[str] = []
    accents = 0
    for character in text:
        is_accent = unicodedata.category(character) in ("Mn", "Me")
        shown.append(_visible_accent(character, not shown, accents) if is_accent else _visible_character(character))
        accents = accents + 1 if is_accent else 0
    return shown


def _visible_accent(character: str, is_first: bool, accents_before: int) -> str:
    if character in _BLANK or 0xFE00 <= ord(character) <= 0xFE0F or ord(character) >= 0xE0100 or accents_before >= 2:
        return f"⟨U+{ord(character):04X}⟩"
    return "◌" + character if is_first else character


def _visible_character(character: str) -> str:
    if character in _MARKS:
        return _MARKS[character]
    code, category = ord(character), unicodedata.category(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if (
        category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        or character in _BLANK
        or (category == "Zs" and character != " ")
    ):
        return f"⟨U+{code:04X}⟩"
    return character
