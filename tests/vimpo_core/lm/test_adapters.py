"""Adapters come and go as PEFT folders: what leaves is what was trained, and what comes is where a run begins."""

import io
import json
import shutil
import zipfile

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.support.real import small
from tests.support.tiny import save
from vimpo_core.cli import main
from vimpo_core.formats import adapter_folder
from vimpo_core.lm import loading, models, scores, sources
from vimpo_core.runs import snapshots, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import RunState

# peft asks transformers by the old name of a property.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

IDS = torch.tensor([[5, 9, 17, 3, 40, 8, 120, 33]])


def trained(folder, tmp_path, **settings):
    runs = RunsDir(tmp_path / "runs")
    runs.submit([small(model=str(folder), **{"steps": 2, "snapshot_every": 1, "reward_noise": 0.4} | settings)])
    worker.main(runs.path)
    store = runs.open("vimpo-1")
    assert store.state() == RunState.FINISHED, store.message()
    return store


def logits(network):
    with torch.no_grad():
        return network(input_ids=IDS).logits


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_an_exported_adapter_gives_plain_peft_the_same_logits(name, byte_level_model, tmp_path):
    folder = save(name, tmp_path / "base", byte_level_model)
    store = trained(folder, tmp_path)
    arguments = ["export-adapter", "vimpo-1", "--step", "2", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--runs-dir", str(tmp_path / "runs")]) == 0
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    untrained = logits(base)
    plain = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    policy = snapshots.load_snapshot(store.run_dir, 2)
    torch.testing.assert_close(logits(plain), logits(policy.model), rtol=0, atol=1e-6)
    assert float((logits(plain) - untrained).abs().max()) > 1e-4
    archive = zipfile.ZipFile(io.BytesIO(adapter_folder.zipped(store, 2)))
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert archive.read(f"vimpo-1-step2-adapter/{file}") == (tmp_path / "out" / file).read_bytes()


def test_a_folder_that_is_there_and_a_step_that_was_not_kept_are_refused(byte_level_model, tmp_path, capsys):
    store = trained(save("llama", tmp_path / "base", byte_level_model), tmp_path)
    arguments = ["export-adapter", store.run_id, "--runs-dir", str(tmp_path / "runs"), "--out"]
    assert main([*arguments, str(tmp_path / "base")]) == 2
    assert "is there already. Name a new folder with --out." in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "new"), "--step", "7"]) == 2
    assert not (tmp_path / "new").exists()


@pytest.fixture
def begun(byte_level_model, tmp_path):
    """A base and an adapter on it that plain peft made: rank 3, a scale of its own, two projections of some layers."""
    base = save("llama", tmp_path / "base", byte_level_model)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=3, lora_alpha=5, lora_dropout=0.2, target_modules=["q_proj", "down_proj"])
    peft = get_peft_model(network, config)
    chance = torch.Generator().manual_seed(4)
    for name, tensor in peft.named_parameters():
        if "lora_" in name:
            tensor.data = 0.1 * torch.randn(tensor.shape, generator=chance)
    peft.save_pretrained(tmp_path / "adapter")
    return base, tmp_path / "adapter", logits(peft.eval())


def test_a_run_begins_with_the_given_adapter_and_its_base_is_the_reference(begun, tmp_path):
    base, adapter, expected = begun
    policy = loading.load_policy(small(model=str(adapter), lora_rank=3))
    torch.testing.assert_close(logits(policy.model), expected, rtol=0, atol=1e-6)
    plain = logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval())
    assert torch.equal(logits(models.reference(policy)), plain)
    with policy.model.disable_adapter():
        assert torch.equal(logits(policy.model), plain)
    with models.merged(policy) as merged:
        torch.testing.assert_close(logits(merged), expected, rtol=0, atol=1e-5)
    batch = scores.make_batch([[1, 2]], [[3, 4, 5]], policy.pad_id)
    measured = scores.score(policy, batch)
    assert float((measured.logprobs - measured.ref_logprobs).abs().max()) > 1e-3


def test_it_trains_resumes_bit_for_bit_forks_and_leaves_again(begun, tmp_path):
    base, adapter, _ = begun
    store = trained(adapter, tmp_path)  # lora_rank is the usual one: the adapter's own is taken
    assert store.config().lora_rank == 3
    assert store.metrics()[0]["kl_mean"] > 0  # it does not begin at the reference
    from vimpo_core.trainer import Trainer

    again = Trainer(store.config())
    records = [again.step(), again.step()]
    resumed = Trainer(store.config(), records[-1].resume_state).step()
    assert resumed.snapshot == store.snapshot(2)
    runs = RunsDir(tmp_path / "runs")
    runs.fork("vimpo-1", 1, store.config())
    worker.main(runs.path)
    fork = runs.open("vimpo-2")
    assert fork.state() == RunState.FINISHED, fork.message()
    assert fork.snapshot(2) == store.snapshot(2)
    adapter_folder.write(store, 2, tmp_path / "out")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), tmp_path / "out")
    policy = snapshots.load_snapshot(store.run_dir, 2)
    torch.testing.assert_close(logits(plain.eval()), logits(policy.model), rtol=0, atol=1e-6)
    further = trained(tmp_path / "out", tmp_path / "next", steps=1)
    assert further.metrics()[0]["kl_mean"] == pytest.approx(store.metrics()[2]["kl_mean"], rel=0.5)


def test_an_adapter_that_is_the_wrong_one_is_named_in_a_sentence_and_no_run_is_made(begun, byte_level_model, tmp_path):
    _, adapter, _ = begun

    def refused(says, **settings):
        path = adapter / "adapter_config.json"
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | settings))
        try:
            with pytest.raises(ValueError, match=says):
                RunsDir(tmp_path / "runs").submit([small(model=str(adapter))])
                loading.load_policy(small(model=str(adapter), lora_rank=3))
        finally:
            path.write_text(json.dumps(told))

    refused("which is not on this machine. Fetch it: python -m vimpo_core models get some/base", **named("some/base"))
    refused("belongs to the model '/gone/base', which is not there", **named("/gone/base"))
    refused("is one of peft's kind 'IA3', and only LoRA is trained on", peft_type="IA3")
    refused("is a DoRA adapter", use_dora=True)
    refused("replaces whole modules of its base", modules_to_save=["lm_head"])
    refused("adapts lm_head, which may be the embedding as well", target_modules=["q_proj", "lm_head"])
    refused("was begun by 'pissa'", init_lora_weights="pissa")
    assert not (tmp_path / "runs").exists()
    wide = save("llama", tmp_path / "wide", byte_level_model, hidden_size=64)
    refused("belongs to another base than .*wide", **named(str(wide)))
    other = save("gpt2", tmp_path / "gpt2", byte_level_model)
    refused("does not fit the model", **named(str(other)))
    tensors = load_file(adapter / "adapter_model.safetensors")
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, adapter / "adapter_model.safetensors")
    refused("belongs to another base than")
    shutil.move(adapter / "adapter_model.safetensors", adapter / "adapter_model.bin")
    refused(r"lacks adapter_model\.safetensors")


def named(base):
    return {"base_model_name_or_path": base}


def test_the_files_of_an_adapters_base_are_part_of_what_a_run_stands_on(begun):
    from vimpo_core.runs import bases

    base, adapter, _ = begun
    before = bases.stamp(str(adapter))
    (base / "generation_config.json").write_text("{}")
    assert bases.stamp(str(adapter)) != before
    assert sources.find(str(adapter)) == base
