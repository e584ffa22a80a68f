"""What the folder of a PEFT adapter says of itself, told from its settings alone: nothing is loaded, no torch."""

from __future__ import annotations

from pathlib import Path

from vimpo_core.lm import model_files
from vimpo_core.mistake import Mistake

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_NOT_PLAIN = {
    "use_dora": "is a DoRA adapter, whose weights cannot be added to the base's",
    "use_qalora": "is a QA-LoRA adapter, whose weights cannot be added to the base's",
    "alora_invocation_tokens": "is an activated LoRA adapter, which is off for some of the tokens",
    "modules_to_save": "replaces whole modules of its base",
    "trainable_token_indices": "replaces embeddings of its base",
    "target_parameters": "adapts experts, which are not folded here",
    "layer_replication": "repeats layers of its base",
    "megatron_config": "was made for another program",
    "lora_bias": "has biases of its own",
    "arrow_config": "mixes several adapters",
    "corda_config": "changes its base's weights when it is loaded",
    "eva_config": "was begun from data that is not there",
}
"""Settings of peft that make of an adapter more than a product added to projections -> what it is then."""
_TABLES = {"embed_tokens", "wte", "word_embeddings", "embed_in", "embed_out", "lm_head"}


def is_one(folder: Path) -> bool:
    return (folder / SETTINGS).is_file()


def settings_of(folder: Path) -> dict:
    return model_files.settings_of(folder, SETTINGS)


def base_named(folder: Path) -> tuple[str, str]:
    """The model and the revision ("" where none) that an adapter says it was trained on."""
    settings = settings_of(folder)
    return str(settings.get("base_model_name_or_path") or ""), str(settings.get("revision") or "")


def rank(folder: Path) -> int:
    """Its rank, which a run on it has. Raises Mistake where its settings name none."""
    found = settings_of(folder).get("r")
    if type(found) is not int:
        raise Mistake(f"the adapter in {folder} names no rank r in {SETTINGS}. Save it again with save_pretrained.")
    return found


def check(folder: Path) -> None:
    """Raises Mistake unless the folder holds a LoRA adapter that can be trained on here, as far as its files tell."""
    if missing := model_files.lacking(folder):
        raise Mistake(f"the adapter in {folder} lacks {missing}. Save it again with save_pretrained.")
    if why := refusal(settings_of(folder)):
        raise Mistake(
            f"the adapter in {folder} {why}. Merge it into its base with "
            "`PeftModel.from_pretrained(base, folder).merge_and_unload()`, save that with save_pretrained, and give "
            "its folder."
        )
    rank(folder)


def refusal(settings: dict) -> str:
    """Why an adapter cannot be the beginning of a run, to follow "the adapter in ..."; "" otherwise."""
    kind = str(settings.get("peft_type", ""))
    if kind != "LORA":
        return f"is one of peft's kind {kind[:40]!r}, and only LoRA is trained on"
    for name, what in _NOT_PLAIN.items():
        if settings.get(name):
            return what
    if settings.get("bias", "none") != "none":
        return "has trained biases"
    if settings.get("init_lora_weights", True) not in (True, False, "gaussian"):
        return f"was begun by {str(settings['init_lora_weights'])[:20]!r}, which changes its base's weights"
    targets = settings.get("target_modules") or []
    names = {str(t).rpartition(".")[2] for t in targets} if isinstance(targets, list) else set()
    if table := sorted(names & _TABLES):
        return f"adapts {table[0]}, which may be the embedding as well"
    return ""
