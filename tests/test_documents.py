"""Whatever points to a document of the repository points to one that is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vimpo_core.paths import ROOT

FOLDERS = (
    "app",
    "assets",
    "benchmarks",
    "docs",
    "experiments",
    "findings",
    "pages",
    "tests",
    "vimpo_core",
    ".ci",
)
MADE = {"runs", "__pycache__", "node_modules"}
WRITTEN = {".py", ".js", ".mjs", ".css", ".html", ".md", ".toml", ".txt", ".sh", ".cff", ""}
NAMED = re.compile(r"(?:\.\./)*\w[\w./-]*\.md\b")


def texts(root: Path) -> Iterator[Path]:
    """Files that people wrote: those at the root and in the folders of the project, not what a run left behind."""
    yield from (f for f in root.iterdir() if f.is_file() and f.suffix in WRITTEN and not f.name.startswith(".git"))
    for folder in FOLDERS:
        for file in (root / folder).rglob("*"):
            if file.is_file() and file.suffix in WRITTEN and not MADE & set(file.parts):
                yield file


def lost_pointers(root: Path) -> list[str]:
    """`file names document`: the document is neither there from the root or the file's folder, nor, where it is a name
    without a folder, anywhere in the project."""
    files = list(texts(root))
    known = {file.name for file in files}
    return [
        f"{file.relative_to(root).as_posix()} names {name}"
        for file in files
        for name in sorted(set(NAMED.findall(file.read_text(encoding="utf-8", errors="replace"))))
        if not ((root / name).is_file() or (file.parent / name).is_file() or name in known)
    ]


def test_every_document_that_is_named_is_there():
    assert lost_pointers(ROOT) == []


MD = ".md"  # apart from its names, so that this file's own do not count


@pytest.mark.parametrize("lost", ["GONE", "docs/gone", "../there"])
def test_a_document_that_is_not_there_is_found(tmp_path, lost):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / f"there{MD}").write_text(f"See ../README{MD}, there{MD} and docs/there{MD}.")
    (tmp_path / "README.md").write_text(f"See docs/there{MD} and [it](there{MD}).")
    assert lost_pointers(tmp_path) == []
    (tmp_path / "docs" / "other.py").write_text(f'"""As {lost}{MD} says."""')
    assert lost_pointers(tmp_path) == [f"docs/other.py names {lost}{MD}"]
