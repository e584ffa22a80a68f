"""The policy of a run at a step that it was saved at, kept in memory, and what it may be kept by. torch is imported
late.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.store import RunStore

_KEPT_POLICIES = 4


def identity(run_dir: Path | None, step: int) -> tuple:
    """What a policy may be kept by: its run's folder and step, and where that run comes from (`bases.origin`)."""
    if run_dir is None:
        return None, step, bases.stamp("bundled")
    return run_dir, step, bases.origin(RunStore.open(run_dir))


def reference_identity(policy) -> tuple:
    """What the reference of a loaded policy may be kept by: its source and that one's files."""
    return policy.source, bases.stamp(policy.source)


def load_snapshot(run_dir: Path | None, step: int):
    """The run's policy at a snapshot step; the untrained bundled one for None. Kept: a snapshot never changes.

    Raises Mistake if the step has no snapshot, it is damaged, or the run was trained with another model than is there
    now. Imports torch.
    """
    return _snapshot(*identity(run_dir, step))


@functools.lru_cache(maxsize=_KEPT_POLICIES)
def _snapshot(run_dir: Path | None, step: int, origin: Any):
    from vimpo_core.lm import loading, models

    models.single_thread()
    if run_dir is None:
        return loading.load_policy(TrainConfig())
    store = RunStore.open(run_dir)
    policy = bases.load_policy(store)
    tensors = models.from_bytes(store.snapshot(step))
    models.set_policy(policy, tensors)
    if models.part(tensors, models.REFERENCE):  # its own: what is known of p_ref elsewhere does not hold
        source = f"reference of {run_dir} at step {step}, made {origin.created}"
        return dataclasses.replace(policy, source=source)
    return policy


def newest_snapshot(store: RunStore) -> int:
    """The last step with a stored adapter. Raises Mistake if there is none."""
    steps = store.snapshot_steps()
    if not steps:
        if store.imported():
            raise Mistake(
                f"run {store.run_id} was recorded by another tool and holds no adapter. Re-score it with the model "
                "that wrote it, or name a run that was trained here."
            )
        raise Mistake(f"run {store.run_id} has no adapter stored yet. Train it for at least one step.")
    return steps[-1]
