"""Two columns of a person's own file, a prompt and an answer: CSV, JSON Lines, one JSON list, or Parquet, read within
limits. A wrong file is one sentence; nothing of it is ever run.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT, as_path

MAX_BYTES = 200 * 2**20
MAX_ROWS = 200_000
MAX_CELL = 20_000
"""Characters; rows with a longer prompt or answer are left out and counted."""
MAX_COLUMNS = 500

PROMPTS = ("prompt", "question", "problem", "input", "query", "instruction")
ANSWERS = ("answer", "final_answer", "gold", "target", "solution", "label", "output", "response")
"""Names that are guessed, the best first; upper and lower case alike."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark its own begins with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Table:
    """rows: (prompt, answer), each prompt once; columns: all that the file has; left_out: reason -> how many rows."""

    rows: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    prompt: str
    answer: str
    left_out: dict[str, int]


def place(path: str) -> Path:
    """Where the file of a task is, from wherever it is asked: a relative path counts from the repository root, as that
    of a model does."""
    return ROOT / as_path(path)


def read_table(path: str, prompt: str = "", answer: str = "", encoding: str = "") -> Table:
    """The table of a file.

    Args:
        prompt, answer: names of the columns, "" to guess; encoding: of a text file, "" for UTF-8, or what its first
            bytes say.

    Raises:
        Mistake: the file is missing, too large, of another kind, encoding or shape, or lacks a column. One sentence.
    """
    path = str(place(path))
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise Mistake(f"there is no file {path[:200]!r} ({error.strerror}). Give the path of a file.") from None
    except ValueError as error:
        raise Mistake(f"a path cannot be {path[:60]!r}: {error}.") from None
    if not Path(path).is_file():
        raise Mistake(f"{path[:200]!r} is no file. Give the path of a CSV, JSON or Parquet file.")
    if stat.st_size > MAX_BYTES:
        raise Mistake(
            f"{Path(path).name} has {stat.st_size / 2**20:,.0f} MB, at most {MAX_BYTES // 2**20} are read. Cut it to "
            "the rows you want to train on."
        )
    return _read(path, prompt, answer, encoding, (stat.st_mtime_ns, stat.st_size))


def fingerprint(path: str) -> str:
    """sha256 of a file. Raises Mistake where it cannot be read."""
    try:
        with place(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise Mistake(f"{path[:200]!r} cannot be read ({getattr(error, 'strerror', error)}). Put it back.") from None


@lru_cache(maxsize=4)
def _read(path, prompt, answer, encoding, stamp) -> Table:
    name = Path(path).name
    kind = Path(path).suffix.lower()
    if kind in (".parquet", ".pq"):
        columns, rows = _parquet(path, name, prompt, answer)
    elif kind in (".jsonl", ".ndjson", ".json"):
        text = _text(path, name, encoding)
        is_list = text[:100].lstrip().startswith("[")
        columns, rows = _of_objects(_listed_objects(text, name) if is_list else _json_lines(text, name), name)
    elif kind in (".csv", ".tsv", ".txt"):
        columns, rows = _csv(_text(path, name, encoding), name, kind)
    else:
        raise Mistake(
            f"{name} is {kind or 'of no kind'}, and .csv, .tsv, .jsonl, .json and .parquet are read. Rename it."
        )
    prompt_at = _column(name, columns, prompt, PROMPTS, "prompt")
    answer_at = _column(name, columns, answer, ANSWERS, "answer", besides=prompt_at)
    return _kept(name, columns, prompt_at, answer_at, rows)


def _kept(name, columns, prompt_at, answer_at, rows) -> Table:
    kept: dict[str, str] = {}
    left_out: dict[str, int] = {}
    for number, row in enumerate(rows):
        if number >= MAX_ROWS:
            raise Mistake(f"{name} has more than {MAX_ROWS:,} rows. Cut it to those you want to train on.")
        question, gold = (_cell(row[at]) if at < len(row) else "" for at in (prompt_at, answer_at))
        if not question or not gold:
            why = "empty prompt or answer"
        elif len(question) > MAX_CELL or len(gold) > MAX_CELL:
            why = f"longer than {MAX_CELL:,} characters"
        elif question in kept:
            why = "the same prompt again"
        else:
            kept[question] = gold
            continue
        left_out[why] = left_out.get(why, 0) + 1
    if not kept:
        raise Mistake(
            f"{name} has no row with a prompt and an answer in its columns {columns[prompt_at]!r} and "
            f"{columns[answer_at]!r}."
        )
    return Table(tuple(kept.items()), tuple(columns), columns[prompt_at], columns[answer_at], left_out)


def _cell(value) -> str:
    """A cell as text: the numbers of a list joined by commas, None and nan empty."""
    if isinstance(value, str):
        return value.strip()
    if value is None or value != value:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_cell, value)))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 42.0 of a Parquet column that has gaps
    return "" if isinstance(value, dict | bytes) else str(value)


def _column(name, columns, wanted, guesses, what, besides=None) -> int:
    if wanted:
        if wanted in columns:
            return columns.index(wanted)
        raise Mistake(f"{name} has no column {wanted[:60]!r}. It has: {_listed(columns)}.")
    lower = [column.lower() for column in columns]
    for guess in guesses:
        if guess in lower and lower.index(guess) != besides:
            return lower.index(guess)
    raise Mistake(f"{name} has no column that looks like the {what} among {_listed(columns)}. Name it: ?{what}=COLUMN.")


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column[:40]) for column in columns[:12])
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown


def _text(path, name, encoding) -> str:
    raw = Path(path).read_bytes()
    used = encoding or next((known for mark, known in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(used)
    except LookupError:
        raise Mistake(f"task option encoding is {used[:40]!r}, which is none. Try utf-8, utf-16 or cp1252.") from None
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        raise Mistake(
            f"{name} is not {used}: byte {at:,} cannot be read. Save it as UTF-8, or name its encoding: "
            "?encoding=cp1252."
        ) from None


def _csv(text: str, name: str, kind: str) -> tuple[list[str], Iterator[list]]:
    if "\x00" in text:
        raise Mistake(f"{name} holds zero bytes, so it is no text. Save it as CSV in UTF-8.")
    head = text.split("\n", 1)[0]
    separator = "\t" if kind == ".tsv" else max(",;\t|", key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    csv.field_size_limit(max(csv.field_size_limit(), 2**24))

    def lines() -> Iterator[list]:
        try:
            for row in rows:
                if row:
                    yield row
        except csv.Error as error:
            raise Mistake(f"{name} is no CSV that can be read: line {rows.line_num}: {error}.") from None

    found = lines()
    columns = [column.strip() for column in next(found, [])]
    if len(columns) < 2:
        raise Mistake(f"{name} needs a first line that names two columns at least, got {head[:60]!r}.")
    return _checked(name, columns), found


def _json_lines(text: str, name: str) -> Iterator[dict]:
    for number, line in enumerate(text.splitlines() if "\u2028" not in text else text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise Mistake(f"{name} is no JSON Lines: line {number} is no JSON object ({line[:40]!r}).") from None
        if not isinstance(found, dict):
            raise Mistake(f"{name} is no JSON Lines: line {number} is no JSON object ({line[:40]!r}).")
        yield found


def _listed_objects(text: str, name: str) -> Iterator[dict]:
    """The objects of one JSON list, as OlympiadBench's own repository has its problems."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = f"{error.msg} in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "it nests too deep"
        raise Mistake(f"{name} begins as a JSON list and is none that can be read: {why}. Save it again.") from None
    for number, found in enumerate(rows, 1):
        if not isinstance(found, dict):
            raise Mistake(f"{name} is a JSON list whose entry {number} is no JSON object ({str(found)[:40]!r}).")
        yield found


def _of_objects(rows: Iterator[dict], name: str) -> tuple[list[str], Iterator[list]]:
    # The columns are those of the first 100 objects; one that comes later is no prompt.
    first = []
    for found in rows:
        first.append(found)
        if len(first) == 100:
            break
    columns = _checked(name, list(dict.fromkeys(key for found in first for key in found)))

    def cells() -> Iterator[list]:
        for found in first:
            yield [found.get(column) for column in columns]
        for found in rows:
            yield [found.get(column) for column in columns]

    return columns, cells()


def _parquet(path, name, prompt, answer) -> tuple[list[str], Iterator[list]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        columns = _checked(name, list(file.schema_arrow.names))
        if file.metadata.num_rows > MAX_ROWS:
            raise Mistake(f"{name} has {file.metadata.num_rows:,} rows, at most {MAX_ROWS:,} are read. Cut it.")
        wanted = {
            columns[_column(name, columns, prompt, PROMPTS, "prompt")],
            columns[
                _column(name, columns, answer, ANSWERS, "answer", columns.index(prompt) if prompt in columns else None)
            ],
        }
        kept = [column for column in columns if column in wanted]
        size = sum(
            file.metadata.row_group(group).column(i).total_uncompressed_size
            for group in range(file.metadata.num_row_groups)
            for i in range(file.metadata.num_columns)
            if file.metadata.row_group(group).column(i).path_in_schema.split(".")[0] in wanted
        )
        if size > MAX_BYTES:
            raise Mistake(f"{name} unpacks to {size / 2**20:,.0f} MB, at most {MAX_BYTES // 2**20} are read. Cut it.")
        found = file.read(columns=kept).to_pydict()
    except (pa.ArrowException, OSError, ValueError, UnicodeError) as error:
        if isinstance(error, Mistake):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Mistake(f"{name} is no Parquet file that can be read: {reason[:160].rstrip('.')}.") from None
    rows = zip(*(found.get(column, [None] * file.metadata.num_rows) for column in columns), strict=True)
    return columns, map(list, rows)


def _checked(name: str, columns: list[str]) -> list[str]:
    if len(columns) > MAX_COLUMNS:
        raise Mistake(f"{name} has {len(columns)} columns, at most {MAX_COLUMNS} are read.")
    if twice := next((column for column in columns if column and columns.count(column) > 1), None):
        raise Mistake(f"{name} has two columns {twice[:60]!r}. Rename one of them.")
    return columns
