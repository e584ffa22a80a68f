"""Three sets of solutions on which credit is checked, and their ground truth under a run's snapshot. Imports torch.

    fixed   sampled once from the reference: the same for every run and step of a task (and seed), so curves over steps
            compare; the policy scores what it would often not have written itself
    own     sampled fresh from the snapshot's policy: the mistakes that training has left
    style   the fixed set with each separator drawn uniformly from ; , and / : surprising is then not wrong, and a
            signal that only measures surprise is led astray. What is wrong, and where, stays the same

One solution a problem, problems of the test split, so solutions are independent. Right and wrong ones as they come are
compared with Monte Carlo; the first wrong token is looked for in the wrong ones among the same stream. Of a task that
does not verify steps these are all wrong ones, and what is looked for is their largest true drop (`with_drops`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from vimpo_core.lm import models, scores
from vimpo_core.lm.attempts import attempt, judge
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.seeds import derived_seed
from vimpo_core.lm.traces import make_traces
from vimpo_core.measure.drops import largest_drops
from vimpo_core.measure.policy_process import process_of
from vimpo_core.measure.scorecard import SETS, is_localisable, is_wrong
from vimpo_core.measure.truth import Outcomes, PrefixValues, State, monte_carlo_values
from vimpo_core.mistake import Mistake
from vimpo_core.solutions.steps import word_starts
from vimpo_core.tasks.registry import held_out
from vimpo_core.types import CreditTrace, Problem, Rollout, Verdict

PROBLEMS_PER_SOLUTION = 16
"""How many problems are tried for each wrong solution wanted; a policy that is right more often yields fewer."""

_DRAWN_TOGETHER = 128


@dataclass(frozen=True)
class SolutionSet:
    """`wrong`: wrong solutions, with a known first wrong token where the task verifies steps. `mixed`: the first
    solutions of the stream as they came.

    All scored under one policy; none belongs to a group, so `group_mean_reward` is nan.
    """

    wrong: list[CreditTrace]
    mixed: list[CreditTrace]


def solution_set(policy: LanguageModel, task, which: str, solutions: int, seed: int = 0, step: int = 0) -> SolutionSet:
    """Draw a set and score it under `policy`; the same for the same arguments, and a larger one begins with a smaller.

    Args:
        which: one of `scorecard.SETS`.
        solutions: how many to have of each kind; fewer wrong ones come back if `PROBLEMS_PER_SOLUTION` times as many
            problems did not yield them, or if the task has no more.
        step: of the snapshot, written into the traces.

    Raises:
        Mistake: unknown set, fewer than one solution, or the style set of a task that writes in one hand alone.
    """
    if which not in SETS or solutions < 1:
        raise Mistake(f"a set is one of {', '.join(SETS)} with at least 1 solution, got {which!r} with {solutions}.")
    if which == "style" and not task.verifies_steps:
        raise Mistake("this task cannot write a solution in another hand, so it has no style set. Choose fixed or own.")
    if which == "own":
        with models.merged(policy) as model:
            drawn = _draw(policy, model, task, f"own/{seed}", solutions)
    else:
        drawn = _draw(policy, models.reference(policy), task, f"reference/{seed}", solutions)
    if which == "style":
        rng = random.Random(f"style/{seed}")
        drawn = [_restyled(policy, task, problem, rollout, rng) for problem, rollout, _ in drawn]
    traces = scored(policy, task, step, drawn)
    is_wanted = is_localisable if task.verifies_steps else is_wrong
    return SolutionSet([t for t in traces if is_wanted(t)][:solutions], traces[:solutions])


def own_mistakes(policy: LanguageModel, task, solutions: int, seed: int = 0) -> list[tuple[Problem, Rollout, Verdict]]:
    """The wrong solutions of the own set of these arguments, as they were sampled, for any policy to score (`scored`).

    Raises:
        Mistake: the task does not verify steps, so that what is to be found belongs to one policy alone.
    """
    if not task.verifies_steps:
        raise Mistake(
            "this task judges answers, not steps, and the largest true drop of a solution belongs to one policy, so "
            "nothing is to be found by all. Choose the set fixed or own."
        )
    with models.merged(policy) as model:
        drawn = _draw(policy, model, task, f"own/{seed}", solutions)
    return [one for one in drawn if _is_wrong(policy, task, *one)][:solutions]


def policy_values(
    policy: LanguageModel,
    task,
    traces: Sequence[CreditTrace],
    rollouts: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[PrefixValues]:
    """V^pi of `policy` at every prefix of every trace, one result a trace; see `truth.monte_carlo_values`."""
    problems = [Problem(t.prompt_text, t.gold) for t in traces]
    solutions = [State(tuple(t.prompt_ids), tuple(t.ids.tolist())) for t in traces]
    with models.merged(policy) as model:
        process = process_of(policy, model, task, problems)
        return monte_carlo_values(
            process, solutions, rollouts, seed, on_progress=on_progress, is_cancelled=is_cancelled
        )


def with_drops(
    policy: LanguageModel,
    task,
    traces: Sequence[CreditTrace],
    tries: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[CreditTrace]:
    """The traces with the largest true drop of each under `policy`; see `drops.largest_drops`."""
    if not traces:
        return []
    problems = [Problem(t.prompt_text, t.gold) for t in traces]
    solutions = [State(tuple(t.prompt_ids), tuple(t.ids.tolist())) for t in traces]
    outcomes: dict[int, Outcomes] = {}
    with models.merged(policy) as model:
        found = largest_drops(
            process_of(policy, model, task, problems),
            solutions,
            tries,
            seed,
            [word_starts(t) for t in traces],
            lambda of_seed: outcomes.setdefault(of_seed, {}),
            on_progress,
            is_cancelled,
        )
    return [trace.with_(largest_drop=drop) for trace, drop in zip(traces, found, strict=True)]


def _draw(policy, model, task, name, solutions) -> list[tuple[Problem, Rollout, Verdict]]:
    """One solution a test problem, in turn, until enough of them are wrong at a known token."""
    problems = held_out(task, "test", PROBLEMS_PER_SOLUTION * solutions)
    drawn: list[tuple[Problem, Rollout, Verdict]] = []
    wrong = 0
    for start in range(0, len(problems), _DRAWN_TOGETHER):
        some = problems[start : start + _DRAWN_TOGETHER]
        rollouts, verdicts = attempt(policy, model, task, some, 1, derived_seed(0, start, name))
        fresh = list(zip(some, rollouts, verdicts, strict=True))
        drawn += fresh
        wrong += sum(_is_wrong(policy, task, *one) for one in fresh)
        if wrong >= solutions:
            break
    return drawn


def _is_wrong(policy, task, problem, rollout, verdict) -> bool:
    text = models.completion_text(policy, rollout.ids, task.end)
    return verdict.reward < 1 and (not task.verifies_steps or task.first_wrong(problem, text) is not None)


def _restyled(policy, task, problem, rollout, rng) -> tuple[Problem, Rollout, Verdict]:
    text = task.restyled(models.completion_text(policy, rollout.ids, task.end), rng)
    ids = models.encode_completion(policy, text, task.end)
    return problem, replace(rollout, ids=ids), judge(policy, task, problem, ids, rollout.finish_reason)


def scored(policy, task, step, drawn) -> list[CreditTrace]:
    """What was sampled, by this policy or another, as traces under `policy`; none belongs to a group."""
    problems, rollouts, verdicts = map(list, zip(*drawn, strict=True))
    batch = scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id, policy.device)
    measured = scores.score_in_chunks(policy, batch, _DRAWN_TOGETHER)
    rewards = torch.tensor([v.reward for v in verdicts])
    made = make_traces(policy, task, step, (problems, rollouts, verdicts), measured, rewards, torch.arange(len(drawn)))
    # A group of one has no mean to speak of, and another policy than this one may have sampled the tokens.
    alone = {"group_mean_reward": float("nan"), "group_rewards": (), "sampler_logprob": None}
    how = dict.fromkeys(("logprob", "ref_logprob", "kl", "entropy"), "recomputed")
    return [t.with_(**alone, provenance={**how, "sampler_logprob": "missing"}) for t in made]
