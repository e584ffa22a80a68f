"""From a problem to the tokens that a model reads: the task's wording, the model's chat template. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence

from vimpo_core.lm import models
from vimpo_core.lm.models import LanguageModel
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Task
from vimpo_core.types import Problem


def prompt_ids_of(policy: LanguageModel, task: Task, problem: Problem) -> tuple[int, ...]:
    """Token ids of a problem as its task words it. A chat template writes its own begin token, or none.

    Raises:
        Mistake: the model has no chat template that is asked for, or cannot say the problem.
    """
    return models.encode_prompt(policy, prompt_text_of(policy, task, problem), "problem", task.prompt_style != "chat")


def prompt_text_of(policy: LanguageModel, task: Task, problem: Problem) -> str:
    """What the model reads of a problem, as text. Raises Mistake where it has no chat template that is asked for."""

    def chat(messages: Sequence[dict[str, str]]) -> str:
        if not getattr(policy.tokenizer, "chat_template", None):
            raise Mistake(
                "prompt_style chat needs a model with a chat template, and this one has none. Use few-shot or plain, "
                "or a model that was tuned for chat."
            )
        try:
            return policy.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # whatever a template of somebody else's stumbles over
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise Mistake(
                f"the model's chat template cannot word the problem: {reason[:200].rstrip('.')}. Use few-shot or plain."
            ) from error

    return task.render(problem, chat)
