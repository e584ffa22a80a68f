"""What the experiments say about VIMPO against GRPO, in sentences worked out from results.json. NumPy only.

`match` finds both arms at a share of flipped rewards, `difference` says who was ahead and whether the seeds can show
it, in each of the two measures that the protocol declares; `short_answer` has a line a share. Every interval is worked
out anew from the runs in the file (`experiment.estimates`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vimpo_core.experiment import estimates
from vimpo_core.files import read_text
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import fixed, percent, points
from vimpo_core.paths import ROOT

RESULTS = ROOT / "docs" / "results"
"""A folder an experiment, each with the results.json that its report was made from."""
SOURCES: dict[float, str] = {0.0: "family", 0.25: "noise", 0.4: "noise"}
"""Share of flipped training rewards -> the experiment that measures it."""
_GROUPS = ("group_noise", "with the rewards of a whole group flipped together, as the paper's authors do")
_REAL = (
    "real_tuned",
    "with a real language model of 135 million weights, 16 steps (VIMPO's trials held smaller learning rates than the "
    "one that GRPO's chose)",
)
_WIDER = ("real_wider", "with that model, other seeds and the same learning rates for both")
AGAIN: dict[float, tuple[tuple[str, str], ...]] = {
    0.0: (("clean", "with other seeds and 2,048 test problems"), _REAL, _WIDER),
    0.25: (_GROUPS, _REAL),
    0.4: (("noise_again", "with more trials and other seeds"), _GROUPS),
}
"""Share of flipped rewards -> experiments that asked again, each with what was different."""
CONTESTS: tuple[tuple[str, float, str], ...] = (
    ("family", 0.0, "clean rewards, 100 steps"),
    ("clean", 0.0, "clean again: other seeds, 2,048 problems, 8 trials"),
    ("noise", 0.25, "25 % of the rewards flipped, 100 steps"),
    ("noise", 0.4, "40 % of the rewards flipped, 100 steps"),
    ("noise_again", 0.4, "40 % flipped again: other seeds, 8 trials"),
    ("group_noise", 0.25, "25 % of the groups flipped, all rewards of a group together"),
    ("group_noise", 0.4, "40 % of the groups flipped, all rewards of a group together"),
    ("rare", 0.0, "7 numbers, 48 tokens, reference right once in eight, 100 steps"),
    ("epochs", 0.25, "25 % flipped, each batch used four times, 60 steps"),
    ("real_tuned", 0.0, "a real language model (135M), clean rewards, 16 steps"),
    ("real_tuned", 0.25, "the real language model, 25 % of the rewards flipped, 16 steps"),
    ("real_wider", 0.0, "the real model again: the same learning rates for both"),
)
"""Where VIMPO and GRPO were both tuned: experiment, share of flipped rewards, what is different there."""
PAIR = ("VIMPO", "GRPO")
"""The arms that are compared, by their names in the experiments' files."""
HOW = "sampled"
"""The measure that tuning chose by: every token drawn by its probability."""
GREEDY = "greedy"
"""The other declared measure: the likeliest token every time."""


@dataclass(frozen=True)
class Side:
    """One arm. mean, low, high: accuracy with its 95% interval, None below three seeds; seeds: (seed, accuracy, has it
    diverged), ascending.

    missing: seeds without a result; at_edge: settings chosen at the edge of their range; trials: how many of the
    range_size settings tuning tried; chosen: (setting, value); cpu_seconds: of a run.
    """

    name: str
    algorithm: str
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[tuple[int, float, bool], ...]
    missing: tuple[int, ...]
    at_edge: tuple[str, ...]
    trials: int
    range_size: int
    chosen: tuple[tuple[str, float], ...]
    cpu_seconds: float

    @property
    def diverged(self) -> tuple[int, ...]:
        return tuple(seed for seed, _, has_diverged in self.seeds if has_diverged)


@dataclass(frozen=True)
class Gap:
    """First minus second arm, paired by seed and problem, with its 95% interval, None below three seeds; ahead: seeds
    in which the first is better."""

    mean: float
    low: float | None
    high: float | None
    seeds: int
    ahead: int

    @property
    def leader(self) -> str:
        """ "first", "second", or "open": the interval holds 0, or there is none."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "open"
        return "first" if self.low > 0 else "second"


@dataclass(frozen=True)
class Match:
    """Two arms at one share of flipped rewards. gap: in sampled accuracy, greedy: in greedy; None where no seed has
    both.

    over: what the intervals are over, as `estimates.over` says.
    """

    noise: float
    first: Side
    second: Side
    gap: Gap | None
    greedy: Gap | None
    steps: int
    test_prompts: int
    over: str


def match(noise: float, folder: Path = RESULTS, source: str = "") -> Match | None:
    """Both arms of `PAIR` at this share of flipped rewards; None where that is not measured yet.

    source: the experiment, by default that of `SOURCES`.

    Raises:
        Mistake: results.json is there and is not one of an experiment.
    """
    source = source or SOURCES.get(noise, "")
    path = folder / source / "results.json"
    if not source or not path.is_file():
        return None
    try:
        return _match(_read(path, path.stat().st_mtime_ns), noise)
    except (KeyError, TypeError, AttributeError) as error:
        raise Mistake(
            f"{source}/results.json is not an experiment's results: {error!r}. Write the report again."
        ) from None


def matches_again(noise: float, folder: Path = RESULTS) -> list[tuple[str, Match]]:
    """What `AGAIN` has for this share and is measured: what was different, and the match."""
    found = [(words, match(noise, folder=folder, source=source)) for source, words in AGAIN.get(noise, ())]
    return [(words, again) for words, again in found if again is not None]


def difference(found: Match, how: str = HOW) -> str:
    """ "VIMPO minus GRPO, sampled: −0.4 points, 95 % −2.1 to +1.3, ahead in 2 of 5 seeds: no difference that 5 seeds
    can show."

    how: HOW or GREEDY.
    """
    gap = found.greedy if how == GREEDY else found.gap
    between = f"{found.first.name} minus {found.second.name}, {how}"
    if gap is None:
        return f"{between}: no seed has a result of both, so there is no paired difference yet."
    if gap.low is None or gap.high is None:
        on = "one seed, which" if gap.seeds == 1 else f"{gap.seeds} seeds, which"
        return (
            f"{between}: {points(gap.mean)} points on {on} cannot show a difference: other seeds may come out "
            f"otherwise."
        )
    return (
        f"{between}: {points(gap.mean)} points, 95 % {points(gap.low)} to {points(gap.high)}, ahead in {gap.ahead} of "
        f"{gap.seeds} seeds: {_verdict(found, gap)}."
    )


def switch(name: str, folder: Path = RESULTS) -> str:
    """What one changed setting did to sampled accuracy in the experiment "switches", against the defaults; says so
    where it is not measured.
    """
    path = folder / "switches" / "results.json"
    arms = _read(path, path.stat().st_mtime_ns)["blocks"][0]["arms"] if path.is_file() else []
    gap = next((_gap((arm["difference"] or {}).get(HOW)) for arm in arms if arm["name"] == name), None)
    if gap is None or gap.low is None or gap.high is None:
        return f"{name}: not measured yet."
    better = {"first": "better", "second": "worse"}.get(gap.leader, f"no difference that {gap.seeds} seeds can show")
    return f"{points(gap.mean)} points, 95 % {points(gap.low)} to {points(gap.high)}: {better}"


def price(found: Match) -> str:
    """What tuning tried and chose for both arms, and what a run of each cost; "" where an arm was not tuned."""
    sides = (found.second, found.first)
    if not all(side.range_size and side.chosen for side in sides):
        return ""
    tried = " and ".join(f"{side.trials} of {side.range_size} settings of {side.name}" for side in sides)
    is_uneven = len({side.trials / side.range_size for side in sides}) > 1
    chosen = "; ".join(f"{side.name} {', '.join(f'{name} {value:g}' for name, value in side.chosen)}" for side in sides)
    cost = " and ".join(f"{side.cpu_seconds:.0f} CPU seconds with {side.name}" for side in sides)
    coverage = ": as many trials cover less of the rule with more settings" if is_uneven else ""
    noise = "What another tuning would have chosen is in no interval."
    return f"Tuning tried {tried}{coverage}. Chosen: {chosen}. {noise} A run took {cost}."


def warnings(found: Match) -> list[str]:
    """What a reader must know before believing the numbers: missing and diverged runs, settings at the edge of their
    range.
    """
    said = []
    if found.over == "seeds":
        said.append(
            "Outcomes were not kept problem by problem: differences have an interval over seeds alone, to which other "
            "problems would add, and accuracies have none."
        )
    for side in (found.second, found.first):
        if side.missing:
            said.append(f"{side.name} has no result yet for {_seeds(side.missing)}.")
        if side.diverged:
            is_one = len(side.diverged) == 1
            said.append(
                f"{side.name} diverged with {_seeds(side.diverged)}: {'it counts' if is_one else 'they count'} as at "
                "the last saved step."
            )
        if side.at_edge:
            said.append(
                f"Tuning chose {', '.join(map(_said, side.at_edge))} of {side.name} at the edge of "
                f"{'its' if len(side.at_edge) == 1 else 'their'} range: the best may lie beyond."
            )
    return said


def _said(setting: str) -> str:
    return {"actor_coef": "c_A", "gae_lambda": "lambda"}.get(setting, setting.replace("_", " "))


def loss_by_noise(clean: Match, noisy: Match) -> tuple[str, str]:
    """Who loses more accuracy to flipped rewards: "first", "second" or "open", and the sentence that says so.

    Clean and noisy runs have other seeds and their own tuning, so the two differences are taken as independent, and
    their half widths add as squares. They share the test problems, whose part of the variance of a difference is small.
    """
    lost = {side.name: side.mean for side in (clean.first, clean.second)}
    for side in (noisy.first, noisy.second):
        lost[side.name] -= side.mean
    first, second = clean.first.name, clean.second.name
    facts = (
        f"With {percent(noisy.noise)} flipped {second} loses {fixed(100 * lost[second], 1)} points and {first} "
        f"{fixed(100 * lost[first], 1)}"
    )
    a, b = clean.gap, noisy.gap
    if a is None or b is None or a.low is None or a.high is None or b.low is None or b.high is None:
        return "open", f"{facts}; so few seeds cannot tell which of them loses more."
    more = a.mean - b.mean
    low = more - math.hypot(a.mean - a.low, b.high - b.mean)
    high = more + math.hypot(a.high - a.mean, b.mean - b.low)
    who = "first" if low > 0 else "second" if high < 0 else "open"
    verdict = {"first": f"{first} loses more", "second": f"{second} loses more"}.get(
        who, "these seeds cannot tell which of them loses more"
    )
    return who, (
        f"{facts}. The difference of the two losses is {points(more)} points, 95 % {points(low)} to {points(high)}: "
        f"{verdict}."
    )


def who_leads(noise: float, folder: Path = RESULTS) -> str:
    """ "first", "second", or "open": the interval of the difference holds 0, or it is not measured yet."""
    found = match(noise, folder)
    return "open" if found is None or found.gap is None else found.gap.leader


def short_answer(folder: Path = RESULTS) -> tuple[str, ...]:
    """A line for each share of flipped rewards, for pages without room for a table; says so where nothing is
    measured.
    """
    return tuple(_short(noise, folder) for noise in SOURCES)


# --- inside ----------------------------------------------------------------------------------------------------------


def _short(noise: float, folder: Path) -> str:
    where = f"With {percent(noise)} of the rewards flipped" if noise else "On clean rewards"
    found = match(noise, folder)
    if found is None:
        return f"{where}: not measured yet."
    again = [f"Asked again, {words}, {_both(other)}" for words, other in matches_again(noise, folder)]
    return " ".join([f"{where}, {_both(found)}", *again])


def _both(found: Match) -> str:
    """The difference in both measures, the greedy one where there is one."""
    return difference(found) + (f" {difference(found, GREEDY)}" if found.greedy else "")


def _verdict(found: Match, gap: Gap) -> str:
    better = {"first": found.first.name, "second": found.second.name}.get(gap.leader)
    return f"{better} is better here" if better else f"no difference that {gap.seeds} seeds can show"


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> Any:
    try:
        found = json.loads(read_text(path))
    except ValueError:
        raise Mistake(f"{path.parent.name}/results.json is damaged: it is not JSON. Write the report again.") from None
    return estimates.with_intervals(found)


def _match(found: Mapping, noise: float) -> Match | None:
    usual = found["base"].get("reward_noise", 0.0)
    blocks = [block for block in found["blocks"] if block["settings"].get("reward_noise", usual) == noise]
    arms = {arm["name"]: arm for block in blocks for arm in block["arms"]}
    if any(name not in arms or arms[name][HOW] is None for name in PAIR):
        return None
    first, second = (arms[name] for name in PAIR)
    gap, greedy = (_gap(first["difference"][how] if first["difference"] else None) for how in (HOW, GREEDY))
    return Match(
        noise, _side(first), _side(second), gap, greedy, found["steps"], found["test_prompts"], estimates.over(found)
    )


def _gap(gap: Mapping | None) -> Gap | None:
    return None if gap is None else Gap(gap["mean"], gap["low"], gap["high"], gap["seeds"], gap["ahead"])


def _side(arm: Mapping) -> Side:
    runs = sorted((run["seed"], run[HOW], run["state"] == "diverged") for run in arm["runs"])
    estimate = arm[HOW]
    return Side(
        arm["name"],
        arm["algorithm"],
        estimate["mean"],
        estimate["low"],
        estimate["high"],
        tuple(runs),
        tuple(arm["missing"]),
        tuple(arm["at_edge"]),
        len(arm["trials"]),
        arm["range_size"],
        tuple((arm["chosen"] or {}).items()),
        arm["cpu_seconds"]["mean"],
    )


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
