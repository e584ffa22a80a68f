"""Trainings to choose from, each as the picture of its recorded curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.components.assets import as_data, register
from app.components.hues import style_of

_mount = register("preset_cards", hues=".presets")


@dataclass(frozen=True)
class Curve:
    """One line of a picture: points from 0 to 1 in both directions, in the rule's hue and dash. is_faint: to compare
    with."""

    rule: str
    points: Sequence[tuple[float, float]]
    is_faint: bool = False


@dataclass(frozen=True)
class Card:
    """One training. shows: what the picture shows, for those who point at it or hear it."""

    key: str
    title: str
    shows: str
    curves: Sequence[Curve]


def preset_cards(cards: Sequence[Card], chosen: str, *, key: str, on_choose: Callable[[], None]) -> None:
    """Draw the cards; `st.session_state[key]["choose"]` is the key of the one that was pressed when `on_choose` is
    called."""
    drawn = [
        {
            "key": card.key,
            "title": card.title,
            "shows": card.shows,
            "curves": [
                {
                    "style": c.rule,
                    "dash": style_of(c.rule)["dash"],
                    "points": [list(p) for p in c.points],
                    "faint": c.is_faint,
                }
                for c in card.curves
            ],
        }
        for card in cards
    ]
    _mount(key=key, data=as_data({"cards": drawn, "chosen": chosen}), height="content", on_choose_change=on_choose)
