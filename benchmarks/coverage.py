"""How often the lab's 95% intervals hold a known truth, by simulation with the lab's own functions.

    python -m vimpo_core bench coverage --json

Accuracies and their paired differences: a problem is solved where a normal sum of problem, seed, arm and chance is
above 0, with shares of the variance that give the components measured in the experiments (below). The truth is then a
normal probability. Numbers over seeds: normal ones, and as skewed as KL, AUC on own mistakes and shares near 1 are.
Correlations: of normal pairs. A row says how often the interval held the truth, with the Monte Carlo error of that
share, and its mean width in points (accuracies) or standard deviations. "before" is what was published until November
2026: seeds and problems drawn again independently of each other (here by the variance of those draws, with normal
quantiles), or the percentile bootstrap over seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from vimpo_core import intervals

NORMAL = NormalDist()
SEED = 0
SEEDS, SEED_SDS, PROBLEMS = (3, 5, 10), (0.0, 0.01, 0.03), (512, 2048)
TRIALS = {512: 3000, 2048: 1500}
_BEFORE_DRAWS, _BEFORE_TRIALS = 1000, 1000


@dataclass(frozen=True)
class World:
    """Where outcomes come from: accuracies of the two arms, and shares of the latent variance.

    problem: how hard it is for both arms; arm_problem: for one of them; shared: part of what is left that both arms
    have in common in a run of one seed (their draws and training problems). Variance between problems and of the rest
    come out as (.058, .138) for a sampled accuracy, (.001, .16) for a difference of two; greedy (.046, .044) and (.008,
    .085). Measured over the first round's experiments with 25 % flips: (.054 to .059, .138 to .147), (.003, .137);
    greedy (.047 to .053, .038 to .061), (.002 to .018, .046 to .094).
    """

    accuracies: tuple[float, float]
    problem: float
    arm_problem: float
    shared: float


WORLDS = {
    "sampled": World((0.73, 0.74), problem=0.47, arm_problem=0.005, shared=0.7),
    "greedy": World((0.90, 0.87), problem=0.75, arm_problem=0.03, shared=0.1),
}


@dataclass(frozen=True)
class Row:
    """problems and seed_sd (a share, of accuracy or difference) are None where they play no part."""

    quantity: str
    seeds: int
    problems: int | None
    seed_sd: float | None
    coverage: float
    error: float
    width: float
    before: float | None


# ---- accuracies and their differences


def outcomes(
    world: World,
    trials: int,
    seeds: int,
    problems: int,
    seed_sd: float,
    rng: np.random.Generator,
    arms: int = 2,
) -> tuple[np.ndarray, list[float]]:
    """Outcomes float32 [trials, arms, seeds, problems], and each arm's true accuracy over all seeds and problems.

    seed_sd: of an accuracy where there is one arm, of the difference where there are two.
    """

    def normal(*shape):
        return rng.standard_normal((trials, *shape), dtype=np.float32)

    places = [NORMAL.inv_cdf(share) for share in world.accuracies[:arms]]
    rest = 1 - world.problem - world.arm_problem
    own_problem, common = math.sqrt(world.arm_problem), math.sqrt(rest * world.shared)
    own = math.sqrt(rest * (1 - world.shared))
    of_problem, of_both = math.sqrt(world.problem) * normal(1, problems), common * normal(seeds, problems)
    solved = np.empty((trials, arms, seeds, problems), dtype=np.float32)
    truths = []
    for arm, place in enumerate(places):
        # A seed moves the latent place by so much that the accuracy moves by seed_sd.
        of_seed = seed_sd / NORMAL.pdf(place) / math.sqrt(arms)
        latent = place + of_problem + of_both + own * normal(seeds, problems)
        latent += own_problem * normal(1, problems) + of_seed * normal(seeds, 1)
        solved[:, arm] = latent > 0
        truths.append(NORMAL.cdf(place / math.sqrt(1 + of_seed**2)))
    return solved, truths


def accuracy_row(how: str, paired: bool, seeds: int, problems: int, seed_sd: float, trials: int, rng) -> Row:
    """Coverage of an accuracy, or of a paired difference of two."""
    arms, held, widths, before = 1 + paired, [], [], []
    for count in _batches(trials, arms * seeds * problems):
        solved, truths = outcomes(WORLDS[how], count, seeds, problems, seed_sd, rng, arms)
        truth = truths[0] - truths[1] if paired else truths[0]
        for trial in solved:
            found = intervals.paired_difference(*trial) if paired else intervals.two_way(trial[0], 0.0, 1.0)
            held.append(found.low <= truth <= found.high)
            widths.append(found.high - found.low)
            before.append(_drawn_again(trial[0] - trial[1] if paired else trial[0], truth))
    quantity = f"{'difference of two accuracies' if paired else 'accuracy'}, {how}"
    return _row(quantity, seeds, problems, seed_sd, held, 100 * np.mean(widths), np.mean(before))


def _drawn_again(values: np.ndarray, truth: float) -> bool:
    """The interval of before: seeds and problems drawn again, each for itself, with replacement."""
    values = values.astype(np.float64)
    seeds, problems = values.shape
    mean = values.mean()
    of_seed, of_problem = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - of_seed[:, None] - of_problem
    variance = (of_seed**2).mean() / seeds + (of_problem**2).mean() / problems + (rest**2).mean() / (seeds * problems)
    return abs(mean - truth) <= intervals.Z_95 * math.sqrt(variance)


def _batches(trials: int, size: int) -> Iterator[int]:
    most = max(1, 2_000_000 // size)
    for start in range(0, trials, most):
        yield min(most, trials - start)


# ---- one number a seed


def _normal(shape, rng):
    return rng.normal(size=shape), 0.0, 1.0


def _kl(shape, rng):
    """Log-normal, as KL and CPU seconds are: standard deviation of the logarithm 0.3."""
    return np.exp(rng.normal(0, 0.3, shape)), math.exp(0.045), math.exp(0.045) * math.sqrt(math.exp(0.09) - 1)


def _auc(shape, rng):
    """Means of 30 solutions' AUC, most of them near 1 and some near 0, which move with the seed."""
    centre = rng.beta(12, 8, shape)
    solutions = rng.beta(1.4 * centre[..., None], 1.4 * (1 - centre)[..., None], (*shape, 30))
    variance = 0.6 * 0.4 / 21
    within = (0.6 * 0.4 - variance) / (1.4 + 1) / 30
    return solutions.mean(axis=-1), 0.6, math.sqrt(variance + within)


def _share(shape, rng):
    """Shares near 1: greedy accuracies of 512 problems each, mean .93 with a seed's standard deviation of .025."""
    p = rng.beta(96.9, 7.3, shape)
    mean = 96.9 / 104.2
    variance = mean * (1 - mean) / 105.2
    return rng.binomial(512, p) / 512, mean, math.sqrt(variance + (mean * (1 - mean) - variance) / 512)


NUMBERS: dict[str, Callable] = {
    "normal": _normal,
    "skewed as KL": _kl,
    "skewed as an AUC": _auc,
    "a share near 1": _share,
}


def numbers_row(name: str, seeds: int, trials: int, rng) -> Row:
    values, truth, sd = NUMBERS[name]((trials, seeds), rng)
    found = [intervals.over_seeds(row.tolist()) for row in values]
    held = [estimate.low <= truth <= estimate.high for estimate in found]
    width = np.mean([estimate.high - estimate.low for estimate in found]) / sd
    # Percentile bootstrap: the draws' counts are the same for every trial, which only saves time.
    counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=_BEFORE_DRAWS)
    low, high = np.quantile(values[:_BEFORE_TRIALS] @ counts.T / seeds, [0.025, 0.975], axis=1)
    before = np.mean((low <= truth) & (truth <= high))
    return _row(f"mean over seeds, {name}", seeds, None, None, held, width, before)


# ---- correlation over rules


def correlation_row(r: float, n: int, trials: int, rng) -> Row:
    x = rng.normal(size=(trials, n))
    y = r * x + math.sqrt(1 - r**2) * rng.normal(size=(trials, n))
    found = [intervals.correlation(a, b) for a, b in zip(x, y, strict=True)]
    width = np.mean([c.high - c.low for c in found])
    return _row(
        f"correlation {r:+.1f} over {n} rules",
        n,
        None,
        None,
        [c.low <= r <= c.high for c in found],
        width,
        None,
    )


# ---- the table


def rows(repeats: int | None = None) -> Iterator[Row]:
    """Every row; `repeats`: trials of each, default `TRIALS` and 4,000 where a trial is cheap."""
    rng = np.random.default_rng(SEED)
    for problems in PROBLEMS:
        for paired in (True, False):
            for how in WORLDS:
                for seeds in SEEDS:
                    for sd in SEED_SDS:
                        yield accuracy_row(how, paired, seeds, problems, sd, repeats or TRIALS[problems], rng)
    for name in NUMBERS:
        for seeds in SEEDS:
            yield numbers_row(name, seeds, repeats or 4000, rng)
    for r, n in ((0.0, 10), (-0.5, 10), (-0.5, 14)):
        yield correlation_row(r, n, repeats or 4000, rng)


def _row(quantity, seeds, problems, seed_sd, held, width, before) -> Row:
    share = float(np.mean(held))
    error = math.sqrt(share * (1 - share) / len(held))
    return Row(
        quantity,
        seeds,
        problems,
        seed_sd,
        share,
        error,
        float(width),
        None if before is None else float(before),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, help="Trials of each row (default: 1,500 to 4,000).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    found = []
    if not arguments.json:
        print(f"{'quantity':<40}{'problems':>9}{'seed sd':>9}{'seeds':>7}{'coverage':>17}{'width':>8}{'before':>8}")
    for row in rows(arguments.repeats):
        found.append(row)
        if not arguments.json:
            print(as_text(row), flush=True)
    covered = [row.coverage for row in found]
    if arguments.json:
        print(json.dumps({"lowest": min(covered), "highest": max(covered), "rows": [asdict(row) for row in found]}))
    else:
        print(f"coverage from {min(covered):.3f} to {max(covered):.3f} over {len(covered)} rows; it should be .95")


def as_text(row: Row) -> str:
    problems = "" if row.problems is None else f"{row.problems:,}"
    sd = "" if row.seed_sd is None else f"{100 * row.seed_sd:g} pt"
    before = "" if row.before is None else f"{row.before:.3f}"
    return (
        f"{row.quantity:<40}{problems:>9}{sd:>9}{row.seeds:>7}{row.coverage:>9.3f} +- "
        f"{row.error:.3f}{row.width:>8.2f}{before:>8}"
    )


if __name__ == "__main__":
    main()
