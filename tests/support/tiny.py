"""Small random models of many architectures, in folders as a user would give them, on the byte-level tokenizer of
`real`.
"""

import shutil
from pathlib import Path

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
LLAMA = SIZES | {"num_key_value_heads": 2}
GPT = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
WINDOW, HEAD = {"sliding_window": 8}, {"head_dim": 8}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
OPT = {
    "vocab_size": 300,
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 1,
}
SEQ2SEQ = {
    "vocab_size": 300,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
}


def rope(kind: str, **more) -> dict:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4, **more}}


LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = rope("yarn", factor=4.0, original_max_position_embeddings=32)
FALCON = {k: v for k, v in SIZES.items() if k != "intermediate_size"}
BARE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 16,
}

RIGHT = {
    "llama": ("Llama", LLAMA),
    "llama-odd": (
        "Llama",
        LLAMA | {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ),
    "llama-gelu": ("Llama", LLAMA | {"hidden_act": "gelu"} | rope("default", rope_theta=500.0)),
    "llama3": ("Llama", LLAMA | LLAMA3),
    "llama-yarn": ("Llama", LLAMA | YARN),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2-sliding": ("Qwen2", LLAMA | WINDOW | {"use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("Qwen3", LLAMA | HEAD),
    "gemma": ("Gemma", LLAMA | HEAD),
    "gemma2": ("Gemma2", LLAMA | HEAD | WINDOW),
    "gemma3": ("Gemma3Text", LLAMA | HEAD | WINDOW),
    "mistral": ("Mistral", LLAMA | WINDOW),
    "phi": ("Phi", SIZES),
    "phi3": ("Phi3", LLAMA | WINDOW | {"pad_token_id": 0}),
    "opt": ("OPT", OPT | {"word_embed_proj_dim": 32}),
    "opt-projected": ("OPT", OPT | {"word_embed_proj_dim": 16}),
    "gpt2": ("GPT2", GPT),
    "gpt-neox": ("GPTNeoX", SIZES),
    "gptj": ("GPTJ", GPT | {"rotary_dim": 4}),
    "gpt-neo": (
        "GPTNeo",
        {
            "vocab_size": 300,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "window_size": 8,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 128,
        },
    ),
    "gpt-bigcode": ("GPTBigCode", GPT),
    "codegen": ("CodeGen", GPT | {"rotary_dim": 4}),
    "bloom": ("Bloom", {"vocab_size": 300, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "falcon": ("Falcon", FALCON),
    "falcon-alibi": ("Falcon", FALCON | {"alibi": True}),
    "mpt": (
        "Mpt",
        {"vocab_size": 300, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128, "expansion_ratio": 2},
    ),
    "starcoder2": ("Starcoder2", LLAMA | WINDOW),
    "stablelm": ("StableLm", LLAMA),
    "olmo2": ("Olmo2", LLAMA),
    "olmo3": ("Olmo3", LLAMA | WINDOW),
    "smollm3": ("SmolLM3", LLAMA | {"pad_token_id": 0}),
    "granite": ("Granite", LLAMA),
    "cohere": ("Cohere", LLAMA),
    "cohere2": ("Cohere2", LLAMA | WINDOW),
    "glm4": ("Glm4", LLAMA | HEAD | {"pad_token_id": 0}),
    "exaone4": ("Exaone4", LLAMA | WINDOW | {"sliding_window_pattern": 2}),
    "nemotron": ("Nemotron", LLAMA),
    "persimmon": ("Persimmon", SIZES),
    "apertus": ("Apertus", LLAMA),
    "diffllama": ("DiffLlama", LLAMA),
    "biogpt": ("BioGpt", SIZES),
    "ctrl": ("CTRL", {"vocab_size": 300, "n_positions": 128, "n_embd": 32, "dff": 64, "n_layer": 2, "n_head": 4}),
    "xglm": ("XGLM", {"vocab_size": 300, "d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4}),
    "bert-decoder": ("Bert", SIZES | {"is_decoder": True}),
    "gpt-oss": ("GptOss", LLAMA | HEAD | WINDOW | EXPERTS),
    "granite-moe": ("GraniteMoe", LLAMA | EXPERTS),
    "mixtral": ("Mixtral", LLAMA | EXPERTS),
    "phimoe": ("Phimoe", LLAMA | EXPERTS),
    "qwen3-moe": ("Qwen3Moe", LLAMA | HEAD | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}),
    "qwen2-moe": (
        "Qwen2Moe",
        LLAMA
        | {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
    ),
    "olmoe": ("Olmoe", LLAMA | {"num_experts": 4, "num_experts_per_tok": 2}),
    "deepseek-v3": (
        "DeepseekV3",
        SIZES
        | {
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "n_group": 1,
            "topk_group": 1,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "num_key_value_heads": 4,
            "first_k_dense_replace": 1,
        },
    ),
}
"""Architectures that sample and score rightly: name -> (what its config class is called, its sizes)."""

ROUTED = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
MLA = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
GROUPED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
RIGHT_TOO = {
    "arcee": ("Arcee", LLAMA),
    "ernie4.5": ("Ernie4_5", LLAMA | HEAD),
    "glm": ("Glm", LLAMA | HEAD | {"pad_token_id": 0}),
    "helium": ("Helium", LLAMA | HEAD),
    "olmo": ("Olmo", LLAMA),
    "seed-oss": ("SeedOss", LLAMA | HEAD),
    "hunyuan": ("HunYuanDenseV1", LLAMA | HEAD),
    "ministral": ("Ministral", LLAMA | HEAD | WINDOW),
    "ministral3": ("Ministral3", LLAMA | HEAD),
    "nanochat": ("NanoChat", LLAMA),
    "vaultgemma": ("VaultGemma", LLAMA | HEAD | WINDOW),
    "jais2": ("Jais2", LLAMA),
    "doge": ("Doge", LLAMA),
    "bitnet": ("BitNet", LLAMA),
    "gemma4": ("Gemma4Text", LLAMA | HEAD | WINDOW),
    "granite-swa": ("GraniteSWA", LLAMA | WINDOW),
    "gpt-neox-japanese": ("GPTNeoXJapanese", FALCON | {"intermediate_multiple_size": 2}),
    "roc-bert-decoder": ("RoCBert", SIZES | {"is_decoder": True}),
    "youtu": ("Youtu", SIZES | MLA),
    "minicpm3": ("MiniCPM3", SIZES | MLA | {"dim_model_base": 32}),
    "deepseek-v2": ("DeepseekV2", SIZES | MLA | GROUPED | {"topk_method": "greedy"}),
    "glm4-moe": ("Glm4Moe", LLAMA | HEAD | GROUPED | {"pad_token_id": 0}),
    "glm4-moe-lite": ("Glm4MoeLite", SIZES | MLA | GROUPED | {"pad_token_id": 0}),
    "ernie4.5-moe": (
        "Ernie4_5_Moe",
        LLAMA | {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32, "moe_layer_start_index": 1},
    ),
    "granite-moe-shared": ("GraniteMoeShared", LLAMA | EXPERTS | {"shared_intermediate_size": 32}),
    "jetmoe": ("JetMoe", SIZES | EXPERTS | {"kv_channels": 8, "num_key_value_heads": 2}),
    "minimax-m2": ("MiniMaxM2", LLAMA | HEAD | EXPERTS),
    "hunyuan-moe": ("HunYuanMoEV1", LLAMA | HEAD | {"num_experts": 4, "moe_topk": 2}),
    "exaone": ("Exaone", LLAMA),
    "internlm3": ("InternLM3", LLAMA | HEAD),
    "solar-open": ("SolarOpen", LLAMA | HEAD | GROUPED),
    "mellum": ("Mellum", LLAMA | HEAD | ROUTED),
    "laguna": ("Laguna", LLAMA | HEAD | ROUTED),
    "afmoe": ("Afmoe", LLAMA | HEAD | WINDOW | ROUTED | {"num_dense_layers": 1}),
    "llama4": ("Llama4Text", LLAMA | HEAD | EXPERTS | {"intermediate_size_mlp": 64}),
}
"""Further ones, for the slow tests."""

REFUSED = {
    "bart": ("Bart", SEQ2SEQ | {"is_decoder": True, "is_encoder_decoder": False}, "encoder-decoder"),
    "pegasus": ("Pegasus", SEQ2SEQ | {"is_decoder": True, "is_encoder_decoder": False}, "encoder-decoder"),
    "t5": (
        "T5",
        {"vocab_size": 300, "d_model": 32, "d_ff": 64, "num_layers": 1, "num_heads": 4, "d_kv": 8},
        "encoder-decoder",
    ),
    "bert": ("Bert", SIZES, "encoder"),
    "roberta": ("Roberta", SIZES, "encoder"),
    "electra": ("Electra", SIZES, "encoder"),
    "roberta-decoder": ("Roberta", SIZES | {"is_decoder": True}, "other numbers for padded prompts"),
    "xlnet": (
        "XLNet",
        {"vocab_size": 300, "d_model": 32, "n_layer": 1, "n_head": 4, "d_inner": 64},
        "no key-value cache",
    ),
    "gpt1": ("OpenAIGPT", GPT, "no key-value cache"),
    "mamba": ("Mamba", BARE | {"state_size": 8}, "recurrent"),
    "rwkv": ("Rwkv", BARE | {"attention_hidden_size": 32}, "recurrent"),
    "recurrent-gemma": ("RecurrentGemma", LLAMA | {"lru_width": 32, "num_hidden_layers": 3}, "recurrent"),
    "lfm2": ("Lfm2", LLAMA | {"layer_types": ["conv", "full_attention"]}, "recurrent"),
    "bamba": (
        "Bamba",
        LLAMA | {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8},
        "recurrent",
    ),
    "qwen3.5": (
        "Qwen3_5Text",
        LLAMA
        | HEAD
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        "recurrent",
    ),
    "gemma3-vision": (
        "Gemma3",
        {"text_config": LLAMA | HEAD, "vision_config": VISION, "mm_tokens_per_image": 4},
        "multimodal",
    ),
    "git": ("Git", SIZES | {"vision_config": VISION}, "multimodal"),
    "camembert-decoder": ("Camembert", SIZES | {"is_decoder": True}, "other numbers for padded prompts"),
    "longcat": ("LongcatFlash", SIZES | MLA | {"num_layers": 1}, "cannot be sampled"),
    "dbrx": (
        "Dbrx",
        {
            "vocab_size": 300,
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 128,
            "attn_config": {"rope_theta": 1e4, "kv_n_heads": 2},
            "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        },
        "cannot be sampled",
    ),
}
"""Architectures that cannot be trained here: name -> (config class, sizes, what the sentence says)."""


def save(name: str, folder: Path, tokenizer_of: Path, **changes) -> Path:
    """A model of the table in a folder; `changes` go over its sizes. Weights wide enough that a wrong position
    shows.
    """
    import torch
    import transformers

    kind, sizes, *_ = (RIGHT | RIGHT_TOO | REFUSED)[name]
    named = {"eos_token_id": 0, "bos_token_id": None}
    config = getattr(transformers, f"{kind}Config")(**named | sizes | changes)
    torch.manual_seed(0)
    known = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    auto = transformers.AutoModelForCausalLM if type(config) in known else transformers.AutoModelForSeq2SeqLM
    model = auto.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer_of / file, folder / file)
    return folder
