"""A report as plain parts, and the two ways to write it: Markdown and HTML. Every text is escaped here and nowhere
else.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

from vimpo_core.solutions.visible_text import without_commands


@dataclass(frozen=True)
class Heading:
    """`level` 1 is the title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    """Short lines, each "name: text" with the name in bold."""

    items: list[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Something to be pasted, as it is."""

    text: str


@dataclass(frozen=True)
class Table:
    """The first column is text, the others are numbers."""

    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A picture by the name of its file, without the ending."""

    name: str
    caption: str


@dataclass(frozen=True)
class Folded:
    """Closed until somebody asks."""

    summary: str
    parts: list


def markdown(parts: list) -> str:
    """The report for a repository; pictures are files beside it, in figures/."""
    return "\n\n".join(_markdown(part) for part in parts) + "\n"


def _markdown(part) -> str:
    match part:
        case Heading(level, text):
            return f"{'#' * level} {plain(text)}"
        case Paragraph(text):
            return plain(text)
        case Bullets(items):
            return "\n".join(f"- **{plain(name)}**: {plain(text)}" for name, text in items)
        case Code(text):
            return f"```\n{text.replace('```', '` ` `')}\n```"
        case Table(head, rows):
            lines = [head, ["---", *["---:"] * (len(head) - 1)]]
            cells = [[plain(cell) for cell in row] for row in (lines[0], *rows)]
            return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], lines[1], *cells[1:]))
        case Figure(name, caption):
            return f"![{plain(caption)}](figures/{name}.svg)"
        case Folded(summary, inner):
            body = "\n\n".join(_markdown(p) for p in inner)
            return f"<details><summary>{html.escape(summary)}</summary>\n\n{body}\n\n</details>"
    raise TypeError(f"no part of a report: {part!r}.")


def plain(text: str) -> str:
    """A text that Markdown shows as it is: no markup, no HTML, no formula, one line."""
    return re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", html.escape(without_commands(" ".join(text.split())), quote=False))


def page(title: str, parts: list, picture: Callable[[str], str]) -> str:
    """The report as one HTML file. `picture`: name of a figure -> its SVG element, which is put in as it is."""
    body = "\n".join(_html(part, picture) for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        f'img-src data:">\n<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _html(part, picture) -> str:
    match part:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Bullets(items):
            lines = (f"<li><b>{html.escape(name)}</b>: {html.escape(text)}</li>" for name, text in items)
            return f"<ul>{''.join(lines)}</ul>"
        case Code(text):
            return f"<pre><code>{html.escape(text)}</code></pre>"
        case Table(head, rows):
            top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
            body = "".join(
                f'<tr><th scope="row">{html.escape(row[0])}</th>'
                + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
                + "</tr>\n"
                for row in rows
            )
            # Focusable, so that the keyboard can scroll it on a narrow screen.
            return f'<div class="table" tabindex="0"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>'
        case Figure(name, caption):
            words = html.escape(caption)
            labelled = picture(name).replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
            return f"<figure>{labelled}<figcaption>{words}</figcaption></figure>"
        case Folded(summary, inner):
            body = "\n".join(_html(p, picture) for p in inner)
            return f"<details><summary>{html.escape(summary)}</summary>\n{body}\n</details>"
    raise TypeError(f"no part of a report: {part!r}.")


_STYLE = """
:root { color-scheme: light dark; --ink: #0f1317; --quiet: #515b66; --line: #d5d9de; --back: #fff; --soft: #f3f4f6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --quiet: #a6b0ba; --line: #3a414a; --back: #14181d; --soft: #1e242b; }
}
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 "Source Sans 3", system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .5rem; } h2 { font-size: 1.35rem; margin: 2.2rem 0 .5rem; } h3 { font-size: 1.1rem; }
.table { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; font-weight: 600; white-space: normal; min-width: 8rem; }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom; white-space: normal; }
pre { background: var(--soft); padding: .7rem .9rem; overflow-x: auto; border-radius: .25rem; }
figure { margin: 1.2rem 0; } figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: .92rem; max-width: 46rem; }
summary { cursor: pointer; color: var(--quiet); margin: .6rem 0; }
p, li { max-width: 46rem; }
"""
