"""CPU seconds to sample a batch: ours against `peft_model.generate`, in one process on one thread.

    python -m vimpo_core bench sampler --json

Same policy (the bundled model with a fresh adapter), prompts, group size and token budget. Per-token numbers are
compared as well, since sampled lengths differ a little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vimpo_core.config import TrainConfig
from vimpo_core.lm import loading, models, sampler
from vimpo_core.tasks.chain import ChainTask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="Measured batches of each (default: 20).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    models.single_thread()
    config = TrainConfig()
    task, policy = ChainTask(config.operands), loading.load_policy(config)
    problems = task.problems("bench", "train", config.prompts_per_step)
    prompts = [models.encode(policy, p.prompt) for p in problems]

    def ours(seed):
        with models.merged(policy) as model:
            rollouts = sampler.sample(
                model, prompts, config.group_size, task.max_new_tokens, policy.end_ids, policy.pad_id, seed
            )
        return sum(len(r.ids) for r in rollouts)

    repeated = torch.tensor([p for p in prompts for _ in range(config.group_size)])

    @torch.no_grad()
    def theirs(seed):
        torch.manual_seed(seed)
        output = policy.model.generate(
            input_ids=repeated,
            attention_mask=torch.ones_like(repeated),
            do_sample=True,
            top_k=0,
            max_new_tokens=task.max_new_tokens,
            eos_token_id=policy.eos_id,
            pad_token_id=policy.pad_id,
        )
        return int((output[:, repeated.shape[1] :] != policy.pad_id).sum())

    report = {"batch": config.batch_size, "threads": 1, "repeats": arguments.repeats}
    for name, sample in (("ours", ours), ("generate", theirs)):
        sample(0)
        seconds, tokens = zip(*(_timed(sample, seed) for seed in range(arguments.repeats)), strict=True)
        report[f"{name}_cpu_s"] = statistics.median(seconds)
        report[f"{name}_us_per_token"] = 1e6 * sum(seconds) / sum(tokens)
    report["ratio"] = report["ours_cpu_s"] / report["generate_cpu_s"]
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<24} {value:.4g}")


def _timed(sample, seed):
    start = time.process_time()
    tokens = sample(seed)
    return time.process_time() - start, tokens


if __name__ == "__main__":
    main()
