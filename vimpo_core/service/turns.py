"""Whose question comes next, where many ask one process: round by round, in each of which everybody has one question.

A browser's second question waits behind everybody's first, whenever that came; nobody who asks much gets more than a
share, and nobody who asks seldom waits for longer than a round.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Place(NamedTuple):
    """Of a question that waits: its round, its number among all that were asked, and who asked."""

    round: int
    number: int
    asker: Hashable


class Turns(Generic[Item]):
    """Questions that wait, in the order in which they will be taken. Not for several threads."""

    def __init__(self) -> None:
        self._places: dict[Item, _Place] = {}
        self._round, self._number = 0, 0
        self._next: dict[Hashable, int] = {}
        """Who asked -> the round of that one's next question."""

    def add(self, item: Item, asker: Hashable) -> None:
        found = max(self._round, self._next.get(asker, 0))
        self._number += 1
        self._places[item] = _Place(found, self._number, asker)
        self._next[asker] = found + 1

    def take(self) -> Item | None:
        """The question whose turn it is; None where none waits."""
        if not self._places:
            self._round, self._next = 0, {}
            return None
        item = min(self._places, key=self._places.__getitem__)
        self._round = self._places.pop(item).round
        self._next = {asker: n for asker, n in self._next.items() if n > self._round}
        return item

    def drop(self, item: Item) -> None:
        """A question that nobody waits for any more: its asker's next one takes its round."""
        if (place := self._places.pop(item, None)) and self._next.get(place.asker) == place.round + 1:
            self._next[place.asker] = place.round

    def ahead(self, item: Item) -> int | None:
        """How many of those that wait now will be taken before this one; None where it waits no more."""
        place = self._places.get(item)
        return None if place is None else sum(other < place for other in self._places.values())

    def waiting(self) -> list[Item]:
        return list(self._places)
