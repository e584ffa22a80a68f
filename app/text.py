"""Model text in sentences: as code, with nothing in it that markdown or the eye could misread."""

from __future__ import annotations

import re

from vimpo_core import __version__
from vimpo_core.files import in_words
from vimpo_core.rules import RULES
from vimpo_core.solutions.visible_text import visible_text, without_commands

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>&=])")
_MADE_LATER = re.compile(
    r"(?<=:)(?=//|material/|[\w+-]+:)|(?<=www)(?=\.)|(?<=[-.\w+])(?=@[-\w]+\.)|(?:(?<=[\s<])|^)[-<>~](?=(?:->|[->=])(?:\s|$))",
    re.IGNORECASE,
)
"""Where a text would become an icon, an emoji, a link or an arrow after its escapes are read: Streamlit looks through
what is left as plain text for `:material/home:`, `:smile:`, addresses and ` -> `."""
_NOTHING = ":gray[]"
"""Draws nothing, and parts the text on its two sides."""

BUG = (
    f"**This is a bug of VIMPO Lab {__version__}, not a mistake of yours.** Your runs are as they were. "
    "Report it with what you did and the text below."
)


def as_code(text: str) -> str:
    """Markdown for `text` in code type. Backticks are shown as ˋ, since they would end it, the stroke of
    `:material/home:`, which Streamlit would write as _ even there, as ∕, and spaces at its ends, which a page would
    leave out, as ␣."""
    shown = visible_text(text).replace("`", "ˋ").replace(":material/", ":material∕")
    inner = shown.strip(" ")
    before = len(shown) - len(shown.lstrip(" "))
    return f"`{'␣' * before}{inner}{'␣' * (len(shown) - len(inner) - before)}`"


def as_plain(text: str) -> str:
    """Markdown that shows `text` literally: `1*8 became 9*1` keeps its stars, an address is no link, and a direction
    mark is seen and turns nothing round."""
    text = without_commands(text)
    parts, start = [], 0
    for place in _MADE_LATER.finditer(text):
        parts.append(text[start : place.end()])
        start = place.end()
    return _NOTHING.join(_MARKDOWN.sub(r"\\\1", part) for part in (*parts, text[start:]))


def as_sentence(message: object) -> str:
    """An error or message as literal markdown, starting with a capital unless it starts with a name such as vimpo-6. It
    may quote what somebody typed; an error of the system is told in words."""
    return as_plain(sentence(message))


def sentence(message: object) -> str:
    """The same as plain text, for what is no markdown."""
    said = in_words(message) if isinstance(message, Exception) else str(message)
    first = re.match(r"[A-Za-z]+(?:-[A-Za-z]+)*(?=[\s,:;.]|'s|$)(?!\.\w)", said)
    is_word = first is not None and first[0].split("-")[0] not in RULES
    return said[:1].upper() + said[1:] if is_word else said
