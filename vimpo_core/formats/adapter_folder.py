"""A trained adapter as a PEFT folder, which `PeftModel.from_pretrained(base, folder)` loads. No torch."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from safetensors.numpy import load, save

from vimpo_core.lm import adapter_files, model_files, sources
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import RunStore

_INSIDE, _A = "base_model.model.", ".lora_A.weight"
_TRANSPOSED = {"gpt2"}
"""Networks that keep their projections transposed, as peft has to be told."""


def files_of(store: RunStore, step: int) -> dict[str, bytes]:
    """name -> content of the files of the folder.

    Raises Mistake if the step's adapter was not kept or is damaged.
    """
    try:
        tensors = load(store.snapshot(step))
    except Mistake:
        raise
    except Exception as error:  # safetensors' own
        raise Mistake(f"the adapter of step {step} is damaged ({error}). Choose another step.") from error
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(_INSIDE)}
    settings = json.dumps(_settings(store, list(own)), indent=2) + "\n"
    weights = save(own, metadata={"format": "pt"})
    return {adapter_files.SETTINGS: settings.encode("utf-8"), adapter_files.WEIGHTS: weights}


def write(store: RunStore, step: int, out: Path) -> int:
    """Write the folder, whole or not at all; returns its bytes.

    Raises:
        Mistake: as `files_of`, or something is there already.
        OSError: it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Mistake(f"{out} is there already. Name a new folder with --out.")
    content = files_of(store, step)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for name, data in content.items():
            (unfinished / name).write_bytes(data)
        unfinished.chmod(0o755)
        os.replace(unfinished, out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return sum(map(len, content.values()))


def zipped(store: RunStore, step: int) -> bytes:
    """The folder as a .zip file. Raises Mistake as `files_of`."""
    name, memory = folder_name(store.run_id, step), io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for file, content in files_of(store, step).items():
            archive.writestr(f"{name}/{file}", content)
    return memory.getvalue()


def folder_name(run_id: str, step: int) -> str:
    return f"{run_id}-step{step}-adapter"


def _settings(store: RunStore, names: list[str]) -> dict:
    """adapter_config.json: of an adapter that the run began with its own, else as `models.attach_lora` makes one."""
    config = store.config()
    source, folder = config.model, sources.model_folder(config.model)
    if adapter_files.is_one(folder):
        return adapter_files.settings_of(folder) | {"inference_mode": True, "lora_dropout": 0.0}
    named, revision = source, None
    if sources.is_of_hub(source):
        named, _, revision = source.partition("@")
    kind = ""
    with contextlib.suppress(Mistake):  # the base may be gone, its adapter is not
        kind = str(model_files.settings_of(folder).get("model_type", ""))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": named,
        "revision": revision,
        "inference_mode": True,
        "r": config.lora_rank,
        "lora_alpha": 2 * config.lora_rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": kind in _TRANSPOSED,
        # Whole names: of a mixture of experts some projections of a name are adapted and others are not.
        "target_modules": sorted(name.removeprefix(_INSIDE).removesuffix(_A) for name in names if name.endswith(_A)),
    }
