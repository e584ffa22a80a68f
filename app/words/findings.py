"""What a scorecard says, in sentences worked out from its numbers: above all where implied credit loses. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vimpo_core import intervals
from vimpo_core.numbers import fixed, percent, signed

FEW = 100
"""Fewer solutions than this are called few: seed 0's first 64 fixed ones say AUC .995 where its 256 say .952."""

NAMES: dict[str, str] = {
    "implied_advantage": "implied credit δ",
    "implied_advantage_whitened": "implied A, whitened",
    "surprisal_policy": "surprisal of the policy",
    "surprisal_reference": "surprisal of the reference",
    "entropy": "entropy of the policy",
    "grpo": "flat: every token alike (GRPO)",
    "first_token": "always the first token",
    "random": "random",
}
"""What the signals of `scorecard.SIGNALS` are called in sentences and figures."""


Kind = Literal["wins", "loses", "spread", "open", "warning"]


@dataclass(frozen=True)
class Finding:
    """One sentence and whether it speaks for implied credit: "wins", "loses", "open"; "spread" says on how many tokens
    it lies, "warning" something about the numbers."""

    kind: Kind
    text: str


def findings(report: dict) -> list[Finding]:
    """The sentences for one `truth_report.truth_report`, warnings first, then where implied credit loses, wins, and
    neither.
    """
    found = [*_warnings(report)]
    if "implied_advantage" in report["signals"]:
        found += [
            *(_against(report, rival) for rival in ("surprisal_policy", "surprisal_reference")),
            _against_chance(report),
            *_whitened(report),
        ]
    found += [*_concentration(report), *_pearson(report), *_values(report)]
    order = ("warning", "loses", "wins", "spread", "open")
    return sorted((f for f in found if f), key=lambda f: order.index(f.kind))


def over_seeds(reports: Sequence[dict]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """For each signal, and each of top1, top3 and auc: mean, lowest and highest over runs that differ in the seed
    alone.
    """
    shared = [name for name in reports[0]["signals"] if all(name in r["signals"] for r in reports)]
    return {
        name: {key: _spread([r["signals"][name][key] for r in reports]) for key in ("top1", "top3", "auc")}
        for name in shared
    }


def seeds_finding(reports: Sequence[dict]) -> Finding:
    """How the order of implied credit and the policy's surprisal holds over seeds: decided where the t interval of the
    difference of their AUC, paired by seed, leaves 0 out, and never below three seeds."""
    card = over_seeds(reports)
    if "implied_advantage" not in card or "surprisal_policy" not in card:
        return Finding("open", "These runs did not all find a wrong solution to look at.")
    implied, surprisal = card["implied_advantage"]["auc"], card["surprisal_policy"]["auc"]
    gaps = [r["signals"]["implied_advantage"]["auc"] - r["signals"]["surprisal_policy"]["auc"] for r in reports]
    lead, n, ahead = intervals.over_seeds(gaps, -1.0, 1.0), len(reports), sum(gap > 0 for gap in gaps)
    seeds, few = ("1 seed", "One seed is") if n == 1 else (f"{n} seeds", "Two seeds are")
    facts = (
        f"Over {seeds} the AUC of implied credit is {_2(implied[0])} ({_2(implied[1])} to {_2(implied[2])}, lowest "
        f"and highest seed), that of the policy's own surprisal {_2(surprisal[0])} ({_2(surprisal[1])} to "
        f"{_2(surprisal[2])}): implied credit is ahead in {ahead} of {n}."
    )
    if lead is None or lead.low is None or lead.high is None:
        return Finding("open", f"{facts} {few} an illustration, not evidence.")
    kind: Kind = "wins" if lead.low > 0 else "loses" if lead.high < 0 else "open"
    bounds = f"{signed(lead.mean)}, 95% {signed(lead.low)} to {signed(lead.high)} over seeds"
    return Finding(
        kind,
        f"{facts} The difference is {bounds}; all seeds are asked the same problems, so what others would change is "
        f"not in it.",
    )


def _spread(values) -> tuple[float, float, float]:
    return sum(values) / len(values), min(values), max(values)


FIRST_WRONG = "first wrong token"


def target_name(report: dict) -> str:
    """What the signals of a report look for: the first wrong token, or the largest true drop where no step verifier
    knows that one.
    """
    return report.get("target", FIRST_WRONG)


def _warnings(report):
    n, asked = report["n_solutions"], report["solutions"]
    wrong = report.get("n_wrong", n)
    if target_name(report) != FIRST_WRONG:
        yield Finding("warning", _instead_of_the_first_wrong(report))
    if wrong == 0:
        yield Finding("warning", f"No wrong solution was found, so there is no {target_name(report)} to look for.")
    elif wrong < asked:
        yield Finding(
            "warning",
            f"Only {wrong} wrong solutions were found, {asked} were asked for: this policy is seldom wrong.",
        )
    if 0 < n < FEW:
        yield Finding(
            "warning",
            f"{n} wrong solutions are few. Rare, complete misses decide an AUC, and a small set may hold none of them: "
            "its interval is then too narrow. Measure 256 before you conclude.",
        )
    if "credit_note" in report:
        yield Finding("warning", report["credit_note"])
    if report["step"] == 0:
        yield Finding("warning", "Step 0 is untrained: implied credit is 0 everywhere and can point nowhere.")


def _instead_of_the_first_wrong(report) -> str:
    said = (
        "This task judges answers, not steps, so nobody knows a first wrong token. Signals are measured against the "
        "largest true drop instead: the token after which this policy's own mean reward, found by trying, falls most. "
        f"Of {report['n_wrong']} wrong solutions {report['n_solutions']} have one above the noise of "
        f"{report['drop_tries']} fresh tries before and after it"
    )
    if report["mean_drop"] is not None:
        said += f" (by {_2(report['mean_drop'])} on average)"
    return (
        f"{said}; the others are left out. This took {report['drop_rollouts']:,} tries. Where another token's drop is "
        "really larger, every signal is pulled towards guessing."
    )


def _against(report, rival: str) -> Finding | None:
    """Implied credit against one rival, by AUC and top-1, told apart only where the interval of the difference is."""
    if rival not in report["lead_of_implied"]:
        return None
    implied, other, lead = (
        report["signals"]["implied_advantage"],
        report["signals"][rival],
        report["lead_of_implied"][rival],
    )
    kinds = [_told_apart(lead, key) for key in ("auc", "top1")]
    facts = (
        f"AUC {_3(implied['auc'])} against {_3(other['auc'])} (difference {_with_interval(lead, 'auc')}), "
        f"top-1 {_3(implied['top1'])} against {_3(other['top1'])} ({_with_interval(lead, 'top1')})"
    )
    who = NAMES[rival]
    if "loses" in kinds and "wins" in kinds:
        better, worse = ("top-1", "AUC") if kinds[0] == "loses" else ("AUC", "top-1")
        return Finding(
            "open", f"Against {who} it depends on the measure: better in {better}, worse in {worse}: {facts}."
        )
    if "loses" in kinds:
        where = where_told_apart(kinds)
        return Finding("loses", f"Implied credit finds the {target_name(report)} less well than {who}{where}: {facts}.")
    if "wins" in kinds:
        where = where_told_apart(kinds)
        return Finding("wins", f"Implied credit finds the {target_name(report)} better than {who}{where}: {facts}.")
    return Finding(
        "open",
        f"Implied credit and {who} cannot be told apart on {report['n_solutions']} solutions: {facts}.",
    )


def where_told_apart(kinds: list[str]) -> str:
    """Which of AUC and top-1 decides, "" when both do. `kinds`: what each says, "open" where its interval holds 0."""
    if "open" not in kinds:
        return ""
    decides, leaves_open = ("AUC", "top-1") if kinds[1] == "open" else ("top-1", "AUC")
    return f" by {decides}, while {leaves_open} leaves it open"


def _against_chance(report) -> Finding | None:
    implied = report["signals"]["implied_advantage"]
    if implied["auc_low"] > 0.5:
        return None
    word = "worse than" if implied["auc_high"] < 0.5 else "not clearly better than"
    return Finding(
        "loses",
        f"By AUC implied credit is {word} guessing (0.5) on this set: {_with_interval(implied, 'auc', written=fixed)}.",
    )


def _whitened(report):
    if _told_apart(report["lead_of_implied"]["implied_advantage_whitened"], "top1") != "wins":
        return
    whitened, implied = (report["signals"][n] for n in ("implied_advantage_whitened", "implied_advantage"))
    yield Finding(
        "loses",
        f"What the actor loss multiplies, A whitened at lambda {report['gae_lambda']:g}, points far less well than the "
        f"one-step credit δ: top-1 {_3(whitened['top1'])} against {_3(implied['top1'])}. Accumulated to the end, A "
        "blames every token before the mistake too.",
    )


_DEGENERATE = 1.1
"""Effective tokens below which credit lies on one token, and by which factor of all it must fall short to tell tokens
apart.
"""


def _concentration(report):
    """Whether credit degenerates: all on one token, or the same on all of them."""
    implied = report["signals"].get("implied_advantage", {})
    tokens, length = implied.get("effective_tokens"), report.get("mean_tokens")
    if tokens is None or length is None:
        return
    rivals = [
        f"{NAMES[name]} on {_1(found['effective_tokens'])} ({_2(found['gini'])})"
        for name in ("surprisal_policy", "grpo")
        if (found := report["signals"].get(name, {})).get("effective_tokens") is not None
    ]
    said = (
        f"Implied credit δ lies in effect on {_1(tokens)} of {_1(length)} tokens of a wrong solution (Gini "
        f"{_2(implied['gini'])}; 0 would be all tokens alike, 1 all on one)"
    )
    if tokens < _DEGENERATE:
        verdict = "It degenerates to a single token: of the others it says nothing."
    elif tokens * _DEGENERATE > length:
        verdict = "It is nearly flat: it hardly tells tokens apart."
    else:
        verdict = "It neither degenerates to one token nor is it flat."
    beside = f", {' and '.join(rivals)}" if rivals else ""
    yield Finding("spread", f"{said}{beside}. {verdict}")


def _pearson(report):
    value = report["pearson_advantage"]
    if value is None:
        return
    said = f"Pearson {_with_interval(report, 'pearson_advantage', written=fixed)} over {report['n_compared']} solutions"
    if report["pearson_advantage_low"] > 0:
        yield Finding("wins", f"Implied δ follows Monte Carlo's Q − V: {said}; 1 would be perfect.")
    else:
        yield Finding("loses", f"Implied δ does not clearly follow Monte Carlo's Q − V on this set: {said}.")


def _values(report):
    reduction = report["rmse_reduction"]
    if reduction is None:
        return
    interval = f"{percent(report['rmse_reduction_low'])} to {percent(report['rmse_reduction_high'])}"
    said = (
        f"it is off by {_3(report['value_rmse'])}, the best constant by {_3(report['constant_rmse'])}, a gain of "
        f"{percent(reduction)} ({interval}); Monte Carlo's own noise is {_3(report['monte_carlo_rmse'])}"
    )
    start = 1 - report["start_rmse"] / report["constant_rmse"]
    anchor = _anchor(start, reduction) if start > 0 else ""
    if report["rmse_reduction_low"] > 0:
        # What the anchor gains by itself was known before any credit was read.
        kind: Kind = "open" if start >= reduction > 0 else "wins"
        yield Finding(
            kind, f"Implied V tells more about what the policy earns from there than any constant: {said}.{anchor}"
        )
    else:
        yield Finding("loses", f"Implied V is not clearly better than a constant: {said}.{anchor}")


def _anchor(start: float, reduction: float) -> str:
    """These solutions have no group, so V_0 is the prompt's Monte Carlo value: what that gains is not the credit's
    doing.
    """
    kept = f"V kept at the prompt's own Monte Carlo value, where these curves start, gains {percent(start)}"
    if percent(start) == percent(reduction):
        return f" All of that is the anchor: {kept} by itself."
    return (
        f" Part of that is the anchor: {kept} by itself."
        if start < reduction
        else f" The anchor alone does better: {kept}."
    )


def _told_apart(lead, key) -> str:
    if lead[f"{key}_low"] > 0:
        return "wins"
    return "loses" if lead[f"{key}_high"] < 0 else "open"


def _with_interval(numbers, key, written=signed) -> str:
    value, low, high = (written(numbers[f"{key}{end}"], 3) for end in ("", "_low", "_high"))
    return f"{value}, 95% {low} to {high}"


def _1(value: float) -> str:
    return fixed(value, 1)


def _2(value: float) -> str:
    return fixed(value, 2)


def _3(value: float) -> str:
    return fixed(value, 3)
