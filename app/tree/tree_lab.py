"""Tree lab: the address holds what is shown, `vimpo_core` computes it, the component draws it and asks for changes."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from app import state
from app.components.part import part
from app.components.tree_lab import tree_lab
from app.text import as_sentence
from app.tree import tree_link
from app.tree.tree_link import Lab
from vimpo_core.mistake import Mistake
from vimpo_core.tree import tree_lab as tree_views
from vimpo_core.tree.tree_lab import TreeSettings

KEY = "tree_lab"
RESET = "reset"
LOCKS = frozenset({*tree_link.CONTROLS, RESET})
_KEPT_TREES = 64


def show(locked: frozenset[str] = frozenset()) -> None:
    """The lab at the current address. A change reruns only this part of the page.

    Args:
        locked: names of LOCKS whose controls are hidden; their part of the address still counts and stays as it is.
            "rewards" and "ref" lock the editing of leaves and edges, "at" hides the descent, "path" the terms of a
            path.

    Raises Mistake naming a lock that does not exist.
    """
    if unknown := locked - LOCKS:
        raise Mistake(f"locked names {sorted(unknown)}, which are no controls. Choose from {sorted(LOCKS)}.")
    part(_view)(locked)


def _view(locked: frozenset[str]) -> None:
    address = {name: st.query_params[name] for name in tree_link.CONTROLS if name in st.query_params}
    lab, note = tree_link.read(address)
    if note:
        _put(lab)
        st.info(as_sentence(note))
    asked = _asked()
    tree_lab(_payload(lab, asked, locked), key=KEY, on_change=lambda: _change(locked))


def _asked() -> dict:
    view = (st.session_state.get(KEY) or {}).get("view")
    return view if isinstance(view, dict) else {}


def _change(locked: frozenset[str]) -> None:
    """Write to the address what was changed in the browser, but nothing that is locked."""
    asked = {name: value for name, value in _asked().items() if name not in locked}
    if "ref" in locked:
        asked.pop("edit", None)
    if asked.get(RESET):
        kept = {name: st.query_params[name] for name in locked if name in st.query_params}
        lab, _ = tree_link.read(kept)
    else:
        lab, _ = tree_link.read(st.query_params)
        lab = tree_link.changed(lab, asked)
    _put(lab)


def _put(lab: Lab) -> None:
    """To the address, whose every change is a message to the browser: only what is new."""
    address = tree_link.write(lab)
    state.put(**{name: text for name, text in address.items() if st.query_params.get(name) != text})


def _payload(lab: Lab, asked: dict, locked: frozenset[str]) -> dict:
    """What the component gets. Frames of a descent are sent only where it shows one and has not got them already."""
    frames_of = lab.loss if lab.policy == "descent" else None
    numbers = _numbers(lab.settings, frames_of)
    version = f"{hash((lab.settings, frames_of)):x}"
    frames = None if asked.get("has") == version else numbers["frames"]
    return {
        **numbers,
        "frames": frames,
        "version": version,
        "n": asked.get("n", 0),
        "state": tree_link.plain_parts(lab) | {"path": numbers["likeliest"] if lab.path is None else lab.path},
        "locked": sorted(locked),
        "about": _about(lab),
        "options": {
            "vocab": tree_link.VOCABS,
            "depth": tree_link.DEPTHS,
            "beta": tree_link.BETAS,
            "most_seed": tree_link.MOST_SEED,
            "most_leaves": tree_views.MOST_LEAVES,
            "steps": tree_views.STEPS,
            "learning_rate": tree_views.LEARNING_RATE,
        },
    }


def _about(lab: Lab) -> dict:
    """What a saved picture says above the tree."""
    tree = lab.settings
    return {
        "title": f"All sequences of {tree.depth} tokens out of {tree.vocab}, enumerated",
        "facts": [f"tree {tree.seed}, {tree.share} % of the sequences rewarded at first, β {tree.beta:g}"],
    }


@lru_cache(maxsize=_KEPT_TREES)
def _numbers(settings: TreeSettings, frames_of: str | None) -> dict:
    """Shared by all browsers: never changed."""
    tree, reference = tree_views.make_tree(settings)
    likeliest = tree_views.likeliest_leaf(tree, reference)
    return {
        **tree_views.tree_payload(tree, reference, settings.beta, frames_of),
        "likeliest": "".join(tree_link.LETTERS[token] for token in likeliest),
    }
