"""Solutions of different lengths as one right-padded batch. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vimpo_core.types import CreditTrace


def padded(rows: Sequence, width: int | None = None, dtype=np.float64) -> np.ndarray:
    """Rows of numbers as [B, width], 0 past a row's end; `width` None: the longest row's."""
    if width is None:
        width = max(map(len, rows), default=0)
    out = np.zeros((len(rows), width), dtype=dtype)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def counted(traces: Sequence[CreditTrace]) -> np.ndarray:
    """Where each solution has a token that counts in the loss: bool [B, T]."""
    return padded([trace.mask for trace in traces], dtype=bool)
