"""From hidden states to what is measured over the vocabulary, without holding the logits of a batch. Imports torch.

The losses reach the network through log pi of the sampled tokens alone, and there the gradient is known: W_y - E_pi[W].
It is made in the same pass over the rows, so that backward needs neither logits nor the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

ROOM = 48 * 2**20
"""Bytes for all that is as wide as the vocabulary."""
_COPIES = 3
"""Such arrays that live at once."""


@dataclass(frozen=True)
class Measured:
    """Of each of M tokens: logprobs, ref_logprobs, kl, entropy, collision, top_k_kl, float [M]; topk_*: [M, 2k];
    directions: d log pi / d hidden state, [M, H]; None unless asked for.
    """

    logprobs: torch.Tensor
    ref_logprobs: torch.Tensor
    kl: torch.Tensor
    entropy: torch.Tensor
    collision: torch.Tensor
    topk_ids: torch.Tensor | None = None
    topk_logprobs: torch.Tensor | None = None
    topk_ref_logprobs: torch.Tensor | None = None
    top_k_kl: torch.Tensor | None = None
    directions: torch.Tensor | None = None


@torch.no_grad()
def measure(
    hidden: torch.Tensor,
    ref_hidden: torch.Tensor,
    weight: torch.Tensor,
    predicts: torch.Tensor,
    ids: torch.Tensor,
    with_directions: bool = False,
    top_k: int = 0,
    kl_top_k: int = 0,
) -> Measured:
    """Measure sampled tokens over a vocabulary of any size.

    Args:
        hidden, ref_hidden: of policy and reference, [U, H]; weight: [V, H]; logits are their product.
        predicts: int [M], which hidden state predicts each token; ids: int [M], the tokens.
        with_directions: also d log pi / d hidden; top_k, kl_top_k: as `scores.score`.
    """
    order = predicts.argsort(stable=True)
    rows = max(1, ROOM // (_COPIES * weight.shape[0] * hidden.element_size()))
    starts = range(0, len(hidden), rows)
    edges = torch.searchsorted(predicts[order], torch.tensor([*starts, len(hidden)], device=ids.device)).tolist()
    # The same memory for every chunk: given back and asked for again, it grows by what lies between.
    room = [hidden.new_empty(min(rows, len(hidden)), len(weight)) for _ in range(_COPIES)]
    found = []
    for start, low, high in zip(starts, edges, edges[1:], strict=False):
        tokens, part = order[low:high], slice(start, start + rows)
        local = predicts[tokens] - start
        found.append(
            _chunk(hidden[part], ref_hidden[part], weight, local, ids[tokens], room, with_directions, top_k, kl_top_k)
        )
    back = order.argsort()
    return Measured(**{name: torch.cat([one[name] for one in found])[back] for name in found[0]})


def _chunk(hidden, ref_hidden, weight, rows, ids, room, with_directions, top_k, kl_top_k) -> dict[str, torch.Tensor]:
    logp, ref_logp, p = (part[: len(hidden)] for part in room)
    for states, place in ((hidden, logp), (ref_hidden, ref_logp)):
        torch.mm(states, weight.t(), out=place)
        place -= place.amax(-1, keepdim=True)
        place -= torch.exp(place, out=p).sum(-1, keepdim=True).log()
    torch.exp(logp, out=p)
    found = {
        "logprobs": logp[rows, ids],
        "ref_logprobs": ref_logp[rows, ids],
        "entropy": -torch.linalg.vecdot(p, logp)[rows],
        "collision": torch.linalg.vecdot(p, p)[rows],
    }
    if with_directions:
        found["directions"] = weight[ids] - (p @ weight)[rows]
    if top_k:
        best = torch.cat([x.topk(min(top_k, x.shape[-1])).indices for x in (logp, ref_logp)], dim=-1)
        of_tokens = {
            "topk_ids": best,
            "topk_logprobs": logp.gather(-1, best),
            "topk_ref_logprobs": ref_logp.gather(-1, best),
        }
        found |= {name: values[rows] for name, values in of_tokens.items()}
    if kl_top_k:
        found["top_k_kl"] = lumped_kl(logp, ref_logp, kl_top_k)[rows]
    difference = ref_logp.neg_().add_(logp)
    found["kl"] = torch.linalg.vecdot(p, difference).clamp(min=0)[rows]
    return found


def lumped_kl(logp: torch.Tensor, ref_logp: torch.Tensor, k: int) -> torch.Tensor:
    """KL(pi, pi_ref) with every token but pi's k most probable taken as one: nats, [...], between 0 and the exact KL.

    Args:
        logp, ref_logp: log-probabilities, float [..., V].
    """
    best = logp.topk(min(k, logp.shape[-1]), dim=-1)
    p, q = best.values.exp(), ref_logp.gather(-1, best.indices).exp()
    tiny = torch.finfo(p.dtype).tiny
    rest, ref_rest = (1 - p.sum(-1)).clamp(min=tiny), (1 - q.sum(-1)).clamp(min=tiny)
    kept = (p * (best.values - ref_logp.gather(-1, best.indices))).sum(-1)
    return (kept + rest * (rest / ref_rest).log()).clamp(min=0)


class _Logprobs(torch.autograd.Function):
    """log pi of sampled tokens as a function of the hidden states, its gradient along known directions."""

    @staticmethod
    def forward(ctx, hidden, logprobs, directions, predicts):
        ctx.save_for_backward(directions, predicts)
        ctx.shape = hidden.shape
        return logprobs.clone()

    @staticmethod
    def backward(ctx, *grads):
        directions, predicts = ctx.saved_tensors
        return gradient(grads[0], directions, predicts, ctx.shape[0]), None, None, None


def logprobs_of(hidden: torch.Tensor, measured: Measured, predicts: torch.Tensor) -> torch.Tensor:
    """`measured.logprobs`, differentiable in the hidden states [U, H] that they were measured from."""
    return _Logprobs.apply(hidden, measured.logprobs, measured.directions, predicts)


def gradient(grads: torch.Tensor, directions: torch.Tensor, predicts: torch.Tensor, rows: int) -> torch.Tensor:
    """d loss / d hidden states [U, H], from d loss / d log pi of each token [M]."""
    return directions.new_zeros(rows, directions.shape[1]).index_add_(0, predicts, grads[:, None] * directions)
