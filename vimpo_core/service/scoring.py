"""Scoring on demand, in a killable process of its own: the web process never imports torch.

`ScoringService` runs on the caller's side and holds no model; `_score` runs in the child, which keeps the last policies
it loaded. A request that outlives its time limit is killed with its process, and the next one starts afresh.
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
from vimpo_core.measure.truth import PrefixValues, State, monte_carlo_values
from vimpo_core.runs import bases
from vimpo_core.runs.snapshots import identity, load_snapshot, reference_identity
from vimpo_core.runs.store import RunStore
from vimpo_core.service.helper_process import HelperProcess
from vimpo_core.service.outcomes import kept_outcomes
from vimpo_core.service.progress import Progress
from vimpo_core.service.requests import read_request
from vimpo_core.types import CreditTrace

TOP_K = 5
"""Alternatives of policy and of reference that a scored branch keeps at each position."""

_KEPT_SCORECARDS = 64


class PrefixTruth(NamedTuple):
    """Success rates from every prefix of a solution: V^pi of the policy, p_ref of the reference (for `soft_curve`)."""

    policy: PrefixValues
    reference: PrefixValues


class ScoringService:
    """One child process; requests queue. Safe to share between threads."""

    def __init__(self):
        self._pool = HelperProcess()

    def warm_up(self) -> Future:
        """Import torch and load the bundled model ahead of the first request."""
        return self._pool.schedule(_warm_up, timeout=60)

    def score(
        self,
        run_dir: Path | None,
        step: int,
        prompt: str,
        solution: str,
        top_k: int = 5,
        ids: tuple[int, ...] | None = None,
        timeout: float = 30,
    ) -> Future:
        """Score a typed solution under a run's snapshot against its reference.

        Args:
            run_dir: the run, or None for the untrained bundled model.
            step: one of the run's snapshot steps.
            prompt, solution: text, e.g. "9+2+9+7*6=" and "9+2+9+42;11+9+42;20+42;62."
            ids: the tokens of a solution that was sampled; None encodes the text.

        Returns:
            A future of [CreditTrace], every array "recomputed". Its result raises Mistake (one sentence: bad
            problem, empty or over-long solution, characters outside the vocabulary, damaged snapshot) or TimeoutError.
            `cancel()` kills the work.
        """
        request = (run_dir and str(run_dir), step, prompt, solution, top_k, ids)
        return self._pool.schedule(_score, args=request, timeout=timeout)

    def branch(
        self,
        run_dir: Path | None,
        step: int,
        prompt: str,
        solution: str | tuple[int, ...],
        position: int,
        forced: str | tuple[int, ...],
        k: int = 32,
        seed: int = 0,
        parent: str = "",
        timeout: float = 30,
    ) -> Future:
        """Force a token of a solution and let the policy finish k times, for "What if?".

        Returns:
            A future of `branches.Branch`; arguments and errors as in `branch_solution`, `cancel()` as in `score`.
        """
        request = (run_dir and str(run_dir), step, prompt, solution, position, forced, k, seed, parent)
        return self._pool.schedule(_branch, args=request, timeout=timeout)

    def prefix_values(
        self,
        run_dir: Path | None,
        step: int,
        prompt: str,
        solution: str,
        rollouts: int,
        seed: int = 0,
        ids: tuple[int, ...] | None = None,
        timeout: float = 60,
    ) -> Future:
        """Success rate from every prefix of a solution, of the policy (V^pi) and of the reference (p_ref).

        Ask for 16, then 64, then 256 rollouts (`truth.STAGES`): the child keeps the outcomes of every (policy, prefix),
        so each call adds only what is missing, and shared beginnings (branches, edits) are not tried again. `ids`: the
        tokens of a solution that was sampled, which encoding its text might cut otherwise.

        Returns:
            A future of `PrefixTruth`; errors and `cancel()` as in `score`. A cancelled stage loses what the child kept.
        """
        request = (run_dir and str(run_dir), step, prompt, solution, rollouts, seed, ids)
        return self._pool.schedule(_prefix_values, args=request, timeout=timeout)

    def step_values(
        self, run_dir: Path, step: int, tries: int, progress: Progress | None = None, timeout: float = 120
    ) -> Future:
        """Success rate from every prefix of every solution that a run recorded at a step, by the policy saved there.

        Args:
            tries: rollouts from every prefix; those that `prefix_values` made there already are not made again.
            progress: is told how far it is, and tidied away.

        Returns:
            A future of a list of float64 [T+1], one a solution in the recorded order, reward units: the verifier's own
            verdicts, without reward noise. Errors and `cancel()` as in `score`.
        """
        request = (str(run_dir), step, tries, progress)
        return _tidied(self._pool.schedule(_step_values, args=request, timeout=timeout), progress)

    def reference_rates(
        self, run_dir: Path, step: int, tries: int, progress: Progress | None = None, timeout: float = 120
    ) -> Future:
        """Success rate of the reference on the prompt of every solution that a run recorded at a step: what A*-PO's V* needs.

        Args:
            tries: solutions of the reference to each prompt; those that `prefix_values` made already are not made again.
            progress: is told how far it is, and tidied away.

        Returns:
            A future of a list of floats in [0, 1], one a solution in the recorded order: the verifier's own verdicts, without
            reward noise. Errors and `cancel()` as in `score`.
        """
        request = (str(run_dir), step, tries, progress)
        return _tidied(self._pool.schedule(_reference_rates, args=request, timeout=timeout), progress)

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

    def scorecard(
        self,
        run_dir: Path,
        step: int,
        which: str,
        solutions: int,
        rollouts: int,
        seed: int = 0,
        progress: Progress | None = None,
        timeout: float = 600,
    ) -> Future:
        """Measure how right a snapshot's credit is on a set of solutions; `progress` is told and tidied away.

        Returns:
            A future of what `truth_report.truth_report` gives; arguments and errors as there, `cancel()` as in `score`.
        """
        request = (str(run_dir), step, which, solutions, rollouts, seed)
        return _tidied(self._pool.schedule(_scorecard, args=(request, progress), timeout=timeout), progress)

    def close(self) -> None:
        self._pool.close()


def _tidied(future: Future, progress: Progress | None) -> Future:
    if progress is not None:
        future.add_done_callback(lambda _: progress.close())
    return future


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
    top_k: int = 5,
    ids: tuple[int, ...] | None = None,
) -> list[CreditTrace]:
    """Score a typed solution in this process (the command line's `score`); arguments and errors as `ScoringService.score`.

    Imports torch.
    """
    from vimpo_core.service import rule_needs

    policy = load_snapshot(run_dir, step)
    task, problem, prompt_ids, ids = read_request(policy, prompt, solution, ids)
    trace = _scored(policy, _config(run_dir), task, step, problem, prompt_ids, ids, top_k)
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
    """Force a token of a solution and let the policy finish k times, in this process.

    Args:
        run_dir, step, prompt: as for `ScoringService.score`.
        solution: text, or the tokens of one that was sampled.
        position: index of the token to replace.
        forced: what takes its place: text of one or more tokens (a final end mark ends the solution), or tokens.
        k: tries from the forced token, and as many from the solution's own, which are the control; 1..256.
        seed: of the tries; they are rollouts 0..k-1 of `prefix_values` with this seed at the same prefixes.
        parent: id of the branch that the solution is the most frequent ending of.

    Raises:
        Mistake, one sentence: as `ScoringService.score`; characters to force outside the vocabulary; and all that
        `branches.check_fork` refuses, as the end token or a position past the token budget.

    Imports torch.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure.policy_process import process_of
    from vimpo_core.tasks.registry import read_problem

    policy = load_snapshot(run_dir, step)
    if isinstance(solution, str):
        asked = read_request(policy, prompt, solution, None)
    else:
        text = models.completion_text(policy, solution, read_problem(prompt)[0].end)
        asked = read_request(policy, prompt, text, solution)
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
            for start, solutions in zip(
                starts, branches.try_starts(process, prompt_ids, starts, k, seed), strict=True
            )
        )
    config = _config(run_dir)
    scored = [
        _scored(policy, config, task, step, problem, prompt_ids, i, TOP_K)
        for i in (ids, after.endings[0].ids)
    ]
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


def _config(run_dir: Path | None) -> TrainConfig | None:
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
    """E_pi[delta] at every prefix, in this process; arguments and errors as `ScoringService.expected_deltas`.

    The expected log-ratio is summed in float64, the KL is measured as everywhere, in float32: two roads to one number,
    which differ by rounding alone, at most `checks.FLOAT32_NATS` a token. Imports torch.
    """
    from vimpo_core.lm import scores

    policy = load_snapshot(run_dir, step)
    _, _, prompt_ids, ids = read_request(policy, prompt, solution, ids)
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
) -> PrefixTruth:
    """V^pi and p_ref of every prefix, in this process; arguments and errors as `ScoringService.prefix_values`.

    Imports torch.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure.policy_process import process_of

    policy, task, problem, prompt_ids, ids = _asked(run_dir, step, prompt, solution, ids)

    def tried(model, who) -> PrefixValues:
        process = process_of(policy, model, task, [problem])
        kept = kept_outcomes(who, task, seed)
        return monte_carlo_values(process, [State(prompt_ids, ids)], rollouts, seed, outcomes=kept)[0]

    with models.merged(policy) as model:
        by_policy = tried(model, identity(run_dir, step))
    return PrefixTruth(by_policy, tried(models.reference(policy), reference_identity(policy)))


def _asked(run_dir, step, prompt, solution, ids=None):
    """The policy, task, problem, prompt ids and solution ids that a request means; Mistake if it is a bad one."""
    policy = load_snapshot(run_dir, step)
    return policy, *read_request(policy, prompt, solution, ids)


def _score(run_dir, step, prompt, solution, top_k, ids):
    return score_solution(run_dir and Path(run_dir), step, prompt, solution, top_k, ids)


def _branch(run_dir, *request):
    return branch_solution(run_dir and Path(run_dir), *request)


def _expected_deltas(run_dir, step, prompt, solution, ids):
    return expected_deltas(run_dir and Path(run_dir), step, prompt, solution, ids)


def _film(run_dir, prompt, solution, ids):
    from vimpo_core.service.film import film_solution

    return film_solution(Path(run_dir), prompt, solution, ids)


def _step_values(run_dir, step, tries, progress):
    from vimpo_core.service import rule_needs

    return rule_needs.step_values(Path(run_dir), step, tries, progress)


def _reference_rates(run_dir, step, tries, progress):
    from vimpo_core.service import rule_needs

    return rule_needs.reference_rates(Path(run_dir), step, tries, progress)


def _prefix_values(run_dir, step, prompt, solution, rollouts, seed, ids):
    return solution_truth(run_dir and Path(run_dir), step, prompt, solution, rollouts, seed, ids)


_scorecards: dict[tuple, dict] = {}
"""Reports made by this process: a class that asks for the same one at once waits for a single measurement."""


def _scorecard(request, progress):
    from vimpo_core.service import truth_report

    run_dir, step, which, solutions, rollouts, seed = request
    with RunStore.open(Path(run_dir)) as store:
        key = (*request, bases.origin(store))
        if key not in _scorecards:
            if len(_scorecards) >= _KEPT_SCORECARDS:
                _scorecards.clear()
            tell = progress.tell if progress else None
            _scorecards[key] = truth_report.truth_report(store, step, which, solutions, rollouts, seed, tell)
    return _scorecards[key]


def _warm_up():
    load_snapshot(None, 0)
