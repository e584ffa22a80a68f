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


class _LlamaSteps:
    """A plain Llama's decoding step (`is_plain_llama`) but for its memory of earlier tokens; same interface as
    `CacheDecoder`.
    """

    def __init__(self, model, last_position, max_new_tokens):
        config = model.config
        self._model = model
        self._head_dim = model.model.layers[0].self_attn.head_dim
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._layers = [llama.layer_of(layer) for layer in model.model.layers]
        self._position = last_position
        span = torch.arange(int(last_position.max()) + max_new_tokens + 1, device=last_position.device)
        self._cos, self._sin = (r[0] for r in model.model.rotary_emb(model.lm_head.weight, span[None]))

    def step(self, token):
        """Logits after one more token a row: int [B] -> float [B, V]."""
        self._position = self._position + 1
        cos, sin = self._cos[self._position][:, None, :], self._sin[self._position][:, None, :]
        x = F.embedding(token, self._model.model.embed_tokens.weight)
        for at, layer in enumerate(self._layers):
            self._note(at, x)
            qkv = layer.qkv(rms_norm(x, layer.attention_norm))
            qkv = qkv.view(len(x), self._heads + 2 * self._kv_heads, self._head_dim)
            rotated, value = rotate(qkv[:, : -self._kv_heads], cos, sin), qkv[:, -self._kv_heads :]
            query, key = rotated[:, : self._heads], rotated[:, self._heads :]
            x = x + layer.out(self._attend(at, query, key, value))
            gate, up = layer.gate_up(rms_norm(x, layer.mlp_norm)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        return F.linear(rms_norm(x, self._model.model.norm), self._model.lm_head.weight)

    def _note(self, layer, x) -> None:
        """Is told what each layer reads."""

    def _attend(self, layer, query, key, value):
        """What the new tokens read in a layer, [B, heads x D], of which these are query, key and value, [B, heads,
        D].
        """
        raise NotImplementedError


class LlamaDecoder(_LlamaSteps):
    """Every row with a copy of its prompt's keys and values: the least work where these are small."""

    def __init__(self, model, cache, attention, last_position, group_size, max_new_tokens):
        super().__init__(model, last_position, max_new_tokens)
        self._filled = cache.get_seq_length()
        self._keys = [_widened(c.keys, group_size, max_new_tokens) for c in cache.layers]
        self._values = [_widened(c.values, group_size, max_new_tokens) for c in cache.layers]
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
        self._filled += 1
        return super().step(token)

    def _attend(self, layer, query, key, value):
        rows, keys, values = len(query), self._keys[layer], self._values[layer]
        keys[:, :, self._filled - 1], values[:, :, self._filled - 1] = key, value
        # Query heads that share a key head are rows of one product: [rows x kv_heads, group, head_dim].
        query = query.reshape(rows * self._kv_heads, -1, self._head_dim)
        keys, values = keys.flatten(0, 1)[:, : self._filled], values.flatten(0, 1)[:, : self._filled]
        scores = torch.bmm(query, keys.transpose(1, 2)) * self._head_dim**-0.5
        if self._mask is not None:
            mask = self._mask[..., : self._filled]
            scores = scores.view(rows, -1, self._filled).masked_fill(~mask, -torch.inf).view_as(scores)
        return torch.bmm(scores.softmax(-1), values).view(rows, -1)


class LargeLlamaDecoder(_LlamaSteps):
    """The same of a large network: a prompt's keys and values are there once for its rows, rows that have said the same
    so far go on as one (a branch), and what a layer read can be kept.

    Branches sit on benches of one size, each bench with its prompt; a prompt with more rows than the mean has several.

    states: of the last step what layer `states_at` read, [rows, H]; prompt_states: of each prompt, [S, H]; None where
        states_at is 0.
    """

    _COMPACT = 0.8
    """Branches are copied together when fewer than this share of them goes on: each time costs a copy of the cache."""

    def __init__(self, model, cache, attends, group_size, max_new_tokens, states_at, prompt_states):
        sizes = torch.as_tensor(group_size, device=attends.device).expand(len(attends))
        super().__init__(model, attends.sum(1) - 1, max_new_tokens)
        self._prompt = torch.arange(len(sizes), device=attends.device)  # of each branch
        self._branch = self._prompt.repeat_interleave(sizes)  # of each row
        self._bench = -(-len(self._branch) // len(sizes))
        benches = -(-sizes // self._bench)
        self._first_seat = (benches.cumsum(0) - benches) * self._bench
        prompt_of_bench = self._prompt.repeat_interleave(benches)
        self._hidden = ~attends[prompt_of_bench]
        is_shared = len(prompt_of_bench) > len(sizes)
        self._prompts = [[x[prompt_of_bench] if is_shared else x for x in (c.keys, c.values)] for c in cache.layers]
        self._room = max_new_tokens
        self._own = [[x[:, :, :0] for x in (c.keys, c.values)] for c in cache.layers]
        self._filled = 0
        self._states_at, self.prompt_states = states_at, prompt_states
        self.states: torch.Tensor | None = None

    def keep(self, alive) -> None:
        """Go on with these rows only. alive: bool, one a row."""
        self._branch = self._branch[alive]

    def step(self, token):
        pairs, new = torch.unique(torch.stack([self._branch, token], dim=1), dim=0, return_inverse=True)
        parents, of_branch = pairs.unbind(1)
        splits = bool((parents[1:] == parents[:-1]).any())
        if self._filled == 0 or splits or len(pairs) < self._COMPACT * len(self._prompt):
            self._grow_from(parents)
            self._branch = new
        else:
            of_branch = of_branch.new_zeros(len(self._prompt)).index_put((parents,), of_branch)
        self._filled += 1
        logits = super().step(of_branch)[self._branch]
        self.states = None if self.states is None else self.states[self._branch]
        return logits

    def _grow_from(self, parents) -> None:
        """One branch for each of these, which are in order: its memory and place are its parent's."""
        self._prompt, self._position = self._prompt[parents], self._position[parents]
        counts = self._prompt.bincount(minlength=len(self._first_seat))
        nth = torch.arange(len(parents), device=parents.device) - (counts.cumsum(0) - counts)[self._prompt]
        self._seats = self._first_seat[self._prompt] + nth
        for layer in self._own:
            layer[:] = [self._copied(x, parents) for x in layer]

    def _copied(self, own, parents):
        room = own.new_empty(len(parents), self._kv_heads, self._room, self._head_dim)
        room[:, :, : self._filled] = own[:, :, : self._filled][parents]
        return room

    def _note(self, layer, x) -> None:
        if layer == self._states_at and layer:
            self.states = x

    def _attend(self, layer, query, key, value):
        (of_prompt, keys), (value_of_prompt, values) = zip(self._prompts[layer], self._own[layer], strict=True)
        keys[:, :, self._filled - 1], values[:, :, self._filled - 1] = key, value
        keys, values = (x[:, :, : self._filled].flatten(0, 1) for x in (keys, values))
        rows, scale = len(query), self._head_dim**-0.5
        # Query heads that share a key head are rows of one product: [rows x kv_heads, group, head_dim].
        own = torch.bmm(query.reshape(rows * self._kv_heads, -1, self._head_dim), keys.transpose(1, 2))
        there = torch.bmm(self._seated(query), of_prompt.flatten(0, 1).transpose(1, 2))
        there = self._risen(there.masked_fill_(self._hidden_of_heads(), -torch.inf))
        weights = (torch.cat([there, own.view(rows, self._heads, -1)], dim=-1) * scale).softmax(-1)
        there, own = weights.split([there.shape[-1], self._filled], dim=-1)
        found = torch.bmm(own.reshape(rows * self._kv_heads, -1, self._filled), values).view(rows, self._heads, -1)
        return (found + self._risen(torch.bmm(self._seated(there), value_of_prompt.flatten(0, 1)))).flatten(1)

    def _hidden_of_heads(self):
        """Which places of each bench's prompt are padding, [benches x kv_heads, 1, S]."""
        return self._hidden.repeat_interleave(self._kv_heads, dim=0)[:, None]

    def _seated(self, x):
        """[rows, heads, D] -> [benches x kv_heads, rows of a bench x heads that share a key head, D]."""
        benches = x.new_zeros(len(self._hidden) * self._bench, *x.shape[1:])
        benches[self._seats] = x
        benches = benches.view(len(self._hidden), self._bench, self._kv_heads, -1, x.shape[-1])
        return benches.transpose(1, 2).reshape(len(self._hidden) * self._kv_heads, -1, x.shape[-1])

    def _risen(self, x):
        """The other way round."""
        benches = x.view(len(self._hidden), self._kv_heads, self._bench, -1, x.shape[-1]).transpose(1, 2)
        return benches.reshape(len(self._hidden) * self._bench, self._heads, x.shape[-1])[self._seats]


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
    decoder = LargeLlamaDecoder(model, cache, attends.bool(), group_size, max_new_tokens, states_at, prompt_states)
    return decoder, logits.repeat_interleave(torch.as_tensor(group_size, device=logits.device), dim=0)


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
