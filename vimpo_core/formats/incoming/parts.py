"""What several readers make of a record: arrays over prompt and completion cut into the two, and what is left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vimpo_core.formats.incoming import rows
from vimpo_core.mistake import Mistake


def cut(ids: Sequence[int], mask: Sequence[bool], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Fields of a `Row`: the prompt is what stands before the first token of the mask.

    ids: prompt and completion; mask: the tokens that the model wrote and was trained on; arrays: one number for each of
    `ids`. Mistake where the lengths differ or the mask holds none.
    """
    lengths = {"token ids": len(ids), "the mask": len(mask)} | {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        wrong = next(name for name, length in lengths.items() if length != len(ids))
        raise Mistake(f"{wrong} and token ids have different lengths.")
    if not any(mask):
        raise Mistake("no token of it is marked as the model's own: where the completion begins was not recorded.")
    start = list(mask).index(True)
    return {
        "prompt_ids": tuple(ids[:start]),
        "ids": tuple(ids[start:]),
        "mask": tuple(mask[start:]),
        "arrays": {name: values[start:] for name, values in arrays.items() if np.isfinite(values[start:]).any()},
    }


def only_where(mask: Sequence[bool], values: np.ndarray) -> np.ndarray:
    """Those numbers that belong to tokens of the mask; nan elsewhere, where tools fill in a 0."""
    return np.where(mask, values, np.float32(np.nan)) if len(mask) == len(values) else values


def spread(mask: Sequence[bool], compact: np.ndarray, name: str) -> np.ndarray:
    """One number for each token of the mask, in order, laid out over all tokens, nan elsewhere."""
    where = np.asarray(mask, bool)
    if int(where.sum()) != len(compact):
        raise Mistake(f"{name} and the tokens of the mask differ in number.")
    out = np.full(len(where), np.nan, np.float32)
    out[where] = compact
    return out


def common(values: np.ndarray | None, mask: Sequence[bool]) -> float | None:
    """The number that all tokens of the mask have; None where they differ or there is none."""
    if values is None or len(values) != len(mask):
        return None
    found = values[np.asarray(mask, bool)]
    return float(found[0]) if len(found) and np.isfinite(found).all() and np.ptp(found) == 0 else None


def extras(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | float]:
    """Those values that are there, to be looked at."""
    return {name: rows.shown(values[name]) for name in names if values.get(name) not in (None, "", [], {})}


def beside(metrics: Mapping[str, str | float], said: Mapping[str, str | float]) -> dict[str, str | float]:
    """Both; where a metric of the user's is called like something that the tool itself says, as "metric NAME"."""
    return {(f"metric {name}" if name in said else name): value for name, value in metrics.items()} | dict(said)


def finite(value: Any) -> float | None:
    """A number of what a file says of the whole run, where it is one."""
    try:
        return None if isinstance(value, bool) else rows.number(value, "")
    except Mistake:
        return None
