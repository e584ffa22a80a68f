"""What the components share: their fixed html, css and js, read once when one is registered, and how their data is sent."""

from __future__ import annotations

import streamlit as st

from vimpo_core.paths import ASSETS

_VIEW_SCRIPTS = (
    "shared/mounting.js",
    "shared/drawing.js",
    "shared/token_strip.js",
    "shared/lenses.js",
    "shared/save_figure.js",
)
"""What stands before the script of a view of a solution, in every component and in `formats.html_page`."""


def read_asset(name: str) -> str:
    """Text of a file in assets/components. Raises FileNotFoundError naming the file and what to do."""
    path = ASSETS / "components" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"the page needs assets/components/{name}, which is missing. Restore it from the repository."
        )
    return path.read_text(encoding="utf-8")


def read_assets(*names: str) -> str:
    """The texts of files in assets/components, one after the other."""
    return "".join(map(read_asset, names))


def read_script(*names: str) -> str:
    """A component's script of several files; the last one's `export default function` draws it, guarded by guard.js."""
    script = read_assets("shared/guard.js", *names)
    exported = "export default function ("
    if script.count(exported) != 1:
        raise ValueError(
            f"assets/components/{names[-1]} must have one `{exported}`, got {script.count(exported)}. Write it so."
        )
    return script.replace(exported, "function drawComponent(") + "\nexport default guarded(drawComponent);\n"


def register_view(name: str, *styles: str):
    """Register a view of a solution: its own html and script, and the css and scripts that all views share.

    Args:
        name: of the component and its files.
        styles: its css files after the shared one, in order.
    """
    return st.components.v2.component(
        name,
        html=read_asset(f"{name}/{name}.html"),
        css=read_assets("shared/views.css", *styles),
        js=read_script(*_VIEW_SCRIPTS, f"{name}/{name}.js"),
        isolate_styles=True,
    )


def as_data(payload: dict) -> list[dict]:
    """`payload` as a component's `data`. In a list, because Streamlit searches a bare dict for data frames and imports
    pandas to recognise one: 0.2 s of the first page and 40 MB for nothing.
    """
    return [payload]
