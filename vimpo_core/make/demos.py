"""The bundled demo runs: VIMPO at two betas and GRPO on the same seed, made small enough for git, and their
scorecards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from vimpo_core.config import TrainConfig
from vimpo_core.measure.scorecard import SETS
from vimpo_core.mistake import Mistake
from vimpo_core.reports import training_report
from vimpo_core.runs.store import RunStore, is_run
from vimpo_core.service import kept_reports, second_reading
from vimpo_core.service.same_report import same_report
from vimpo_core.service.truth_report import truth_report
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

READ_BY = {"vimpo-beta-0.1": "grpo", "vimpo-beta-0.3": "grpo", "grpo": "vimpo-beta-0.3"}
"""Whose policy reads a demo run's wrong solutions a second time."""

REPORT_SIZES = ((256, 64), (8, 8))
"""Solutions and tries a prefix of the kept reports: what Scorecard opens with, and what a test measures again in
seconds.
"""


def make_demos(folder: Path, steps: int | None = None, on_step: Callable[[int, int], None] | None = None) -> list[dict]:
    """Train the demo runs into `folder`, replacing what is there. Returns their reports. Imports torch."""
    configs = {
        name: TrainConfig(**settings, seed=SEED, steps=steps or STEPS, snapshot_every=EVERY, eval_every=5)
        for name, settings in DEMOS.items()
    }
    for name in configs:
        if (folder / name).exists() and not is_run(folder / name):
            raise Mistake(f"{folder / name} is not a run of this lab and is left alone. Choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(config.steps + 1 for config in configs.values())
    reports: list[dict] = []
    done = 0
    for name, config in configs.items():

        def show(_store, record, before=done):
            if on_step:
                on_step(before + record.step + 1, total)

        # Made under another name first: what was there stays until the new one is whole.
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as making:
            reports.append(_make_demo(Path(making) / name, config, show))
            if (folder / name).exists():
                (folder / name).rename(Path(making) / f"old-{name}")
            (Path(making) / name).rename(folder / name)
        done += config.steps + 1
    return reports


def _make_demo(run_dir: Path, config: TrainConfig, on_record) -> dict:
    from vimpo_core.runs.names import default_name
    from vimpo_core.runs.worker import drive, make_trainer

    header = {"name": default_name(config), "command": "python -m vimpo_core make-demos"}
    with RunStore.create(run_dir, config, header) as store:
        with store.lock():
            trainer = make_trainer(config, None)
            store.update_header(trainer.header)
            state = drive([(store, trainer)], lambda: "play", on_record)
        if state != RunState.FINISHED:
            raise Mistake(f"demo {run_dir.name} ended as {state}: {store.message()} Run make-demos again.")
        store.compact(keep_trace_steps=SOLUTIONS_AT | {config.steps}, keep_resume_state=False)
    return training_report(RunStore.open(run_dir))


def keep_second_readings(folder: Path) -> None:
    """Score every demo run's wrong solutions under another one's policy and keep that beside the run. Imports torch."""
    for name in DEMOS:
        second_reading.keep(folder / name, second_reading.measure(folder / name, folder / READ_BY[name]))


def keep_reports(folder: Path, on_report: Callable[[int, int], None] | None = None) -> list[dict]:
    """Measure the scorecards of the demo runs' last step on every set and keep them beside each run. Imports torch.

    Returns what was kept of each run, in a few numbers.
    """
    asked = [(which, *size) for which in SETS for size in REPORT_SIZES]
    sizes = [solutions for solutions, _ in REPORT_SIZES] if len(DEMOS) > 1 else []
    kept, done, total = [], 0, len(DEMOS) * (len(asked) + len(sizes))

    def tell():
        nonlocal done
        done += 1
        if on_report:
            on_report(done, total)

    for name in DEMOS:
        reports, of_same = [], []
        with RunStore.open(folder / name) as store:
            for which, solutions, rollouts in asked:
                reports.append(truth_report(store, None, which, solutions, rollouts))
                tell()
        for solutions in sizes:
            of_same.append(same_report([(store, None) for store in beginning_with(folder, name)], solutions))
            tell()
        kept_reports.keep(folder / name, reports, of_same)
        kept.append({"run_id": name, "step": reports[0]["step"], "reports": len(reports) + len(of_same)})
    return kept


def beginning_with(folder: Path, name: str) -> list[RunStore]:
    """The demo runs, this one first, the others by their names: as the Scorecard asks for them."""
    return [RunStore.open(folder / one) for one in sorted(DEMOS, key=lambda one: (one != name, one))]
