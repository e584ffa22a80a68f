"""Which of a run's settings are known: all where it was trained here, of a brought run those that its files said.

A brought run has a whole `TrainConfig` beside, so that it can be looked at: its defaults are nobody's settings, and
whatever says how a run was trained asks here first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vimpo_core.config import TrainConfig

RECORDED_TASK = "recorded"


def names(imported: Mapping[str, Any] | None, config: TrainConfig) -> frozenset[str]:
    """Names of the settings that are known. imported: of the run's header, None where it was trained here."""
    everything = frozenset(config.to_dict())
    if imported is None:
        return everything
    said = imported.get("settings")
    if said is not None:
        return everything.intersection(said)
    # Brought before this was noted: settings came only with a run of this lab's own, which has a task that says so.
    if imported.get("tool") == "VIMPO Lab" and config.task != RECORDED_TASK:
        return everything - {"model"}
    return frozenset({"algorithm"} if imported.get("rule") else ())


def is_known(imported: Mapping[str, Any] | None, config: TrainConfig, name: str) -> bool:
    return name in names(imported, config)


def of(imported: Mapping[str, Any] | None, config: TrainConfig) -> dict[str, Any]:
    """The settings that are known, by name."""
    known = names(imported, config)
    return {name: value for name, value in config.to_dict().items() if name in known}


def header_for_others(header: Mapping[str, Any], config: TrainConfig) -> dict[str, Any]:
    """A run's header with its settings, as a file takes it along: what nobody recorded is null or left out."""
    known = of(header.get("imported"), config)
    unknown = {name: None for name in ("algorithm", "beta", "gae_lambda") if name not in known}
    shown = {name: value for name, value in header.items() if name != "rescoring"}
    return {**shown, **unknown, "config": known}


def tool_mark(tool: str) -> str:
    """A tool's name in small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", tool.lower().removeprefix("a ")).strip("-") or "unknown"
