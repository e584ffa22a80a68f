"""Load a causal language model, attach LoRA, and get the reference from the same weights with the adapter off.

Only safetensors are loaded, remote code never runs, nothing is fetched unless the caller allows it. Nothing here knows
a vocabulary: the bundled character model and a byte-level BPE model pass through the same lines. Imports torch.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from transformers.pytorch_utils import Conv1D

from vimpo_core.lm.adapter_files import WEIGHTS, base_named
from vimpo_core.lm.projections import targets
from vimpo_core.mistake import Mistake
from vimpo_core.solutions import pieces
from vimpo_core.types import known

# Progress bars and advice to library authors would bury the one line that matters.
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

Adapter = dict[str, torch.Tensor]

FOLD_LIMIT = 5_000_000
"""Frozen weights up to which folding the adapter in is the faster way to train."""


@dataclass(frozen=True)
class LanguageModel:
    """A causal model with its tokenizer. Once `attach_lora` was called, `model` is a PeftModel and `bare` the same
    network without the adapter, on the same frozen tensors; until then both are the same module.
    """

    model: torch.nn.Module
    bare: torch.nn.Module
    tokenizer: Any
    source: str
    other_end_ids: tuple[int, ...] = ()

    @property
    def eos_id(self) -> int:
        """The end token that a typed end mark becomes."""
        return self.tokenizer.eos_token_id

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Every token that ends a solution: the tokenizer's, and those that the model's own settings name beside it."""
        return (self.eos_id, *self.other_end_ids)

    @functools.cached_property
    def continuing(self):
        """The tokenizer for texts that go on from others."""
        return _continuing(self.tokenizer)

    def text_of(self, token_id: int) -> str:
        """Readable text of a token by itself, decoded once."""
        if token_id not in self._texts:
            self._texts[token_id] = _token_text(self.continuing, token_id)
        return self._texts[token_id]

    @functools.cached_property
    def _texts(self) -> dict[int, str]:
        return {}

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.eos_id if pad is None else pad

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def attach_lora(language_model: LanguageModel, rank: int, seed: int, layers: int = 0) -> LanguageModel:
    """A trainable adapter (alpha = 2 rank) on a frozen model; B = 0, so pi = pi_ref at first.

    It sits on all linear projections; of a mixture of experts on those of its attention alone
    (`adapts_attention_alone`). layers: of the top layers alone; 0: of all.
    """
    model = language_model.model
    # GPT-2 keeps its projections transposed; peft guesses as much, but with a warning for each of them.
    is_transposed = any(isinstance(m, Conv1D) for m in model.modules())
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=targets(model, layers),
        task_type="CAUSAL_LM",
        fan_in_fan_out=is_transposed,
    )
    return _with_adapter(language_model, config, seed)


def take_up_adapter(language_model: LanguageModel, folder: Path, seed: int) -> LanguageModel:
    """The policy that a PEFT adapter's folder makes of its base: rank, scale and projections are the adapter's own,
    without dropout. The base stays the reference.

    Raises Mistake if it does not fit the network.
    """
    try:
        config = LoraConfig.from_pretrained(str(folder), local_files_only=True)
        config.inference_mode, config.lora_dropout, config.revision = False, 0.0, None
        config.init_lora_weights, config.base_model_name_or_path = True, None  # whose name may be another by now
        policy = _with_adapter(language_model, config, seed)
        tensors = load_safetensors((folder / WEIGHTS).read_bytes())
    except Exception as error:  # peft and safetensors have their own, each for every setting
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise Mistake(
            f"the adapter in {folder} does not fit the model {base_named(folder)[0]}: {reason[:200].rstrip('.')}. Give "
            "one that was trained on it."
        ) from error
    own = get_peft_model_state_dict(policy.model)
    if wrong := sorted(set(own) ^ set(tensors)) or [k for k in own if own[k].shape != tensors[k].shape]:
        raise Mistake(
            f"the adapter in {folder} belongs to another base than {base_named(folder)[0]}: {wrong[0][:160]} differs. "
            "Give one that was trained on it."
        )
    set_adapter(policy, {name: tensor.float() for name, tensor in tensors.items()})
    return policy


def _with_adapter(language_model: LanguageModel, config: LoraConfig, seed: int) -> LanguageModel:
    # The modules are copied, the tensors are not: the reference costs no memory and cannot drift from the policy's
    # base.
    shared = {id(p): p for p in language_model.model.parameters()}
    bare = copy.deepcopy(language_model.model, memo=shared)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks transformers by the old name of a property.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        model = get_peft_model(language_model.model, config)
    return dataclasses.replace(language_model, model=model.eval(), bare=bare.eval())


def is_large(model) -> bool:
    """Whether the network has more frozen weights than FOLD_LIMIT."""
    return sum(p.numel() for p in model.parameters()) > FOLD_LIMIT


def reference(policy: LanguageModel) -> torch.nn.Module:
    """The network of pi_ref: the very weights that the adapter sits on, with the adapter off. Call it without
    gradient.
    """
    return policy.bare


def has_adapter(policy: LanguageModel) -> bool:
    """Whether policy and reference are one network with an adapter on and off; else they are two, or the same."""
    return isinstance(policy.model, PeftModel)


def network(policy: LanguageModel) -> Callable:
    """The network of pi_theta, differentiable in the adapter; call it as the model itself.

    Up to FOLD_LIMIT frozen weights the adapter is folded in first (W + alpha/r B A): on the bundled model, forward and
    backward then cost two thirds. Beyond it peft's two-step product is cheaper, since no gradient of a whole W is made.
    """
    if is_large(policy.bare) or not has_adapter(policy):
        return policy.model
    weights = folded_weights(policy)
    return lambda **inputs: torch.func.functional_call(policy.bare, weights, args=(), kwargs=inputs)


def folded_weights(policy: LanguageModel) -> dict[str, torch.Tensor]:
    """W + alpha/r B A of every adapted projection, by its name in the bare model; differentiable in A and B."""
    return {
        f"{name}.weight": layer.base_layer.weight + layer.get_delta_weight("default") for name, layer in adapted(policy)
    }


def adapted(policy: LanguageModel) -> Iterator[tuple[str, Any]]:
    """Every projection that has an adapter, by its name in the bare model."""
    network: Any = policy.model
    return ((n, layer) for n, layer in network.base_model.model.named_modules() if isinstance(layer, LoraLayer))


@contextlib.contextmanager
def merged(policy: LanguageModel):
    """Context that yields a plain model with the adapter folded into its weights: the cheapest to sample from.

    The adapted projections of the bare model carry the folded weights meanwhile, and the frozen ones again afterwards.
    """
    with torch.no_grad():
        folded = folded_weights(policy)
    frozen = {name: policy.bare.get_parameter(name) for name in folded}
    try:
        _put_weights(policy.bare, {n: torch.nn.Parameter(w, requires_grad=False) for n, w in folded.items()})
        yield policy.bare
    finally:
        _put_weights(policy.bare, frozen)


def adapter_state(policy: LanguageModel) -> Adapter:
    """The adapter's tensors by name, on the CPU, copied."""
    return {k: v.detach().cpu().clone().contiguous() for k, v in get_peft_model_state_dict(policy.model).items()}


def set_adapter(policy: LanguageModel, state: Adapter) -> None:
    """Put adapter tensors into the policy. Raises Mistake if names or shapes do not fit."""
    own = get_peft_model_state_dict(policy.model)
    wrong = sorted(set(own) ^ set(state)) or [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        raise Mistake(
            f"the adapter does not fit the model: {wrong[0]} differs. Use the model and rank it was trained with."
        )
    set_peft_model_state_dict(policy.model, state)


REFERENCE, CRITIC = "reference/", "critic/"
"""How names of tensors in a snapshot begin that do not belong to the adapter: the adapter that is the reference since
it was last refreshed, and the learned critic's head (`critic.Critic`)."""


def set_policy(policy: LanguageModel, tensors: Adapter) -> None:
    """Put a snapshot into the policy: its adapter and, where it was refreshed, its reference.

    Raises Mistake if names or shapes do not fit.
    """
    set_reference(policy, part(tensors, REFERENCE))
    set_adapter(policy, {k: v for k, v in tensors.items() if not k.startswith((REFERENCE, CRITIC))})


def set_reference(policy: LanguageModel, adapter: Adapter) -> None:
    """Make the frozen weights with this adapter folded in the reference; {} stands for no adapter, the run's first
    reference.

    The policy's own adapter is left as it is. Raises Mistake if names or shapes do not fit.
    """
    own = adapter_state(policy)
    if adapter:
        set_adapter(policy, adapter)
    with torch.no_grad():
        weights = folded_weights(policy) if adapter else _frozen_weights(policy)
    _put_weights(policy.bare, {n: torch.nn.Parameter(w, requires_grad=False) for n, w in weights.items()})
    set_adapter(policy, own)


def part(tensors: Adapter, beginning: str) -> Adapter:
    """The tensors whose names begin so, without that beginning."""
    return {k.removeprefix(beginning): v for k, v in tensors.items() if k.startswith(beginning)}


def to_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    """Tensors as a safetensors blob."""
    return save_safetensors(tensors)


def from_bytes(blob: bytes) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors blob. Raises Mistake if it is damaged."""
    try:
        return load_safetensors(blob)
    except SafetensorError as error:
        raise Mistake(f"saved tensors are damaged ({error}). Choose another step.") from error


def encode_prompt(
    language_model: LanguageModel, text: str, what: str = "prompt", begins: bool = True
) -> tuple[int, ...]:
    """Token ids of a prompt as the tokenizer makes them: a begin token goes in front where it adds one, nothing behind.

    begins: False for a text that has its own, as a chat template writes it. Raises Mistake as `encode`.
    """
    tokenizer = language_model.tokenizer
    body = _ids(tokenizer, text)
    # Where the tokenizer puts a space in front of a text, it is part of how the model has read texts.
    _check_said(tokenizer, body, text, what, (text, f" {text}"))
    return begin_ids(language_model, text) + body if begins else body


def begin_ids(language_model: LanguageModel, text: str) -> tuple[int, ...]:
    """The special tokens that the tokenizer puts in front of a text; () where it adds none."""
    body, whole = (tuple(language_model.tokenizer(text, add_special_tokens=s)["input_ids"]) for s in (False, True))
    starts = range(len(whole) - len(body) + 1)
    return whole[: next((i for i in starts if whole[i : i + len(body)] == body), 0)]


def encode(language_model: LanguageModel, text: str, what: str = "text") -> tuple[int, ...]:
    """Token ids of a text that goes on from another one: nothing is put in front, no space and no begin token.

    Raises:
        Mistake: the tokenizer cannot say the text; the characters it lacks, or what comes back, are named.
    """
    tokenizer = language_model.continuing
    ids = _ids(tokenizer, text)
    _check_said(tokenizer, ids, text, what, (text,))
    return ids


def token_texts(language_model: LanguageModel, ids) -> tuple[str, ...]:
    """Readable text of each token; joined they give the decoded text whenever tokens are whole characters.

    A token that ends inside a character (byte-level BPE) shows its share of bytes as <0xE2>, and the joined text is
    then not the decoded one; `encode_completion` reads such bytes back.
    """
    tokenizer, ids = language_model.continuing, [int(i) for i in ids]
    alone = tuple(language_model.text_of(i) for i in ids)
    if _spell(alone) == decoded(tokenizer, ids):
        return alone
    # What a token reads as depends on those before it: decode the text again at every token.
    texts, before = [], ""
    for t, own in enumerate(alone):
        whole = decoded(tokenizer, ids[: t + 1])
        goes_on = whole.startswith(before) and "<0x" not in own
        texts.append(whole[len(before) :] if goes_on else own)
        before = whole
    return tuple(texts)


def _spell(texts) -> str:
    """What tokens decode to if each reads the same wherever it stands: bytes that are no characters are replaced."""
    joined = "".join(texts)
    if joined.isascii() and "<0x" not in joined:
        return joined
    raw = (pieces.bytes_of(text) or text.encode("utf-8", "surrogatepass") for text in texts)
    return b"".join(raw).decode(errors="replace")


def completion_text(language_model: LanguageModel, ids, end: str) -> str:
    """Text of a completion, its end token (if sampled) written as the task's mark `end`, whatever its own text."""
    ids = [int(i) for i in ids]
    has_ended = bool(ids) and ids[-1] in language_model.end_ids
    body = decoded(language_model.continuing, ids[:-1] if has_ended else ids)
    return body + end * has_ended


def encode_completion(language_model: LanguageModel, text: str, end: str, what: str = "solution") -> tuple[int, ...]:
    """Token ids of a typed completion, as the model would have written it: a final `end` becomes the end token, bytes
    written as `token_texts` shows them become the characters they are, or the bytes where they are none.

    Raises Mistake as `encode` does.
    """
    ids: list[int] = []
    for part in _said_parts(language_model.continuing, text.removesuffix(end)):
        ids += encode(language_model, part, what) if isinstance(part, str) else part
    return (*ids, _end_id(language_model, end)) if text.endswith(end) else tuple(ids)


def _said_parts(tokenizer, text: str) -> list:
    """Text to encode, and between its parts the tokens of bytes that are no characters; those that the vocabulary
    cannot say are text, as they were typed."""
    said: list = [""]
    for part in pieces.with_bytes_read(text, lambda raw, shown: _tokens_of_bytes(tokenizer, raw) or shown):
        if isinstance(part, str) and isinstance(said[-1], str):
            said[-1] += part
        else:
            said.append(part)
    return [part for part in said if part] or [""]


def _tokens_of_bytes(tokenizer, raw: bytes) -> tuple[int, ...]:
    """The tokens of bytes that are no characters, as the vocabulary joins them; () where it has none for them."""
    vocabulary = tokenizer.get_vocab()
    named = [vocabulary.get(f"<0x{byte:02X}>") for byte in raw]  # SentencePiece's byte fallback
    if all(i is not None for i in named):
        return tuple(known(i) for i in named)
    letters = "".join(_byte_letters()[byte] for byte in raw)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not all(letter in vocabulary for letter in letters):
        return ()
    return tuple(token.id for token in backend.model.tokenize(letters))


def _end_id(language_model: LanguageModel, end: str) -> int:
    """The end token that a typed end mark stands for: the one that reads so, else the tokenizer's."""
    ids = _ids(language_model.continuing, end)
    return ids[0] if len(ids) == 1 and ids[0] in language_model.end_ids else language_model.eos_id


def fingerprint(language_model: LanguageModel) -> str:
    """sha256 of the frozen weights' names, shapes and bytes: says whether two runs share a reference."""
    digest = hashlib.sha256()
    for name, tensor in sorted(language_model.bare.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def vocabulary_fingerprint(language_model: LanguageModel) -> str:
    """sha256 of the vocabulary in id order: all that runs noted of their tokenizer at first."""
    return hashlib.sha256(repr(_vocabulary(language_model.tokenizer)).encode()).hexdigest()


def tokenizer_fingerprint(language_model: LanguageModel) -> str:
    """sha256 of all that decides how text is cut into tokens and put together again: vocabulary, merges, normalizer,
    pre-tokenizer, post-processor, decoder, added tokens. Of a tokenizer in Python: its kind, vocabulary and the files
    that it saves, with its merges."""
    tokenizer = language_model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        told = {"kind": type(tokenizer).__name__, "vocab": _vocabulary(tokenizer), "files": _saved(tokenizer)}
    else:
        told = json.loads(backend.to_str())
        for part in ("truncation", "padding"):  # of the last call, not of the tokenizer
            told.pop(part, None)
    return hashlib.sha256(json.dumps(_without_absent(told), sort_keys=True).encode()).hexdigest()


def _vocabulary(tokenizer) -> list[tuple[str, int]]:
    return sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])


def _saved(tokenizer) -> dict[str, str]:
    """name -> sha256 of each file of a vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(NotImplementedError):
            tokenizer.save_vocabulary(folder)
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in Path(folder).iterdir()}


def _without_absent(told):
    """Without what is null or false: a switch that a later version adds, and leaves off, changes nothing."""
    if isinstance(told, dict):
        return {name: _without_absent(part) for name, part in told.items() if part not in (None, False)}
    return [_without_absent(part) for part in told] if isinstance(told, list) else told


def single_thread(threads: int = 1) -> None:
    """Bound torch's CPU threads: on two cores more threads spin against each other."""
    torch.set_num_threads(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def embedding_rows(model) -> int:
    """How many token ids the network has an embedding for."""
    return model.get_input_embeddings().weight.shape[0]


def _frozen_weights(policy: LanguageModel) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": layer.base_layer.weight for name, layer in adapted(policy)}


def _put_weights(model, weights) -> None:
    for name, weight in weights.items():
        module, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(module), attribute, weight)


def _ids(tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _check_said(tokenizer, ids, text: str, what: str, allowed: tuple[str, ...]) -> None:
    """Raises Mistake unless the tokens read as one of the allowed texts."""
    said = decoded(tokenizer, ids)
    if tokenizer.unk_token_id not in ids and said in allowed:
        return
    lacking = sorted({c for c in text if not _can_say(tokenizer, c)})
    if lacking or tokenizer.unk_token_id in ids:
        named = ", ".join(f"{c!r}" for c in lacking[:5]) or "part of it"
        raise Mistake(f"the {what} has {named}, which is outside the model's vocabulary. Remove or replace it.")
    raise Mistake(
        f"the model's tokenizer changes the {what}: {text[:40]!r} comes back as {said[:40]!r}, so what the model "
        "writes could not be judged. Use a model whose tokenizer keeps every character."
    )


def _can_say(tokenizer, character: str) -> bool:
    ids = _ids(tokenizer, character)
    return bool(ids) and tokenizer.unk_token_id not in ids


def decoded(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _continuing(tokenizer):
    """The tokenizer without what it does to the beginning of a text alone: a completion does not begin one.

    SentencePiece-like tokenizers put a space in front and take it away again when they decode, so that a solution typed
    as it was sampled would be other tokens, and a first token " 24" would read "24".
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer
    settings = json.loads(backend.to_str())
    edited = settings | {
        "normalizer": _without_beginning(settings["normalizer"]),
        "pre_tokenizer": _without_beginning(settings["pre_tokenizer"]),
        "decoder": _without_beginning(settings["decoder"]),
    }
    if edited == settings:
        return tokenizer
    continuing = copy.deepcopy(tokenizer)
    continuing._tokenizer = type(backend).from_str(json.dumps(edited))
    return continuing


def _without_beginning(part: dict | None) -> dict | None:
    """A part of a tokenizer's settings (normalizer, pre-tokenizer or decoder) without its prefix space."""
    if part is None:
        return None
    kind = part.get("type")
    if kind == "Sequence":
        (name,) = (n for n in part if n != "type")
        kept = [_without_beginning(p) for p in part[name]]
        return part | {name: [p for p in kept if p is not None]}
    if kind == "Prepend":
        return None
    if kind == "Metaspace":
        return part | {"prepend_scheme": "never"}
    if kind == "ByteLevel" and "add_prefix_space" in part:
        return part | {"add_prefix_space": False}
    if kind == "Strip" and "start" in part:
        return part | {"start": 0}
    return part


def _token_text(tokenizer, token_id: int) -> str:
    text = decoded(tokenizer, [token_id])
    if "\ufffd" not in text:
        return text
    # A byte-level token that is not whole characters: show its bytes instead of the replacement mark.
    raw = tokenizer.convert_ids_to_tokens(token_id)
    if re.fullmatch("<0x[0-9A-F]{2}>", raw):  # SentencePiece's byte fallback names them itself
        return raw
    return "".join(f"<0x{byte:02X}>" for byte in _byte_level_bytes(raw))


def _byte_level_bytes(token: str) -> bytes:
    to_byte = {character: byte for byte, character in _byte_letters().items()}
    return bytes(to_byte.get(character, ord("?")) for character in token)


@functools.cache
def _byte_letters() -> dict[int, str]:
    """The letter that stands for a byte in a byte-level vocabulary."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return bytes_to_unicode()
