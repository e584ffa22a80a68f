"""The problems of the next run: which kind of task, its data set or file and options, and a look at them before
training.

What kinds there are, with their fields, says `tasks.registry`; nothing here knows one by name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from functools import partial
from pathlib import PurePath
from typing import Any

import streamlit as st

from app import gate, waiting
from app.components.part import part
from app.settings import Field, draw_field
from app.text import as_plain, as_sentence
from vimpo_core import files
from vimpo_core.config import TrainConfig, setting
from vimpo_core.paths import problems_dir
from vimpo_core.runs.bases import stamp
from vimpo_core.service import model_service, task_service
from vimpo_core.tasks import registry
from vimpo_core.tasks.registry import TASKS, Kind, Option
from vimpo_core.tasks.spec import Spec, parse

_LOOK = "task.look"
_LOOK_SECONDS = 300
_TICK_SECONDS = 0.5
_UPLOAD_MB = 10
"""Larger files are named by their path."""
_KEY = "train.task.{}"
WORDED = (
    Field("prompt_style", "Wording of the prompt"),
    Field("max_new_tokens", "Tokens of a solution", 16),
    Field("partial_rewards", "Partial rewards"),
)
"""Settings that tasks in words have."""
_SEEN = ("task", "operands", "model", *(field.name for field in WORDED))


def kind() -> str:
    """The kind that is chosen."""
    chosen = st.session_state.get(_KEY.format("kind"), _default().kind)
    return chosen if chosen in kinds() else _default().kind


def kinds() -> list[str]:
    """What may be chosen: a student of a class names no file of the teacher's computer."""
    return [name for name, kind in TASKS.items() if not (kind.opens and gate.is_student())]


def reads_operands() -> bool:
    return TASKS[kind()].reads_operands


def _default() -> Spec:
    return parse(setting("task")["default"])


def fields(key: str, place) -> str:
    """Choose a kind of task (at a `place` on the page) and fill its fields, kept in the session. Returns the setting
    `task`.

    key: what the keys of further settings look like, "train.{}".
    """
    st.session_state.setdefault(_KEY.format("kind"), _default().kind)
    place.selectbox(
        "Problems",
        kinds(),
        format_func=lambda name: f"{name}: {TASKS[name].words}",
        key=_KEY.format("kind"),
        persist_state="session",
        width=560,
        help="What the model is asked, and who judges its answers.",
    )
    name = kind()
    if not TASKS[name].argument:
        return name
    with st.container(border=True, gap="small"):
        spec = _spec(name, TASKS[name])
        grid = st.grid("auto", min_column_width=180)
        for field in WORDED:
            with grid.container():
                draw_field(field, key.format(field.name), setting(field.name)["default"])
    return spec


def _spec(name: str, kind: Kind) -> str:
    if kind.opens:
        _upload(name)
    argument = _text(name, "argument", kind.argument, placeholder=kind.example)
    grid, options = st.grid("auto", min_column_width=180), []
    for option in kind.options:
        with grid.container():
            options.append((option.name, _option(name, option)))
    more = _text(name, "more", "Further options", help=kind.more_options) if kind.more_options else ""
    found = Spec(name, argument.strip(), tuple((o, value) for o, value in options if value))
    text = str(found)
    return text + ("&" if found.options else "?") * bool(more.strip()) + more.strip().lstrip("?&")


def _option(name: str, option: Option) -> str:
    if not option.choices:
        return _text(name, option.name, option.label, help=option.help).strip()
    key = _KEY.format(f"{name}.{option.name}")
    st.session_state.setdefault(key, "")
    return st.selectbox(
        option.label,
        ["", *option.choices],
        format_func=lambda choice: choice or "as usual",
        key=key,
        persist_state="session",
        help=option.help,
    )


def _text(name: str, what: str, label: str, **options) -> str:
    key = _KEY.format(f"{name}.{what}")
    st.session_state.setdefault(key, "")
    return st.text_input(label, key=key, persist_state="session", max_chars=1000, **options)


def _upload(name: str) -> None:
    """A file given to the page is kept under a name made from its content; what it holds is read elsewhere."""
    given = st.file_uploader(
        f"A file of yours, up to {_UPLOAD_MB} MB; a larger one by its path below",
        type=["csv", "tsv", "jsonl", "parquet"],
        key=_KEY.format(f"{name}.upload"),
        max_upload_size=_UPLOAD_MB,
    )
    seen = _KEY.format(f"{name}.kept")
    if given is None or st.session_state.get(seen) == given.file_id:
        return
    try:
        st.session_state[_KEY.format(f"{name}.argument")] = kept(given.name, given.getvalue())
    except OSError as error:
        st.warning(as_sentence(files.in_words(error)), icon=":material/error:")
        return
    st.session_state[seen] = given.file_id


def kept(name: str, content: bytes) -> str:
    """Path of a file that is kept whole under its own name, made harmless, and the hash of its content."""
    stem, suffix = PurePath(name).stem, PurePath(name).suffix.lower()
    safe = re.sub(r"[^\w-]+", "_", stem, flags=re.ASCII).strip("_")[:40] or "problems"
    path = problems_dir() / f"{safe}-{hashlib.sha256(content).hexdigest()[:8]}{re.sub('[^.a-z]', '', suffix)}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, content)
    return str(path)


def put(config: TrainConfig, key: str) -> None:
    """Fill the fields with a run's task. Call before they are drawn."""
    spec = parse(config.task)
    st.session_state[_KEY.format("kind")] = spec.kind
    known = {option.name for option in TASKS[spec.kind].options}
    st.session_state[_KEY.format(f"{spec.kind}.argument")] = spec.argument
    for option in known:
        st.session_state[_KEY.format(f"{spec.kind}.{option}")] = dict(spec.options).get(option, "")
    more = Spec("", "", tuple((name, value) for name, value in spec.options if name not in known))
    st.session_state[_KEY.format(f"{spec.kind}.more")] = str(more).lstrip("?")
    for field in WORDED:
        st.session_state[key.format(field.name)] = getattr(config, field.name)


# ---- a look


def card(config: TrainConfig, in_dialog: bool) -> None:
    """Look at the problems: splits, first rows, and what their judge says of the gold answers."""
    question = _looking(config)
    ticks = in_dialog or (waiting.kept(question) is None and waiting.is_underway(question))
    part(_card, run_every=_TICK_SECONDS if ticks else None)(question, in_dialog)


def _card(question: waiting.Question, in_dialog: bool) -> None:
    asked = waiting.pending(_LOOK)
    is_asked = asked is not None and asked.key == question.key
    if st.button(
        "Look at the problems",
        icon=":material/table_view:",
        key=_KEY.format("look"),
        disabled=waiting.kept(question) is None and waiting.is_underway(question),
        help="Its splits, its first problems, and what its judge says of the gold answers themselves.",
    ):
        waiting.send(question)
        st.session_state.pop(f"{_LOOK}.settled", None)
        if not in_dialog:
            st.rerun()  # the page begins to tick
    if not is_asked and waiting.kept(question) is None:
        return
    found = waiting.ahead(question)
    if found is None:
        if waiting.is_underway(question):
            waiting.show_progress(question)
            return
        waiting.say_why_not(question)
    else:
        show(found)
    key = f"{_LOOK}.settled"
    if st.session_state.get(key) != question.key:
        st.session_state[key] = question.key
        if not in_dialog:
            st.rerun()


def show(found: dict[str, Any]) -> None:
    """A look (`tasks.look.Look`) as facts and a table."""
    splits = ", ".join(f"{count} {split}" for split, count in found["splits"].items())
    facts = found["facts"] | {"problems": f"{found['looked_at']} looked at: {splits}"}
    if found["longest_prompt"] is not None:
        context = f"; the model reads {found['context']}" if found["context"] else ""
        facts["longest prompt"] = f"{found['longest_prompt']} tokens{context}"
    if found["without_gold"]:
        facts["no gold answer"] = str(found["without_gold"])
    st.caption("  \n".join(f"**{as_plain(name)}** {as_plain(text)}" for name, text in facts.items()))
    if found["refused"]:
        gold, reason = found["refusals"][0]
        st.warning(
            as_plain(f"{found['refused']} gold answers are refused by the task's own judge, as {gold!r}: {reason}"),
            icon=":material/error:",
        )
    st.dataframe(
        [
            {
                "split": row["split"],
                "problem": row["prompt"],
                "gold answer": row["gold"],
                "its judge says": f"{row['gold_status']} {row['gold_reason']}".strip(),
                "a wrong one": row["near_answer"],
                "earns": row["near_reward"],
            }
            for row in found["rows"]
        ],
        hide_index=True,
        column_config={"problem": st.column_config.TextColumn(width="large")},
    )
    st.caption(
        "A wrong one: the gold answer with a 1 behind it. Some judges give part of the reward to what merely contains "
        "the right answer; partial rewards exact gives it nothing."
    )


def _looking(config: TrainConfig) -> waiting.Question:
    seen = dataclasses.replace(TrainConfig(), **{name: getattr(config, name) for name in _SEEN})
    seen = dataclasses.replace(seen, task=registry.whole(seen.task))  # as a run would keep it
    return waiting.Question(
        _LOOK,
        (seen, registry.stamp(seen.task), stamp(config.model)),
        partial(model_service.model_service().ask, task_service.look, seen),
        "Looking at the problems",
        _LOOK_SECONDS,
        cancelled="Cancelled: nothing was looked at.",
        if_long="Choose a smaller set.",
    )
