"""In which line of a TOML file a table or a key stands: the standard parser does not say."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_NOT_CODE = re.compile(r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
_TOKEN = re.compile(
    r"^[ \t]*(?P<open>\[\[?)[ \t]*(?P<table>[\w.-]+)[ \t]*\]|(?P<key>[\w.-]+)[ \t]*=|(?P<brace>[{}])",
    re.MULTILINE,
)


def line_numbers(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every table and key: ("seeds",), ("base", "beta"), ("arm", 0, "ranges", "beta").

    The n-th `[[arm]]` has n - 1 in its path, and what follows in `[arm.ranges]` belongs to the newest one. Keys of an
    inline table count as keys of that table. The text has to be valid TOML.
    """
    lines: dict[Path, int] = {}
    counts: dict[str, int] = {}
    table: Path = ()
    nested: list[Path] = []  # the tables in braces that are open
    newest: Path = ()
    for token in _TOKEN.finditer(_NOT_CODE.sub(_blanked, text)):
        line = text.count("\n", 0, token.start(token.lastgroup or 0)) + 1
        if token["table"]:
            first, *rest = token["table"].split(".")
            if token["open"] == "[[":
                counts[first] = counts.get(first, -1) + 1
            table = (first, counts[first], *rest) if first in counts else (first, *rest)
            lines.setdefault(table, line)
        elif token["key"]:
            newest = (nested[-1] if nested else table) + tuple(token["key"].split("."))
            lines.setdefault(newest, line)
        elif token["brace"] == "{":
            nested.append(newest)
        elif nested:
            nested.pop()
    return lines


def _blanked(found: re.Match) -> str:
    """A string or comment without what might be taken for structure; a quoted key stays readable, lines stay lines."""
    inside = found[0][1:-1]
    if not found[0].startswith("#") and re.fullmatch(r"[\w-]+", inside):
        return f" {inside} "
    return re.sub(r"[^\n]", " ", found[0])
