"""Where a model comes from: what somebody typed, what a run keeps of it, and the folder that it means on this machine.

A source is one of

    bundled                the small model of the lab itself
    smollm2                a model with a short name: fetched when a person asks for it (`known`)
    a folder               in transformers format, or a PEFT adapter's (`adapters`)
    org/name[@revision]    of the Hugging Face hub: fetched when a person asks for it, never by itself (`hub`)
    a file.gguf            converted once, when a person asks for it (`gguf_files`)

A run keeps "bundled", a short name, a whole path, or org/name@COMMIT, so that it means the same weights from anywhere
and later. No torch here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vimpo_core.lm import adapter_files, gguf_files, hub, known, model_files
from vimpo_core.lm.known import KNOWN
from vimpo_core.mistake import Mistake
from vimpo_core.paths import BUNDLED_MODEL, ROOT, as_path

BUNDLED = "bundled"
NOT_CHOSEN = ""
"""The model of a run that another tool recorded, until somebody says which it was."""
Told = Callable[[int, int], None]
"""Is told how far it is: what is done, and of how much."""


def is_of_hub(source: str, start: Path | None = None) -> bool:
    """Whether a source names a repository of the hub: a folder of that name comes first."""
    if source == BUNDLED or gguf_files.is_named(source) or not hub.ID.fullmatch(source):
        return False
    return not ((start or Path.cwd()) / source).is_dir() and not (ROOT / source).is_dir()


def whole_model(source: str, start: Path | None = None) -> str:
    """A source that means the same from anywhere: a path typed relative to `start` (default: the current folder)
    becomes a whole one; other sources are kept. Mistake where it names a home that is not there."""
    source = source.strip()
    if source == BUNDLED or source in KNOWN or is_of_hub(source, start):
        return source
    return os.path.abspath((start or Path.cwd()) / as_path(source))


def model_folder(source: str) -> Path:
    """The folder that a run's setting `model` means, from wherever it is asked: a relative one counts from the
    repository root. It need not be there. Mistake where none was chosen."""
    if source == NOT_CHOSEN:
        raise Mistake(
            "no model was chosen for this run, which another tool recorded without its weights. Re-score it with the "
            "model that wrote it, or choose another run."
        )
    if source == BUNDLED:
        return BUNDLED_MODEL
    if source in KNOWN:
        return known.folder_of(source)
    if is_of_hub(source, ROOT):
        return hub.folder_of(source)
    return ROOT / as_path(source)


def settled(source: str, start: Path | None = None) -> str:
    """The setting `model` as a run keeps it, of a source whose files are on this machine.

    Raises:
        Mistake: nothing was typed; the model has first to be fetched or converted, and the sentence says how.
    """
    if not source.strip():
        raise Mistake("no model is named. Type bundled, a folder, org/name of the Hugging Face hub, or a .gguf file.")
    whole = whole_model(source, start)
    if whole in KNOWN and not known.is_here(whole):
        raise Mistake(known.how_to_get(whole))
    if is_of_hub(whole):
        return hub.pinned(whole)
    if gguf_files.is_named(whole):
        return str(gguf_files.converted(Path(whole)))
    return whole


def is_here(source: str) -> bool:
    """Whether nothing has to be fetched or converted before the source can be used."""
    if source == NOT_CHOSEN:
        return False
    whole = whole_model(source)
    if whole in KNOWN:
        return known.is_here(whole)
    if is_of_hub(whole):
        return hub.is_here(whole)
    return not gguf_files.is_named(whole) or gguf_files.find(Path(whole)) is not None


def get(source: str, told: Told | None = None) -> str:
    """Fetch or convert what a source names, where there is something to do; returns it as a run keeps it.

    Raises:
        Mistake: it cannot be had, in one sentence; nothing half-written is left that could be taken for a model.
    """
    whole = whole_model(source)
    if whole in KNOWN:
        known.get(whole, told)
        return whole
    if is_of_hub(whole):
        return hub.fetch(whole, told)
    if gguf_files.is_named(whole):
        return str(gguf_files.convert(Path(whole), told))
    return settled(source)


def find(source: str = BUNDLED) -> Path:
    """The folder of the network that a source means, an adapter's base for an adapter, as far as its files tell that it
    can be trained.

    Raises:
        Mistake: the folder, its settings or its safetensors weights are missing or damaged, or it holds a network of a
            kind that cannot be sampled token by token here; one sentence says which and what to use.
    """
    if (adapter := adapter_of(source)) is not None:
        return _whole(base_of(adapter))
    return _whole(source)


def adapter_of(source: str) -> Path | None:
    """The folder of the PEFT adapter that a source is; None for a whole model. Raises Mistake where it cannot be
    trained on."""
    folder = model_folder(source)
    if not adapter_files.is_one(folder):
        return None
    adapter_files.check(folder)
    return folder


def base_of(adapter: Path) -> str:
    """The source of the model that an adapter was trained on. Mistake, naming it, where it is not on this machine."""
    named, revision = adapter_files.base_named(adapter)
    if named == BUNDLED or named in KNOWN:
        return named
    for path in (*_written_whole(named), adapter / named):
        if path.is_absolute() and path.is_dir():
            return os.path.abspath(path)
    if not hub.ID.fullmatch(named):
        raise Mistake(
            f"the adapter in {adapter} belongs to the model {named[:200]!r}, which is not there. Put it back, or write "
            "its folder as base_model_name_or_path into adapter_config.json."
        )
    at = f"{named}@{revision}" if revision else named
    if not hub.is_here(at):
        raise Mistake(
            f"the adapter in {adapter} belongs to {at}, which is not on this machine. Fetch it: "
            f"python -m vimpo_core models get {at}"
        )
    return hub.pinned(at)


def _written_whole(named: str) -> list[Path]:
    """The path that a file names, where it is one: it may name a home that is not on this machine."""
    try:
        return [as_path(named)]
    except Mistake:
        return []


def base_alike(adapter: Path) -> tuple[str, str]:
    """The source of an adapter's base, to score with; of one that is named by a path of another computer the model here
    that has its name, with a sentence that says so, "" otherwise. Mistake where there is none.
    """
    try:
        return base_of(adapter), ""
    except Mistake:
        named, _ = adapter_files.base_named(adapter)
        found = _of_its_name(named)
        if not found:
            raise
        said = (
            f"The adapter names its base by a path that is not here, {named[-120:]!r}: {found} has the same name and "
            "is taken. Its weights may be others; name another base as the reference."
        )
        return found, said


def _of_its_name(named: str) -> str:
    """A model on this machine that is called like the last folder of a path; "" where there is none."""
    parts = [part for part in named.replace("\\", "/").split("/") if part]
    if parts[-2:] == list(BUNDLED_MODEL.parts[-2:]):
        return BUNDLED
    for part, of_commit in zip(parts, parts[2:], strict=False):  # a folder of another hub's cache
        kind, _, repo = part.partition("--")
        at = f"{repo.replace('--', '/', 1)}@{of_commit}"
        if kind == "models" and hub.ID.fullmatch(at) and hub.is_here(at):
            return hub.pinned(at)
    name = parts[-1].lower() if parts else ""
    found = [repo for repo in hub.all_here() if repo.rpartition("/")[2].lower() == name]
    found += [key for key, one in KNOWN.items() if name in (key, one.label.lower()) and known.is_here(key)]
    found += [str(folder) for folder in gguf_files.all_converted() if gguf_files.label(folder).lower() == name]
    return (hub.pinned(found[0]) if "/" in found[0] and hub.ID.fullmatch(found[0]) else found[0]) if found else ""


def _whole(source: str) -> Path:
    folder = model_folder(source)
    if adapter_files.is_one(folder):
        raise Mistake(f"{folder} holds an adapter on another adapter. Give one whose base is a whole model.")
    missing = model_files.lacking(folder)
    if missing == "config.json":
        raise Mistake(_no_model(source, folder))
    if why := model_files.refusal(model_files.settings_of(folder)):
        raise Mistake(f"the model in {folder} {why}")
    if not missing:
        return folder
    if not missing.startswith("*"):
        raise Mistake(f"the model in {folder} lacks {missing}, which its index names. Copy or fetch it again.")
    if any(folder.glob("*.bin")):
        raise Mistake(
            f"the model in {folder} has no weights in safetensors, and no other format is loaded. Convert them once: "
            f"{model_files.conversion_command(folder)}"
        )
    raise Mistake(f"no *.safetensors in {folder}, and no other weight format is loaded. Convert the weights first.")


def _no_model(source: str, folder: Path) -> str:
    if source == BUNDLED:
        return f"no model at {folder}: config.json is missing. Run `python -m vimpo_core make-reference`."
    if source in KNOWN:
        return known.how_to_get(source)
    if is_of_hub(source):
        return (
            f"{source} is neither a folder here nor a model that was fetched. Fetch it from the Hugging Face hub: "
            f"python -m vimpo_core models get {source}"
        )
    return f"no model at {folder}: config.json is missing. Give a folder in transformers format."


def label(source: str) -> str:
    """What pages call a model: "the bundled model", org/name without its commit, a folder's or a .gguf file's name."""
    if source == BUNDLED:
        return "the bundled model"
    if source == NOT_CHOSEN:
        return "a model not chosen yet"
    if source in KNOWN:
        return KNOWN[source].label
    if is_of_hub(source):
        return source.partition("@")[0]
    return gguf_files.label(Path(source)) or source
