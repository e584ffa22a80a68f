"""VinePPO's values (arXiv 2410.01679): finish every prefix of every rollout a few times with the policy itself. Imports
torch.

The paper tries from the beginnings of reasoning steps; here every token is one. `truth` makes it affordable: a try that
draws the solution's own next token is not sampled again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from vimpo_core.lm.models import LanguageModel
from vimpo_core.measure.policy_process import process_of
from vimpo_core.measure.truth import State, monte_carlo_values
from vimpo_core.tasks import Task
from vimpo_core.types import Problem, Rollout


def prefix_values(
    policy: LanguageModel,
    model,
    task: Task,
    problems: Sequence[Problem],
    rollouts: Sequence[Rollout],
    rewards: Sequence[float],
    tries: int,
    reward_noise: float | Sequence[float],
    seed: int,
) -> tuple[np.ndarray, int]:
    """Mean reward from every prefix of each rollout, as the trainer's own grader would see it.

    Args:
        model: the policy's adapter folded in; problems, rollouts, rewards: one a row; rewards include flips.
        tries: rollouts from every prefix; reward_noise: share of their rewards R that become 1 - R, one for all or one
            a row. Where whole groups flip it is 1 for a row whose own reward was flipped and 0 for others: a grader who
            is wrong about a problem is wrong about every try at it.

    Returns:
        float32 [B, T+1], reward units: V(s_0) .. V(s_T), the last one the rollout's own reward; 0 past a row's end. And
        how many tokens were sampled for it.
    """
    sampled = 0

    def counted(states, uniforms):
        nonlocal sampled
        found = process.complete(states, uniforms)
        sampled += sum(len(ids) for rows in found for ids in rows)
        return found

    process = process_of(policy, model, task, list(dict.fromkeys(problems)))
    counting = dataclasses.replace(process, complete=counted)
    found = monte_carlo_values(counting, [State(r.prompt_ids, r.ids) for r in rollouts], tries, seed)
    flips = np.random.default_rng(seed)
    values = np.zeros((len(rollouts), max(len(r.ids) for r in rollouts) + 1), dtype=np.float32)
    shares = np.broadcast_to(reward_noise, len(rollouts))
    for row, (one, rollout, reward) in enumerate(zip(found, rollouts, rewards, strict=True)):
        is_flipped = flips.random(one.outcomes.shape) < shares[row]
        outcomes = np.where(is_flipped, 1.0 - one.outcomes, one.outcomes)
        values[row, : len(rollout.ids)] = outcomes.mean(axis=1)[:-1]
        values[row, len(rollout.ids)] = reward
    return values, sampled
