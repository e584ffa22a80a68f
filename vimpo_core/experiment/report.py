"""The report of an experiment: report.md, report.html, results.json and figures/, all from one set of numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from vimpo_core.experiment import document, estimates, figures, tables
from vimpo_core.experiment.document import Bullets, Code, Figure, Folded, Heading, Paragraph, Table
from vimpo_core.experiment.plan import Plan
from vimpo_core.files import read_text, write_whole
from vimpo_core.intervals import MIN_SEEDS
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import with_bounds

NOT_MEASURED = "–"
HERE = "here"
"""Where a run was made that no cluster made."""


def write(plan: Plan, out: Path, command: str) -> dict:
    """Write the report of what is finished; returns its files and how many runs are missing.

    Raises:
        tables.NothingToReport: no final run is finished.
        OSError: a file cannot be written.
    """
    found = tables.numbers(plan, out, command)
    _write(found, out)
    missing = sum(len(arm["missing"]) for block in found["blocks"] for arm in block["arms"])
    return {
        "report": str(out / "report.md"),
        "page": str(out / "report.html"),
        "numbers": str(out / "results.json"),
        "runs": found["n_runs"],
        "missing": missing,
    }


def rewrite(out: Path) -> None:
    """Write the report in `out` again from its results.json alone, every interval worked out anew from the runs in it.

    Raises:
        OSError, ValueError: there is no results.json, it is no JSON, or a file cannot be written.
    """
    path = out / "results.json"
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise Mistake(
            f"{path}: this is not JSON in UTF-8. Run the experiment again, or put the old file back."
        ) from error
    _write(estimates.with_intervals(found), out)


def _write(found: dict, out: Path) -> None:
    drawn = figures.draw_all(found)
    for name, svg in drawn.items():
        write_whole(out / "figures" / f"{name}.svg", svg, make_folder=True)
    parts = report(found, list(drawn))
    write_whole(out / "report.md", document.markdown(parts))
    page = document.page(found["title"], parts, lambda name: figures.inline(drawn[name]))
    write_whole(out / "report.html", page)
    write_whole(out / "results.json", json.dumps(found, allow_nan=False) + "\n")


def report(found: dict, drawn: list[str]) -> list:
    """The parts of the report. `drawn`: names of the figures there are."""
    parts = [Heading(1, found["title"]), Paragraph(found["question"])]
    parts += _missing(found)
    for i, block in enumerate(found["blocks"]):
        parts += _block(found, block, i, drawn)
    return [*parts, *_protocol(found), *_how_made(found)]


def _missing(found: dict) -> list:
    lines = [
        (_place(block, arm), f"no result for seed {_listed(arm['missing'])}")
        for block in found["blocks"]
        for arm in block["arms"]
        if arm["missing"]
    ]
    if not lines:
        return []
    return [
        Paragraph(
            "This report is not complete: some runs have no result, and comparisons use the seeds that both arms have."
        ),
        Bullets(lines),
    ]


def _place(block: dict, arm: dict) -> str:
    return f"{arm['name']} ({block['label']})" if block["label"] else arm["name"]


# ---- one block


def _block(found: dict, block: dict, i: int, drawn: list[str]) -> list:
    arms = block["arms"]
    parts = [
        Heading(2, f"Results: {block['label']}" if block["label"] else "Results"),
        Paragraph(f"Share of {found['test_prompts']} test problems solved, mean over seeds{_its_interval(found)}."),
        _accuracies(arms),
    ]
    if len(arms) > 1:
        parts += [
            Paragraph(
                f"Difference to {found['compare_to']}, paired by seed and problem, in percentage points; ahead: seeds "
                "in which the arm is better."
            ),
            _differences(arms),
        ]
    if any(arm["auc"] or arm["pearson"] for arm in arms):
        credit = found["credit"]
        parts += [
            Paragraph(
                f"Credit of the last snapshot on {credit['solutions']} solutions of the {credit['set']} set, as "
                "delta_t of its log-ratios to the reference, whatever the arm trained with. AUC: how well minus "
                f"delta_t finds the {figures.credit_target(arms)} (0.5 is chance). Pearson: of delta_t itself with "
                f"Monte Carlo Q - V, {credit['rollouts']} rollouts a prefix. Intervals over seeds."
            ),
            _credit(arms),
        ]
    parts += [Paragraph("What it took, and how far the policy moved; mean over seeds."), _costs(arms)]
    parts += _diverged(arms)
    parts += [Figure(f"{kind}-{i}", caption) for kind, caption in figures.CAPTIONS.items() if f"{kind}-{i}" in drawn]
    parts.append(Folded("Every run", [_every_run(arms)]))
    return parts


def _accuracies(arms: list[dict]) -> Table:
    rows = [
        [
            arm["name"],
            *(interval(arm[how], percent) for how in tables.HOWS),
            str(len(arm["runs"])),
            str(arm["n_diverged"]),
        ]
        for arm in arms
    ]
    return Table(["arm", "sampled, %", "greedy, %", "seeds", "diverged"], rows)


def _differences(arms: list[dict]) -> Table:
    rows = []
    for arm in arms:
        if arm["difference"] is None:
            continue
        row = [arm["name"]]
        for how in tables.HOWS:
            gap = arm["difference"][how]
            row += [
                interval(gap, signed_percent),
                f"{gap['ahead']} of {gap['seeds']}" if gap else NOT_MEASURED,
            ]
        rows.append(row)
    return Table(["arm", "sampled, points", "ahead", "greedy, points", "ahead"], rows)


def _credit(arms: list[dict]) -> Table:
    rows = [[arm["name"], interval(arm["auc"], decimals), interval(arm["pearson"], decimals)] for arm in arms]
    return Table(["arm", "AUC", "Pearson"], rows)


def _costs(arms: list[dict]) -> Table:
    rows = [
        [
            arm["name"],
            interval(arm["kl"], decimals),
            thousands(arm["tokens_sampled"]),
            f"{arm['cpu_seconds']['mean']:.0f}" if arm["cpu_seconds"] else NOT_MEASURED,
        ]
        for arm in arms
    ]
    return Table(["arm", "KL at the end, nats a token", "tokens sampled, thousand", "training, CPU s"], rows)


def _diverged(arms: list[dict]) -> list:
    lines = [
        (f"{arm['name']}, seed {run['seed']}", f"{run['message']} Measured at step {run['evaluated_step']}.")
        for arm in arms
        for run in arm["runs"]
        if run["state"] == "diverged"
    ]
    return (
        [
            Paragraph("Runs that diverged; they count in the means as they were at their last snapshot."),
            Bullets(lines),
        ]
        if lines
        else []
    )


def _every_run(arms: list[dict]) -> Table:
    is_on_nodes = any("node" in run for arm in arms for run in arm["runs"])
    rows = [
        [
            f"{arm['name']}, seed {run['seed']}",
            run["run_id"],
            run["state"],
            *(percent(run[how]) for how in tables.HOWS),
            *(decimals(run[name]) for name in ("kl", "auc", "pearson")),
            *([run.get("node", HERE)] if is_on_nodes else []),
        ]
        for arm in arms
        for run in arm["runs"]
    ]
    head = ["run", "folder", "state", "sampled, %", "greedy, %", "KL", "AUC", "Pearson"]
    return Table([*head, *(["node"] if is_on_nodes else [])], rows)


# ---- how it was done


def _protocol(found: dict) -> list:
    tune = found["tune"]
    parts = [
        Heading(2, "Protocol"),
        Paragraph(
            f"Every arm trains for {found['steps']} steps with each of the seeds {_listed(found['seeds'])} and is "
            f"then measured on the same {found['test_prompts']} test problems: one sample a problem (drawn with the "
            f"run's seed, so arms of one "
            "seed share their draws) and greedy. Training, validation and test problems are disjoint."
        ),
    ]
    if found["base"]:
        parts.append(Bullets([("Settings of all arms", _settings(found["base"]))]))
    if tune is None:
        parts.append(Paragraph("Nothing was tuned: all settings were fixed in advance."))
    else:
        per_block = " Each block was tuned on its own." if len(found["blocks"]) > 1 else ""
        parts.append(
            Paragraph(
                f"Tuning: every arm with ranges got the same number of trials, {tune['trials']} at most, drawn at "
                f"random without replacement from the product of its ranges. A trial trained for {tune['steps']} steps "
                f"with seed {_listed(tune['seeds'])}, and the one with the best {tune['choose_by'].replace('_', ' ')} "
                f"on {tune['validation_prompts']} validation problems was chosen before any final run started. The "
                f"final seeds are fresh, and no test problem was seen in tuning.{per_block}"
            )
        )
    for block in found["blocks"]:
        parts.append(Bullets([(_place(block, arm), _arm_line(arm, tune)) for arm in block["arms"]]))
        for arm in block["arms"]:
            if arm["trials"]:
                parts.append(Folded(f"All trials of {_place(block, arm)}", [_trials(arm)]))
    return parts


def _arm_line(arm: dict, tune: dict | None) -> str:
    fixed = _settings(arm["settings"])
    if not arm["range_size"]:
        return f"{fixed}; not tuned." if tune else f"{fixed}."
    if arm["chosen"] is None:
        return f"{fixed}; tuning is not finished."
    n = len(arm["trials"])
    count = f"all {n} points of its ranges" if n == arm["range_size"] else f"{n} of {arm['range_size']} points"
    short = f", fewer than {tune['trials']} trials as there are no more" if tune and n < tune["trials"] else ""
    edge = f" At the edge of its range: {', '.join(arm['at_edge'])}; the best may lie beyond." if arm["at_edge"] else ""
    return f"{fixed}; chosen from {count}{short}: {_settings(arm['chosen'])}.{edge}"


def _trials(arm: dict) -> Table:
    names = list(arm["trials"][0]["settings"])
    rows = []
    for trial in arm["trials"]:
        state = "chosen" if trial["is_chosen"] else "diverged" if trial["has_diverged"] else ""
        state = "no result" if trial["missing"] else state
        means = [percent(sum(trial[how]) / len(trial[how])) if trial[how] else NOT_MEASURED for how in tables.HOWS]
        rows.append([state, *(_value(trial["settings"][name]) for name in names), *means])
    return Table(["", *names, "validation, sampled, %", "validation, greedy, %"], rows)


def _how_made(found: dict) -> list:
    places = [
        (
            f"{place['runs']} runs",
            f"commit {place['commit']}{' with uncommitted changes' if place['is_dirty'] else ''}; {place['hardware']}; "
            f"{place['system']}; " + ", ".join(f"{name} {number}" for name, number in place["versions"].items()),
        )
        for place in found["environments"]
    ]
    nodes = [("Nodes", _listed([f"{count} runs on {name}" for name, count in found.get("nodes", {}).items()]))]
    return [
        Heading(2, "How this was made"),
        Code(found["command"]),
        Bullets(
            [
                ("Date", f"{_date(found['started'])} to {_date(found['ended'])} (UTC)"),
                (
                    "Runs",
                    f"{found['n_runs']}, of which {found['n_tuning_runs']} for tuning; each is a run that the app "
                    f"opens",
                ),
                (
                    "Time",
                    f"{_duration(found['wall_seconds'])} on the clock, {_duration(found['cpu_seconds'])} of CPU",
                ),
                ("Seeds", _listed(found["seeds"])),
                (
                    "Intervals",
                    _intervals(found),
                ),
                *places,
                *(nodes if found.get("nodes") else []),
            ]
        ),
    ]


def _its_interval(found: dict) -> str:
    over = estimates.over(found)
    return f" with its 95% interval over {over}" if over == "seeds and problems" else ""


def _intervals(found: dict) -> str:
    kept = {
        "seeds and problems": "accuracies and their differences over seeds and problems (analysis of variance; t for "
        "the seeds' part)",
        "seeds": "differences of accuracies by t over seeds alone, as outcomes problem by problem were not kept: "
        "other problems "
        "would add to them; accuracies therefore without",
    }[estimates.over(found)]
    tuning = "What another tuning would have chosen is in none of them. " if found["tune"] else ""
    return (
        f"95%: {kept}; other numbers by t over seeds. None below {MIN_SEEDS} seeds. {tuning}Not widened for the number "
        "of comparisons. How often they hold a known truth: python -m vimpo_core bench coverage"
    )


# ---- words and numbers


def interval(estimate: dict | None, shown) -> str:
    """ "71.2 (69.8 to 72.5)", without bounds where there are too few seeds, or a dash where nothing was measured."""
    if estimate is None or estimate["mean"] is None:
        return NOT_MEASURED
    return with_bounds(estimate, shown)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def signed_percent(share: float) -> str:
    return f"{100 * share:+.1f}"


def decimals(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.3f}"


def thousands(estimate: dict | None) -> str:
    return NOT_MEASURED if estimate is None else f"{estimate['mean'] / 1000:,.0f}"


def _settings(settings: dict) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in settings.items())


def _value(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(values: list) -> str:
    return ", ".join(map(str, values))


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
