"""Bring a run: what another tool wrote is dropped or named, a first table says what is in it, a press makes it a run.

Nothing is read here: files that are handed over go to a folder of this session as they are, and a process of its own
looks into them.
"""

from __future__ import annotations

import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from app import cache, gate, routes, waiting
from app.components.dropped_names import name_dropped_files
from app.text import as_code, as_plain, as_sentence
from app.words.arrays import NAMES
from vimpo_core import paths
from vimpo_core.formats.incoming import limits
from vimpo_core.formats.incoming.survey import adapters_kept
from vimpo_core.mistake import Mistake
from vimpo_core.runs.names import LONGEST_NAME
from vimpo_core.service import follow, import_service
from vimpo_core.types import RunState

MOST_MEGABYTES = 500
_SURVEY, _IMPORT = "bring.survey", "bring.import"
_KEPT, _DONE, _SEEN, _NAME, _TIMES = "bring.kept", "bring.done", "bring.seen", "bring.name", "bring.times"
_FOLLOWED = "bring.followed"
_SHOWN = 6
_MEMORY = f"Reading it takes more than {limits.MEMORY / 2**30:g} GiB of memory. Bring fewer steps at a time."


class Brought(NamedTuple):
    """What was handed over or named: (path, name to show) each. key: tells it from what was brought before; folder: it
    lies there on this machine, None where it was handed over.
    """

    key: str
    files: tuple[tuple[str, str], ...]
    folder: Path | None


def show() -> None:
    """The whole of it, closed at first; not for students of a class, who would read the teacher's files with it."""
    if gate.is_student():
        return
    if done := st.session_state.get(_DONE):
        _say_done(done)
    with st.expander("Bring a run", icon=":material/upload_file:"):
        st.caption(
            "What TRL, verl, prime-rl, verifiers, open-instruct and others wrote, a run that was exported here, or any "
            "table with a prompt, a completion and a reward. It is read on this machine and sent nowhere."
        )
        brought = _handed_over() or _named()
        if brought is not None:
            _look(brought)


# --- what is brought -------------------------------------------------------------------------------------------------


def _handed_over() -> Brought | None:
    name_dropped_files()
    files = st.file_uploader(
        "Drop files or a folder here",
        accept_multiple_files=True,
        max_upload_size=MOST_MEGABYTES,
        key=f"bring.files.{st.session_state.get(_TIMES, 0)}",  # an empty field once they are brought
    )
    if not files:
        st.session_state.pop(_KEPT, None)
        return None
    key = " ".join(file.file_id for file in files)
    kept = st.session_state.get(_KEPT)
    if kept is None or kept[0] != key:
        folder = tempfile.TemporaryDirectory(prefix="vimpo-brought-")  # goes with the session
        for number, file in enumerate(files):
            (Path(folder.name) / str(number)).write_bytes(file.getbuffer())
        kept = st.session_state[_KEPT] = key, folder
    at = Path(kept[1].name)
    return Brought(key, tuple((str(at / str(number)), file.name) for number, file in enumerate(files)), None)


def _named() -> Brought | None:
    with st.form("bring.path", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input(
            "Or name a folder or file on this machine",
            key="bring.typed",
            placeholder="~/runs/yesterday",
            max_chars=1000,
            width=420,
        )
        if st.form_submit_button("Look into it", icon=":material/search:"):
            st.session_state[_SEEN] = (typed.strip(), secrets.token_hex(8))
        follows = st.form_submit_button(
            "Follow it while it trains",
            icon=":material/sync:",
            help="For the folder that a training run is writing into: each step becomes part of the run within a "
            "second or two of being whole, until you stop it or nothing new comes for half a day.",
        )
    if follows:
        _follow(typed.strip())
        return None
    path, key = st.session_state.get(_SEEN, ("", ""))
    if not path or path != typed.strip():
        return None
    whole = _there(path)
    if whole is None:
        return None
    return Brought(key, ((str(whole), whole.name),), whole if whole.is_dir() else whole.parent)


def _there(typed: str, is_folder: bool = False) -> Path | None:
    """The path that was typed; None where it cannot be used, which is said."""
    try:
        path = paths.as_path(typed)
        is_there = path.is_dir() if is_folder else path.exists()
        what = ("is no folder here" if is_folder else "is not there") if path.is_absolute() else "is no whole path"
        said = f"{str(path)[:200]!r} {what}. Write it from the root on, or from ~."
    except (Mistake, OSError) as error:
        path, is_there, said = Path(), False, str(error)
    if path.is_absolute() and is_there:
        return path
    st.warning(as_sentence(said), icon=":material/error:")
    return None


# --- following -------------------------------------------------------------------------------------------------------


class Followed(NamedTuple):
    """A folder that this session asked to follow, and who does."""

    folder: str
    process: subprocess.Popen


def _follow(typed: str) -> None:
    folder = _there(typed, is_folder=True)
    if folder is None:
        return
    try:
        process = follow.start(cache.own_folder(), folder)
    except OSError as error:
        st.warning(as_sentence(error), icon=":material/error:")
        return
    st.session_state[_FOLLOWED] = Followed(str(follow.folder_of(folder)), process)
    st.rerun()  # the list looks again by itself from now on


def waits_for_a_step() -> bool:
    """Whether a folder is followed that has no run yet."""
    asked = st.session_state.get(_FOLLOWED)
    return asked is not None and asked.process.poll() is None and not _has_run(asked)


def say_what_is_followed() -> None:
    """A line until the run of a followed folder is there."""
    asked = st.session_state.get(_FOLLOWED)
    if asked is None:
        return
    if _has_run(asked):
        st.session_state.pop(_FOLLOWED)
    elif asked.process.poll() is None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f":material/sync: Following {as_code(asked.folder)}: its run appears with the first whole step.",
                width="content",
            )
            st.button("Stop", key="bring.unfollow", on_click=asked.process.terminate)
    else:
        st.session_state.pop(_FOLLOWED)
        command = f"python -m vimpo_core import {shlex.quote(asked.folder)} --follow"
        st.warning(f"Nothing came of {as_code(asked.folder)}. To see why: {as_code(command)}", icon=":material/error:")


def _has_run(asked: Followed) -> bool:
    runs = cache.runs_dir().list()
    return any((run.imported or {}).get("folder") == asked.folder and run.state == RunState.RUNNING for run in runs)


# --- looking and taking in -------------------------------------------------------------------------------------------


def _look(brought: Brought) -> None:
    runs_dir = cache.own_folder()
    survey = waiting.answer(
        waiting.Question(
            _SURVEY,
            (brought.key,),
            partial(import_service.ask_survey, brought.files, runs_dir, is_handed_over=brought.folder is None),
            "Reading what is there",
            limits.WALL_SECONDS,
            cancelled="Cancelled: nothing was read.",
            if_ended=_MEMORY,
            again="Look again",
            tells_progress=True,
            process="reading process",
        )
    )
    if survey is None:
        return
    st.markdown(heading(survey))
    st.table(table(survey))
    for title, said in remarks(survey).items():
        st.markdown(f"**{title}**\n" + "\n".join(f"- {as_plain(sentence)}" for sentence in said))
    if survey["already"]:
        st.info(as_sentence(f"These very files are here already: they are run {survey['already']}."))
        st.page_link(routes.INSPECT, label="Open it in Inspect", query_params={"run": survey["already"]})
        return
    _take_in(brought, survey)


def _take_in(brought: Brought, survey: dict) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "What to call it", value=survey["name"], max_chars=LONGEST_NAME, key=f"{_NAME}.{brought.key}", width=320
        )
        if st.button("Bring it in", type="primary", icon=":material/download:", disabled=not name.strip()):
            waiting.send(_question(brought, name.strip()))
    asked = waiting.pending(_IMPORT)
    if asked is None or asked.key[0] != brought.key:
        return
    run_id = waiting.answer(asked)
    if run_id is None:
        return
    waiting.forget(_IMPORT)
    waiting.forget(_SURVEY)
    st.session_state.pop(_SEEN, None)
    st.session_state[_TIMES] = st.session_state.get(_TIMES, 0) + 1
    st.session_state[_DONE] = run_id
    cache.summaries.clear(cache.own_folder())
    st.rerun()


def _question(brought: Brought, name: str) -> waiting.Question:
    ask = partial(
        import_service.ask_import,
        cache.own_folder(),
        brought.files,
        name,
        brought.folder,
        is_handed_over=brought.folder is None,
    )
    return waiting.Question(
        _IMPORT,
        (brought.key, name, secrets.token_hex(8)),
        ask,
        "Making the run",
        limits.WALL_SECONDS,
        cancelled="Cancelled: nothing was written.",
        if_ended=_MEMORY,
        again="",
        tells_progress=True,
        process="reading process",
        until="end",
    )


def _say_done(run_id: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":green[:material/check_circle:] Brought as **{as_plain(run_id)}**.", width="content")
        st.page_link(routes.INSPECT, label="Open it in Inspect", icon=":material/search:", query_params={"run": run_id})


# --- the first table -------------------------------------------------------------------------------------------------


def heading(survey: dict) -> str:
    """What it is and how much of it, as one line of markdown."""
    steps, groups = survey["steps"], survey["groups"]
    parts = [
        f"**{as_plain(survey['format'])}**",
        _count(survey["rows"], "solution"),
        f"{steps['count']} steps, {steps['first']} to {steps['last']}" if steps["count"] > 1 else "1 step",
        f"{_count(groups['count'], 'group')} of {groups['size']}, by {as_plain(groups['by'])}"
        if groups["count"]
        else "",
        f"{survey['tokens']:,} tokens" if survey["tokens"] else "text alone, no tokens",
        _count(survey["file_count"], "file"),
    ]
    return " · ".join(part for part in parts if part)


def table(survey: dict) -> dict[str, list[str]]:
    """What each token and each solution has, and where it comes from."""
    arrays = survey["arrays"]
    rows = [("token ids", arrays["ids"])]
    rows += [(words, arrays[name]) for name, words in NAMES.items() if name in arrays]
    rows += [(as_code(name), "recorded, for looking at alone") for name in survey["others"]]
    rows += [
        (f"reward {as_code(name)}", "recorded" if count == survey["rows"] else f"recorded for {count:,} solutions")
        for name, count in survey["rewards"].items()
    ]
    if not survey["rewards"]:
        rows.append(("reward", "missing" if survey["unrewarded"] == survey["rows"] else "recorded, one number"))
    if kept := adapters_kept(survey):
        rows.append(("adapters", kept))
    return {"What": [what for what, _ in rows], "Where it comes from": [as_plain(how) for _, how in rows]}


def remarks(survey: dict) -> dict[str, list[str]]:
    """Heading -> what has to be said of it, only where there is something."""
    refused = [
        f"{_count(one['rows'], 'row')} left out: {why} ({', '.join(one['places'])})"
        for why, one in survey["refused"].items()
    ]
    left = list(survey["left_alone"].values())
    found = {
        "Doubtful": [*survey["doubts"], *survey["notes"]],
        "Not taken": [*refused, *_some(left)],
        "Not possible with it": survey["cannot"],
    }
    return {title: said for title, said in found.items() if said}


def _some(said: Sequence[str]) -> list[str]:
    more = len(said) - _SHOWN
    return [*said[:_SHOWN], *([f"{more} more files are left alone."] if more > 0 else [])]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
