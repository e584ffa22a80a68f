"""What somebody does to runs in the list: each act answers with one sentence, and a deletion with the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app import cache, state
from app.components import runs_list
from app.runs import run_table
from app.runs.run_table import Entry
from app.text import sentence
from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake
from vimpo_core.runs import labels
from vimpo_core.service import follow

KEY = "runs_list"
NOTHING: dict[str, Any] = {"text": "", "tone": "", "undo": [], "key": ""}
_SAID = "runs.said"


def said() -> dict[str, Any]:
    """What the last act came to: a sentence, its tone, the deletions that can be undone, and of which run it is."""
    return st.session_state.get(_SAID, NOTHING)


def view() -> None:
    """Component callback: the search, the order and the ticks go into the address."""
    found = runs_list.viewed(KEY)
    shown = {name: found.get(name) or None for name in ("q", "tag", "runs")}
    state.put(**shown, sort=None if found["sort"] == runs_list.SORTS[0] else found["sort"])


def act() -> None:
    """Component callback: do what was asked."""
    asked = runs_list.asked(KEY)
    if asked and asked["do"] == "whole":
        runs_list.forget_what_was_sent(KEY)
    elif asked:
        do(asked)


def do(asked: dict[str, Any]) -> None:
    """Do what was asked, as `runs_list.asked` gives it, to those of its runs that are there."""
    found = {entry.key: entry for entry in run_table.shown(run_table.entries())}
    entries = [found[key] for key in asked["keys"] if key in found]
    what = asked["do"]
    st.session_state[_SAID] = NOTHING if what != "undo" else said()
    if what == "undo":
        undo()
    elif what == "delete":
        delete(entries)
    elif what == "tag":
        tag(entries, asked["add"], asked["remove"])
    elif what == "save" and entries:
        save(entries[0], asked)
    elif what in ("resume", "unfollow") and entries:
        _try(entries[0], {"resume": _resume, "unfollow": _unfollow}[what])


def delete(entries: Sequence[Entry]) -> None:
    """Move runs to the bin, those that can be; what cannot is said."""
    bin_entries, names, problems = [], [], []
    for entry in entries:
        try:
            bin_entries.append(entry.folder.delete(entry.run.run_id).entry)
            names.append(entry.run.name)
        except (Mistake, OSError) as error:
            problems.append(in_words(error))
    done = f"Deleted {_listed(names)}." if names else ""
    _say(" ".join([done, *problems]).strip(), tone="wrong" if problems else "", undo=bin_entries)


def undo() -> None:
    """Bring back what the last deletion moved to the bin."""
    back, problems = [], []
    for entry in said()["undo"]:
        try:
            back.append(cache.runs_dir().restore(entry))
        except (Mistake, OSError) as error:
            problems.append(in_words(error))
    done = f"{_listed(back)} {'is' if len(back) == 1 else 'are'} back." if back else ""
    _say(" ".join([done, *problems]).strip(), tone="wrong" if problems else "")


def restore(bin_entry: str) -> None:
    """Button callback: bring one deleted run back."""
    st.session_state[_SAID] = NOTHING | {"undo": [bin_entry]}
    undo()


def tag(entries: Sequence[Entry], add: Sequence[str], remove: Sequence[str]) -> None:
    """Give runs tags and take some away, those that are one's own."""
    done = 0
    try:
        add, remove = labels.tags_in(",".join(add)), labels.tags_in(",".join(remove))
        for entry in entries:
            entry.folder.label(entry.run.run_id, add, remove)
            done += 1
    except (Mistake, OSError) as error:
        before = f" {done} of {len(entries)} runs had it done before." if done else ""
        _say(in_words(error) + before, tone="wrong")
        return
    runs = "1 run" if done == 1 else f"{done} runs"
    _say(f"Tagged {runs}: {', '.join(add)}." if add else f"Took {', '.join(remove)} from {runs}.")


def save(entry: Entry, asked: dict[str, Any]) -> None:
    """Keep what somebody typed of one run: only what they changed, so that others' tags stay."""

    def keep(entry: Entry) -> None:
        add, remove = (labels.tags_in(",".join(asked[name])) for name in ("add", "remove"))
        if add or remove or "note" in asked:
            entry.folder.label(entry.run.run_id, add, remove, asked.get("note"))
        if "name" in asked:
            entry.folder.rename(entry.run.run_id, asked["name"])

    _try(entry, keep, "Saved.")


def _resume(entry: Entry) -> None:
    entry.folder.resume([entry.run.run_id])
    entry.folder.ensure_worker()


def _unfollow(entry: Entry) -> None:
    if entry.run.read_only:
        raise Mistake(f"run {entry.run.run_id} is not yours, so you cannot stop following it. Ask your teacher.")
    with entry.folder.open_writable(entry.run.run_id) as store:
        follow.stop(store)


def _try(entry: Entry, what: Callable[[Entry], None], done: str = "") -> None:
    try:
        what(entry)
        _say(done, key=entry.key)
    except (Mistake, OSError) as error:
        _say(in_words(error), tone="wrong", key=entry.key)


def _say(text: str, tone: str = "", undo: Sequence[str] = (), key: str = "") -> None:
    st.session_state[_SAID] = {"text": sentence(text), "tone": tone, "undo": list(undo), "key": key}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} runs"
