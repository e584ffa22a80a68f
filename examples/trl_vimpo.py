r"""VIMPO on TRL, with traces that this lab opens.

    accelerate launch --num_processes 2 --multi_gpu examples/trl_vimpo.py --output_dir runs-trl/first --use_cpu \
        --bf16 False --per_device_train_batch_size 8 --num_generations 8 --max_steps 20
    accelerate launch --config_file fsdp.yaml examples/trl_vimpo.py --output_dir /data/run --model Qwen/Qwen3-4B --bf16
    python -m vimpo_core import runs-trl/first

Options are the settings of TRL's GRPO and VIMPO's --vimpo_beta, --actor_coef, --gae_lambda. The task is chain
arithmetic: a model that follows instructions is asked with --chat and paid for its last number. See docs/scaling.md.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import TrlParser

from vimpo_core.engines.trl import TraceMixin, VIMPOConfig, VIMPOTrainer
from vimpo_core.paths import ROOT
from vimpo_core.tasks.chain import END, ChainTask
from vimpo_core.types import Problem, StopReason

ASK = "Work out {} Write one operation a step, and end with the number alone."


@dataclass
class Script:
    model: str = field(default=str(ROOT / "assets" / "reference"), metadata={"help": "Folder or name of a model."})
    operands: int = field(default=5, metadata={"help": "Numbers in a problem, 3 to 8."})
    problems: int = field(default=256, metadata={"help": "Different problems to train on."})
    chat: bool = field(default=False, metadata={"help": "Ask through the model's chat template."})
    lora_rank: int = field(default=8, metadata={"help": "Rank of the adapter; 0 trains all weights."})


class Traced(TraceMixin, VIMPOTrainer):
    """VIMPO that leaves its traces below output_dir."""


def reward_of(task, end_id, chat):
    def correct(prompts, completions, completion_ids, gold, **_):
        if chat:
            last = (re.findall(r"-?\d+", said[-1]["content"])[-1:] for said in completions)
            return [float(number == [answer]) for number, answer in zip(last, gold, strict=True)]
        rewards = []
        for prompt, text, ids, answer in zip(prompts, completions, completion_ids, gold, strict=True):
            finish = StopReason.EOS if ids[-1:] == [end_id] else StopReason.LENGTH
            written = text + END * (finish == StopReason.EOS)
            rewards.append(task.verify(Problem(prompt, answer), written, finish).reward)
        return rewards

    return correct


def main():
    script, config = TrlParser((Script, VIMPOConfig)).parse_args_and_config()
    task = ChainTask(script.operands)
    rows = []
    for problem in task.problems(f"trl/{config.seed}", "train", script.problems):
        asked = [{"role": "user", "content": ASK.format(problem.prompt)}]
        rows.append({"prompt": asked if script.chat else problem.prompt, "gold": problem.gold})
    adapter = LoraConfig(r=script.lora_rank, lora_alpha=2 * script.lora_rank, target_modules="all-linear")
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    Traced(
        model=script.model,
        processing_class=tokenizer,
        reward_funcs=reward_of(task, tokenizer.eos_token_id, script.chat),
        args=config,
        train_dataset=Dataset.from_list(rows),
        peft_config=adapter if script.lora_rank else None,
    ).train()


if __name__ == "__main__":
    main()
