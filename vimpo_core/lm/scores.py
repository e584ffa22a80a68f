"""Score completions under policy and reference: logprob, exact KL, entropy, and the best alternatives. Imports torch.

Two forwards a batch (adapter on, adapter off). Logits are float32 or better and are reduced in row chunks, so that a
vocabulary of 150,000 never has more than a few float copies of a chunk in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vimpo_core import credit
from vimpo_core.lm import models
from vimpo_core.lm.decoding import left_padded, prefill
from vimpo_core.lm.models import LanguageModel


@dataclass(frozen=True)
class Batch:
    """Completions with the prompts they share.

    prompts: int [P, S], different prompts, padded at the left; prompt_attention: int [P, S], None when nothing is
        padded;
    prompt_of_row: int [B]; completion_ids: int [B, T], padded at the right; completion_mask: bool [B, T].
    """

    prompts: torch.Tensor
    prompt_attention: torch.Tensor | None
    prompt_of_row: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor

    def rows(self, start: int, stop: int) -> Batch:
        """The rows start..stop with the prompts they need, same width."""
        used, prompt_of_row = torch.unique(self.prompt_of_row[start:stop], return_inverse=True)
        attention = None if self.prompt_attention is None else self.prompt_attention[used]
        return Batch(
            self.prompts[used],
            attention,
            prompt_of_row,
            self.completion_ids[start:stop],
            self.completion_mask[start:stop],
        )

    def __len__(self) -> int:
        return len(self.completion_ids)


@dataclass(frozen=True)
class Scores:
    """Per-token measurements, float [B, T], nats, 0 where masked; `logprobs` carries the gradient when asked for.

    topk_*: [B, T, 2k], the policy's k best then the reference's; top_k_kl: [B, T], KL with all but the policy's k best
    tokens as one lump, at most `kl`; None unless asked for. collision: sum_v pi_v^2, the chance that two draws agree,
    no unit.
    """

    logprobs: torch.Tensor
    ref_logprobs: torch.Tensor
    kl: torch.Tensor
    entropy: torch.Tensor
    topk_ids: torch.Tensor | None = None
    topk_logprobs: torch.Tensor | None = None
    topk_ref_logprobs: torch.Tensor | None = None
    top_k_kl: torch.Tensor | None = None
    collision: torch.Tensor | None = None


def make_batch(prompt_ids: Sequence[Sequence[int]], ids: Sequence[Sequence[int]], pad_id: int, device="cpu") -> Batch:
    """Batch one completion a row with its prompt. An empty completion is a row whose mask is all False."""
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(map(tuple, prompt_ids)))}
    padded, attention = left_padded(list(prompts), pad_id, device)
    width = max(map(len, ids))
    return Batch(
        prompts=padded,
        prompt_attention=attention,
        prompt_of_row=torch.tensor([prompts[tuple(p)] for p in prompt_ids], device=device),
        completion_ids=_padded(ids, width, pad_id).to(device),
        completion_mask=_padded([[1] * len(c) for c in ids], width, 0).bool().to(device),
    )


def completion_logits(network, batch: Batch) -> torch.Tensor:
    """Logits that predict each completion token, float [B, T, V]; past a row's end they hold whatever is there.

    Prompts go through the network once, and their completions go on from their cache: a quarter less work on the
    bundled model. A causal mask needs no attention mask at the right: no real token ever attends to the padding after
    it.
    """
    first, rest = _forward(network, batch)
    logits = first.logits[:, -1:].index_select(0, batch.prompt_of_row)
    return logits[:, : batch.completion_ids.shape[1]] if rest is None else torch.cat([logits, rest.logits], 1)


def completion_states(network, batch: Batch) -> torch.Tensor:
    """Hidden states of all layers side by side where each completion token is predicted: float [B, T, (layers + 1) x
    H].
    """
    first, rest = _forward(network, batch, output_hidden_states=True)
    states = torch.cat(first.hidden_states, -1)[:, -1:].index_select(0, batch.prompt_of_row)
    if rest is None:
        return states[:, : batch.completion_ids.shape[1]]
    return torch.cat([states, torch.cat(rest.hidden_states, -1)], 1)


def _forward(network, batch, **options):
    """The network's outputs on the prompts, and on the completions but for their last tokens (None: at most one
    token).
    """
    first, last_position = prefill(network, batch.prompts, batch.prompt_attention, **options)
    row, width = batch.prompt_of_row, batch.completion_ids.shape[1]
    if width <= 1:
        return first, None
    first.cache.batch_select_indices(row)
    attention = batch.prompt_attention
    if attention is not None:
        attention = torch.cat([attention[row], attention.new_ones(len(batch), width - 1)], dim=1)
    rest = network(
        input_ids=batch.completion_ids[:, :-1],
        attention_mask=attention,
        position_ids=last_position[row][:, None] + torch.arange(1, width, device=row.device),
        cache=first.cache,
        use_cache=True,
        **options,
    )
    return first, rest


def token_logprobs(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """log pi of each completion token, [B, T], nats, 0 where masked; float32 or better, differentiable."""
    logp = torch.log_softmax(_precise(logits), dim=-1).gather(-1, batch.completion_ids[..., None])[..., 0]
    return torch.where(batch.completion_mask, logp, torch.zeros_like(logp))


def score(
    policy: LanguageModel,
    batch: Batch,
    with_grad: bool = False,
    top_k: int = 0,
    row_chunk: int = 4096,
    kl_top_k: int = 0,
) -> Scores:
    """Measure a batch under policy (adapter on) and reference (adapter off).

    Args:
        with_grad: `logprobs` keeps its graph, for the loss; everything else is constant.
        top_k: also return the k best tokens of each.
        kl_top_k: also estimate the KL over that many tokens.
    """
    with torch.set_grad_enabled(with_grad):
        logits = completion_logits(models.network(policy), batch)
        logprobs = token_logprobs(logits, batch)
    with torch.no_grad():
        ref_logits = completion_logits(models.reference(policy), batch)
        ref_logprobs = token_logprobs(ref_logits, batch)
        logits = logits.detach()
        entropy, collision = _spread(logits, row_chunk)
        return Scores(
            logprobs=logprobs,
            ref_logprobs=ref_logprobs,
            kl=_blank(credit.exact_kl(logits, ref_logits, row_chunk), batch),
            entropy=_blank(entropy, batch),
            collision=_blank(collision, batch),
            **(_top_k(logits, ref_logits, top_k, row_chunk) if top_k else {}),
            top_k_kl=_blank(lumped_kl(logits, ref_logits, kl_top_k), batch) if kl_top_k else None,
        )


def lumped_kl(logits: torch.Tensor, ref_logits: torch.Tensor, k: int) -> torch.Tensor:
    """KL(pi, pi_ref) with every token but pi's k most probable taken as one: nats, [...], between 0 and the exact
    KL.
    """
    logp, ref_logp = torch.log_softmax(_precise(logits), -1), torch.log_softmax(_precise(ref_logits), -1)
    best = logp.topk(min(k, logp.shape[-1]), dim=-1)
    p, q = best.values.exp(), ref_logp.gather(-1, best.indices).exp()
    tiny = torch.finfo(p.dtype).tiny
    rest, ref_rest = (1 - p.sum(-1)).clamp(min=tiny), (1 - q.sum(-1)).clamp(min=tiny)
    kept = (p * (best.values - ref_logp.gather(-1, best.indices))).sum(-1)
    return (kept + rest * (rest / ref_rest).log()).clamp(min=0)


@torch.no_grad()
def expected_log_ratio(policy: LanguageModel, batch: Batch, row_chunk: int = 512) -> torch.Tensor:
    """E_{a ~ pi}[log pi(a) - log pi_ref(a)] at every position, float64 [B, T], nats, 0 where masked.

    In exact arithmetic this is the KL; here it is added up in float64 and never cut off at 0, as a check on `exact_kl`.
    """
    logits = completion_logits(models.network(policy), batch)
    ref_logits = completion_logits(models.reference(policy), batch)
    vocab = logits.shape[-1]
    sums = [
        _expected_difference(torch.log_softmax(rows.double(), -1), torch.log_softmax(ref_rows.double(), -1))
        for rows, ref_rows in zip(
            logits.reshape(-1, vocab).split(row_chunk),
            ref_logits.reshape(-1, vocab).split(row_chunk),
            strict=True,
        )
    ]
    return _blank(torch.cat(sums).reshape(logits.shape[:-1]), batch)


def _expected_difference(logp, ref_logp):
    p = logp.exp()
    # A token that pi never takes adds 0, although -inf - -inf is nan.
    return torch.where(p > 0, p * (logp - ref_logp), torch.zeros_like(p)).sum(-1)


def score_in_chunks(policy: LanguageModel, batch: Batch, rows: int, top_k: int = 0, kl_top_k: int = 0) -> Scores:
    """`score` without gradient, `rows` rows through the network at a time; the result does not depend on `rows`."""
    parts = [score(policy, batch.rows(i, i + rows), top_k=top_k, kl_top_k=kl_top_k) for i in range(0, len(batch), rows)]
    return Scores(*(_joined([getattr(p, name) for p in parts]) for name in Scores.__dataclass_fields__))


def _joined(parts):
    return None if parts[0] is None else torch.cat(parts)


def _padded(rows, width, fill) -> torch.Tensor:
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=torch.long)


def _precise(logits):
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def _blank(values, batch):
    return torch.where(batch.completion_mask, values, torch.zeros_like(values))


def _spread(logits, row_chunk):
    """- sum_v pi log pi (nats) and sum_v pi^2 over the vocabulary, [B, T] each."""
    found = []
    for rows in logits.reshape(-1, logits.shape[-1]).split(row_chunk):
        chances = torch.distributions.Categorical(logits=_precise(rows), validate_args=False)
        found.append((chances.entropy(), chances.probs.square().sum(-1)))
    return tuple(torch.cat(chunks).reshape(logits.shape[:-1]) for chunks in zip(*found, strict=True))


def _top_k(logits, ref_logits, k, row_chunk):
    k = min(k, logits.shape[-1])
    shape, vocab = logits.shape[:-1], logits.shape[-1]
    columns = []
    for rows, ref_rows in zip(
        logits.reshape(-1, vocab).split(row_chunk),
        ref_logits.reshape(-1, vocab).split(row_chunk),
        strict=True,
    ):
        logp, ref_logp = torch.log_softmax(_precise(rows), -1), torch.log_softmax(_precise(ref_rows), -1)
        ids = torch.cat([logp.topk(k).indices, ref_logp.topk(k).indices], dim=-1)
        columns.append((ids, logp.gather(-1, ids), ref_logp.gather(-1, ids)))
    ids, logp, ref_logp = (torch.cat(c).reshape(*shape, 2 * k) for c in zip(*columns, strict=True))
    return {"topk_ids": ids, "topk_logprobs": logp, "topk_ref_logprobs": ref_logp}
