"""What the same mistakes read off several policies say, in sentences worked out from the numbers: above all whether the
readings differ, or only what there is to find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from app.words.findings import FEW, Finding, where_told_apart
from vimpo_core.measure.same_mistakes import DELTA, REFERENCE, SURPRISAL
from vimpo_core.numbers import fixed, signed
from vimpo_core.rules import RULES

_MUCH = 1.5
"""By which factor one spread must exceed the other to be called the larger."""


def names_of(runs: Sequence[dict]) -> dict[str, str]:
    """run_id -> what its policy is called: rule and beta, its id where that tells it from no other."""
    short = {run["run_id"]: _short(run) for run in runs}
    return {
        run_id: name if list(short.values()).count(name) == 1 else f"{name} ({run_id})"
        for run_id, name in short.items()
    }


def _short(run: dict) -> str:
    rule = RULES[run["algorithm"]]
    return rule.name + (f" β {run['beta']:g}" if "beta" in rule.settings else "")


def reading_name(reading: str, names: dict[str, str]) -> str:
    kind, _, run_id = reading.partition("/")
    return {
        DELTA: f"δ off {names.get(run_id)}",
        SURPRISAL: f"surprisal of {names.get(run_id)}",
        REFERENCE: "surprisal of the reference",
    }[kind]


def same_findings(report: dict) -> list[Finding]:
    """The sentences for one `same_report.same_report`, for the first of its runs: warnings, then what follows, where
    its reading wins, loses, and what stays open."""
    names = names_of(report["runs"])
    found = [*_warnings(report, names)]
    if all(report["by_writer"][run["run_id"]][REFERENCE]["auc"] is not None for run in report["runs"]):
        found += [_what_decides(report, names), _on_own(report, names)]
    first = f"{DELTA}/{report['runs'][0]['run_id']}"
    if report["n_solutions"]:
        found += [_told(report, one, names) for one in report["differences"] if first in (one["of"], one["minus"])]
    order = ("warning", "spread", "loses", "wins", "open")
    return sorted(found, key=lambda one: order.index(one.kind))


def _warnings(report, names):
    for run in report["runs"]:
        if run["n"] < report["solutions"]:
            yield Finding("warning", f"{names[run['run_id']]} wrote only {run['n']} wrong solutions: seldom wrong.")
    if 0 < report["n_solutions"] < FEW:
        yield Finding("warning", f"{report['n_solutions']} wrong solutions are few. Measure more before you conclude.")


def _what_decides(report, names) -> Finding:
    """Whether the figures move more with whose mistakes they are or with who reads them."""
    runs = [run["run_id"] for run in report["runs"]]
    by_writer = _spread(lambda reader, writer: _auc(report, reader, writer), runs)
    by_reader = _spread(lambda writer, reader: _auc(report, reader, writer), runs)
    facts = (
        f"read off one policy, the AUC of δ moves by {_2(by_writer)} from one run's mistakes to another's; on one "
        f"run's mistakes it moves by {_2(by_reader)} from policy to policy (means of highest minus lowest)"
    )
    own = ", ".join(f"{_2(_auc(report, run, run))} of {names[run]}" for run in runs)
    if by_writer > _MUCH * by_reader:
        return Finding(
            "spread",
            f"Whose mistakes they are matters more than who reads them: {facts}. So figures that each policy gets on "
            f"its own mistakes ({own}) compare what is left to find, hardly the readings.",
        )
    if by_reader > _MUCH * by_writer:
        return Finding("spread", f"Who reads them matters more than whose mistakes they are: {facts}.")
    return Finding("spread", f"Who reads them and whose mistakes they are matter about as much: {facts}.")


def _on_own(report, names) -> Finding:
    """How a policy's own reading of its own mistakes stands among the others' readings of them."""
    runs = [run["run_id"] for run in report["runs"]]
    lowest = [w for w in runs if all(_auc(report, w, w) <= _auc(report, r, w) for r in runs)]
    clear = [(w, r) for w, r in product(runs, runs) if w != r and _difference(report, r, w, w)[1] > 0]
    others = len(runs) * (len(runs) - 1)
    is_usual = 2 * len(clear) >= others
    why = " A mistake that a policy still makes is one that its own δ was not turned against." if is_usual else ""
    return Finding(
        "spread",
        f"On its own mistakes a policy's own δ has the lowest AUC of all δ in {len(lowest)} of {len(runs)} runs; "
        f"another policy's is clearly higher in {len(clear)} of {others} pairs.{why}",
    )


def _told(report, one, names) -> Finding:
    """The first run's reading against one rival over the pool, told apart only where the paired interval is."""
    first, sign = f"{DELTA}/{report['runs'][0]['run_id']}", 1
    rival = one["minus"]
    if one["of"] != first:
        rival, sign = one["of"], -1
    ours, theirs = report["readings"][first], report["readings"][rival]
    lead = {key: _signed_bounds(one["pool"], key, sign) for key in ("auc", "top1")}
    said = ["wins" if low > 0 else "loses" if high < 0 else "open" for _, low, high in lead.values()]
    kinds, where = set(said), where_told_apart(said)
    facts = (
        f"AUC {_3(ours['auc'])} against {_3(theirs['auc'])} (difference {_with_bounds(lead['auc'])}), "
        f"top-1 {_3(ours['top1'])} against {_3(theirs['top1'])} ({_with_bounds(lead['top1'])})"
    )
    if rival.startswith(DELTA):
        parts = ((names[by], sign * found["auc"]) for by, found in one["by_writer"].items() if found["auc"] is not None)
        facts += f"; in AUC {', '.join(f'{signed(gap, 3)} on those of {name}' for name, gap in parts)}"
    a, b = reading_name(first, names), reading_name(rival, names)
    if kinds in ({"wins"}, {"wins", "open"}):
        return Finding("wins", f"{_capital(a)} finds the first wrong token better than {b}{where}: {facts}.")
    if kinds in ({"loses"}, {"loses", "open"}):
        return Finding("loses", f"{_capital(a)} finds the first wrong token less well than {b}{where}: {facts}.")
    verdict = "it depends on the measure" if len(kinds) > 1 else "cannot be told apart"
    return Finding("open", f"{_capital(a)} and {b}: {verdict}: {facts}.")


def _spread(auc: Callable[[str, str], float], runs: Sequence[str]) -> float:
    """Highest minus lowest over the second, on average over the first."""
    return sum(max(auc(a, b) for b in runs) - min(auc(a, b) for b in runs) for a in runs) / len(runs)


def _auc(report, reader: str, writer: str) -> float:
    return report["by_writer"][writer][f"{DELTA}/{reader}"]["auc"]


def _difference(report, a: str, b: str, writer: str) -> tuple[float, float, float]:
    """AUC of delta off `a` minus that off `b` on one run's mistakes: value, low, high."""
    for one in report["differences"]:
        if {one["of"], one["minus"]} == {f"{DELTA}/{a}", f"{DELTA}/{b}"}:
            return _signed_bounds(one["by_writer"][writer], "auc", 1 if one["of"] == f"{DELTA}/{a}" else -1)
    raise KeyError((a, b))


def _signed_bounds(found: dict, key: str, sign: int) -> tuple[float, float, float]:
    value, low, high = (sign * found[f"{key}{end}"] for end in ("", "_low", "_high"))
    return value, min(low, high), max(low, high)


def _with_bounds(bounds: tuple[float, float, float]) -> str:
    value, low, high = (signed(one, 3) for one in bounds)
    return f"{value}, 95% {low} to {high}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:] if text[0] != "δ" else text


def _2(value: float) -> str:
    return fixed(value, 2)


def _3(value: float) -> str:
    return fixed(value, 3)
