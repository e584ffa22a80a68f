"""Whether recorded texts are the recorded tokens, where the tokenizer of the model that is named is on this machine."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vimpo_core.lm import sources
from vimpo_core.types import CreditTrace

_CUT = re.compile("[\ufffd\ud800-\udfff]")
"""A part of a character, which no text can say."""
LOOKED_AT = 400
"""Solutions that are looked at."""


@dataclass
class Tokenizing:
    """Counts, of the first solutions, those whose text another reading of it changes. model: as a file names it."""

    model: str
    looked: int = 0
    found: Counter = field(default_factory=Counter)
    _tokenizer: Any = None

    def __post_init__(self):
        self._tokenizer = _tokenizer_of(self.model)

    def take(self, trace: CreditTrace) -> None:
        if self._tokenizer is None or self.looked >= LOOKED_AT or trace.provenance.get("text") == "missing":
            return
        text = str(trace.extras.get("completion", trace.completion_text))
        if _CUT.search(text):
            return
        self.looked += 1
        again = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not trace.has_ids:
            self.found["back"] += self._tokenizer.decode(again, skip_special_tokens=False) != text
            return
        ids = trace.ids.tolist()
        if max(ids, default=0) >= self._tokenizer.get_vocab_size(with_added_tokens=True):
            self.found["beyond"] += 1
        elif again != ids and again != ids[:-1]:  # the end token need not be in the text
            self.found["other"] += 1

    def doubts(self) -> list[str]:
        words = {
            "back": f"do not come back from {self.model}'s tokenizer as the text they are",
            "beyond": f"hold token ids beyond the vocabulary of {self.model}",
            "other": f"are cut into other tokens by {self.model}'s tokenizer than those that were sampled",
        }
        looked = f"of {self.looked} solutions that were looked at"
        return [f"{count} {looked} {words[what]}." for what, count in self.found.items() if count]


def _tokenizer_of(model: str):
    """The tokenizer of a model that is named; None where it is not here. A path that a file names is never opened."""
    try:
        is_known = model == sources.BUNDLED or model in sources.KNOWN or sources.hub.ID.fullmatch(model)
        if not model or not is_known or not sources.is_here(model):
            return None
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(sources.model_folder(model) / "tokenizer.json"))
    except Exception:  # the library raises nothing more special where a file is damaged
        return None
