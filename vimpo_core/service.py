"""Scoring on demand, in a killable process of its own: the web process never imports torch.

`ScoringService` runs on the caller's side and holds no model; `_score` runs in the child, which keeps the last policies
it loaded. A request that outlives its time limit is killed with its process, and the next one starts afresh.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from pebble import ProcessPool

from vimpo_core.checks import ExpectedDeltas
from vimpo_core.truth import Outcomes, PrefixValues, State, monte_carlo_values
from vimpo_core.types import CreditTrace

MAX_SOLUTION_CHARACTERS = 2000
"""Longer typed solutions are refused before anything is computed."""

_KEPT_POLICIES = 4
_KEPT_OUTCOMES = 64
"""Policies whose rollout outcomes are kept: more than the snapshots of a film strip."""
_KEPT_PREFIXES = 5_000
"""Prefixes of a policy whose outcomes are kept: some 3 MB at 256 rollouts."""


class PrefixTruth(NamedTuple):
    """Success rates from every prefix of a solution: V^pi of the policy, p_ref of the reference (for `soft_curve`)."""

    policy: PrefixValues
    reference: PrefixValues


class ScoringService:
    """A pool of one child process; requests queue. Safe to share between threads."""

    def __init__(self):
        # spawn: a fork of a threaded web server can inherit a lock that nobody will ever release.
        self._pool = ProcessPool(
            max_workers=1, context=multiprocessing.get_context("spawn"), initializer=_be_nice
        )

    def warm_up(self) -> Future:
        """Import torch and load the bundled model ahead of the first request."""
        return self._pool.schedule(_warm_up, timeout=60)

    def score(
        self, run_dir: Path | None, step: int, prompt: str, solution: str, top_k: int = 5, timeout: float = 30
    ) -> Future:
        """Score a typed solution under a run's snapshot against its reference.

        Args:
            run_dir: the run, or None for the untrained bundled model.
            step: one of the run's snapshot steps.
            prompt, solution: text, e.g. "9+2+9+7*6=" and "9+2+9+42;11+9+42;20+42;62."

        Returns:
            A future of [CreditTrace], every array "recomputed". Its result raises ValueError (one sentence: bad
            problem, empty or over-long solution, characters outside the vocabulary, damaged snapshot) or TimeoutError.
            `cancel()` kills the work.
        """
        request = (run_dir and str(run_dir), step, prompt, solution, top_k)
        return self._pool.schedule(_score, args=request, timeout=timeout)

    def prefix_values(
        self,
        run_dir: Path | None,
        step: int,
        prompt: str,
        solution: str,
        rollouts: int,
        seed: int = 0,
        timeout: float = 60,
    ) -> Future:
        """Success rate from every prefix of a solution, of the policy (V^pi) and of the reference (p_ref).

        Ask for 16, then 64, then 256 rollouts (`truth.STAGES`): the child keeps the outcomes of every (policy, prefix),
        so each call adds only what is missing, and shared beginnings (branches, edits) are not tried again.

        Returns:
            A future of `PrefixTruth`; errors and `cancel()` as in `score`. A cancelled stage loses what the child kept.
        """
        request = (run_dir and str(run_dir), step, prompt, solution, rollouts, seed)
        return self._pool.schedule(_prefix_values, args=request, timeout=timeout)

    def film(
        self,
        run_dir: Path,
        prompt: str,
        solution: str,
        ids: tuple[int, ...] | None = None,
        timeout: float = 60,
    ) -> Future:
        """Re-score a solution under every snapshot of a run.

        Returns:
            A future of `film.Film`; arguments and errors as in `film.film_solution`, `cancel()` as in `score`.
        """
        return self._pool.schedule(_film, args=(str(run_dir), prompt, solution, ids), timeout=timeout)

    def expected_deltas(
        self,
        run_dir: Path | None,
        step: int,
        prompt: str,
        solution: str,
        ids: tuple[int, ...] | None = None,
        timeout: float = 30,
    ) -> Future:
        """E_pi[delta] at every prefix of a solution, over the whole vocabulary, for "Does it add up?".

        Returns:
            A future of `checks.ExpectedDeltas`; errors and `cancel()` as in `score`.
        """
        request = (run_dir and str(run_dir), step, prompt, solution, ids)
        return self._pool.schedule(_expected_deltas, args=request, timeout=timeout)

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


@functools.lru_cache(maxsize=1)
def scoring_service() -> ScoringService:
    """The process-wide service, started on first use."""
    return ScoringService()


def score_solution(
    run_dir: Path | None, step: int, prompt: str, solution: str, top_k: int = 5
) -> list[CreditTrace]:
    """Score a typed solution in this process (the command line's `score`); arguments and errors as `ScoringService.score`.

    Imports torch.
    """
    from vimpo_core import scores
    from vimpo_core.traces import trace_of_text

    policy, task, problem, prompt_ids, ids = _asked(run_dir, step, prompt, solution)
    batch = scores.make_batch([prompt_ids], [list(ids)], policy.pad_id, policy.device)
    return [trace_of_text(policy, task, step, problem, batch, scores.score(policy, batch, top_k=top_k))]


def expected_deltas(
    run_dir: Path | None, step: int, prompt: str, solution: str, ids: tuple[int, ...] | None = None
) -> ExpectedDeltas:
    """E_pi[delta] at every prefix, in this process; arguments and errors as `ScoringService.expected_deltas`.

    The expected log-ratio is summed in float64, the KL is measured as everywhere, in float32: two roads to one number,
    which differ by rounding alone, at most `checks.FLOAT32_NATS` a token. Imports torch.
    """
    from vimpo_core import scores

    policy = load_snapshot(run_dir, step)
    _, _, prompt_ids, ids = read_request(policy, prompt, solution, ids)
    batch = scores.make_batch([prompt_ids], [list(ids)], policy.pad_id, policy.device)
    found = scores.expected_log_ratio(policy, batch), scores.score(policy, batch).kl.double()
    return ExpectedDeltas(*(a[0].cpu().numpy() for a in found))


def solution_truth(
    run_dir: Path | None, step: int, prompt: str, solution: str, rollouts: int, seed: int = 0
) -> PrefixTruth:
    """V^pi and p_ref of every prefix, in this process; arguments and errors as `ScoringService.prefix_values`.

    Imports torch.
    """
    from vimpo_core import models
    from vimpo_core.policy_process import process_of

    policy, task, problem, prompt_ids, ids = _asked(run_dir, step, prompt, solution)

    def tried(model, who) -> PrefixValues:
        process = process_of(policy, model, task, [problem])
        kept = _outcomes(who, task, seed)
        if len(kept) > _KEPT_PREFIXES:
            kept.clear()
        return monte_carlo_values(process, [State(prompt_ids, ids)], rollouts, seed, outcomes=kept)[0]

    with models.merged(policy) as model:
        by_policy = tried(model, (run_dir, step))
    return PrefixTruth(by_policy, tried(models.reference(policy), policy.source))


def _asked(run_dir, step, prompt, solution):
    """The policy, task, problem, prompt ids and solution ids that a request means; ValueError if it is a bad one."""
    policy = load_snapshot(run_dir, step)
    return policy, *read_request(policy, prompt, solution)


def read_request(policy, prompt: str, solution: str, ids: tuple[int, ...] | None = None):
    """The task, problem, prompt ids and solution ids that a request means for a policy.

    `ids`: the tokens of a solution that was sampled, which encoding its text might cut otherwise.
    Raises ValueError, one sentence, if the request is a bad one. Imports torch.
    """
    from vimpo_core.models import encode, encode_completion
    from vimpo_core.tasks.chain import ChainTask, parse, problem_from

    if not solution:
        raise ValueError(
            "the solution is empty: got 0 characters. Type at least one, ending with the end mark."
        )
    if len(solution) > MAX_SOLUTION_CHARACTERS:
        raise ValueError(
            f"the solution has {len(solution)} characters, the limit is {MAX_SOLUTION_CHARACTERS}. Shorten it."
        )
    problem, prompt_ids = problem_from(prompt), encode(policy, prompt, "problem")
    ids = ids or encode_completion(policy, solution, ChainTask.end)
    longest = policy.model.config.max_position_embeddings
    if len(prompt_ids) + len(ids) > longest:
        raise ValueError(
            f"problem and solution are {len(prompt_ids) + len(ids)} tokens, the model reads {longest}. Shorten the solution."
        )
    task = ChainTask(min(max(len(parse(prompt[:-1])[0]), 3), 6))
    return task, problem, prompt_ids, ids


def _score(run_dir, step, prompt, solution, top_k):
    return score_solution(run_dir and Path(run_dir), step, prompt, solution, top_k)


def _expected_deltas(run_dir, step, prompt, solution, ids):
    return expected_deltas(run_dir and Path(run_dir), step, prompt, solution, ids)


def _film(run_dir, prompt, solution, ids):
    from vimpo_core.film import film_solution

    return film_solution(Path(run_dir), prompt, solution, ids)


def _prefix_values(run_dir, step, prompt, solution, rollouts, seed):
    return solution_truth(run_dir and Path(run_dir), step, prompt, solution, rollouts, seed)


@functools.lru_cache(maxsize=_KEPT_OUTCOMES)
def _outcomes(who, task, seed) -> Outcomes:
    """Outcomes kept for one policy: a run's snapshot, or a reference by its source."""
    return {}


def _be_nice():
    if hasattr(os, "nice"):
        os.nice(5)


def _warm_up():
    load_snapshot(None, 0)


@functools.lru_cache(maxsize=_KEPT_POLICIES)
def load_snapshot(run_dir: Path | None, step: int):
    """The run's policy at a snapshot step; the untrained bundled one for None. Kept: a snapshot never changes.

    Raises ValueError if the step has no snapshot or it is damaged. Imports torch.
    """
    from vimpo_core import models
    from vimpo_core.config import TrainConfig
    from vimpo_core.store import RunStore

    models.single_thread()
    if run_dir is None:
        return models.load_policy(TrainConfig())
    store = RunStore.open(run_dir)
    policy = models.load_policy(models.on_this_machine(store.config()))
    models.set_adapter(policy, models.from_bytes(store.snapshot(step)))
    return policy
