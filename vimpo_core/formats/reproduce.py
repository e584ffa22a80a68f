"""Python and command lines that give the numbers of a solution again, ready to be pasted. Whatever they quote is
quoted.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from vimpo_core.solutions import reading
from vimpo_core.solutions.pieces import readable
from vimpo_core.types import CreditTrace

_COLUMNS = ("logprob", "ref_logprob", "kl")


@dataclass(frozen=True)
class Place:
    """Where a solution can be found again: a step of a run, and the folder of runs if it is not the usual one.

    `is_recorded`: it is among the step's solutions; else it was typed. `has_snapshot`: the step's adapter was kept.
    """

    run_id: str
    step: int
    is_recorded: bool
    has_snapshot: bool
    runs_dir: str = ""


def python_code(trace: CreditTrace, place: Place, beta: float) -> str:
    """A script that prints the token credit: of the recorded numbers where there are some, else scored again."""
    folder = f"Path({place.runs_dir!r})" if place.runs_dir else "default_runs_dir()"
    imports = ["from vimpo_core import reports, views"]
    imports.insert(0, "from pathlib import Path\n") if place.runs_dir else imports.append(
        "from vimpo_core.paths import default_runs_dir"
    )
    if place.is_recorded:
        found = f"trace = store.trace(step={place.step}, group_id={trace.group_id}, sample_idx={trace.sample_idx})"
    else:
        imports.append("from vimpo_core.service import score_solution")
        found = (
            f"prompt, solution = {trace.prompt_text!r}, {readable(trace.text)!r}\n"
            f"(trace,) = score_solution(store.run_dir, {place.step}, prompt, solution)"
        )
    known = [name for name in _COLUMNS if getattr(trace, name) is not None]
    printed = ["t", "repr(text)", *(f"trace.{name}[t]" for name in known)]
    credit = ""
    if not reading.missing(trace):
        kl = f" - beta {name}" if (name := reading.kl_name(trace)) else ""
        credit = f"delta = views.credit_of(trace, beta={beta!r})  # beta (log pi - log pi_ref){kl}\n"
        printed.append("delta[t]")
    return (
        "\n".join(imports) + f"\n\nstore = reports.find_run({folder}, {place.run_id!r})\n{found}\n{credit}"
        f"for t, text in enumerate(trace.text):\n    print({', '.join(printed)})\n"
    )


def score_command(trace: CreditTrace, place: Place, beta: float) -> str | None:
    """Score the solution again under the step's adapter; None where there is none, or its text has no place in a
    shell.
    """
    texts = trace.prompt_text, readable(trace.text)
    if not place.has_snapshot or not all(text.isprintable() for text in texts):
        return None
    # --name=value, so that a solution that starts with a dash is not taken for an option.
    return _command(
        "score",
        place,
        f"--beta {beta!r}",
        *(f"{name}={shlex.quote(text)}" for name, text in zip(("--prompt", "--solution"), texts, strict=True)),
    )


def export_command(trace: CreditTrace, place: Place, beta: float, gae_lambda: float, format: str) -> str | None:
    """Write the recorded solution to a file; None for one that was typed."""
    if not place.is_recorded:
        return None
    which = f"--group {trace.group_id} --sample {trace.sample_idx} --beta {beta!r} --gae-lambda {gae_lambda!r}"
    return _command("export", place, which, f"--format {format}")


def truth_command(report: dict, runs_dir: str = "") -> str:
    """Measure a scorecard again: `report` as `truth_report.truth_report` makes it; `runs_dir` if it is not the usual
    folder.
    """
    which = f"--set {report['set']} --solutions {report['solutions']} --rollouts {report['rollouts']}"
    place = Place(report["run_id"], report["step"], is_recorded=False, has_snapshot=True, runs_dir=runs_dir)
    return _command("truth", place, which, f"--seed {report['seed']}")


def same_command(report: dict, runs_dir: str = "") -> str:
    """Measure a report of `same_report.same_report` again; runs_dir as in `truth_command`."""
    first, *others = report["runs"]
    which = f"--set {report['set']} --with {' '.join(shlex.quote(run['run_id']) for run in others)}"
    place = Place(first["run_id"], first["step"], is_recorded=False, has_snapshot=True, runs_dir=runs_dir)
    return _command("truth", place, which, f"--solutions {report['solutions']} --seed {report['seed']}")


def _command(name: str, place: Place, *rest: str) -> str:
    folder = [f"--runs-dir {shlex.quote(place.runs_dir)}"] if place.runs_dir else []
    return " ".join(
        [
            "python -m vimpo_core",
            name,
            shlex.quote(place.run_id),
            f"--step {place.step}",
            *rest,
            *folder,
            "--json",
        ]
    )
