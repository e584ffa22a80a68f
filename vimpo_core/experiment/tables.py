"""The numbers of an experiment, as they go into results.json and from there into report and figures: plain JSON, no
NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from vimpo_core.experiment import estimates
from vimpo_core.experiment.estimates import HOWS
from vimpo_core.experiment.plan import Arm, Plan, block_label
from vimpo_core.experiment.results import Result
from vimpo_core.experiment.runner import Outcome, Trial, outcomes
from vimpo_core.mistake import Mistake
from vimpo_core.types import known


class NothingToReport(Mistake):
    """No final run has a result yet."""


def numbers(plan: Plan, out: Path, command: str) -> dict:
    """Everything that the report says. Raises NothingToReport if no final run has a result yet."""
    found = outcomes(plan, out)
    final = [result for outcome in found for result in outcome.results.values() if result]
    if not final:
        raise NothingToReport(f"no final run of {plan.name} is finished in {out}.")
    tuning = [result for outcome in found for trial in outcome.trials for result in trial.results]
    everything = {result.run_id: result for result in (*tuning, *final)}.values()
    return _without_nan(
        {
            "name": plan.name,
            "title": plan.title,
            "question": plan.question,
            "command": command,
            "steps": plan.steps,
            "seeds": list(plan.seeds),
            "test_prompts": plan.test_prompts,
            "compare_to": plan.compare_to,
            "base": plan.base,
            "tune": asdict(plan.tune) if plan.tune else None,
            "credit": asdict(plan.credit) if plan.credit else None,
            "n_runs": len(everything),
            "n_tuning_runs": len({result.run_id for result in tuning}),
            "cpu_seconds": sum(r.cpu_seconds + r.measuring_cpu_seconds for r in everything),
            "wall_seconds": covered([(r.started, r.ended) for r in everything]),
            "started": min(r.started for r in everything),
            "ended": max(r.ended for r in everything),
            "environments": _environments(everything),
            **_nodes(everything),
            "blocks": [_block(plan, block, found) for block in plan.blocks],
        }
    )


def _block(plan: Plan, block, found: list[Outcome]) -> dict:
    own = [outcome for outcome in found if outcome.block == block]
    baseline = next(outcome for outcome in own if outcome.arm.name == plan.compare_to)
    compared = _runs(baseline)
    arms = [_arm(plan, outcome, None if outcome is baseline else compared) for outcome in own]
    return {"label": block_label(block), "settings": block, "arms": arms}


def _runs(outcome: Outcome) -> list[dict]:
    return [_run(result) for result in outcome.results.values() if result]


def _arm(plan: Plan, outcome: Outcome, compared: list[dict] | None) -> dict:
    runs = _runs(outcome)
    return {
        "name": outcome.arm.name,
        "algorithm": plan.config(
            outcome.arm, outcome.block, outcome.chosen or outcome.arm.first_point, plan.seeds[0], plan.steps
        ).algorithm,
        "settings": outcome.arm.settings,
        "chosen": outcome.chosen,
        "range_size": outcome.arm.range_size if outcome.arm.ranges else 0,
        "at_edge": _at_edge(outcome.arm, outcome.chosen),
        "trials": [_trial(plan, trial, outcome.chosen) for trial in outcome.trials],
        "missing": [seed for seed, result in outcome.results.items() if result is None],
        "n_diverged": sum(run["state"] == "diverged" for run in runs),
        **estimates.of_arm(runs, compared),
        "runs": runs,
    }


def _run(result: Result) -> dict:
    credit = result.credit or {}
    return {
        "run_id": result.run_id,
        "seed": result.config["seed"],
        "state": result.state,
        "message": result.message,
        "evaluated_step": result.evaluated_step,
        **{how: result.accuracy(how) for how in HOWS},
        "outcomes": estimates.packed(result.sampled, result.greedy),
        "kl": result.last("kl_mean"),
        "tokens_sampled": result.tokens_sampled,
        "cpu_seconds": result.cpu_seconds,
        "auc": credit.get("signals", {}).get("implied_advantage", {}).get("auc"),
        "pearson": credit.get("pearson_advantage"),
        "credit": result.credit,
        "curves": _thinned(result.curves),
        **({"node": result.node} if result.node else {}),
    }


def _thinned(curves: dict[str, list]) -> dict[str, list]:
    """The curves at the steps where accuracy was measured; every step is in the runs."""
    measured = set(curves["sampled_accuracy"][0])
    points = {name: zip(*curve, strict=True) for name, curve in curves.items()}
    kept = {name: [(s, v) for s, v in pairs if s in measured] for name, pairs in points.items()}
    return {name: [[s for s, _ in pairs], [v for _, v in pairs]] for name, pairs in kept.items()}


def _trial(plan: Plan, trial: Trial, chosen) -> dict:
    return {
        "settings": trial.settings,
        "score": trial.score(known(plan.tune).choose_by) if trial.results else None,
        **{how: [result.accuracy(how) for result in trial.results] for how in HOWS},
        "missing": trial.missing,
        "has_diverged": trial.has_diverged,
        "is_chosen": trial.settings == chosen,
    }


def _at_edge(arm: Arm, chosen) -> list[str]:
    """The chosen settings that are the lowest or highest of three or more numbers: the best may lie beyond."""
    numeric = {
        key: values
        for key, values in arm.ranges.items()
        if len(values) > 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    }
    return [key for key, values in numeric.items() if chosen and chosen[key] in (min(values), max(values))]


def _environments(runs) -> list[dict]:
    """Each machine, commit and set of versions with the number of runs made there, the commonest first."""
    kinds = {repr(result.environment): result.environment for result in runs}
    counts = Counter(repr(result.environment) for result in runs)
    return [{**kinds[key], "runs": count} for key, count in counts.most_common()]


def _nodes(runs) -> dict:
    """{"nodes": the machines of a cluster with the number of runs made there}; nothing where there was none."""
    counts = Counter(result.node for result in runs if result.node)
    return {"nodes": dict(sorted(counts.items()))} if counts else {}


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of the spans was going on: pauses between two sessions do not count."""
    total, until = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
