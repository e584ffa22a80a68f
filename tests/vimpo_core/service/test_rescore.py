"""Solutions that another tool recorded, scored again: the same numbers, checks that say what they find, all or none."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.real import SMALL
from vimpo_core.formats import adapter_folder
from vimpo_core.formats.outgoing import run_export
from vimpo_core.lm import rescoring
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import RunStore
from vimpo_core.service import models_beside, rescore
from vimpo_core.service.rescore import Asked, places_of
from vimpo_core.solutions.pieces import readable
from vimpo_core.types import StepRecord

ARRAYS = ("logprob", "ref_logprob", "kl", "entropy")
BARE = dict.fromkeys((*ARRAYS, "sampler_logprob", "topk", "collision", "top_k_kl")) | {"provenance": {}}


@pytest.fixture(scope="module")
def trained(real_run, tmp_path_factory):
    """The last solutions of a run of the lab, and its adapter as other tools would have saved it."""
    store = RunStore.open(real_run)
    checkpoint = tmp_path_factory.mktemp("training") / "checkpoint-3"
    adapter_folder.write(store, 4, checkpoint)
    return store.traces(4), checkpoint


@pytest.fixture
def brought(tmp_path):
    """Makes a run of another tool that holds these solutions."""

    def make(traces, **header):
        header = {"imported": {"tool": "TRL", "folder": None}, "temperature": None, **header}
        with RunStore.create(tmp_path / "brought-1", SMALL, header) as store:
            store.commit_step(StepRecord(4, {}, {}, list(traces), b""))
        return store

    return make


def text_alone(trace, ends=True):
    """As TRL writes it: no tokens, no end token, no word of how it ended."""
    text = readable(trace.text[:-1] if ends else trace.text)
    return trace.with_(
        **BARE | {"provenance": {"ids": "missing"}},
        ids=np.full(1, -1, np.int32),
        text=(text,),
        mask=np.ones(1, bool),
        prompt_ids=(),
        prompt_pieces=(),
        finish_reason=None,
    )


def test_a_run_of_the_labs_own_gets_its_numbers_back(trained, brought):
    traces, checkpoint = trained
    store = brought([t.with_(**BARE) for t in traces])
    asked = Asked(str(checkpoint), places_of(traces))
    note = rescore.rescore(store.run_dir, asked)
    assert (note["rows"], note["temperature"], note["reference"]) == (len(traces), 1.0, "bundled")
    again = store.traces(4)
    for was, now in zip(traces, again, strict=True):
        assert (now.text, now.prompt_ids, now.prompt_pieces) == (was.text, was.prompt_ids, was.prompt_pieces)
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(now, name), getattr(was, name), atol=2e-5, err_msg=name)
        np.testing.assert_array_equal(now.topk.ids[:, :3], was.topk.ids[:, :3])
    assert again[0].provenance["kl"] == "recomputed (checkpoint-3 against the bundled model, temperature 1)"
    assert store.recorded_trace(4, 0, 0).logprob is None
    rescore.undo(store.run_dir)
    assert store.traces(4)[0].logprob is None


def test_the_temperature_of_recorded_logprobs_is_found_and_used(trained, brought, scored_at):
    traces, checkpoint = trained
    cold = [t.with_(**BARE | {"logprob": a}) for t, a in zip(traces, scored_at(checkpoint, traces, 0.7), strict=True)]
    store = brought(cold)
    asked = Asked(str(checkpoint), places_of(traces[:5]))
    found = rescore.look(store.run_dir, asked)
    assert (found.temperature, found.is_doubtful) == (0.7, False)
    assert "fit temperature 0.7" in found.sentences[0]
    assert found.difference[1] < 1e-4
    rescore.rescore(store.run_dir, asked)
    now = store.traces(4)[0]
    np.testing.assert_allclose(now.logprob, cold[0].logprob, atol=2e-5)
    np.testing.assert_array_equal(now.sampler_logprob, cold[0].logprob)
    assert now.provenance["logprob"] == "recomputed (checkpoint-3, temperature 0.7)"
    assert now.provenance["sampler_logprob"] == "recorded"


@pytest.fixture(scope="module")
def scored_at():
    """log pi of recorded tokens at a temperature, by plain softmax one row at a time."""
    import torch

    from vimpo_core.lm import loading

    def score(checkpoint, traces, temperature):
        policy = loading.load_pair(str(checkpoint))
        for t in traces:
            ids = torch.tensor([[*t.prompt_ids, *t.ids.tolist()]])
            with torch.no_grad():
                logits = policy.model(input_ids=ids).logits[0, len(t.prompt_ids) - 1 : -1]
            logp = torch.log_softmax(logits / temperature, -1).gather(-1, ids[0, len(t.prompt_ids) :, None])
            yield logp[:, 0].numpy()

    return score


def test_another_model_is_said_and_another_tokenizer_refused(trained, brought, byte_level_model):
    traces, checkpoint = trained
    wrong = [t.with_(logprob=t.logprob - 2 + np.sin(np.arange(len(t.ids), dtype=np.float32))) for t in traces]
    store = brought(wrong)
    found = rescore.look(store.run_dir, Asked(str(checkpoint), places_of(traces)))
    assert found.is_doubtful
    assert "do not fit this model" in found.sentences[0]
    with pytest.raises(Mistake, match=r"another tokenizer's ids: .* was recorded as"):
        rescore.look(store.run_dir, Asked(str(byte_level_model), places_of(traces)))
    beyond = traces[0].with_(ids=np.full_like(traces[0].ids, 999))
    shutil.rmtree(store.run_dir)
    with pytest.raises(Mistake, match="token 999, and the model knows 0 to"):
        rescore.look(brought([beyond]).run_dir, Asked(str(checkpoint), places_of([beyond])))


def test_of_text_alone_it_is_said_whose_tokens_are_known(trained, brought):
    traces, checkpoint = trained
    ended = [t for t in traces if t.finish_reason == "eos"][:4]
    texts = [text_alone(t) for t in ended]
    count = len(ended[0].ids) - 1
    texts[0] = texts[0].with_(extras={"tokens": count})
    texts[1] = texts[1].with_(extras={"tokens": count + 9})
    store = brought(texts)
    asked = Asked(str(checkpoint), places_of(texts))
    found = rescore.look(store.run_dir, asked)
    assert found.same == {"recorded": 0, "agrees": 1, "differs": 1, "unknown": 2}
    assert (found.unended, found.difference, found.is_doubtful) == (4, None, False)
    rescore.rescore(store.run_dir, asked)
    for was, now in zip(ended, store.traces(4), strict=True):
        assert now.ids.tolist() == was.ids[:-1].tolist()  # no end token was made up
        np.testing.assert_allclose(now.logprob, was.logprob[:-1], atol=2e-5)
    rescore.rescore(store.run_dir, dataclasses.replace(asked, as_ended=True))
    assert store.traces(4)[3].ids.tolist() == ended[3].ids.tolist()
    assert store.recorded_trace(4, texts[3].group_id, texts[3].sample_idx).text == texts[3].text


def test_a_scoring_that_is_ended_shows_nothing_and_goes_on_with_what_it_had(trained, brought, monkeypatch):
    traces, checkpoint = trained
    store = brought([t.with_(**BARE) for t in traces])
    asked, told = Asked(str(checkpoint), places_of(traces)), []
    monkeypatch.setattr(rescoring, "_STATE_TOKENS", 64)
    monkeypatch.setattr(rescoring, "_LOGIT_ROOM", 4096)

    def ended(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rescore.rescore(store.run_dir, asked, ended)
    again, kept = rescore.unfinished(store)
    assert (again.model, set(again.places)) == (asked.model, set(asked.places)) and 0 < kept < len(traces)
    assert (store.rescored(), store.rescored_rows(4), store.traces(4)[0].logprob) == ([], set(), None)
    assert "rescoring" not in run_export.header_of(store, [4])
    note = rescore.rescore(store.run_dir, again, lambda done, total: told.append(done / total))
    assert told[0] >= 0.4 and note["rows"] == len(store.rescored_rows(4)) == len(traces) and not note["unmoved"]
    for was, now in zip(traces, store.traces(4), strict=True):
        np.testing.assert_allclose(now.kl, was.kl, atol=2e-5)
    assert rescore.unfinished(store) is None


def test_another_scoring_drops_what_an_ended_one_had(trained, brought):
    traces, checkpoint = trained
    store = brought([t.with_(**BARE) for t in traces])
    with RunStore.open(store.run_dir, writable=True) as writable:
        begun, _ = writable.begin_rescoring({"key": "one"})
        writable.keep_rescored(traces[:3], begun)
        assert writable.begin_rescoring({"key": "two"}) == ({"key": "two"}, set())
        with pytest.raises(Mistake, match="another re-scoring of run brought-1 was begun"):
            writable.keep_rescored(traces[:3], begun)
    note = rescore.rescore(store.run_dir, Asked(str(checkpoint), places_of(traces[:2])))
    assert (note["rows"], len(store.rescored_rows(4))) == (2, 2)


def test_a_whole_model_against_another_reference(trained, brought):
    """Policy and reference are two networks; without a reference its arrays stay missing."""
    traces, checkpoint = trained
    store = brought([t.with_(**BARE) for t in traces])
    places = places_of(traces[:2])
    alone = rescore.rescore(store.run_dir, Asked("bundled", places))
    assert alone["reference"] is None
    assert (store.traces(4)[0].kl, store.traces(4)[0].topk.logprob.shape[1]) == (None, 10)
    rescore.rescore(store.run_dir, Asked("bundled", places, reference=str(checkpoint)))
    now, was = store.traces(4)[0], traces[0]
    np.testing.assert_allclose(now.logprob, was.ref_logprob, atol=2e-5)
    np.testing.assert_allclose(now.ref_logprob, was.logprob, atol=2e-5)


def test_a_prompt_that_begins_with_the_first_tokens_own_text_does_not_get_it_twice():
    def read(text):
        return {"input_ids": [1, *([1, 7] if text.startswith("<s>") else [7])]}

    read.bos_token_id = 1
    policy, trace = SimpleNamespace(tokenizer=read), SimpleNamespace(prompt_messages=(), prompt_text="<s>a")
    assert rescoring._prompt_ids(policy, trace) == (1, 7)
    assert rescoring._prompt_ids(policy, SimpleNamespace(prompt_messages=(), prompt_text="a")) == (1, 7)


def test_a_base_that_is_named_by_another_computers_path_is_found_by_its_name_and_said(trained, brought, tmp_path):
    traces, checkpoint = trained
    store = brought([t.with_(**BARE) for t in traces])
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint-3")
    settings = json.loads((folder / "adapter_config.json").read_text())

    def asked(base):
        (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": base}))
        return Asked(str(folder), places_of(traces[:1]))

    there = asked("C:\\home\\ann\\lab\\assets\\reference")
    assert any(
        "bundled has the same name and is taken" in said for said in rescore.look(store.run_dir, there).sentences
    )
    assert rescore.rescore(store.run_dir, there)["reference"] == "bundled"
    (found,) = models_beside.find({"folder": str(tmp_path)}, 4)[:1]
    assert (found.source, found.problem) == (str(folder), "")
    with pytest.raises(Mistake, match=r"'/home/ann/other', which is not there.* Or name the base as the reference"):
        rescore.look(store.run_dir, asked("/home/ann/other"))


def test_the_checkpoint_before_a_steps_update_comes_first(trained):
    folder = trained[1].parent
    (folder / "completions").mkdir(exist_ok=True)
    shutil.copytree(trained[1], folder / "checkpoint-10", dirs_exist_ok=True)
    for place in (folder, folder / "completions"):
        assert [one.name for one in models_beside.find({"folder": place}, 4)] == ["checkpoint-3", "checkpoint-10"]
    first, last = models_beside.find({"folder": folder}, 4)
    assert first.said(4, 3) == "checkpoint-3 (adapter): the policy that wrote step 4"
    assert last.said(4, 3) == "checkpoint-10 (adapter): 7 updates later than the policy that wrote step 4"
    assert "before that step's update, so by the policy of 3 updates" in models_beside.sentence({}, 4)
    assert [one.name for one in models_beside.find({"folder": folder}, 12)] == ["checkpoint-10", "checkpoint-3"]
    assert models_beside.base_of([first]).source == "bundled"
    assert models_beside.find({"folder": folder / "elsewhere" / "deep"}, 1) == []


def test_a_step_of_the_labs_own_was_written_by_the_policy_of_that_many_updates():
    ours = {"updates_behind": 0}
    assert models_beside.updates_of(ours, 3) == 3
    assert models_beside.sentence(ours, 3) == "The solutions of step 3 were sampled by the policy of 3 updates."


def test_only_runs_that_were_brought_are_scored_again(real_run):
    with pytest.raises(Mistake, match="was trained here"):
        rescore.look(real_run, Asked("bundled", ((4, 0, 0),)))


def test_the_widest_rewards_are_picked_first(trained):
    one = trained[0][0]
    traces = [
        one.with_(group_id=g, sample_idx=s, reward=r)
        for g, rewards in enumerate([(0, 0, 0), (0, 1, 0.5), (0.2, 0.4, 0.3)])
        for s, r in enumerate(rewards)
    ]
    picked = [(t.group_id, t.reward) for t in rescore.spread(traces, 6)]
    assert picked == [(1, 1), (1, 0), (2, 0.4), (2, 0.2), (0, 0), (0, 0)]
