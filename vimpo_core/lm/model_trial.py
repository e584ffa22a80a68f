"""Whether a network does what sampling and scoring rely on, found by trying it on a few tokens. Imports torch.

Names do not tell: some networks number their positions by the padding, ignore a mask or keep no cache, and would then
be scored wrongly without a word. Here padded prompts that go on from a cache are compared with each row by itself.
"""

from __future__ import annotations

import torch

from vimpo_core.lm import decoding, models, scores
from vimpo_core.lm.model_files import INSTEAD, context_length, too_long
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.prompts import prompt_ids_of
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Task
from vimpo_core.tasks.registry import trial_problems

_PROBLEMS = 64
_TOLERANCE = 1e-2
"""Of the spread of the logits. Rounding in float32 leaves some 1e-5 of it; a position off by one leaves about 1."""


def refusal(model, pad_id: int) -> str:
    """Why a network cannot be trained here, to follow "the model in ..."; "" when all roads give the same logits."""
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = [(7 * i + 3) % rows for i in range(10)]
    prompts, completions = [tokens[:6], tokens[:2]], [tokens[6:], tokens[2:6]]
    try:
        with torch.no_grad():
            alone = torch.stack(
                [
                    model(input_ids=torch.tensor([p + c], device=model.device), use_cache=False).logits[
                        0, len(p) - 1 : -1
                    ]
                    for p, c in zip(prompts, completions, strict=True)
                ]
            )
            batch = scores.make_batch(prompts, completions, pad_id, model.device)
            scored = scores.completion_logits(model, batch)
            stepped = _stepped(model, prompts, completions, pad_id)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        # Whatever a foreign architecture stumbles over: its own words would say nothing to a user.
        return (
            f"({_kind(model)}) cannot be sampled from a key-value cache that solutions share "
            f"({type(error).__name__} at the first try). {INSTEAD}"
        )
    worst = max(float((found - alone).abs().max()) for found in (scored, stepped))
    if worst <= _TOLERANCE * float(alone.std()):
        return ""
    return (
        f"({_kind(model)}) gives other numbers for padded prompts on a cache than for a prompt alone, so every score "
        f"would be wrong. {INSTEAD}"
    )


def check_task(policy: LanguageModel, task: Task) -> None:
    """Raises Mistake if the model cannot say the task's problems, or reads too little for its solutions."""
    problems = trial_problems(task, _PROBLEMS)
    if task.prompt_style == "plain":  # solutions go on in the prompt's own words
        for problem in problems:
            models.encode(policy, problem.prompt, "problem")
    longest = max(len(prompt_ids_of(policy, task, p)) for p in problems) + task.max_new_tokens
    limit = context_length(policy.bare.config)
    if limit is not None and longest > limit:
        raise Mistake(too_long(longest, limit))


def _stepped(model, prompts, completions, pad_id):
    """Logits of the completions' tokens as the sampler finds them: one prefill, each row twice, some rows leaving."""
    ids, attention = decoding.left_padded(prompts, pad_id, model.device)
    decoder, logits = decoding.start(model, ids, attention, 2, len(completions[0]))
    decoder.keep(torch.tensor([True, False, False, True], device=model.device))
    found = [logits[[0, 3]]]
    for column in list(zip(*completions, strict=True))[:-1]:
        found.append(decoder.step(torch.tensor(column, device=model.device)))
    return torch.stack(found, dim=1)


def _kind(model) -> str:
    return str(model.config.model_type)[:40]
