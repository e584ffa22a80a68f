"""prime-rl's token export: a line a trained sequence, arrays over prompt and completion, no text.

Every number at index t describes token t, shifted there by one; at index 0 of a sequence it belongs to nothing and is
dropped. `mismatch_kl` compares the trainer with the engine that sampled, not with a reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vimpo_core.formats.incoming import parts, rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample

NAME = "prime-rl token export"
TOOL = "prime-rl"
_NAMES = {
    "trainer_logprobs": "logprob",
    "inference_logprobs": "sampler_logprob",
    "entropy": "entropy",
    "advantages": "advantages",
    **{
        name: name
        for name in (
            "mismatch_kl",
            "log_importance_ratio",
            "importance_ratio",
            "prob_delta",
            "is_masked",
            "is_masked_high",
            "is_masked_low",
            "rl_weights",
            "ce_weights",
            "ref_kl_weights",
        )
    },
}
_OF_SAMPLED = (
    "sampler_logprob",
    "advantages",
    "mismatch_kl",
    "log_importance_ratio",
    "importance_ratio",
    "prob_delta",
)
"""Filled with 0, or compared with a 0 that was filled in, where the model did not write the token."""
_EXTRAS = ("env_name", "training_mode", "run_id", "rank", "micro_step")


def matches(sample: Sample) -> bool:
    return sample.kind == "jsonl" and {"token_ids", "loss_mask", "trainer_logprobs"} <= set(sample.columns)


def facts(sample: Sample) -> dict[str, Any]:
    return {
        "notes": [
            "prime-rl's token export holds no text, no groups and no reference: choose the model to see words, and "
            "re-score for the reference and exact KL. Its logprobs are at the sampling temperature, which it does not "
            "name."
        ]
    }


def read(file: Incoming) -> Iterator[Row | Refusal]:
    return rows.each(file, _row)


def _row(place: str, values: dict[str, Any]) -> Row:
    ids = rows.token_ids(values.get("token_ids"), "token_ids") or ()
    mask = rows.token_mask(values.get("loss_mask"), "loss_mask") or ()
    found = {name: np.array(one, np.float32) for name, one in rows.arrays(values, _NAMES).items()}
    for name, one in found.items():
        one[:1] = np.nan
        if name in _OF_SAMPLED:
            found[name] = parts.only_where(mask, one)
    step = values.get("export_step", values.get("step"))
    return Row(
        place=place,
        step=rows.whole(step, "step"),
        reward=parts.common(rows.array(values.get("rewards"), "rewards"), mask),
        advantage=parts.common(found.get("advantages"), mask),
        extras=parts.extras(values, _EXTRAS),
        **parts.cut(ids, mask, found),
    )
