"""Batched sampling on a KV cache. The sampler knows ids, not text: no vocabulary, no task, no reward.

Unlike `generate`: one prefill a prompt, shared by its whole group; a row leaves the batch when it ends; each row draws
from its own stream of uniforms, so the tokens of a row do not depend on which rows are sampled beside it. Imports
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from vimpo_core.lm import decoding, llama, models
from vimpo_core.lm.model_files import context_length, too_long
from vimpo_core.mistake import Mistake
from vimpo_core.types import Rollout, StopReason


@torch.no_grad()
def sample(
    model,
    prompts: Sequence[Sequence[int]],
    group_size: int | Sequence[int],
    max_new_tokens: int | Sequence[int],
    end_ids: Sequence[int],
    pad_id: int,
    seed: int,
    greedy: bool = False,
    prefixes: Sequence[Sequence[int]] | None = None,
    uniforms: torch.Tensor | None = None,
    states_at: int = 0,
) -> list[Rollout]:
    """Sample `group_size` completions of every prompt at temperature 1; same seed, same tokens.

    Args:
        model: a transformers causal language model (fold the adapter in first: `models.merged`).
        prompts: token ids, one sequence a prompt, each at least one token.
        group_size, max_new_tokens: one number for all prompts or one a prompt, each at least 1.
        end_ids: each of them ends a completion and is kept as its last token.
        greedy: take the most probable token instead (the seed is then without effect).
        prefixes: tokens a completion must begin with, one sequence a prompt; they are not part of the returned ids.
        uniforms: draws in [0, 1) instead of the seed's, float64 [rollouts, largest max_new_tokens].
        states_at: a layer whose inputs the rollouts are to carry, where the decoder can keep them; 0: none.

    Returns:
        group_size rollouts a prompt, grouped by prompt; sampler_logprob in nats, float32 [T].

    Raises:
        Mistake: no prompt, an empty one, or more tokens than the model reads.
    """
    if not prompts or any(len(p) == 0 for p in prompts):
        raise Mistake(
            f"every prompt needs at least one token, got lengths {[len(p) for p in prompts]}. Drop empty ones."
        )
    starts = [[*p, *x] for p, x in zip(prompts, prefixes or [()] * len(prompts), strict=True)]
    budgets = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    sizes = [group_size] * len(prompts) if isinstance(group_size, int) else list(group_size)
    _check_length(model, starts, budgets)
    if uniforms is None:
        uniforms = uniforms_of(seed, sum(sizes), max(budgets))
    found, row = [], 0
    for part in _parts(model, starts, sizes, budgets):
        rows = sum(sizes[part])
        of_part = (prompts[part], starts[part], sizes[part], budgets[part], uniforms[row : row + rows])
        found += _sample_together(model, *of_part, end_ids, pad_id, greedy, states_at)
        row += rows
    return found


ROOM = 640 * 2**20
"""Bytes for the cache and the logits of rows that a large model samples together."""


def _parts(model, starts, sizes, budgets) -> list[slice]:
    """Prompts that are sampled together: all of them, or of a large model as many as fit into ROOM."""
    if not models.is_large(model):
        return [slice(0, len(starts))]
    shape = model.config.get_text_config()
    heads = _same_everywhere(shape, "num_key_value_heads") or shape.num_attention_heads
    width = heads * (_same_everywhere(shape, "head_dim") or shape.hidden_size // shape.num_attention_heads)
    token, drawn = 8 * shape.num_hidden_layers * width, 32 * shape.vocab_size
    edges, held = [0], 0
    for i, (start, size, budget) in enumerate(zip(starts, sizes, budgets, strict=True)):
        copies = 1 if llama.is_large_llama(model) else size
        needed = token * (copies * len(start) + size * budget) + size * drawn
        if held and held + needed > ROOM:
            edges.append(i)
            held = 0
        held += needed
    return [slice(*pair) for pair in pairwise([*edges, len(starts)])]


def _same_everywhere(config, name: str) -> int | None:
    """A setting of all layers; None where there is none, or where layers differ and transformers names none."""
    try:
        return getattr(config, name, None)
    except Exception:  # an error of its own, which is no AttributeError
        return None


def _sample_together(model, prompts, starts, sizes, budgets, uniforms, end_ids, pad_id, greedy, states_at):
    device = next(model.parameters()).device
    ids, attention = decoding.left_padded(starts, pad_id, device)
    repeats = torch.tensor(sizes, device=device)
    owner = torch.arange(len(prompts), device=device).repeat_interleave(repeats)  # each rollout's prompt
    budgets = torch.tensor(budgets, device=device)[owner]
    longest = int(budgets.max())
    decoder, logits = decoding.start(model, ids, attention, repeats, longest, states_at)
    kept = _States(decoder, owner)

    rows = torch.arange(len(owner), device=device)  # which rollout each row of the batch is
    uniforms = uniforms.to(device)
    tokens = torch.full((len(rows), longest), pad_id, device=device)
    logprobs = torch.zeros((len(rows), longest), device=device)
    lengths = torch.zeros(len(rows), dtype=torch.long, device=device)
    ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
    ends = torch.tensor(end_ids, device=device)
    for t in range(longest):
        logp = torch.log_softmax(logits.float(), dim=-1)
        token = logp.argmax(-1) if greedy else _inverse_cdf(logp, uniforms[rows, t])
        tokens[rows, t], lengths[rows] = token, t + 1
        logprobs[rows, t] = logp.gather(1, token[:, None])[:, 0]
        ended[rows] = has_ended = torch.isin(token, ends)
        alive = ~has_ended & (t + 1 < budgets[rows])
        if not alive.any():
            break
        if not alive.all():
            rows, token = rows[alive], token[alive]
            decoder.keep(alive)
        logits = decoder.step(token)
        kept.add(rows)
    return _rollouts(prompts, owner, tokens, logprobs, lengths, ended, kept)


class _States:
    """What the decoder kept of a layer's inputs, put together for each rollout."""

    def __init__(self, decoder, owner):
        self._decoder, self._owner = decoder, owner.tolist()
        self._prompts = getattr(decoder, "prompt_states", None)
        self._steps: list[list[torch.Tensor]] = [[] for _ in owner]

    def add(self, rows) -> None:
        if self._prompts is not None:
            for row, state in zip(rows.tolist(), self._decoder.states, strict=True):
                self._steps[row].append(state)

    def of(self, row: int):
        if self._prompts is None:
            return None
        prompt, steps = self._prompts[self._owner[row]], self._steps[row]
        return prompt, torch.stack(steps) if steps else prompt[:0]


def _check_length(model, starts, budgets) -> None:
    longest, limit = max(len(s) + b for s, b in zip(starts, budgets, strict=True)), context_length(model.config)
    if limit is not None and longest > limit:
        raise Mistake(too_long(longest, limit))


def uniforms_of(seed: int, rows: int, length: int) -> torch.Tensor:
    """The draws that a seed stands for, float64 [rows, length] in [0, 1)."""
    return torch.rand((rows, length), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _inverse_cdf(logp, uniform):
    """The token at which the cumulative probability first exceeds the row's uniform."""
    cumulative = logp.double().exp().cumsum(-1)
    # Rounding may leave the total below 1: scale the uniform to it, so that no draw falls off the end.
    drawn = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)
    return drawn[:, 0].clamp(max=logp.shape[-1] - 1)


def draw_ranges(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The uniforms that make `sample` draw each token: low <= u < high, float64 [..., 2].

    Args:
        logits: float [..., V], at each token; ids: int [...].
    """
    cumulative = torch.log_softmax(logits.float(), dim=-1).double().exp().cumsum(-1)
    high = cumulative.gather(-1, ids[..., None])
    low = torch.where(ids[..., None] > 0, cumulative.gather(-1, (ids[..., None] - 1).clamp(min=0)), 0.0)
    return torch.cat([low, high], dim=-1) / cumulative[..., -1:]


def _rollouts(prompts, owner, tokens, logprobs, lengths, ended, kept):
    tokens, logprobs = tokens.cpu(), logprobs.cpu().numpy()
    owner, lengths, ended = owner.tolist(), lengths.tolist(), ended.tolist()
    return [
        Rollout(
            prompt_ids=tuple(prompts[owner[row]]),
            ids=tuple(tokens[row, :length].tolist()),
            sampler_logprob=logprobs[row, :length].copy(),
            finish_reason=StopReason.EOS if ended[row] else StopReason.LENGTH,
            states=kept.of(row),
        )
        for row, length in enumerate(lengths)
    ]
