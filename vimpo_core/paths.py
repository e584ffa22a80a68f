"""Where the project keeps its files."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
BUNDLED_MODEL = ASSETS / "reference"
DEMOS = ASSETS / "demos"


def default_runs_dir() -> Path:
    """`runs/` at the repository root, or the folder that VIMPO_RUNS_DIR names."""
    return Path(os.environ.get("VIMPO_RUNS_DIR", ROOT / "runs"))
