"""A word that the glossary explains is explained at its first use on a chapter's page: one tap, or right there."""

import re

import pytest

from app.course import chapters
from app.course.widgets import derivation as derivation_view
from app.course.widgets import failures as failures_view
from app.words.glossary import SYMBOLS, TERMS
from tests.pages.opening import elements, open_page
from tests.pages.test_course_minutes import answered, services  # noqa: F401 - a fixture
from vimpo_core.labs.failures import FAILURES
from vimpo_core.tree import derivation

OPENED = {
    "identity": {"more": "fork,groups"},
    "levers": {"press": "avva", "stage": "update", "more": "sizes"},
    "worth": {"more": "again,price,loss"},
}
"""What of a chapter is folded at first."""
SPOKEN = {
    "policy": "policy(?! Optimization)",
    "reference": "reference",
    "surprisal": "surprisal",
    "terminal_residual": "residual",
    "baseline": "group(?:'s)? mean",
    "value_loss": "value loss",
    "entropy": "entropy",
}
"""Symbols that have a name in words as well."""
LETTERS = ["β", "ρ", "κ", "δ", "λ", "μ", "ξ", "Ã", "Â", "Q", "V", "c_A", "π_ref", "L_V", "L_A", "V_soft"]


def _patterns():
    names = {key: re.escape(term.name) for key, term in TERMS.items()}
    by_letter = {symbol.paper: key for key, symbol in SYMBOLS.items()}
    names |= {by_letter[letter]: re.escape(letter) for letter in LETTERS}
    names |= {f"{key} in words": name for key, name in SPOKEN.items()}
    return {
        key: re.compile(rf"(?<![\w/])(?:{name})s?(?![\w/])", re.IGNORECASE * (len(name) > 3))
        for key, name in names.items()
    }


def _name(key):
    key = key.removesuffix(" in words")
    return (TERMS.get(key) or SYMBOLS[key]).name


PATTERNS = _patterns()
_LINK = re.compile(r"\[[^\]]*\]\([^)]*notation#[^)]*\)")
_ASIDE = re.compile(r"`[^`]*`|\$\$.+?\$\$|\$[^$]+\$|\]\([^)]*\)|:material/\w+:", re.DOTALL)


def said(at):
    """(text, what explains a word in it) of all that stands on the page, in the order of reading."""
    for one in elements(at.main):
        if one.type in ("header", "subheader", "markdown", "caption", "info", "warning"):
            yield one.value.replace("\\", ""), ""
        elif one.type == "radio":
            yield "\n".join(one.options), ""
        elif getattr(one, "label", ""):
            yield one.label, getattr(one, "help", "")


def unexplained(texts):
    """The glossary's words whose first use says nothing of what they mean: neither a link to Notation, nor set off as
    what is being defined, nor a meaning in brackets behind it, nor the help of a control."""
    left, found = dict(PATTERNS), {}
    for text, helps in texts:
        if text.startswith("- **"):  # what the words mean
            left = {key: pattern for key, pattern in left.items() if f"- **{_name(key)}**" not in text}
            continue
        links = [link.span() for link in _LINK.finditer(text)]
        plain = _ASIDE.sub(lambda m: " " * len(m[0]), text)
        for key, pattern in list(left.items()):
            if not (use := pattern.search(plain)):
                continue
            del left[key]
            start, end = use.span()
            is_linked = any(a <= start < b for a, b in links)
            is_defined = text[start - 2 : start] == "**" or text[end:].lstrip("*").startswith((" (", ", the ", ": "))
            if not (is_linked or is_defined or helps):
                found[key] = text[max(0, start - 40) : end + 20]
    return found


@pytest.mark.parametrize("chapter", chapters.ALL, ids=lambda chapter: chapter.key)
def test_a_chapter_explains_each_word_of_the_glossary_where_it_first_stands(chapter):
    at = open_page("learn", chapter=chapter.number, **OPENED.get(chapter.key, {}))
    assert unexplained(said(answered(at, chapter))) == {}


def test_what_comes_from_the_library_uses_only_words_that_the_button_above_it_explains():
    steps = [(text, "") for step in derivation.steps() for text in (step.title, step.statement, step.rule)]
    shown = [(text, "") for one in FAILURES.values() for text in (one.title, one.question, one.why, one.way_out)]
    for texts, explained in ((steps, derivation_view.WORDS), (shown, failures_view.WORDS)):
        assert {key.removesuffix(" in words") for key in unexplained(texts)} <= {*explained}
