"""Seeds for one purpose each, so that nothing drawn for one depends on how much was drawn for another. Leaf."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, step: int, purpose: str) -> int:
    """A 63-bit seed for one purpose at one step."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{purpose}".encode()).digest()[:8], "big") >> 1
