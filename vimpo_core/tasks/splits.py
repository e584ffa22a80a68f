"""Which problems are trained on and which are held out: by the text of the prompt alone, so that a prompt that comes
twice, in a file or under two seeds, is never on both sides.
"""

from __future__ import annotations

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(prompt: str) -> str:
    """ "train" (8 in 10), "validation" or "test" (1 in 10 each), by a hash of the text."""
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    return {0: "test", 1: "validation"}.get(digest[0] % 10, "train")
