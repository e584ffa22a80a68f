"""What `pip install -e .` promises: its metadata, read as the installer reads it, and the command that it brings.

Nothing is installed here. That the metadata can be built is tried by the installer itself in the pipeline.
"""

import re
import subprocess
import sys
import tomllib
from datetime import date
from importlib import import_module
from importlib.metadata import version as installed
from itertools import pairwise

import pytest

from app import __main__ as command
from vimpo_core import __version__
from vimpo_core.paths import ROOT, default_runs_dir

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASED = re.findall(r"^## (\d+\.\d+\.\d+), (\d{4}-\d{2}-\d{2})$", CHANGELOG, re.M)
"""(version, date) of each section, the newest first."""


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removesuffix(".dev0").split("."))


def pins(name: str) -> list[str]:
    lines = (line.strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-r"))]


def requirement_files() -> list[str]:
    return sorted(file.name for file in ROOT.glob("requirements*.txt"))


def test_the_requirements_are_written_once():
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert "dependencies" not in PROJECT["project"] and "dependencies" in PROJECT["project"]["dynamic"]
    assert dynamic["dependencies"] == {"file": "requirements.txt"}


@pytest.mark.parametrize("name", requirement_files())
def test_every_requirement_is_pinned(name):
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins(name))


@pytest.mark.parametrize("pin", pins("requirements.txt"))
def test_the_tests_run_with_what_is_pinned(pin):
    name, version = pin.split("==")
    assert installed(name).split("+")[0] == version


def test_the_version_is_written_once():
    assert PROJECT["project"]["dynamic"].count("version") == 1
    module, _, name = PROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
    assert getattr(import_module(module), name) == __version__


def test_the_version_is_the_newest_of_the_changelog_or_the_one_that_is_being_made():
    newest = as_numbers(RELEASED[0][0])
    if "## Unreleased" in CHANGELOG:
        assert __version__.endswith(".dev0") and as_numbers(__version__) > newest
    else:
        assert __version__ == RELEASED[0][0]


def test_the_changelog_is_by_version_the_newest_first_with_dates():
    sections = re.findall(r"^## (.*)$", CHANGELOG, re.M)
    unreleased = [s for s in sections if s.startswith("Unreleased")]
    assert sections == unreleased + [f"{version}, {day}" for version, day in RELEASED]
    assert all(as_numbers(newer) > as_numbers(older) for (newer, _), (older, _) in pairwise(RELEASED))
    days = [date.fromisoformat(day) for _, day in RELEASED]
    assert days == sorted(days, reverse=True)


def test_the_command_is_there():
    module, _, name = PROJECT["project"]["scripts"]["vimpo-lab"].partition(":")
    assert getattr(import_module(module), name) is command.main


@pytest.mark.parametrize("options", [[], ["--server.port", "8502"]])
def test_without_a_command_it_opens_the_app_as_the_readme_does(options):
    asked = []
    assert command.main(options, run_app=lambda arguments: asked.append(arguments) or 0) == 0
    assert asked == [["run", str(ROOT / "app"), *options]]
    assert (ROOT / "app" / "streamlit_app.py").is_file()  # what Streamlit looks for in a folder


def test_with_a_command_it_is_the_command_line(tmp_path, capsys):
    assert command.main(["runs", "--runs-dir", str(tmp_path)], run_app=pytest.fail) == 0
    assert "no runs yet" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [["--runs", "{}"], ["--runs={}"]])
def test_it_opens_another_folder_of_runs(tmp_path, monkeypatch, capsys, asked):
    monkeypatch.setenv("VIMPO_RUNS_DIR", "")
    found = []
    options = [one.format(tmp_path / "mine") for one in asked] + ["--server.port", "8502"]
    assert command.main(options, run_app=lambda arguments: found.append((arguments[2:], default_runs_dir())) or 0) == 0
    assert found == [(["--server.port", "8502"], tmp_path / "mine")] and not (tmp_path / "mine").exists()
    (tmp_path / "mine").write_text("")
    assert command.main(options, run_app=pytest.fail) == 2
    assert capsys.readouterr().err.endswith("is a file. --runs needs a folder.\n")


def test_its_help_explains_both(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"], run_app=pytest.fail)
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "open the app" in shown and "vimpo-lab COMMAND" in shown and "make-demos" in shown


def test_the_help_of_a_command_names_the_command_that_was_typed(capsys):
    with pytest.raises(SystemExit):
        command.main(["train", "--help"], run_app=pytest.fail)
    assert capsys.readouterr().out.startswith("usage: vimpo-lab train")


def test_it_says_its_version(capsys):
    with pytest.raises(SystemExit):
        command.main(["--version"], run_app=pytest.fail)
    assert capsys.readouterr().out == f"VIMPO Lab {__version__}\n"


def test_an_install_without_the_labs_files_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "ASSETS", tmp_path / "nowhere")
    assert command.main([], run_app=pytest.fail) == 2
    assert "pip install -e ." in capsys.readouterr().err


def test_the_command_loads_neither_streamlit_nor_torch_before_it_knows_what_is_wanted():
    program = "import app.__main__, sys; print(sorted({'streamlit', 'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
