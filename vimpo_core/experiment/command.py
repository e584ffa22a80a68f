"""python -m vimpo_core experiment: what it prints, and where it writes."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from tqdm import tqdm

from vimpo_core.experiment import on_ray, pins, report, runner
from vimpo_core.experiment import plan as plans
from vimpo_core.experiment.plan import Plan
from vimpo_core.experiment.runner import Progress
from vimpo_core.experiment.tables import NothingToReport
from vimpo_core.mistake import Mistake

_BAR = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}, {remaining} left]"


def dry_run(plan: Plan, out: Path, jobs: int) -> dict:
    """How many runs there are and how long those that are not done will take, roughly; None where no finished run says
    what one of their model costs."""
    found = runner.forecast(plan, out)
    minutes = None if found.cpu_seconds is None else found.cpu_seconds / 60
    return {
        "tuning_runs": found.tuning_runs,
        "final_runs": found.final_runs,
        "done": found.done,
        "cpu_minutes": minutes,
        "wall_minutes": None if minutes is None else minutes / jobs,
    }


def carry_out(plan: Plan, out: Path, jobs: int, ray_address: str | None = None) -> dict[str, str]:
    """Run what is left, on a Ray cluster where one is named, with a line of progress; returns run_id -> sentence for
    runs that came to no result.
    """
    on = on_ray.places(ray_address, lambda sentence: tqdm.write(sentence, file=sys.stderr)) if ray_address else None
    with tqdm(desc="starting", file=sys.stderr, bar_format=_BAR, smoothing=0) as bar:

        def show(progress: Progress) -> None:
            counted = f"{progress.stage}: {progress.runs_done} of {progress.runs_total} runs"
            if counted == bar.desc and not sys.stderr.isatty():
                return  # a log gets a line a run, not one a second
            bar.total, bar.initial, bar.n = progress.steps_total, progress.steps_found, progress.steps_done
            bar.set_description_str(counted)

        return runner.run_all(plan, out, jobs, show, make_places=on)


def default_out(file: Path) -> Path:
    """experiments/clean/ for experiments/clean.toml."""
    return file.with_suffix("")


def command_line(file: Path, out: Path) -> str:
    """The command that carries out the experiment, without what only says how fast or how much of it."""
    where = [] if out == default_out(file) else ["--out", str(out)]
    return shlex.join(["python", "-m", "vimpo_core", "experiment", str(file), *where])


def experiment(
    file: Path, out: Path | None, jobs: int | None, is_dry: bool, report_only: bool, ray_address: str | None = None
) -> dict:
    """Do what the command line asks; the dict is printed. `failed` names runs without a result and why.

    jobs: runs at a time on this machine, None for the number of cores. ray_address: of the cluster that carries them
    out instead.

    Raises:
        Mistake: the file is wrong, no final run has a result to report, or the experiment is already running.
        OSError: a file cannot be read or written.
    """
    if jobs is not None and ray_address:
        raise Mistake(
            "--jobs is of this machine alone: on Ray a run takes the CPUs of its setting threads. Leave it out."
        )
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    if jobs < 1:
        raise Mistake(f"jobs must be at least 1, got {jobs}. Default: the number of cores.")
    plan, out = plans.read(file), out or default_out(file)
    plan = pins.as_settled(plan, out) if is_dry or report_only else pins.settled(plan, out)
    if is_dry:
        return dry_run(plan, out, jobs)
    failed = {} if report_only else carry_out(plan, out, jobs, ray_address)
    try:
        written = report.write(plan, out, command_line(file, out))
    except NothingToReport as error:
        advice = f"The first failure: {next(iter(failed.values()))}" if failed else "Run it without --report-only."
        raise Mistake(f"{error} {advice}") from error
    return {**written, "failed": failed}
