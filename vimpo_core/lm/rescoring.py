"""Solutions that another tool recorded, scored with a model: their tokens, whether the model fits what was recorded,
and their arrays. Imports torch.

What a tool did not record is not made up: of text alone it is said that the text is scored, and no end token is put
where none was recorded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from vimpo_core.lm import llama, models, scores
from vimpo_core.lm.model_files import context_length
from vimpo_core.lm.models import LanguageModel
from vimpo_core.lm.traces import top_k_of
from vimpo_core.mistake import Mistake
from vimpo_core.types import CreditTrace, StopReason

CHECKED = 3
"""Solutions that are compared with what was recorded before anything is scored."""
CLOSE, NEAR = 0.02, 0.15
"""Mean |difference| of log-probabilities, nats a token, up to which two agree, as half precision leaves it, and up to
which they are the same model a few updates apart."""
FIT_TOKENS = 64
"""Tokens of each solution that a temperature is fitted on."""
_HIGHEST, _LOWEST = 4.0, 0.1
_LOGIT_ROOM = 2**28
"""Bytes of one network's logits at a time."""
_STATE_TOKENS = 8192
"""Tokens at a time of a network whose logits are never held."""


class Same(StrEnum):
    """Whether the tokens that are scored are those that were sampled."""

    RECORDED = "recorded"
    """Their ids were recorded."""
    AGREES = "agrees"
    """The text was cut into tokens again, and as many of them, or the same pieces, were recorded."""
    DIFFERS = "differs"
    """It was, and other pieces, or another number, were recorded."""
    UNKNOWN = "unknown"
    """It was, and nothing of the sampled tokens was recorded."""


@dataclass(frozen=True)
class Tokens:
    """What of a solution is scored. ids: with its end token where that was recorded, or asked for."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    same: Same


@dataclass(frozen=True)
class Fit:
    """How recorded log-probabilities and a model's agree, |difference| in nats a token: at the best temperature, and
    at 1.

    rows, tokens: that were compared. temperature: where they agree best.
    """

    rows: int
    tokens: int
    temperature: float
    mean: float
    worst: float
    mean_at_one: float

    @property
    def is_close(self) -> bool:
        return self.mean <= CLOSE

    @property
    def is_near(self) -> bool:
        return self.mean <= NEAR


# ---- tokens


def tokens_of(policy: LanguageModel, trace: CreditTrace, as_ended: bool = False) -> Tokens | str:
    """The tokens of a recorded solution, or why it cannot be scored, to follow "N solutions: ".

    as_ended: put the end token behind a text of which nobody recorded how it ended.
    """
    ids: tuple[int, ...] = tuple(trace.ids.tolist())
    if has_ids(trace):
        _refuse_other_ids(policy, trace, ids)
        same = Same.RECORDED
    else:
        text = completion_of(trace)
        ids = _cut(policy, text)
        if not ids:
            return "no token and no text of them was recorded"
        if models.decoded(policy.continuing, ids) != text:
            return "the model's tokenizer changes their text"
        ends = trace.finish_reason is StopReason.EOS or (as_ended and trace.finish_reason is None)
        same = _same(policy, trace, ids, ends)
        if ends and ids[-1] not in policy.end_ids:
            ids += (policy.eos_id,)
    prompt_ids = trace.prompt_ids or _prompt_ids(policy, trace)
    if not prompt_ids:
        return "their prompt is empty"
    longest = context_length(policy.bare.config)
    if longest is not None and len(prompt_ids) + len(ids) > longest:
        return f"they are longer than the {longest} tokens that the model reads"
    return Tokens(tuple(prompt_ids), ids, same)


def has_ids(trace: CreditTrace) -> bool:
    """Whether the ids of a solution's tokens were recorded."""
    return len(trace.ids) > 0 and trace.has_ids


def completion_of(trace: CreditTrace) -> str:
    """The text of a solution as its tool wrote it; "" where it recorded ids alone."""
    if isinstance(whole := trace.extras.get("completion"), str):
        return whole
    return "" if trace.provenance.get("text") == "missing" else trace.completion_text


def _cut(policy, text: str) -> tuple[int, ...]:
    return tuple(policy.continuing(text, add_special_tokens=False)["input_ids"])


def _prompt_ids(policy, trace) -> tuple[int, ...]:
    """A prompt of messages through the chat template, another one as its tokenizer reads a text: as trainers do."""
    if not trace.prompt_messages:
        ids = tuple(policy.tokenizer(trace.prompt_text)["input_ids"])
        begin = policy.tokenizer.bos_token_id
        # A tool that wrote the marks of the template out wrote the first one too.
        return ids[1:] if begin is not None and ids[:2] == (begin, begin) else ids
    messages = [{"role": role, "content": content} for role, content in trace.prompt_messages]
    if not getattr(policy.tokenizer, "chat_template", None):
        raise Mistake(
            "the prompts are chat messages, and this model has no chat template to word them by. Choose the folder "
            "that the training saved, or a model that was tuned for chat."
        )
    try:
        text = policy.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever a template of somebody else's stumbles over
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Mistake(f"the model's chat template cannot word a prompt: {reason[:200].rstrip('.')}.") from error
    return tuple(policy.tokenizer(text, add_special_tokens=False)["input_ids"])


def _refuse_other_ids(policy, trace, ids) -> None:
    rows = models.embedding_rows(policy.bare)
    if outside := [i for i in (*trace.prompt_ids, *ids) if not 0 <= i < rows]:
        raise Mistake(
            f"these are another tokenizer's ids: {_place(trace)} has token {outside[0]}, and the model knows 0 to "
            f"{rows - 1}. Choose the model that wrote them."
        )


def _place(trace) -> str:
    return f"solution {trace.sample_idx} of prompt {trace.group_id} at step {trace.step}"


def _same(policy, trace, ids, ends) -> Same:
    """Whether a text's tokens are those that were sampled, as far as their pieces or their number were recorded."""
    if _has_arrays(trace):  # their pieces are then tokens, not words, whoever spells them how
        return Same.AGREES if len(trace.text) in (len(ids), len(ids) + ends) else Same.DIFFERS
    count = trace.extras.get("tokens")
    if isinstance(count, int | float):
        return Same.AGREES if count == len(ids) + ends else Same.DIFFERS
    if "\ufffd" in completion_of(trace):  # half a character was written as a mark, which is another token
        return Same.DIFFERS
    return Same.UNKNOWN


def _has_arrays(trace) -> bool:
    return trace.logprob is not None or trace.sampler_logprob is not None or bool(trace.tool_arrays)


# ---- what was recorded against the model


def recorded_logprob(trace: CreditTrace) -> np.ndarray | None:
    """The log-probabilities that a tool recorded of a solution's tokens: of the policy that was trained, else the
    sampler's."""
    return trace.logprob if trace.logprob is not None else trace.sampler_logprob


def to_compare(traces: Sequence[CreditTrace]) -> list[CreditTrace]:
    """CHECKED solutions spread over those of which ids were recorded, log-probabilities too where there are some."""
    rows = [t for t in traces if has_ids(t)]
    rows = [t for t in rows if recorded_logprob(t) is not None] or rows
    picked = sorted({round(i * (len(rows) - 1) / max(CHECKED - 1, 1)) for i in range(CHECKED)}) if rows else []
    return [rows[i] for i in picked]


def refuse_other_tokenizer(policy: LanguageModel, traces: Sequence[CreditTrace]) -> None:
    """Raises Mistake where recorded ids do not read, with this tokenizer, as the text that was recorded with them."""
    for trace in traces:
        ids, said = tuple(trace.ids.tolist()), completion_of(trace)
        _refuse_other_ids(policy, trace, ids)
        if not said.strip():
            continue
        readings = (
            "".join(models.token_texts(policy, ids)),
            policy.tokenizer.decode(ids),
            policy.tokenizer.decode(ids, skip_special_tokens=True),
        )
        if not any(_alike(said, reading) for reading in readings):
            raise Mistake(
                f"these are another tokenizer's ids: {_place(trace)} was recorded as {said[:40]!r}, and its ids read "
                f"{readings[0][:40]!r} with this model's tokenizer. Choose the model that wrote them."
            )


def _alike(said: str, reading: str) -> bool:
    return "".join(said.split()) == "".join(reading.split()) or "\ufffd" in said


@torch.no_grad()
def fit(policy: LanguageModel, traces: Sequence[CreditTrace], guess: float | None = None) -> Fit | None:
    """At which temperature the model's log-probabilities are those that were recorded; None where none were.

    guess: a temperature that was recorded; it, and 1, are kept where they fit. Raises Mistake as `tokens_of`.
    """
    logits, ids, recorded = [], [], []
    rows = 0
    for trace in traces:
        found, told = tokens_of(policy, trace), recorded_logprob(trace)
        if isinstance(found, str) or told is None or len(told) != len(found.ids):
            continue
        use = np.isfinite(told) & np.asarray(trace.mask, bool)
        use[FIT_TOKENS:] = False
        if not use.any():
            continue
        batch = scores.make_batch([found.prompt_ids], [list(found.ids[:FIT_TOKENS])], policy.pad_id, policy.device)
        keep = torch.from_numpy(use[:FIT_TOKENS]).to(policy.device)
        logits.append(scores.completion_logits(models.network(policy), batch)[0][keep].float())
        ids.append(batch.completion_ids[0][keep])
        recorded.append(torch.from_numpy(np.asarray(told[:FIT_TOKENS])).to(policy.device)[keep])
        rows += 1
    if not rows:
        return None
    whole, which, wanted = torch.cat(logits), torch.cat(ids), torch.cat(recorded)

    def off(temperature: float) -> torch.Tensor:
        found = torch.log_softmax(whole / temperature, -1).gather(-1, which[:, None])[:, 0]
        return (found - wanted).abs()

    best = _best_temperature(lambda t: float(off(t).mean()), guess)
    errors = off(best)
    return Fit(rows, len(wanted), best, float(errors.mean()), float(errors.max()), float(off(1.0).mean()))


def _best_temperature(off: Callable[[float], float], guess: float | None) -> float:
    """Where `off` is least, in round numbers; a guess or 1 where nothing is clearly better."""
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    grid = [low + (high - low) * i / 24 for i in range(25)]
    at = min(grid, key=lambda x: off(math.exp(x)))
    step = (high - low) / 24
    a, b = at - step, at + step
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(20):  # golden section
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        a, b = (a, d) if off(math.exp(c)) <= off(math.exp(d)) else (c, b)
    found = math.exp((a + b) / 2)
    least = off(found)
    simple = [t for t in (guess, 1.0, round(found, 1), round(found, 2)) if t]
    return next((t for t in simple if off(t) <= 1.5 * least + 1e-4), found)


# ---- scoring


def rescored(
    policy: LanguageModel,
    asked: Sequence[tuple[CreditTrace, Tokens]],
    temperature: float,
    top_k: int,
    named: tuple[str, str],
    tell: Callable[[int, int], None] = lambda done, total: None,
    there: Collection[tuple[int, int, int]] = (),
) -> Iterator[CreditTrace]:
    """The solutions as the model scores them, in another order; `tell` is told how many tokens are done, of how many.

    Args:
        asked: recorded solutions with their tokens.
        temperature: of both distributions.
        named: what model and reference are called in the provenance; "" for the reference: there is none, and what was
            recorded of one stays.
        there: step, group_id and sample_idx of those that were scored before and are not scored here.
    """
    firsts = _firsts([trace for trace, _ in asked])
    rest = [(trace, t) for trace, t in asked if (trace.step, trace.group_id, trace.sample_idx) not in there]
    total = sum(len(t.prompt_ids) + len(t.ids) for _, t in asked)
    done = total - sum(len(t.prompt_ids) + len(t.ids) for _, t in rest)
    tell(done, total)
    for chunk in _chunks(policy, rest):
        found = [tokens for _, tokens in chunk]
        batch = scores.make_batch(
            [t.prompt_ids for t in found], [list(t.ids) for t in found], policy.pad_id, policy.device
        )
        with torch.no_grad():
            measured = scores.score(policy, batch, top_k=top_k, temperature=temperature)
        for row, (trace, tokens) in enumerate(chunk):
            yield _scored(policy, trace, tokens, measured, row, temperature, named, firsts)
        done += sum(len(t.prompt_ids) + len(t.ids) for t in found)
        tell(done, total)


def _firsts(traces) -> set[tuple[int, int, int]]:
    """The first solution of each group, which keeps the prompt's tokens."""
    first: dict[tuple[int, int], int] = {}
    for t in traces:
        first[t.step, t.group_id] = min(t.sample_idx, first.get((t.step, t.group_id), t.sample_idx))
    return {(*group, sample) for group, sample in first.items()}


def _chunks(policy, asked):
    """Solutions to one prompt together, and those of like length, as many as there is room for."""
    order = sorted(asked, key=lambda one: (one[1].prompt_ids, len(one[1].ids)))
    vocabulary = models.embedding_rows(policy.bare)
    room = _STATE_TOKENS if llama.serves(policy) else max(1, _LOGIT_ROOM // (4 * vocabulary))
    chunk: list = []
    for one in order:
        width = max((len(t.ids) for _, t in (*chunk, one)), default=0) + max(
            len(t.prompt_ids) for _, t in (*chunk, one)
        )
        if chunk and (len(chunk) + 1) * width > room:
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk


def _scored(policy, trace, tokens, measured, row, temperature, named, firsts) -> CreditTrace:
    length = len(tokens.ids)
    model, reference = named

    def array(values):
        return values[row, :length].detach().cpu().numpy().astype(np.float32)

    arrays = {"logprob": array(measured.logprobs), "entropy": array(measured.entropy)}
    if reference:
        arrays |= {"ref_logprob": array(measured.ref_logprobs), "kl": array(measured.kl)}
    at = f"temperature {temperature:g}"
    how = dict.fromkeys(arrays, f"recomputed ({model}, {at})")
    if reference:
        how["ref_logprob"] = f"recomputed ({reference}, {at})"
        how["kl"] = f"recomputed ({model} against {reference}, {at})"
    kept = _recorded_arrays(trace, length)
    is_first = (trace.step, trace.group_id, trace.sample_idx) in firsts
    seen = models.token_texts(policy, tokens.prompt_ids) if is_first else ()
    return trace.with_(
        **{name: kept.get(name) for name in ("ref_logprob", "kl", "sampler_logprob")} | arrays,
        ids=np.asarray(tokens.ids, dtype=np.int32),
        text=models.token_texts(policy, tokens.ids),
        mask=np.asarray(trace.mask, bool) if len(trace.mask) == length and has_ids(trace) else np.ones(length, bool),
        prompt_ids=tokens.prompt_ids,
        prompt_pieces=() if seen == tuple(trace.prompt_text) else seen,
        tool_arrays={name: a for name, a in trace.tool_arrays.items() if len(a) == length},
        topk=_top_k(policy, measured, row, length, bool(reference)),
        top_k_kl=None,
        collision=array(measured.collision),
        provenance={
            **trace.provenance,
            "ids": "recorded"
            if tokens.same is Same.RECORDED
            else f"recomputed ({model}, from the text: {tokens.same})",
            "sampler_logprob": _of_sampler(trace) if "sampler_logprob" in kept else "missing",
            **how,
        },
    )


def _recorded_arrays(trace, length) -> dict[str, np.ndarray]:
    """What was recorded and is not scored again; its log-probabilities go on as the sampler's where it has none."""
    sampler = trace.sampler_logprob if trace.sampler_logprob is not None else trace.logprob
    found = {"ref_logprob": trace.ref_logprob, "kl": trace.kl, "sampler_logprob": sampler}
    return {name: a for name, a in found.items() if a is not None and len(a) == length}


def _of_sampler(trace) -> str:
    name = "sampler_logprob" if trace.sampler_logprob is not None else "logprob"
    return trace.provenance.get(name, "recorded")


def _top_k(policy, measured, row, length, has_reference):
    if measured.topk_ids is None:
        return None
    parts = measured.topk_ids, measured.topk_logprobs, measured.topk_ref_logprobs
    best = top_k_of(policy, [a.detach().cpu().numpy() for a in parts], row, length)
    return best if has_reference else dataclasses.replace(best, ref_logprob=np.full_like(best.ref_logprob, np.nan))
