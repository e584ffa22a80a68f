"""Scoring on demand, in a killable process of its own: the web process never imports torch.

`ScoringService` runs on the caller's side and holds no model; what it is asked to call runs in the child, which keeps
the last policies it loaded. A request that outlives its time limit is killed with its process, and the next one starts
afresh.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from vimpo_core.config import TrainConfig
from vimpo_core.measure import branches
from vimpo_core.measure.branches import Branch
from vimpo_core.measure.checks import ExpectedDeltas
from vimpo_core.measure.truth import PrefixValues
from vimpo_core.runs.snapshots import identity, load_snapshot, reference_identity
from vimpo_core.runs.store import RunStore
from vimpo_core.service.helper_process import HelperProcess
from vimpo_core.service.outcomes import tried_values
from vimpo_core.service.requests import read_request
from vimpo_core.types import CreditTrace

TOP_K = 5
"""Alternatives of policy and of reference that a scored branch keeps at each position."""


class PrefixTruth(NamedTuple):
    """Success rates from every prefix of a solution: V^pi of the policy, p_ref of the reference (for `soft_curve`)."""

    policy: PrefixValues
    reference: PrefixValues


class ScoringService(HelperProcess):
    """One child process for what this package measures with a model. Safe to share between threads."""

    def warm_up(self) -> Future:
        """Import torch and load the bundled model ahead of the first request."""
        return self.ask(_warm_up, timeout=60)


@functools.lru_cache(maxsize=1)
def scoring_service() -> ScoringService:
    """The process-wide service, started on first use."""
    return ScoringService()


@functools.lru_cache(maxsize=1)
def scorecard_service() -> ScoringService:
    """Another one for scorecards: they take seconds to minutes, and nobody who scores a solution waits behind them."""
    return ScoringService()


def score_solution(
    run_dir: Path | None,
    step: int,
    prompt: str,
    solution: str,
    top_k: int = TOP_K,
    ids: tuple[int, ...] | None = None,
) -> list[CreditTrace]:
    """Score a typed solution under a run's snapshot against its reference (the command line's `score`). Imports torch.

    Args:
        run_dir: the run, or None for the untrained bundled model.
        step: one of the run's snapshot steps.
        prompt, solution: text, e.g. "9+2+9+7*6=" and "9+2+9+42;11+9+42;20+42;62."
        ids: the tokens of a solution that was sampled, which encoding its text might cut otherwise; None encodes the
            text.

    Returns:
        [CreditTrace], every array "recomputed".

    Raises:
        Mistake, one sentence: bad problem, empty or over-long solution, characters outside the vocabulary, no such
            snapshot or a damaged one.
    """
    from vimpo_core.service import rule_needs

    policy = load_snapshot(run_dir, step)
    config = config_of(run_dir)
    task, problem, prompt_ids, ids = read_request(policy, prompt, solution, ids, config)
    trace = _scored(policy, config, task, step, problem, prompt_ids, ids, top_k)
    return [rule_needs.with_critic(trace, run_dir, step)]


def branch_solution(
    run_dir: Path | None,
    step: int,
    prompt: str,
    solution: str | tuple[int, ...],
    position: int,
    forced: str | tuple[int, ...],
    k: int = 32,
    seed: int = 0,
    parent: str = "",
) -> Branch:
    """Force a token of a solution and let the policy finish k times, for "What if?". Imports torch.

    Args:
        run_dir, step, prompt: as for `score_solution`.
        solution: text, or the tokens of one that was sampled.
        position: index of the token to replace.
        forced: what takes its place: text of one or more tokens (a final end mark ends the solution), or tokens.
        k: tries from the forced token, and as many from the solution's own, which are the control; 1..256.
        seed: of the tries; they are rollouts 0..k-1 of `solution_truth` with this seed at the same prefixes.
        parent: id of the branch that the solution is the most frequent ending of.

    Raises:
        Mistake, one sentence: as `score_solution`; characters to force outside the vocabulary; and all that
            `branches.check_fork` refuses, as the end token or a position past the token budget.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure.policy_process import process_of
    from vimpo_core.tasks.registry import read_problem

    policy, config = load_snapshot(run_dir, step), config_of(run_dir)
    if isinstance(solution, str):
        asked = read_request(policy, prompt, solution, None, config)
    else:
        text = models.completion_text(policy, solution, read_problem(prompt, config)[0].end)
        asked = read_request(policy, prompt, text, solution, config)
    task, problem, prompt_ids, ids = asked
    if isinstance(forced, str):
        forced = models.encode_completion(policy, forced, task.end, "text to force")
    ids, forced = tuple(map(int, ids)), tuple(map(int, forced))

    with models.merged(policy) as model:
        process = process_of(policy, model, task, [problem])
        branches.check_fork(process, ids, position, forced, k)
        starts = [ids[: position + 1], ids[:position] + forced]
        before, after = (
            branches.tries_of(process, start, solutions, functools.partial(_judged, policy, task, problem))
            for start, solutions in zip(starts, branches.try_starts(process, prompt_ids, starts, k, seed), strict=True)
        )
    scored = [_scored(policy, config, task, step, problem, prompt_ids, i, TOP_K) for i in (ids, after.endings[0].ids)]
    return Branch(
        parent,
        step,
        scored[0],
        position,
        forced,
        models.token_texts(policy, forced),
        seed,
        before,
        after,
        scored[1],
    )


def config_of(run_dir: Path | None) -> TrainConfig | None:
    """The run's settings; None for the untrained bundled model."""
    if run_dir is None:
        return None
    with RunStore.open(run_dir) as store:
        return store.config()


def _scored(policy, config, task, step, problem, prompt_ids, ids, top_k) -> CreditTrace:
    from vimpo_core.lm import scores
    from vimpo_core.lm.traces import trace_of_text

    batch = scores.make_batch([prompt_ids], [list(ids)], policy.pad_id, policy.device)
    measured = scores.score(policy, batch, top_k=top_k, kl_top_k=config.kl_tokens if config else 0)
    return trace_of_text(policy, task, step, problem, batch, measured, config)


def _judged(policy, task, problem, ids) -> branches.Judged:
    from vimpo_core.lm import models
    from vimpo_core.lm.attempts import judge
    from vimpo_core.lm.traces import token_of_character

    written, text = models.completion_text(policy, ids, task.end), models.token_texts(policy, ids)
    verdict = judge(policy, task, problem, ids)
    wrong = token_of_character(text, task.first_wrong(problem, written))
    return branches.Judged(text, verdict.reward, str(verdict.status), verdict.answer, wrong)


def expected_deltas(
    run_dir: Path | None, step: int, prompt: str, solution: str, ids: tuple[int, ...] | None = None
) -> ExpectedDeltas:
    """E_pi[delta] at every prefix of a solution, over the whole vocabulary; arguments and errors as `score_solution`.

    The expected log-ratio is summed in float64, the KL is measured as everywhere, in float32: two roads to one number,
    which differ by rounding alone, at most `checks.FLOAT32_NATS` a token. Imports torch.
    """
    from vimpo_core.lm import scores

    policy = load_snapshot(run_dir, step)
    _, _, prompt_ids, ids = read_request(policy, prompt, solution, ids, config_of(run_dir))
    batch = scores.make_batch([prompt_ids], [list(ids)], policy.pad_id, policy.device)
    found = scores.expected_log_ratio(policy, batch), scores.score(policy, batch).kl.double()
    return ExpectedDeltas(*(a[0].cpu().numpy() for a in found))


def solution_truth(
    run_dir: Path | None,
    step: int,
    prompt: str,
    solution: str,
    rollouts: int,
    seed: int = 0,
    ids: tuple[int, ...] | None = None,
    places: tuple[int, ...] | None = None,
) -> PrefixTruth:
    """Success rate from every prefix of a solution, of the policy (V^pi) and of the reference (p_ref). Imports torch.

    Ask for 16, then 64, then 256 rollouts (`truth.STAGES`): this process keeps the outcomes of every (policy, prefix),
    so each call adds only what is missing, and shared beginnings (branches, edits) are not tried again. places: lengths
    of the prefixes to try, of a long solution (`truth.places_of`); None: all. Arguments and errors as `score_solution`.
    """
    from vimpo_core.lm import models

    policy = load_snapshot(run_dir, step)
    asked = [read_request(policy, prompt, solution, ids, config_of(run_dir))]
    with models.merged(policy) as model:
        by_policy = tried_values(policy, model, identity(run_dir, step), asked, rollouts, seed, places=places)
    reference = models.reference(policy)
    by_reference = tried_values(policy, reference, reference_identity(policy), asked, rollouts, seed, places=places)
    return PrefixTruth(by_policy[0], by_reference[0])


def _warm_up() -> None:
    load_snapshot(None, 0)
