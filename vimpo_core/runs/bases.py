"""What a run stands on: the network and the tokenizer that it was trained with, by their fingerprints.

An adapter means something on its own base weights alone. So whoever puts a run's adapter into a network, to score,
film, resume, fork or measure it, takes the network from here: it is compared with what the run's header says of it, and
another one is refused in a sentence. What a run recorded can be read without any network. torch is imported late.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import NamedTuple

from vimpo_core.config import TrainConfig
from vimpo_core.lm import adapter_files, sources
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import RunStore

_CHARACTERS = 12
"""Of a fingerprint, as shown."""


class Fingerprints(NamedTuple):
    """sha256 of frozen weights, of the vocabulary, and of all that decides how text is cut into tokens; None where they
    were never taken: older runs noted no more of their tokenizer than its vocabulary."""

    weights: str | None
    vocabulary: str | None
    tokenizer: str | None


class Origin(NamedTuple):
    """What anything kept in memory of a run has to be kept by, beside its folder: a run of the same name that was made
    later, or other files of its base model, have another one."""

    created: str
    base: tuple


def origin(store: RunStore) -> Origin:
    """Where a run's numbers come from, now."""
    return Origin(store.header()["created"], stamp(store.config().model))


def stamp(source: str) -> tuple:
    """Names, times and sizes of a model's files, of an adapter's its base's too: cheap, and different once one of them
    was written again. () where none was chosen: what was recorded is read without it."""
    if source == sources.NOT_CHOSEN:
        return ()
    folder = sources.model_folder(source)
    try:
        files = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    except OSError:  # gone: who loads it says so
        return ()
    base: tuple = ()
    if adapter_files.is_one(folder):
        with contextlib.suppress(Mistake):  # gone as well
            named = sources.base_of(folder)
            base = () if sources.adapter_of(named) else stamp(named)
    return str(folder), *((name, stat.st_mtime_ns, stat.st_size) for name, stat in files), *base


def recorded(header: dict, config: TrainConfig) -> Fingerprints:
    """What a run's header says it was trained on.

    Until headers said `is_base`, a run whose reference is refreshed noted the refreshed weights when it was resumed:
    that fingerprint is of no use.
    """
    model = header["model"]
    is_known = not config.refresh_every or model.get("is_base")
    weights = model.get("sha256") if is_known else None
    return Fingerprints(weights, header["tokenizer_sha256"], header.get("tokenization_sha256"))


def refuse_other(expected: Fingerprints, found: Fingerprints, who: str, source: str) -> None:
    """Raise Mistake where weights or tokenizer are not those that `who` (such as "run vimpo-1") was trained with.

    What one of the two does not know is not compared.
    """
    pairs = [("other base weights", expected.weights, found.weights)]
    if expected.tokenizer and found.tokenizer:
        pairs.append(("another tokenizer", expected.tokenizer, found.tokenizer))
    else:
        pairs.append(("another tokenizer", expected.vocabulary, found.vocabulary))
    differing = [(what, old, new) for what, old, new in pairs if old and new and old != new]
    if not differing:
        return
    what = " and ".join(what for what, *_ in differing)
    were, are = (", ".join(pair[i][:_CHARACTERS] for pair in differing) for i in (1, 2))
    where = "the bundled model" if source == "bundled" else source
    raise Mistake(
        f"{who} was trained with {what} than {where} has now (sha256 {were} then, {are} now), and its adapter means "
        "nothing there. Put the old model back, or train again; what was recorded can still be read."
    )


def refuse_other_marks(begun: dict, now: dict, who: str) -> None:
    """Raise Mistake where a run was begun with other begin or end tokens than its model's files name.

    Until headers said them, prompts had no begin token and the tokenizer's end token alone ended a solution.
    """
    if "end_ids" not in now:
        return
    were = begun.get("begin_ids", []), begun.get("end_ids", now["end_ids"][:1])
    are = now["begin_ids"], now["end_ids"]
    if were != are:
        raise Mistake(
            f"{who} was begun with begin tokens {were[0]} and end tokens {were[1]}; its model's files name {are[0]} "
            f"and {are[1]}, so it cannot go on as it was. Train again; what was recorded can still be read."
        )


def refuse_other_problems(begun: dict, now: dict, who: str) -> None:
    """Raise Mistake where a run's problems come from another file or library than when it was begun."""
    were, are = begun.get("problems") or {}, now.get("problems") or {}
    differing = [name for name in were if name in are and were[name] != are[name]]
    if differing:
        name = differing[0]
        raise Mistake(
            f"{who} was begun with other problems: {name} was {were[name][:60]}, and is {are[name][:60]} now. Put "
            "back what it was, or train again; what was recorded can still be read."
        )


def load_policy(store: RunStore):
    """A run's policy before training, on this machine: the one way to its network.

    Raises:
        Mistake: the model is not there or cannot be loaded, or is not the one that the run was trained with.
    """
    from vimpo_core.lm import loading

    config = store.config()
    at = stamp(config.model)
    policy = loading.load_policy(on_this_machine(config))
    refuse_other(recorded(store.header(), config), _fingerprints(at, policy), f"run {store.run_id}", config.model)
    return policy


def on_this_machine(config: TrainConfig) -> TrainConfig:
    """The settings of a run that may have been trained elsewhere: on the CPU where its graphics card is missing."""
    if config.device == "cpu":
        return config
    import torch

    return config if torch.cuda.is_available() else dataclasses.replace(config, device="cpu")


_taken: dict[tuple, Fingerprints] = {}
"""Fingerprints by the stamp of the files: 1 ms for the bundled model, but seconds for one of a billion weights."""


def _fingerprints(at: tuple, policy) -> Fingerprints:
    """Of a policy that was just loaded from files with this stamp."""
    from vimpo_core.lm import models

    if at not in _taken:
        _taken[at] = Fingerprints(
            models.fingerprint(policy),
            models.vocabulary_fingerprint(policy),
            models.tokenizer_fingerprint(policy),
        )
    return _taken[at]
