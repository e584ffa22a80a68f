"""What a model folder holds, told from its small files alone: nothing is loaded and torch is not needed.

A network is refused here by what it is, before a run is made of it. What its files do not tell, `model_trial` finds by
trying the network.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from vimpo_core.mistake import Mistake

INSTEAD = "Use a decoder with attention alone, such as Llama, Qwen, Mistral or GPT-2."

_ENCODERS = {
    "albert",
    "big_bird",
    "camembert",
    "canine",
    "convbert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "esm",
    "eurobert",
    "flaubert",
    "fnet",
    "funnel",
    "ibert",
    "layoutlm",
    "longformer",
    "luke",
    "megatron-bert",
    "mobilebert",
    "modernbert",
    "mpnet",
    "mra",
    "nystromformer",
    "perceiver",
    "qdqbert",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roformer",
    "squeezebert",
    "tapas",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
    "yoso",
    "bert",
    "bert-generation",
}
_ENCODER_DECODERS = {
    "bart",
    "bigbird_pegasus",
    "blenderbot",
    "blenderbot-small",
    "encoder-decoder",
    "fsmt",
    "led",
    "longt5",
    "m2m_100",
    "marian",
    "mbart",
    "mt5",
    "mvp",
    "nllb-moe",
    "pegasus",
    "pegasus_x",
    "plbart",
    "prophetnet",
    "switch_transformers",
    "t5",
    "t5gemma",
    "umt5",
    "xlm-prophetnet",
}
_RECURRENT = {
    "bamba",
    "falcon_h1",
    "falcon_mamba",
    "granitemoehybrid",
    "jamba",
    "kimi_linear",
    "lfm2",
    "lfm2_moe",
    "mamba",
    "mamba2",
    "minimax",
    "nemotron_h",
    "olmo_hybrid",
    "plamo2",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
    "recurrent_gemma",
    "rwkv",
    "xlstm",
    "zamba",
    "zamba2",
}
_WITHOUT_CACHE = {"openai-gpt", "reformer", "transfo-xl", "xlm", "xlnet"}
_MULTIMODAL = {"fuyu", "moshi", "musicgen", "musicgen_melody", "speech_to_text", "trocr", "whisper"}
_RECURRENT_LAYER = re.compile("linear|lightning|conv|mamba|recurrent|hybrid|ssm|lru|rwkv")


def lacking(folder: Path) -> str:
    """The first file that a model or an adapter lacks in its folder; "" where all are there. Damaged ones count as
    there.
    """
    if (folder / "adapter_config.json").is_file():
        return "" if (folder / "adapter_model.safetensors").is_file() else "adapter_model.safetensors"
    if not (folder / "config.json").is_file():
        return "config.json"
    if (folder / "model.safetensors").is_file():
        return ""
    try:
        shards = settings_of(folder, "model.safetensors.index.json").get("weight_map") or {}
    except Mistake:
        return ""
    if isinstance(shards, dict) and shards:
        return next((str(n) for n in sorted(set(shards.values())) if not (folder / str(n)).is_file()), "")
    return "" if any(folder.glob("*.safetensors")) else "*.safetensors"


def conversion_command(source: str | Path) -> str:
    """The command that writes a model of another weight format as safetensors, into a new folder beside it."""
    new = f"{Path(source).name}-safetensors"
    code = (
        "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; import sys; a, b = sys.argv[1:]; "
        "M.from_pretrained(a).save_pretrained(b); T.from_pretrained(a).save_pretrained(b)"
    )
    return shlex.join(["python", "-c", code, str(source), new])


def settings_of(folder: Path, name: str = "config.json") -> dict:
    """One of the folder's JSON files; {} where it has none. Mistake if it is damaged."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Mistake(
            f"the model in {folder} cannot be loaded: {name} is damaged. Give a whole folder of an architecture that "
            "transformers knows."
        ) from error
    return settings if isinstance(settings, dict) else {}


def refusal(config: dict) -> str:
    """What a network is that cannot be trained here, and what to use instead, to follow "the model in ..."; ""
    otherwise.
    """
    kind = str(config.get("model_type", ""))
    if kind in _MULTIMODAL or any(name.endswith(("vision_config", "audio_config")) for name in config):
        return (
            f"is a multimodal one ({kind[:40]}), which reads pictures or sound beside text. Save its language model by "
            "itself and give that folder."
        )
    if kind in _ENCODER_DECODERS or config.get("is_encoder_decoder") is True:
        return (
            f"is an encoder-decoder or a part of one ({kind[:40]}), which answers a text that it has read as a "
            f"whole. {INSTEAD}"
        )
    if kind in _ENCODERS and config.get("is_decoder") is not True:
        return f"is an encoder ({kind}), which fills gaps and writes nothing from left to right. {INSTEAD}"
    layers = config.get("layer_types") or config.get("layers_block_type") or []
    if kind in _RECURRENT or any(_RECURRENT_LAYER.search(str(layer)) for layer in layers):
        return (
            f"is recurrent, wholly or in part ({kind[:40]}): its state cannot be padded or shared between solutions "
            f"as a key-value cache can. {INSTEAD}"
        )
    if kind in _WITHOUT_CACHE:
        return f"keeps no key-value cache ({kind}), which sampling needs. {INSTEAD}"
    return ""


def context_length(config) -> int | None:
    """Tokens that a network reads, by its transformers settings; None where nothing limits it.

    Rotary positions of type dynamic or longrope change with the longest sequence seen, so that the same tokens would
    score differently by what came before: such a network is used up to its original length only, where they do not.
    """
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    rope = getattr(config, "rope_parameters", None) or {}
    for one in (rope, *rope.values()):  # some have one for each kind of layer
        if isinstance(one, dict) and one.get("rope_type") in ("dynamic", "longrope"):
            limits.append(one.get("original_max_position_embeddings"))
            limits.append(getattr(config, "original_max_position_embeddings", None))
    return min((n for n in limits if isinstance(n, int) and n > 0), default=None)


def too_long(tokens: int, limit: int) -> str:
    return (
        f"a prompt and its solution take up to {tokens} tokens, the model reads {limit}. Use shorter problems, "
        "fewer tokens a solution (max_new_tokens), or a model that reads more."
    )


def end_ids(folder: Path) -> tuple[int, ...]:
    """Every token that the settings of the model and of its generation name as an end, in that order, each once."""
    found: list[object] = []
    for name in ("config.json", "generation_config.json"):
        named = settings_of(folder, name).get("eos_token_id")
        found += named if isinstance(named, list) else [named]
    return tuple(dict.fromkeys(i for i in found if type(i) is int and i >= 0))
