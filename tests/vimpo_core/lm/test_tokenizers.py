"""Whatever the tokenizer: a completion is a text that goes on. What it reads as, how it is typed again, where it goes
wrong.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers import models as kinds
from transformers import CTRLTokenizer, PreTrainedTokenizerFast

from tests.support.real import small, solutions
from tests.support.tiny import save
from vimpo_core.lm import loading, model_trial, models
from vimpo_core.lm.traces import token_of_character
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service.scoring import score_solution
from vimpo_core.solutions import pieces
from vimpo_core.solutions.steps import mistake_note, step_starts
from vimpo_core.tasks.chain import ChainTask, first_wrong
from vimpo_core.types import CreditTrace, StopReason

TEXTS = [prompt + solution for prompt, solution in solutions(ChainTask(4), 60)]
SPACED = [text.replace(";", " ").replace("=", "= ") for text in TEXTS]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def begins_with(tokenizer) -> None:
    """The post-processor of Llama and Gemma: a begin token in front of every text."""
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=ids)


def unigram(prepend="always"):
    """SentencePiece-like: spaces are written into the tokens, one is put in front of every text."""
    tokenizer = Tokenizer(kinds.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=prepend)
    alphabet = [*"0123456789+-*=;,/.", "▁"]
    special = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        SPACED,
        trainers.UnigramTrainer(
            vocab_size=80,
            special_tokens=special,
            unk_token="<unk>",
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    begins_with(tokenizer)
    return tokenizer


def llama_like():
    """BPE on bytes as a fall-back, the space put in front by the normalizer and taken away by the decoder."""
    tokens = ["<unk>", "<s>", "</s>", *BYTES, *"0123456789+-*=;,/.", "▁", "▁9", ";1", "12"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        kinds.BPE(
            vocabulary,
            [("▁", "9"), (";", "1"), ("1", "2")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    begins_with(tokenizer)
    return tokenizer


def byte_level(add_prefix_space):
    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<unk>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def word_piece():
    tokenizer = Tokenizer(
        kinds.WordLevel(
            {"<unk>": 0, "<s>": 1, "</s>": 2} | {c: i + 3 for i, c in enumerate("0123456789+-*=;,/.")},
            "<unk>",
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


MADE = {
    "unigram": unigram,
    "unigram, first": lambda: unigram("first"),
    "llama": llama_like,
    "byte level": lambda: byte_level(False),
    "byte level, prefix space": lambda: byte_level(True),
}
_known = {}


def language_model(name):
    if name not in _known:
        if name == "bundled":
            _known[name] = loading.load()
        else:
            made = {**MADE, "word piece": word_piece}[name]()
            fast = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
            _known[name] = models.LanguageModel(None, None, fast, name)
    return _known[name]


EVERY = pytest.mark.parametrize("name", [*MADE, "bundled"])


@EVERY
@given(text=st.text("0123456789+-*=;,/", max_size=30), end=st.sampled_from(["", "."]))
def test_a_typed_completion_comes_back_as_it_was_typed(name, text, end):
    policy = language_model(name)
    ids = models.encode_completion(policy, text + end, ".")
    assert models.completion_text(policy, ids, ".") == text + end
    assert "".join(models.token_texts(policy, ids[: len(ids) - len(end)])) == text


@EVERY
@given(chance=st.randoms(use_true_random=False))
def test_the_tokens_of_a_sampled_completion_read_as_its_text_does(name, chance):
    """Any tokens in any order, but for bytes that are no characters."""
    policy = language_model(name)
    whole = [i for i in range(len(policy.tokenizer)) if "<0x" not in policy.text_of(i)]
    ids = [chance.choice(whole) for _ in range(12)]
    texts = models.token_texts(policy, ids)
    assert len(texts) == len(ids)
    ends = [policy.text_of(i) for i in policy.end_ids if i == ids[-1]]
    assert "".join(texts) == models.completion_text(policy, ids, ends[0] if ends else "")


@pytest.mark.parametrize("name", ["unigram", "llama"])
def test_spaces_between_numbers_stay_and_the_first_token_has_its_own(name):
    """ "24 3 62" used to be shown as "24362", and a solution typed in got a space in front."""
    policy = language_model(name)
    ids = models.encode(policy, "24 3 62")
    assert models.completion_text(policy, ids, ".") == "".join(models.token_texts(policy, ids)) == "24 3 62"
    spaced = models.encode(policy, " 9+2")
    assert models.completion_text(policy, spaced, ".") == " 9+2"
    assert spaced != models.encode(policy, "9+2")


@EVERY
def test_a_prompt_begins_as_the_tokenizer_begins_it(name):
    policy = language_model(name)
    ids = models.encode_prompt(policy, "9+2=")
    assert ids == tuple(policy.tokenizer("9+2=")["input_ids"])
    begins = name in ("unigram", "unigram, first", "llama")
    assert (policy.tokenizer.bos_token_id in ids) == (begins and ids[0] == policy.tokenizer.bos_token_id) == begins
    assert policy.tokenizer.bos_token_id not in models.encode(policy, "9+2=") or not begins


@pytest.fixture
def llama_folder(byte_level_model, tmp_path):
    """A tiny Llama on the Llama-like tokenizer."""
    folder = save("llama", tmp_path / "model", byte_level_model, eos_token_id=2)
    language_model("llama").tokenizer.save_pretrained(folder)
    return folder


def test_a_run_records_the_begin_token_in_its_prompts_and_scores_as_it_sampled(llama_folder, tmp_path):
    runs = RunsDir(tmp_path / "runs")
    runs.submit([small(model=str(llama_folder), steps=1, snapshot_every=1)])
    worker.main(runs.path)
    store = runs.open("vimpo-1")
    assert store.header()["begin_ids"] == [1] and store.header()["end_ids"] == [2]
    for trace in store.traces(1)[:4]:
        assert trace.prompt_ids[0] == 1 and 1 not in trace.prompt_ids[1:]
        ids = tuple(map(int, trace.ids))
        (scored,) = score_solution(store.run_dir, 1, trace.prompt_text, trace.completion_text, ids=ids)
        assert scored.prompt_ids == trace.prompt_ids
        np.testing.assert_allclose(scored.logprob, trace.logprob, rtol=0, atol=1e-5)
        assert scored.text == trace.text
        seen = models.token_texts(language_model("llama"), trace.prompt_ids)
        assert seen[0] == "<s>" and scored.prompt_pieces == seen
        assert trace.prompt_pieces == (seen if trace.sample_idx == 0 else ()), "once for a group"


def test_a_run_begun_without_the_begin_token_is_not_gone_on_with(llama_folder, tmp_path):
    runs = RunsDir(tmp_path / "runs")
    runs.submit([small(model=str(llama_folder), steps=2)])
    trainer = worker.make_trainer(runs.open("vimpo-1").config(), None)
    with runs.open_writable("vimpo-1") as store, store.lock():
        store.update_header({k: v for k, v in trainer.header.items() if k not in ("begin_ids", "end_ids")})
        store.commit_step(trainer.step())  # as a version did that did not say them
        with pytest.raises(
            ValueError,
            match=r"was begun with begin tokens \[\] and end tokens \[2\]; its model's files name \[1\]",
        ):
            worker.trainer_of(store, worker.make_trainer)


def test_an_end_token_that_the_tokenizer_adds_behind_is_not_part_of_a_prompt():
    tokenizer = llama_like()
    special = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=special)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    policy = models.LanguageModel(None, None, fast, "test")
    assert models.encode_prompt(policy, "9+2=") == models.encode_prompt(language_model("llama"), "9+2=")


def test_the_bundled_models_prompts_are_what_they_were():
    assert models.encode_prompt(language_model("bundled"), "9+2*3=") == (10, 11, 3, 13, 4, 14)


@pytest.mark.parametrize("name", ["llama", "byte level"])
def test_bytes_that_are_shown_go_back_as_the_characters_they_are(name):
    policy = language_model(name)
    ids = models.encode_completion(policy, "9é;1.", ".")
    assert models.token_texts(policy, ids)[1:3] == ("<0xC3>", "<0xA9>")
    shown = "".join(models.token_texts(policy, ids))
    assert "<0xC3><0xA9>" in shown
    assert models.encode_completion(policy, shown, ".") == ids
    assert "".join(models.token_texts(policy, models.encode(policy, "<0xC3>"))) == "<0xC3>"  # no character: as typed


@pytest.mark.parametrize("name", ["llama", "byte level", "byte level, prefix space"])
@given(text=st.text("0129+;= \n\u00e9\u20ac\U0001f642\u4f60", min_size=1, max_size=20), keep=st.integers(1, 30))
def test_whatever_was_cut_and_shown_is_typed_back_as_the_same_tokens(name, text, keep):
    """A solution may end inside a character; leading spaces, line breaks and bytes come back, whichever way they are
    written."""
    policy = language_model(name)
    ids = models.encode(policy, text)[:keep]
    texts = models.token_texts(policy, ids)
    assert models.encode_completion(policy, "".join(texts), ".") == ids
    assert models.encode_completion(policy, pieces.readable(texts), ".") == ids


@pytest.mark.parametrize("name", ["llama", "byte level"])
def test_the_mistake_is_found_behind_characters_that_are_cut_into_bytes(name):
    policy = language_model(name)
    text = "\u20ac,\U0001f6423"
    texts = models.token_texts(policy, models.encode(policy, text))
    assert len(texts) > len(text)
    held = [texts[token_of_character(texts, character)] for character in range(len(text))]
    assert held == ["<0xE2>", ",", "<0xF0>", "3"]


def test_token_texts_of_many_cut_characters_are_read_in_one_go(monkeypatch):
    """Each token used to be read by decoding all tokens before it again."""
    policy = language_model("byte level")
    ids = models.encode(policy, "\U0001f642 9+2;" * 50)
    models.token_texts(policy, ids)
    counted = []
    decode = models.decoded
    monkeypatch.setattr(models, "decoded", lambda *given: counted.append(1) or decode(*given))
    assert pieces.readable(models.token_texts(policy, ids)) == "\U0001f642 9+2;" * 50
    assert len(counted) == 1


@EVERY
def test_the_mistake_is_on_the_token_that_holds_it(name):
    policy, prompt, solution = language_model(name), "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."
    ids = models.encode_completion(policy, solution, ".")
    texts = models.token_texts(policy, ids)
    character = first_wrong(prompt, models.completion_text(policy, ids, "."))
    token = token_of_character(texts, character)
    start = len("".join(texts[:token]))
    assert character == 17
    assert start <= character < start + len(texts[token])


@pytest.mark.parametrize("name", ["unigram", "llama", "byte level"])
def test_steps_and_the_mistakes_words_do_not_depend_on_the_end_token(name):
    policy, prompt, solution = language_model(name), "9+2+9+7*6=", "9+2+9+42;11+9+42;20+42;52."
    ids = models.encode_completion(policy, solution, ".")
    texts = models.token_texts(policy, ids)
    trace = CreditTrace(
        step=0,
        group_id=0,
        sample_idx=0,
        prompt_text=prompt,
        prompt_ids=(),
        gold="62",
        reward=0.0,
        group_mean_reward=0.0,
        finish_reason=StopReason.EOS,
        ids=np.array(ids),
        text=texts,
        mask=np.ones(len(ids), dtype=bool),
        first_wrong=len(ids) - 2,
    )
    assert texts[-1] == "</s>"
    assert mistake_note(trace) == "20+42 became 52"
    starts = step_starts(trace)
    assert len(starts) == 4
    offsets = np.cumsum([0, *map(len, texts)])
    for start, character in zip(starts, (0, 9, 17, 23), strict=True):
        assert offsets[start] <= character < offsets[start + 1]


def test_a_tokenizer_that_changes_texts_is_told_so():
    """Joining by spaces is not a lack of characters."""
    with pytest.raises(
        ValueError, match=r"the model's tokenizer changes the problem: '9\+2=' comes back as '9 \+ 2 ='"
    ):
        models.encode_prompt(language_model("word piece"), "9+2=", "problem")


def test_a_task_that_the_tokenizer_cannot_say_is_refused_before_a_run():
    with pytest.raises(ValueError, match="the model's tokenizer changes the problem"):
        model_trial.check_task(language_model("word piece"), ChainTask(4))


# ---- the fingerprint


def fingerprints(tokenizer):
    policy = models.LanguageModel(None, None, tokenizer, "")
    return models.vocabulary_fingerprint(policy), models.tokenizer_fingerprint(policy)


def wrapped(tokenizer):
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


def changed(part, settings):
    """The Llama-like tokenizer with another part."""
    told = json.loads(llama_like().to_str())
    if part in told["model"]:
        told["model"][part] = settings
    else:
        told[part] = settings
    return Tokenizer.from_str(json.dumps(told))


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("merges", [[";", "1"], ["1", "2"]]),
        ("merges", [["1", "2"], [";", "1"], ["▁", "9"]]),
        ("normalizer", None),
        ("pre_tokenizer", {"type": "Digits", "individual_digits": True}),
        ("post_processor", None),
        ("decoder", {"type": "Fuse"}),
    ],
)
def test_the_fingerprint_tells_what_cuts_text_otherwise_over_one_vocabulary(part, settings):
    vocabulary, whole = fingerprints(wrapped(llama_like()))
    other_vocabulary, other = fingerprints(wrapped(changed(part, settings)))
    assert other_vocabulary == vocabulary and other != whole


def test_the_fingerprint_of_a_tokenizer_does_not_depend_on_what_was_asked_of_it():
    tokenizer = wrapped(llama_like())
    tokenizer.add_special_tokens({"pad_token": "<s>"})
    before = fingerprints(tokenizer)
    tokenizer(["9+2=", "9="], padding=True, truncation=True, max_length=2)
    assert fingerprints(tokenizer) == before == fingerprints(tokenizer)


def test_merges_of_a_tokenizer_in_python_are_told_too(tmp_path):
    tokens = ["<unk>", "</s>", "1", "2", "1@@", "2@@", "1</w>", "12", "2</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))

    def made(merges):
        (tmp_path / "merges.txt").write_text("#version\n" + "".join(f"{merge}\n" for merge in merges))
        return CTRLTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))

    one, other = (fingerprints(made(merges)) for merges in (["1 2</w>"], ["2 1</w>"]))
    assert one[0] == other[0] and one[1] != other[1]
    assert fingerprints(made(["1 2</w>"])) == one
