"""What a model is and what a run on it will need, told before any weight is allocated: its network is laid out on the
meta device. Imports torch late.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from vimpo_core.config import TrainConfig
from vimpo_core.lm import adapter_files, hub, model_files, sources
from vimpo_core.mistake import Mistake

MOST_LAYERS = 1000
"""To lay out more would take minutes, and no such network fits a machine."""
HOW_ESTIMATED = (
    "estimated: program, weights in float32, folded ones while it samples, adapter with gradient and Adam's moments, "
    "what forward and backward keep of a batch"
)
_FLOAT = 4
_ADAPTER_COPIES = 4
"""Weight, gradient and Adam's two moments."""
_KEPT_WIDTHS, _KEPT_INNER = 12, 4
"""Numbers that a layer keeps of a token for its backward, as multiples of the hidden and of the inner width."""
_LOGIT_COPIES, _LOGITS_AT_ONCE = 3, 2**26
GRAPH_ROOM = 600 * 2**20
"""As `scores.GRAPH_ROOM`, which is not imported for its peft."""
PROCESS = 450 * 10**6
"""Python with torch, transformers and peft."""
_NEUTRAL = {
    "temperature": 1.0,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "min_p": 0.0,
    "top_k": 0,
    "top_h": 1.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "renormalize_logits": False,
    "bad_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": 1.0,
    "penalty_alpha": 0.0,
    "watermarking_config": None,
}
"""Settings of generation_config.json that change what is sampled, and the value at which they do not."""


def check(source: str, config: TrainConfig | None = None) -> dict[str, Any]:
    """What is known of a source, as plain data; "refused" says why a run on it is impossible, "" if nothing does.

    Of a repository of the hub that was not fetched, its small files are fetched first. Imports torch.

    Args:
        config: batch and rank that the memory is estimated for (default: a usual run's).

    Raises:
        Mistake: there is nothing to look at: no such folder, file or repository.
    """
    source = sources.whole_model(source)
    if sources.is_of_hub(source) and not sources.is_here(source):
        source = hub.fetch(source, weights=False)
    elif not sources.is_of_hub(source):
        source = sources.settled(source)
    folder, base = sources.model_folder(source), source
    found: dict[str, Any] = {"model": source, "name": sources.label(source), "refused": "", "notes": []}
    config = config or TrainConfig()
    try:
        if adapter_files.is_one(folder):
            adapter_files.check(folder)
            base = sources.base_of(folder)
            found["base"] = base
        elif not (folder / "config.json").is_file():
            sources.find(source)
        _look(found, sources.model_folder(base), adapter_files.is_one(folder) and folder, config)
        if sources.is_of_hub(source) and not sources.is_here(source):
            found["notes"].append(f"its weights are not on this machine yet: python -m vimpo_core models get {source}")
        else:
            sources.find(source)
    except Mistake as error:
        if not folder.is_dir():
            raise
        found["refused"] = found["refused"] or str(error)
    return found


def _look(found: dict[str, Any], folder: Path, adapter, config: TrainConfig) -> None:
    settings = model_files.settings_of(folder)
    found["architecture"] = str(settings.get("model_type", ""))[:40]
    found["switched_off"] = switched_off(model_files.settings_of(folder, "generation_config.json"))
    if why := model_files.refusal(settings):
        found["refused"] = f"the model in {folder} {why}"
        return
    if why := _tokenizer(found, folder):
        found["refused"] = why
    if why := _network(found, folder, settings, adapter, config):
        found["refused"] = found["refused"] or why


def switched_off(generation: dict) -> dict[str, Any]:
    """The sampling defaults of a model's own files that are not in force: a run samples from its softmax at
    temperature 1."""
    return {
        name: value
        for name, value in generation.items()
        if name in _NEUTRAL and value is not None and value != _NEUTRAL[name]
    }


def _tokenizer(found: dict[str, Any], folder: Path) -> str:
    """Put what there is to say of the tokenizer; returns why it is refused, "" if it is not."""
    from transformers import AutoTokenizer

    from vimpo_core.lm import tokenizer_facts

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each library has its own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        return f"the tokenizer in {folder} cannot be loaded: {reason[:200].rstrip('.')}. Give a whole folder."
    found["tokenizer"] = tokenizer_facts.facts(tokenizer, folder)
    if tokenizer.eos_token_id is None:
        return f"the tokenizer in {folder} has no end token, where the value is anchored. Set eos_token."
    return ""


def _network(found: dict[str, Any], folder: Path, settings: dict, adapter, config: TrainConfig) -> str:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from vimpo_core.lm.projections import adapts_attention_alone

    layers = max((v for k, v in settings.items() if k in _LAYER_NAMES and isinstance(v, int)), default=0)
    if layers > MOST_LAYERS:
        return f"the model in {folder} has {layers} layers; at most {MOST_LAYERS} are looked at. Give another model."
    try:
        known = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(known, trust_remote_code=False)
    except Exception as error:  # whatever a foreign configuration leads to
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        if "trust_remote_code" in str(error):
            reason = "it needs program code of its own, which is never run"
        return (
            f"the model in {folder} cannot be loaded: {reason[:200].rstrip('.')}. Give a whole folder of an "
            "architecture that transformers knows."
        )
    adapted = {n: tuple(m.weight.shape) for n, m in _adapted(model, adapter, config.lora_layers).items()}
    rank = adapter_files.rank(adapter) if adapter else config.lora_rank
    found["parameters"] = sum(p.numel() for p in model.parameters())
    found["reads_tokens"] = model_files.context_length(known)
    found["adapted"] = dict(Counter(name.rpartition(".")[2] for name in adapted))
    found["adapter_parameters"] = sum(rank * (a + b) for a, b in adapted.values())
    if adapts_attention_alone(model):
        found["notes"].append(
            "a mixture of experts: the adapter sits on its attention alone, experts and router stay as they are"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    found["memory"] = _memory(found, known, sum(a * b for a, b in adapted.values()), config)
    found["machine_memory"] = machine_memory()
    highest = found.get("tokenizer", {}).get("highest_token", -1)
    if highest >= rows:
        return (
            f"the tokenizer in {folder} has tokens up to {highest}, the model embeds {rows}. Give a folder whose "
            "tokenizer and weights belong together."
        )
    if found["memory"] > found["machine_memory"]:
        return (
            f"a step of the model in {folder} would take about {gigabytes(found['memory'])}, and this machine has "
            f"{gigabytes(found['machine_memory'])}. Give a smaller model."
        )
    return ""


_LAYER_NAMES = {"num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"}


def _adapted(model, adapter, layers: int) -> dict[str, Any]:
    """The projections that get an adapter, by name: a fresh one's, or a PEFT adapter's own."""
    from vimpo_core.lm.projections import projections

    if not adapter:
        return projections(model, layers)
    named = adapter_files.settings_of(adapter).get("target_modules") or []
    if isinstance(named, str):
        return {n: m for n, m in projections(model).items() if _matches(named, n)}
    ends = tuple(f".{name}" for name in map(str, named))
    return {n: m for n, m in projections(model).items() if f".{n}".endswith(ends)}


def _matches(pattern: str, name: str) -> bool:
    with contextlib.suppress(re.error):
        return re.fullmatch(pattern, name) is not None
    return False


def _memory(found: dict[str, Any], known, adapted_weights: int, config: TrainConfig) -> int:
    """Bytes that a training step will hold at its highest, estimated (`HOW_ESTIMATED`)."""
    from vimpo_core.tasks.registry import task_of

    text = known.get_text_config() if hasattr(known, "get_text_config") else known
    width = int(getattr(text, "hidden_size", 0) or 0)
    inner = getattr(text, "intermediate_size", None)
    inner = inner if isinstance(inner, int) else 4 * width
    layers = int(getattr(text, "num_hidden_layers", 0) or 0)
    rows, new = config.micro_batch_size or config.batch_size, task_of(config).max_new_tokens
    tokens = rows * (new + _prompt_tokens(config))
    kept = _FLOAT * tokens * layers * (_KEPT_WIDTHS * width + _KEPT_INNER * int(inner))
    if known.model_type == "llama":
        kept = min(kept, GRAPH_ROOM)  # which goes through in chunks beyond it
    logits = _FLOAT * _LOGIT_COPIES * min(rows * new * int(getattr(text, "vocab_size", 0) or 0), _LOGITS_AT_ONCE)
    weights, adapter = _FLOAT * found["parameters"], _FLOAT * _ADAPTER_COPIES * found["adapter_parameters"]
    # The folded projections stand beside the frozen ones while it samples.
    step = weights + adapter + _FLOAT * adapted_weights + kept + logits
    return PROCESS + max(2 * weights, step)


def _prompt_tokens(config: TrainConfig) -> int:
    from vimpo_core.tasks.registry import task_of

    problems = task_of(config).problems("check", "train", 8)
    return max((len(p.prompt) for p in problems), default=0)


def machine_memory() -> int:
    """Bytes of memory that this process may use at most."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**62
    with contextlib.suppress(OSError, ValueError):
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return found


def gigabytes(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """[name, text] of what was found, for people."""
    told = [("model", str(found["model"]))]
    if "base" in found:
        told.append(("base", str(found["base"])))
    if "architecture" in found:
        told.append(("architecture", found["architecture"]))
    if "parameters" in found:
        told.append(("parameters", f"{found['parameters']:,}"))
        told.append(
            (
                "memory of a step",
                f"about {gigabytes(found['memory'])} of {gigabytes(found['machine_memory'])} ({HOW_ESTIMATED})",
            )
        )
        layers = ", ".join(f"{name} ({count})" for name, count in found["adapted"].items())
        told.append(("LoRA sits on", f"{layers}: {found['adapter_parameters']:,} weights"))
        reads = found["reads_tokens"]
        told.append(("reads at most", f"{reads:,} tokens" if reads else "any number of tokens"))
    told += _tokenizer_lines(found.get("tokenizer"))
    off = ", ".join(f"{name} {json.dumps(value)[:40]}" for name, value in found.get("switched_off", {}).items())
    told.append(("switched off", off or "nothing: no sampling defaults in its files"))
    told += [("note", note) for note in found["notes"]]
    told.append(("refused", found["refused"] or "no"))
    return told


def _tokenizer_lines(facts: dict[str, Any] | None) -> list[tuple[str, str]]:
    if facts is None:
        return []
    template = "yes" if facts["chat_template"] else "no"
    return [
        ("begin token", f"{facts['begin'] or 'none'}{', put in front of a prompt' if facts['adds_begin'] else ''}"),
        ("end tokens", ", ".join(facts["end"])),
        ("padding", facts["pad"] or "none: the end token stands for it"),
        ("chat template", template),
        ("vocabulary", f"{facts['tokens']:,} tokens, {facts['parts_of_characters']:,} of them parts of a character"),
    ]
