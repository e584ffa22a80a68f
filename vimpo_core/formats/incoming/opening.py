"""A file that somebody brought, opened for a reader: what kind it is by its first bytes, and its records within limits.

JSON Lines, one JSON document, CSV and Parquet. What could run code when it is read (pickles, and what holds them) is
refused by its first bytes. All of it is meant for a process of its own (`limits`): nothing here trusts a file.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from vimpo_core.formats.incoming.rows import Refusal, Sample
from vimpo_core.mistake import Mistake

MAX_FILE = 4 * 2**30
MAX_DOCUMENT = 256 * 2**20
"""Bytes of one JSON document, which is parsed at once."""
MAX_LINE = 64 * 2**20
MAX_BATCH = 192 * 2**20
"""Bytes that a few rows of a Parquet file may take once they are unpacked."""
MAX_COLUMNS = 500
BATCH = 32
"""Rows of a Parquet file that are unpacked at once."""
LOOKED_AT = 12
"""Records of a file from which its format is told."""
HOW_TO_CONVERT = "docs/bring_a_run.md has 15 lines that convert it on your own machine"
_HEAD = 4096

_REFUSED = (
    (b"PK\x03\x04", "is a zip archive, as torch.save and Inspect write: it can hold code, so it is not opened"),
    (b"\x93NUMPY", "is a NumPy file, which can hold pickled objects, so it is not opened"),
    (b"\x1f\x8b", "is compressed with gzip. Unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd. Unpack it first"),
    (b"ARROW1", "is an Arrow file. Write it as Parquet"),
    (b"SQLite format 3\0", "is a database. A run of this lab is brought as its folder, copied into the folder of runs"),
)
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclass(eq=False)
class File:
    """A file that somebody brought. name: what it is called on the page, never opened; share: how much of it was read.

    Everything raises Mistake, one sentence, where the file is not what it seems.
    """

    path: Path
    name: str
    share: float = 0.0

    @cached_property
    def size(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def fingerprint(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def forget(self) -> None:
        """Let go of a document that was parsed, once its rows were read."""
        self.__dict__.pop("_parsed_document", None)
        self.__dict__.pop("sample", None)

    @cached_property
    def kind(self) -> str:
        """ "jsonl", "json", "csv" or "parquet", by content."""
        size = self.size
        if size == 0:
            self.refuse("is empty. There is nothing to bring")
        if size > MAX_FILE:
            self.refuse(f"has {size / 2**30:.1f} GiB; at most {MAX_FILE // 2**30} are read. Bring fewer steps")
        with open(self.path, "rb") as file:
            head = file.read(_HEAD)
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                self.refuse(f"is written in {encoding}. Save it as UTF-8")
        if head[:1] == b"\x80" and head[1:2] <= b"\x05":
            self.refuse(f"is a Python pickle, which runs code when it is opened, so it is not: {HOW_TO_CONVERT}")
        for mark, why in _REFUSED:
            if head.startswith(mark):
                self.refuse(why if "so it is not opened" not in why else f"{why}: {HOW_TO_CONVERT}")
        if head.startswith(b"PAR1"):
            return "parquet"
        text = head.removeprefix(codecs.BOM_UTF8).lstrip()
        if not text and size > _HEAD:
            self.refuse("begins with nothing but spaces. Bring JSON Lines, JSON, CSV or Parquet")
        if not text:
            self.refuse("is empty but for spaces. There is nothing to bring")
        if text[:1] in (b"{", b"["):
            return self._json_kind()
        if b"\0" in head:
            self.refuse("is neither JSON, CSV nor Parquet")
        if b"," not in head.partition(b"\n")[0]:
            self.refuse("is neither JSON, CSV nor Parquet: its first line holds no comma")
        return "csv"

    def _json_kind(self) -> str:
        """JSON Lines where the first line is whole, one document where it goes on."""
        with open(self.path, "rb") as file:
            line = b""
            while not line.strip():
                line = file.readline(MAX_LINE)
            rest = file.read(_HEAD).strip()
        is_line = line.lstrip(codecs.BOM_UTF8).lstrip().startswith(b"{")
        try:
            return "jsonl" if is_line and isinstance(self.parsed(line), dict) else "json"
        except Mistake:  # a document that goes on, or a broken line among lines
            return "jsonl" if rest.startswith(b"{") else "json"

    def parsed(self, line: bytes) -> Any:
        """What a line or document of JSON says; nan and infinity are what `rows.number` takes for missing."""
        try:
            return json.loads(line.decode("utf-8-sig"), object_pairs_hook=_unique)
        except UnicodeDecodeError:
            raise Mistake("it is not UTF-8.") from None
        except RecursionError:
            raise Mistake("it is nested too deeply.") from None
        except json.JSONDecodeError as error:
            raise Mistake(f"it is no JSON ({error.msg}).") from None
        except _Twice as error:
            raise Mistake(f"it names {error} twice.") from None
        except ValueError:  # a number of thousands of digits
            raise Mistake("it holds a number with too many digits.") from None

    @cached_property
    def sample(self) -> Sample:
        records: list[dict[str, Any]] = []
        why = ""
        for found in islice(self.records(), LOOKED_AT):
            if isinstance(found, Refusal):
                why = why or f"{found.place}: {found.why}"
            else:
                records.append(_cut(found[1]))
        if not records:
            self.refuse(f"holds no record that can be read ({why.rstrip('.')})" if why else "holds no rows")
        if self.kind == "parquet":
            schema = self._parquet().schema_arrow
            columns = {name: str(schema.field(i).type) for i, name in enumerate(schema.names)}
            metadata = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in _metadata(schema)}
            return Sample(self.name, self.kind, columns, tuple(records), metadata)
        columns = {}
        for record in records:
            for name, value in record.items():
                if columns.get(name, "NoneType") == "NoneType":
                    columns[name] = type(value).__name__
        return Sample(self.name, self.kind, columns, tuple(records))

    def records(self) -> Iterator[tuple[str, dict[str, Any]] | Refusal]:
        """Place and values of every record, in order."""
        by_kind = {"jsonl": self._lines, "json": self._document, "csv": self._cells, "parquet": self._batches}
        return by_kind[self.kind]()

    def refuse(self, why: str) -> NoReturn:
        raise Mistake(f"{self.name} {why}.")

    # ---- JSON

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]] | Refusal]:
        with open(self.path, "rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                place, self.share = f"{self.name}, line {number}", file.tell() / max(1, self.size)
                if len(line) > MAX_LINE:
                    self.refuse(f"has a line of more than {MAX_LINE // 2**20} MiB. Write a record a line")
                if not line.strip():
                    continue
                try:
                    record = self.parsed(line)
                except Mistake as error:
                    is_torn = not line.endswith(b"\n") and not _is_closed(line)
                    yield Refusal(place, "the last line is cut off." if is_torn else str(error))
                    continue
                if isinstance(record, dict):
                    yield place, record
                else:
                    yield Refusal(place, "it is no record.")

    def _document(self) -> Iterator[tuple[str, dict[str, Any]] | Refusal]:
        if self.size > MAX_DOCUMENT:
            self.refuse(f"is one document of more than {MAX_DOCUMENT // 2**20} MiB. Write it as JSON Lines")
        found = self._parsed_document
        if isinstance(found, dict):
            yield self.name, found
            return
        for index, record in enumerate(found):
            place = f"{self.name}, record {index + 1}"
            if isinstance(record, dict):
                yield place, record
            else:
                yield Refusal(place, "it is no record.")

    @cached_property
    def _parsed_document(self) -> Any:
        try:
            return self.parsed(self.path.read_bytes())
        except Mistake as error:
            self.refuse(f"cannot be read: {str(error).rstrip('.')}")

    # ---- CSV

    def _cells(self) -> Iterator[tuple[str, dict[str, Any]] | Refusal]:
        csv.field_size_limit(min(MAX_LINE, sys.maxsize))
        try:
            with open(self.path, encoding="utf-8-sig", newline="") as file:
                lines = csv.reader(file, strict=True)
                names = next(lines, [])
                if len(names) > MAX_COLUMNS or len(set(names)) < len(names):
                    self.refuse("has too many columns, or two of one name, in its first line")
                for cells in lines:
                    place = f"{self.name}, line {lines.line_num}"
                    if len(cells) == len(names):
                        yield place, {name: cell if cell else None for name, cell in zip(names, cells, strict=True)}
                    elif cells:
                        yield Refusal(place, f"it does not have the {len(names)} cells of the first line.")
        except UnicodeDecodeError:
            self.refuse("is not UTF-8. Save it as UTF-8")
        except csv.Error as error:
            self.refuse(f"is no CSV that can be read ({error})")

    # ---- Parquet

    def _parquet(self):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            opened = pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.refuse(f"is no Parquet file that can be read, or is cut off ({_first_words(error)})")
        if len(opened.schema_arrow.names) > MAX_COLUMNS:
            self.refuse(f"has more than {MAX_COLUMNS} columns")
        return opened

    def _batches(self) -> Iterator[tuple[str, dict[str, Any]] | Refusal]:
        import pyarrow as pa

        number = 0
        try:
            with self._parquet() as opened:
                names = opened.schema_arrow.names
                if len(set(names)) < len(names):
                    self.refuse("has two columns of one name")
                for batch in opened.iter_batches(batch_size=BATCH, use_threads=False):
                    if batch.get_total_buffer_size() > MAX_BATCH and batch.nbytes > MAX_BATCH:
                        self.refuse(
                            f"unpacks to more than {MAX_BATCH / 2**20:g} MiB in {BATCH} rows, so it is not read on"
                        )
                    columns = {name: _values(batch.column(i)) for i, name in enumerate(names)}
                    for index in range(batch.num_rows):
                        number += 1
                        self.share = number / opened.metadata.num_rows
                        values = {name: column[index] for name, column in columns.items()}
                        yield f"{self.name}, row {number}", values
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self.refuse(f"cannot be read beyond row {number} ({_first_words(error)})")


class _Twice(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(repr(next(name for name in names if names.count(name) > 1)[:60]))
    return found


def _is_closed(line: bytes) -> bool:
    return line.rstrip().endswith(b"}")


def _cut(value: Any, depth: int = 0) -> Any:
    """A record without the bulk of its lists."""
    if isinstance(value, dict):
        return {name: _cut(one, depth + 1) for name, one in value.items()} if depth < 8 else {}
    if isinstance(value, list | tuple):
        return [_cut(one, depth + 1) for one in value[:4]] if depth < 8 else []
    return value


def _values(column) -> list[Any]:
    """Python values of a column; lists of numbers, of which there are many, as NumPy slices made at once."""
    import pyarrow as pa

    kind = column.type
    is_numbers = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if is_numbers and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        flat = column.flatten()
        if not (flat.null_count and pa.types.is_integer(kind.value_type)):
            numbers = flat.to_numpy(zero_copy_only=False)
            lengths = column.value_lengths().to_pylist()
            found, start = [], 0
            for length in lengths:
                found.append(None if length is None else numbers[start : start + length])
                start += length or 0
            return found
    return column.to_pylist()


def _metadata(schema) -> list[tuple[bytes, bytes]]:
    return list((schema.metadata or {}).items())


def _first_words(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:160].rstrip(".")
