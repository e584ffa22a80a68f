"""The largest true drop of one solution, measured on demand in the scoring process. torch is imported late."""

from __future__ import annotations

from pathlib import Path

from vimpo_core.measure import drops
from vimpo_core.measure.truth import State
from vimpo_core.runs import snapshots
from vimpo_core.service import scoring
from vimpo_core.service.outcomes import kept_outcomes
from vimpo_core.service.progress import Progress
from vimpo_core.service.requests import read_request
from vimpo_core.types import Drop


def largest_drop(
    run_dir: Path | None,
    step: int,
    prompt: str,
    solution: str,
    tries: int,
    ids: tuple[int, ...] | None = None,
    starts: tuple[int, ...] = (),
    progress: Progress | None = None,
) -> Drop:
    """After which token of a solution the mean reward of the snapshot's policy falls most (`drops.largest_drops`).

    The tries of `scoring.solution_truth` at the same prefixes are not made again. Imports torch.

    Args:
        tries: fresh ones from the two prefixes of the chosen token. starts: tokens that begin a word or a step.
        progress: is told how far it is. The rest as in `scoring.score_solution`.

    Raises:
        Mistake, one sentence: as `scoring.score_solution`, and fewer tries than `drops.SCREEN`.
    """
    from vimpo_core.lm import models
    from vimpo_core.measure.policy_process import process_of

    policy = snapshots.load_snapshot(run_dir, step)
    task, problem, prompt_ids, ids = read_request(policy, prompt, solution, ids, scoring.config_of(run_dir))
    who = snapshots.identity(run_dir, step)
    with models.merged(policy) as model:
        (found,) = drops.largest_drops(
            process_of(policy, model, task, [problem]),
            [State(tuple(prompt_ids), tuple(map(int, ids)))],
            tries,
            starts=[starts],
            kept=lambda seed: kept_outcomes(who, task, seed),
            on_progress=progress.tell if progress else None,
        )
    return found
