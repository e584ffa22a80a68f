"""The sampler: the end token is kept, a seed decides, neighbours do not matter, and what is drawn is what was
scored.
"""

import numpy as np
import pytest
import torch

from tests.support.real import SMALL, moved
from vimpo_core.lm import decoding, models, sampler, scores
from vimpo_core.lm.sampler import sample
from vimpo_core.types import StopReason

PROMPTS = ["9+2+9+7*6=", "1+1+1=", "8*9-7=", "2*3*4-5+6-7="]

FLOAT32 = 2e-5
"""Nats a token. Logits are of order 10, so float32 keeps 1e-6 of them; summing over 64 features and 3 layers in another
order (a cache, padding, another batch) costs a few times that."""


@pytest.fixture(scope="module", params=["fused", "generic"])
def model(moved_policy, request):
    """The bundled Llama, decoded by the fused steps made for it and by transformers' own forward."""
    with pytest.MonkeyPatch.context() as patch, models.merged(moved_policy) as model:
        assert decoding.is_plain_llama(model)
        if request.param == "generic":
            patch.setattr(decoding, "is_plain_llama", lambda _: False)
        yield model


def draw(policy, model, prompts=PROMPTS, group_size=4, tokens=40, seed=0, **options):
    ids = [models.encode(policy, p) for p in prompts]
    return sample(model, ids, group_size, tokens, policy.end_ids, policy.pad_id, seed, **options)


def the_ids(rollouts):
    return [r.ids for r in rollouts]


def test_completions_end_with_the_end_token_and_hold_it_once(moved_policy, model):
    rollouts = draw(moved_policy, model)
    ended = [r for r in rollouts if r.finish_reason is StopReason.EOS]
    assert len(ended) > len(rollouts) / 2
    for r in ended:
        assert r.ids.index(moved_policy.eos_id) == len(r.ids) - 1
    assert all(len(r.sampler_logprob) == len(r.ids) for r in rollouts)


def test_rollouts_are_grouped_by_prompt(moved_policy, model):
    rollouts = draw(moved_policy, model)
    expected = [models.encode(moved_policy, p) for p in PROMPTS for _ in range(4)]
    assert [r.prompt_ids for r in rollouts] == expected


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(moved_policy, model):
    first, again, other = (draw(moved_policy, model, seed=s) for s in (5, 5, 6))
    assert the_ids(first) == the_ids(again)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.sampler_logprob, b.sampler_logprob)
    assert the_ids(first) != the_ids(other)
    assert len(set(the_ids(first))) > 4  # a group is not one solution four times


def test_the_global_generator_is_neither_read_nor_moved(moved_policy, model):
    torch.manual_seed(1)
    first, state = draw(moved_policy, model), torch.get_rng_state()
    torch.manual_seed(2)
    second = draw(moved_policy, model)
    assert the_ids(first) == the_ids(second)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_rows_tokens_do_not_depend_on_the_prompts_beside_it(moved_policy, model):
    """The longest prompt comes or goes, and with it the padding of all the others."""
    alone, together = draw(moved_policy, model, PROMPTS[:2]), draw(moved_policy, model, PROMPTS)
    assert the_ids(alone) == the_ids(together)[: len(alone)]
    for a, b in zip(alone, together, strict=False):
        np.testing.assert_allclose(a.sampler_logprob, b.sampler_logprob, rtol=0, atol=FLOAT32)
    others = draw(moved_policy, model, [PROMPTS[3], PROMPTS[1], PROMPTS[2]])
    assert the_ids(others)[4:8] == the_ids(alone)[4:8]  # same place, same prompt, another neighbour


def test_prompts_of_different_length_give_the_greedy_tokens_they_give_alone(moved_policy, model):
    together = draw(moved_policy, model, group_size=1, greedy=True)
    for prompt, rollout in zip(PROMPTS, together, strict=True):
        (alone,) = draw(moved_policy, model, [prompt], group_size=1, greedy=True)
        assert alone.ids == rollout.ids
        np.testing.assert_allclose(alone.sampler_logprob, rollout.sampler_logprob, rtol=0, atol=FLOAT32)


def test_greedy_takes_the_most_probable_token_of_a_plain_forward(moved_policy, model):
    (rollout,) = draw(moved_policy, model, PROMPTS[:1], group_size=1, greedy=True)
    ids = list(models.encode(moved_policy, PROMPTS[0]))
    for token in rollout.ids:
        with torch.no_grad():
            assert model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item() == token
        ids.append(token)


def test_sampler_logprobs_are_those_of_the_policy_that_is_trained(moved_policy):
    """On the cache with folded weights against one plain forward: the PPO ratio of a fresh batch is 1 within
    rounding.
    """
    with models.merged(moved_policy) as model:
        rollouts = draw(moved_policy, model)
        batch = scores.make_batch([r.prompt_ids for r in rollouts], the_ids(rollouts), moved_policy.pad_id)
        with torch.no_grad():
            merged = scores.token_logprobs(scores.completion_logits(model, batch), batch)
    trained = scores.score(moved_policy, batch).logprobs
    for row, rollout in enumerate(rollouts):
        for scored in (merged, trained):
            np.testing.assert_allclose(rollout.sampler_logprob, scored[row, : len(rollout.ids)], rtol=0, atol=FLOAT32)


def test_tokens_are_drawn_as_often_as_the_model_says(moved_policy, model):
    """20,000 draws of one token, a separator as a rule, against one forward: Pearson's chi-square, rare tokens
    pooled.
    """
    count, prefix = 20_000, models.encode(moved_policy, "9+2+9+42")
    rollouts = draw(moved_policy, model, PROMPTS[:1], group_size=count, tokens=1, prefixes=[prefix])
    with torch.no_grad():
        whole = [*models.encode(moved_policy, PROMPTS[0]), *prefix]
        logits = model(input_ids=torch.tensor([whole])).logits[0, -1]
    expected = torch.softmax(logits.double(), -1).numpy() * count
    drawn = np.bincount([r.ids[0] for r in rollouts], minlength=len(expected))
    often = expected >= 5
    cells_expected = np.append(expected[often], expected[~often].sum())
    cells_drawn = np.append(drawn[often], drawn[~often].sum())
    degrees = len(cells_expected) - 1
    assert degrees >= 3
    # Mean `degrees`, variance 2 `degrees`; the seed is fixed, five standard deviations leave room for other platforms.
    statistic = ((cells_drawn - cells_expected) ** 2 / np.maximum(cells_expected, 1e-9)).sum()
    assert statistic < degrees + 5 * np.sqrt(2 * degrees)


def test_the_inverse_cdf_splits_the_unit_interval_by_probability_and_never_falls_off():
    logp = torch.log(torch.tensor([[0.25, 0.0, 0.5, 0.25]])).expand(7, 4)
    uniform = torch.tensor([0.0, 0.2499, 0.2501, 0.7499, 0.7501, 0.999999, 1.0], dtype=torch.float64)
    assert sampler._inverse_cdf(logp, uniform).tolist() == [0, 0, 2, 2, 3, 3, 3]


def test_a_completion_without_an_end_stops_at_the_budget_and_says_length(moved_policy, model):
    rollouts = draw(moved_policy, model, tokens=3)
    assert {r.finish_reason for r in rollouts} == {StopReason.LENGTH}
    assert {len(r.ids) for r in rollouts} == {3}
    longer = draw(moved_policy, model, tokens=3, seed=9)
    assert the_ids(longer) != the_ids(rollouts)


def test_an_end_token_at_the_last_place_of_the_budget_is_an_end(moved_policy, model):
    (whole,) = draw(moved_policy, model, PROMPTS[1:2], group_size=1, greedy=True)
    assert whole.finish_reason is StopReason.EOS
    (exact,) = draw(moved_policy, model, PROMPTS[1:2], group_size=1, greedy=True, tokens=len(whole.ids))
    assert (exact.ids, exact.finish_reason) == (whole.ids, StopReason.EOS)
    (short,) = draw(moved_policy, model, PROMPTS[1:2], group_size=1, greedy=True, tokens=len(whole.ids) - 1)
    assert (short.ids, short.finish_reason) == (whole.ids[:-1], StopReason.LENGTH)


def test_a_prefix_is_continued_and_not_returned(moved_policy, model):
    (whole,) = draw(moved_policy, model, PROMPTS[:1], group_size=1, greedy=True)
    prefixes = [whole.ids[:3], whole.ids[:9]]
    rest = draw(moved_policy, model, [PROMPTS[0]] * 2, group_size=1, greedy=True, prefixes=prefixes)
    assert the_ids(rest) == [whole.ids[3:], whole.ids[9:]]
    assert {r.prompt_ids for r in rest} == {whole.prompt_ids}


def test_prompts_may_have_groups_and_budgets_of_their_own(moved_policy, model):
    """Row by row what one group size and one budget give: each draws from its own uniforms."""
    ids = [models.encode(moved_policy, p) for p in PROMPTS[:3]]
    table = torch.rand((6, 40), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    options = (moved_policy.end_ids, moved_policy.pad_id, 0)
    mixed = sample(model, ids, [1, 3, 2], [40, 5, 40], *options, uniforms=table)
    assert [r.prompt_ids for r in mixed] == [ids[0], *[ids[1]] * 3, *[ids[2]] * 2]
    assert max(len(r.ids) for r in mixed[1:4]) <= 5
    for row, rollout in enumerate(mixed):
        budget = 5 if 1 <= row <= 3 else 40
        (alone,) = sample(model, [rollout.prompt_ids], 1, budget, *options, uniforms=table[row : row + 1])
        assert (alone.ids, alone.finish_reason) == (rollout.ids, rollout.finish_reason)


def test_uniforms_within_the_drawn_ranges_draw_the_same_tokens_and_those_outside_others(moved_policy, model):
    """At 1% and 99% of each token's range; a range of 1e-4 and more is 100 times wider than float32's rounding."""
    rollouts = draw(moved_policy, model, group_size=2)
    batch = scores.make_batch([r.prompt_ids for r in rollouts], the_ids(rollouts), moved_policy.pad_id)
    with torch.no_grad():
        ranges = sampler.draw_ranges(scores.completion_logits(model, batch), batch.completion_ids)
    low, high = ranges.unbind(-1)
    assert torch.equal(low < high, torch.ones_like(low, dtype=torch.bool))
    width = torch.stack([high - low])[0]
    torch.testing.assert_close(
        width[batch.completion_mask].log().float(),
        torch.cat([torch.from_numpy(r.sampler_logprob) for r in rollouts]),
        rtol=0,
        atol=FLOAT32 * 10,  # a difference of two sums, relative to what may be a small probability
    )
    for share in (0.01, 0.99):
        again = draw(moved_policy, model, group_size=2, tokens=low.shape[1], uniforms=low + share * width)
        for a, b, w, mask in zip(again, rollouts, width, batch.completion_mask, strict=True):
            if w[mask].min() > 1e-4:
                assert a.ids[: len(b.ids)] == b.ids
    first_below = torch.where(low > 0, low - 1e-6, high + 1e-6)  # just outside
    others = draw(moved_policy, model, group_size=2, tokens=1, uniforms=first_below[:, :1].clamp(0, 1 - 1e-9))
    decided = width[:, 0] < 1 - 1e-5
    assert all(o.ids[0] != r.ids[0] for o, r, d in zip(others, rollouts, decided, strict=True) if d)


def test_group_sizes_and_budgets_may_differ_between_prompts(moved_policy, model):
    counts, budgets = [3, 1, 2, 4], [40, 2, 7, 1]
    uniforms = torch.rand((10, 40), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = draw(moved_policy, model, group_size=counts, tokens=budgets, uniforms=uniforms)
    owners = [p for p, n in enumerate(counts) for _ in range(n)]
    for row, (owner, rollout) in enumerate(zip(owners, together, strict=True)):
        (alone,) = draw(moved_policy, model, [PROMPTS[owner]], 1, 40, uniforms=uniforms[row : row + 1])
        assert rollout.prompt_ids == alone.prompt_ids
        assert rollout.ids == alone.ids[: budgets[owner]]
        is_cut = len(alone.ids) > budgets[owner] or alone.finish_reason is StopReason.LENGTH
        assert rollout.finish_reason is (StopReason.LENGTH if is_cut else StopReason.EOS)


def test_draw_ranges_say_which_uniforms_draw_a_token():
    logits = torch.log(torch.tensor([0.25, 0.0, 0.5, 0.25])).expand(4, 4)
    ranges = sampler.draw_ranges(logits, torch.arange(4))
    torch.testing.assert_close(ranges, torch.tensor([[0, 0.25], [0.25, 0.25], [0.25, 0.75], [0.75, 1]]).double())


def test_an_empty_prompt_is_refused(moved_policy, model):
    with pytest.raises(ValueError, match=r"every prompt needs at least one token, got lengths \[1, 0\]"):
        sample(model, [[1], []], 1, 5, moved_policy.end_ids, moved_policy.pad_id, 0)


def test_merging_gives_the_policys_logits_and_leaves_the_frozen_weights_as_they_were():
    policy = moved(SMALL)
    before = models.fingerprint(policy)
    state = {k: v.clone() for k, v in policy.model.state_dict().items()}
    batch = scores.make_batch([models.encode(policy, PROMPTS[0])], [models.encode(policy, "9+2")], policy.pad_id)
    scored = scores.score(policy, batch)
    for _ in range(3):
        with models.merged(policy) as model, torch.no_grad():
            merged = scores.token_logprobs(scores.completion_logits(model, batch), batch)
    torch.testing.assert_close(merged, scored.logprobs, rtol=0, atol=FLOAT32)
    assert models.fingerprint(policy) == before
    assert all(torch.equal(v, state[k]) for k, v in policy.model.state_dict().items())
    again = scores.score(policy, batch)
    assert torch.equal(again.ref_logprobs, scored.ref_logprobs)
    assert torch.equal(again.logprobs, scored.logprobs)


def test_the_frozen_weights_are_put_back_even_after_an_error():
    policy = moved(SMALL)
    before = models.fingerprint(policy)
    with pytest.raises(KeyboardInterrupt), models.merged(policy):
        raise KeyboardInterrupt
    assert models.fingerprint(policy) == before
