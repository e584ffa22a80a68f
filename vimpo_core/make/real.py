"""The bundled runs of a real language model: SmolLM2-135M-Instruct, VIMPO and GRPO on one seed with the same settings.

What they recorded is kept, and two adapters; the base weights are fetched by whoever needs them (`lm.known`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.lm import sources
from vimpo_core.mistake import Mistake
from vimpo_core.reports import training_report
from vimpo_core.runs.store import RunStore, is_run
from vimpo_core.service import examples
from vimpo_core.types import RunState

MODEL = "smollm2"
PROBLEMS = "assets/problems/backwards.jsonl"
"""1,200 pairs of everyday words to be written backwards, after four solved ones; made once, kept as data."""
STEPS = 20
SOLUTIONS_AT = {0, 5, 10, 15, 20}
"""Steps whose solutions are kept."""
SNAPSHOTS_AT = {10, 20}
"""Steps whose adapter is kept."""
EXAMPLES = 8
"""Wrong solutions that are tried."""
COMMAND = "python -m vimpo_core make-demos --real"

SETTINGS: dict[str, Any] = {
    "model": MODEL,
    "task": f"file:{PROBLEMS}?compare=text&read=all",
    "max_new_tokens": 12,
    "prompts_per_step": 8,
    "group_size": 8,
    "lora_layers": 6,
    "steps": STEPS,
    "warmup_steps": 3,
    "learning_rate": 5e-4,
    "eval_every": 10,
    "eval_prompts": 48,
    "snapshot_every": 5,
    "seed": 0,
}
RUNS: dict[str, dict[str, Any]] = {"smollm2-vimpo": {"algorithm": "vimpo"}, "smollm2-grpo": {"algorithm": "grpo"}}


def make_real(folder: Path, on_step: Callable[[int, int], None] | None = None) -> list[dict]:
    """Train both runs into `folder`, replacing what is there. Returns their reports. Imports torch.

    Raises:
        Mistake: the weights are not on this machine; a folder of that name is no run.
    """
    sources.settled(MODEL)
    for name in RUNS:
        if (folder / name).exists() and not is_run(folder / name):
            raise Mistake(f"{folder / name} is not a run of this lab and is left alone. Choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    reports: list[dict] = []
    for at, (name, settings) in enumerate(RUNS.items()):

        def show(_store, record, before=at * (STEPS + 1)):
            if on_step:
                on_step(before + record.step + 1, len(RUNS) * (STEPS + 1))

        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as making:
            reports.append(_make(Path(making) / name, TrainConfig(**SETTINGS, **settings), show))
            if (folder / name).exists():
                (folder / name).rename(Path(making) / f"old-{name}")
            (Path(making) / name).rename(folder / name)
    return reports


def _make(run_dir: Path, config: TrainConfig, on_record) -> dict:
    from vimpo_core.runs.names import default_name
    from vimpo_core.runs.worker import drive, make_trainer

    header = {"name": default_name(config), "command": COMMAND}
    with RunStore.create(run_dir, config, header) as store:
        with store.lock():
            trainer = make_trainer(config, None)
            store.update_header(trainer.header)
            state = drive([(store, trainer)], lambda: "play", on_record)
        if state != RunState.FINISHED:
            raise Mistake(f"run {run_dir.name} ended as {state}: {store.message()} Run make-demos --real again.")
        store.compact(SOLUTIONS_AT, keep_resume_state=False, keep_snapshot_steps=SNAPSHOTS_AT)
    return training_report(RunStore.open(run_dir))


def keep_examples(folder: Path) -> None:
    """Try the clearest wrong solutions of each run, read them by the other, and keep that beside it. Imports torch."""
    for name, other in (("smollm2-vimpo", "smollm2-grpo"), ("smollm2-grpo", "smollm2-vimpo")):
        examples.keep(folder / name, examples.measure(folder / name, folder / other, EXAMPLES))
