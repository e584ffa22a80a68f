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

from pebble import ProcessPool

from vimpo_core.types import CreditTrace

MAX_SOLUTION_CHARACTERS = 2000
"""Longer typed solutions are refused before anything is computed."""

_KEPT_POLICIES = 4


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
    import numpy as np

    from vimpo_core import scores
    from vimpo_core.models import encode, encode_completion
    from vimpo_core.tasks.chain import ChainTask, parse, problem_from
    from vimpo_core.traces import trace_of_text

    if not solution:
        raise ValueError(
            "the solution is empty: got 0 characters. Type at least one, ending with the end mark."
        )
    if len(solution) > MAX_SOLUTION_CHARACTERS:
        raise ValueError(
            f"the solution has {len(solution)} characters, the limit is {MAX_SOLUTION_CHARACTERS}. Shorten it."
        )
    problem = problem_from(prompt)
    policy = load_snapshot(run_dir, step)
    prompt_ids, ids = encode(policy, prompt, "problem"), encode_completion(policy, solution, ChainTask.end)
    longest = policy.model.config.max_position_embeddings
    if len(prompt_ids) + len(ids) > longest:
        raise ValueError(
            f"problem and solution are {len(prompt_ids) + len(ids)} tokens, the model reads {longest}. Shorten the solution."
        )
    task = ChainTask(min(max(len(parse(prompt[:-1])[0]), 3), 6))
    batch = scores.make_batch([prompt_ids], [np.asarray(ids).tolist()], policy.pad_id, policy.device)
    return [trace_of_text(policy, task, step, problem, batch, scores.score(policy, batch, top_k=top_k))]


def _score(run_dir, step, prompt, solution, top_k):
    return score_solution(run_dir and Path(run_dir), step, prompt, solution, top_k)


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
    policy = models.load_policy(store.config())
    models.set_adapter(policy, models.from_bytes(store.snapshot(step)))
    return policy
