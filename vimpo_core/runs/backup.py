"""All runs of a folder as one file, made while they train, and back.

    backup.zip
        backup.json             what is in it: the lab's version, each run with the checksum of its run.db, names, jobs
        runs/RUN_ID/run.db      SQLite's own online copy: every step that was committed when its turn came
        runs/RUN_ID/...         what else lies in the run's folder: scorecards, adapters
    class.db                who is in the class, whose runs are whose, hand-ins; where there is a class

Not in it: deleted runs in the bin, base models (they are fetched or converted again) and files of problems. A file of
unknown origin is safe to restore: names are checked, nothing but numbers and texts is read from it, and each run is
opened under a hidden name before it appears.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from vimpo_core import __version__, files
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import ACTIVE, LONGEST_NAME, RunsDir
from vimpo_core.runs.locks import is_held
from vimpo_core.runs.store import CLASS_NAME, DB_NAME, HIDDEN, LOCK_NAME, RunStore, StoreError, remove_leftovers
from vimpo_core.types import RunState

FORMAT = 1
MANIFEST = "backup.json"
_RUN_ID = re.compile(r"(?!\.)[^/\\\0:]{1,200}")
_NOT_COPIED = {LOCK_NAME, *(f"{DB_NAME}{log}" for log in ("", "-wal", "-shm", "-journal"))}
_MANIFEST_BYTES = 32_000_000
_CHUNK = 1 << 20
Told = Callable[[int, int], None]
"""Hears how many runs are done, of how many."""


@dataclass(frozen=True)
class BackedUp:
    """runs: what is in the file. left_out: run -> why it could not be read."""

    runs: list[str]
    left_out: dict[str, str]
    size: int


@dataclass(frozen=True)
class Restored:
    """runs: what came back. kept: what was there already and was left as it is. waiting: what is in the queue again.
    has_class: whether the class came back too, which it does where none is there.
    """

    runs: list[str]
    kept: list[str]
    waiting: list[str]
    has_class: bool = False


def default_name(now: datetime) -> str:
    """A file name of this second."""
    return f"vimpo-lab-{now:%Y-%m-%d-%H%M%S}.zip"


# --- making one -------------------------------------------------------------------------------------------------------


def backup(runs: RunsDir, target: Path, told: Told = lambda done, of: None) -> BackedUp:
    """Write all runs of a folder into `target`, which must not exist; it is there whole or not at all.

    Runs go on training meanwhile: a run is as it was when its turn came. One that cannot be read is left out and named.

    Raises:
        Mistake: there are no runs, `target` exists, or its disk has no room for it.
        OSError: it could not be written.
    """
    if target.exists():
        raise Mistake(f"{target.name} exists already. Name another file.")
    listed = [run.run_id for run in reversed(runs.list())]
    if not listed:
        raise Mistake(f"there are no runs in {runs.path.name}, so there is nothing to back up.")
    remove_leftovers(target.absolute().parent)  # of a backup that was killed
    files.remove_unfinished(target.absolute().parent)
    _require_room(target.absolute().parent, *_room(runs.path / run_id for run_id in listed))
    kept: dict[str, dict] = {}
    left_out: dict[str, str] = {}
    names, jobs = runs.queue.names(), runs.jobs()
    with files.writing_whole(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for done, run_id in enumerate(listed):
            told(done, len(listed))
            try:
                kept[run_id] = {"sha256": _add_run(made, runs.path / run_id, target.absolute().parent)}
            except Mistake as error:
                left_out[run_id] = str(error)
        told(len(listed), len(listed))
        class_file = runs.path / CLASS_NAME
        about = {
            "format": FORMAT,
            "class": _add_class(made, class_file, target.absolute().parent) if class_file.is_file() else None,
            "version": __version__,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "runs": {run_id: entry | {"name": names.get(run_id)} for run_id, entry in kept.items()},
            "waiting": [list(j.run_ids) for j in jobs if j.state == RunState.QUEUED and set(j.run_ids) <= set(kept)],
        }
        made.writestr(MANIFEST, json.dumps(about))
    return BackedUp(list(kept), left_out, target.stat().st_size)


def _add_run(made: zipfile.ZipFile, run_dir: Path, room: Path) -> str:
    """Add one run; returns the checksum of its database. Raises Mistake where the run cannot be read."""
    with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=room) as folder:
        copy = Path(folder) / DB_NAME
        RunStore.open(run_dir).copy_to(copy)
        made.write(copy, f"runs/{run_dir.name}/{DB_NAME}")
        sha256 = _sha256(copy)
    for file in _others(run_dir):
        made.write(file, f"runs/{run_dir.name}/{file.relative_to(run_dir).as_posix()}")
    return sha256


def _add_class(made: zipfile.ZipFile, class_file: Path, room: Path) -> str:
    """Add the class's file, whole also while it is written; returns its checksum. Raises Mistake if it is damaged."""
    with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=room) as folder:
        copy = Path(folder) / CLASS_NAME
        try:
            with closing(sqlite3.connect(class_file)) as connection, closing(sqlite3.connect(copy)) as written:
                connection.backup(written)
        except sqlite3.Error as error:
            raise Mistake(f"{CLASS_NAME} cannot be read ({error}). Move it away to back up the runs alone.") from error
        made.write(copy, CLASS_NAME)
        return _sha256(copy)


def _others(run_dir: Path) -> Iterator[Path]:
    """What lies beside a run's database; links are not followed."""
    for file in sorted(run_dir.rglob("*")):
        inside = file.relative_to(run_dir)
        hops = [run_dir.joinpath(*inside.parts[:n]) for n in range(1, len(inside.parts) + 1)]
        if file.is_file() and str(inside) not in _NOT_COPIED and not any(hop.is_symlink() for hop in hops):
            yield file


def _room(run_dirs: Iterator[Path]) -> tuple[int, int]:
    """Bytes of all runs, and of the largest one, which is copied before it is packed."""
    sizes = [sum(f.stat().st_size for f in run_dir.rglob("*") if f.is_file()) for run_dir in run_dirs]
    return sum(sizes), max(sizes)


def _require_room(folder: Path, total: int, largest: int) -> None:
    """Packed files are smaller than what is packed, by how much is not known before."""
    free = shutil.disk_usage(folder).free
    if free < largest + total // 4:
        raise Mistake(
            f"the disk of {folder.name or folder} has {free / 1e6:,.0f} MB free, and a backup of {total / 1e6:,.0f} MB "
            f"of runs needs {(largest + total // 4) / 1e6:,.0f} or more. Name a file on another disk."
        )


# --- bringing one back ------------------------------------------------------------------------------------------------


def restore(runs: RunsDir, source: Path, replace: bool = False, told: Told = lambda done, of: None) -> Restored:
    """Bring the runs of a backup into a folder, with their names, and those that waited back into the queue.

    A run that is there already is left as it is; with `replace` it goes to the bin first, from where it comes back for
    a week. Nothing is begun: the next `resume`, or the page, starts what waits.

    Raises:
        Mistake: no backup, damaged, of a newer version, without room, or it would replace a run that is being trained.
        OSError: it could not be written. Each run is there whole or not at all.
    """
    with _opened(source) as file, _as_zip(file, source) as packed:
        about = _manifest(packed, source)
        members = _members(packed, about, source)
        there = {run.run_id for run in runs.list()} | set(runs.others())
        kept = [] if replace else [run_id for run_id in members if run_id in there]
        wanted = {run_id: found for run_id, found in members.items() if run_id not in kept}
        _refuse_living(runs, [run_id for run_id in wanted if run_id in there])
        runs.path.mkdir(parents=True, exist_ok=True)
        _require_space(runs.path, sum(member.file_size for found in wanted.values() for member in found))
        for done, (run_id, found) in enumerate(wanted.items()):
            told(done, len(wanted))
            _bring_back(runs, packed, run_id, found, about["runs"][run_id], run_id in there)
        told(len(wanted), len(wanted))
        has_class = about["class"] is not None and _bring_class_back(runs, packed, about["class"])
    waiting = [ids for ids in about["waiting"] if ids and set(ids) <= set(wanted)]
    for ids in waiting:
        runs.queue.add(f"job-{runs.queue.next_number()}", ids)
    return Restored(list(wanted), kept, [run_id for ids in waiting for run_id in ids], has_class)


def _opened(source: Path) -> BinaryIO:
    if not source.is_file():
        raise Mistake(f"there is no file {source.name}. Name one that `backup` wrote.")
    return open(source, "rb")


def _as_zip(file: BinaryIO, source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise _damaged(source, "it is no zip file, or was cut short") from error


def _manifest(packed: zipfile.ZipFile, source: Path) -> dict:
    """What the file says of itself, its parts checked for what they are."""
    try:
        if packed.getinfo(MANIFEST).file_size > _MANIFEST_BYTES:
            raise _damaged(source, f"its {MANIFEST} is too large")
        about = json.loads(packed.read(MANIFEST))
        version, runs, waiting = about["format"], about["runs"], about["waiting"]
        known = isinstance(version, int) and isinstance(runs, dict) and isinstance(waiting, list)
        known = known and isinstance(about.setdefault("class", None), str | None)
        known = known and all(_RUN_ID.fullmatch(run_id) for run_id in runs)
        known = known and all(isinstance(entry, dict) and isinstance(entry["sha256"], str) for entry in runs.values())
        known = known and all(isinstance(ids, list) and set(ids) <= set(runs) for ids in waiting)
    except KeyError as error:
        what = f"{source.name} is no backup of this lab ({error} is missing)"
        raise Mistake(f"{what}. Name one that `backup` wrote.") from error
    except (ValueError, TypeError, zipfile.BadZipFile) as error:
        raise _damaged(source, f"its {MANIFEST} cannot be read") from error
    if not known:
        raise _damaged(source, f"its {MANIFEST} is not as `backup` writes it")
    if version > FORMAT:
        raise Mistake(
            f"{source.name} was written by a newer version (format {version}, this one reads up to {FORMAT}). Update "
            "VIMPO Lab to restore it."
        )
    return about


def _members(packed: zipfile.ZipFile, about: dict, source: Path) -> dict[str, list[zipfile.ZipInfo]]:
    """The files of each run, every name checked to lie inside its folder."""
    found: dict[str, list[zipfile.ZipInfo]] = {run_id: [] for run_id in about["runs"]}
    for member in packed.infolist():
        is_class = about["class"] is not None and member.filename == CLASS_NAME
        if member.filename == MANIFEST or is_class or member.is_dir():
            continue
        parts = PurePosixPath(member.filename).parts
        plain = len(parts) > 2 and parts[0] == "runs" and parts[1] in found and all(map(_is_plain, parts[2:]))
        if not plain or "/".join(parts) != member.filename:
            raise _damaged(source, f"it holds {member.filename[:80]!r}, which `backup` never writes")
        found[parts[1]].append(member)
    missing = [
        run_id for run_id, members in found.items() if f"runs/{run_id}/{DB_NAME}" not in {m.filename for m in members}
    ]
    if missing:
        raise _damaged(source, f"{DB_NAME} of run {missing[0]} is missing")
    return found


def _is_plain(part: str) -> bool:
    return bool(_RUN_ID.fullmatch(part)) and part not in _NOT_COPIED - {DB_NAME}


def _refuse_living(runs: RunsDir, run_ids: list[str]) -> None:
    """Before anything is changed: a run that somebody trains, or waits for, is never replaced."""
    busy = {run_id for job in runs.jobs() if job.state in ACTIVE for run_id in job.run_ids}
    for run_id in run_ids:
        if run_id in busy or is_held(runs.path / run_id / LOCK_NAME):
            raise Mistake(f"run {run_id} is being trained, or waits to be. Stop it first; nothing was changed.")


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Mistake(
            f"the disk of {folder.name} has {free / 1e6:,.0f} MB free, and these runs take {needed / 1e6:,.0f}. Free "
            "some, or name another folder with --runs-dir; nothing was changed."
        )


def _bring_back(
    runs: RunsDir, packed: zipfile.ZipFile, run_id: str, members: list[zipfile.ZipInfo], entry: dict, is_there: bool
) -> None:
    hidden = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=runs.path))
    try:
        hidden.chmod(0o755)
        for member in members:
            target = hidden.joinpath(*PurePosixPath(member.filename).parts[2:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as inside, open(target, "xb") as out:
                shutil.copyfileobj(inside, out, _CHUNK)
        if _sha256(hidden / DB_NAME) != entry["sha256"]:
            raise zipfile.BadZipFile
        RunStore.open(hidden).check()
        (hidden / LOCK_NAME).touch()
        if is_there:
            runs.delete(run_id)
        hidden.rename(runs.path / run_id)
    except (zipfile.BadZipFile, EOFError, zlib.error, Mistake) as error:
        shutil.rmtree(hidden, ignore_errors=True)
        why = f" ({str(error).replace(hidden.name, run_id)})" if isinstance(error, Mistake) else ""
        what = f"run {run_id} in the backup is damaged{why}"
        raise Mistake(f"{what}. The runs before it are back; use another backup for the others.") from error
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise StoreError(f"run {run_id} could not be brought back: {files.in_words(error)}") from error
    name = entry.get("name")
    if isinstance(name, str) and 0 < len(" ".join(name.split())) <= LONGEST_NAME:
        runs.rename(run_id, name)


def _bring_class_back(runs: RunsDir, packed: zipfile.ZipFile, sha256: str) -> bool:
    """Whether the class came back: one that is there already is left as it is."""
    if (runs.path / CLASS_NAME).exists():
        return False
    with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=runs.path) as folder:
        copy = Path(folder) / CLASS_NAME
        try:
            with packed.open(CLASS_NAME) as inside, open(copy, "xb") as out:
                shutil.copyfileobj(inside, out, _CHUNK)
            with closing(sqlite3.connect(copy)) as connection:
                is_whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except (KeyError, zipfile.BadZipFile, EOFError, zlib.error, sqlite3.Error):
            is_whole = False
        if not is_whole or _sha256(copy) != sha256:
            raise Mistake(f"{CLASS_NAME} in the backup is damaged. The runs are back; the class begins anew.")
        copy.rename(runs.path / CLASS_NAME)
    return True


def _damaged(source: Path, what: str) -> Mistake:
    return Mistake(f"{source.name} cannot be restored: {what}. Use another backup; nothing was changed.")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with closing(open(path, "rb")) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
