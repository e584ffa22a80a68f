"""TRL's GRPO trainer, or one made of it, as the benchmarks run it: on the CPU, without a reference unless asked for,
nothing logged or saved. Needs requirements-bench.txt.
"""

from __future__ import annotations

import tempfile
import time


def step_seconds(
    model, tokenizer, reward, prompts: list[str], rank: int, trainer=None, config=None, **settings
) -> list[float]:
    """CPU seconds of each training step but the last. trainer, config: classes, TRL's own unless given; settings: of
    the config. Raises ImportError without TRL.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    seconds: list[float] = []

    class Clock(TrainerCallback):
        last = None

        def on_step_begin(self, *_, **__):
            # The generation of a step happens after on_step_begin of that step: one begin to the next is a whole step.
            now = time.process_time()
            if self.last is not None:
                seconds.append(now - self.last)
            self.last = now

    with tempfile.TemporaryDirectory() as folder:
        (trainer or GRPOTrainer)(
            model=model,
            reward_funcs=reward,
            args=(config or GRPOConfig)(
                output_dir=folder,
                temperature=1.0,
                bf16=False,
                use_cpu=True,
                gradient_checkpointing=False,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
                **{"beta": 0.0} | settings,
            ),
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Clock()],
        ).train()
    return seconds
