"""Write docs/results.md, the contests of README.md and the reports of the experiments from their results.json in
docs/results/.

Every number in them is computed here, every interval worked out anew from the runs in the files.

python docs/make_results.py
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import lru_cache
from itertools import permutations
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from app.words.citation import PAPER_CLEAN, PAPER_NOISY, PAPER_PARAMETERS  # noqa: E402
from app.words.verdicts import CONTESTS  # noqa: E402
from vimpo_core import intervals  # noqa: E402
from vimpo_core.experiment import estimates, report  # noqa: E402
from vimpo_core.files import write_whole  # noqa: E402
from vimpo_core.intervals import MIN_SEEDS  # noqa: E402
from vimpo_core.numbers import with_bounds  # noqa: E402

RESULTS = DOCS / "results"
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- contests: written by docs/make_results.py -->", "<!-- end of contests -->"

EXPERIMENTS = (
    "family",
    "clean",
    "noise",
    "noise_again",
    "group_noise",
    "rare",
    "epochs",
    "levers",
    "switches",
)

REAL = (
    ("real", 0, "clean rewards"),
    ("real_flips", 0, "25 % of the rewards flipped"),
    ("real_tuned", 0, "clean rewards, each rule tuned"),
    ("real_tuned", 1, "25 % of the rewards flipped, each rule tuned"),
    ("real_wider", 0, "clean rewards, each rule tuned over the same learning rates"),
)
"""Runs of a real language model: experiment, block, what is different there."""


def main() -> None:
    for file in sorted(RESULTS.glob("*/results.json")):
        report.rewrite(file.parent)
    write_whole(DOCS / "results.md", page())
    write_whole(README, with_contests(README.read_text(encoding="utf-8")))
    print("wrote docs/results.md, the contests in README.md and the reports in docs/results")


def page() -> str:
    return "\n".join(part.strip("\n") + "\n" for part in document())


def with_contests(readme: str) -> str:
    """The README with its table of contests as the results say now."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{readme_table()}\n{END}{after}"


def document():
    yield introduction()
    yield "## 1. Does the paper's ordering, VIMPO above GRPO, appear here?\n"
    yield ordering_answer()
    yield ordering_table()
    yield "\n".join(
        f"- [{load(name)['title']}](results/{name}/report.md)"
        for name in dict.fromkeys(name for name, *_ in contests())
        if name not in {real for real, *_ in REAL}
    )
    yield "![Learning curves with 40 % flips](results/noise/figures/learning-1.svg)"
    yield "## 2. Does better token credit go with faster learning? Where does the learned critic stand?\n"
    yield credit_answer()
    yield credit_table()
    yield "![Credit of the last snapshot against accuracy](results/family/figures/credit-0.svg)"
    yield "## 3. What do the two levers add, and where is the edge?\n"
    yield levers_answer()
    yield levers_table()
    yield "## One switch at a time\n"
    yield switches_answer()
    yield switches_table()
    yield from real_model()
    yield MADE
    yield made_table()


# ---- reading


@lru_cache
def load(name: str) -> dict | None:
    path = RESULTS / name / "results.json"
    return estimates.with_intervals(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def arms_of(name: str, block: int = 0) -> dict[str, dict]:
    found = load(name)
    return {arm["name"]: arm for arm in found["blocks"][block]["arms"]} if found else {}


# ---- words


def percent(estimate: dict) -> str:
    return with_bounds(estimate, lambda share: f"{100 * share:.1f}")


def points(difference: dict) -> str:
    shown = with_bounds(difference, lambda share: f"{100 * share:+.1f}")
    return f"{shown}, {difference['ahead']} of {difference['seeds']}"


def number(estimate: dict | None, digits: int = 2) -> str:
    return "not measured" if estimate is None else with_bounds(estimate, lambda value: f"{value:.{digits}f}")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def decided(estimate: dict | intervals.Estimate) -> str:
    """ "above", "below", or "open": the interval holds 0, or there is none."""
    low, high = (estimate["low"], estimate["high"]) if isinstance(estimate, dict) else (estimate.low, estimate.high)
    return "open" if low is None or low <= 0 <= high else "above" if low > 0 else "below"


def listed(names: list[str]) -> str:
    """ "a, b and c", or "none"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part) or "none"


def introduction() -> str:
    there = [name for name in EXPERIMENTS if load(name)]
    alone = [name for name in there if estimates.over(load(name)) == "seeds"]
    without = (
        f" In {listed(alone)} outcomes were not kept problem by problem: there differences have a t interval over "
        "seeds alone, to which other problems would add (with five seeds it held a known truth 86 to 96 % of the time, "
        "see the [log](log.md)), and accuracies have none."
        if alone
        else ""
    )
    measured = {*there, *(name for name, *_ in CONTESTS if load(name))}
    *some, most = sorted({load(name)["test_prompts"] for name in measured})
    problems = " or ".join(part for part in (", ".join(f"{n:,}" for n in some), f"{most:,}") if part)
    return INTRODUCTION.format(problems=problems, without=without, least=MIN_SEEDS)


# ---- question 1


def block_of(name: str, noise: float) -> int:
    """Which block of an experiment has this share of flipped rewards; the first where it is not measured."""
    found = load(name)
    shares = (
        [block["settings"].get("reward_noise", found["base"].get("reward_noise", 0.0)) for block in found["blocks"]]
        if found
        else []
    )
    return shares.index(noise) if noise in shares else 0


def contests():
    """Experiment, what is different there, GRPO's arm and VIMPO's."""
    for name, noise, what in CONTESTS:
        arms = arms_of(name, block_of(name, noise))
        if "VIMPO" in arms and arms["VIMPO"]["difference"]["sampled"]:
            yield name, what, arms["GRPO"], arms["VIMPO"]


def ordering_table() -> str:
    head = [
        "regime",
        "GRPO sampled, %",
        "VIMPO sampled, %",
        "difference, points; seeds ahead",
        "greedy: difference; seeds ahead",
        "KL at the end, GRPO / VIMPO",
    ]
    rows = [
        [
            what,
            percent(grpo["sampled"]),
            percent(vimpo["sampled"]),
            points(vimpo["difference"]["sampled"]),
            points(vimpo["difference"]["greedy"]),
            f"{grpo['kl']['mean']:.3f} / {vimpo['kl']['mean']:.3f}",
        ]
        for _, what, grpo, vimpo in contests()
    ]
    return table(head, rows)


def readme_table() -> str:
    head = ["VIMPO minus GRPO, points", "sampled (95 %)", "", "greedy (95 %)", ""]
    rows = []
    for _, what, _, vimpo in contests():
        row = [what]
        for how in estimates.HOWS:
            gap = vimpo["difference"][how]
            row += [with_bounds(gap, lambda share: f"{100 * share:+.1f}"), decided(gap)]
        rows.append(row)
    return table(head, rows)


def ordering_answer() -> str:
    found = list(contests())
    count = {how: [decided(vimpo["difference"][how]) for *_, vimpo in found] for how in estimates.HOWS}
    said = ORDERING.format(
        regimes=len(found),
        nearer=sum(v["kl"]["mean"] < g["kl"]["mean"] for *_, g, v in found),
        **{f"{how}_{word}": count[how].count(word) for how in count for word in ("above", "below", "open")},
        greedy_where=listed([f'"{what}"' for _, what, _, v in found if decided(v["difference"]["greedy"]) == "above"]),
        greedy_not=listed([f'"{what}"' for _, what, _, v in found if decided(v["difference"]["greedy"]) == "below"]),
    )
    return (
        said
        + "".join(f"- {bullet}\n" for bullet in (*_extremes(found), *_tuning(), *_unreached(found), *_updates(), PAPER))
        + NOT_WIDENED
    )


def _extremes(found):
    best = max(found, key=lambda c: c[3]["difference"]["sampled"]["mean"])
    worst = min(found, key=lambda c: c[3]["difference"]["sampled"]["mean"])
    yield f'**The most favourable regime** is "{best[1]}": {points(best[3]["difference"]["sampled"])} seeds, sampled.'
    _, what, grpo, vimpo = worst
    edge = f" and ended at the edge of {listed(vimpo['at_edge'])}" if vimpo["at_edge"] else ""
    yield (
        f'**The least favourable** is "{what}": {points(vimpo["difference"]["sampled"])} seeds, sampled. VIMPO\'s '
        f"trials covered "
        f"{len(vimpo['trials'])} of {vimpo['range_size']} points{edge}, GRPO's {len(grpo['trials'])} of "
        f"{grpo['range_size']}: equal "
        "trials are not equal coverage, and the rule with more settings pays for them."
    )


def _tuning():
    """Tuning noise, beside the contest that it decided."""
    first, again = arms_of("noise", 1), arms_of("noise_again")
    if first and again:
        rates = [arms["GRPO"]["chosen"]["learning_rate"] for arms in (first, again)]
        yield (
            "**What tuning happened to choose is inside no interval**, and it decided the contest at 40 % flips: "
            f"GRPO's learning rate came out at {rates[0]:g} in the first tuning and at {rates[1]:g} in the finer one, "
            f"and VIMPO's lead went from {points(first['VIMPO']['difference']['sampled'])} seeds to "
            f"{points(again['VIMPO']['difference']['sampled'])} seeds. "
            "A lead that better tuning of the rival removes is not the rule's."
        )


def _unreached(found):
    """Contests in which one rule chose a learning rate above all that the other's trials held."""
    for _, what, *arms in found:
        tried = [max(trial["settings"].get("learning_rate", 0.0) for trial in arm["trials"]) for arm in arms]
        for (arm, chosen), (other, most) in permutations(zip(arms, tried, strict=True)):
            rate = arm["chosen"].get("learning_rate", chosen)
            if rate > most:
                yield (
                    f'**In "{what}"** {arm["name"]} chose the learning rate {rate:g} and none of the '
                    f"{len(other['trials'])} trials that {other['name']} had was above {most:g}: what a larger step "
                    "gives and what the rule gives are not told apart there."
                )


def _updates():
    arms = [arms_of("noise", block) for block in (0, 1)]
    if all(arms):
        taken = [a["GRPO"]["chosen"]["updates_per_batch"] for a in arms]
        cost = [a["GRPO"]["cpu_seconds"]["mean"] / a["VIMPO"]["cpu_seconds"]["mean"] for a in arms]
        yield (
            "**An unevenness of our own making**: where single solutions are flipped, GRPO's ranges held one or two "
            f"updates a batch and VIMPO's did not. GRPO took {taken[0]} with 25 % and {taken[1]} with 40 % flips, at "
            f"{cost[0]:.1f} and {cost[1]:.1f} times VIMPO's CPU time. The default settings had also been chosen "
            "earlier on these test problems (see the protocol)."
        )


# ---- question 2


def credit_table() -> str:
    head = [
        "rule",
        "sampled, %",
        "greedy, %",
        "AUC on own mistakes",
        "Pearson with Monte Carlo",
        "tokens, thousand",
        "CPU s a run",
    ]
    rows = [
        [
            name,
            percent(a["sampled"]),
            percent(a["greedy"]),
            number(a["auc"]),
            number(a["pearson"]),
            f"{a['tokens_sampled']['mean'] / 1000:.0f}",
            f"{a['cpu_seconds']['mean']:.0f}",
        ]
        for name, a in arms_of("family").items()
    ]
    return table(head, rows)


def over_rules() -> intervals.Correlation:
    """Pearson correlation of AUC with sampled accuracy over rules' means.

    Not over single runs: those of one rule share its settings and are no independent points, so that correlation has no
    interval that could be believed.
    """
    arms = [a for a in arms_of("family").values() if a["auc"]]
    return intervals.correlation([a["auc"]["mean"] for a in arms], [a["sampled"]["mean"] for a in arms])


def credit_answer() -> str:
    arms = arms_of("family")
    grpo = arms["GRPO"]
    found = over_rules()
    verdict = {
        "above": "They go together",
        "below": "They go against each other",
        "open": "Nothing that so few rules can show",
    }
    by_auc, by_accuracy = (
        sorted((a for a in arms.values() if a[key]), key=lambda a: -a[key]["mean"])[:2] for key in ("auc", "sampled")
    )
    return CREDIT.format(
        verdict=verdict[decided(intervals.Estimate(found.r, found.low, found.high, found.n))],
        rules=found.n,
        r=f"{found.r:+.2f} ({found.low:+.2f} to {found.high:+.2f})",
        by_auc=listed([f"{a['name']} ({number(a['auc'])})" for a in by_auc]),
        grpo_auc=number(grpo["auc"]),
        by_accuracy=listed([_against(a) for a in by_accuracy]),
        critic=_costly(arms["PPO, learned critic"], grpo),
        vine=_costly(arms["VinePPO"], grpo),
        solutions=load("family")["credit"]["solutions"],
    )


def _against(arm: dict) -> str:
    if arm["difference"] is None:
        return arm["name"]
    return f"{arm['name']} ({points(arm['difference']['sampled'])} seeds against GRPO)"


def _costly(arm: dict, grpo: dict) -> str:
    """A rule with values of its own against GRPO: accuracy, tokens and time."""
    gap = arm["difference"]["sampled"]
    word = {"open": "a difference that these seeds cannot show", "above": "more", "below": "less"}[decided(gap)]
    tokens, cpu = (arm[name]["mean"] / grpo[name]["mean"] for name in ("tokens_sampled", "cpu_seconds"))
    return f"{points(gap)} seeds, sampled ({word}), at {tokens:.1f} times the tokens and {cpu:.1f} times the CPU time"


# ---- question 3


def levers_table() -> str:
    head = ["setting", "c_A", "sampled, %", "greedy, %", "KL at the end, nats a token", "diverged"]
    rows = [
        [
            name,
            f"{a['settings']['actor_coef']:g}",
            percent(a["sampled"]),
            percent(a["greedy"]),
            number(a["kl"], 3),
            f"{a['n_diverged']} of {len(a['runs'])}",
        ]
        for name, a in arms_of("levers").items()
    ]
    return table(head, rows)


def levers_answer() -> str:
    arms = arms_of("levers")
    lines = []
    for beta in ("0.1", "0.02"):
        row = {name.split("b ")[-1]: a for name, a in arms.items() if name.startswith(f"beta {beta},")}
        start = row.pop("0")
        for how in estimates.HOWS:
            gaps = {b: asdict(estimates.difference(a["runs"], start["runs"], how)) for b, a in row.items()}
            said = "; ".join(f"b {b}: {points(gap)}" for b, gap in gaps.items())
            lines.append(f"- beta {beta}, {how}, against the value loss alone ({percent(start[how])} %): {said}.")
    return LEVERS + "\n".join(lines) + "\n\n" + LEVERS_SAID


def switches_answer() -> str:
    arms = arms_of("switches")
    first = next(arm for arm in arms.values() if arm["difference"] is None)
    others = [arm for arm in arms.values() if arm is not first]
    by_accuracy = {word: [] for word in ("above", "below", "open")}
    by_auc = {word: [] for word in by_accuracy}
    for arm in others:
        by_accuracy[decided(arm["difference"]["sampled"])].append(arm["name"])
        gap = _auc_difference(arm, first)
        by_auc[decided(gap) if gap else "open"].append(arm["name"])
    return SWITCHES.format(
        seeds=len(first["runs"]),
        accuracy_above=listed(by_accuracy["above"]),
        accuracy_below=listed(by_accuracy["below"]),
        auc_above=listed(by_auc["above"]),
        auc_below=listed(by_auc["below"]),
    )


def _auc_difference(arm: dict, first: dict) -> intervals.Estimate | None:
    """In AUC on own mistakes, over the seeds that both have."""
    known = {run["seed"]: run["auc"] for run in first["runs"] if run["auc"] is not None}
    gaps = [run["auc"] - known[run["seed"]] for run in arm["runs"] if run["auc"] is not None and run["seed"] in known]
    return intervals.over_seeds(gaps, -1.0, 1.0)


def switches_table() -> str:
    head = [
        "switch",
        "sampled, %",
        "difference to the defaults, points; seeds ahead",
        "AUC on own mistakes",
        "KL at the end",
    ]
    rows = [
        [
            name,
            percent(a["sampled"]),
            points(a["difference"]["sampled"]) if a["difference"] else "",
            number(a["auc"]),
            number(a["kl"], 3),
        ]
        for name, a in arms_of("switches").items()
    ]
    return table(head, rows)


# ---- a real language model


def real_model():
    """Its section; nothing as long as no run is there."""
    there = [(name, block, what) for name, block, what in REAL if any(a["runs"] for a in arms_of(name, block).values())]
    if not there:
        return
    yield REAL_MODEL.format(problems=load(there[0][0])["test_prompts"], steps=load(there[0][0])["steps"])
    yield "\n".join(_real_answers(there)) + "\n"
    yield _real_table(there)
    if reports := _credit_reports():
        yield REAL_CREDIT.format(tries=reports[0]["drop_tries"])
        yield _credit_of(reports)
    yield "\n".join(
        f"- [{load(name)['title']}](results/{name}/report.md)" for name in dict.fromkeys(n for n, *_ in there)
    )


def untrained() -> list[dict]:
    """The untrained model's outcomes on the test problems of those experiments, one a seed (`measure_untrained`)."""
    found = [
        json.loads(file.read_text(encoding="utf-8"))["runs"] for file in sorted(RESULTS.glob("real*/untrained.json"))
    ]
    return [run for runs in found for run in runs]


def gained(arm: dict, how: str) -> dict | None:
    """Accuracy of trained minus untrained, paired by seed and by problem."""
    found = estimates.difference(arm["runs"], untrained(), how)
    return None if found is None else asdict(found)


def _real_answers(there):
    for name, block, what in there:
        arms = arms_of(name, block)
        for arm in arms.values():
            gain = gained(arm, "sampled") if arm["runs"] else None
            if gain:
                met = gain["mean"] >= LEAST_GAIN and decided(gain) == "above"
                said = "there is no interval below 3 seeds" if gain["low"] is None else "" if met else "not shown"
                bar = f"at least {100 * LEAST_GAIN:.0f} points, and an interval above 0" if met else said
                yield f"- **{arm['name']}, {what}**: {points(gain)} seeds, sampled, over the untrained model ({bar})."
        gap = arms["VIMPO"]["difference"]
        if gap and gap["sampled"]:
            equal = "with equal tuning" if arms["VIMPO"]["trials"] else "at equal settings, which is not equal tuning"
            yield (
                f"- **VIMPO minus GRPO, {what}**, {equal}: sampled {points(gap['sampled'])} seeds "
                f"({_shown(gap['sampled'])}), greedy {points(gap['greedy'])} seeds ({_shown(gap['greedy'])})."
            )


def _shown(gap: dict) -> str:
    return "fewer than 3 seeds, no interval" if gap["low"] is None else decided(gap)


def _real_table(there) -> str:
    head = ["rewards", "rule", "seeds", "untrained, sampled, %", "sampled, %", "untrained, greedy, %", "greedy, %"]
    head += ["KL at the end", "CPU s a run"]
    rows = []
    for name, block, what in there:
        for arm in arms_of(name, block).values():
            if runs := arm["runs"]:
                seeds = {run["seed"] for run in runs}
                before = [run for run in untrained() if run["seed"] in seeds]
                of_before = {how: asdict(estimates.accuracy(before, how)) if before else None for how in estimates.HOWS}
                accuracies = [
                    percent(e) if e else "not measured" for how in estimates.HOWS for e in (of_before[how], arm[how])
                ]
                of = len(runs) + len(arm["missing"])
                kl, cpu = number(arm["kl"], 3), number(arm["cpu_seconds"], 0)
                rows.append([what, arm["name"], f"{len(runs)} of {of}", *accuracies, kl, cpu])
    return table(head, rows)


def _credit_reports() -> list[dict]:
    """`truth --json` of finished runs, as they are kept beside the results."""
    return [
        report
        for file in sorted(RESULTS.glob("real*/credit.json"))
        for report in json.loads(file.read_text(encoding="utf-8"))
    ]


def _credit_of(reports: list[dict]) -> str:
    head = ["run", "wrong, of these with a clear drop", "AUC of minus delta_t", "AUC of surprisal"]
    head += ["solutions compared", "Pearson of delta_t with Monte Carlo"]
    rows = [
        [
            f"{report['algorithm']}, seed {report['seed']}",
            f"{report['n_wrong']}, {report['n_solutions']}",
            *(_measured(report["signals"][name], "auc") for name in ("implied_advantage", "surprisal_policy")),
            f"{report['n_compared']}",
            _measured(report, "pearson_advantage"),
        ]
        for report in reports
    ]
    return table(head, rows)


def _measured(found: dict, name: str) -> str:
    mean, low, high = (found[f"{name}{end}"] for end in ("", "_low", "_high"))
    return "not defined" if mean is None else number({"mean": mean, "low": low, "high": high})


def made_table() -> str:
    rows = []
    for name in dict.fromkeys([*EXPERIMENTS, *(name for name, *_ in REAL)]):
        if (found := load(name)) is None:
            continue
        commits = ", ".join(f"{e['commit'][:7]}{' (dirty)' if e['is_dirty'] else ''}" for e in found["environments"])
        rows.append(
            [
                f"[{name}](results/{name}/report.md)",
                f"`{found['command']}`",
                f"{found['n_runs']}",
                f"{found['cpu_seconds'] / 60:.0f}",
                f"{found['wall_seconds'] / 60:.0f}",
                commits,
            ]
        )
    return table(["experiment", "command", "runs", "CPU minutes", "wall minutes", "commit"], rows)


# ---- prose

INTRODUCTION = """# Results

Three questions, asked with equal tuning, fresh seeds and intervals. The protocol was written before any result and stands in
[experiments/README.md](../experiments/README.md), each experiment's declaration beside it. Every number on this page is computed from the `results.json` of the experiments by
`python docs/make_results.py`; the reports that are linked hold every run, every trial of the tuning, seeds, hardware and library versions.

Accuracies are shares of {problems} test problems that no training and no trial of a tuning saw (when the defaults were chosen and the ranges set, some of them had been looked at), mean over seeds. Brackets are 95 % intervals: of accuracies and differences over seeds and
problems together (analysis of variance, t for the seeds' part), of all other numbers by t over seeds, of the correlation Fisher's. Below {least} seeds there is none.{without}
`python -m vimpo_core bench coverage` simulates how often those over seeds and problems, and those of other numbers, hold a known truth: 93 to 97 % of the time. What another tuning would have chosen is inside none of them. Differences are
VIMPO minus GRPO, paired by seed and problem, and "4 of 5" counts the seeds in which it is ahead; above or below means that the interval does not hold 0.
"""

ORDERING = """Of {regimes} contests with equal tuning, VIMPO's sampled accuracy is **above GRPO's in {sampled_above}, below in {sampled_below} and open in {sampled_open}**; its greedy accuracy is
**above in {greedy_above}, below in {greedy_below} and open in {greedy_open}**.

- **In greedy accuracy** VIMPO is above in {greedy_where}, below in {greedy_not}. In {nearer} of the {regimes} contests it ends nearer to the reference (last column): it moves less, and sampled accuracy pays for
  every token still left to chance, greedy accuracy does not.
"""
PAPER = (
    f"The paper reports {PAPER_CLEAN['VIMPO']} against {PAPER_CLEAN['GRPO']} on clean rewards and "
    f"{PAPER_NOISY['VIMPO']} against {PAPER_NOISY['GRPO']} on noisy ones, where the rewards of whole groups are "
    f"flipped together, with a model of {PAPER_PARAMETERS} parameters. Nothing here speaks about that size."
)
NOT_WIDENED = "\nIntervals are not widened for the number of comparisons.\n"
CREDIT = """**{verdict}.** Over the {rules} rules the correlation of AUC on own mistakes with sampled accuracy is {r}; the rules are no random sample (several share a gradient but for its scale), and single
runs of one rule are no independent points, so there is no correlation over runs here. The log-ratios point best at their own mistakes with {by_auc}; GRPO's AUC is {grpo_auc}. The highest
sampled accuracy is that of {by_accuracy}. No rule's gradient is clipped here: in the first round clipping shortened the gradients of rules whose loss is a sum, of PPO's critic, and of some runs of VinePPO and soft VIMPO. The
last two keep settings that were chosen with clipping, so a rerun by the command alone may choose others (see the [protocol](../experiments/README.md)).

**The learned critic**: {critic}. **Monte Carlo values**, the best credit there is (VinePPO): {vine}. On a task of 23 tokens with groups of 8 a reward for whole solutions already says much.

AUC is that of minus delta_t as a sign of the first wrong token: below .5 the log-ratio points away from the mistake. Pearson is that of delta_t itself with Monte Carlo Q - V: 1 would be perfect. Both are
read off each policy and its reference in the same way, on {solutions} of its own fresh solutions:
other solutions for each, so their figures compare what is left to find as much as the readings. On the same mistakes, those of the bundled VIMPO and GRPO policies pooled, AUC moves four times as much with whose
mistakes they are as with which policy they are read off (`python -m vimpo_core truth vimpo-beta-0.3 --set same --with grpo vimpo-beta-0.1 --solutions 256`).
"""
LEVERS = """**The value loss does the learning; a large actor ends in collapse, earlier at small beta.** The actor alone cannot learn at all: at the start all advantages are 0, so it never moves (tested; chapter 5 lets you press
it). Three seeds a setting, nothing tuned; differences in points, and in how many seeds it is ahead:

"""
LEVERS_SAID = """So the balance b = c_A / (0.4 T beta) orders the settings at one beta but does not carry over to another: at beta 0.1 the edge lies between b = 0.3 and 1, at beta 0.02 between 0.1 and 0.3. Below b = 0.1 nothing was
seen to break.

Collapse means that accuracy falls towards 0 while every number stays finite: the policy has run away. "Diverged" counts only runs that were stopped because a loss or a gradient was no longer finite, so a
collapsed run need not have diverged.
"""
SWITCHES = """Defaults with one setting changed, 25 % flips, {seeds} seeds, nothing tuned: this shows where to look and decides nothing.

In sampled accuracy above the defaults: {accuracy_above}; below: {accuracy_below}. In AUC on own mistakes, paired by seed, above: {auc_above}; below: {auc_below}. All others are open. With a refreshed reference
credit starts again from 0: step 100 falls on a refresh, so its KL is 0 and its AUC one half by construction.

Huber, normalised, k3 and the refreshed reference are switches of the authors' code too; the schedules of beta and c_A and this adaptive c_A are this lab's ([what differs](differences.md)). Groups of 4 and 16
change more than the noise of the baseline: at as many solutions a step they have other numbers of problems, and since the group's mean holds the solution itself they aim where beta times 4/3 and 16/15 would
(8/7 at the defaults).
"""
LEAST_GAIN = 0.1
"""Of sampled accuracy, that the protocol asks for."""
REAL_MODEL = """## A real language model

SmolLM2-135M-Instruct (the float32 of its Q4_1 weights) writes two everyday words backwards after four solved problems; {steps} steps of 8 x 8 solutions, an adapter on the upper 10 of 30 layers, {problems} test
problems. The untrained model is measured on the same problems with the same draws. The [protocol](../experiments/README.md) says why these runs are what they are: where nothing was tuned, both rules have the
settings of one trial, so that a difference between them is one at these settings and decides nothing.
"""
REAL_CREDIT = """
**Credit against truth by trying**, on the last snapshot's own solutions, {tries} fresh tries from both sides of a token: does minus delta_t point at the token after which the success rate falls most? So few wrong solutions
are left, and so few runs are measured, that this shows the method and decides nothing; intervals are over the solutions of one run, drawn again and again, not over seeds,
and one without width says that all of these few agree, not that it is certain.
"""
MADE = """## What made these numbers

All on the processor, one thread a run. CPU minutes are those of training and measuring; other work shared the two cores, so wall times say little."""

if __name__ == "__main__":
    main()
