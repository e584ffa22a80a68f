"""One solution re-scored under every snapshot of its run: how each token's credit came about. Imports torch late.

One model is loaded and its adapter swapped; the reference stays. Only what was sampled once is looked at, so the rows
of a film are comparable, and the solution is off-policy in every row but the one it was sampled in.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.store import RunStore
from vimpo_core.service.helper_process import HelperProcess
from vimpo_core.service.progress import Progress
from vimpo_core.types import CreditTrace


class Film(NamedTuple):
    """frames: one trace a snapshot, by ascending step; problems: step -> the sentence that says why it has no frame."""

    frames: list[CreditTrace]
    problems: dict[int, str]


def film_solution(run_dir: Path, prompt: str, solution: str, ids: tuple[int, ...] | None = None) -> Film:
    """Score a solution under every snapshot of a run, in this process. Imports torch.

    Args:
        run_dir: the run; prompt, solution: text, as for `scoring.score_solution`.
        ids: the tokens of a solution that was sampled; None encodes the text.

    Returns:
        The film. Its frames belong to no group: `group_mean_reward` is nan, so V is anchored at the end.

    Raises:
        Mistake: the run has no snapshot, none of them is intact, problem or solution is refused, or the run was trained
            with another model than is there now.
    """
    from vimpo_core.lm import models, scores
    from vimpo_core.lm.traces import trace_of_text
    from vimpo_core.service.requests import read_request

    store = RunStore.open(run_dir)
    steps = store.snapshot_steps()
    if not steps:
        raise Mistake(f"run {store.run_id} kept no adapter, so there is no film of it. Choose a run that saved some.")
    policy = _policy(run_dir, bases.origin(store))
    film, config = Film([], {}), store.config()
    task, problem, prompt_ids, ids = read_request(policy, prompt, solution, ids, config)
    batch = scores.make_batch([prompt_ids], [list(ids)], policy.pad_id, policy.device)
    for step in steps:
        try:
            models.set_policy(policy, models.from_bytes(store.snapshot(step)))
        except Mistake as error:
            film.problems[step] = str(error)
            continue
        measured = scores.score(policy, batch, kl_top_k=config.kl_tokens)
        film.frames.append(trace_of_text(policy, task, step, problem, batch, measured, config))
    if not film.frames:
        raise Mistake(next(iter(film.problems.values())))
    return film


def draw_gif(
    film: Film,
    lens: str,
    beta: float,
    gae_lambda: float,
    about: dict,
    theme: str = "light",
    progress: Progress | None = None,
) -> bytes:
    """`film_gif.film_gif` of a film, for `drawing_service`."""
    from vimpo_core.formats.film_gif import film_gif

    tell = progress.tell if progress else None
    return film_gif(film.frames, lens, beta, gae_lambda, about, theme, tell)


@functools.lru_cache(maxsize=1)
def drawing_service() -> HelperProcess:
    """One process for drawing films to files (`draw_gif`): it holds no model, and nothing waits behind it that
    scores."""
    return HelperProcess()


@functools.lru_cache(maxsize=2)
def _policy(run_dir: Path, origin: bases.Origin):
    """A policy whose adapter changes from frame to frame: never one that others hold."""
    from vimpo_core.lm import models

    models.single_thread()
    return bases.load_policy(RunStore.open(run_dir))
