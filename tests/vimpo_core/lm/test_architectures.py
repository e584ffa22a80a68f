"""Many architectures against plain transformers: a row at a time, no padding, no cache. And which are refused, by what
they are.

`tiny.RIGHT` holds 52 that train rightly and `RIGHT_TOO` 35 more, `REFUSED` 20 that are built and refused, and
`BY_NAME` below 24 that their usual settings give away.
"""

import json
import math

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from tests.support.real import small
from tests.support.sweeps import sweep
from tests.support.tiny import REFUSED, RIGHT, RIGHT_TOO, save
from vimpo_core.cli import main
from vimpo_core.learning import critic
from vimpo_core.lm import loading, model_files, models, sampler, scores, sources
from vimpo_core.runs import snapshots, worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service.scoring import score_solution
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.trainer import Trainer
from vimpo_core.types import RunState

NATS = 3e-5
PROMPTS = ("9+2+9+7*6=", "1+1=", "8*9-7+1=")


def policy_of(folder):
    """A policy whose adapter is random instead of untrained."""
    models.single_thread()
    policy = loading.load_policy(small(model=str(folder)))
    chance = torch.Generator().manual_seed(1)
    state = {
        k: torch.randn(v.shape, generator=chance) * 0.3 / v.shape[1] ** 0.5
        for k, v in models.adapter_state(policy).items()
    }
    models.set_adapter(policy, state)
    return policy


def sampled(policy, tokens=24):
    prompts = [models.encode_prompt(policy, p) for p in PROMPTS]
    with models.merged(policy) as model:
        return sampler.sample(model, prompts, 2, tokens, policy.end_ids, policy.pad_id, seed=3)


def by_transformers(network, rollout):
    """log pi of a rollout's tokens as transformers finds them: one row, no padding, no cache."""
    ids = torch.tensor([[*rollout.prompt_ids, *rollout.ids]])
    with torch.no_grad():
        logp = torch.log_softmax(network(input_ids=ids, use_cache=False).logits[0].double(), -1)
    return logp[len(rollout.prompt_ids) - 1 : -1].gather(-1, torch.tensor(rollout.ids)[:, None])[:, 0]


@pytest.mark.parametrize("name", sweep([*RIGHT, *RIGHT_TOO], ["llama", "gpt2", "mixtral", "bloom"]))
def test_sampler_and_scorer_agree_with_transformers(name, byte_level_model, tmp_path):
    policy = policy_of(save(name, tmp_path, byte_level_model))
    assert isinstance(policy.model, PeftModel)
    base = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    rollouts = sampled(policy)
    batch = scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id)
    measured = scores.score(policy, batch)
    for row, rollout in enumerate(rollouts):
        theta, ref = by_transformers(policy.model, rollout), by_transformers(base, rollout)
        length = len(rollout.ids)
        assert float((measured.logprobs[row, :length] - theta).abs().max()) < NATS
        assert float((measured.ref_logprobs[row, :length] - ref).abs().max()) < NATS
        assert float((torch.from_numpy(rollout.sampler_logprob) - theta).abs().max()) < NATS
        assert float((theta - ref).abs().max()) > 1e-3  # the adapter does something


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "phimoe"])
def test_a_large_model_that_is_not_folded_scores_the_same(name, byte_level_model, tmp_path, monkeypatch):
    policy = policy_of(save(name, tmp_path, byte_level_model))
    rollouts = sampled(policy)
    batch = scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id)
    folded = scores.score(policy, batch).logprobs
    monkeypatch.setattr(models, "FOLD_LIMIT", 0)
    torch.testing.assert_close(scores.score(policy, batch).logprobs, folded, rtol=0, atol=NATS)


@pytest.mark.parametrize("name", ["opt-projected", "bert-decoder", "gpt2"])
def test_no_module_is_in_training_mode_while_it_samples_or_scores(name, byte_level_model, tmp_path):
    """Else dropout, which these have, would draw other numbers at every call."""
    dropout = {"opt-projected": "dropout", "bert-decoder": "hidden_dropout_prob", "gpt2": "resid_pdrop"}[name]
    policy = policy_of(save(name, tmp_path, byte_level_model, **{dropout: 0.5}))
    modules = [m for network in (policy.model, policy.bare) for m in network.modules()]
    assert any(isinstance(m, torch.nn.Dropout) or getattr(m, "dropout", 0) for m in modules)
    called = []
    for module in modules:
        module.register_forward_hook(lambda m, *_: called.append(m.training))
    rollouts = sampled(policy)
    batch = scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id)
    first = scores.score(policy, batch, with_grad=True)
    assert called
    assert not any(called)
    assert torch.equal(first.logprobs, scores.score(policy, batch).logprobs)


@pytest.mark.parametrize("name", ["opt-projected", "gpt2", "mixtral"])
def test_ppo_trains_it_whatever_the_width_of_its_states(name, byte_level_model, tmp_path):
    folder = save(name, tmp_path, byte_level_model)
    trainer = Trainer(small(model=str(folder), algorithm="ppo", steps=1, reward_noise=0.4))
    records = [trainer.step(), trainer.step()]
    assert records[1].metrics["kl_mean"] > 0
    rollouts = sampled(trainer.policy)
    batch = scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], trainer.policy.pad_id)
    states = critic.states_of(trainer.policy, batch)
    assert trainer.learner.critic.norm.normalized_shape == (states.shape[-1],)


@pytest.mark.parametrize("name", ["mixtral", "qwen3-moe", "deepseek-v3"])
def test_of_a_mixture_of_experts_the_attention_is_adapted_and_it_is_said(name, byte_level_model, tmp_path):
    folder = save(name, tmp_path, byte_level_model)
    adapted = {n.rpartition(".")[0] for n in models.folded_weights(policy_of(folder))}
    assert adapted
    assert all(".self_attn." in n for n in adapted)
    from vimpo_core.lm.loading import check_run

    (remark,) = check_run(small(model=str(folder)))
    assert remark.startswith("the model is a mixture of experts: the adapter sits on its attention alone")


# ---- weights that are not the model's


def test_missing_weights_are_named(byte_level_model, tmp_path):
    folder = save("llama", tmp_path, byte_level_model)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"the weights in .* lack model\.layers\.1\.mlp\.up_proj\.weight\. Give a"):
        loading.load(str(folder))


@pytest.mark.parametrize(
    ("layers", "words"), [(3, r"lack model\.layers\.2\."), (1, r"no place for it, model\.layers\.1\.")]
)
def test_a_config_with_other_layers_than_the_file_is_refused(layers, words, byte_level_model, tmp_path):
    folder = save("llama", tmp_path, byte_level_model)
    change(folder / "config.json", num_hidden_layers=layers)
    with pytest.raises(ValueError, match=words + r".* and \d+ more"):
        loading.load(str(folder))


def test_weights_of_another_size_and_those_without_a_head_are_named(byte_level_model, tmp_path):
    folder = save("llama", tmp_path / "size", byte_level_model)
    change(folder / "config.json", intermediate_size=48)
    with pytest.raises(ValueError, match=r"hold in another size model\.layers\.0\.mlp\.down_proj\.weight and"):
        loading.load(str(folder))
    folder = save("llama", tmp_path / "head", byte_level_model)
    AutoModelForCausalLM.from_pretrained(folder).model.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"lack lm_head\.weight"):
        loading.load(str(folder))


def test_a_head_that_is_tied_is_not_missed_and_scores_stay(byte_level_model, tmp_path):
    folder = save("llama-odd", tmp_path / "model", byte_level_model)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    runs = RunsDir(tmp_path / "runs")
    runs.submit([small(model=str(folder), steps=1, snapshot_every=1)])
    worker.main(runs.path)
    found = []
    for _ in range(2):
        snapshots._snapshot.cache_clear()  # as another process would load it
        (trace,) = score_solution(runs.path / "vimpo-1", 1, PROMPTS[0], "9+2+9+42;11+9+42.")
        found.append((trace.logprob.tolist(), trace.ref_logprob.tolist()))
    assert found[0] == found[1]


def test_a_tokenizer_that_does_not_fit_is_a_sentence(byte_level_model, tmp_path):
    folder = save("llama", tmp_path, byte_level_model, vocab_size=200)
    with pytest.raises(ValueError, match=r"the tokenizer in .* has tokens up to 299, the model embeds 200\."):
        loading.load(str(folder))


# ---- how much it reads


@pytest.mark.parametrize("name", ["llama", "gpt2", "mpt"])
def test_the_context_length_is_checked_before_a_run_is_made(name, byte_level_model, tmp_path, capsys):
    limit = {"llama": "max_position_embeddings", "gpt2": "n_positions", "mpt": "max_seq_len"}[name]
    folder = save(name, tmp_path / "model", byte_level_model, **{limit: 24})
    runs = tmp_path / "runs"
    assert main(["train", "--model", str(folder), "--runs-dir", str(runs), "--steps", "1"]) == 2
    said = capsys.readouterr().err
    assert "the model reads 24. Use shorter problems" in said
    assert not runs.exists()
    language_model = loading.load(str(folder))
    with pytest.raises(ValueError, match="the model reads 24"):
        sampler.sample(language_model.model, [[1] * 10], 1, 15, language_model.end_ids, 0, seed=0)


def test_what_limits_the_length(byte_level_model, tmp_path):
    def length(name, **changes):
        folder = save(name, tmp_path / f"{name}{len(changes)}", byte_level_model, **changes)
        return model_files.context_length(loading.load(str(folder)).model.config)

    assert length("llama") == length("gpt2") == length("mpt") == 128
    assert length("bloom") is None  # no position is too far
    assert length("llama", **dynamic(24)) == 24
    assert length("phi3", **longrope(24)) == 24


def dynamic(length):
    return {
        "max_position_embeddings": length,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    }


def longrope(length):
    more = {"long_factor": [4.0] * 4, "short_factor": [1.0] * 4, "original_max_position_embeddings": length}
    return {
        "original_max_position_embeddings": length,
        "rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "factor": 128 / length, **more},
    }


@pytest.mark.parametrize(("name", "of_length"), [("llama", dynamic), ("phi3", longrope)])
def test_a_rope_that_follows_the_longest_call_is_right_up_to_its_length_and_refused_past_it(
    name, of_length, byte_level_model, tmp_path
):
    """Past its original length the same tokens would score differently by what came before."""
    policy = policy_of(save(name, tmp_path, byte_level_model, **of_length(36)))
    longest = max(len(models.encode_prompt(policy, p)) for p in PROMPTS)
    rollouts = sampled(policy, 36 - longest)
    batch = scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id)
    measured = scores.score(policy, batch).logprobs
    for row, rollout in enumerate(rollouts):
        difference = measured[row, : len(rollout.ids)] - by_transformers(policy.model, rollout)
        assert float(difference.abs().max()) < NATS
    with pytest.raises(ValueError, match="the model reads 36"):
        sampled(policy, 37 - longest)


@pytest.mark.parametrize("name", ["bloom", "mpt"])
def test_a_config_without_a_usual_length_is_scored(name, byte_level_model, tmp_path):
    runs = RunsDir(tmp_path / "runs")
    folder = save(name, tmp_path / "model", byte_level_model)
    runs.submit([small(model=str(folder), steps=1, snapshot_every=1)])
    worker.main(runs.path)
    assert runs.open("vimpo-1").state() == RunState.FINISHED
    (trace,) = score_solution(runs.path / "vimpo-1", 1, PROMPTS[0], "9+2+9+42;11+9+42.")
    assert math.isfinite(trace.logprob.sum())


# ---- what is refused


FOUND_BY_TRYING = ("roberta-decoder", "camembert-decoder", "longcat", "dbrx")
BY_NAME = {
    "recurrent": "falcon_h1 falcon_mamba jamba kimi_linear lfm2_moe mamba2 minimax nemotron_h olmo_hybrid qwen3_next "
    "xlstm zamba zamba2",
    "encoder-decoder": "bigbird_pegasus blenderbot marian mbart mvp plbart prophetnet",
    "multimodal": "mllama whisper",
    "no key-value cache": "reformer xlm",
}


@pytest.mark.parametrize(("said", "kind"), [(said, kind) for said, kinds in BY_NAME.items() for kind in kinds.split()])
def test_usual_settings_of_what_cannot_be_trained_give_it_away(said, kind):
    assert said in model_files.refusal(AutoConfig.for_model(kind).to_dict())


@pytest.mark.parametrize("name", sweep(REFUSED, ["t5", "bert", "roberta-decoder"]))
def test_what_cannot_be_trained_is_refused_by_what_it_is_before_a_run_is_made(name, byte_level_model, tmp_path, capsys):
    folder, runs = save(name, tmp_path / "model", byte_level_model), tmp_path / "runs"
    assert main(["train", "--model", str(folder), "--runs-dir", str(runs), "--steps", "1"]) == 2
    said = capsys.readouterr().err
    assert REFUSED[name][2] in said
    assert said.startswith(f"error: the model in {folder} ")
    assert "object has no attribute" not in said
    assert said.rstrip().endswith(("such as Llama, Qwen, Mistral or GPT-2.", "by itself and give that folder."))
    assert said.count("\n") == 1
    assert not runs.exists()


@pytest.mark.parametrize("name", sweep([n for n in REFUSED if n not in FOUND_BY_TRYING], ["t5", "bert"]))
def test_a_job_of_what_its_files_say_cannot_be_trained_makes_no_run(name, byte_level_model, tmp_path):
    """The road of the pages: no torch is needed to refuse."""
    folder = save(name, tmp_path / "model", byte_level_model)
    with pytest.raises(ValueError, match=REFUSED[name][2]):
        RunsDir(tmp_path / "runs").submit([small(), small(model=str(folder))])
    assert not (tmp_path / "runs").exists()


# ---- several end tokens


@pytest.mark.parametrize("where", ["config.json", "generation_config.json"])
def test_every_end_token_that_the_files_name_ends_a_solution(where, tmp_path):
    """The bundled weights, whose own end is 18, in a folder whose tokenizer has another one: accuracy stays."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from vimpo_core.measure import evaluate

    bundled = loading.load()
    model = AutoModelForCausalLM.from_pretrained(sources.find())
    model.resize_token_embeddings(20, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[19] = -model.get_input_embeddings().weight[18]  # never drawn
    backend = Tokenizer.from_str(bundled.tokenizer.backend_tokenizer.to_str())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<pad>", pad_token="<pad>", eos_token="</s>"
    )
    model.generation_config.eos_token_id = model.config.eos_token_id = 19
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    change(tmp_path / where, eos_token_id=[19, 18])
    found = loading.load(str(tmp_path))
    assert found.end_ids == (19, 18)
    assert models.encode_completion(found, "62.", ".") == models.encode_completion(bundled, "62.", ".")
    task = ChainTask(4)
    of = [evaluate.while_training(m, m.model, task, 64, 0)["greedy_accuracy"] for m in (bundled, found)]
    assert of[0] == of[1] > 0.7


def change(path, **settings) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
