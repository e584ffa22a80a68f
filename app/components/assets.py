"""What the components share: their fixed html, css and js, read once when one is registered, and how their data is sent."""

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


def as_data(payload: dict) -> list[dict]:
    """`payload` as a component's `data`. In a list, because Streamlit searches a bare dict for data frames and imports
    pandas to recognise one: 0.2 s of the first page and 40 MB for nothing.
    """
    return [payload]
