"""Problems of one's own, looked at in a killable process: files of others are not parsed where pages are drawn."""

from __future__ import annotations

from functools import partial
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.lm import sources
from vimpo_core.tasks import look as looks


def look(config: TrainConfig) -> dict[str, Any]:
    """`tasks.look.look` of a run's task; prompts are measured with a model of one's own that is on this machine.
    Imports torch then.
    """
    length = None
    if config.model != sources.BUNDLED and sources.is_here(config.model):
        from vimpo_core.lm.loading import longest_prompt

        length = partial(longest_prompt, config.model)
    return looks.look(config, length=length).as_dict()
