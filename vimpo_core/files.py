"""Files that people keep: written whole or not at all, read with or without a byte order mark, and errors in words."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_UNFINISHED, _RANDOM_BYTES = ".writing", 8
"""How a file is called until it is whole: a dot, random bytes in hex, this ending."""
_LEFT_AFTER_SECONDS = 3600
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""No space left, or none left of one's quota."""

_WORDS = {
    **dict.fromkeys(FULL, "the disk is full. Free some space, then try again"),
    errno.EROFS: "the disk is read-only. Choose another folder",
    errno.EACCES: "you have no permission to do that there. Choose another folder, or change its permissions",
    errno.EPERM: "you have no permission to do that there. Choose another folder, or change its permissions",
    errno.ENOENT: "there is no such file or folder. Check the path",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Check the path",
    errno.EISDIR: "that is a folder, not a file. Name a file",
    errno.EEXIST: "something of that name is there already. Choose another name",
    errno.ENOTEMPTY: "a folder of that name is there already and not empty. Choose another name",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
    errno.EBUSY: "another program is using it. Close that, then try again",
    errno.EMFILE: "too many files are open. Close some programs, then try again",
    errno.ENFILE: "too many files are open. Close some programs, then try again",
    errno.ENOMEM: "there is not enough memory. Close some programs, then try again",
    errno.EIO: "the disk could not read or write. Check the disk, and copy what matters elsewhere",
}
"""What an error of the system means to a person, and what to do."""


_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory")


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error means that there was no memory left, whoever says so: Python, torch, the system."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY)


def is_of_the_system(error: BaseException) -> bool:
    """Whether an error is the machine's and not the program's: `in_words` then tells what to do about it."""
    is_known = isinstance(error, OSError) and (error.errno is None or error.errno in _WORDS)
    return is_known or is_short_of_memory(error)


def in_words(error: BaseException) -> str:
    """An error as one sentence: of the system's own, which file, what is wrong and what to do; of others, what they
    say.
    """
    if is_short_of_memory(error):
        return f"{_WORDS[errno.ENOMEM]}."
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    what = _WORDS.get(error.errno) or (error.strerror or str(error)).rstrip(".")
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' to '.join(names)}: {what}." if names else f"{what}."


def as_cell(text: str) -> str:
    """A text as a cell of a CSV file that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def write_whole(path: Path, content: str | bytes, make_folder: bool = False) -> None:
    """Write a file so that a reader, a full disk or a power cut finds the old or the new one but no half.

    Text is UTF-8. make_folder: make the folder where it is missing. A link is followed to what it leads to.

    Raises OSError naming `path`; what was there before is untouched.
    """
    with writing_whole(path, make_folder) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def writing_whole(path: Path, make_folder: bool = False) -> Iterator[BinaryIO]:
    """A file to write in pieces, as `write_whole` writes it: `path` is the new one once the block has ended."""
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a terminal has no half
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    hidden = target.with_name(f".{secrets.token_hex(_RANDOM_BYTES)}{_UNFINISHED}")
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(hidden, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with suppress(OSError):  # there was none before, or it is somebody else's
                os.chmod(hidden, target.stat().st_mode & 0o777)
            hidden.replace(target)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed `writing_whole` left in a folder more than an hour ago; what cannot be removed stays."""
    for left in folder.glob(f".*{_UNFINISHED}"):
        with suppress(OSError):
            name = left.name.removesuffix(_UNFINISHED)
            is_ours = len(name) == 1 + 2 * _RANDOM_BYTES and set(name[1:]) <= set("0123456789abcdef")
            if is_ours and left.is_file() and time.time() - left.stat().st_mtime > _LEFT_AFTER_SECONDS:
                left.unlink()


def read_text(path: Path) -> str:
    """A text file of a person's: UTF-8, with or without a byte order mark. Raises OSError or UnicodeDecodeError."""
    return text_of(path.read_bytes())


def text_of(content: bytes) -> str:
    """UTF-8 as editors write it: a byte order mark in front is no part of the text."""
    return content.decode("utf-8-sig")
