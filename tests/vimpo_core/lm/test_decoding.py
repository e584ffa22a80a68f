"""The fused decoding steps of a plain Llama are the model's own, and no other model takes them. More in
test_sampler.
"""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from vimpo_core.lm import decoding
from vimpo_core.lm.sampler import sample


@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
def test_the_fused_steps_are_the_models_own_whatever_the_head_layout(key_value_heads):
    """A random Llama, untied, with grouped heads; float32 sums in another order: see FLOAT32 in test_sampler."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=9, num_key_value_heads=key_value_heads, max_position_embeddings=64, **shape)
    ).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    assert decoding.is_plain_llama(model)
    for prompts in ([[1, 2, 3], [4, 5, 6]], [[1, 2, 3, 4, 5], [6], [7, 8]]):  # without and with padding
        fused = sample(model, prompts, 8, 30, 0, 0, seed=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "is_plain_llama", lambda _: False)
            generic = sample(model, prompts, 8, 30, 0, 0, seed=1)
        assert [r.ids for r in fused] == [r.ids for r in generic]
        assert len({len(r.ids) for r in fused}) > 1  # rows leave at different times
        for a, b in zip(fused, generic, strict=True):
            np.testing.assert_allclose(a.sampler_logprob, b.sampler_logprob, rtol=0, atol=2e-5)


def test_only_plain_llamas_take_the_fused_steps(fresh_policy):
    shape = {
        "vocab_size": 8,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    for unlike in (
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": scaled},
    ):
        assert not decoding.is_plain_llama(LlamaForCausalLM(LlamaConfig(**shape, **unlike)))
    assert decoding.is_plain_llama(LlamaForCausalLM(LlamaConfig(**shape)))
    assert decoding.is_plain_llama(fresh_policy.bare)
