"""What the Scorecard page asks for: a run's snapshot, a set of solutions, the measurement, and the words beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlencode

import streamlit as st

from app import cache, state, waiting
from app.sources import BUNDLED, Source
from app.text import as_plain
from app.words.findings import FIRST_WRONG, Finding, findings, seeds_finding, target_name
from vimpo_core.config import flips_text
from vimpo_core.formats.reproduce import truth_command
from vimpo_core.measure.drops import most_rollouts
from vimpo_core.measure.scorecard import SETS
from vimpo_core.service import kept_reports, scoring
from vimpo_core.service.same_report import SAME
from vimpo_core.service.same_report import WORDS as SAME_WORDS
from vimpo_core.service.truth_report import shared_report
from vimpo_core.tasks.registry import task_of

LIMIT_SECONDS = 900
SIZES = (64, 256)
SET_NAMES = {"fixed": "Fixed", "own": "Own mistakes", "style": "Style-rich", SAME: "Same mistakes"}
SEED = 0
WHAT_SETS_ARE = SETS | {SAME: SAME_WORDS}
_HEADINGS = {
    "loses": ":orange[:material/arrow_downward:] **Where implied credit loses**",
    "wins": ":blue[:material/arrow_upward:] **Where it wins**",
    "spread": ":gray[:material/scatter_plot:] **Does it degenerate?**",
    "open": ":gray[:material/drag_handle:] **What these numbers do not decide**",
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is to be measured, of one run or of several that differ in the seed alone."""

    sources: tuple[Source, ...]
    step: int
    which: str
    solutions: int
    rollouts: int


# --- choosing --------------------------------------------------------------------------------------------------------


def pick_set(source: Source, notes: list[str]) -> str:
    # Only a task that knows its steps can write a solution in another hand.
    # Nor is there a first wrong token for several policies to find.
    by_steps = task_of(source.run.config).verifies_steps
    sets = {name: words for name, words in SET_NAMES.items() if by_steps or name not in ("style", SAME)}
    help = " ".join(f"{words}: {WHAT_SETS_ARE[name]}" for name, words in sets.items())
    return state.pick("Solutions", "set", sets, "fixed", notes, help=help)


def what_the_set_is(which: str) -> str:
    said = WHAT_SETS_ARE[which]
    return (
        said if which != "own" else f"{said} Another run's are other solutions: to compare runs, choose Same mistakes."
    )


def pick_size(name: str, default: int, label: str, help: str, notes: list[str]) -> int:
    return state.pick(label, name, {size: str(size) for size in SIZES}, default, notes, parse=int, help=help)


def pick_seeds(source: Source, step: int, notes: list[str]) -> tuple[Source, ...]:
    """The run alone, or together with its siblings if the user wants them and there are any."""
    others = siblings(source, step)
    if not others:
        return (source,)
    seeds = ", ".join(str(s.run.config.seed) for s in (source, *others))
    wants = state.chosen("seeds", ["all"], None, notes) == "all"
    key = "scorecard.seeds"
    st.session_state[key] = wants
    st.toggle(
        f"All {len(others) + 1} seeds together",
        key=key,
        on_change=_write_seeds,
        args=(key,),
        help=f"Runs of this folder with the same settings and seeds {seeds}.",
    )
    return (source, *others) if wants else (source,)


def _write_seeds(key: str) -> None:
    state.put(seeds="all" if st.session_state[key] else None)


def siblings(source: Source, step: int) -> list[Source]:
    """Other runs of the folder with equal settings but the seed, whose adapter of this step was kept; by seed."""
    config, found = source.run.config, []
    for run in cache.summaries(source.folder):
        if not run.algorithm or run.run_id == source.run.run_id or run.config.seed == config.seed:
            continue
        if dataclasses.replace(run.config, seed=config.seed) != config:
            continue
        sibling = Source(run.run_id, source.folder, run)
        if step in sibling.snapshots:
            found.append(sibling)
    return sorted(found, key=lambda s: s.run.config.seed)


# --- measuring -------------------------------------------------------------------------------------------------------


def measured(asked: Asked) -> list[dict] | None:
    """The reports, one a run, at once where they are kept; else the wait for the next of them, and None."""
    reports = []
    for number, source in enumerate(asked.sources, 1):
        report = _report(asked, source, number)
        if report is None:
            return None
        reports.append(report)
    return reports


def _report(asked: Asked, source: Source, number: int) -> dict | None:
    options = (asked.step, asked.which, asked.solutions, asked.rollouts, SEED)
    if kept := kept_reports.kept(source.run_dir, *options):
        return kept
    several = f"run {number} of {len(asked.sources)}, " if len(asked.sources) > 1 else ""
    question = waiting.Question(
        "scorecard.measuring",
        (*source.origin, *options),
        partial(scoring.scorecard_service().ask, shared_report, source.run_dir, *options),
        f"Measuring {several}{_how(asked, source)}",
        LIMIT_SECONDS,
        if_long="Choose fewer solutions or tries.",
        again="Measure",
        tells_progress=True,
        until="browser",
    )
    return waiting.answer(question)


def _how(asked: Asked, source: Source) -> str:
    tries = f"{asked.rollouts} tries from every prefix"
    if task_of(source.run.config).verifies_steps:
        return tries
    most = most_rollouts(task_of(source.run.config).max_new_tokens, asked.rollouts)
    return f"the largest true drop of {asked.solutions} wrong solutions (at most {most:,} tries each), then {tries}"


# --- what is said ----------------------------------------------------------------------------------------------------


def sentences(reports: Sequence[dict]) -> dict[str, list[str]]:
    """Kind of finding -> markdown sentences: of the first run, and over the seeds where there are several."""
    found: list[Finding] = findings(reports[0])
    if len(reports) > 1:
        alone = f"Run {reports[0]['run_id']} alone: "
        found = [seeds_finding(reports), *(Finding(one.kind, alone + one.text) for one in found)]
    said: dict[str, list[str]] = {}
    for finding in found:
        said.setdefault(finding.kind, []).append(as_plain(finding.text))
    if noise := reports[0]["reward_noise"]:
        said.setdefault("warning", []).append(
            f"In this run's training {flips_text(noise, reports[0].get('reward_noise_unit', 'solution'))} were "
            f"flipped; right and wrong here are the verifier's own, without flips."
        )
    return said


CONCENTRATION = (
    "Gini and tokens in effect say on how few tokens of a solution a signal lies, whatever its sign. Gini: 0 where "
    "all tokens have the same, near 1 where one has all. Tokens in effect: (Σ |c|)² / Σ c², the solution's length "
    "where it is flat, 1 where one token has all. At either end a token signal degenerates: flat, it tells no tokens "
    "apart; on one token, it says nothing of the others."
)


def as_markdown(said: dict[str, list[str]], kind: str, headings: dict[str, str] | None = None) -> str:
    """Heading and sentences of one kind; "" where there are none. headings: in place of the usual ones."""
    lines = "\n".join(f"- {sentence}" for sentence in said.get(kind, ()))
    return f"{(_HEADINGS | (headings or {}))[kind]}\n{lines}" if lines else ""


def what_was_measured(reports: Sequence[dict]) -> str:
    counts = [report["n_solutions"] for report in reports]
    count = f"{counts[0]}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    several = f" in each of {len(reports)} runs (seeds differ)" if len(reports) > 1 else ""
    ends = "lowest and highest seed" if len(reports) > 1 else "95% intervals by bootstrap over solutions"
    target = target_name(reports[0])
    known = "a known first wrong token" if target == FIRST_WRONG else "a true drop above noise"
    return (
        f"{count} wrong solutions with {known}{several}, to test problems that no training sees; top-1 and top-3: "
        f"share of them whose {target} is among the 1 or 3 most suspicious; AUC: share of a solution's other tokens "
        f"that are less suspicious, 0.5 is guessing. In brackets and as bars: {ends}. Of the signals, A whitened is "
        "what VIMPO's actor pushes and the flat one what GRPO does; all others are read off a policy or need none."
    )


def whose(source: Source) -> str:
    """Which of several runs wrote the solutions that are listed."""
    return as_plain(
        f"Of run {source.run.run_id} (seed {source.run.config.seed}) alone, not of all seeds. Choose another run "
        f"above for its own."
    )


def commands(reports: Sequence[dict], asked: Asked) -> str:
    return "\n".join(
        truth_command(report, folder_named(source)) for report, source in zip(reports, asked.sources, strict=True)
    )


def folder_named(source: Source) -> str:
    """Where the command line would look in vain: a bundled run whose name one of one's own has too."""
    return str(source.folder) if source.key.startswith(BUNDLED) else ""


def look_closer(source: Source, step: int, entry: dict) -> str:
    """Address of Inspect with one solution typed in, at its first wrong token or largest true drop, the truth below."""
    asked = {
        "run": source.key,
        "step": step,
        "mode": "typed",
        "problem": entry["prompt"],
        "solution": entry["solution"],
        "token": entry.get("largest_drop", entry["first_wrong"]),
        "more": "truth",
    }
    return f"inspect?{urlencode(asked)}"
