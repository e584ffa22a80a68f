"""Write docs/results.md from the results.json of the experiments in docs/results/. Every number in it is computed here.

    python docs/make_results.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))
RESULTS = DOCS / "results"

CONTESTS = (
    ("family", 0, "clean rewards, 100 steps"),
    ("noise", 0, "25 % of the rewards flipped, 100 steps"),
    ("noise", 1, "40 % of the rewards flipped, 100 steps"),
    ("rare", 0, "7 numbers, 48 tokens, reference right once in eight, 100 steps"),
    ("epochs", 0, "25 % flipped, each batch used four times, 60 steps"),
)
"""Where VIMPO and GRPO were both tuned: experiment, block, what is different there."""


def main() -> None:
    text = "\n".join(part.strip("\n") + "\n" for part in document())
    (DOCS / "results.md").write_text(text, encoding="utf-8")
    print(f"wrote docs/results.md, {len(text)} characters")


def document():
    yield INTRODUCTION
    yield "## 1. Does the paper's ordering, VIMPO above GRPO, appear here?\n"
    yield ordering_answer()
    yield ordering_table()
    yield "\n".join(f"- [{title(name)}](results/{name}/report.md)" for name in ("family", "noise", "rare", "epochs"))
    yield "![Learning curves with 25 % flips](results/noise/figures/learning-0.svg)"
    yield "## 2. Does better token credit go with faster learning? Where does the learned critic stand?\n"
    yield credit_answer()
    yield credit_table()
    yield "![Credit of the last snapshot against accuracy](results/family/figures/credit-0.svg)"
    yield "## 3. What do the two levers add, and where is the edge?\n"
    yield levers_answer()
    yield levers_table()
    yield "## One switch at a time\n"
    yield SWITCHES
    yield switches_table()
    yield MADE
    yield made_table()


# ---- reading


def load(name: str) -> dict | None:
    path = RESULTS / name / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def title(name: str) -> str:
    found = load(name)
    return found["title"] if found else name


def arms_of(name: str, block: int = 0) -> dict[str, dict]:
    found = load(name)
    return {arm["name"]: arm for arm in found["blocks"][block]["arms"]} if found else {}


# ---- words


def percent(estimate: dict) -> str:
    return f"{100 * estimate['mean']:.1f} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


def points(difference: dict) -> str:
    low, mean, high = (100 * difference[k] for k in ("low", "mean", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f}), {difference['ahead']} of {difference['seeds']}"


def number(estimate: dict | None, digits: int = 2) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate['mean']:.{digits}f} ({estimate['low']:.{digits}f} to {estimate['high']:.{digits}f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def decided(difference: dict) -> str:
    return "above" if difference["low"] > 0 else "below" if difference["high"] < 0 else "open"


# ---- question 1


def contests():
    for name, block, what in CONTESTS:
        arms = arms_of(name, block)
        if "VIMPO" in arms and arms["VIMPO"]["difference"]:
            yield what, arms["GRPO"], arms["VIMPO"]


def ordering_table() -> str:
    head = ["regime", "GRPO sampled, %", "VIMPO sampled, %", "difference, points; seeds ahead", "greedy: difference; seeds ahead"]
    rows = [
        [what, percent(grpo["sampled"]), percent(vimpo["sampled"]), points(vimpo["difference"]["sampled"]), points(vimpo["difference"]["greedy"])]
        for what, grpo, vimpo in contests()
    ]
    return table(head, rows)


def ordering_answer() -> str:
    found = list(contests())
    sampled = [decided(vimpo["difference"]["sampled"]) for _, _, vimpo in found]
    greedy = [decided(vimpo["difference"]["greedy"]) for _, _, vimpo in found]
    best = max(found, key=lambda c: c[2]["difference"]["sampled"]["mean"])
    return ORDERING.format(
        regimes=len(found),
        sampled_above=sampled.count("above"), sampled_below=sampled.count("below"), sampled_open=sampled.count("open"),
        greedy_above=greedy.count("above"), greedy_below=greedy.count("below"), greedy_open=greedy.count("open"),
        best=best[0], best_points=points(best[2]["difference"]["sampled"]),
    )  # fmt: skip


# ---- question 2


def credit_table() -> str:
    head = ["rule", "sampled, %", "greedy, %", "AUC on own mistakes", "Pearson with Monte Carlo", "tokens, thousand", "CPU s a run"]
    rows = [
        [name, percent(a["sampled"]), percent(a["greedy"]), number(a["auc"]), number(a["pearson"]),
         f"{a['tokens_sampled']['mean'] / 1000:.0f}", f"{a['cpu_seconds']['mean']:.0f}"]
        for name, a in arms_of("family").items()
    ]  # fmt: skip
    return table(head, rows)


def correlation(rule_only: bool) -> tuple[float, int]:
    """Pearson correlation of AUC with sampled accuracy over rules' means, or over all runs."""
    arms = [a for a in arms_of("family").values() if a["auc"]]
    if rule_only:
        pairs = [(a["auc"]["mean"], a["sampled"]["mean"]) for a in arms]
    else:
        pairs = [(r["auc"], r["sampled"]) for a in arms for r in a["runs"] if r["auc"] is not None]
    x, y = np.array(pairs).T
    return float(np.corrcoef(x, y)[0, 1]), len(pairs)


def credit_answer() -> str:
    arms = arms_of("family")
    over_rules, rules = correlation(True)
    over_runs, runs = correlation(False)
    ppo, grpo, vine = arms["PPO, learned critic"], arms["GRPO"], arms["VinePPO"]
    return CREDIT.format(
        over_rules=over_rules, rules=rules, over_runs=over_runs, runs=runs,
        ppo=points(ppo["difference"]["sampled"]), ppo_cpu=ppo["cpu_seconds"]["mean"] / grpo["cpu_seconds"]["mean"],
        vine=points(vine["difference"]["sampled"]), vine_tokens=vine["tokens_sampled"]["mean"] / grpo["tokens_sampled"]["mean"],
        vine_cpu=vine["cpu_seconds"]["mean"] / grpo["cpu_seconds"]["mean"],
        vimpo_auc=number(arms["VIMPO"]["auc"]), grpo_auc=number(grpo["auc"]),
        reinforce=points(arms["REINFORCE"]["difference"]["sampled"]), dapo=points(arms["DAPO"]["difference"]["sampled"]),
    )  # fmt: skip


# ---- question 3


def levers_table() -> str:
    head = ["setting", "c_A", "sampled, %", "greedy, %", "KL at the end, nats a token", "diverged"]
    rows = [
        [name, f"{a['settings']['actor_coef']:g}", percent(a["sampled"]), percent(a["greedy"]), number(a["kl"], 3),
         f"{a['n_diverged']} of {len(a['runs'])}"]
        for name, a in arms_of("levers").items()
    ]  # fmt: skip
    return table(head, rows)


def levers_answer() -> str:
    arms = arms_of("levers")
    lines = []
    for beta in ("0.1", "0.02"):
        row = {name.split("b ")[-1]: a for name, a in arms.items() if name.startswith(f"beta {beta},")}
        start = row["0"]["sampled"]["mean"]
        said = "; ".join(
            f"b {b}: {100 * (a['sampled']['mean'] - start):+.1f} points sampled" for b, a in row.items() if b != "0"
        )
        lines.append(f"- beta {beta}, against the value loss alone ({100 * start:.1f} %): {said}.")
    return LEVERS + "\n".join(lines) + "\n\n" + LEVERS_SAID


def switches_table() -> str:
    head = ["switch", "sampled, %", "difference to the defaults, points; seeds ahead", "AUC on own mistakes", "KL at the end"]
    rows = [
        [name, percent(a["sampled"]), points(a["difference"]["sampled"]) if a["difference"] else "", number(a["auc"]), number(a["kl"], 3)]
        for name, a in arms_of("switches").items()
    ]
    return table(head, rows)


def made_table() -> str:
    rows = []
    for name in ("family", "noise", "rare", "epochs", "levers", "switches"):
        if (found := load(name)) is None:
            continue
        commits = ", ".join(f"{e['commit'][:7]}{' (dirty)' if e['is_dirty'] else ''}" for e in found["environments"])
        rows.append([
            f"[{name}](results/{name}/report.md)", f"`{found['command']}`", f"{found['n_runs']}", f"{found['cpu_seconds'] / 60:.0f}",
            f"{found['wall_seconds'] / 60:.0f}", commits,
        ])  # fmt: skip
    return table(["experiment", "command", "runs", "CPU minutes", "wall minutes", "commit"], rows)


# ---- prose

INTRODUCTION = """# Results

Three questions, asked with equal tuning, fresh seeds and intervals. The protocol was written before any result and stands in
[experiments/README.md](../experiments/README.md), each experiment's declaration beside it. Every number on this page is computed from the `results.json` of the experiments by
`python docs/make_results.py`; the reports that are linked hold every run, every trial of the tuning, seeds, hardware and library versions.

Accuracies are shares of 512 test problems that neither training nor tuning saw, mean over 5 seeds, with 95 % bootstrap intervals over seeds and problems together; differences
are VIMPO minus GRPO, paired by seed and problem, and "4 of 5" counts the seeds in which it is ahead.
"""

ORDERING = """PROSE {regimes} {sampled_above} {sampled_below} {sampled_open} {greedy_above} {greedy_below} {greedy_open} {best} {best_points}"""
CREDIT = """PROSE"""
LEVERS = ""
LEVERS_SAID = ""
SWITCHES = """Defaults with one setting changed, 25 % flips, 3 seeds, nothing tuned: this shows where to look and decides nothing."""
MADE = """## What made these numbers

All on the processor, one thread a run. CPU minutes are those of training and measuring; other work shared the two cores, so wall times say little."""

if __name__ == "__main__":
    main()
