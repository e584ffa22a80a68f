"""VIMPO on TRL over completions that are given, so that one rank and two see the same batch.

accelerate launch --num_processes 2 --cpu tests/support/trl_runs.py FOLDER    one update, its gradient kept
"""

import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from vimpo_core.engines.trl import TraceMixin, VIMPOConfig, VIMPOTrainer
from vimpo_core.paths import ROOT

MODEL = ROOT / "assets" / "reference"
PROMPTS = ("1+2+3=", "9*2-8=")
SAID = ("3+3;6.", "1+5,6.", "3;", "6.", "18-8;10.", "18-6/12.", "9*2;10.", "1")
"""Four completions to each prompt; two were cut off."""
REWARDS = (1.0, 1.0, 0.0, 1.0, 1.0, 0.0, None, 0.0)
"""One is not judged at all."""


class Traced(TraceMixin, VIMPOTrainer):
    pass


@dataclass
class Update(TrainerCallback):
    """What each optimizer step is about to apply, and the weights it is applied to, by name."""

    gradients: list[dict] = field(default_factory=list)
    weights: list[dict] = field(default_factory=list)

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        while hasattr(model, "module"):
            model = model.module
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.gradients.append({name: p.grad.clone() for name, p in trained.items()})
        self.weights.append({name: p.detach().clone() for name, p in trained.items()})


def given(prompts, trainer):
    """TRL's rollout function: this rank's share of SAID, over again if there is more to say."""
    tokenizer, first = trainer.processing_class, trainer.accelerator.process_index * len(prompts)
    said = [SAID[(first + i) % len(SAID)] for i in range(len(prompts))]
    ids = [tokenizer(text)["input_ids"] for text in said]
    return {"prompt_ids": [tokenizer(p)["input_ids"] for p in prompts], "completion_ids": ids, "logprobs": None}


def judged(completion_ids, trainer_state, **_):
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    said = dict(zip(SAID, REWARDS, strict=True))
    return [said[tokenizer.decode(ids)] for ids in completion_ids]


def make(folder, adapter: bool = True, rollout=given, kind=Traced, lora=MappingProxyType({}), **settings):
    """(trainer, what its updates were), ready to train on one batch of SAID; the adapter has moved already."""
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    defaults = {
        "per_device_train_batch_size": len(SAID),
        "num_generations": 4,
        "max_completion_length": 12,
        "max_steps": 1,
        "learning_rate": 2e-3,
        "vimpo_beta": 0.2,
        "gae_lambda": 0.9,
    }
    quiet = {"use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    config = VIMPOConfig(
        str(folder), max_grad_norm=0, shuffle_dataset=False, logging_strategy="no", **quiet, **(defaults | settings)
    )
    update = Update()
    trainer = kind(
        model,
        judged,
        config,
        train_dataset=Dataset.from_list([{"prompt": p, "gold": "6"} for p in PROMPTS]),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", **lora) if adapter else None,
        callbacks=[update],
        rollout_func=rollout,
    )
    torch.manual_seed(1)
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data += (0.05 if adapter else 0.005) * torch.randn_like(parameter)
    return trainer, update


def main(folder: str, example_arguments: list[str]):
    """One update on every rank, its gradient written by the first; then the example, in the same processes."""
    trainer, update = make(folder, per_device_train_batch_size=4)
    trainer.train()
    if trainer.accelerator.is_main_process:
        save_file(update.gradients[0], Path(folder) / "gradient.safetensors")
    trainer.accelerator.wait_for_everyone()
    sys.argv = ["trl_vimpo.py", *example_arguments]
    runpy.run_path(str(ROOT / "examples" / "trl_vimpo.py"), run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
