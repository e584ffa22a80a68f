"""Which format the files are that somebody brought, told from their content: the one list of the formats there are.

Add a format: a file beside this one with what `rows` asks of a reader, and its name in `FORMATS`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from vimpo_core.formats.incoming import (
    areal,
    open_instruct,
    own,
    prime_rl,
    rl_logging_board,
    skyrl,
    table,
    tinker,
    trl,
    unipo,
    verifiers,
    verl,
)
from vimpo_core.formats.incoming.opening import File
from vimpo_core.formats.incoming.rows import Sample
from vimpo_core.mistake import Mistake

FORMATS: list[ModuleType] = [
    own,
    prime_rl,
    open_instruct,
    verifiers,
    unipo,
    rl_logging_board,
    areal,
    skyrl,
    tinker,
    trl,
    verl,
    table,
]
"""All readers, those that ask for most first: the first that matches reads a file."""
MAX_FILES = 20_000
MAX_DEPTH = 8
NOT_FORESEEN = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError)
"""What a reader may stumble over in a file of somebody else, which must not end the reading of the others."""
STABLE = "STABLE"
"""The empty file that says of a folder of one step that every rank has written it."""
SKIPPED = (".", "replaced_")
"""How folders begin that are no part of a run: hidden ones, and steps of an earlier run that were set aside."""
MARKS_OF_MODELS = {"adapter_config.json", "trainer_state.json"}
"""A folder with one of these holds a model or a checkpoint."""
ENDS_IN_MODELS = (
    *(".safetensors", ".pt", ".pth", ".bin", ".md", ".jinja", "merges.txt", "safetensors.index.json", "config.json"),
    *("trainer_state.json", "tokenizer.json", "vocab.json", "special_tokens_map.json", "added_tokens.json"),
)
"""How the names of its files end."""
MAX_NOTES = 20
_NAMED = 5


@dataclass(frozen=True)
class Recognised:
    """What was brought: the reader and its files in order, what the files say of the run, and what was left alone.

    facts: see `rows.FACTS`. left_alone: name of a file -> why it is not read. beside: files without rows that belong to
    theirs.
    """

    reader: ModuleType
    files: list[File]
    facts: dict[str, Any]
    left_alone: dict[str, str] = field(default_factory=dict)
    beside: list[File] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """The same for the same files, whatever they are called."""
        return hashlib.sha256("".join(sorted(file.fingerprint for file in self.files)).encode()).hexdigest()


def recognise(brought: Sequence[tuple[Path, str]]) -> Recognised:
    """Tell the format of files and folders (path, name to show). Raises Mistake, one sentence, where there is none, or
    more than one.
    """
    found: dict[str, list[File]] = {}
    beside: list[tuple[File, Sample]] = []
    left: dict[str, str] = {}
    unread: set[str] = set()
    files = _files(brought)
    models = _of_models(files)
    if models:
        left["models"] = _models_left(models)
    for file in files:
        if Path(file.name).name == STABLE or file.name in models:
            continue
        try:
            sample = file.sample
        except (Mistake, OSError) as error:
            left[file.name] = str(error)
            unread.add(file.name)
            continue
        reader = next((one for one in FORMATS if _asked(one, "matches", sample)), None)
        if reader is None:
            beside.append((file, sample))
        else:
            found.setdefault(reader.__name__, []).append(file)
    if not found:
        raise Mistake(_nothing(files, left, beside))
    reader = _only(found)
    for name, others in found.items():
        if name != reader.__name__:
            left |= {file.name: f"{file.name} is of another format." for file in others}
    mine = _each_once(found[reader.__name__], left)
    _check_one_run(reader, mine)
    facts: dict[str, Any] = {}
    samples = [file.sample for file in mine]
    belongs: list[File] = []
    for file, sample in beside:
        if _asked(reader, "accompanies", sample):
            samples.append(sample)
            belongs.append(file)
        else:
            left[file.name] = f"{file.name} holds nothing that is known here."
    for sample in samples:
        facts = {**(_asked(reader, "facts", sample) or {}), **facts}
    kinds = {Path(file.name).suffix for file in mine}
    broken = [left[file.name] for file in files if file.name in unread and Path(file.name).suffix in kinds]
    if broken:
        facts["notes"] = [*facts.get("notes", ()), *broken[:MAX_NOTES]]
    if unfinished := steps_unfinished(files):
        facts["notes"] = [*facts.get("notes", ()), *unfinished]
    if mixed := next((sample for sample in samples if _other(reader, sample)), None):
        said = f"{mixed.name} holds records of two formats: those of {_other(reader, mixed)} are left out."
        facts["notes"] = [*facts.get("notes", ()), said]
    return Recognised(reader, mine, facts, left, belongs)


def _of_models(files: list[File]) -> set[str]:
    """Names of the files that make a model or checkpoint, which lie beside a run's in the folder of a trainer."""
    inside: dict[str, set[str]] = {}
    for file in files:
        folder, _, name = file.name.rpartition("/")
        inside.setdefault(folder, set()).add(name)
    return {
        f"{folder}/{name}".lstrip("/")
        for folder, names in inside.items()
        if names & MARKS_OF_MODELS
        for name in names
        if name.endswith(ENDS_IN_MODELS)
    }


def _models_left(models: set[str]) -> str:
    folders = sorted({name.rpartition("/")[0] or "the folder itself" for name in models}, key=natural)
    shown = f"{', '.join(folders[:_NAMED])}{', ...' if len(folders) > _NAMED else ''}"
    return (
        f"{len(models)} files of models and checkpoints ({shown}) are not read here: they are for Re-score, on Inspect."
    )


def steps_unfinished(files: list[File]) -> list[str]:
    """Where ranks write a folder a step and mark it at the end: a sentence for each that lacks the mark or a rank."""
    names: dict[str, set[str]] = {}
    for file in files:
        folder, _, name = file.name.rpartition("/")
        names.setdefault(folder, set()).add(name)
    if not any(STABLE in inside for inside in names.values()):
        return []
    ranks = set.union(*(inside for inside in names.values() if STABLE in inside)) - {STABLE}
    said = []
    for folder, inside in names.items():
        if not re.search(r"step_\d+$", folder):
            continue
        if STABLE not in inside:
            said.append(f"{folder} was not finished when it was read: what is whole of it is kept.")
        if lacking := sorted(ranks - inside):
            said.append(f"{folder} lacks {', '.join(lacking)[:200]}: what the other ranks wrote is kept.")
    return said


def _other(reader: ModuleType, sample: Sample) -> str:
    """The format of records in a file that begins with records of `reader`; "" where all are of one."""
    for record in sample.records if sample.kind == "jsonl" else ():
        alone = replace(sample, columns={n: type(v).__name__ for n, v in record.items()}, records=(record,))
        if not reader.matches(alone) and (other := next((one for one in FORMATS if one.matches(alone)), None)):
            return other.NAME
    return ""


def _check_one_run(reader: ModuleType, files: list[File]) -> None:
    """Raise Mistake where a tool that writes a run into one folder left files in several."""
    folders = sorted({file.name.rpartition("/")[0] for file in files})
    if getattr(reader, "IN_ONE_FOLDER", False) and len(folders) > 1:
        shown = ", ".join(folder or "the folder itself" for folder in folders[:_NAMED])
        raise Mistake(
            f"there are {len(folders)} folders of {reader.NAME} in what you brought ({shown}"
            f"{', ...' if len(folders) > _NAMED else ''}), and one holds a run. Bring one of them."
        )


def _each_once(files: list[File], left: dict[str, str]) -> list[File]:
    """Files without those that hold the very bytes of another one."""
    first: dict[str, File] = {}
    for file in files:
        if first.setdefault(file.fingerprint, file) is not file:
            left[file.name] = f"{file.name} is the same file as {first[file.fingerprint].name}."
    return list(first.values())


def _asked(reader: ModuleType, question: str, sample: Sample) -> Any:
    """What a reader says of a sample; None where it has nothing to say, or did not foresee such a file."""
    try:
        return getattr(reader, question)(sample) if hasattr(reader, question) else None
    except NOT_FORESEEN:
        return None


def _only(found: dict[str, list[File]]) -> ModuleType:
    """The one format of the files; a table that any file could be counts only where nothing else is there."""
    readers = [one for one in FORMATS if one.__name__ in found]
    special = [one for one in readers if not getattr(one, "IS_GENERAL", False)] or readers
    if own in special:  # a trainer with our writer that also logs as it always does
        special = [one for one in special if not getattr(one, "GIVES_WAY", False)]
    if len(special) > 1:
        kinds = ", ".join(f"{one.NAME} ({found[one.__name__][0].name})" for one in special)
        raise Mistake(f"the files are of {len(special)} formats: {kinds}. Bring those of one run at a time.")
    return special[0]


def _nothing(files: list[File], left: dict[str, str], beside: list[tuple[File, Sample]]) -> str:
    if not files:
        return "there is no file in what you brought. Bring a file, or a folder that has some."
    if len(files) == 1 and left:
        return next(iter(left.values()))
    if len(files) == 1:
        columns = ", ".join(map(repr, list(beside[0][1].columns)[:8]))
        return (
            f"{files[0].name} is of no format that is known here; it has {columns[:300]}. A table needs the columns "
            "prompt, completion and reward: docs/bring_a_run.md shows it."
        )
    pointed = next((why for why in left.values() if "docs/" in why), next(iter(left.values()), ""))
    return (
        f"none of the {len(files)} files is of a format that is known here. {pointed} docs/bring_a_run.md lists the "
        "formats."
    ).replace("  ", " ")


def _files(brought: Sequence[tuple[Path, str]]) -> list[File]:
    found: list[File] = []
    for path, name in brought:
        if path.is_dir():
            found += _inside(path)
        elif path.is_file():
            found.append(File(path, name))
        else:
            raise Mistake(f"there is no file or folder {str(path)[:200]!r}. Check the path.")
        if len(found) > MAX_FILES:
            raise Mistake(f"there are more than {MAX_FILES:,} files in what you brought. Bring the folder of one run.")
    return sorted(found, key=lambda file: natural(file.name))


def _inside(folder: Path) -> list[File]:
    """All files of a folder, hidden ones and links left out."""
    found = []
    for at, folders, names in os.walk(folder):
        depth = len(Path(at).relative_to(folder).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(SKIPPED)) if depth < MAX_DEPTH else []
        for name in names:
            path = Path(at) / name
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                found.append(File(path, path.relative_to(folder).as_posix()))
        if len(found) > MAX_FILES:
            break
    return found


def natural(name: str) -> list[tuple[int, int, str]]:
    """step_2 before step_10."""
    return [(0, int(p[:18]), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name) if p]
