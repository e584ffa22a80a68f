r"""Answer extraction and exact checking of model text. Pure, standard library, linear time; nothing is ever evaluated.

The answer is the inside of the last `\boxed{...}` (space before the brace is forgiven), or without any box the text
after the last `####`. A last box that cannot be read, without braces, unclosed or round another one and more, is no
answer: what an earlier one says was taken back. It must be one
exact rational number: 42, -1.5, .5, 1,000, 1{,}000, 3/4 or \frac{3}{4} (\dfrac, \tfrac). Spaces, `$` and redundant
parentheses around it, one final period and the typeset minus U+2212 are forgiven; everything else is rejected with a
reason. Numbers are compared as fractions of whole numbers: no rounding, no tolerance. Where math-verify parses LaTeX
in general (and can take seconds or minutes on hostile text), this knows only numbers and cannot be slow.
"""

from __future__ import annotations

import re
from fractions import Fraction

from vimpo_core.mistake import Mistake
from vimpo_core.types import Verdict, VerdictStatus

MAX_CHARACTERS = 64
"""Longest answer that is read, in characters, once what surrounds it is stripped."""
MAX_DIGITS = 18
"""Most digits in one number: numerator and denominator each may have as many."""
MAX_WINDOW = 256
"""An answer with all that surrounds it must end within this many characters, so a loop of braces costs nothing."""

_BOX, _MARK = r"\boxed", "####"
_NAME = re.compile(r"\\boxed(?![A-Za-z])")
_BRACE = re.compile(r"\s*+{")
_INTEGER = r"[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+"  # [0-9], for \d and int() also know other scripts and 1_0
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\ *(?:"
    rf"(?=\.?[0-9])(?P<whole>{_INTEGER})?(?:\.(?P<decimals>[0-9]+))?"
    rf"|(?P<a>{_INTEGER})\ */\ *(?P<b>{_INTEGER})"
    rf"|\\[dt]?frac\ *{{\ *(?P<num>[+-]?(?:{_INTEGER}))\ *}}\ *{{\ *(?P<den>[+-]?(?:{_INTEGER}))\ *}}"
    rf")"
)


def verify(response: str, gold: str) -> Verdict:
    r"""Judge a whole response: its last `\boxed{...}`, else the text after its last `####`, else rejected.

    Args:
        response: whatever the model wrote; any text at all is fine, the result is always a verdict.
        gold: the right answer, in the same grammar.

    Raises:
        Mistake: `gold` is outside the grammar, which is a mistake of the caller.
    """
    right = _parse_gold(gold)
    try:
        answer = _extract(response)
    except _OutsideGrammar as problem:
        return Verdict(VerdictStatus.REJECTED, reason=str(problem))
    return _compare(answer, right, gold)


def check_answer(answer: str, gold: str) -> Verdict:
    """Judge an answer that a task has already extracted by a rule of its own: the same exact comparison as `verify`.

    Raises:
        Mistake: `gold` is outside the grammar.
    """
    return _compare(answer, _parse_gold(gold), gold)


class _OutsideGrammar(Exception):
    """The text is no answer; the message says why, for a reader."""


def _compare(answer: str, right: Fraction, gold: str) -> Verdict:
    shown = printable(answer)
    try:
        value = _parse(answer)
    except _OutsideGrammar as problem:
        return Verdict(VerdictStatus.REJECTED, shown, str(problem))
    if value == right:
        return Verdict(VerdictStatus.CORRECT, shown)
    return Verdict(VerdictStatus.INCORRECT, shown, f"The answer {shown} is not {gold}.")


def _extract(response: str) -> str:
    start = _last_box(response)
    if start >= 0:
        brace = _BRACE.match(response, start + len(_BOX))
        if brace is None:
            raise _OutsideGrammar(rf"The last {_BOX} has no braces.")
        inside = _inside_braces(response[brace.end() : brace.end() + MAX_WINDOW + 1])
        _refuse_more_around(response, start, brace.end() + len(inside) + 1)
        return inside
    mark = response.rfind(_MARK)
    if mark < 0:
        raise _OutsideGrammar(rf"There is no \boxed{{}} and no {_MARK} in the response.")
    return response[mark + len(_MARK) :]


def _last_box(text: str) -> int:
    r"""Where the last `\boxed` begins that is no beginning of a longer name; -1 where there is none."""
    start = text.rfind(_BOX)
    if start < 0 or _NAME.match(text, start):
        return start
    return max((name.start() for name in _NAME.finditer(text)), default=-1)


def _inside_braces(text: str) -> str:
    end = _closing_brace(text)
    if end < 0:
        raise _OutsideGrammar(rf"The last \boxed{{ is not closed within {MAX_WINDOW} characters.")
    return text[:end]


def _closing_brace(text: str) -> int:
    """Where the brace that was opened before the text is closed; -1 if it is not."""
    depth = 1
    for i, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return i
    return -1


def _refuse_more_around(response: str, start: int, end: int) -> None:
    """Raise where the box at start..end stands within another one that holds more than it: that one is the last to
    close.
    """
    for _ in range(2):  # a box within a box is one answer; deeper, nobody writes
        before = response[max(0, start - MAX_WINDOW) : start]
        outer = _last_box(before)
        brace = _BRACE.match(before, outer + len(_BOX)) if outer >= 0 else None
        if brace is None or _closing_brace(before[brace.end() :]) >= 0:
            return
        after = response[end : end + MAX_WINDOW]
        if before[brace.end() :].strip() or not after.lstrip().startswith("}"):
            break
        start, end = start - len(before) + outer, end + after.index("}") + 1
    raise _OutsideGrammar(rf"The last {_BOX} stands within another one that holds more than it.")


def _parse_gold(gold: str) -> Fraction:
    try:
        return _parse(gold)
    except _OutsideGrammar as problem:
        raise Mistake(f"gold answer {printable(gold)!r} cannot be compared: {problem} Fix the task.") from None


def _parse(text: str) -> Fraction:
    if text[MAX_WINDOW:].strip():
        raise _OutsideGrammar(f"The answer goes on for more than {MAX_WINDOW} characters.")
    text = _strip(text[:MAX_WINDOW])
    if not text:
        raise _OutsideGrammar("The answer is empty.")
    if len(text) > MAX_CHARACTERS:
        raise _OutsideGrammar(f"The answer has {len(text)} characters; at most {MAX_CHARACTERS} are read.")
    text = text.replace("\u2212", "-").replace("{,}", ",")  # the minus models print; LaTeX's thousands mark
    if not text.isascii():
        raise _OutsideGrammar("The answer holds a character outside ASCII.")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise _OutsideGrammar("The answer is not a whole number, a decimal or a fraction of whole numbers.")
    part = match.groupdict(default="")
    # A decimal is digits over a power of ten, so all three forms are one fraction of whole numbers.
    top = _integer(part["num"] or part["a"] or part["whole"] + part["decimals"])
    bottom = _integer(part["den"] or part["b"] or "1") * 10 ** len(part["decimals"])
    if bottom == 0:
        raise _OutsideGrammar("The answer divides by zero.")
    return Fraction(-top if part["sign"] == "-" else top, bottom)


def _strip(text: str) -> str:
    """Take off spaces and `$`, one final period, and parentheses where as many open as close."""
    around = " \t\r\n$"
    text = text.strip(around).removesuffix(".").strip(around)
    inside = text.strip(around + "()")
    opening, closing = text.split(inside, 1) if inside else (text, "")
    matched = opening.count("(") == closing.count(")") and ")" not in opening and "(" not in closing
    return inside if matched else text


def _integer(digits: str) -> int:
    digits = digits.replace(",", "")
    if len(digits.lstrip("+-")) > MAX_DIGITS:
        raise _OutsideGrammar(f"A number of the answer has more than {MAX_DIGITS} digits.")
    return int(digits)


def printable(text: str) -> str:
    """The answer as shown and stored: shortened, and without lone surrogates, which no file can hold."""
    text = text[:MAX_WINDOW].strip()
    shown = text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "…"
    return shown.encode("utf-8", "replace").decode("utf-8")
