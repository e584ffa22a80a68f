"""Score completions under policy and reference: logprob, exact KL, entropy, and the best alternatives. Imports torch.

Two forwards a batch (adapter on, adapter off); of a large plain Llama (`llama`) the layers below the lowest adapted one
go through once, and its logits are never held whole (`head`). Elsewhere logits are reduced in row chunks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vimpo_core import credit
from vimpo_core.lm import head, llama, models
from vimpo_core.lm.decoding import left_padded, prefill
from vimpo_core.lm.models import LanguageModel
from vimpo_core.types import known


@dataclass(frozen=True)
class Batch:
    """Completions with the prompts they share.

    prompts: int [P, S], different prompts, padded at the left; prompt_attention: int [P, S], None when nothing is
        padded;
    prompt_of_row: int [B]; completion_ids: int [B, T], padded at the right; completion_mask: bool [B, T];
    states: what the lowest adapted layer reads of each prompt and of each row, where the sampler kept it
        (`Rollout.states`).
    """

    prompts: torch.Tensor
    prompt_attention: torch.Tensor | None
    prompt_of_row: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor
    states: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    def rows(self, start: int, stop: int) -> Batch:
        """The rows start..stop with the prompts they need, same width."""
        return self.at(torch.arange(start, min(stop, len(self)), device=self.prompt_of_row.device))

    def at(self, rows: torch.Tensor) -> Batch:
        """Those rows, int [R], with the prompts they need, same width."""
        used, prompt_of_row = torch.unique(self.prompt_of_row[rows], return_inverse=True)
        attention = None if self.prompt_attention is None else self.prompt_attention[used]
        states = self.states and (
            [self.states[0][i] for i in used.tolist()],
            [self.states[1][i] for i in rows.tolist()],
        )
        return Batch(
            self.prompts[used], attention, prompt_of_row, self.completion_ids[rows], self.completion_mask[rows], states
        )

    def different(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One row of each that there are, int [R], and which of these each row is like, int [B]."""
        marks = [self.prompt_of_row[:, None], self.completion_ids * self.completion_mask, self.completion_mask.long()]
        kinds, kind = torch.unique(torch.cat(marks, dim=1), dim=0, return_inverse=True)
        rows = torch.arange(len(self), device=kind.device)
        first = rows.new_full((len(kinds),), len(self)).scatter_reduce(0, kind, rows, "amin")
        order = first.argsort()
        return first[order], order.argsort()[kind]

    def __len__(self) -> int:
        return len(self.completion_ids)


@dataclass(frozen=True)
class Scores:
    """Per-token measurements, float [B, T], nats, 0 where masked; `logprobs` carries the gradient when asked for.

    topk_*: [B, T, 2k], the policy's k best then the reference's; top_k_kl: [B, T], KL with all but the policy's k best
    tokens as one lump, at most `kl`; None unless asked for. collision: sum_v pi_v^2, the chance that two draws agree,
    no unit. push: takes d loss / d logprobs [B, T] and adds to the adapter's gradient; None where nothing is learned.
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
    push: Callable[[torch.Tensor], None] | None = None


def make_batch(
    prompt_ids: Sequence[Sequence[int]], ids: Sequence[Sequence[int]], pad_id: int, device="cpu", states=None
) -> Batch:
    """Batch one completion a row with its prompt. An empty completion is a row whose mask is all False.

    states: `Rollout.states` of each row, or None.
    """
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(map(tuple, prompt_ids)))}
    padded, attention = left_padded(list(prompts), pad_id, device)
    width = max(map(len, ids))
    return Batch(
        prompts=padded,
        prompt_attention=attention,
        prompt_of_row=torch.tensor([prompts[tuple(p)] for p in prompt_ids], device=device),
        completion_ids=_padded(ids, width, pad_id).to(device),
        completion_mask=_padded([[1] * len(c) for c in ids], width, 0).bool().to(device),
        states=_states_of(prompts, prompt_ids, states),
    )


def _states_of(prompts, prompt_ids, states):
    """The prompts' states once each, and the rows'; None unless there are some for every row."""
    if states is None or any(one is None for one in states):
        return None
    of_prompt = {prompts[tuple(p)]: one[0] for p, one in zip(prompt_ids, states, strict=True)}
    return [of_prompt[i] for i in range(len(prompts))], [one[1] for one in states]


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
    row_chunk: int = 0,
    kl_top_k: int = 0,
    temperature: float = 1.0,
) -> Scores:
    """Measure a batch under policy (adapter on) and reference (adapter off).

    Args:
        with_grad: `logprobs` keeps its graph, for the loss; everything else is constant.
        top_k: also return the k best tokens of each.
        row_chunk: rows reduced over the vocabulary at once; 0: as many as memory allows. Changes no result.
        kl_top_k: also estimate the KL over that many tokens.
        temperature: of both distributions: softmax(logits / temperature).
    """
    if llama.serves(policy):
        return _scores_of_llama(policy, batch, with_grad, False, top_k, kl_top_k, temperature)
    with torch.set_grad_enabled(with_grad):
        logits = _at(temperature, completion_logits(models.network(policy), batch))
        logprobs = token_logprobs(logits, batch)
    with torch.no_grad():
        is_one_network = policy.model is policy.bare
        ref_logits = logits if is_one_network else _at(temperature, completion_logits(models.reference(policy), batch))
        ref_logprobs = token_logprobs(ref_logits, batch)
        logits = logits.detach()
        row_chunk = row_chunk or min(4096, max(1, head.ROOM // (16 * logits.shape[-1])))
        entropy, collision = _spread(logits, row_chunk)
        return Scores(
            logprobs=logprobs,
            ref_logprobs=ref_logprobs,
            kl=_blank(credit.exact_kl(logits, ref_logits, row_chunk), batch),
            entropy=_blank(entropy, batch),
            collision=_blank(collision, batch),
            **(_top_k(logits, ref_logits, top_k, row_chunk) if top_k else {}),
            top_k_kl=_blank(lumped_kl(logits, ref_logits, kl_top_k), batch) if kl_top_k else None,
            push=logprobs.backward if with_grad else None,
        )


def _at(temperature: float, logits):
    return logits if temperature == 1 else logits / temperature


def _scores_of_llama(policy, batch, with_grad, later, top_k, kl_top_k, temperature=1.0) -> Scores:
    """`score` of a network that `llama` serves. later: without a graph; `push` goes through the upper layers again."""
    places = _layout(batch)
    with torch.no_grad():
        states = _trunk(policy, batch, places)
        # The head has no bias: dividing what it reads divides the logits.
        ref_hidden = _at(temperature, _last_states(policy, policy.bare.model.layers, states, places))
    with torch.set_grad_enabled(with_grad):
        hidden = _at(temperature, _last_states(policy, llama.adapted_layers(policy), states, places))
    found = head.measure(
        hidden.detach(),
        ref_hidden,
        policy.bare.lm_head.weight,
        places.predicts,
        batch.completion_ids[batch.completion_mask],
        with_grad or later,
        top_k,
        kl_top_k,
    )
    logprobs = head.logprobs_of(hidden, found, places.predicts) if with_grad else found.logprobs
    logprobs = _spread_out(logprobs, batch)

    def push(gradient):
        again = _at(temperature, _last_states(policy, llama.adapted_layers(policy), states, places))
        again.backward(
            head.gradient(gradient[batch.completion_mask], known(found.directions), places.predicts, len(again))
        )

    names = ("ref_logprobs", "kl", "entropy", "collision", "topk_ids", "topk_logprobs", "topk_ref_logprobs", "top_k_kl")
    return Scores(
        logprobs,
        **{name: _spread_out(getattr(found, name), batch) for name in names},
        push=logprobs.backward if with_grad else push if later else None,
    )


def _of_all(found: Scores, like: torch.Tensor) -> Scores:
    """The scores of every row from those of different ones; like: which of these each row is like."""
    values = {name: getattr(found, name) for name in _ARRAYS}
    every: dict[str, Any] = {name: None if value is None else value[like] for name, value in values.items()}
    spread = Scores(**every)
    own_push = found.push

    def push(gradient):
        known(own_push)(gradient.new_zeros(values["logprobs"].shape).index_add_(0, like, gradient))

    return dataclasses.replace(spread, push=own_push and push)


_ARRAYS = [name for name in Scores.__dataclass_fields__ if name != "push"]


def _layout(batch) -> llama.Layout:
    attends = torch.ones_like(batch.prompts) if batch.prompt_attention is None else batch.prompt_attention
    return llama.layout(batch.prompts, attends.bool(), batch.prompt_of_row, batch.completion_ids, batch.completion_mask)


def _trunk(policy, batch, places):
    """What the lowest adapted layer reads, [N, H]: the same of policy and reference."""
    if batch.states is not None:
        return torch.cat([llama.in_one_row(batch.states[0], places), *batch.states[1]])
    below = [llama.layer_of(layer) for layer in policy.bare.model.layers[: llama.lowest_adapted(policy)]]
    return llama.through(policy.bare, below, llama.embedded(policy.bare, places), places)


def _last_states(policy, layers, states, places):
    """What the head reads before each token, [U, H]: through the layers from the lowest adapted one on."""
    above = [llama.layer_of(layer) for layer in layers[llama.lowest_adapted(policy) :]]
    return llama.rms_norm(llama.through(policy.bare, above, states, places)[places.last], policy.bare.model.norm)


def _spread_out(values, batch):
    """Values of the sampled tokens, [M, ...], at their places in [B, T, ...], 0 elsewhere."""
    if values is None:
        return None
    room = values.new_zeros(*batch.completion_mask.shape, *values.shape[1:])
    return room.masked_scatter(_like(batch.completion_mask, room), values)


def _like(mask, values):
    return mask.reshape(*mask.shape, *[1] * (values.dim() - mask.dim())).expand_as(values)


def lumped_kl(logits: torch.Tensor, ref_logits: torch.Tensor, k: int) -> torch.Tensor:
    """KL(pi, pi_ref) with every token but pi's k most probable taken as one: nats, [...], between 0 and the exact
    KL.
    """
    return head.lumped_kl(torch.log_softmax(_precise(logits), -1), torch.log_softmax(_precise(ref_logits), -1), k)


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


def score_in_chunks(
    policy: LanguageModel, batch: Batch, rows: int, top_k: int = 0, kl_top_k: int = 0, learns: bool = False
) -> Scores:
    """`score` with `rows` rows through the network at a time; the result does not depend on `rows`.

    learns: give the result a `push`; it goes through the network again, chunk by chunk.
    """
    if llama.serves(policy):
        different, like = batch.different()
        if len(different) < len(batch):
            found = score_in_chunks(policy, batch.at(different), rows, top_k, kl_top_k, learns)
            return _of_all(found, like)
    chunks = [batch.rows(i, i + rows) for i in range(0, len(batch), rows)]
    parts = [_chunk_scores(policy, chunk, learns, top_k, kl_top_k) for chunk in chunks]

    def push(gradient):
        for part, rows_gradient in zip(parts, gradient.split(rows), strict=True):
            known(part.push)(rows_gradient)

    joined: dict[str, Any] = {name: _joined([getattr(p, name) for p in parts]) for name in _ARRAYS}
    return Scores(**joined, push=push if learns else None)


def _chunk_scores(policy, batch, learns, top_k, kl_top_k) -> Scores:
    if llama.serves(policy):
        return _scores_of_llama(policy, batch, False, learns, top_k, kl_top_k)

    def push(gradient):
        token_logprobs(completion_logits(models.network(policy), batch), batch).backward(gradient)

    return dataclasses.replace(score(policy, batch, top_k=top_k, kl_top_k=kl_top_k), push=push if learns else None)


GRAPH_ROOM = 600 * 2**20
"""Bytes that the graph of a large model's batch may take before it goes through the network in chunks."""


def rows_that_fit(policy: LanguageModel, batch: Batch) -> int:
    """Rows of a large model's batch whose graph fits into GRAPH_ROOM; of a small one the whole batch."""
    if not models.is_large(policy.bare):
        return len(batch)
    bare: Any = policy.bare
    shape = bare.config.get_text_config()
    has_own_way = llama.serves(policy)
    layers = shape.num_hidden_layers - (llama.lowest_adapted(policy) if has_own_way else 0)
    # What the graph keeps of a token: of a layer about ten states and four of the feed-forward's width. Logits that are
    # held are there six times: of policy and reference, with their log-probabilities and what reduces them.
    inner = getattr(shape, "intermediate_size", None) or 4 * shape.hidden_size
    token = 4 * (layers * (10 * shape.hidden_size + 4 * inner) + (0 if has_own_way else 6 * shape.vocab_size))
    whole = len(batch)
    if has_own_way:
        batch = batch.at(batch.different()[0])
    tokens = len(_layout(batch).ids) if has_own_way else batch.prompts.numel() + batch.completion_ids.numel()
    if token * tokens <= GRAPH_ROOM:
        return whole
    rows, group = max(1, int(len(batch) * GRAPH_ROOM / (token * tokens))), len(batch) // len(batch.prompts)
    return rows if rows < group else rows - rows % group  # a prompt goes through once for its group


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
