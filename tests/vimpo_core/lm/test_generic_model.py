"""Nothing assumes the bundled vocabulary: the same code on a random GPT-2 with a byte-level BPE tokenizer, whose tokens
hold several characters, or half a one. And what is refused of a model folder.
"""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tests.support.real import small
from vimpo_core.config import TrainConfig
from vimpo_core.lm import loading, models, sampler, scores
from vimpo_core.lm.traces import token_of_character, trace_of_text
from vimpo_core.reports import evaluate_run, solution_report
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.snapshots import load_snapshot
from vimpo_core.service.scoring import score_solution
from vimpo_core.tasks.chain import ChainTask, problem_from
from vimpo_core.trainer import Trainer
from vimpo_core.types import RunState, StopReason

PROMPT, SLIP = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."


def config_for(folder, **changes) -> TrainConfig:
    """A random model is never right: flipped rewards give it something to learn from."""
    return small(model=str(folder), reward_noise=0.4, **changes)


@pytest.fixture(scope="module")
def policy(byte_level_model):
    models.single_thread()
    return loading.load_policy(config_for(byte_level_model))


@pytest.fixture(scope="module")
def qwen(byte_level_model, tmp_path_factory):
    """Another architecture on the same tokenizer: grouped key-value heads, projections with biases."""
    folder = tmp_path_factory.mktemp("qwen")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(byte_level_model / name, folder / name)
    language_model = loading.load(str(byte_level_model))
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=language_model.model.config.vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=language_model.eos_id,
        )
    )
    model.save_pretrained(folder)
    return folder


def typed_trace(policy, solution, prompt=PROMPT):
    """The trace of a typed solution, as the scoring service makes it."""
    batch = scores.make_batch(
        [models.encode(policy, prompt)], [models.encode_completion(policy, solution, ".")], policy.pad_id
    )
    return trace_of_text(policy, ChainTask(5), 0, problem_from(prompt), batch, scores.score(policy, batch, top_k=3))


# ---- tokens


def test_the_second_model_has_tokens_of_several_characters(policy):
    """Else the tests below would show nothing."""
    texts = models.token_texts(policy, models.encode(policy, PROMPT))
    assert "".join(texts) == PROMPT
    assert max(map(len, texts)) > 1


def test_the_end_token_is_the_models_and_reads_as_the_tasks_mark(policy):
    ids = models.encode_completion(policy, SLIP, ".")
    assert ids[-1] == policy.eos_id
    assert models.token_texts(policy, ids)[-1] == "<|endoftext|>"
    assert models.completion_text(policy, ids, ".") == SLIP
    assert models.completion_text(policy, ids[:-1], ".") == SLIP[:-1]
    assert models.encode_completion(policy, "62", ".") == models.encode(policy, "62")


@pytest.mark.parametrize("text", ["62 é.", "62 – ٣.", "\U0001f600.", "a\tb\n.", "\u202e1\x00."])
def test_any_unicode_is_said_and_comes_back_whole(policy, text):
    ids = models.encode_completion(policy, text, ".")
    assert models.completion_text(policy, ids, ".") == text


def test_tokens_that_are_half_a_character_show_their_bytes(policy):
    """The tokenizer saw no accents, so \u00e9 is its two UTF-8 bytes, C3 A9, and \u2013 its three, E2 80 93."""
    assert models.token_texts(policy, models.encode(policy, "1é")) == ("1", "<0xC3>", "<0xA9>")
    assert models.token_texts(policy, models.encode(policy, "–")) == ("<0xE2>", "<0x80>", "<0x93>")


def test_every_token_of_the_vocabulary_has_a_text(policy):
    texts = models.token_texts(policy, range(policy.model.config.vocab_size))
    assert all(texts)
    assert not any("\ufffd" in text for text in texts)


SENTENCEPIECE = {"<unk>": 0, "<0xC3>": 1, "<0xA9>": 2, "9": 3, "</s>": 4}


def test_sentencepiece_bytes_are_shown_as_they_are_named():
    from tokenizers import Tokenizer, decoders
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(kinds.BPE(SENTENCEPIECE, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    language_model = models.LanguageModel(None, None, fast, "test")
    assert models.token_texts(language_model, [3, 1, 2]) == ("9", "<0xC3>", "<0xA9>")
    assert models.encode(language_model, "9é") == (3, 1, 2)


def test_characters_outside_the_vocabulary_are_named(fresh_policy):
    with pytest.raises(ValueError) as caught:
        models.encode(fresh_policy, "9+é2\u202ex", "solution")
    assert str(caught.value) == (
        "the solution has 'x', 'é', '\\u202e', which is outside the model's vocabulary. Remove or replace it."
    )


@pytest.mark.parametrize("text", ["<pad>", "9<pad>", "\n", " ", "１", "9+2 "])
def test_the_bundled_model_refuses_what_it_cannot_say(fresh_policy, text):
    with pytest.raises(ValueError, match="outside the model's vocabulary"):
        models.encode(fresh_policy, text)


# ---- where a solution goes wrong


@pytest.mark.parametrize(
    ("text", "character", "token"),
    [
        (("9+", "2", ";1"), None, None),
        (("9+", "2", ";1"), 0, 0),
        (("9+", "2", ";1"), 1, 0),
        (("9+", "2", ";1"), 2, 1),
        (("9+", "2", ";1"), 3, 2),
        (("9+", "2", ";1"), 4, 2),
        (("9+", "2", ";1"), 5, None),
        ((), 0, None),
    ],
)
def test_a_character_belongs_to_the_token_that_holds_it(text, character, token):
    assert token_of_character(text, character) == token


def test_the_first_wrong_token_holds_the_first_wrong_character(policy):
    """Character 17 of the example, wherever the merges happen to cut."""
    trace = typed_trace(policy, SLIP)
    before = "".join(trace.text[: trace.first_wrong])
    assert len(before) <= 17 < len(before) + len(trace.text[trace.first_wrong])
    assert trace.first_wrong < 17  # several characters a token
    assert (trace.status, trace.answer, trace.gold) == ("incorrect", "52", "62")


@pytest.mark.parametrize(
    ("solution", "wrong_text"),
    [
        ("9+2+9+42;11+9+42;20+42;62.", None),
        ("9+2+9+42.", "<|endoftext|>"),  # the end comes too early
        ("9+2+9+42;é", "<0xC3>"),
        ("é9+2", "<0xC3>"),
    ],
)
def test_ends_and_half_characters_are_found_too(policy, solution, wrong_text):
    trace = typed_trace(policy, solution)
    assert (None if trace.first_wrong is None else trace.text[trace.first_wrong]) == wrong_text


# ---- scoring and sampling


def test_a_typed_solution_gets_every_number(policy):
    trace = typed_trace(policy, SLIP + "")
    length = len(trace.text)
    assert length < len(SLIP)
    for name in ("logprob", "ref_logprob", "kl", "entropy"):
        array = getattr(trace, name)
        assert array.shape == (length,)
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
        assert trace.provenance[name] == "recomputed"
    assert trace.provenance["sampler_logprob"] == "missing"
    assert trace.sampler_logprob is None
    assert math.isnan(trace.group_mean_reward)
    assert trace.topk.ids.shape == (length, 6)
    assert [len(line) for line in trace.topk.text] == [6] * length
    report = solution_report(trace, 0.1, "run")
    json.dumps(report, allow_nan=False)
    assert [t["text"] for t in report["tokens"]] == list(trace.text)


@pytest.mark.parametrize("which", ["byte_level_model", "qwen"])
def test_padding_at_the_left_and_the_cache_change_no_token(which, request):
    policy = loading.load_policy(config_for(request.getfixturevalue(which)))
    prompts = [models.encode(policy, p) for p in ("9+2+9+7*6=", "1+1=", "8*9-7+1=")]
    assert len({len(p) for p in prompts}) > 1
    with models.merged(policy) as model:
        options = {"end_ids": policy.end_ids, "pad_id": policy.pad_id, "seed": 3, "max_new_tokens": 20}
        together = sampler.sample(model, prompts, 2, **options)
        alone = sampler.sample(model, prompts[:1], 2, **options)
    assert [r.ids for r in alone] == [r.ids for r in together[:2]]
    batch = scores.make_batch([r.prompt_ids for r in together], [r.ids for r in together], policy.pad_id)
    measured = scores.score(policy, batch).logprobs.numpy()
    for row, rollout in enumerate(together):
        # Float32: logits of a random model are small, rounding stays near 1e-6.
        np.testing.assert_allclose(rollout.sampler_logprob, measured[row, : len(rollout.ids)], rtol=0, atol=1e-5)


# ---- training


@pytest.mark.parametrize("which", ["byte_level_model", "qwen"])
@pytest.mark.parametrize("algorithm", ["vimpo", "grpo"])
def test_both_algorithms_train_it(which, algorithm, request):
    trainer = Trainer(config_for(request.getfixturevalue(which), algorithm=algorithm, steps=2, snapshot_every=1))
    records = [trainer.step() for _ in range(3)]
    assert trainer.done
    assert records[0].metrics["kl_mean"] == 0.0
    assert records[2].metrics["kl_mean"] > 0.0
    assert all(r.metrics["grad_norm"] > 0 for r in records)
    task = trainer.task
    for trace in (t for r in records for t in r.traces):
        assert len(trace.text) == len(trace.ids) == len(trace.logprob)
        assert trace.text == models.token_texts(trainer.policy, trace.ids)
        whole = models.completion_text(trainer.policy, trace.ids, task.end)
        wrong_at = task.first_wrong(problem_from(trace.prompt_text), whole)
        assert wrong_at is not None
        if trace.finish_reason is StopReason.EOS:
            assert trace.text[-1] == "<|endoftext|>"
        # Everything before the first wrong character is whole characters of the task, so lengths add up.
        before = "".join(trace.text[: trace.first_wrong])
        assert before == whole[: len(before)]
        assert len(before) <= wrong_at


def test_resuming_it_is_bit_for_bit(byte_level_model):
    config = config_for(byte_level_model, steps=2, micro_batch_size=5)
    trainer = Trainer(config)
    states = [trainer.step().resume_state for _ in range(3)]
    resumed = Trainer(config, states[0])
    assert [resumed.step().resume_state for _ in range(2)] == states[1:]


def test_a_run_of_it_is_stored_evaluated_and_scored(byte_level_model, tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([config_for(byte_level_model, steps=2)])
    worker.main(tmp_path)
    store = runs.open("vimpo-1")
    assert store.state() == RunState.FINISHED
    assert store.header()["model"]["id"] == str(byte_level_model)
    report = evaluate_run(store, prompts=8)
    assert report["sampled_accuracy"] == 0.0
    assert 0 < report["sampled_high"] < 1
    (trace,) = score_solution(store.run_dir, 2, PROMPT, SLIP[:-1] + "é.")
    assert trace.text[-3:] == ("<0xC3>", "<0xA9>", "<|endoftext|>")
    assert load_snapshot(store.run_dir, 2).source == str(byte_level_model)


# ---- what is refused of a folder


def test_a_folder_without_a_config_is_named_with_the_way_out(tmp_path):
    with pytest.raises(ValueError) as caught:
        loading.load(str(tmp_path / "nowhere"))
    assert str(caught.value) == (
        f"no model at {tmp_path / 'nowhere'}: config.json is missing. Give a folder in transformers format."
    )


def test_weights_that_can_hold_code_are_refused(byte_level_model, tmp_path):
    """A pickle is a program: loading it would run it."""
    folder = copied(byte_level_model, tmp_path)
    (folder / "model.safetensors").unlink()
    canary = tmp_path / "ran"
    torch.save({"x": RunsWhenLoaded(str(canary))}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no weights in safetensors, and no other format is loaded"):
        loading.load(str(folder))
    assert not canary.exists()


class RunsWhenLoaded:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_that_comes_with_a_model_never_runs(byte_level_model, tmp_path):
    folder, canary = copied(byte_level_model, tmp_path), tmp_path / "ran"
    for name in ("configuration_evil.py", "modeling_evil.py"):
        (folder / name).write_text(f"open({str(canary)!r}, 'w').close()\n", encoding="utf-8")
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"},
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        loading.load(str(folder))
    assert not canary.exists()
    assert "\n" not in str(caught.value)
    assert "trust_remote_code" not in str(caught.value)  # what cannot be had is not offered


def test_a_tokenizer_without_an_end_token_is_refused(byte_level_model, tmp_path):
    folder = copied(byte_level_model, tmp_path)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ValueError, match=r"the tokenizer in .* has no end token, where the value is anchored"):
        loading.load(str(folder))


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_model_folder_is_one_sentence(byte_level_model, tmp_path, damage):
    folder = copied(byte_level_model, tmp_path)
    whole = (folder / damage).read_bytes()
    (folder / damage).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError) as caught:
        loading.load(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_graphics_card_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device cuda was asked for, but torch finds no CUDA device here"):
        loading.load(device="cuda")


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")
