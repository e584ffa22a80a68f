"""A whole run as one file: what `python -m vimpo_core export-run` and the page's button write, a step at a time."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vimpo_core import __version__
from vimpo_core.files import writing_whole
from vimpo_core.formats import trace_files
from vimpo_core.formats.outgoing import table, unipo
from vimpo_core.mistake import Mistake
from vimpo_core.runs import recorded_settings
from vimpo_core.runs.store import RunStore
from vimpo_core.types import CreditTrace

OnStep = Callable[[int, int], None]
"""Told how many of how many steps are written."""
Read = Callable[[int], list[CreditTrace]]
"""The solutions of a step."""


@dataclass(frozen=True)
class RunFormat:
    """A kind of file: what its button says, its suffixes, its media type, what it holds in a sentence, how it is
    written.
    """

    label: str
    suffixes: tuple[str, ...]
    media_type: str
    help: str
    write: Callable[[RunStore, dict, Read, BinaryIO, str], None]


def header_of(store: RunStore, steps: Sequence[int]) -> dict:
    """The run's header with the settings that are known, who wrote the file, and the steps whose solutions are in
    it.
    """
    header = recorded_settings.header_for_others(store.header(), store.config())
    return header | {"writer": {"name": "VIMPO Lab", "version": __version__}, "steps": list(steps)}


def write(
    store: RunStore, to: str, out: Path, steps: Sequence[int] | None = None, on_step: OnStep | None = None
) -> dict:
    """Write the recorded solutions of a run, of some steps or of all, whole or not at all.

    Returns {"steps", "solutions", "bytes", "remarks"}: what is in the file, and what its format asks for and the run
    does not have.

    Raises:
        Mistake: no such format, a suffix that its readers refuse, a step without solutions.
        OSError: it cannot be written.
    """
    if to not in FORMATS:
        raise Mistake(f"--to must be one of {', '.join(FORMATS)}, got {to}.")
    suffix = out.suffix.lower()
    if suffix not in FORMATS[to].suffixes:
        raise Mistake(
            f"{FORMATS[to].label} is read from files that end in {' or '.join(FORMATS[to].suffixes)}, got {out.name}. "
            "Rename it."
        )
    chosen = _chosen(store, steps)
    with writing_whole(out) as file:
        solutions = _into(file, store, to, chosen, suffix, on_step)
        size = file.tell() if file.seekable() else None
    remarks = unipo.remarks(store, chosen) if to == "unipo" else []
    return {"steps": len(chosen), "solutions": solutions, "bytes": size, "remarks": remarks}


def content(store: RunStore, to: str) -> bytes:
    """What `write` writes of the whole run. Raises Mistake where it kept no solutions."""
    file = io.BytesIO()
    _into(file, store, to, _chosen(store, None), FORMATS[to].suffixes[0], None)
    return file.getvalue()


def _into(file: BinaryIO, store: RunStore, to: str, chosen: Sequence[int], suffix: str, on_step: OnStep | None) -> int:
    """Write the steps chosen; returns how many solutions they have."""
    counts: dict[int, int] = {}

    def read(step: int) -> list[CreditTrace]:
        if on_step:
            on_step(len(counts), len(chosen))
        traces = store.traces(step)
        counts[step] = len(traces)
        return traces

    FORMATS[to].write(store, header_of(store, chosen), read, file, suffix)
    if on_step:
        on_step(len(chosen), len(chosen))
    return sum(counts.values())


def file_name(run_id: str, to: str) -> str:
    """A name that tells runs apart, in characters that every file system takes."""
    run = re.sub(r"[^A-Za-z0-9._-]+", "-", run_id)
    return f"{run}{'-unipo' if to == 'unipo' else ''}{FORMATS[to].suffixes[0]}"


def steps_in(text: str) -> list[int]:
    """The steps that a text such as "0,10,20-40" names, ascending. Raises Mistake where it names none."""
    found: set[int] = set()
    for part in text.split(","):
        bounds = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part)
        if bounds is None:
            raise Mistake(f"steps must be numbers and ranges such as 0,10,20-40, got {text!r}.")
        first, last = int(bounds[1]), int(bounds[2] or bounds[1])
        found |= set(range(first, min(last, first + 1_000_000) + 1))
    if not found:
        raise Mistake(f"{text!r} names no step: a range goes from its smaller to its larger number.")
    return sorted(found)


def _chosen(store: RunStore, asked: Sequence[int] | None) -> list[int]:
    recorded = store.trace_steps()
    if not recorded:
        raise Mistake(f"run {store.run_id} kept no solutions. Choose another run.")
    if asked is None:
        return recorded
    chosen = [step for step in recorded if step in set(asked)]
    if not chosen:
        some = ", ".join(map(str, recorded[:8])) + (" ..." if len(recorded) > 8 else "")
        raise Mistake(f"run {store.run_id} kept no solutions of the steps asked for. It has steps {some}")
    return chosen


def _jsonl(store: RunStore, header: dict, read: Read, file: BinaryIO, suffix: str) -> None:
    """The header's line, with the metrics of all steps, then a line a solution. ASCII: half a surrogate pair
    survives.
    """
    file.write(_line({"header": header, "metrics": store.metrics()}))
    for step in header["steps"]:
        for trace in read(step):
            file.write(_line(trace_files.record(trace)))


def _line(value: dict) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


FORMATS: dict[str, RunFormat] = {
    "jsonl": RunFormat(
        "JSONL",
        (".jsonl",),
        "application/x-ndjson",
        "The header in the first line, then a solution a line: everything that was measured (schema version 1). "
        "Bring it on Runs and it is the same run, bit for bit.",
        _jsonl,
    ),
    "parquet": RunFormat(
        "Parquet",
        (".parquet",),
        "application/vnd.apache.parquet",
        "A row a solution, its tokens in list columns with exact types; the file's metadata holds the header.",
        table.write,
    ),
    "unipo": RunFormat(
        "UNIPO",
        (".json", ".jsonl"),
        "application/json",
        "For the UNIPO viewer: python scripts/build_data.py FILE there, and it stands in its rail under the name of "
        "its algorithm, in the place of a run of the same one.",
        unipo.write,
    ),
}
"""name -> how a run is written."""
