"""Large plain Llamas without the module machinery: weights stored for a fast step, a batch without padding through some
of the layers. Imports torch.

`transformers` computes the same; here frozen layers run once for policy and reference, padding is never computed, and
the weights of projections that read the same input lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch.nn import functional as F

from vimpo_core.lm import models

_SHARED_INPUT = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))
_ALONE = (("self_attn", ("o_proj",)), ("mlp", ("down_proj",)))


def is_plain_llama(model) -> bool:
    """Whether this module computes exactly this network: a Llama without biases and with unscaled rotary positions."""
    config = model.config
    return (
        config.model_type == "llama"
        and config.hidden_act == "silu"
        and not (config.attention_bias or config.mlp_bias)
        and config.rope_parameters.get("rope_type", "default") == "default"
    )


def is_large_llama(model) -> bool:
    """Whether it is such a network and so large that its own way through it pays."""
    return is_plain_llama(model) and models.is_large(model)


# Weights


def pack(model) -> None:
    """Store a large plain Llama's weights as [in, out], side by side where they read the same input.

    The modules keep views of them under the old names. A few rows times such a weight take half the time of the usual
    layout, and no copy is made to fuse projections.
    """
    if not is_large_llama(model):
        return
    for layer in model.model.layers:
        for part, names in (*_SHARED_INPUT, *_ALONE):
            modules = [layer.get_submodule(f"{part}.{name}") for name in names]
            _put(modules, _transposed([m.weight for m in modules]))
    embedding, head = model.model.embed_tokens, model.lm_head
    is_tied = embedding.weight is head.weight
    _put([head], _transposed([head.weight]))
    if is_tied:
        embedding.weight = head.weight
    for module in model.modules():
        if isinstance(module, type(model.model.norm)):
            # The weights of a file may be views of one piece of memory: the last of them would keep all of it.
            module.weight = torch.nn.Parameter(module.weight.detach().clone(), module.weight.requires_grad)


def _put(modules, weights) -> None:
    for module, weight in zip(modules, weights.split([m.weight.shape[0] for m in modules]), strict=True):
        module.weight = torch.nn.Parameter(weight, requires_grad=module.weight.requires_grad)


def _transposed(weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """The weights [out, in] below each other, in memory as [in, sum of out]."""
    with torch.no_grad():
        return torch.cat([w.t() for w in weights], dim=1).t()


def side_by_side(weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Weights [out, in] below each other, [sum of out, in]: a view where they are stored so (`pack`), else a copy."""
    first, at = weights[0], weights[0].storage_offset()
    for w in weights:
        same = w.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not (same and w.stride() == first.stride() and w.storage_offset() == at):
            # A folded copy beside packed ones: laid out like them.
            return _transposed(weights) if first.stride(0) == 1 else torch.cat(tuple(weights))
        at += w.shape[0] * w.stride(0)
    rows = sum(w.shape[0] for w in weights)
    return first.detach().as_strided((rows, first.shape[1]), first.stride(), first.storage_offset())


@dataclass(frozen=True)
class Projection:
    """x -> x W^T, and where there is an adapter + (x A^T) B^T. a: [ranks, in]; b: [out, ranks], its scale included."""

    weight: torch.Tensor
    a: torch.Tensor | None = None
    b: torch.Tensor | None = None

    def __call__(self, x):
        y = F.linear(x, self.weight)
        return y if self.a is None or self.b is None else y.addmm_(F.linear(x, self.a), self.b.t())


@dataclass(frozen=True)
class Layer:
    """One decoder layer's weights; query, key and value are one projection, gate and up another."""

    qkv: Projection
    out: Projection
    gate_up: Projection
    down: Projection
    attention_norm: torch.nn.Module
    mlp_norm: torch.nn.Module


def layer_of(layer) -> Layer:
    """The weights of a network's layer, with those of the adapter where it has one."""
    shared, alone = (
        [_projection([layer.get_submodule(f"{part}.{name}") for name in names]) for part, names in kind]
        for kind in (_SHARED_INPUT, _ALONE)
    )
    (qkv, gate_up), (out, down) = shared, alone
    return Layer(qkv, out, gate_up, down, layer.input_layernorm, layer.post_attention_layernorm)


def _projection(modules) -> Projection:
    bases: list[Any] = [m.base_layer if isinstance(m, LoraLinear) else m for m in modules]
    weight = side_by_side([m.weight for m in bases])
    if not any(isinstance(m, LoraLinear) for m in modules):
        return Projection(weight)
    pairs: list[Any] = [
        (m.lora_A["default"].weight, m.lora_B["default"].weight * m.scaling["default"])
        if isinstance(m, LoraLinear)
        else (weight.new_zeros(0, weight.shape[1]), weight.new_zeros(m.weight.shape[0], 0))
        for m in modules
    ]
    return Projection(weight, torch.cat([a for a, _ in pairs]), torch.block_diag(*(b for _, b in pairs)))


# A batch through the layers


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch lie in one row without padding: what all prompts begin with, once, then the rest of
    each, then what completions feed back.

    stem: how many tokens all prompts begin with, 0 of a single prompt;
    prompt: int [P, S], each prompt's tokens from the left, and is_prompt, bool: which of these are there;
    fed: int [B, F], the completions' tokens but their last, and is_fed; mask: bool [B, 1, F, S + F], what a fed token
        reads;
    ids, positions: int [N]; predicts: int [M], the place among `last` that predicts each completion token in turn;
    last: int [U], each prompt's last token, then all fed ones.
    """

    stem: int
    prompt: torch.Tensor
    is_prompt: torch.Tensor
    fed: torch.Tensor
    is_fed: torch.Tensor
    mask: torch.Tensor
    prompt_of_row: torch.Tensor
    ids: torch.Tensor
    positions: torch.Tensor
    predicts: torch.Tensor
    last: torch.Tensor


def layout(prompts, attends, row, completions, mask) -> Layout:
    """The layout of a `scores.Batch`: its prompts, their attention (bool), prompt_of_row, completion_ids and mask."""
    device, lengths, longest = prompts.device, attends.sum(1), prompts.shape[1]
    columns = torch.arange(longest, device=device)
    is_prompt, is_fed = columns < lengths[:, None], mask[:, 1:]
    from_left = torch.zeros_like(prompts).masked_scatter(is_prompt, prompts[attends])
    stem = _shared_beginning(from_left, lengths)
    is_rest = is_prompt[:, stem:]
    prompt = torch.cat([columns[:stem].expand(len(prompts), -1), _numbered(is_rest, stem)], dim=1)
    total = stem + int(is_rest.sum())
    fed = _numbered(is_fed, total)
    steps = torch.arange(is_fed.shape[1], device=device)
    causal = (steps[:, None] >= steps).expand(len(row), -1, -1)
    reads_prompt = is_prompt[row][:, None].expand(-1, len(steps), -1)
    # Where the tokens of a row are predicted: the first by its prompt's end, the others by the fed one before them.
    from_fed = len(prompts) + fed - total
    return Layout(
        stem=stem,
        prompt=prompt,
        is_prompt=is_prompt,
        fed=fed,
        is_fed=is_fed,
        mask=torch.cat([reads_prompt, causal], dim=2)[:, None],
        prompt_of_row=row,
        ids=torch.cat([from_left[0, :stem], from_left[:, stem:][is_rest], completions[:, :-1][is_fed]]),
        positions=torch.cat(
            [
                columns[:stem],
                columns[stem:].expand_as(is_rest)[is_rest],
                (lengths[row][:, None] + steps)[is_fed],
            ]
        ),
        predicts=torch.cat([row[:, None], from_fed], dim=1)[mask],
        last=torch.cat([prompt.gather(1, lengths[:, None] - 1)[:, 0], fed[is_fed]]),
    )


def _shared_beginning(from_left, lengths) -> int:
    """How many tokens all prompts begin with, but for the last of the shortest: each keeps one of its own."""
    if len(from_left) == 1:
        return 0
    same = (from_left == from_left[0]).all(0).long().cumprod(0).sum()
    return min(int(same), int(lengths.min()) - 1)


def layout_of_prompts(prompts: torch.Tensor, attends: torch.Tensor) -> Layout:
    """The layout of left-padded prompts [P, S] alone; attends: bool [P, S]."""
    rows = torch.arange(len(prompts), device=prompts.device)
    return layout(prompts, attends, rows, prompts[:, :1], torch.ones_like(attends[:, :1]))


def _numbered(there: torch.Tensor, start: int) -> torch.Tensor:
    """Numbers from `start` for what is there, row by row; any valid one elsewhere."""
    return (start + there.flatten().cumsum(0).reshape(there.shape) - 1).clamp(min=0)


def embedded(model, places: Layout) -> torch.Tensor:
    """What the first layer reads, [N, H]."""
    return F.embedding(places.ids, model.model.embed_tokens.weight)


def through(model, layers: Sequence[Layer], x: torch.Tensor, places: Layout) -> torch.Tensor:
    """Hidden states [N, H] after these layers, without the last norm."""
    turns = _turns(model, x, places)
    for layer in layers:
        x, _, _ = _through(model.config, layer, x, places, turns)
    return x


def step_through(model, layer: Layer, x: torch.Tensor, places: Layout):
    """Hidden states [N, H] after one layer, with its keys and values [N, kv heads, D]."""
    return _through(model.config, layer, x, places, _turns(model, x, places))


def _turns(model, x, places):
    return tuple(r[0][:, None, :] for r in model.model.rotary_emb(x, places.positions[None]))


def _through(shape, layer, x, places, turns):
    heads, kv_heads = shape.num_attention_heads, shape.num_key_value_heads
    qkv = layer.qkv(rms_norm(x, layer.attention_norm)).view(len(x), heads + 2 * kv_heads, -1)
    rotated, value = rotate(qkv[:, : heads + kv_heads], *turns), qkv[:, heads + kv_heads :]
    key = rotated[:, heads:]
    x = x + layer.out(_attend(rotated[:, :heads], key, value, places))
    gate, up = layer.gate_up(rms_norm(x, layer.mlp_norm)).chunk(2, dim=-1)
    return x + layer.down(F.silu(gate) * up), key, value


def _attend(query, key, value, places):
    """What each token reads of the tokens before it: [N, heads, D] -> [N, heads x D]."""
    stem, parts = places.stem, []
    if stem:
        parts.append(_attention(*(x[None, :stem] for x in (query, key, value)))[0])
        whole = torch.ones(places.prompt.shape[1], places.prompt.shape[1], dtype=torch.bool, device=query.device).tril()
        of_rest = _attention(query[places.prompt[:, stem:]], key[places.prompt], value[places.prompt], whole[stem:])
    else:
        of_rest = _attention(query[places.prompt], key[places.prompt], value[places.prompt])
    parts.append(of_rest[places.is_prompt[:, stem:]])
    if places.fed.shape[1]:
        seen = torch.cat([places.prompt[places.prompt_of_row], places.fed], dim=1)
        parts.append(_attention(query[places.fed], key[seen], value[seen], places.mask)[places.is_fed])
    return torch.cat(parts)


def _attention(query, key, value, mask=None):
    """[B, T, heads, D] on [B, S, kv heads, D] -> [B, T, heads x D]; causal without a mask."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    found = F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, enable_gqa=True)
    return found.transpose(1, 2).flatten(2)


def rms_norm(x, norm):
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


# A policy on such a network


def adapted_layers(policy: models.LanguageModel):
    """The policy's own layers, adapters and all."""
    network = policy.model
    return network.base_model.model.model.layers  # type: ignore[union-attr]


def serves(policy: models.LanguageModel) -> bool:
    """Whether this module computes the policy as it is: a large plain Llama under a plain adapter on its layers."""
    if not (is_large_llama(policy.bare) and models.has_adapter(policy)):
        return False
    inside = {id(m) for m in adapted_layers(policy).modules()}
    learns = (name for name, p in policy.model.named_parameters() if p.requires_grad)
    return all(".lora_" in name for name in learns) and all(
        type(module) is LoraLinear
        and id(module) in inside
        and module.active_adapters == ["default"]
        and not (module.use_dora["default"] or module.lora_bias["default"] or module.fan_in_fan_out)
        for _, module in models.adapted(policy)
    )


def lowest_adapted(policy: models.LanguageModel) -> int:
    """The first layer that has an adapter: those below are the same in policy and reference."""
    return next(
        i for i, layer in enumerate(adapted_layers(policy)) if any(isinstance(m, LoraLinear) for m in layer.modules())
    )


def of_each_prompt(packed: torch.Tensor, places: Layout) -> tuple[torch.Tensor, ...]:
    """What lies side by side, [N, ...], for the tokens of each prompt from its first on: [S, ...] each."""
    lengths = places.is_prompt.sum(1).tolist()
    return packed[places.prompt[places.is_prompt]].split(lengths)


def in_one_row(of_prompts: Sequence[torch.Tensor], places: Layout) -> torch.Tensor:
    """The other way round: [S, ...] of each prompt -> what lies in the row before the fed tokens."""
    return torch.cat([of_prompts[0][: places.stem], *(one[places.stem :] for one in of_prompts)])
