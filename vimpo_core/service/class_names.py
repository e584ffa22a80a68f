"""What the browsers of a class are called: two words that nobody else there has, or what a student typed instead.

A name is read by the whole class, so one is refused that could be taken for somebody else's: names are compared by how
they look, not by how they are written. Nothing but letters, digits and a few signs gets in.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Container

from vimpo_core.mistake import Mistake

SHORTEST_NAME, LONGEST_NAME = 2, 24
_SIGNS = " -'."
_UNSEEN = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters that draw nothing."""
_MOST_MARKS = 2
"""Accents on one letter; some scripts need two, more are there to paint over the lines beside."""
_RESERVED = ("teacher", "commandline")

_FIRST_WORDS = """
Amber Autumn Azure Birch Bold Brave Bright Brisk Calm Cedar Clear Clever Coral Crisp Dapper Deft Eager Early
Easy Fair Fleet Fresh Gentle Glad Golden Grand Hazel Honest Humble Ivory Jade Jolly Keen Kind Lively Lucky Lunar
Maple Merry Mild Misty Neat Noble Olive Patient Plucky Polar Proud Quick Quiet Rapid Rosy Rustic Sandy Silver
Snowy Solar Steady Stone Sunny Swift Tidy Velvet Warm Wise
"""
_SECOND_WORDS = """
Badger Beaver Bison Bobcat Camel Cheetah Condor Crane Cricket Curlew Dingo Dolphin Dormouse Eagle Egret Elk
Falcon Ferret Finch Fox Gazelle Gecko Gibbon Heron Hornbill Ibex Ibis Jackdaw Jaguar Kestrel Kingfisher Kiwi
Koala Lark Lemur Leopard Linnet Lynx Magpie Marmot Marten Moose Newt Ocelot Orca Osprey Otter Owl Panda Pelican
Penguin Petrel Plover Puffin Quail Rabbit Raven Robin Seal Sparrow Stork Swallow Tapir Toucan Turtle Walrus
Wombat Wren Zebra
"""
_FIRST, _SECOND = _FIRST_WORDS.split(), _SECOND_WORDS.split()

_LOOKS_LIKE = str.maketrans(
    {
        **dict(zip("аеорсухіјѕԁһкмнтвпгѵԛԝ", "aeopcyxijsdhkmhtbnrvqw", strict=True)),  # Cyrillic
        **dict(zip("αορνικτυχεηβγμωζ", "aopviktuxenbyuwz", strict=True)),  # Greek
        **dict(zip("0135|ı", "oleslı", strict=True)),
        **dict.fromkeys("ıil", "l"),
    }
)


def fresh_name(taken: Container[str]) -> str:
    """Two words whose look (`look_of`) is not among those that are taken; a number behind them once they run out."""
    for tries in range(1000):
        name = f"{secrets.choice(_FIRST)} {secrets.choice(_SECOND)}"
        if tries > 200:
            name += f" {2 + secrets.randbelow(98)}"
        if look_of(name) not in taken:
            return name
    raise Mistake("all names of this class are taken. Begin a new class with --new")


def checked_name(typed: str) -> str:
    """A name that a student typed, with single spaces. Raises Mistake, a sentence for the student."""
    name = " ".join(unicodedata.normalize("NFKC", typed[: 10 * LONGEST_NAME]).split())
    if not SHORTEST_NAME <= len(name) <= LONGEST_NAME:
        raise Mistake(
            f"a name has {SHORTEST_NAME} to {LONGEST_NAME} characters, got {len(typed.strip())}. Choose another one"
        )
    if not name[0].isalnum() or any(not _is_allowed(c) for c in name) or _is_stacked(name):
        raise Mistake(
            "a name begins with a letter or a digit, then come letters, digits, spaces, hyphens, dots and apostrophes. "
            "Choose another one"
        )
    if any(word in look_of(name) for word in map(look_of, _RESERVED)):
        raise Mistake("that name could be taken for your teacher's. Choose another one")
    return name


def look_of(name: str) -> str:
    """What names that look alike have in common: without case, spaces, signs and accents, and with letters of other
    alphabets and digits as the Latin letters that they resemble."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in plain if c.isalnum()).translate(_LOOKS_LIKE).replace("rn", "m").replace("vv", "w")


def _is_allowed(character: str) -> bool:
    if character in _UNSEEN:
        return False
    return character in _SIGNS or unicodedata.category(character)[0] in "LM" or character.isdecimal()


def _is_stacked(name: str) -> bool:
    marks = "".join("m" if unicodedata.combining(c) else " " for c in unicodedata.normalize("NFD", name))
    return "m" * (_MOST_MARKS + 1) in marks
