"""One solution as a web page in one file: the app's own credit view, with every lens, for any browser, without a
network.

The files of assets/components go in as they are. Numbers and texts go in as JSON and reach the page through
`textContent`, so no token is ever read as HTML; the page's own policy lets nothing else run or load.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib

from vimpo_core.formats.es_modules import join_modules, read_asset
from vimpo_core.paths import ROOT

_STYLES = (
    "solution_page/solution_page.css",
    "shared/views.css",
    "shared/tokens.css",
    "shared/solution.css",
    "credit_view/credit_view.css",
)
_FONTS = {
    "font": '"Source Sans 3", "Source Sans Pro", system-ui, sans-serif',
    "code-font": '"Source Code Pro", ui-monospace, monospace',
    "base-radius": "0.25rem",
}


def solution_page(payload: dict, page: dict) -> str:
    """The page as text.

    Args:
        payload: from `credit_view.inspector_payload`, with "token", "lens" and "name" as the credit view takes them.
        page: what stands around it: {"title": str, "verdict": str, "facts": [[name, text], ...], "code": {name: text}}.
    """
    style = "\n".join([_theme(), *map(read_asset, _STYLES)])
    script = join_modules(read_asset("solution_page/solution_page.js"), "solution_page")
    if "</script" in script.lower() or "</style" in style.lower():
        raise ValueError("the component files cannot be put into one page: check assets/components.")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "style": style,
        "script": script,
        "view": read_asset("credit_view/credit_view.html"),
        "data": safe_json({"payload": payload, "page": page}),
    }
    # One pass, so that nothing inside a part is taken for a place to fill.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], read_asset("solution_page/solution_page.html"))


def safe_json(value) -> str:
    """JSON that can stand inside a script element: no "<", no line separators, nothing outside ASCII."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _theme() -> str:
    """The app's colours as the variables that its components use, light and dark by the reader's system."""
    settings = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text(encoding="utf-8"))

    def variables(values: dict) -> str:
        return "".join(f"--st-{_kebab(name)}:{value};" for name, value in values.items())

    light, dark = settings["theme"]["light"], settings["theme"]["dark"]
    return (
        f":root{{color-scheme:light dark;{variables(_FONTS | light)}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{variables(dark)}}}}}"
    )


def _kebab(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "-" + letter[0].lower(), name)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
