"""The setting that names a task, taken apart: `KIND`, or `KIND:ARGUMENT?option=value&option=value`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from vimpo_core.mistake import Mistake

LONGEST = 2000
"""Characters of a task's setting that are read."""


@dataclass(frozen=True)
class Spec:
    """kind: `chain`, `gym`, ...; argument: what stands after its colon, such as a path; options: name and value of
    each, in order.
    """

    kind: str
    argument: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe=' ,')}" for name, value in self.options)
        argument = f":{self.argument}" if self.argument else ""
        return f"{self.kind}{argument}{'?' if query else ''}{query}"


def parse(text: str) -> Spec:
    """Take a task's setting apart; in the options %XX and + stand for characters as in a web address.

    Raises:
        Mistake: too long, a control character, an option without `=` or one given twice.
    """
    if len(text) > LONGEST:
        raise Mistake(f"task must be at most {LONGEST} characters, got {len(text)}. Use a shorter path.")
    if not text.isprintable():
        raise Mistake(f"task must be printable text, got {text[:60]!r}.")
    named, question, query = text.rpartition("?")
    if not question:
        named, query = text, ""
    kind, _, argument = named.partition(":")
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50)
    except ValueError:
        raise Mistake(
            f"task has options that are not name=value joined by &, got {query[:60]!r}. Write ?name=value&name=value."
        ) from None
    names = [name for name, _ in options]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Mistake(f"task gives the option {twice!r} twice. Keep one of them.")
    return Spec(kind, argument, tuple(options))
