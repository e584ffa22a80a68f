"""A solution as a file to take along: what the Inspect page offers and `python -m vimpo_core export` writes."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vimpo_core import __version__
from vimpo_core.files import write_whole
from vimpo_core.formats import html_page, reproduce, trace_files
from vimpo_core.formats.about import about_film, about_solution, reward_text, run_words, verdict
from vimpo_core.formats.reproduce import Place
from vimpo_core.mistake import Mistake
from vimpo_core.runs import labels, recorded_settings
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions import lenses, reading
from vimpo_core.solutions.visible_text import visible_text, without_commands
from vimpo_core.types import CreditTrace
from vimpo_core.views import credit_view


@dataclass(frozen=True)
class Taken:
    """One solution with everything its files say.

    header: of the run, from `header_of`; traces: all solutions of the step, for GRPO and whitening (or the typed one
    alone); token, lens: what the page opens at.
    """

    header: dict
    traces: Sequence[CreditTrace]
    index: int
    place: Place
    beta: float
    gae_lambda: float
    token: int = 0
    lens: str = lenses.DEFAULT_LENS

    @property
    def trace(self) -> CreditTrace:
        return self.traces[self.index]


@dataclass(frozen=True)
class Format:
    """A kind of file: what its button says, its media type, what it holds in a sentence, and how it is written."""

    label: str
    media_type: str
    help: str
    write: Callable[[Taken], bytes]


def header_of(store: RunStore, step: int) -> dict:
    """The run's header with the settings that are known and the fingerprint of the step's adapter, None where it was
    not kept or is damaged; without tags and note, which are about the run.
    """
    header = recorded_settings.header_for_others(labels.without(store.header()), store.config())
    try:
        adapter = hashlib.sha256(store.snapshot(step)).hexdigest()
    except Mistake:
        adapter = None
    writer = {"name": "VIMPO Lab", "version": __version__}
    return header | {"model": header["model"] | {"adapter_sha256": adapter}, "writer": writer}


def recorded(
    store: RunStore, step: int, group_id: int, sample_idx: int, beta: float, gae_lambda: float, runs_dir: str = ""
) -> Taken:
    """A recorded solution. Raises Mistake naming what the run or the step has."""
    store.trace(step, group_id, sample_idx)
    traces = store.traces(step)
    index = next(i for i, t in enumerate(traces) if (t.group_id, t.sample_idx) == (group_id, sample_idx))
    place = Place(store.run_id, step, True, step in store.snapshot_steps(), runs_dir)
    token = min(traces[index].first_wrong or 0, max(0, len(traces[index].text) - 1))
    return Taken(header_of(store, step), traces, index, place, beta, gae_lambda, token)


def file_name(taken: Taken, suffix: str) -> str:
    """A name that tells the solutions of a run apart, in characters that every file system takes."""
    run = re.sub(r"[^A-Za-z0-9._-]+", "-", taken.place.run_id)
    which = f"prompt{taken.trace.group_id}-solution{taken.trace.sample_idx}" if taken.place.is_recorded else "typed"
    return f"{run}-step{taken.place.step}-{which}.{suffix}"


def write(taken: Taken, format: str, out: Path) -> int:
    """Write a file, whole or not at all; returns its size in bytes. Raises OSError where it cannot be written."""
    content = FORMATS[format].write(taken)
    write_whole(out, content)
    return len(content)


# --- the files -------------------------------------------------------------------------------------------------------


def _html(taken: Taken) -> bytes:
    payload = credit_view.inspector_payload(taken.traces, taken.index, taken.beta, taken.gae_lambda)
    payload |= {
        "token": taken.token,
        "lens": taken.lens,
        "name": credit_view.credit_name(taken.header["algorithm"], tool_of(taken.header)),
        "about": about(taken),
    }
    trace = taken.trace
    # `visible_text` cuts what is long: a title is one line.
    page = {
        "title": f"{visible_text(trace.prompt_text)} token by token",
        "verdict": verdict(trace),
        "facts": facts(taken),
        "code": code(taken),
    }
    return html_page.solution_page(payload, page).encode("utf-8")


def _json(taken: Taken) -> bytes:
    return trace_files.to_json(taken.trace, taken.header).encode("ascii")


def _csv(taken: Taken) -> bytes:
    return trace_files.to_csv(*_table(taken)).encode("ascii")


def _parquet(taken: Taken) -> bytes:
    traces, index, *rest = _table(taken)
    return trace_files.to_parquet(traces, index, taken.header, *rest)


def _table(taken: Taken) -> tuple:
    return taken.traces, taken.index, taken.place.run_id, taken.beta, taken.gae_lambda


FORMATS: dict[str, Format] = {
    "html": Format(
        "Web page",
        "text/html",
        "A page of its own: strips, every lens, value curve and formula. Opens anywhere, without a network.",
        _html,
    ),
    "json": Format(
        "JSON",
        "application/json",
        "Everything that was measured, with the run's header and where each array comes from (schema version 1).",
        _json,
    ),
    "csv": Format(
        "CSV",
        "text/csv",
        "A line a token for a spreadsheet, with credit and value at this beta and lambda.",
        _csv,
    ),
    "parquet": Format(
        "Parquet",
        "application/vnd.apache.parquet",
        "The same table with exact types; its metadata holds the whole record.",
        _parquet,
    ),
}
"""name, which is also the suffix -> how it is written."""


# --- the words -------------------------------------------------------------------------------------------------------


def facts(taken: Taken) -> list[list[str]]:
    """[name, text] of where a solution comes from, for a page that stands on its own."""
    trace, header = taken.trace, taken.header
    where = "typed by hand"
    if taken.place.is_recorded:
        where = f"prompt {trace.group_id}, solution {trace.sample_idx} of step {trace.step} (counted from 0)"
    start = reading.anchor(trace, taken.beta)
    v0 = f"{start:.4g}" if math.isfinite(start) else f"none: {reading.why_no_anchor(trace)}"
    said = trace_files.provenance(trace)
    how = "; ".join(f"{word}: {', '.join(n for n in said if said[n] == word)}" for word in dict.fromkeys(said.values()))
    found = [
        *(_brought(taken, said) if tool_of(header) else _trained_here(taken)),
        ["solution", where],
        [f"reward, {reading.anchor_name(trace)}", f"{reward_text(trace)}, {v0}"],
        ["beta, lambda", f"{taken.beta:g} reward per nat, {taken.gae_lambda:g}{_whose_settings(header)}"],
        ["arrays", how],
        *([["how it is read", note]] if (note := reading.note(trace)) else []),
    ]
    return [[name, without_commands(text)] for name, text in found]


def _whose_settings(header: dict) -> str:
    unknown = [word for name, word in (("beta", "beta"), ("gae_lambda", "lambda")) if header.get(name) is None]
    return f" (to read by: the run's own {' and '.join(unknown)} not recorded)" if tool_of(header) and unknown else ""


def about(taken: Taken, is_film: bool = False) -> dict:
    """What a picture or a film of the solution says above it."""
    header = taken.header
    run = run_words(header.get("name") or "", header["run_id"], header["algorithm"], tool_of(header))
    say = about_film if is_film else about_solution
    return say(taken.trace, run, taken.beta, taken.gae_lambda, is_typed=not taken.place.is_recorded)


def tool_of(header: dict) -> str:
    """The tool that a run was brought from; "" of one that was trained here."""
    return (header.get("imported") or {}).get("tool", "")


def _trained_here(taken: Taken) -> list[list[str]]:
    header, model = taken.header, taken.header["model"]
    return [
        ["run", f"{header.get('name') or header['run_id']} ({header['run_id']}, {header['algorithm']})"],
        ["policy", f"after {taken.place.step} updates, adapter {_short(model.get('adapter_sha256'))}"],
        ["model", f"{model.get('id')}, {_short(model.get('sha256'))}; reference: the same without the adapter"],
        [
            "log-probabilities",
            f"natural logarithm, temperature {header.get('temperature', 1):g}, KL "
            f"{header.get('kl_estimator', 'exact')}",
        ],
    ]


def _brought(taken: Taken, said: dict[str, str]) -> list[list[str]]:
    """The same of a run that another tool trained: what it said of itself, and what was scored again with which
    model."""
    header, tool = taken.header, tool_of(taken.header)
    names = {"policy": header["model"].get("id"), "reference": header.get("ref", {}).get("id")}
    scored = {
        name: said[array]
        for name, array in (("policy", "logprob"), ("reference", "ref_logprob"), ("KL", "kl"))
        if said.get(array, "").startswith("recomputed")
    }
    temperature = header.get("temperature")
    at = "not recorded" if temperature is None else f"{temperature:g}"
    found = [
        ["run", f"{header.get('name') or header['run_id']} ({header['run_id']}), brought from {tool}"],
        ["policy", f"of step {taken.place.step}, adapter not recorded"],
        ["model", "; ".join(f"{name}: {value or f'not recorded by {tool}'}" for name, value in names.items())],
        ["temperature", f"of sampling: {at}"],
    ]
    if scored:
        found.append(["scored again", "; ".join(f"{name} {how}" for name, how in scored.items())])
    return found


def code(taken: Taken) -> dict[str, str]:
    """What to paste to get the numbers again, by where to paste it."""
    trace, place = taken.trace, taken.place
    shell = [
        reproduce.score_command(trace, place, taken.beta),
        reproduce.export_command(trace, place, taken.beta, taken.gae_lambda, "json"),
    ]
    return {
        "Python": reproduce.python_code(trace, place, taken.beta),
        "Command line": "\n".join(line for line in shell if line),
    }


def _short(sha256: str | None) -> str:
    return f"sha256 {sha256[:12]}…" if sha256 else "not kept"
