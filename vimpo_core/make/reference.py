"""Make the bundled reference model: a tiny Llama that writes chain arithmetic as a fallible student would.

Ordinary supervised training to convergence on `student_solution`s of training prompts. Its mistakes are therefore the
student's, systematic and readable, not those of a model stopped early. Imports torch.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from vimpo_core.mistake import Mistake
from vimpo_core.tasks.chain import ALPHABET, END, ChainTask, student_solution

PAD = "<pad>"


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character of the chain alphabet; `.` is the end token. There is no unknown token: see
    models.encode.
    """
    vocabulary = {c: i for i, c in enumerate([PAD, *ALPHABET])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        unk_token=PAD,
        clean_up_tokenization_spaces=False,
    )


def make_reference(
    folder: Path,
    seed: int = 0,
    steps: int = 1600,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    on_step=None,
    operands: int = 6,
    slip_scale: float = 1.0,
) -> dict:
    """Train the reference and save it (config, tokenizer, float32 safetensors) to `folder`.

    Args:
        operands: largest number of operands that it learns, from 3.
        slip_scale: how often the student whose solutions it learns slips, see `chain.student_solution`.
        on_step: called as on_step(step, loss in nats a token) after each update.

    Returns:
        steps, final loss (nats a token), parameters, CPU seconds, bytes.

    Raises:
        Mistake: operands outside 3 to 8.
    """
    if not 3 <= operands <= 8:
        raise Mistake(f"a reference learns 3 to 8 operands, got {operands}. Use 6 for the bundled one.")
    folder.mkdir(parents=True, exist_ok=True)  # where that fails, before the minutes of training
    started = time.process_time()
    torch.manual_seed(seed)
    rng = random.Random(f"reference/{seed}")
    tokenizer = character_tokenizer()
    model = LlamaForCausalLM(_architecture(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    # Longer problems twice: they hold more steps to learn.
    tasks = [ChainTask(n) for n in range(3, operands + 1) for _ in range(1 if n < 5 else 2)]
    loss = torch.tensor(float("nan"))
    for step in range(steps):
        loss = _supervised_loss(
            model, tokenizer, [_example(rng.choice(tasks), rng, slip_scale) for _ in range(batch_size)]
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if on_step:
            on_step(step + 1, loss.item())
    _save(folder, model, tokenizer)
    return {
        "steps": steps,
        "seed": seed,
        "loss": loss.item(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": time.process_time() - started,
        "bytes": sum(f.stat().st_size for f in folder.iterdir()),
    }


def _save(folder: Path, model, tokenizer) -> None:
    """Every file whole or not at all: a full disk leaves the old model."""
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as making:
        model.save_pretrained(making)
        tokenizer.save_pretrained(making)
        for made in Path(making).iterdir():
            made.replace(folder / made.name)


def _architecture(tokenizer) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _example(task: ChainTask, rng: random.Random, slip_scale: float = 1.0) -> tuple[str, str]:
    prompt = task.problem(rng, "train").prompt
    return prompt, student_solution(prompt, rng, slip_scale)


def _supervised_loss(model, tokenizer, examples) -> torch.Tensor:
    """Cross-entropy of the solution tokens (the prompt is given), nats a token."""
    batch = tokenizer([p + s for p, s in examples], padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, (prompt, _) in enumerate(examples):
        labels[row, : len(prompt)] = -100
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
