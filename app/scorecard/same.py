"""The Scorecard's set of the same mistakes: which runs write and read them, the measurement, and what is said of it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import cache, state, waiting
from app.scorecard.scorecard_figure import dots
from app.scorecard.scorecards import SEED, as_markdown, folder_named
from app.sources import Source
from app.text import as_plain
from app.words.same_findings import names_of, reading_name, same_findings
from vimpo_core.formats.reproduce import same_command
from vimpo_core.service import kept_reports, scoring
from vimpo_core.service.same_report import ASKED, MOST_RUNS, shared_same_report

LIMIT_SECONDS = 900
_KEY = "scorecard.with"
HEADINGS = {"spread": ":gray[:material/arrow_forward:] **What follows**"}


def pick_others(source: Source, found: list[Source], notes: list[str]) -> list[Source]:
    """Runs whose policies write and read the same solutions, beside the one that is looked at."""
    among = {one.key: one for one in found if _is_comparable(source, one)}
    named = [key for key in st.query_params.get("with", "").split(",") if key]
    chosen = [key for key in named if key in among] or _usual(source, among)
    if set(named) - set(among):
        notes.append("The address names runs in with= that cannot be compared with this one; others are shown.")
    st.session_state[_KEY] = chosen[: MOST_RUNS - 1]
    st.multiselect(
        "Beside it",
        list(among),
        format_func=lambda key: among[key].label,
        key=_KEY,
        max_selections=MOST_RUNS - 1,
        on_change=_write,
        help="Runs of the same model and task. Each policy writes wrong solutions, and each reads all of them.",
        width=520,
    )
    others = [among[key] for key in st.session_state[_KEY]]
    notes += [f"{as_plain(one.run.name)} kept no adapter and is left out." for one in others if not one.snapshots]
    return sorted((one for one in others if one.snapshots), key=lambda one: one.run.run_id)


def _write() -> None:
    state.put(**{"with": ",".join(st.session_state[_KEY]) or None})


def _is_comparable(source: Source, other: Source) -> bool:
    run = other.run
    if other.key == source.key or not run.algorithm or other.tool or run.last_step is None:
        return False
    if run.run_id == source.run.run_id:
        return False
    return all(getattr(run.config, name) == getattr(source.run.config, name) for name in ASKED)


def _usual(source: Source, among: dict[str, Source]) -> list[str]:
    """All bundled ones beside a bundled run; else the newest run of another rule, of the same folder if possible."""
    if cache.is_bundled(source.folder):
        return [key for key, one in among.items() if one.folder == source.folder]
    found = sorted(
        among.values(),
        key=lambda one: (one.folder != source.folder, one.run.algorithm == source.run.algorithm),
    )
    return next(([one.key] for one in found if one.snapshots), [])


def measured(source: Source, step: int, others: list[Source], solutions: int) -> dict | None:
    """The report, at once where it is kept; else the wait for it, and None."""
    runs = [(source, step)] + [(one, step if step in one.snapshots else one.snapshots[-1]) for one in others]
    places = tuple((one.run_dir, at) for one, at in runs)
    if len({run_dir.parent for run_dir, _ in places}) == 1 and (
        kept := kept_reports.kept_same(places, solutions, SEED)
    ):
        return kept
    return waiting.answer(
        waiting.Question(
            "scorecard.same",
            (tuple(one.origin for one, _ in runs), places, solutions, SEED),
            partial(scoring.scorecard_service().ask, shared_same_report, places, solutions, SEED),
            f"{len(runs)} policies write and read {solutions} wrong solutions each",
            LIMIT_SECONDS,
            if_long="Choose fewer solutions or runs.",
            again="Measure",
            tells_progress=True,
        )
    )


def show(source: Source, report: dict) -> None:
    names = names_of(report["runs"])
    said: dict[str, list[str]] = {}
    for finding in same_findings(report):
        said.setdefault(finding.kind, []).append(as_plain(finding.text))
    for warning in said.get("warning", ()):
        st.info(warning, icon=":material/info:")
    panels = _panels(report, names)
    with st.container(horizontal=True, gap="large"):
        with st.container(width=660):
            dots(panels, [one for one in panels["all"] if one.startswith("δ")], key="scorecard.same.figure")
            st.caption(_what_was_measured(report, names))
        with st.container(width=520):
            for kind in ("spread", "loses", "wins", "open"):
                if kind in said:
                    st.markdown(as_markdown(said, kind, HEADINGS))
    with st.expander("The same in numbers"):
        st.table(_table(panels, "AUC"))
        st.table(_table(_panels(report, names, "top1"), "top-1"))
    st.markdown("**Reproduce** these numbers")
    st.code(same_command(report, folder_named(source)), language="bash", wrap_lines=True)


def _panels(report: dict, names: dict[str, str], key: str = "auc") -> dict[str, dict[str, tuple]]:
    """Whose mistakes -> reading -> value, low, high; all of them first."""
    of = {"all": report["readings"]} | {names[run]: found for run, found in report["by_writer"].items()}
    return {
        whose: {
            reading_name(name, names): tuple(one[f"{key}{end}"] for end in ("", "_low", "_high"))
            for name, one in sorted(found.items(), key=lambda item: item[0].startswith("surprisal"))
            if one[key] is not None
        }
        for whose, found in of.items()
    }


def _table(panels: dict, measure: str) -> dict[str, list[str]]:
    rows = list(panels["all"])
    return {measure: rows} | {
        "all" if whose == "all" else f"{whose}'s": [
            "{:.3f} ({:.3f} to {:.3f})".format(*found[row]) if row in found else "–" for row in rows
        ]
        for whose, found in panels.items()
    }


def _what_was_measured(report: dict, names: dict[str, str]) -> str:
    each = ", ".join(f"{run['n']} of {names[run['run_id']]} (step {run['step']})" for run in report["runs"])
    return as_plain(
        f"{report['n_solutions']} wrong solutions to {report['n_problems']} test problems that no training sees: "
        f"{each}. Panels: whose mistakes; rows: what is read. AUC: share of a solution's other tokens that are less "
        "suspicious than the first wrong one, 0.5 is guessing. Bars: 95% intervals by bootstrap over problems; "
        "differences are paired on the same solutions. Another draw of solutions (--seed) or other training seeds may "
        "order close readings otherwise."
    )
