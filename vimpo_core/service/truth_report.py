"""How right a snapshot's credit is, as the Scorecard and `truth` report it. torch is imported late."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from vimpo_core.runs import bases
from vimpo_core.runs.snapshots import newest_snapshot
from vimpo_core.runs.store import RunStore
from vimpo_core.service.progress import Progress
from vimpo_core.solutions import reading
from vimpo_core.types import CreditTrace, known

_KEPT = 64
_reports: dict[tuple, dict] = {}
"""Reports made by this process: a class that asks for the same one at once waits for a single measurement."""


def shared_report(
    run_dir: Path,
    step: int,
    which: str,
    solutions: int,
    rollouts: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict:
    """`truth_report` of a run, measured once by this process while its numbers come from the same files; arguments and
    errors as there."""
    options = (step, which, solutions, rollouts, seed)
    with RunStore.open(run_dir) as store:
        key = (run_dir, *options, bases.origin(store))
        if key not in _reports:
            if len(_reports) >= _KEPT:
                _reports.clear()
            _reports[key] = truth_report(store, *options, on_progress=progress.tell if progress else None)
    return _reports[key]


def truth_report(
    store: RunStore,
    step: int | None = None,
    which: str = "fixed",
    solutions: int = 64,
    rollouts: int = 64,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict:
    """How right a snapshot's credit is on one of `scorecard.SETS`, as JSON. Imports torch.

    Signals look for the first wrong token of `n_solutions` wrong solutions, `mean_tokens` long, or, of a task that does
    not verify steps, for their largest true drop: `target` then says so, `n_wrong` how many were wrong (those left out
    have no drop above noise), `drop_tries` by how many fresh tries a drop was measured, `drop_rollouts` how many were
    made in all, and `mean_drop` how far the mean reward falls there, in reward units; `gini` and
    `effective_tokens` say on how few of their tokens each lies (`scorecard.Concentration`). Pearson and RMSE compare
    the credit of `n_compared` solutions, right and wrong, with Monte Carlo. Intervals are 95%, by bootstrap over
    solutions; null where a number is not defined, such as the correlation of credit that is 0 everywhere (step 0).
    `credit_note`: where delta_t, which has the exact KL for every run alike, is not what the run's own value loss sums.
    `lead_of_implied`: the implied advantage minus each other signal on the same solutions. `instructive`: see that
        module.

    Args:
        step: a snapshot step; None takes the newest.
        rollouts: tries from every prefix. seed: of the sampled solutions, the rollouts and the bootstrap.
        on_progress: called with (rollouts done, rollouts).

    Raises:
        Mistake: no such snapshot (those that exist are named), an unknown set, or a number below 1.
    """
    from vimpo_core.measure import drops, instructive, scorecard, solution_sets
    from vimpo_core.runs.snapshots import load_snapshot
    from vimpo_core.tasks.registry import task_of

    step = newest_snapshot(store) if step is None else step
    config = store.config().at(step)
    policy, task = load_snapshot(store.run_dir, step), task_of(config)
    chosen = solution_sets.solution_set(policy, task, which, solutions, seed, step)
    of_drops: dict = {}
    if not task.verifies_steps:
        tries = max(rollouts, drops.SCREEN)
        told, on_progress = _halves(on_progress)
        tried = solution_sets.with_drops(policy, task, chosen.wrong, tries, seed, told)
        of_drops = _of_drops(tried, tries)
        chosen = solution_sets.SolutionSet([t for t in tried if scorecard.is_localisable(t)], chosen.mixed)
    truths = solution_sets.policy_values(policy, task, chosen.mixed, rollouts, seed, on_progress)
    found = scorecard.localisation(chosen.wrong, config.beta, config.gae_lambda, seed)
    spread = scorecard.concentration(chosen.wrong, config.beta, config.gae_lambda, seed)
    lead = scorecard.lead_of_implied(chosen.wrong, config.beta, config.gae_lambda, seed)
    agreed = scorecard.agreement(chosen.mixed, truths, config.beta, seed)
    report = {
        "run_id": store.run_id,
        "algorithm": config.algorithm,
        "step": step,
        "set": which,
        "beta": config.beta,
        "gae_lambda": config.gae_lambda,
        "n_solutions": len(chosen.wrong),
        "n_compared": agreed.solutions,
        "solutions": solutions,
        "rollouts": rollouts,
        "seed": seed,
        "reward_noise": config.reward_noise,
        "reward_noise_unit": config.reward_noise_unit,
        "signals": {
            name: with_bounds({k: getattr(signal, k) for k in ("top1", "top3", "auc")} | vars(spread[name]))
            for name, signal in found.items()
        },
        "mean_tokens": mean_length(chosen.wrong),
        "lead_of_implied": {
            name: with_bounds({k: getattr(ahead, k) for k in ("top1", "top3", "auc")}) for name, ahead in lead.items()
        },
        "instructive": instructive.instructive(chosen.wrong, config.beta, config.gae_lambda, seed),
    }
    names = ("pearson_advantage", "value_rmse", "constant_rmse", "start_rmse", "rmse_reduction")
    report |= with_bounds({name: getattr(agreed, name) for name in names})
    if note := reading.exact_note(config):
        report["credit_note"] = note
    return report | {"monte_carlo_rmse": agreed.monte_carlo_rmse} | of_drops


LARGEST_DROP = "largest true drop"
"""`target` of a report whose signals do not look for the first wrong token."""


def _of_drops(traces: list[CreditTrace], tries: int) -> dict:
    found = [known(trace.largest_drop) for trace in traces]
    clear = [drop.drop for drop in found if drop.is_clear]
    return {
        "target": LARGEST_DROP,
        "n_wrong": len(found),
        "drop_tries": tries,
        "drop_rollouts": sum(drop.rollouts for drop in found),
        "mean_drop": sum(clear) / len(clear) if clear else None,
    }


def _halves(told):
    """What is told of two measurements that take about as long, one after the other."""
    if told is None:
        return None, None
    return (
        lambda done, total: told(done, 2 * max(total, 1)),
        lambda done, total: told(max(total, 1) + done, 2 * max(total, 1)),
    )


def mean_length(traces: list[CreditTrace]) -> float | None:
    """Tokens a solution, None where there is no solution."""
    return sum(len(t.ids) for t in traces) / len(traces) if traces else None


def with_bounds(measured: dict) -> dict:
    """name, name_low and name_high of each; None where not finite."""
    flat = {
        f"{name}{end}": value
        for name, m in measured.items()
        for end, value in (("", m.mean), ("_low", m.low), ("_high", m.high))
    }
    return {name: value if math.isfinite(value) else None for name, value in flat.items()}
