"""The own way through a large plain Llama (`llama`, `head`) against transformers, on small ones that count as large."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from tests.support.real import small
from tests.support.tiny import save
from vimpo_core.lm import decoding, head, llama, loading, models, sampler, scores
from vimpo_core.trainer import Trainer

NATS = 2e-5
PROMPTS = ("9+2+9+7*6=", "1+1=", "8*9-7+1=")
ALIKE = ("9+2+9+7*6=", "9+2", "9+2*9=")
"""Prompts that begin alike; the second is how the others begin."""


@pytest.fixture
def large(byte_level_model, tmp_path, monkeypatch):
    """(policy with a random adapter on the upper of two layers, its folder), taken for a large model."""
    monkeypatch.setattr(models, "FOLD_LIMIT", 0)
    models.single_thread()
    folder = save("llama", tmp_path, byte_level_model)
    policy = loading.load_policy(small(model=str(folder), lora_layers=1))
    chance = torch.Generator().manual_seed(1)
    random = {k: torch.randn(v.shape, generator=chance) * 0.05 for k, v in models.adapter_state(policy).items()}
    models.set_adapter(policy, random)
    return policy, folder


def sampled(policy, prompts, states_at=0, tokens=24):
    prompts = [models.encode_prompt(policy, p) for p in prompts]
    with models.merged(policy) as model:
        return sampler.sample(model, prompts, 2, tokens, policy.end_ids, policy.pad_id, 3, states_at=states_at)


def batch_of(policy, rollouts, with_states=False):
    states = [r.states for r in rollouts] if with_states else None
    return scores.make_batch([r.prompt_ids for r in rollouts], [r.ids for r in rollouts], policy.pad_id, states=states)


def logp_by_transformers(network, rollout):
    """log pi over the vocabulary before each token: one row, no padding, no cache."""
    ids = torch.tensor([[*rollout.prompt_ids, *rollout.ids]])
    return torch.log_softmax(network(input_ids=ids, use_cache=False).logits[0].double(), -1)[
        len(rollout.prompt_ids) - 1 : -1
    ]


def gradients(policy):
    found = [p.grad.clone() for p in policy.model.parameters() if p.requires_grad]
    policy.model.zero_grad()
    return found


@pytest.mark.parametrize("prompts", [PROMPTS, ALIKE])
@pytest.mark.parametrize("with_states", [False, True])
def test_scores_and_gradient_are_those_of_transformers(large, with_states, prompts):
    policy, folder = large
    assert llama.serves(policy)
    assert llama.lowest_adapted(policy) == 1
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rollouts = sampled(policy, prompts, states_at=1 if with_states else 0)
    assert (rollouts[0].states is not None) is with_states
    batch = batch_of(policy, rollouts, with_states)
    measured = scores.score(policy, batch, with_grad=True)
    weights = torch.randn(measured.logprobs.shape, generator=torch.Generator().manual_seed(2))
    total = 0.0
    for row, rollout in enumerate(rollouts):
        length, ids = len(rollout.ids), torch.tensor(rollout.ids)[:, None]
        logp = logp_by_transformers(policy.model, rollout)
        own = logp.gather(-1, ids)[:, 0]
        total = total + (weights[row, :length] * own).sum()
        p, ref = logp.detach().exp(), logp_by_transformers(base, rollout).detach()
        true = {
            "logprobs": own.detach(),
            "ref_logprobs": ref.gather(-1, ids)[:, 0],
            "kl": (p * (logp.detach() - ref)).sum(-1),
            "entropy": -(p * logp.detach()).sum(-1),
            "collision": p.square().sum(-1),
        }
        for name, values in true.items():
            assert float((getattr(measured, name)[row, :length].detach() - values).abs().max()) < NATS, name
            assert not getattr(measured, name)[row, length:].any()
        assert float((torch.from_numpy(rollout.sampler_logprob) - own.detach()).abs().max()) < NATS
    total.backward()
    true_gradient = gradients(policy)
    measured.push(weights)
    for found, true in zip(gradients(policy), true_gradient, strict=True):
        assert torch.allclose(found, true, atol=1e-4 * float(true.abs().max()))


@pytest.mark.parametrize("prompts", [PROMPTS, ALIKE])
def test_chunks_give_the_scores_and_the_gradient_of_the_whole(large, prompts):
    policy, _ = large
    batch = batch_of(policy, sampled(policy, prompts, states_at=1), with_states=True)
    whole = scores.score(policy, batch, with_grad=True, top_k=2, kl_top_k=3)
    chunks = scores.score_in_chunks(policy, batch, 4, top_k=2, kl_top_k=3, learns=True)
    for name in ("logprobs", "kl", "topk_logprobs", "topk_ref_logprobs", "top_k_kl"):
        assert torch.allclose(getattr(whole, name), getattr(chunks, name), atol=NATS), name
    assert torch.equal(whole.topk_ids, chunks.topk_ids)
    weights = torch.linspace(-1, 1, batch.completion_mask.numel()).reshape(batch.completion_mask.shape)
    whole.push(weights)
    first = gradients(policy)
    chunks.push(weights)
    for found, true in zip(gradients(policy), first, strict=True):
        assert torch.allclose(found, true, atol=1e-5 * float(true.abs().max()))


def test_what_all_prompts_begin_with_is_computed_once():
    prompts = torch.tensor([[0, 5, 6, 7, 8], [5, 6, 7, 9, 4], [0, 0, 5, 6, 7]])
    places = llama.layout_of_prompts(prompts, prompts > 0)
    assert places.ids.tolist() == [5, 6, 7, 8, 7, 9, 4, 7]
    assert places.positions.tolist() == [0, 1, 2, 3, 2, 3, 4, 2]
    assert [one.tolist() for one in llama.of_each_prompt(places.ids, places)] == [
        [5, 6, 7, 8],
        [5, 6, 7, 9, 4],
        [5, 6, 7],
    ]
    alone = llama.layout_of_prompts(prompts[:1], prompts[:1] > 0)
    assert (alone.stem, alone.ids.tolist()) == (0, [5, 6, 7, 8])


def test_rows_that_say_the_same_go_through_as_one(large, monkeypatch):
    policy, _ = large
    widths = []
    monkeypatch.setattr(decoding.LargeLlamaDecoder, "_note", lambda self, layer, x: widths.append(len(x)))
    prompts = [models.encode_prompt(policy, p) for p in ALIKE]
    with models.merged(policy) as model:
        rollouts = sampler.sample(model, prompts, 4, 5, (), policy.pad_id, 3, greedy=True)
    assert len({r.ids for r in rollouts}) > 1
    assert set(widths) == {len(prompts)}
    rows, like = batch_of(policy, rollouts).different()
    assert (rows.tolist(), like.tolist()) == ([0, 4, 8], [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])


def test_packed_weights_are_views_of_the_same_numbers(large):
    policy, folder = large
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    own = policy.bare.state_dict()
    assert set(own) == set(base)
    assert all(torch.equal(own[name], base[name]) for name in base)
    attention = policy.bare.model.layers[0].self_attn
    fused = llama.side_by_side([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    assert fused.data_ptr() == attention.q_proj.weight.data_ptr()
    assert torch.equal(fused[: len(attention.q_proj.weight)], attention.q_proj.weight)


@pytest.mark.parametrize("prompts", [PROMPTS, ALIKE])
def test_a_row_draws_the_same_whoever_leaves_beside_it(large, prompts):
    policy, _ = large
    prompts = [models.encode_prompt(policy, p) for p in prompts]
    budgets, sizes = [3, 24, 9], [2, 7, 1]
    ends = torch.tensor(sizes).cumsum(0).tolist()
    with models.merged(policy) as model:
        args = (policy.end_ids, policy.pad_id, 3)
        together = sampler.sample(model, prompts, sizes, budgets, *args)
        uniforms = sampler.uniforms_of(3, ends[-1], 24)
        for prompt, size, budget, end in zip(prompts, sizes, budgets, ends, strict=True):
            own = slice(end - size, end)
            alone = sampler.sample(model, [prompt], size, budget, *args, uniforms=uniforms[own])
            assert [r.ids for r in alone] == [r.ids for r in together[own]]


def test_the_adapter_sits_on_the_top_layers_alone(large):
    policy, _ = large
    assert {name.split(".layers.")[1][0] for name in models.adapter_state(policy)} == {"1"}
    assert len(models.adapter_state(policy)) == 2 * 7


def test_a_run_of_a_large_model_resumes_bit_for_bit(large):
    _, folder = large
    config = small(model=str(folder), lora_layers=1, steps=3)
    trainer = Trainer(config)
    records = [trainer.step() for _ in range(3)]
    again = Trainer(config, records[0].resume_state).step()
    assert again.metrics == records[1].metrics
    assert again.resume_state == records[1].resume_state


def test_the_closed_gradient_is_that_of_log_pi():
    chance = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 4, dtype=torch.float64, generator=chance) for n in (3, 7))
    predicts, ids = torch.tensor([0, 2, 1, 0]), torch.tensor([6, 0, 3, 3])

    def logprobs(states):
        found = head.measure(states.detach(), states.detach(), weight, predicts, ids, with_directions=True)
        return head.logprobs_of(states, found, predicts)

    assert torch.autograd.gradcheck(logprobs, hidden.requires_grad_())


class _Largest(TorchDispatchMode):
    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor) and tensor._base is None:
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return out


def test_logits_of_a_large_vocabulary_are_never_held_whole():
    tokens, vocabulary = 512, 49_152
    hidden, weight = torch.randn(tokens, 4), torch.randn(vocabulary, 4)
    ids = torch.arange(tokens)
    with _Largest() as seen:
        head.measure(hidden, hidden, weight, ids, ids, with_directions=True)
    assert seen.bytes <= head.ROOM / 3 < tokens * vocabulary * 4 / 5


def test_only_a_large_plain_llama_goes_this_way(fresh_policy):
    assert decoding.is_plain_llama(fresh_policy.bare)
    assert not llama.serves(fresh_policy)
