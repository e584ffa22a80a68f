"""Three sets of solutions on which credit is checked, and their ground truth under a run's snapshot. Imports torch.

    fixed   sampled once from the reference: the same for every run and step of a task (and seed), so curves over steps
            compare; the policy scores what it would often not have written itself
    own     sampled fresh from the snapshot's policy: the mistakes that training has left
    style   the fixed set with each separator drawn uniformly from ; , and / : surprising is then not wrong, and a
            signal that only measures surprise is led astray. What is wrong, and where, stays the same

One solution a problem, problems of the test split, so solutions are independent. Right and wrong ones as they come are
compared with Monte Carlo; the first wrong token is looked for in the wrong ones among the same stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from vimpo_core.learning.objective import Experience
from vimpo_core.lm import models, sampler, scores
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.traces import make_traces
from vimpo_core.measure.policy_process import process_of
from vimpo_core.measure.scorecard import SETS, is_localisable
from vimpo_core.measure.truth import PrefixValues, State, monte_carlo_values
from vimpo_core.tasks.chain import held_out, with_drawn_separators
from vimpo_core.trainer import derived_seed
from vimpo_core.types import CreditTrace, Problem, Rollout

PROBLEMS_PER_SOLUTION = 16
"""How many problems are tried for each wrong solution wanted; a policy that is right more often yields fewer."""

_DRAWN_TOGETHER = 128


@dataclass(frozen=True)
class SolutionSet:
    """`wrong`: wrong solutions with a known first wrong token. `mixed`: the first solutions of the stream as they came.

    All scored under one policy; none belongs to a group, so `group_mean_reward` is nan.
    """

    wrong: list[CreditTrace]
    mixed: list[CreditTrace]


def solution_set(
    policy: LanguageModel, task, which: str, solutions: int, seed: int = 0, step: int = 0
) -> SolutionSet:
    """Draw a set and score it under `policy`; the same for the same arguments, and a larger one begins with a smaller.

    Args:
        which: one of `scorecard.SETS`.
        solutions: how many to have of each kind; fewer wrong ones come back if `PROBLEMS_PER_SOLUTION` times as many
            problems did not yield them, or if the task has no more.
        step: of the snapshot, written into the traces.

    Raises:
        ValueError: unknown set, or fewer than one solution.
    """
    if which not in SETS or solutions < 1:
        raise ValueError(
            f"a set is one of {', '.join(SETS)} with at least 1 solution, got {which!r} with {solutions}."
        )
    if which == "own":
        with models.merged(policy) as model:
            drawn = _draw(policy, model, task, f"own/{seed}", solutions)
    else:
        drawn = _draw(policy, models.reference(policy), task, f"reference/{seed}", solutions)
    if which == "style":
        rng = random.Random(f"style/{seed}")
        drawn = [(problem, _restyled(policy, task, rollout, rng)) for problem, rollout in drawn]
    traces = _scored(policy, task, step, drawn)
    return SolutionSet([t for t in traces if is_localisable(t)][:solutions], traces[:solutions])


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


def _draw(policy, model, task, name, solutions) -> list[tuple[Problem, Rollout]]:
    """One solution a test problem, in turn, until enough of them are wrong at a known token."""
    problems = held_out(task, "test", PROBLEMS_PER_SOLUTION * solutions)
    drawn, wrong = [], 0
    for start in range(0, len(problems), _DRAWN_TOGETHER):
        some = problems[start : start + _DRAWN_TOGETHER]
        rollouts = sampler.sample(
            model,
            [models.encode_prompt(policy, p.prompt) for p in some],
            1,
            task.max_new_tokens,
            policy.end_ids,
            policy.pad_id,
            derived_seed(0, start, name),
        )
        drawn += zip(some, rollouts, strict=True)
        wrong += sum(_is_wrong(policy, task, p, r) for p, r in zip(some, rollouts, strict=True))
        if wrong >= solutions:
            break
    return drawn


def _is_wrong(policy, task, problem, rollout) -> bool:
    text = models.completion_text(policy, rollout.ids, task.end)
    is_right = task.verify(problem, text, rollout.finish_reason).reward == 1
    return not is_right and task.first_wrong(problem, text) is not None


def _restyled(policy, task, rollout, rng) -> Rollout:
    text = with_drawn_separators(models.completion_text(policy, rollout.ids, task.end), rng)
    return replace(rollout, ids=models.encode_completion(policy, text, task.end))


def _scored(policy, task, step, drawn) -> list[CreditTrace]:
    problems, rollouts = map(list, zip(*drawn, strict=True))
    batch = scores.make_batch(
        [r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id, policy.device
    )
    measured = scores.score_in_chunks(policy, batch, _DRAWN_TOGETHER)
    texts = [models.completion_text(policy, r.ids, task.end) for r in rollouts]
    verdicts = [task.verify(p, t, r.finish_reason) for p, t, r in zip(problems, texts, rollouts, strict=True)]
    experience = Experience(
        batch=batch,
        scores=measured,
        old_logprobs=measured.logprobs,
        rewards=torch.tensor([v.reward for v in verdicts]),
        group_ids=torch.arange(len(drawn)),
        problems=problems,
        rollouts=rollouts,
        verdicts=verdicts,
        token_budget=task.max_new_tokens,
        tokens_sampled=sum(len(r.ids) for r in rollouts),
    )
    # A group of one has no mean to speak of, and another policy than this one may have sampled the tokens.
    alone = {"group_mean_reward": float("nan"), "sampler_logprob": None}
    how = dict.fromkeys(("logprob", "ref_logprob", "kl", "entropy"), "recomputed")
    provenance = {**how, "sampler_logprob": "missing"}
    return [t.with_(**alone, provenance=provenance) for t in make_traces(policy, task, step, experience)]
