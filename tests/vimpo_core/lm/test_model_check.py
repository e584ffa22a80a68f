"""What is said of a model before it is loaded is what it turns out to be, and costs little."""

import json
import subprocess
import sys

import pytest
from transformers import AutoTokenizer

from tests.support.real import small
from tests.support.tiny import save
from vimpo_core.cli import main
from vimpo_core.lm import loading, model_check, models, scores, tokenizer_facts
from vimpo_core.paths import BUNDLED_MODEL, ROOT

SEVEN_BILLION = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
}


@pytest.mark.parametrize("name", ["llama", "llama-odd", "gpt2", "opt-projected", "mixtral", "phimoe", "deepseek-v3"])
def test_parameters_and_adapted_layers_are_those_of_the_loaded_model(name, byte_level_model, tmp_path):
    found = model_check.check(str(save(name, tmp_path, byte_level_model)))
    policy = loading.load_policy(small(model=str(tmp_path), lora_rank=8))
    assert found["refused"] == ""
    assert found["parameters"] == sum(p.numel() for p in policy.bare.parameters())
    leaves = [n.split(".")[-2] for n in models.folded_weights(policy)]
    assert found["adapted"] == {leaf: leaves.count(leaf) for leaf in leaves}
    assert found["adapter_parameters"] == sum(t.numel() for t in models.adapter_state(policy).values())
    assert bool(found["notes"]) == (name in ("mixtral", "phimoe", "deepseek-v3"))


def test_the_memory_grows_with_what_it_is_made_of_up_to_the_room_of_a_graph(byte_level_model, tmp_path):
    """Measured on a Llama of 135 million weights: 2.4 GB for 1 x 8 solutions of 30 tokens, estimated 2.1."""
    folder = folder_of(tmp_path, byte_level_model, hidden_size=576, intermediate_size=1536, vocab_size=49152)

    def memory(**settings):
        return model_check.check(str(folder), small(model=str(folder), **settings))["memory"]

    assert model_check.GRAPH_ROOM == scores.GRAPH_ROOM
    few, many = (memory(prompts_per_step=n, group_size=8) for n in (1, 64))
    assert model_check.PROCESS < few < many
    assert many - few < 2 * model_check.GRAPH_ROOM + 10**9
    assert memory(lora_layers=1) < memory()


def folder_of(tmp_path, byte_level_model, **settings):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((byte_level_model / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(SEVEN_BILLION | settings))
    return tmp_path


def test_seven_billion_weights_are_looked_at_within_600_megabytes(byte_level_model, tmp_path):
    folder = folder_of(tmp_path, byte_level_model)
    program = (
        "import json, re\n"
        "from pathlib import Path\n"
        "from vimpo_core.cli import main\n"
        f"main(['models', 'check', {str(folder)!r}, '--json'])\n"
        # Not ru_maxrss, which begins with the memory of the process that started this one.
        r"print(json.dumps(int(re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())[1]) / 1e3))"
        "\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    found, megabytes = map(json.loads, done.stdout.splitlines())
    assert found["parameters"] == 6_738_415_616
    assert found["adapted"]["down_proj"] == 32
    assert megabytes <= 600


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden_size": 131072, "intermediate_size": 524288, "num_hidden_layers": 48}, "would take about"),
        ({"num_hidden_layers": 10**9}, "has 1000000000 layers; at most 1000 are looked at."),
        ({"model_type": "bert"}, "is an encoder (bert)"),
        ({"model_type": "nobody_knows_it"}, "cannot be loaded"),
        ({"vocab_size": 200}, "the tokenizer in"),
        ({"hidden_size": 4095}, "cannot be loaded"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence_before_anything_is_allocated(
    settings, said, byte_level_model, tmp_path, capsys
):
    folder = folder_of(tmp_path, byte_level_model, **settings)
    (folder / "model.safetensors").write_bytes(b"")
    assert main(["models", "check", str(folder)]) == 2
    refused = capsys.readouterr().out.splitlines()[-1]
    assert refused.startswith("refused ")
    assert said in refused


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["models", "check", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err == (
        f"error: no model at {tmp_path / 'gone'}: config.json is missing. Give a folder in transformers format.\n"
    )


def test_the_sampling_defaults_of_its_files_are_named_as_switched_off(byte_level_model, tmp_path):
    folder = save("llama", tmp_path, byte_level_model)
    defaults = {"temperature": 0.6, "top_p": 0.9, "do_sample": True, "top_k": 50, "repetition_penalty": 1.0}
    (folder / "generation_config.json").write_text(json.dumps(defaults | {"eos_token_id": [0, 7]}))
    found = model_check.check(str(folder))
    assert found["switched_off"] == {"temperature": 0.6, "top_p": 0.9, "top_k": 50}
    assert len(found["tokenizer"]["end"]) == 2


def test_parts_of_characters_are_counted(byte_level_model):
    tokenizer = AutoTokenizer.from_pretrained(byte_level_model)
    alone = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    found = tokenizer_facts.facts(tokenizer, byte_level_model)["parts_of_characters"]
    assert found == sum("\ufffd" in text for text in alone) > 100
    bundled = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    assert tokenizer_facts.facts(bundled, BUNDLED_MODEL)["parts_of_characters"] == 0
