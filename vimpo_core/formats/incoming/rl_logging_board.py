"""RLLoggingBoard's JSONL: prompt, response, its tokens as strings, and what the trainer knew of each.

Padding may stand in the texts and at the end of the tokens, for which no numbers were written: it is cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample
from vimpo_core.mistake import Mistake

NAME = "RLLoggingBoard"
TOOL = "RLLoggingBoard"
_NAMES = {"logprobs": "logprob", "ref_logprobs": "ref_logprob", "values": "values", "token_rewards": "token_rewards"}
_PAD = re.compile(r"(?:<\|?|\[)pad(?:\|?>|\])", re.IGNORECASE)
_EXTRAS = ("ref_response", "ref_reward")


def matches(sample: Sample) -> bool:
    columns = set(sample.columns)
    has_own = bool({"response_tokens", "ref_response", "ref_reward"} & columns)
    return sample.kind == "jsonl" and {"prompt", "response", "reward", "step"} <= columns and has_own


def read(file: Incoming) -> Iterator[Row | Refusal]:
    return rows.each(file, _row)


def _row(place: str, values: dict[str, Any]) -> Row:
    texts = rows.token_texts(values.get("response_tokens"), "response_tokens")
    found = rows.arrays(values, _NAMES) if texts else {}
    length = _length(texts or (), {name: len(one) for name, one in found.items()})
    return Row(
        place=place,
        step=rows.whole(values.get("step"), "step"),
        prompt=_unpadded(rows.text(values.get("prompt"), "prompt")),
        completion=_unpadded(rows.text(values.get("response"), "response")),
        reward=rows.number(values.get("reward"), "reward"),
        texts=texts[:length] if texts else None,
        arrays={name: one[:length] for name, one in found.items()},
        extras=parts.extras(values, _EXTRAS),
    )


def _length(texts: tuple[str, ...], recorded: dict[str, int]) -> int:
    """How many tokens there are without the padding behind them."""
    length = len(texts)
    while length and _PAD.fullmatch(texts[length - 1]):
        length -= 1
    for name, count in recorded.items():
        if not length <= count <= len(texts):
            raise Mistake(f"{name} and response_tokens differ in number by more than padding.")
    return length


def _unpadded(text: str) -> str:
    return _PAD.sub("", text)
