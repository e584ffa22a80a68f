"""CPU seconds of one training step: ours (VIMPO and GRPO) against TRL's GRPOTrainer, in one process on one thread.

    python -m vimpo_core bench step --json        (needs: pip install -r requirements-bench.txt)

Same bundled model, LoRA on the same projections, same prompts a step, group size, token budget, reward and Adam. TRL
runs without a reference (beta 0), so it does less than our VIMPO step, which scores policy and reference exactly.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _trl
from vimpo_core.config import TrainConfig
from vimpo_core.lm import loading, models
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.trainer import Trainer
from vimpo_core.types import StopReason

WARM_UP = 3


def ours(algorithm: str, repeats: int) -> list[float]:
    """CPU seconds of each measured step (held-out measurements left out)."""
    trainer = Trainer(TrainConfig(algorithm=algorithm, steps=10_000, eval_every=10_000))
    trainer.step()  # record 0 measures held-out accuracy
    return [trainer.step().timings["cpu_seconds"] for _ in range(WARM_UP + repeats)][WARM_UP:]


def contest(task: ChainTask, count: int):
    """The bundled model, a reward function for TRL, and the prompts."""
    problems = task.problems("bench", "train", count)
    gold = {p.prompt: p for p in problems}
    language_model = loading.load()

    def reward(prompts, completions, completion_ids, **_):
        eos = language_model.eos_id
        return [
            task.verify(
                gold[p],
                models.completion_text(language_model, ids, task.end),
                StopReason.EOS if ids and ids[-1] == eos else StopReason.LENGTH,
            ).reward
            for p, ids in zip(prompts, completion_ids, strict=True)
        ]

    return language_model, reward, [p.prompt for p in problems]


def theirs(repeats: int) -> list[float]:
    """CPU seconds of each measured step of TRL's GRPOTrainer."""
    config, task = TrainConfig(), ChainTask(TrainConfig().operands)
    language_model, reward, prompts = contest(task, config.prompts_per_step * (WARM_UP + repeats))
    seconds = _trl.step_seconds(
        language_model.model,
        language_model.tokenizer,
        reward,
        prompts,
        config.lora_rank,
        per_device_train_batch_size=config.batch_size,
        num_generations=config.group_size,
        max_completion_length=task.max_new_tokens,
        max_steps=WARM_UP + repeats + 1,
        learning_rate=config.learning_rate,
    )
    return seconds[WARM_UP:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="Measured steps of each (default: 20).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    models.single_thread()
    try:
        trl = theirs(arguments.repeats)
    except ImportError as error:
        sys.exit(f"error: the peer is not installed ({error}). Run `pip install -r requirements-bench.txt`.")
    vimpo, grpo = ours("vimpo", arguments.repeats), ours("grpo", arguments.repeats)
    report = {
        "ours_cpu_s": statistics.median(vimpo),
        "ours_grpo_cpu_s": statistics.median(grpo),
        "trl_cpu_s": statistics.median(trl),
        "ratio": statistics.median(vimpo) / statistics.median(trl),
        "batch": TrainConfig().batch_size,
        "threads": 1,
        "repeats": arguments.repeats,
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<18} {value:.4g}")


if __name__ == "__main__":
    main()
