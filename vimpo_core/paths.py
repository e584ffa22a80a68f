"""Where the project keeps its files."""

import os
from pathlib import Path

from vimpo_core.mistake import Mistake

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
BUNDLED_MODEL = ASSETS / "reference"
DEMOS = ASSETS / "demos"
REAL = ASSETS / "real"
"""Runs of a real language model: what they recorded comes with the project, their base weights do not."""
BUNDLED_RUNS = (DEMOS, REAL)


def default_runs_dir() -> Path:
    """`runs/` at the repository root, or the folder that VIMPO_RUNS_DIR names; set but empty is as good as not set.

    Raises Mistake, one sentence, where it names a home that is not there.
    """
    named = os.environ.get("VIMPO_RUNS_DIR", "")
    return as_path(named).absolute() if named.strip() else ROOT / "runs"


def as_path(typed: str) -> Path:
    """A path that somebody typed; `~` is their home.

    Raises Mistake where nothing was typed (an empty path would be the current folder) or there is no such home.
    """
    if not typed.strip():
        raise Mistake("a path must not be empty. Name a folder or a file")
    try:
        return Path(typed).expanduser()
    except (RuntimeError, ValueError) as error:
        raise Mistake(f"{typed!r} names a home that is not there. Write the whole path") from error


def child_environment() -> dict[str, str]:
    """The environment of a Python process that the lab starts: it finds the lab wherever Python looks by itself, also
    where PYTHONSAFEPATH keeps the current folder out."""
    found = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(found)} | home_environment()


def home_environment() -> dict[str, str]:
    """The HOME of a user who has none, such as a bare number in a container: Streamlit does not start without one."""
    try:
        Path.home()
    except RuntimeError:
        return {"HOME": str(default_runs_dir())}
    return {}


def models_dir() -> Path:
    """Where converted models are kept: beside one's own runs, or the folder that VIMPO_MODELS_DIR names."""
    named = os.environ.get("VIMPO_MODELS_DIR", "")
    return as_path(named).absolute() if named.strip() else default_runs_dir().parent / "models"


def problems_dir() -> Path:
    """Where files of problems are kept that somebody gave to a page: beside one's own runs, or the folder that
    VIMPO_PROBLEMS_DIR names.
    """
    named = os.environ.get("VIMPO_PROBLEMS_DIR", "")
    return as_path(named).absolute() if named.strip() else default_runs_dir().parent / "problems"
