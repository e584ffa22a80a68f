"""Models of one's own, looked at, fetched and tried in a killable process: the web process never imports torch, and
nobody who scores a solution waits behind a download."""

from __future__ import annotations

import functools
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.service.helper_process import HelperProcess
from vimpo_core.service.progress import Progress


@functools.lru_cache(maxsize=1)
def model_service() -> HelperProcess:
    """The process-wide service, started on first use."""
    return HelperProcess()


def look(config: TrainConfig) -> dict[str, Any]:
    """`model_check.check` of the model that the settings name. Imports torch."""
    from vimpo_core.lm import model_check

    return model_check.check(config.model, config)


def get(source: str, progress: Progress) -> str:
    """`sources.get`: fetch or convert, telling how far it is."""
    from vimpo_core.lm import sources

    return sources.get(source, progress.tell)


def try_run(config: TrainConfig) -> list[str]:
    """Whether a run with these settings can be begun, found by loading its model: remarks on what is particular.

    Raises Mistake, one sentence, where it cannot: before anything of the run is written. Imports torch.
    """
    from vimpo_core.lm import loading, model_check

    if refused := model_check.check(config.model, config)["refused"]:
        raise Mistake(refused)
    return loading.check_run(config)
