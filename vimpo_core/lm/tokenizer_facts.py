"""What there is to know of a tokenizer before anything is said with it. Imports transformers late, no torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from vimpo_core.lm import model_files

_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")


def facts(tokenizer, folder: Path) -> dict[str, Any]:
    """Begin, end and padding tokens by their names, whether there is a chat template, and how many tokens are parts of
    a character."""
    vocabulary = tokenizer.get_vocab()
    ends = dict.fromkeys([*([tokenizer.eos_token_id] if tokenizer.eos_token else []), *model_files.end_ids(folder)])
    names = {i: name for name, i in vocabulary.items()}
    return {
        "begin": tokenizer.bos_token,
        "adds_begin": tokenizer("0")["input_ids"][:1] != tokenizer("0", add_special_tokens=False)["input_ids"][:1],
        "end": [names.get(i, str(i)) for i in ends],
        "pad": tokenizer.pad_token,
        "chat_template": bool(tokenizer.chat_template),
        "tokens": len(vocabulary),
        "highest_token": max(vocabulary.values(), default=-1),
        "parts_of_characters": parts_of_characters(tokenizer, vocabulary),
    }


def parts_of_characters(tokenizer, vocabulary) -> int:
    """How many tokens hold a part of a character's bytes, so that they cannot be shown by themselves."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return 0
    if '"ByteLevel"' not in json.dumps(json.loads(decoder.__getstate__())):
        return sum(1 for name in vocabulary if _BYTE.fullmatch(name) and int(name[3:5], 16) >= 0x80)
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    to_byte = {character: byte for byte, character in bytes_to_unicode().items()}
    return sum(not _is_text(bytes(to_byte.get(c, ord("?")) for c in name)) for name in vocabulary)


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
