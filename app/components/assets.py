"""Fixed html, css and js of the components, read once when a component is registered."""

from __future__ import annotations

from vimpo_core.paths import ASSETS


def read_asset(name: str) -> str:
    """Text of a file in assets/components. Raises FileNotFoundError naming the file and what to do."""
    path = ASSETS / "components" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"the page needs assets/components/{name}, which is missing. Restore it from the repository."
        )
    return path.read_text(encoding="utf-8")
