"""One token further on a KV cache: for any transformers model, and without the module machinery for plain Llamas.

On a tiny model a decoding step is mostly Python and small copies. `LlamaDecoder` does the same arithmetic with fused
projections and a cache of fixed size, in less than half the time; it starts from the model's own prefill. Imports
torch.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from vimpo_core.lm import llama, models
from vimpo_core.lm.llama import is_large_llama, is_plain_llama, rms_norm, rotate


def left_padded(prompts, pad_id: int, device):
    """Prompts as int [P, S], padded at the left, and their attention mask, None when nothing is padded (the faster
    path).
    """
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (longest - len(p)) + list(p) for p in prompts], device=device)
    if all(len(p) == longest for p in prompts):
        return ids, None
    return ids, torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)


def prefill(network, ids, attention, **options):
    """One pass over left-padded prompts. Returns the network's output with its cache, and each row's last position
    [P].
    """
    if attention is None:
        positions = torch.arange(ids.shape[1], device=ids.device).expand(len(ids), -1)
    else:
        positions = (attention.cumsum(1) - 1).clamp(min=0)
    output = network(input_ids=ids, attention_mask=attention, position_ids=positions, use_cache=True, **options)
    return output, positions[:, -1]


def last_logits_alone(model) -> dict[str, int]:
    """The option of a large network's forward that makes no other logits than the last; {} where there is none."""
    can = models.is_large(model) and "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": 1} if can else {}


def start(model, ids, attention, group_size: int | torch.Tensor, max_new_tokens: int, states_at: int = 0):
    """Prefill the prompts once, then repeat every row for its group.

    Args:
        ids, attention: from `left_padded`.
        group_size: rollouts of every prompt, or int [P], one number a prompt.
        states_at: a layer whose inputs the decoder is to keep (`LargeLlamaDecoder.states`); 0: none.

    Returns:
        (decoder, logits [rollouts, V] of the first new token).
    """
    if is_large_llama(model):
        return _start_large(model, ids, attention, group_size, max_new_tokens, states_at)
    output, last = prefill(model, ids, attention, **last_logits_alone(model))
    attention = None if attention is None else attention.repeat_interleave(group_size, dim=0)
    kind = LlamaDecoder if is_plain_llama(model) else CacheDecoder
    decoder = kind(model, output.cache, attention, last.repeat_interleave(group_size), group_size, max_new_tokens)
    return decoder, output.logits[:, -1].repeat_interleave(group_size, dim=0)


class CacheDecoder:
    """Any transformers causal model, through its own forward and cache."""

    def __init__(self, model, cache, attention, last_position, group_size, max_new_tokens):
        self._model, self._cache, self._attention, self._position = model, cache, attention, last_position
        cache.batch_repeat_interleave(group_size)

    def keep(self, alive) -> None:
        """Go on with these rows only. alive: bool, one a row."""
        self._position = self._position[alive]
        self._attention = None if self._attention is None else self._attention[alive]
        self._cache.batch_select_indices(alive.nonzero()[:, 0])

    def step(self, token):
        """Logits after one more token a row: int [B] -> float [B, V]."""
        self._position = self._position + 1
        if self._attention is not None:
            ones = self._attention.new_ones(len(token), 1)
            self._attention = torch.cat([self._attention, ones], dim=1)
        output = self._model(
            input_ids=token[:, None],
            attention_mask=self._attention,
            position_ids=self._position[:, None],
            cache=self._cache,
            use_cache=True,
        )
        return output.logits[:, -1]


class LlamaDecoder:
    """A plain Llama's decoding step (`is_plain_llama`), same interface as `CacheDecoder`."""

    def __init__(self, model, cache, attention, last_position, group_size, max_new_tokens):
        config = model.config
        self._model = model
        self._head_dim = model.model.layers[0].self_attn.head_dim
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._layers = [llama.layer_of(layer) for layer in model.model.layers]
        self._filled = cache.get_seq_length()
        self._keys = [_widened(c.keys, group_size, max_new_tokens) for c in cache.layers]
        self._values = [_widened(c.values, group_size, max_new_tokens) for c in cache.layers]
        self._position = last_position
        span = torch.arange(int(last_position.max()) + max_new_tokens + 1, device=last_position.device)
        self._cos, self._sin = (r[0] for r in model.model.rotary_emb(self._keys[0], span[None]))
        self._mask = None
        if attention is not None:
            new = attention.new_ones(len(attention), max_new_tokens)
            self._mask = torch.cat([attention, new], dim=1).bool()[:, None, :]

    def keep(self, alive) -> None:
        """Go on with these rows only. alive: bool, one a row."""
        rows = alive.nonzero()[:, 0]
        self._keys = [k.index_select(0, rows) for k in self._keys]
        self._values = [v.index_select(0, rows) for v in self._values]
        self._position = self._position[rows]
        self._mask = None if self._mask is None else self._mask[rows]

    def step(self, token):
        """Logits after one more token a row: int [B] -> float [B, V]."""
        self._position = self._position + 1
        self._filled += 1
        cos, sin = self._cos[self._position][:, None, :], self._sin[self._position][:, None, :]
        mask = None if self._mask is None else self._mask[..., : self._filled]
        x = F.embedding(token, self._model.model.embed_tokens.weight)
        for layer, (weights, keys, values) in enumerate(zip(self._layers, self._keys, self._values, strict=True)):
            self._note(layer, x)
            x = x + self._attend(weights, keys, values, x, cos, sin, mask)
            gate, up = weights.gate_up(rms_norm(x, weights.mlp_norm)).chunk(2, dim=-1)
            x = x + weights.down(F.silu(gate) * up)
        return F.linear(rms_norm(x, self._model.model.norm), self._model.lm_head.weight)

    def _note(self, layer, x) -> None:
        """Is told what each layer reads."""

    def _attend(self, weights, keys, values, x, cos, sin, mask):
        rows, at, split = len(x), self._filled - 1, self._heads + self._kv_heads
        qkv = weights.qkv(rms_norm(x, weights.attention_norm))
        qkv = qkv.view(rows, split + self._kv_heads, self._head_dim)
        rotated = rotate(qkv[:, :split], cos, sin)
        keys[:, :, at], values[:, :, at] = rotated[:, self._heads :], qkv[:, split:]
        # Query heads that share a key head are rows of one product: [rows x kv_heads, group, head_dim].
        query = rotated[:, : self._heads].reshape(rows * self._kv_heads, -1, self._head_dim)
        keys, values = keys.flatten(0, 1)[:, : self._filled], values.flatten(0, 1)[:, : self._filled]
        scores = torch.bmm(query, keys.transpose(1, 2)) * self._head_dim**-0.5
        if mask is not None:
            scores = scores.view(rows, -1, self._filled).masked_fill(~mask, -torch.inf).view_as(scores)
        return weights.out(torch.bmm(scores.softmax(-1), values).view(rows, -1))


class LargeLlamaDecoder(LlamaDecoder):
    """The same of a large network: rows that left are dropped a few at a time, and what a layer read can be kept.

    states: of the last step what layer `states_at` read, [rows, H]; prompt_states: of each prompt, [S, H]; None where
        states_at is 0.
    """

    _COMPACT = 0.8
    """Rows are copied together when fewer than this share of them goes on: each time costs a copy of the cache."""

    def __init__(self, model, cache, attention, last_position, group_size, max_new_tokens, states_at, prompt_states):
        super().__init__(model, cache, attention, last_position, group_size, max_new_tokens)
        self._states_at, self.prompt_states = states_at, prompt_states
        self.states: torch.Tensor | None = None
        self._places = torch.arange(len(last_position), device=last_position.device)  # of the rows that go on

    def keep(self, alive) -> None:
        self._places = self._places[alive]
        if len(self._places) < self._COMPACT * len(self._position):
            goes_on = torch.zeros(len(self._position), dtype=torch.bool, device=alive.device)
            goes_on[self._places] = True
            super().keep(goes_on)
            self._places = torch.arange(len(self._places), device=alive.device)

    def step(self, token):
        if len(self._places) == len(self._position):
            return super().step(token)
        filled = token.new_zeros(len(self._position))
        filled[self._places] = token
        logits = super().step(filled)[self._places]
        self.states = None if self.states is None else self.states[self._places]
        return logits

    def _note(self, layer, x) -> None:
        if layer == self._states_at and layer:
            self.states = x


@dataclass(frozen=True)
class _CacheLayer:
    keys: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True)
class _Cache:
    layers: list[_CacheLayer]

    def get_seq_length(self) -> int:
        return self.layers[0].keys.shape[2]


def _start_large(model, ids, attention, group_size, max_new_tokens, states_at):
    """`start` with the prompts side by side in one row, whatever their lengths, and what they all begin with once."""
    attends = torch.ones_like(ids) if attention is None else attention
    places = llama.layout_of_prompts(ids, attends.bool())
    x, cache, prompt_states = llama.embedded(model, places), _Cache([]), None
    for i, layer in enumerate(model.model.layers):
        if i == states_at and i:
            prompt_states = llama.of_each_prompt(x, places)
        x, *found = llama.step_through(model, llama.layer_of(layer), x, places)
        cache.layers.append(_CacheLayer(*(_as_padded(part, attends.bool(), places) for part in found)))
    logits = F.linear(rms_norm(x[places.last], model.model.norm), model.lm_head.weight)
    last = (attends.sum(1) - 1).repeat_interleave(group_size)
    attention = None if attention is None else attention.repeat_interleave(group_size, dim=0)
    decoder = LargeLlamaDecoder(model, cache, attention, last, group_size, max_new_tokens, states_at, prompt_states)
    return decoder, logits.repeat_interleave(group_size, dim=0)


def _as_padded(packed, attends, places):
    """Keys or values of prompts side by side, [N, H, D], as [P, H, S, D] with each at the places where it attends."""
    room = packed.new_zeros(*attends.shape, *packed.shape[1:])
    room[attends] = packed[places.prompt[places.is_prompt]]
    return room.transpose(1, 2)


def _widened(prompt_part, group_size, max_new_tokens):
    """Keys or values [P, H, S, D] of the prompts, a row a completion, with room for the new tokens."""
    repeated = prompt_part.repeat_interleave(group_size, dim=0)
    rows, heads, length, width = repeated.shape
    room = prompt_part.new_empty(rows, heads, length + max_new_tokens, width)
    room[:, :, :length] = repeated
    return room
