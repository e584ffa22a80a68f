"""A .gguf file as a folder in transformers format: converted once, by transformers' own reader, into the lab's folder.

The folder is named after the file and its hash, so the run that keeps it means those weights whatever becomes of the
file. torch and the optional library gguf are imported late.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from vimpo_core import files
from vimpo_core.mistake import Mistake
from vimpo_core.paths import models_dir

_NOTE = "converted_from.json"
_UNFINISHED = ".converting-"
_HASH_CHARACTERS = 12
_CHUNK = 1 << 22
_HASHED, _READ = 10, 60
"""Percent of the work that is done once the file was hashed, and once its tensors were read."""


def is_named(source: str) -> bool:
    return source.lower().endswith(".gguf")


def find(path: Path) -> Path | None:
    """The folder that a file was converted to, as long as the file is what it was then; None before that."""
    with contextlib.suppress(OSError):
        now = _stamp(path)
        for note in sorted(models_dir().glob(f"*/{_NOTE}")):
            with contextlib.suppress(OSError, ValueError):
                if json.loads(note.read_text(encoding="utf-8")).get("file") == now:
                    return note.parent
    return None


def converted(path: Path) -> Path:
    """`find`, or a sentence on what to do. Raises Mistake."""
    _refuse_missing(path)
    if found := find(path):
        return found
    raise Mistake(f"{path} has first to be converted. Run: python -m vimpo_core models get {path}")


def label(folder: Path) -> str:
    """What a converted folder is called: its file's name, without the hash; other folders have their own name."""
    with contextlib.suppress(OSError):
        if (folder / _NOTE).is_file():
            return folder.name.rpartition("-")[0]
    return folder.name


def all_converted() -> list[Path]:
    return [note.parent for note in sorted(models_dir().glob(f"*/{_NOTE}"))]


def convert(path: Path, told: Callable[[int, int], None] | None = None) -> Path:
    """Convert a file unless that was done before; returns the folder. Imports torch.

    Args:
        told: percent done, and 100.

    Raises:
        Mistake: no such file, the library gguf is missing, the file is damaged or of an architecture that transformers
            does not read, or too large for memory or disk. Nothing is left of a conversion that failed.
    """
    _refuse_missing(path)
    if found := find(path):
        return found
    refuse_without_library()
    tell = told or (lambda done, total: None)
    folder = models_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _remove_unfinished(folder)
        target = folder_for(path.stem, _sha256(path, tell))
        if not target.is_dir():
            unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
            try:
                _write(path, unfinished, tell)
                (unfinished / _NOTE).write_text(_note(path), encoding="utf-8")
                os.replace(unfinished, target)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
        else:
            files.write_whole(target / _NOTE, _note(path))
    tell(100, 100)
    return target


def folder_for(stem: str, sha256: str) -> Path:
    """Where a file of that name and hash is converted to."""
    return models_dir() / f"{_plain(stem)}-{sha256[:_HASH_CHARACTERS]}"


def refuse_without_library() -> None:
    if importlib.util.find_spec("gguf") is None:
        raise Mistake(
            "a .gguf file needs the library gguf, which is not installed. Run: pip install -r requirements-worlds.txt"
        )


def tidy() -> None:
    """Remove what a killed conversion left, unless one is at work."""
    folder = models_dir()
    if any(folder.glob(f"{_UNFINISHED}*")):
        with contextlib.suppress(Mistake), _alone(folder, seconds=0):
            _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    """The caller holds the lock, so nobody is at work on them."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _refuse_missing(path: Path) -> None:
    if not path.is_file():
        raise Mistake(f"there is no file {path}. Check the path.")


@contextlib.contextmanager
def _alone(folder: Path, seconds: float = 1) -> Iterator[None]:
    lock = filelock.FileLock(folder / ".converting.lock")
    try:
        lock.acquire(timeout=seconds)
    except filelock.Timeout as error:
        raise Mistake("another file is being converted at the moment. Wait for it, then try again.") from error
    try:
        yield
    finally:
        lock.release()


def _stamp(path: Path) -> dict:
    stat = path.stat()
    return {"path": str(path.resolve()), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _note(path: Path) -> str:
    return json.dumps({"file": _stamp(path)}, indent=1) + "\n"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "model"


def _sha256(path: Path, tell: Callable[[int, int], None]) -> str:
    digest, size, done = hashlib.sha256(), max(path.stat().st_size, 1), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            tell(_HASHED * done // size, 100)
    return digest.hexdigest()


def _write(path: Path, folder: Path, tell: Callable[[int, int], None]) -> None:
    """The file's network in float32 and its tokenizer, in transformers format."""
    _refuse_without_room(path, folder)
    import torch
    import transformers

    from vimpo_core.lm import models  # noqa: F401  (quietens transformers)

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        with _reading(tell):
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
            )
        model, info = loaded
    except Exception as error:  # each library has its own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise Mistake(
            f"{path} cannot be converted: {reason[:300].rstrip('.')}. Give a whole .gguf file of an architecture that "
            "transformers reads, or the folder that it was made from."
        ) from error
    if lost := sorted(info["missing_keys"]):
        raise Mistake(f"{path} lacks {lost[0][:120]}, so the model would not be whole. Give another file.")
    _save(model, tokenizer, folder)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """What was read is plain float32 by now, and is saved as such."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _refuse_without_room(path: Path, folder: Path) -> None:
    from gguf import GGUFReader

    try:
        needed = 4 * sum(int(tensor.n_elements) for tensor in GGUFReader(path).tensors)
    except Exception as error:  # its reader raises whatever a damaged header leads to
        raise Mistake(f"{path} is no whole .gguf file. Download it again.") from error
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Mistake(
            f"{path} takes {needed / 1e9:.1f} GB as float32, and {folder.parent} has {free / 1e9:.1f} GB free. Free "
            "some space, or let VIMPO_MODELS_DIR name a folder on another disk."
        )


@contextlib.contextmanager
def _reading(tell: Callable[[int, int], None]) -> Iterator[None]:
    """Tells how many tensors transformers has read, by the bar that it would draw."""
    from transformers import modeling_gguf_pytorch_utils as reader

    bar = getattr(reader, "tqdm", None)
    if bar is None:
        yield
        return

    def counted(tensors, **_):
        for i, tensor in enumerate(tensors):
            tell(_HASHED + (_READ - _HASHED) * i // max(len(tensors), 1), 100)
            yield tensor

    reader.tqdm = counted
    try:
        yield
    finally:
        reader.tqdm = bar
