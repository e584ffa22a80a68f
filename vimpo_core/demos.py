"""The bundled demo runs: VIMPO at two betas and GRPO on the same seed, made small enough for git."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.reports import training_report
from vimpo_core.store import RunStore
from vimpo_core.types import RunState

SEED = 0
STEPS = 100
EVERY = 10
"""Snapshots are kept at every tenth step; metrics at all."""
SOLUTIONS_AT = {0, 10, 20, 40, 60, 100}
"""Steps whose solutions are kept."""

DEMOS: dict[str, dict] = {
    "vimpo-beta-0.1": {"algorithm": "vimpo", "beta": 0.1},
    "vimpo-beta-0.3": {"algorithm": "vimpo", "beta": 0.3, "actor_coef": 0.1},
    "grpo": {"algorithm": "grpo"},
}


def make_demos(
    folder: Path, steps: int | None = None, on_step: Callable[[int, int], None] | None = None
) -> list[dict]:
    """Train the demo runs into `folder`, replacing what is there. Returns their reports. Imports torch."""
    configs = {
        name: TrainConfig(**settings, seed=SEED, steps=steps or STEPS, snapshot_every=EVERY, eval_every=5)
        for name, settings in DEMOS.items()
    }
    total = sum(config.steps + 1 for config in configs.values())
    reports: list[dict] = []
    done = 0
    for name, config in configs.items():
        shutil.rmtree(folder / name, ignore_errors=True)

        def show(_store, record, before=done):
            if on_step:
                on_step(before + record.step + 1, total)

        reports.append(_make_demo(folder / name, config, show))
        done += config.steps + 1
    return reports


def _make_demo(run_dir: Path, config: TrainConfig, on_record) -> dict:
    from vimpo_core.runs import default_name
    from vimpo_core.worker import drive, make_trainer

    header = {"name": default_name(config), "command": "python -m vimpo_core make-demos"}
    with RunStore.create(run_dir, config, header) as store:
        with store.lock():
            trainer = make_trainer(config, None)
            store.update_header(trainer.header)
            state = drive([(store, trainer)], lambda: "play", on_record)
        if state != RunState.FINISHED:
            raise ValueError(f"demo {run_dir.name} ended as {state}: {store.message()} Run make-demos again.")
        store.compact(keep_trace_steps=SOLUTIONS_AT | {config.steps}, keep_resume_state=False)
    return training_report(RunStore.open(run_dir))
