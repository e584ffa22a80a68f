"""Real models and runs, small enough for tests. torch is imported where it is needed, so that the torch-free half of
the tests starts fast.
"""

import dataclasses
import random

from vimpo_core.config import TrainConfig
from vimpo_core.tasks.chain import ChainTask, student_solution

SMALL = TrainConfig(
    steps=4,
    prompts_per_step=3,
    group_size=4,
    operands=4,
    beta=0.1,
    actor_coef=0.05,
    learning_rate=1e-3,
    eval_prompts=8,
    eval_every=2,
    snapshot_every=2,
)
"""A real run of about half a second; 12 rows a step. What tests depend on is said, so that better defaults change
none.
"""


def small(**changes) -> TrainConfig:
    return dataclasses.replace(SMALL, **changes)


def solutions(task: ChainTask, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Different training prompts, each with a solution by the fallible student."""
    chance = random.Random(seed)
    return [(p.prompt, student_solution(p.prompt, chance)) for p in task.problems(f"tests/{seed}", "train", count)]


def moved(config: TrainConfig, scale: float = 0.3, seed: int = 1):
    """A policy of one's own whose adapter is random instead of untrained."""
    import torch

    from vimpo_core.lm import loading, models

    models.single_thread()
    policy = loading.load_policy(config)
    chance = torch.Generator().manual_seed(seed)
    state = {
        k: torch.randn(v.shape, generator=chance) * scale / v.shape[1] ** 0.5
        for k, v in models.adapter_state(policy).items()
    }
    models.set_adapter(policy, state)
    return policy


def in_float64(policy):
    """Cast a policy of one's own, in place: rounding then leaves room for a tolerance of 1e-9.

    Llama's RMS norm in transformers rounds to float32 inside, which would magnify a last-digit difference to 1e-7: here
    it keeps the precision it is given.
    """
    from torch.nn import functional as F

    for model in (policy.model, policy.bare):
        model.double()
        for module in model.modules():
            if type(module).__name__ == "LlamaRMSNorm":
                module.forward = lambda x, m=module: F.rms_norm(x, (x.shape[-1],), m.weight, m.variance_epsilon)
    return policy


def save_byte_level_model(folder) -> None:
    """Random weights; BPE merges learned from chain solutions, so that tokens such as "+9" and ";1" exist."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [prompt + solution for prompt, solution in solutions(ChainTask(4), 100)],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    sizes = {"vocab_size": len(fast), "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=fast.eos_token_id))
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
