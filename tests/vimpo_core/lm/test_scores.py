"""Scores: the reference is the adapter off, the KL is exact, and neither padding nor chunks nor folding shows in a
number.
"""

import numpy as np
import pytest
import torch

from tests.support.real import SMALL, in_float64, moved, solutions
from vimpo_core.lm import loading, models, scores
from vimpo_core.tasks.chain import ChainTask

TOL = 1e-9
"""Nats, in float64: the project's bar; rounding through the network stays near 1e-13."""

FLOAT32 = 1e-4
"""Nats, in float32. Rounding leaves some 2e-5 where policy and reference are far apart; half precision 1.5e-3."""


@pytest.fixture(scope="module")
def exact():
    """A moved policy in float64."""
    return in_float64(moved(SMALL))


def batch_of(policy, texts):
    """`(prompt, completion)` texts as a batch; a completion is cut into tokens as it stands."""
    return scores.make_batch(
        [models.encode(policy, p) for p, _ in texts],
        [models.encode(policy, c) for _, c in texts],
        policy.pad_id,
    )


@pytest.fixture(scope="module")
def texts():
    """Prompts and solutions of every length, so that rows start and end at different places."""
    return [pair for operands in (3, 4, 5, 6) for pair in solutions(ChainTask(operands), 2)]


def by_name(measured, names=("logprobs", "ref_logprobs", "kl", "entropy")):
    return {name: getattr(measured, name).detach().numpy() for name in names}


def assert_same(a, b, tolerance=0.0, rows=slice(None), columns=slice(None)):
    for name, values in by_name(a).items():
        np.testing.assert_allclose(
            values[rows, columns], by_name(b)[name][rows, columns], rtol=0, atol=tolerance, err_msg=name
        )


# ---- the reference


def test_an_untrained_adapter_leaves_no_trace_at_all(fresh_policy, texts):
    """Exactly zero, not nearly: a class is told that there is no credit before learning."""
    measured = scores.score(fresh_policy, batch_of(fresh_policy, texts))
    assert torch.equal(measured.logprobs, measured.ref_logprobs)
    assert not measured.kl.any()
    assert measured.entropy.any()


def test_a_moved_adapter_is_far_from_the_reference(moved_policy, texts):
    """The tests below compare policy and reference: here they must differ."""
    measured = scores.score(moved_policy, batch_of(moved_policy, texts))
    assert measured.kl.max() > 0.1
    assert (measured.logprobs - measured.ref_logprobs).abs().max() > 0.1


def test_the_reference_is_the_model_as_it_was_loaded(moved_policy, texts):
    batch = batch_of(moved_policy, texts)
    plain = loading.load()
    with torch.no_grad():
        loaded = scores.token_logprobs(scores.completion_logits(plain.model, batch), batch)
    assert torch.equal(scores.score(moved_policy, batch).ref_logprobs, loaded)


def test_training_the_adapter_never_moves_the_reference(texts):
    policy = moved(SMALL)
    batch = batch_of(policy, texts)
    before = scores.score(policy, batch)
    models.set_adapter(policy, {k: v * 3 for k, v in models.adapter_state(policy).items()})
    after = scores.score(policy, batch)
    assert torch.equal(after.ref_logprobs, before.ref_logprobs)
    assert not torch.equal(after.logprobs, before.logprobs)


# ---- the numbers


def test_every_number_equals_brute_force_token_by_token(exact, texts):
    """One forward a prefix, adapter on through peft, and sums over the vocabulary as they stand in the definition."""
    batch = batch_of(exact, texts)
    measured = by_name(scores.score(exact, batch))
    for row, (prompt, completion) in list(enumerate(texts))[::3]:
        ids, start = models.encode(exact, prompt + completion), len(prompt)
        for t, token in enumerate(ids[start:]):
            prefix = torch.tensor([ids[: start + t]])
            with torch.no_grad():
                logits = exact.model(input_ids=prefix).logits[0, -1]
                with exact.model.disable_adapter():
                    ref_logits = exact.model(input_ids=prefix).logits[0, -1]
            p, q = np.exp(logits.numpy()), np.exp(ref_logits.numpy())
            p, q = p / p.sum(), q / q.sum()
            brute = {
                "logprobs": np.log(p[token]),
                "ref_logprobs": np.log(q[token]),
                "kl": sum(p[v] * (np.log(p[v]) - np.log(q[v])) for v in range(len(p))),
                "entropy": -sum(p[v] * np.log(p[v]) for v in range(len(p))),
            }
            for name, value in brute.items():
                assert measured[name][row, t] == pytest.approx(value, abs=TOL), (name, row, t)


def test_float32_scores_are_within_rounding_of_float64(exact, moved_policy, texts):
    assert_same(
        scores.score(moved_policy, batch_of(moved_policy, texts)),
        scores.score(exact, batch_of(exact, texts)),
        FLOAT32,
    )


def test_folding_the_adapter_in_changes_no_number(exact, texts, monkeypatch):
    batch = batch_of(exact, texts)
    folded = scores.score(exact, batch)
    monkeypatch.setattr(models, "FOLD_LIMIT", 0)
    assert_same(folded, scores.score(exact, batch), TOL)


def test_the_gradient_goes_to_the_adapter_alone_and_only_through_logprobs(texts):
    policy = in_float64(moved(SMALL))
    measured = scores.score(policy, batch_of(policy, texts), with_grad=True)
    assert measured.logprobs.requires_grad
    assert not any(getattr(measured, n).requires_grad for n in ("ref_logprobs", "kl", "entropy"))
    measured.logprobs.sum().backward()
    moved_ones = {name for name, p in policy.model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved_ones == {name for name, _ in policy.model.named_parameters() if "lora_" in name}
    assert not scores.score(policy, batch_of(policy, texts)).logprobs.requires_grad


# ---- chunks and padding


@pytest.mark.parametrize("rows", [1, 3, 7, 8, 100])
def test_the_size_of_a_chunk_changes_nothing(exact, texts, rows):
    batch = batch_of(exact, texts)
    whole, chunked = scores.score(exact, batch, top_k=3), scores.score_in_chunks(exact, batch, rows, top_k=3)
    assert_same(whole, chunked, TOL)
    assert torch.equal(whole.topk_ids, chunked.topk_ids)
    for name in ("topk_logprobs", "topk_ref_logprobs"):
        torch.testing.assert_close(getattr(whole, name), getattr(chunked, name), rtol=0, atol=TOL)


@pytest.mark.parametrize("row_chunk", [1, 5, 64])
def test_the_size_of_a_vocabulary_chunk_changes_nothing(exact, texts, row_chunk):
    batch = batch_of(exact, texts)
    assert_same(scores.score(exact, batch), scores.score(exact, batch, row_chunk=row_chunk), TOL)


def test_padding_at_the_right_changes_nothing(exact, texts):
    """Each row alone, where nothing is padded, against all rows together."""
    together = scores.score(exact, batch_of(exact, texts))
    for row, pair in enumerate(texts):
        alone = scores.score(exact, batch_of(exact, [pair]))
        for name, values in by_name(alone).items():
            np.testing.assert_allclose(by_name(together)[name][row, : len(pair[1])], values[0], rtol=0, atol=TOL)
        assert not any(values[row, len(pair[1]) :].any() for values in by_name(together).values())


def test_what_stands_in_the_padding_changes_nothing(exact, texts):
    batch, other = batch_of(exact, texts), batch_of(exact, texts)
    other.prompts[other.prompt_attention == 0] = 7
    other.completion_ids[~other.completion_mask] = 7
    assert_same(scores.score(exact, batch), scores.score(exact, other))


def test_the_order_of_rows_changes_nothing(exact, texts):
    straight = scores.score(exact, batch_of(exact, texts))
    reversed_ = scores.score(exact, batch_of(exact, texts[::-1]))
    for name, values in by_name(straight).items():
        np.testing.assert_allclose(by_name(reversed_)[name][::-1], values, rtol=0, atol=TOL)


def test_a_row_without_tokens_is_a_row_of_zeros_and_disturbs_no_other(exact, texts):
    measured = scores.score(exact, batch_of(exact, [*texts, (texts[0][0], "")]), top_k=2)
    assert not any(values[-1].any() for values in by_name(measured).values())
    assert_same(measured, scores.score(exact, batch_of(exact, [*texts, texts[0]])), TOL, rows=slice(0, -1))


def test_the_batch_says_where_completions_are(fresh_policy):
    """Golden. Ids: 0 pads, a digit d is d + 1, + is 11, = is 14, the end token is 18."""
    batch = batch_of(fresh_policy, [("1+1=", "2."), ("1+1+1=", "2+1"), ("1+1=", "")])
    assert batch.prompts.tolist() == [[0, 0, 2, 11, 2, 14], [2, 11, 2, 11, 2, 14]]
    assert batch.prompt_attention.tolist() == [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    assert batch.prompt_of_row.tolist() == [0, 1, 0]
    assert batch.completion_ids.tolist() == [[3, 18, 0], [3, 11, 2], [0, 0, 0]]
    assert batch.completion_mask.tolist() == [[True, True, False], [True, True, True], [False, False, False]]


# ---- alternatives


def test_top_k_holds_the_best_tokens_of_both_in_order(exact, texts):
    batch, k = batch_of(exact, texts), 3
    measured = scores.score(exact, batch, top_k=k)
    with torch.no_grad():
        logp = torch.log_softmax(scores.completion_logits(models.network(exact), batch), -1)
        ref_logp = torch.log_softmax(scores.completion_logits(models.reference(exact), batch), -1)
    assert measured.topk_ids.shape == (*batch.completion_mask.shape, 2 * k)
    assert torch.equal(measured.topk_ids[..., :k], logp.argsort(-1, descending=True)[..., :k])
    assert torch.equal(measured.topk_ids[..., k:], ref_logp.argsort(-1, descending=True)[..., :k])
    for ids, values, full in (
        (measured.topk_ids, measured.topk_logprobs, logp),
        (measured.topk_ids, measured.topk_ref_logprobs, ref_logp),
    ):
        torch.testing.assert_close(values, full.gather(-1, ids), rtol=0, atol=TOL)


def test_more_alternatives_than_tokens_are_all_tokens(exact, texts):
    measured = scores.score(exact, batch_of(exact, texts[:1]), top_k=1000)
    vocabulary = exact.model.config.vocab_size
    assert measured.topk_ids.shape[-1] == 2 * vocabulary
    torch.testing.assert_close(
        measured.topk_logprobs[..., :vocabulary].exp().sum(-1), torch.ones_like(measured.kl), rtol=0, atol=TOL
    )


def test_no_alternatives_are_kept_unless_asked_for(exact, texts):
    assert scores.score(exact, batch_of(exact, texts[:1])).topk_ids is None
