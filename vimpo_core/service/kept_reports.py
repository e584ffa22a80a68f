"""Scorecards kept with a run that never changes, so that nobody waits for them: `truth.json` in the run's folder.

A kept report is read only where it is what `truth` would measure now: it was made by this version of the method, for
the same settings, adapter and base weights, with the options asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.files import write_whole
from vimpo_core.mistake import Mistake
from vimpo_core.paths import BUNDLED_MODEL
from vimpo_core.runs.store import REPORTS_NAME, RunStore

METHOD = 2
"""Raise it whenever `truth_report.truth_report` or `same_report.same_report` measures something else, or the same in
another way, and make the files again (`make-demos --reports-only`). A test measures the small ones afresh and fails
where this was forgotten."""

_OPTIONS = ("step", "set", "solutions", "rollouts", "seed")


def kept(run_dir: Path, step: int, which: str, solutions: int, rollouts: int, seed: int = 0) -> dict | None:
    """The report that `truth_report.truth_report` would give, if it was kept and nothing it rests on has changed; else
    None.
    """
    report = _read(run_dir / REPORTS_NAME).get(_name(step, which, solutions, rollouts, seed))
    if report is None:
        return None
    made_with = report.pop("fingerprint", None)
    try:
        with RunStore.open(run_dir) as store:
            is_same = made_with is not None and made_with == fingerprint(store, step)
    except (OSError, Mistake):
        return None  # the page says what is wrong with the run
    return report if is_same else None


def kept_same(places: Sequence[tuple[Path, int]], solutions: int, seed: int = 0) -> dict | None:
    """The report that `same_report.same_report` would give of these runs at these steps, in this order, if it was kept
    with the first and nothing it rests on has changed; else None.
    """
    runs = [(run_dir.name, step) for run_dir, step in places]
    report = _read(places[0][0] / REPORTS_NAME).get(_name_of_same(runs, solutions, seed))
    if report is None:
        return None
    made_with = report.pop("fingerprint", None)
    try:
        is_same = made_with is not None and made_with == _fingerprint_of_all(places)
    except (OSError, Mistake):
        return None
    return report if is_same else None


def keep(run_dir: Path, reports: Iterable[dict], of_same: Iterable[dict] = ()) -> None:
    """Write the reports of a run, in place of those kept before; of_same: those that begin with it and go on with runs
    of the same folder."""
    with RunStore.open(run_dir) as store:
        named = {
            _name(*(report[option] for option in _OPTIONS)): report
            | {"fingerprint": fingerprint(store, report["step"])}
            for report in reports
        }
    for report in of_same:
        runs = [(run["run_id"], run["step"]) for run in report["runs"]]
        places = [(run_dir.parent / run_id, step) for run_id, step in runs]
        name = _name_of_same(runs, report["solutions"], report["seed"])
        named[name] = report | {"fingerprint": _fingerprint_of_all(places)}
    write_whole(run_dir / REPORTS_NAME, json.dumps({"reports": named}, allow_nan=False, separators=(",", ":")) + "\n")


def fingerprint(store: RunStore, step: int) -> str | None:
    """Of everything a report of that step rests on; None for a run whose base is not the bundled model.

    Raises:
        Mistake: there is no such snapshot.
    """
    config = store.config()
    if config.model != "bundled":
        return None
    parts = [repr((METHOD, store.run_id, _changed(config))).encode(), store.snapshot(step)]
    parts += [path.read_bytes() for path in sorted(BUNDLED_MODEL.glob("*")) if path.is_file()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _fingerprint_of_all(places: Sequence[tuple[Path, int]]) -> str | None:
    parts = []
    for run_dir, step in places:
        with RunStore.open(run_dir) as store:
            parts.append(fingerprint(store, step))
    return None if None in parts else hashlib.sha256("".join(map(str, parts)).encode()).hexdigest()


def _changed(config: TrainConfig) -> list[tuple]:
    """The settings that are not the default: a setting that a later version adds changes no run made before."""
    return [
        (f.name, getattr(config, f.name)) for f in dataclasses.fields(config) if getattr(config, f.name) != f.default
    ]


def _name(step: int, which: str, solutions: int, rollouts: int, seed: int) -> str:
    return f"step {step}, {which}, {solutions} solutions, {rollouts} tries, seed {seed}"


def _name_of_same(runs: Sequence[tuple[str, int]], solutions: int, seed: int) -> str:
    return f"same, {', '.join(f'{run_id} at step {step}' for run_id, step in runs)}, {solutions} solutions, seed {seed}"


def _read(path: Path) -> dict[str, dict]:
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))["reports"]
        return {name: dict(report) for name, report in reports.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # there is none, or a damaged one: as good as none
