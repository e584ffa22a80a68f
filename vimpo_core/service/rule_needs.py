"""What the rules need beside a trace, measured in the scoring process: a learned critic's V_t, Monte Carlo values of a
step.

Asked of the scoring process; everything here imports torch.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from vimpo_core.runs import snapshots
from vimpo_core.runs.bases import Origin
from vimpo_core.runs.store import RunStore
from vimpo_core.service import outcomes, requests
from vimpo_core.service.progress import Progress
from vimpo_core.types import CreditTrace

_KEPT_CRITICS = 4


def step_values(run_dir: Path, step: int, tries: int, progress: Progress | None = None) -> list[np.ndarray]:
    """Mean reward from every prefix of every solution that a run recorded at a step, by the policy saved there.

    Args:
        tries: rollouts from every prefix; those that `scoring.solution_truth` made there already are not made again.
        progress: is told how far it is.

    Returns:
        float64 [T+1] a solution, in the recorded order, reward units: the verifier's own verdicts, without reward
        noise.

    Raises:
        Mistake, one sentence: as `scoring.score_solution`.
    """
    from vimpo_core.lm import models

    policy = snapshots.load_snapshot(run_dir, step)
    with RunStore.open(run_dir) as store:
        traces, config = store.traces(step), store.config()
    asked = [
        requests.read_request(policy, t.prompt_text, t.completion_text, tuple(map(int, t.ids)), config) for t in traces
    ]
    with models.merged(policy) as model:
        who = snapshots.identity(run_dir, step)
        found = outcomes.tried_values(policy, model, who, asked, tries, progress=progress)
    return [one.value for one in found]


def reference_rewards(run_dir: Path, step: int, tries: int, progress: Progress | None = None) -> list[np.ndarray]:
    """Rewards [tries] of the reference's own solutions to the prompt of every solution of a step: what A*-PO's V*
    needs. The rest as `step_values`."""
    from vimpo_core.lm import models

    policy = snapshots.load_snapshot(run_dir, step)
    with RunStore.open(run_dir) as store:
        prompts, config = [trace.prompt_text for trace in store.traces(step)], store.config()
    # The solution is not looked at: one character stands for it, and no token.
    asked = {prompt: (*requests.read_request(policy, prompt, prompt[0], config=config)[:3], ()) for prompt in prompts}
    model, who = models.reference(policy), snapshots.reference_identity(policy)
    found = outcomes.tried_values(policy, model, who, list(asked.values()), tries, progress=progress)
    rewards = {prompt: one.outcomes[0] for prompt, one in zip(asked, found, strict=True)}
    return [rewards[prompt] for prompt in prompts]


def with_critic(trace: CreditTrace, run_dir: Path | None, step: int) -> CreditTrace:
    """A scored trace with V_t by the run's own critic at that step; as it is where the run has none."""
    critic = None if run_dir is None else _critic(*snapshots.identity(run_dir, step))
    if critic is None:
        return trace
    from vimpo_core.learning import critic as critics
    from vimpo_core.lm import scores

    policy = snapshots.load_snapshot(run_dir, step)
    ids = [list(map(int, trace.ids))]
    batch = scores.make_batch([list(trace.prompt_ids)], ids, policy.pad_id, policy.device)
    values = critics.values_of(critic, critics.states_of(policy, batch), batch.completion_mask)
    return trace.with_(
        critic_values=values[0].cpu().numpy().astype(np.float32),
        provenance=trace.provenance | {"critic_values": "recomputed"},
    )


@functools.lru_cache(maxsize=_KEPT_CRITICS)
def _critic(run_dir: Path, step: int, origin: Origin):
    """The critic saved with a snapshot, None where there is none. Mistake if it is damaged or does not fit."""
    from vimpo_core.learning import critic as critics
    from vimpo_core.lm import models

    with RunStore.open(run_dir) as store:
        state = models.part(models.from_bytes(store.snapshot(step)), models.CRITIC)
        seed = store.config().seed
    if not state:
        return None
    critic = critics.make_critic(snapshots.load_snapshot(run_dir, step), seed)
    critics.load_critic(critic, state)
    return critic.eval()
