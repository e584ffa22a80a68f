"""What the command line prints of a run: accuracies on the test prompts, totals, a scored solution. Imports torch
late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.measure import metrics
from vimpo_core.mistake import Mistake
from vimpo_core.runs import recorded_settings
from vimpo_core.runs.snapshots import newest_snapshot
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions import reading
from vimpo_core.tasks.registry import held_out, task_of
from vimpo_core.types import CreditTrace, known

TEST_PROMPTS = 512
"""Test problems of a measurement that nobody asked for otherwise."""
_SHARE = 0.1
"""Of the solutions that a run sampled in training: at most so many are sampled for its final measurement."""


def final_problems(config: TrainConfig) -> int:
    """Test problems that a run is measured on at its end: `TEST_PROMPTS`, fewer for a short run, whose training they
    would outlast. Each is solved twice, sampled and greedy.
    """
    sampled = config.batch_size * config.steps
    return max(1, min(TEST_PROMPTS, int(_SHARE * sampled / 2)))


def evaluate_run(
    store: RunStore,
    step: int | None = None,
    prompts: int = TEST_PROMPTS,
    seed: int = 0,
    told: Callable[[int, int], None] | None = None,
) -> dict:
    """Accuracies of a run's snapshot on test problems, with 95% intervals, and mean rewards too where its task gives
    parts of a reward. Imports torch.

    Args:
        step: a snapshot step; None takes the newest.
        seed: of the sampled solutions.
        told: how many solutions are judged, and of how many.

    Raises:
        Mistake: no snapshot at that step (those that exist are named), a damaged one, or no prompts.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure import evaluate
    from vimpo_core.runs.snapshots import load_snapshot

    if prompts < 1:
        raise Mistake(f"prompts must be at least 1, got {prompts}. Default: {TEST_PROMPTS}.")
    step = newest_snapshot(store) if step is None else step
    policy, task = load_snapshot(store.run_dir, step), task_of(store.config())
    cpu = time.process_time()
    with models.merged(policy) as model:
        found = evaluate.rewards(policy, model, task, "test", prompts, seed, told)
    if not found["sampled"]:
        raise Mistake(f"the test split of {task.name[:200]} holds no problem. Give more problems.")
    report = {
        "run_id": store.run_id,
        "step": step,
        "split": "test",
        "n_prompts": len(found["greedy"]),
        "eval_seed": seed,
        "measuring_cpu_seconds": time.process_time() - cpu,
    }
    for how, earned in found.items():
        share = evaluate.share_right(earned)
        report |= {f"{how}_accuracy": share.mean, f"{how}_low": share.low, f"{how}_high": share.high}
        if task.gives_partial_rewards:
            mean = evaluate.mean_reward(earned)
            report |= {f"{how}_reward": mean.mean, f"{how}_reward_low": mean.low, f"{how}_reward_high": mean.high}
    return report


def training_report(
    store: RunStore, problems: int | None = None, told: Callable[[int, int], None] | None = None
) -> dict:
    """Totals of a run and, once it has a snapshot, its accuracies on that many test problems (0: none; None: as
    `final_problems` has it). Imports torch.

    measuring_share: of the CPU time, what went to held-out problems while it trained and at its end; None where it was
    not recorded.
    """
    config, rows = store.config(), store.metrics()
    problems = final_problems(config) if problems is None else problems
    if problems and store.snapshot_steps():
        problems = len(held_out(task_of(config), "test", problems))
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
        "measuring_share": metrics.measuring_share(rows),
    }
    if problems and store.snapshot_steps():
        measured = evaluate_run(store, prompts=problems, told=told)
        report["measuring_share"] = _with_final(report, measured["measuring_cpu_seconds"])
        report |= {"evaluated_step": measured.pop("step")} | {k: v for k, v in measured.items() if k != "run_id"}
    return report


def _with_final(report: dict, cpu_seconds: float) -> float | None:
    """Share of measuring in training and at its end, which took so long, in the time of both together."""
    share, trained = report["measuring_share"], report["cpu_seconds"]
    return None if share is None else (share * trained + cpu_seconds) / (trained + cpu_seconds)


def solution_report(trace: CreditTrace, beta: float, run_id: str) -> dict:
    """A scored solution token by token: what was measured, and rho, kappa (None where the run's loss has none), delta
    and V_t relative to V_0, as the run's own loss reads them; the largest true drop where it was measured."""
    mask, drop = trace.mask[None], trace.largest_drop
    logprob, ref_logprob, kl, entropy = (
        known(a).astype("float64") for a in (trace.logprob, trace.ref_logprob, trace.kl, trace.entropy)
    )
    rho = credit.rho(logprob[None], ref_logprob[None], mask, beta)
    kappa, terms = reading.kappa(trace, beta), known(reading.td_terms(trace, beta))[None]
    values = credit.implied_values(terms, mask, terms.sum(axis=1) * 0)
    tokens = [
        {
            "index": t,
            "text": trace.text[t],
            "logprob": float(logprob[t]),
            "ref_logprob": float(ref_logprob[t]),
            "kl": float(kl[t]),
            "entropy": float(entropy[t]),
            "rho": float(rho[0, t]),
            "kappa": None if kappa is None else float(kappa[t]),
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
        **({} if drop is None else {"largest_drop": asdict(drop) | {"is_clear": drop.is_clear}}),
        "tokens": tokens,
    }


def run_line(run) -> dict:
    """One run of a list (runs.RunSummary) as JSON; tool: the one that it was brought from. What was not recorded is
    None.
    """
    known = recorded_settings.names(run.imported, run.config)
    return {
        "run_id": run.run_id,
        "name": run.name,
        "tool": run.tool or None,
        "algorithm": run.algorithm if "algorithm" in known else None,
        "state": str(run.state),
        "message": run.message,
        "steps": run.steps if "steps" in known else None,
        "last_step": run.last_step,
        "created": run.created,
        "tags": list(run.tags),
        "note": run.note,
    }


def find_run(runs_dir: Path, run_id: str) -> RunStore:
    """A run of the folder, else a bundled demo of that name. Raises Mistake naming what exists."""
    from vimpo_core.paths import BUNDLED_RUNS
    from vimpo_core.runs.folder import RunsDir

    bundled = next((folder for folder in BUNDLED_RUNS if (folder / run_id).is_dir()), None)
    if not (runs_dir / run_id).exists() and bundled is not None:
        return RunsDir(bundled, read_only=True).open(run_id)
    return RunsDir(runs_dir).open(run_id)
