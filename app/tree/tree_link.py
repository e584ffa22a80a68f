"""The tree lab as an address and back: every part is checked, whoever wrote it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vimpo_core.mistake import Mistake
from vimpo_core.tree import tree_lab
from vimpo_core.tree.tree_lab import DESCENTS, MOST_LEAVES, STEPS, TreeSettings

VOCABS = (2, 3, 4)
DEPTHS = (2, 3, 4, 5)
BETAS = (0.02, 2.0)
MOST_SEED = 9999
POLICIES = ("reference", "local", "soft", "both", "descent")
VALUES = ("plain", "soft", "implied")
LETTERS = "abcd"
SETTINGS = ("vocab", "depth", "seed", "share", "beta", "rewards", "ref")
VIEW = ("policy", "values", "loss", "path", "at")
CONTROLS = (*SETTINGS, *VIEW)
"""Names in the address, and of the controls that can be hidden."""


@dataclass(frozen=True)
class Lab:
    """What the tree lab shows.

    policy: under which probabilities; values: which V at the nodes; loss: which one descends and says the terms.
    path: letters of the selected node, None for the likeliest rewarded one; at: step of the descent.
    """

    settings: TreeSettings = field(default_factory=TreeSettings)
    policy: str = "both"
    values: str = "plain"
    loss: str = "kappa"
    path: str | None = None
    at: int = 0


USUAL = Lab()


def read(address: Mapping[str, str]) -> tuple[Lab, str]:
    """The lab of an address. What does not fit is the usual there, and a sentence says so ("" where all fits)."""
    refused: list[str] = []

    def part(name: str, parse: Callable[[str], Any], usual: Any) -> Any:
        text = address.get(name)
        if text is None:
            return usual
        try:
            return parse(text)
        except ValueError:
            refused.append(name)
            return usual

    usual = USUAL.settings
    vocab = part("vocab", _one_of(VOCABS, int), usual.vocab)
    depth = part("depth", _one_of(DEPTHS, int), usual.depth)
    too_large = ""
    if vocab**depth > MOST_LEAVES:
        fits = tree_lab.most_depth(vocab, DEPTHS)
        too_large = (
            f"A tree of {vocab} tokens and depth {depth} has {vocab**depth:,} leaves, more than the {MOST_LEAVES} that "
            f"can be drawn: depth {fits} is shown."
        )
        depth = fits
        address = {name: text for name, text in address.items() if name not in ("rewards", "ref", "path")}
    settings = TreeSettings(
        vocab=vocab,
        depth=depth,
        seed=part("seed", _whole(0, MOST_SEED), usual.seed),
        share=part("share", _whole(0, 100), usual.share),
        beta=part("beta", _beta, usual.beta),
        rewards=part("rewards", lambda text: rewards_of(text, vocab**depth), None),
        edited=part("ref", lambda text: edits_of(text, vocab, depth), ()),
    )
    lab = Lab(
        settings,
        policy=part("policy", _one_of(POLICIES), USUAL.policy),
        values=part("values", _one_of(VALUES), USUAL.values),
        loss=part("loss", _one_of(tuple(DESCENTS)), USUAL.loss),
        path=part("path", lambda text: _path(text, vocab, depth), None),
        at=part("at", _whole(0, STEPS), USUAL.at),
    )
    return lab, too_large or _refusal(refused, address)


def write(lab: Lab) -> dict[str, str | None]:
    """The address of a lab: None for every name that is as usual."""
    settings, usual = lab.settings, plain_parts(USUAL)
    plain = {name: None if value == usual[name] else str(value) for name, value in plain_parts(lab).items()}
    return plain | {
        "rewards": None if settings.rewards is None else rewards_text(settings.rewards),
        "ref": edits_text(settings.edited) or None,
        "path": "start" if lab.path == "" else lab.path,
    }


def plain_parts(lab: Lab) -> dict[str, Any]:
    """The numbers and choices of a lab by their names in the address; rewards, reference and path are not among
    them.
    """
    settings = {name: getattr(lab.settings, name) for name in ("vocab", "depth", "seed", "share", "beta")}
    return settings | {name: getattr(lab, name) for name in ("policy", "values", "loss", "at")}


def changed(lab: Lab, asked: Mapping[str, Any]) -> Lab:
    """The lab after the browser changed some names of its address, each a text, or edited a choice of the reference.

    What belongs to the old tree goes with it: a new seed or shape drops edits, a new share the toggled rewards.
    """
    address = {name: text for name, text in write(lab).items() if text is not None}
    new = {name: str(asked[name]) for name in CONTROLS if name in asked}
    if {"vocab", "depth", "seed"} & set(new):
        for name in ("rewards", "ref", "path"):
            address.pop(name, None)
    if "share" in new:
        address.pop("rewards", None)
    found, _ = read(address | new)
    return _edited(found, asked["edit"]) if "edit" in asked else found


def _edited(lab: Lab, edit: Any) -> Lab:
    """`edit`: {"prefix": letters, "weights": [a number a token], "token": int, "percent": number}; else nothing
    changes.
    """
    settings = lab.settings
    try:
        prefix = _tokens(str(edit["prefix"]), settings.vocab)
        weights = tuple(int(weight) for weight in edit["weights"])
        token, percent = int(edit["token"]), int(edit["percent"])
        if len(weights) != settings.vocab or not 0 <= token < settings.vocab:
            return lab
        kept = tuple((where, percents) for where, percents in settings.edited if where != prefix)
        edited = (*kept, (prefix, tree_lab.rescaled(weights, token, percent)))
        return replace(lab, settings=replace(settings, edited=tuple(sorted(edited))))
    except (KeyError, TypeError, ValueError, OverflowError):
        return lab


# --- rewards and reference in short ----------------------------------------------------------------------------------


def rewards_text(rewards: tuple[int, ...]) -> str:
    """Four leaves a hexadecimal digit, the first leaf the highest bit, filled up with 0."""
    bits = "".join(map(str, rewards))
    return "".join(f"{int(bits[i : i + 4].ljust(4, '0'), 2):x}" for i in range(0, len(bits), 4))


def rewards_of(text: str, leaves: int) -> tuple[int, ...]:
    """Back from `rewards_text`. Raises Mistake when it is not the text of so many leaves."""
    bits = "".join(f"{int(digit, 16):04b}" for digit in text)
    rewards = tuple(map(int, bits[:leaves]))
    if len(rewards) != leaves or rewards_text(rewards) != text:
        raise Mistake(f"rewards of {leaves} leaves are {math.ceil(leaves / 4)} hexadecimal digits, got {text!r}.")
    return rewards


def edits_text(edited: tuple) -> str:
    """`.20-50-30~ab.10-60-30`: the prefix's letters, a point, the percent of each token."""
    return "~".join(
        f"{''.join(LETTERS[token] for token in prefix)}.{'-'.join(map(str, percents))}" for prefix, percents in edited
    )


def edits_of(text: str, vocab: int, depth: int) -> tuple:
    """Back from `edits_text`. Raises Mistake when a part does not fit the tree."""
    edited = {}
    for entry in text.split("~"):
        letters, _, percents = entry.partition(".")
        edited[_tokens(letters, vocab)] = tuple(_whole(1, 99)(percent) for percent in percents.split("-"))
    found = tuple(sorted(edited.items()))
    TreeSettings(vocab=vocab, depth=depth, edited=found)
    return found


# --- parts -----------------------------------------------------------------------------------------------------------


def _one_of(options: tuple, kind: Callable[[str], Any] = str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text)
        if value not in options:
            raise Mistake(f"must be one of {options}, got {text!r}.")
        return value

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 6 and low <= int(text) <= high):
            raise Mistake(f"must be a whole number from {low} to {high}, got {text!r}.")
        return int(text)

    return parse


def _beta(text: str) -> float:
    value = float(text)
    if not BETAS[0] <= value <= BETAS[1]:
        raise Mistake(f"beta must be from {BETAS[0]} to {BETAS[1]}, got {text!r}.")
    return value


def _path(text: str, vocab: int, depth: int) -> str:
    letters = "" if text == "start" else text
    if len(letters) > depth or (text == ""):
        raise Mistake(f"a path has at most {depth} letters, got {text!r}.")
    _tokens(letters, vocab)
    return letters


def _tokens(letters: str, vocab: int) -> tuple[int, ...]:
    return tuple(LETTERS[:vocab].index(letter) for letter in letters)


def _refusal(refused: list[str], address: Mapping[str, str]) -> str:
    if not refused:
        return ""
    shown = [text if len(text) <= 20 else f"{text[:20]}…" for text in (address[name] for name in refused)]
    asked = [f"{name} {text!r}" for name, text in zip(refused, shown, strict=True)]
    listed = asked[0] if len(asked) == 1 else f"{', '.join(asked[:-1])} and {asked[-1]}"
    return f"The link asks for {listed}, which this tree cannot have; the usual is shown instead."
