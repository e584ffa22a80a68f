"""From a source to a model that is known to work here: found, loaded whole, tried on a few tokens, or refused in a
sentence. Imports torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from vimpo_core.config import TrainConfig
from vimpo_core.lm import adapter_files, llama, model_files, model_trial, sources
from vimpo_core.lm.models import (
    LanguageModel,
    attach_lora,
    embedding_rows,
    has_adapter,
    take_up_adapter,
    tokenizer_fingerprint,
)
from vimpo_core.lm.projections import adapts_attention_alone
from vimpo_core.lm.prompts import prompt_ids_of
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Task
from vimpo_core.tasks.registry import check_enough, task_of
from vimpo_core.types import Problem


def find(source: str = "bundled", device: str = "cpu") -> Path:
    """The folder of a model, once it and the device were found to be there; nothing is loaded yet.

    Raises:
        Mistake: as `sources.find`; the device is missing.
    """
    folder = sources.find(source)
    if device == "cuda" and not torch.cuda.is_available():
        raise Mistake("device cuda was asked for, but torch finds no CUDA device here. Use --device cpu.")
    return folder


def load(source: str = "bundled", device: str = "cpu") -> LanguageModel:
    """The model of a source (an adapter's base for an adapter), in float32 and evaluation mode (no dropout).

    Raises:
        Mistake: as `find`; a file is damaged or does not fit the others; the architecture is not one of transformers',
            or does not give the same numbers on every road (`model_trial`); the tokenizer has no end token.
    """
    folder = find(source, device)
    tokenizer = _loaded(AutoTokenizer, folder)
    if tokenizer.eos_token_id is None:
        raise Mistake(f"the tokenizer in {folder} has no end token, where the value is anchored. Set eos_token.")
    # float32: scoring in half precision leaves about 1.5e-3 nats of noise a token.
    model, info = _loaded(
        AutoModelForCausalLM,
        folder,
        use_safetensors=True,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,  # so that they are reported, and named below
        output_loading_info=True,
    )
    _refuse_other_weights(folder, info)
    model = model.to(device).eval()
    _refuse_other_vocabulary(folder, tokenizer, model)
    rows = embedding_rows(model)
    others = tuple(i for i in model_files.end_ids(folder) if i != tokenizer.eos_token_id and i < rows)
    found = LanguageModel(model, model, tokenizer, source, others)
    if why := model_trial.refusal(model, found.pad_id):
        raise Mistake(f"the model in {folder} {why}")
    llama.pack(model)
    return found


def longest_prompt(source: str, task: Task, problems: Sequence[Problem]) -> tuple[int, int | None]:
    """Tokens of the longest prompt with the tokenizer of a model, and how many the model reads (None: no limit); no
    weights are loaded. Raises Mistake as `find`, and where the model cannot say a problem.
    """
    folder = find(source)
    tokens = LanguageModel(torch.nn.Identity(), torch.nn.Identity(), _loaded(AutoTokenizer, folder), source)
    longest = max((len(prompt_ids_of(tokens, task, problem)) for problem in problems), default=0)
    return longest, model_files.context_length(_loaded(AutoConfig, folder))


def load_policy(config: TrainConfig) -> LanguageModel:
    """The run's policy before training: reference weights with a fresh adapter, or with the one that the run's model
    is.

    Raises Mistake as `load`, or if an adapter does not fit its base or the run's rank.
    """
    base, folder = load(config.model, config.device), sources.adapter_of(config.model)
    if folder is None:
        return attach_lora(base, config.lora_rank, config.seed, config.lora_layers)
    if config.lora_rank != adapter_files.rank(folder):
        raise Mistake(
            f"the adapter in {folder} has rank {adapter_files.rank(folder)}, and lora_rank is {config.lora_rank}. "
            "Give the adapter's own rank."
        )
    return take_up_adapter(base, folder, config.seed)


def load_pair(source: str, reference: str = "") -> LanguageModel:
    """A model to score with, as it is: of an adapter the policy that it makes of its base, which is the reference.

    reference: another model as the reference, of the same tokenizer; also the base of an adapter that names one which
    is not on this machine. Without one a whole model is its own reference (`model is bare`), as none is known.

    Raises Mistake as `load`; the two cut text differently.
    """
    folder = sources.adapter_of(source)
    if folder is None:
        policy, base = load(source), ""
    else:
        base = _base_of(folder, reference)
        policy = take_up_adapter(load(base), folder, seed=0)
        policy = dataclasses.replace(policy, source=source, tokenizer=_own_tokenizer(folder, policy))
    if not reference or sources.settled(reference) == base:
        return policy
    other = load_pair(reference)
    if tokenizer_fingerprint(policy) != tokenizer_fingerprint(other):
        raise Mistake(
            f"{sources.label(source)} and {sources.label(reference)} cut text into other tokens, so neither can be the "
            "other's reference. Choose a reference with the same tokenizer."
        )
    return dataclasses.replace(policy, model=_folded(policy), bare=_folded(other))


def _base_of(adapter: Path, reference: str) -> str:
    try:
        return sources.base_of(adapter)
    except Mistake as error:
        if reference and sources.adapter_of(reference) is None:
            return sources.settled(reference)
        with contextlib.suppress(Mistake):
            return sources.base_alike(adapter)[0]
        raise Mistake(f"{error} Or name the base as the reference.") from error


def _own_tokenizer(adapter: Path, policy: LanguageModel):
    """The tokenizer that was saved beside an adapter, whose chat template may be the training's own, or the base's."""
    if not (adapter / "tokenizer_config.json").is_file():
        return policy.tokenizer
    found = _loaded(AutoTokenizer, adapter)
    _refuse_other_vocabulary(adapter, found, policy.bare)
    return policy.tokenizer if found.eos_token_id is None else found


def _folded(policy: LanguageModel):
    """The network of a policy as a plain one: its adapter is folded into its weights for good."""
    network: Any = policy.model
    return network.merge_and_unload().eval() if has_adapter(policy) else network


def _loaded(kind, folder: Path, **options):
    try:
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:  # OSError, ValueError, SafetensorError, bare Exception: each library has its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if "trust_remote_code" in str(error):
            reason = "it needs program code of its own, which is never run"
        raise Mistake(
            f"the model in {folder} cannot be loaded: {reason.rstrip('.')}. Give a whole folder of an architecture "
            "that transformers knows."
        ) from error


def _refuse_other_weights(folder: Path, info: dict) -> None:
    """Weights that the settings do not ask for, or lack: what is missing would be drawn anew at every load."""
    mismatched = sorted(str(key[0]) for key in info["mismatched_keys"])
    kinds = (
        ("lack", sorted(info["missing_keys"])),
        ("hold, though config.json has no place for it,", sorted(info["unexpected_keys"])),
        ("hold in another size", mismatched),
    )
    for what, names in kinds:
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise Mistake(
                f"the weights in {folder} {what} {names[0][:120]}{more}. Give a folder whose config.json and weights "
                "were saved together, with the whole causal model."
            )


def _refuse_other_vocabulary(folder: Path, tokenizer, model) -> None:
    highest, rows = max(tokenizer.get_vocab().values(), default=-1), embedding_rows(model)
    if highest >= rows:
        raise Mistake(
            f"the tokenizer in {folder} has tokens up to {highest}, the model embeds {rows}. Give a folder whose "
            "tokenizer and weights belong together."
        )


def check_run(config: TrainConfig) -> list[str]:
    """Load a run's model and try it, before anything of the run is written. Returns remarks on what is particular about
    it.

    Raises Mistake as `loading.load` and `check_task`.
    """
    task = task_of(config)
    check_enough(task, config.prompts_per_step)
    found = load_policy(config)
    model_trial.check_task(found, task)
    if adapts_attention_alone(found.bare):
        return [
            "the model is a mixture of experts: the adapter sits on its attention alone, experts and router stay as "
            "they are."
        ]
    return []
