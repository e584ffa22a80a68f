"""What a request means for a policy: its task, its problem and its tokens, or a sentence that says why not. torch is
imported late.
"""

from __future__ import annotations

from vimpo_core.config import TrainConfig
from vimpo_core.lm.model_files import context_length
from vimpo_core.mistake import Mistake

MAX_SOLUTION_CHARACTERS = 12_000
"""Longer typed solutions are refused before anything is computed."""


def read_request(
    policy, prompt: str, solution: str, ids: tuple[int, ...] | None = None, config: TrainConfig | None = None
):
    """The task, problem, prompt ids and solution ids that a request means for a policy.

    `config`: of the run that it is put to, None for the untrained bundled model. `ids`: the tokens of a solution that
    was sampled, which encoding its text might cut otherwise.
    Raises Mistake, one sentence, if the request is a bad one. Imports torch.
    """
    from vimpo_core.lm.models import encode_completion
    from vimpo_core.lm.prompts import prompt_ids_of
    from vimpo_core.tasks.registry import read_problem

    if not solution:
        raise Mistake("the solution is empty: got 0 characters. Type at least one, ending with the end mark.")
    if len(solution) > MAX_SOLUTION_CHARACTERS:
        raise Mistake(
            f"the solution has {len(solution)} characters, the limit is {MAX_SOLUTION_CHARACTERS}. Shorten it."
        )
    task, problem = read_problem(prompt, config)
    prompt_ids = prompt_ids_of(policy, task, problem)
    ids = ids or encode_completion(policy, solution, task.end)
    longest = context_length(policy.bare.config)
    if longest is not None and len(prompt_ids) + len(ids) > longest:
        raise Mistake(
            f"problem and solution are {len(prompt_ids) + len(ids)} tokens, the model reads {longest}. Shorten the "
            f"solution."
        )
    return task, problem, prompt_ids, ids
