"""The anonymous hand-in: a small file of answers that a student downloads, and many of them read and counted for the
teacher.

A file that comes back may be anything. It is refused by size before it is read, by nesting before it is parsed, and
unless every word in it is one that the course itself uses; nothing of it is ever shown but counts.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import streamlit as st

from app.course import progress
from app.course.progress import Answer
from vimpo_core import __version__
from vimpo_core.files import text_of
from vimpo_core.mistake import Mistake

FORMAT, VERSION = "vimpo-lab-hand-in", 1
MOST_FILES = 200
MOST_BYTES = 10_000
_DEEPEST = 3
_ID = re.compile(r"[0-9a-f]{16}")
_LAB = re.compile(r"[0-9][0-9a-z.]{0,20}")
_NOT_OURS = "is not a hand-in of this course"


@dataclass
class Counted:
    """What many hand-ins say. files: how many were counted; answers: (chapter, question) -> choice -> how often;
    problems: a sentence for each file that was left out.
    """

    files: int = 0
    answers: dict[tuple[str, str], Counter] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def offer(there) -> None:
    """The download, once there is something to hand in."""
    answers = progress.everything()
    if not any(answers.values()):
        return
    st.download_button(
        "Download your hand-in",
        data=lambda: written(answers, there),  # made when it is clicked, outside of the session
        file_name=f"vimpo-hand-in-{secrets.token_hex(3)}.json",
        mime="application/json",
        on_click="ignore",
        help="A small file with your answers, for your teacher. It holds no name.",
    )


def written(answers: dict[str, dict[str, Answer]], there) -> bytes:
    """The hand-in of these answers."""
    known = {chapter.key for chapter in there}
    given = {
        chapter: {question: answer.choice for question, answer in of.items()}
        for chapter, of in answers.items()
        if chapter in known and of
    }
    # A number drawn for this file alone: two students with the same answers are two, one file uploaded twice is one.
    content = {
        "format": FORMAT,
        "version": VERSION,
        "lab": __version__,
        "course": fingerprint(there),
        "id": secrets.token_hex(8),
        "answers": given,
    }
    return json.dumps(content, indent=1).encode()


def fingerprint(there) -> str:
    """Names the course's questions and options, so that files of another version of it are told apart."""
    by_number = sorted(there, key=lambda chapter: chapter.number)  # however they are read
    words = [[c.key, q.key, [o.key for o in q.options]] for c in by_number for q in c.questions]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:8]


def counted(files: Iterable, there) -> Counted:
    """Count uploaded files; each has `name`, `size` and `getvalue()`. Same content twice counts once."""
    found, seen = Counted(), set()
    for number, file in enumerate(files):
        if number == MOST_FILES:
            found.problems.append(f"Only the first {MOST_FILES} files were read. Hand in the others separately.")
            break
        try:
            content = _content(file)
            if content in seen:
                raise Mistake("was uploaded twice and is counted once.")
            answers = _answers(content, there)
        except ValueError as error:
            found.problems.append(f"{_shown_name(file.name)} {error}")
            continue
        seen.add(content)
        found.files += 1
        for (chapter, question), choice in answers.items():
            found.answers.setdefault((chapter, question), Counter())[choice] += 1
    return found


def _shown_name(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"


def _content(file) -> bytes:
    if file.size > MOST_BYTES:
        raise Mistake(f"{_NOT_OURS}: it has {file.size:,} bytes, and ours have at most {MOST_BYTES:,}. Leave it out.")
    return file.getvalue()


def _answers(content: bytes, there) -> dict[tuple[str, str], str]:
    """(chapter, question) -> choice. Raises Mistake, the end of a sentence about the file."""
    try:
        text = text_of(content)
        if _depth(text) > _DEEPEST:
            raise ValueError
        read = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse)
    except ValueError:
        raise Mistake(f"{_NOT_OURS}. Ask for the file that the course's download button makes.") from None
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise Mistake(f"{_NOT_OURS}. Ask for the file that the course's download button makes.")
    if (read.get("version"), read.get("course")) != (VERSION, fingerprint(there)):
        raise Mistake("was made with another version of the course. Use the same version for the whole class.")
    offered = {(c.key, q.key): {o.key for o in q.options} for c in there for q in c.questions}
    given = {
        (chapter, question): choice for chapter, of in _pairs(read.get("answers")) for question, choice in _pairs(of)
    }
    # Hand-ins of before do not say which lab wrote them.
    is_ours = set(read) - {"lab"} == {"format", "version", "course", "id", "answers"} and (
        _ID.fullmatch(str(read["id"])) and _LAB.fullmatch(str(read.get("lab", "0")))
    )
    if not is_ours or any(
        not isinstance(choice, str) or choice not in offered.get(place, ()) for place, choice in given.items()
    ):
        raise Mistake("was changed after it was downloaded. Ask for it again.")
    return given


def _pairs(read: object) -> Iterable[tuple[str, object]]:
    if not isinstance(read, dict):
        raise Mistake("was changed after it was downloaded. Ask for it again.")
    return read.items()


def _depth(text: str) -> int:
    """How deep brackets nest, those inside of strings included: our files have none there."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise Mistake("a name stands there twice")
    return dict(pairs)


def _refuse(constant: str) -> object:
    raise Mistake(f"{constant} is no number")
