"""Models of the hub, GGUF files and what is typed: each means the same weights later, or is refused in a sentence."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.hub import COMMIT, small_hub
from tests.support.real import small
from tests.support.tiny import save
from vimpo_core.lm import gguf_files, hub, loading, sources
from vimpo_core.paths import BUNDLED_MODEL, ROOT
from vimpo_core.runs import bases
from vimpo_core.runs.folder import RunsDir


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache, and the lab's folder of converted models, elsewhere."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VIMPO_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path


def command(cache, endpoint, *arguments):
    """A command of the lab, as a person gives it, against a hub."""
    return subprocess.run(
        [sys.executable, "-m", "vimpo_core", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache / "hub"), "HF_HUB_DISABLE_XET": "1"},
    )


@pytest.fixture
def repository(tmp_path):
    """The bundled model as a repository has it, with files beside it that nobody needs."""
    folder = tmp_path / "repository"
    shutil.copytree(BUNDLED_MODEL, folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "README.md").write_text("not needed")
    (folder / "consolidated.safetensors").write_bytes(b"the same weights once more")
    return folder


def test_a_repository_is_fetched_once_pinned_and_then_used_without_the_hub(cache, repository):
    with small_hub({"some/model": repository}) as (endpoint, asked):
        done = command(cache, endpoint, "models", "get", "some/model", "--json")
        assert done.returncode == 0, done.stderr
        got = json.loads(done.stdout)
    assert got["model"] == f"some/model@{COMMIT}"
    taken = {name.rpartition("/")[2] for name in asked}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= taken
    assert not taken & {"pytorch_model.bin", "README.md", "consolidated.safetensors"}
    # From here on there is no hub.
    assert sources.settled("some/model") == got["model"] == sources.settled(got["model"])
    (run_id,) = (run.run_id for run in submitted(cache, small(model="some/model")))
    store = RunsDir(cache / "runs").open(run_id)
    assert store.config().model == got["model"]
    assert f"--model some/model@{COMMIT}" in store.header()["command"]
    assert loading.load(store.config().model).source == got["model"]
    assert bases.stamp(got["model"])
    assert sources.label(got["model"]) == "some/model"


def test_a_repository_is_looked_at_without_its_weights(cache, repository):
    with small_hub({"some/model": repository}) as (endpoint, asked):
        done = command(cache, endpoint, "models", "check", "some/model", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["refused"] == ""
    assert found["parameters"] == 142_976
    assert found["notes"] == [
        f"its weights are not on this machine yet: python -m vimpo_core models get some/model@{COMMIT}"
    ]
    assert "some/model/tokenizer.json" in asked and "some/model/model.safetensors" not in asked
    assert not sources.is_here("some/model")


def submitted(cache, config):
    runs = RunsDir(cache / "runs")
    runs.submit([config])
    return runs.list()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("some/nothing", "the Hugging Face hub has no model some/nothing, or it is private and needs a login."),
        ("some/gated", "some/gated needs a login and its owner's leave."),
        ("some/model@gone", "some/model has no revision 'gone'. Name a branch, a tag or a whole commit."),
        ("some/pickles", "some/pickles has no weights in safetensors, and no other format is loaded. Convert them"),
        ("some/encoder", "some/encoder is an encoder (bert), which fills gaps"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_and_nothing_is_left(source, said, cache, repository):
    pickles, encoder = cache / "pickles", cache / "encoder"
    pickles.mkdir()
    (pickles / "pytorch_model.bin").write_bytes(b"pickle")
    shutil.copytree(BUNDLED_MODEL, encoder)
    (encoder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    repositories = {"some/model": repository, "some/pickles": pickles, "some/encoder": encoder}
    with small_hub(repositories, gated=("some/gated",)) as (endpoint, asked):
        done = command(cache, endpoint, "train", "--model", source, "--runs-dir", str(cache / "runs"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cache / "runs").exists()
    assert not any("model.safetensors" in name for name in asked)


def test_without_a_network_the_sentence_says_so(cache):
    done = command(cache, "http://127.0.0.1:9", "models", "get", "some/model")
    assert done.returncode == 2
    assert "some/model could not be fetched, as the hub cannot be reached. Check the network" in done.stderr


def test_a_repository_that_is_half_there_is_not_taken_for_a_model(cache, repository):
    folder = hub.folder_of(f"some/model@{COMMIT}")
    shutil.copytree(repository, folder)
    assert sources.is_here(f"some/model@{COMMIT}")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not sources.is_here(f"some/model@{COMMIT}")
    with pytest.raises(ValueError, match="is neither a folder here nor a model that was fetched"):
        RunsDir(cache / "runs").submit([small(model=f"some/model@{COMMIT}")])
    with pytest.raises(ValueError, match=r"lacks model-00002-of-00002\.safetensors, which its index names"):
        sources.find(str(folder))


def test_a_folder_comes_before_a_repository_of_its_name(cache, repository, monkeypatch):
    monkeypatch.chdir(cache)
    assert sources.is_of_hub("repository/of")
    shutil.copytree(repository, cache / "some" / "model")
    assert sources.settled("some/model") == str(cache / "some" / "model")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "no model is named"),
        (" ", "no model is named"),
        ("~nobody-of-that-name/x", "names a home that is not there"),
    ],
)
def test_what_is_no_source_is_a_sentence(typed, said):
    with pytest.raises(ValueError, match=said):
        sources.settled(typed)


def test_weights_of_another_format_are_refused_with_the_command_that_converts_them(tmp_path):
    shutil.copytree(BUNDLED_MODEL, tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").rename(tmp_path / "mine" / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"Convert them once: python -c '.*save_pretrained.*' \S+/mine mine-safeten"):
        sources.find(str(tmp_path / "mine"))


# ---- GGUF


def gguf_of(folder, path):
    """A GGUF file of a small Llama, as llama.cpp's converter writes it."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    config = json.loads((folder / "config.json").read_text())
    tokens = AutoTokenizer.from_pretrained(folder).get_vocab()
    names = sorted(tokens, key=tokens.get)
    merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(names)
    writer.add_token_types([1] * len(names))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(0)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        for part, n in heads.items():
            if part in name:  # llama.cpp keeps the rotary halves interleaved
                rows = tensor.reshape(n, 2, tensor.shape[0] // n // 2, tensor.shape[1])
                tensor = rows.swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(known.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_converted_once_and_its_folder_is_the_model(byte_level_model, cache):
    import torch

    folder = save("llama", cache / "llama", byte_level_model)
    path = gguf_of(folder, cache / "mine.gguf")
    with pytest.raises(ValueError, match=r"first to be converted\. Run: python -m vimpo_core models get \S+mine\.g"):
        RunsDir(cache / "runs").submit([small(model=str(path))])
    assert not (cache / "runs").exists()
    told = []
    source = sources.get(str(path), lambda done, total: told.append((done, total)))
    assert told[-1] == (100, 100) and told == sorted(told) and len(set(told)) > 5
    assert sources.settled(str(path)) == source and sources.get(str(path)) == source
    assert (cache / "models" / "mine-").name in source and sources.label(source) == "mine"
    before, after = loading.load(str(folder)), loading.load(source)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(after.model(ids).logits, before.model(ids).logits, rtol=0, atol=1e-5)
    path.unlink()  # the run means the folder
    assert submitted(cache, small(model=source))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not one of them", b"GGUF" + bytes(64)])
def test_a_damaged_gguf_file_is_one_sentence_and_leaves_nothing(content, cache):
    path = cache / "mine.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.gguf (is no whole \.gguf file|cannot be converted)"):
        sources.get(str(path))
    assert gguf_files.all_converted() == []
    assert {f.name for f in (cache / "models").iterdir()} <= {".converting.lock"}


def test_what_a_killed_conversion_left_is_removed_unless_one_is_at_work(cache):
    left = cache / "models" / ".converting-x"
    left.mkdir(parents=True)
    with gguf_files._alone(cache / "models"):
        gguf_files.tidy()
        assert left.is_dir()
    gguf_files.tidy()
    assert not left.exists()


def test_without_the_library_the_sentence_says_what_to_install(cache, monkeypatch):
    path = cache / "mine.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(gguf_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -r requirements-worlds\.txt"):
        sources.get(str(path))
