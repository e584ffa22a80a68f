"""Recorded runs whose tokens are pieces of words, made without a model: prose, code, characters cut into bytes.

Texts are cut as a byte-level vocabulary cuts them: a space goes with the word behind it, long words fall into pieces,
line breaks and indentation are tokens, and what is no ASCII is bytes, shown as `models.token_texts` shows them: <0xF0>.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from pathlib import Path

import numpy as np

from tests.support.fakes import FakeTrainer
from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import CreditTrace, StopReason, TopK

PROSE = (
    "Let us first count the apples in the three baskets. The first basket holds 12 apples, the second one holds twice "
    "as many, which is 24, and the third one is said to hold five fewer than the second, so it holds 19.\n\n"
    "Adding them up: 12 + 24 = 36, and 36 + 19 = 55. Unfortunately an uncharacteristically careless bookkeeper wrote "
    "54.\n"
    "Therefore the answer is **55**."
)
CODE = (
    "def total(baskets):\n    count = 0\n    for basket in baskets:\n        if basket is None:\n            continue\n"
    '        count += basket["apples"]\n\n    return count\n\n\nprint(total([{"apples": 12}, {"apples": 24}]))\n'
)
CHARACTERS = "Caf\u00e9 \U0001f642\U0001f680 naïve 你好, 世界! \u0645\u0631\u062d\u0628\u0627 \u202eevil 3 € → done."
PROMPT = "<|im_start|>user\nHow many apples are in the three baskets?<|im_end|>\n<|im_start|>assistant\n"
QUESTION = "How many apples are in the three baskets?"

_PIECES = re.compile(r"\n+ *(?= )|\n+| ?[A-Za-z]+| ?[0-9]| +(?= )| ?[^\sA-Za-z0-9]|\s|.", re.DOTALL)


def pieces(text: str) -> list[str]:
    """The tokens of a text, as they are shown."""
    found: list[str] = []
    for piece in _PIECES.findall(text):
        if not piece.isascii():
            found += _in_bytes(piece)
        elif len(piece) > 9 and not piece.isspace():
            found += [piece[:5], *(piece[i : i + 4] for i in range(5, len(piece), 4))]
        else:
            found.append(piece)
    return found


def _in_bytes(piece: str) -> list[str]:
    """A space and the first byte are one token, as byte-level vocabularies often have it, every other byte is its
    own."""
    raw = [f"<0x{byte:02X}>" for byte in piece.encode()]
    first = 2 if piece.startswith(" ") else 1
    return ["".join(raw[:first]), *raw[first:]]


def lengthened(text: str, count: int) -> list[str]:
    """`count` tokens of a text that goes round again."""
    one = pieces(text)
    return (one * (count // len(one) + 1))[:count]


def word_trace(tokens: list[str], seed: int = 0, *, alternatives: bool = True, **changes) -> CreditTrace:
    """A solution of these tokens (the end token behind them) with numbers made up from a seed."""
    random = np.random.default_rng(seed)
    text = (*tokens, "<|im_end|>")
    ids = np.array([_id_of(token) for token in text], dtype=np.int32)
    length = len(text)
    ref_logprob = -random.exponential(0.6, length)
    logprob = np.minimum(ref_logprob + random.normal(0, 0.3, length), 0)
    topk = None
    if alternatives:
        other = [text[(t + 7) % length] for t in range(length)]
        rest = np.log(np.maximum(-np.expm1(logprob) * 0.8, 1e-6))
        topk = TopK(
            ids=np.stack([ids, np.array([_id_of(token) for token in other], dtype=np.int32)], axis=1),
            text=[list(row) for row in zip(text, other, strict=True)],
            logprob=np.stack([logprob, rest], axis=1).astype(np.float32),
            ref_logprob=np.stack([ref_logprob, rest], axis=1).astype(np.float32),
        )
    arrays = {
        "logprob": logprob,
        "ref_logprob": ref_logprob,
        "kl": 0.5 * (logprob - ref_logprob) ** 2,
        "entropy": 0.1 - 0.5 * logprob,
        "sampler_logprob": logprob,
    }
    trace = CreditTrace(
        step=0,
        group_id=0,
        sample_idx=0,
        prompt_text=QUESTION,
        prompt_ids=tuple(_id_of(token) for token in pieces(PROMPT)),
        prompt_pieces=tuple(pieces(PROMPT)),
        gold="55",
        reward=0.0,
        group_mean_reward=0.5,
        finish_reason=StopReason.EOS,
        ids=ids,
        text=text,
        mask=np.ones(length, dtype=bool),
        topk=topk,
        rewards={"verifier": 0.0},
        status="incorrect",
        answer="54",
        provenance=dict.fromkeys(arrays, "recorded"),
        **{name: values.astype(np.float32) for name, values in arrays.items()},
    )
    return trace.with_(**changes)


def _id_of(token: str) -> int:
    return zlib.crc32(token.encode()) % 49_000


class WordTrainer(FakeTrainer):
    """Its solutions are `texts`, one a prompt's every sample, at `lengths` tokens each (None: the text as it is)."""

    solutions: tuple[tuple[str, int | None], ...] = ((PROSE, None), (CODE, None), (CHARACTERS, None), (PROSE, 400))

    def step(self):
        record = super().step()
        return dataclasses.replace(record, traces=[self._reworded(trace) for trace in record.traces])

    def _reworded(self, trace: CreditTrace) -> CreditTrace:
        text, length = self.solutions[trace.group_id % len(self.solutions)]
        tokens = pieces(text) if length is None else lengthened(text, length)
        seed = 1000 * trace.step + 10 * trace.group_id + trace.sample_idx
        return word_trace(
            tokens,
            seed,
            alternatives=trace.topk is not None,
            step=trace.step,
            group_id=trace.group_id,
            sample_idx=trace.sample_idx,
            reward=trace.reward,
            group_mean_reward=trace.group_mean_reward,
            rewards=trace.rewards,
            status=trace.status,
            answer="55" if trace.reward else "54",
            first_wrong=None if trace.reward else min(len(tokens) - 1, 61),
        )


def make_word_run(runs_dir: Path, trainer: type[WordTrainer] = WordTrainer, steps: int = 2, **config) -> str:
    """Train one finished run with a `WordTrainer`. Returns its run_id."""
    settings = {"prompts_per_step": 4, "group_size": 4, "snapshot_every": 1, "eval_every": 1} | config
    runs = RunsDir(runs_dir)
    job_id = runs.submit([TrainConfig(steps=steps, **settings)])
    worker.main(runs_dir, make_trainer=trainer, only_job=job_id)
    return next(job.run_ids[0] for job in runs.jobs() if job.job_id == job_id)
