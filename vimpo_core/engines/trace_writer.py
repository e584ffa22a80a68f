"""Traces of a run that trains elsewhere: a file a step and rank, each there at once or not at all. No torch, no engine.

    {folder}/header.json                  what holds for the whole run
    {folder}/step_000012/rank_0.jsonl     a line a completion: the fields of `formats.trace_files.record`, and "rank"
    {folder}/step_000012/STABLE           empty; rank 0 makes it once every rank has written

A file is written under another name and renamed, so a reader never sees half of one. Float32 numbers are written so
that they read back to the same bits; nan and inf are text, an array that was not recorded is null.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vimpo_core.files import write_whole
from vimpo_core.types import SCHEMA_VERSION

STABLE = "STABLE"


def write_header(folder: Path, header: Mapping[str, Any]) -> None:
    """The facts of the run, written whole. Raises OSError."""
    text = json.dumps({"schema_version": SCHEMA_VERSION, **header}, indent=1, allow_nan=False)
    write_whole(folder / "header.json", text + "\n", make_folder=True)


def write_step(folder: Path, step: int, rank: int, records: Iterable[Mapping[str, Any]]) -> Path:
    """The completions of one rank at one step, visible all at once. NumPy float arrays in a record are taken as
    float32. Raises OSError.
    """
    path = step_folder(folder, step) / f"rank_{rank}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_suffix(".jsonl.tmp")
    hidden.write_text("".join(f"{line({**record, 'rank': rank})}\n" for record in records), encoding="ascii")
    hidden.replace(path)
    return path


def mark_stable(folder: Path, step: int) -> None:
    """Every rank has written this step. Called by one of them, after all."""
    (step_folder(folder, step) / STABLE).touch()


def set_aside(folder: Path, from_step: int) -> list[Path]:
    """Hide what an earlier run left of the steps from `from_step` on, so that nothing of it is read or lost. Returns
    the new names, which begin with a dot.
    """
    moved = []
    for old in sorted(folder.glob("step_??????")):
        if old.name[5:].isdigit() and int(old.name[5:]) >= from_step:
            free = next(n for n in range(1, 10**6) if not old.with_name(f".replaced_{n}_{old.name}").exists())
            moved.append(old.rename(old.with_name(f".replaced_{free}_{old.name}")))
    return moved


def step_folder(folder: Path, step: int) -> Path:
    return folder / f"step_{step:06d}"


def line(record: Mapping[str, Any]) -> str:
    """One record as one line of JSON, in ASCII so that half a surrogate pair survives. A number that is not finite is
    null, in an array its name.
    """
    plain: dict[str, Any] = {}
    numbers: dict[str, np.ndarray] = {}
    others = []
    for name, value in record.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            numbers[name] = value
        elif isinstance(value, dict) and any(isinstance(one, np.ndarray) for one in value.values()):
            others.append(f'"{name}":{line(value)}')
        else:
            plain[name] = value.tolist() if isinstance(value, np.ndarray) else value
    try:
        text = _encode(plain)
    except ValueError:
        text = _encode(_finite(plain))
    members = [text[1:-1]] if plain else []
    return "{" + ",".join(members + ([_arrays(numbers)] if numbers else []) + others) + "}"


def _arrays(numbers: dict[str, np.ndarray]) -> str:
    """Float arrays as members of a JSON object, nine digits a number: they read back to the same float32 bits."""
    values = np.concatenate(list(numbers.values()), dtype=np.float32)
    sizes = tuple((name, len(one)) for name, one in numbers.items())
    if np.isfinite(values).all():
        return _pattern(sizes, "%.9g") % tuple(values.tolist())
    return _pattern(sizes, "%s") % tuple(f"{x:.9g}" if np.isfinite(x) else f'"{x}"' for x in values.tolist())


@functools.lru_cache(maxsize=4096)
def _pattern(sizes: tuple[tuple[str, int], ...], number: str) -> str:
    names = (json.dumps(name).replace("%", "%%") for name, _ in sizes)
    return ",".join(f"{name}:[{','.join([number] * size)}]" for name, (_, size) in zip(names, sizes, strict=True))


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _finite(value):
    """The same with null for plain numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
