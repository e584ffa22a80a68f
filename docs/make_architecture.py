"""Writes the tree of ARCHITECTURE.md, a line a file, from the first sentence of each module's docstring: `python
docs/make_architecture.py`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- tree: python docs/make_architecture.py -->", "<!-- end of tree -->"
PACKAGES = ("vimpo_core", "app", "pages")


def sentence_of(file: Path) -> str:
    """The first sentence of a module's docstring, "" where it has none."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = re.split(r"(?<=[.?!])\s|\n\n", text.replace("...", "…"), maxsplit=1)[0]
    return " ".join(first.split())


def lines_of(folder: Path, depth: int = 0) -> list[str]:
    """A folder with its sentence, its files and then its folders."""
    indent, name = "  " * depth, folder.relative_to(ROOT).as_posix() if depth == 0 else folder.name
    init = folder / "__init__.py"
    about = sentence_of(init) if init.exists() else ""
    lines = [f"{indent}- **{name}/** {about}".rstrip()]
    for file in sorted(folder.glob("*.py")):
        if file.name not in ("__init__.py", "__main__.py"):
            lines.append(f"{indent}  - `{file.name}` {sentence_of(file)}".rstrip())
    for inner in sorted(p for p in folder.iterdir() if p.is_dir() and any(p.glob("*.py"))):
        lines += lines_of(inner, depth + 1)
    return lines


def tree() -> str:
    """The tree as Markdown."""
    return "\n".join(line for package in PACKAGES for line in lines_of(ROOT / package))


def document(text: str) -> str:
    """`text` of ARCHITECTURE.md with the tree as it is now."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tree()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
