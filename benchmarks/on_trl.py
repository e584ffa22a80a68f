"""VIMPO on TRL and our traces against TRL's own GRPO: CPU seconds a step, in one process on one thread.

    python -m vimpo_core bench on_trl --json        (needs: pip install -r requirements-bench.txt)

Same bundled model, adapter, prompts, seed, budget, reward and Adam, whose rate is so low that all sample alike; GRPO
with its own penalty (beta 0.04), so that both score a reference. They take turns, some steps each.

    ratio           a step of VIMPO over one of GRPO, both without traces, medians
    traces_share    CPU time inside everything that records and writes traces, over a step of the trainer that does it
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _trl
from benchmarks.step import contest
from vimpo_core.config import TrainConfig
from vimpo_core.lm import models
from vimpo_core.tasks.chain import ChainTask

WARM_UP = 3
ROUNDS = 3


def run(trainer, config, steps: int, **settings) -> list[float]:
    """CPU seconds of each measured step."""
    lab, task = TrainConfig(), ChainTask(TrainConfig().operands)
    language_model, reward, prompts = contest(task, lab.prompts_per_step * (WARM_UP + steps))
    seconds = _trl.step_seconds(
        language_model.model,
        language_model.tokenizer,
        reward,
        prompts,
        lab.lora_rank,
        trainer,
        config,
        per_device_train_batch_size=lab.batch_size,
        num_generations=lab.group_size,
        max_completion_length=task.max_new_tokens,
        max_steps=WARM_UP + steps + 1,
        learning_rate=1e-6,
        **settings,
    )
    return seconds[WARM_UP:]


class Watch:
    """CPU seconds inside the functions of a class."""

    def __init__(self, owner, names):
        self.seconds = 0.0
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, function):
        @functools.wraps(function)
        def timed(*arguments, **options):
            start = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.process_time() - start

        return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=8, help="Measured steps of each in a round (default: 8).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    models.single_thread()
    try:
        from trl import GRPOConfig, GRPOTrainer

        from vimpo_core.engines.trl import TraceMixin, VIMPOConfig, VIMPOTrainer
        from vimpo_core.engines.trl.traces import Recorder
    except ImportError as error:
        sys.exit(f"error: the peer is not installed ({error}). Run `pip install -r requirements-bench.txt`.")
    watch = Watch(Recorder, ("take_in", "look", "on_step_end"))
    contestants = {
        "grpo": (GRPOTrainer, GRPOConfig, {"beta": 0.04}),
        "vimpo": (VIMPOTrainer, VIMPOConfig, {}),
        "grpo_traced": (type("TracedGRPO", (TraceMixin, GRPOTrainer), {}), GRPOConfig, {"beta": 0.04}),
        "vimpo_traced": (type("TracedVIMPO", (TraceMixin, VIMPOTrainer), {}), VIMPOConfig, {}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    recording: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, (trainer, config, settings) in contestants.items():
            watch.seconds = 0.0
            seconds[name] += run(trainer, config, arguments.repeats, **settings)
            # Also of the steps that warm up, and of the last one, which `run` does not time.
            recording[name].append(watch.seconds / (WARM_UP + arguments.repeats + 1))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    report = {f"{name}_cpu_s": value for name, value in median.items()} | {
        "ratio": median["vimpo"] / median["grpo"],
        "traces_share": statistics.median(recording["vimpo_traced"]) / median["vimpo_traced"],
        "traces_share_grpo": statistics.median(recording["grpo_traced"]) / median["grpo_traced"],
        "batch": TrainConfig().batch_size,
        "threads": 1,
        "steps": ROUNDS * arguments.repeats,
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<18} {value:.4g}")


if __name__ == "__main__":
    main()
