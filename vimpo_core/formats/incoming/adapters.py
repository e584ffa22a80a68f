"""Adapters among files that were handed over: kept in the run's own folder, as nobody knows where they came from.

Told by content and place: a file of safetensors with the settings of an adapter beside it, in the same folder of what
was dropped. Everything else is left to the readers. A file is stored under a name made here; its own is never a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vimpo_core.lm.adapter_files import SETTINGS, WEIGHTS

MAX_WEIGHTS = 200 * 2**20
MAX_SETTINGS = 2**20
MAX_IN_ALL = 2**30
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,9})")


@dataclass(frozen=True)
class Adapter:
    """name: of its folder in the run, `checkpoint-N` where its own says so, else `adapter-0`, `adapter-1`, ..."""

    name: str
    settings: Path
    weights: Path

    @property
    def files(self) -> dict[str, Path]:
        return {SETTINGS: self.settings, WEIGHTS: self.weights}


@dataclass(frozen=True)
class Handed:
    """What was handed over, taken apart: the adapters to keep, what is left for the readers, and why some are not
    kept (name of a file -> a sentence)."""

    adapters: list[Adapter]
    others: list[tuple[Path, str]]
    refused: dict[str, str]


def apart(brought: Sequence[tuple[Path, str]]) -> Handed:
    """Tell the adapters in files (path, name with its folders) from the others."""
    folders: dict[str, dict[str, list[Path]]] = {}
    others = []
    for path, name in brought:
        folder, _, last = name.replace("\\", "/").rpartition("/")
        if last in (SETTINGS, WEIGHTS) and path.is_file():
            folders.setdefault(folder, {}).setdefault(last, []).append(path)
        else:
            others.append((path, name))
    adapters: list[Adapter] = []
    refused: dict[str, str] = {}
    room = MAX_IN_ALL
    for folder, files in sorted(folders.items()):
        shown = f"{folder}/{WEIGHTS}" if folder else WEIGHTS
        settings, weights = files.get(SETTINGS, []), files.get(WEIGHTS, [])
        why = _refusal(settings, weights, room)
        if why:
            refused[shown] = f"{shown} {why}"
            continue
        room -= weights[0].stat().st_size
        adapters.append(Adapter(_name(folder, adapters), settings[0], weights[0]))
    return Handed(adapters, others, refused)


def _name(folder: str, taken: Sequence[Adapter]) -> str:
    names = {one.name for one in taken}
    if mark := _CHECKPOINT.fullmatch(folder.rpartition("/")[2]):
        name = f"checkpoint-{int(mark[1])}"
        if name not in names:
            return name
    return next(name for n in range(len(names) + 1) if (name := f"adapter-{n}") not in names)


def _refusal(settings: Sequence[Path], weights: Sequence[Path], room: int) -> str:
    """Why a folder's adapter is not kept, after the name of its weights; "" where it is."""
    if not settings or not weights:
        return f"is not kept: an adapter is {SETTINGS} and {WEIGHTS} in one folder."
    if len(settings) > 1 or len(weights) > 1:
        return "is there several times without its folder's name, so it is not kept: name the folder by its path."
    size = weights[0].stat().st_size
    if size > MAX_WEIGHTS:
        return f"has {size / 2**20:.0f} MB and is not kept: at most {MAX_WEIGHTS // 2**20} are. Name the folder's path."
    if size > room:
        return f"is not kept: adapters of {MAX_IN_ALL // 2**20} MB in all are. Name the folder by its path."
    if not _is_settings(settings[0]):
        return f"is not kept: {SETTINGS} beside it holds no settings of an adapter."
    return "" if _is_weights(weights[0]) else "is not kept: it is no file of safetensors."


def _is_settings(path: Path) -> bool:
    if path.stat().st_size > MAX_SETTINGS:
        return False
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "peft_type" in found


def _is_weights(path: Path) -> bool:
    """Whether its header is whole and says where each of its bytes belongs."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return bool(file.keys())
    except (SafetensorError, OSError, ValueError):
        return False
