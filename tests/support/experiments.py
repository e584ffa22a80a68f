"""Small experiments without torch: a file, a trainer that trains nothing, a measurement that is made up. No pytest, as
the processes of a runner import this too.
"""

import json
import os
import random
from pathlib import Path

from tests.support.fakes import FakeTrainer
from tests.support.waiting import eventually
from vimpo_core.experiment import plan, results, runner
from vimpo_core.experiment.plan import Plan
from vimpo_core.experiment.results import Measurement
from vimpo_core.runs.store import RunStore

SMALL = """
name = "small"
question = "Which one?"
steps = 4
test_prompts = 16
seeds = [100, 101]
[base]
prompts_per_step = 2
group_size = 2
eval_every = 2
[tune]
trials = 2
seeds = [900]
steps = 3
validation_prompts = 8
[[arm]]
name = "GRPO"
algorithm = "grpo"
ranges = {learning_rate = [1e-3, 3e-3]}
[[arm]]
name = "VIMPO"
"""
"""Two trials and four final runs."""
UNTUNED = SMALL[: SMALL.index("[tune]")] + SMALL[SMALL.index("[[arm]]") :].replace(
    "ranges = {learning_rate = [1e-3, 3e-3]}\n", ""
)
"""The four final runs alone."""


def written(folder: Path, text: str = SMALL) -> Plan:
    """The plan of a file that was just written."""
    file = folder / "small.toml"
    file.write_text(text, encoding="utf-8")
    return plan.read(file)


def made_up(store: RunStore, measurement: Measurement) -> dict:
    """On validation problems the larger learning rate solves more, on test problems the smaller one."""
    rate, is_test = store.config().learning_rate, measurement.split == "test"
    share = 0.8 if (rate < 2e-3) == is_test else 0.4
    chance = random.Random(f"{store.run_id}/{measurement.split}")
    outcomes = {how: [chance.random() < share for _ in range(measurement.prompts)] for how in ("sampled", "greedy")}
    return {**outcomes, "credit": None}


def deadly(store: RunStore, measurement: Measurement) -> dict:
    """The process that measures seed 101 of VIMPO dies without a word."""
    if store.config().algorithm == "vimpo" and store.config().seed == 101:
        os._exit(9)
    return made_up(store, measurement)


class Diverging(FakeTrainer):
    """Diverges at step 3, so that what can be measured is the snapshot of step 0."""

    diverge_at = 3


class FailingOnce(FakeTrainer):
    """Breaks down at step 2 with an ordinary error."""

    def step(self):
        if self.next_step == 2:
            raise RuntimeError("the machine hiccuped")
        return super().step()


class Gated(FakeTrainer):
    """Notes in `folder` that it begins, at which step and in which process, and waits in step 2 until there is a file
    `go`.
    """

    def __init__(self, config, resume_state=None, *, folder: Path):
        super().__init__(config, resume_state)
        self._folder = folder
        begun = {"run": results.run_id(config), "step": self.next_step, "process": os.getpid()}
        with open(folder / "begun", "a", encoding="utf-8") as log:
            log.write(json.dumps(begun) + "\n")

    def step(self):
        if self.next_step == 2:
            eventually((self._folder / "go").exists)
        return super().step()


def carried_out(experiment: Plan, out: Path, make_trainer=FakeTrainer, measure=made_up) -> dict[str, str]:
    return runner.run_all(experiment, out, 2, make_trainer=make_trainer, measure=measure)


def result_files(out: Path) -> dict[str, bytes]:
    """run_id -> its result as it lies on disk, times included: the same bytes mean that nothing was done again."""
    return {file.parent.name: file.read_bytes() for file in sorted(out.glob("runs/*/result.json"))}
