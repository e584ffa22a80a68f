"""The data sets of the library reasoning-gym, judged by their own scorers: `gym:NAME?option=value`.

Items are made from a seed and a number, and item i of seed s is item i - 1 of seed s + 1 in nearly every set: so here
the seed is always 0, a run draws numbers below `size`, and the splits go by the text of the problem. The scorers give
most of the reward to a wrong number that contains the right one; `partial_rewards exact` counts none of that.

Making and scoring items is other people's code, some of it walks sets in hash order: both happen in a process of their
own (`judge_process`, `gym_library`).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from vimpo_core.mistake import Mistake
from vimpo_core.tasks.judge_process import Failed, judge_process
from vimpo_core.tasks.spec import Spec
from vimpo_core.tasks.splits import split_of
from vimpo_core.tasks.worded import WordedTask, check_options
from vimpo_core.types import Problem, Verdict, VerdictStatus
from vimpo_core.verifier import printable

READINGS = ("all", "line", "number", "tags")
SIZE = 5_000
"""Items of a set that runs draw from, unless the option `size` says otherwise."""
LARGEST_SIZE = 1_000_000
_OWN_OPTIONS = ("read", "ask", "size")
_LOOKED_AT = 200
"""Items that a look makes."""
_SECONDS = 120
"""For what is asked once: the library is imported, a set is made."""


def check(spec: Spec) -> None:
    """Raise Mistake where the setting names no data set; the set's own options are checked by the library, later."""
    if not re.fullmatch("[a-z0-9_]{1,60}", spec.argument):
        raise Mistake(
            f"task gym needs the name of a data set of reasoning-gym, got {spec.argument[:60]!r}. Try gym:chain_sum."
        )
    check_options(spec, {"read": READINGS, "ask": ()}, others_are_fine=True)
    options = dict(spec.options)
    if "seed" in options:
        raise Mistake("task gym takes no seed: sets of neighbouring seeds share their items. Use the run's own seed.")
    if "size" in options and not (options["size"].isdecimal() and 10 <= int(options["size"][:9]) <= LARGEST_SIZE):
        raise Mistake(f"task option size must be within 10..{LARGEST_SIZE}, got {options['size'][:40]!r}.")


@dataclass(frozen=True)
class GymTask(WordedTask):
    """A data set of reasoning-gym."""

    usual_budget: ClassVar[int] = 128
    readings: ClassVar[tuple[str, ...]] = READINGS

    @property
    def gives_partial_rewards(self) -> bool:  # type: ignore[override]
        return not self.is_exact

    @property
    def read(self) -> str:
        usual = {"chat": "tags", "few-shot": "line"}.get(self.style, "all")
        return dict(self.spec.options).get("read", usual)

    def source(self) -> dict[str, str]:
        return {"reasoning-gym": _pool(self.spec).facts()["version"]}

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        return _pool(self.spec).draw(seed, split, count)

    def everything(self, most: int) -> list[Problem]:
        return _pool(self.spec).first(min(most, _LOOKED_AT))

    def facts(self) -> dict[str, str]:
        pool = _pool(self.spec)
        options = ", ".join(f"{name} {value}" for name, value in pool.facts()["config"].items())
        credit = "exact: none" if self.is_exact else "kept: also a wrong answer may earn some"
        return {"items": f"{pool.size} numbers to draw", "options": options, "partial rewards": credit}

    def state(self, prompt: str) -> Problem:
        return _pool(self.spec).find(prompt)

    def judged(self, asked: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        pool = _pool(self.spec)
        scores = pool.score([(pool.number_of(problem.prompt), text) for problem, text in asked])
        return [_verdict(text, p.gold, score) for (p, text), score in zip(asked, scores, strict=True)]


def _verdict(answer: str, gold: str, score) -> Verdict:
    shown = printable(answer)
    if isinstance(score, Failed):
        return Verdict(VerdictStatus.REJECTED, shown, str(score))
    if not math.isfinite(score):
        return Verdict(VerdictStatus.REJECTED, shown, f"the data set's scorer gave {score}")
    if score >= 1:
        return Verdict(VerdictStatus.CORRECT, shown)
    gold = printable(gold) or "what was asked for"
    reason = f"The answer {shown} is not {gold}."
    if score <= 0:
        return Verdict(VerdictStatus.INCORRECT, shown, reason)
    return Verdict(VerdictStatus.INCORRECT, shown, f"{reason} Its scorer gives {score:.2g}.", partial=float(score))


class _Pool:
    """The items of a set that were asked for so far, by number and by text."""

    def __init__(self, name: str, options: tuple[tuple[str, str], ...], size: int):
        self._set, self.size = (name, options, size), size
        self._process = judge_process("vimpo_core.tasks.gym_library")
        self._items: dict[int, Problem | None] = {}
        self._numbers: dict[str, int] = {}
        self._facts: dict | None = None

    def facts(self) -> dict:
        """version: of the library; config: the set's settings; Mistake where it cannot be made."""
        if self._facts is None:
            found = self._process.call("facts", *self._set, seconds=_SECONDS)
            if isinstance(found, Failed):
                raise Mistake(f"task gym:{self._set[0]} cannot be made: {found}.")
            self._facts = found
        return self._facts

    def draw(self, seed: str, split: str, count: int) -> list[Problem]:
        self.facts()
        order = list(range(self.size))
        random.Random(seed).shuffle(order)
        found: dict[str, Problem] = {}
        share = 0.8 if split == "train" else 0.1
        at = 0
        while len(found) < count and at < len(order):
            numbers = order[at : at + min(512, max(16, math.ceil(1.2 * (count - len(found)) / share)))]
            at += len(numbers)
            for item in self._made(numbers):
                if item is not None and split_of(item.prompt) == split:
                    found.setdefault(item.prompt, item)
        return list(found.values())[:count]

    def first(self, count: int) -> list[Problem]:
        """The different ones of the first items."""
        self.facts()
        found = [item for item in self._made(range(min(count, self.size))) if item is not None]
        return list({item.prompt: item for item in found}.values())

    def find(self, prompt: str) -> Problem:
        if prompt not in self._numbers:
            self.facts()
            for at in range(0, self.size, 512):
                self._made(range(at, min(at + 512, self.size)))
                if prompt in self._numbers:
                    break
            else:
                raise Mistake(
                    f"this is none of the {self.size} problems of gym:{self._set[0]}, got {prompt[:60]!r}. "
                    "Choose one that the run was asked."
                )
        item = self._items[self._numbers[prompt]]
        assert item is not None
        return item

    def number_of(self, prompt: str) -> int:
        self.find(prompt)
        return self._numbers[prompt]

    def score(self, asked: Sequence[tuple[int, str]]) -> list:
        return self._process.map("score", asked, *self._set)

    def _made(self, numbers) -> list[Problem | None]:
        missing = [n for n in numbers if n not in self._items]
        for number, item in zip(missing, self._process.map("item", missing, *self._set), strict=True):
            self._items[number] = problem = None if isinstance(item, Failed) else Problem(*item)
            if problem is not None:
                # Of items with one text the lowest number stands for all, whatever was asked for first.
                self._numbers[problem.prompt] = min(number, self._numbers.get(problem.prompt, number))
        return [self._items[n] for n in numbers]


def _pool(spec: Spec) -> _Pool:
    options = dict(spec.options)
    own = tuple((name, value) for name, value in spec.options if name not in _OWN_OPTIONS)
    return _made_pool(spec.argument, own, int(options.get("size", SIZE)))


@lru_cache(maxsize=8)
def _made_pool(name, options, size) -> _Pool:
    return _Pool(name, options, size)
