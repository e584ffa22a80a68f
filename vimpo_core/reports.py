"""What the command line prints of a run: accuracies on the test prompts, totals, a scored solution. Imports torch late."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from vimpo_core import credit
from vimpo_core.runs.store import RunStore
from vimpo_core.types import CreditTrace

TEST_PROMPTS = 512


def evaluate_run(
    store: RunStore,
    step: int | None = None,
    prompts: int = TEST_PROMPTS,
    seed: int = 0,
    told: Callable[[int, int], None] | None = None,
) -> dict:
    """Accuracies of a run's snapshot on test problems, with 95% intervals. Imports torch.

    Args:
        step: a snapshot step; None takes the newest.
        seed: of the sampled solutions.
        told: how many solutions are judged, and of how many.

    Raises:
        ValueError: no snapshot at that step (those that exist are named), a damaged one, or no prompts.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure import evaluate
    from vimpo_core.service.scoring import load_snapshot
    from vimpo_core.tasks.chain import ChainTask

    if prompts < 1:
        raise ValueError(f"prompts must be at least 1, got {prompts}. Default: {TEST_PROMPTS}.")
    step = newest_snapshot(store) if step is None else step
    policy, task = load_snapshot(store.run_dir, step), ChainTask(store.config().operands)
    with models.merged(policy) as model:
        found = evaluate.accuracies(policy, model, task, "test", prompts, seed, told)
    report = {
        "run_id": store.run_id,
        "step": step,
        "split": "test",
        "n_prompts": found["greedy"].n,
        "eval_seed": seed,
    }
    for how, share in found.items():
        report |= {f"{how}_accuracy": share.mean, f"{how}_low": share.low, f"{how}_high": share.high}
    return report


def newest_snapshot(store: RunStore) -> int:
    """The last step with a stored adapter. Raises ValueError if there is none."""
    steps = store.snapshot_steps()
    if not steps:
        raise ValueError(f"run {store.run_id} has no adapter stored yet. Train it for at least one step.")
    return steps[-1]


def training_report(
    store: RunStore, problems: int = TEST_PROMPTS, told: Callable[[int, int], None] | None = None
) -> dict:
    """Totals of a run and, once it has a snapshot, its accuracies on that many test problems (0: none). Imports torch."""
    config, rows = store.config(), store.metrics()
    report = {
        "run_id": store.run_id,
        "status": str(store.state()),
        "message": store.message(),
        "algorithm": config.algorithm,
        "steps": config.steps,
        "last_step": store.last_step(),
        "seed": config.seed,
        "sampled_accuracy": None,
        "greedy_accuracy": None,
        "cpu_seconds": sum(row["cpu_seconds"] for row in rows),
    }
    if problems and store.snapshot_steps():
        measured = evaluate_run(store, prompts=problems, told=told)
        report |= {"evaluated_step": measured.pop("step")} | {
            k: v for k, v in measured.items() if k != "run_id"
        }
    return report


def solution_report(trace: CreditTrace, beta: float, run_id: str) -> dict:
    """A scored solution token by token: what was measured, and rho, kappa, delta and V_t relative to V_0."""
    mask, row = trace.mask[None], lambda a: a[None].astype("float64")
    logprob, ref_logprob, kl = row(trace.logprob), row(trace.ref_logprob), row(trace.kl)
    rho, kappa = credit.rho(logprob, ref_logprob, mask, beta), credit.kappa(kl, mask, beta)
    terms = credit.td_terms(logprob, ref_logprob, kl, mask, beta)
    values = credit.implied_values(terms, mask, terms.sum(axis=1) * 0)
    tokens = [
        {
            "index": t,
            "text": trace.text[t],
            "logprob": float(trace.logprob[t]),
            "ref_logprob": float(trace.ref_logprob[t]),
            "kl": float(trace.kl[t]),
            "entropy": float(trace.entropy[t]),
            "rho": float(rho[0, t]),
            "kappa": float(kappa[0, t]),
            "td_term": float(terms[0, t]),
            "value_after_minus_start": float(values[0, t + 1]),
        }
        for t in range(len(trace.text))
    ]
    return {
        "run_id": run_id,
        "step": trace.step,
        "beta": beta,
        "prompt": trace.prompt_text,
        "solution": trace.completion_text,
        "gold": trace.gold,
        "status": trace.status,
        "answer": trace.answer,
        "reason": trace.reward_reason,
        "reward": trace.reward,
        "first_wrong": trace.first_wrong,
        "tokens": tokens,
    }


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

    Signals look for the first wrong token of `n_solutions` wrong solutions, `mean_tokens` long; `gini` and `effective_tokens`
    say on how few of their tokens each lies (`scorecard.Concentration`). Pearson and RMSE compare the credit of
    `n_compared` solutions, right and wrong, with Monte Carlo. Intervals are 95%, by bootstrap over solutions; null where
    a number is not defined, such as the correlation of credit that is 0 everywhere (step 0). `lead_of_implied`: the
    implied advantage minus each other signal on the same solutions. `instructive`: see that module.

    Args:
        step: a snapshot step; None takes the newest.
        rollouts: tries from every prefix. seed: of the sampled solutions, the rollouts and the bootstrap.
        on_progress: called with (rollouts done, rollouts).

    Raises:
        ValueError: no such snapshot (those that exist are named), an unknown set, or a number below 1.
    """
    from vimpo_core.measure import instructive, scorecard, solution_sets
    from vimpo_core.service.scoring import load_snapshot
    from vimpo_core.tasks.chain import ChainTask

    step = newest_snapshot(store) if step is None else step
    config = store.config().at(step)
    policy, task = load_snapshot(store.run_dir, step), ChainTask(config.operands)
    chosen = solution_sets.solution_set(policy, task, which, solutions, seed, step)
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
            name: _with_bounds({k: getattr(signal, k) for k in ("top1", "top3", "auc")} | vars(spread[name]))
            for name, signal in found.items()
        },
        "mean_tokens": mean_length(chosen.wrong),
        "lead_of_implied": {
            name: _with_bounds({k: getattr(ahead, k) for k in ("top1", "top3", "auc")})
            for name, ahead in lead.items()
        },
        "instructive": instructive.instructive(chosen.wrong, config.beta, config.gae_lambda, seed),
    }
    names = ("pearson_advantage", "value_rmse", "constant_rmse", "start_rmse", "rmse_reduction")
    report |= _with_bounds({name: getattr(agreed, name) for name in names})
    return report | {"monte_carlo_rmse": agreed.monte_carlo_rmse}


def mean_length(traces: list[CreditTrace]) -> float | None:
    """Tokens a solution, None where there is no solution."""
    return sum(len(t.ids) for t in traces) / len(traces) if traces else None


def _with_bounds(measured: dict) -> dict:
    """name, name_low and name_high of each; None where not finite."""
    flat = {
        f"{name}{end}": value
        for name, m in measured.items()
        for end, value in (("", m.mean), ("_low", m.low), ("_high", m.high))
    }
    return {name: value if math.isfinite(value) else None for name, value in flat.items()}


def run_line(run) -> dict:
    """One run of a list (runs.RunSummary) as JSON."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "algorithm": run.algorithm,
        "state": str(run.state),
        "message": run.message,
        "steps": run.steps,
        "last_step": run.last_step,
        "created": run.created,
    }


def find_run(runs_dir: Path, run_id: str) -> RunStore:
    """A run of the folder, else a bundled demo of that name. Raises ValueError naming what exists."""
    from vimpo_core.paths import DEMOS
    from vimpo_core.runs.folder import RunsDir

    if not (runs_dir / run_id).exists() and (DEMOS / run_id).is_dir():
        return RunsDir(DEMOS, read_only=True).open(run_id)
    return RunsDir(runs_dir).open(run_id)
