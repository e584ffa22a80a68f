"""How a learning rule looks, for the components: `vimpo_core.views.rule_styles` has the numbers, this gives them to the
browser.
"""

from __future__ import annotations

from vimpo_core.views.rule_styles import DARK, DASHES, LIGHT, MARKERS

__all__ = ["DASHES", "INK", "MARKERS", "SHADES", "SOFT", "hues_css", "style_of"]

SHADES = {"light": LIGHT, "dark": DARK}
"""theme -> rule -> shades."""

SOFT = "vimpo_soft"
"""The rule that goes to the soft optimum: what is said of that optimum is drawn like it. What was found by trying has
the colour of the text."""

INK = {"light": "#5b6470", "dark": "#a9b2bd"}
"""Words and other marks of Plotly's figures, by theme: its own grey has too little contrast to be read from afar."""


def style_of(rule: str) -> dict:
    """Hue by theme and dash of a rule, for what a browser draws by itself (`markTheme` of colours.js puts it into
    css).
    """
    return {"hues": {theme: of[rule][0] for theme, of in SHADES.items()}, "dash": list(DASHES[rule])}


def hues_css(root: str) -> str:
    """Style rules for a component whose root element, selected by `root`, says data-theme="dark" where it is dark: each
    algorithm's first shade as --vimpo, --grpo and so on, and as the colour of what says data-style="vimpo", "grpo" ...
    """
    places = {"light": root, "dark": f'{root}[data-theme="dark"]'}
    rules = [
        f"{places[theme]} {{ {' '.join(f'--{name}: {shades[0]};' for name, shades in of.items())} }}"
        for theme, of in SHADES.items()
    ]
    rules += [f'[data-style="{name}"] {{ color: var(--{name}); }}' for name in SHADES["light"]]
    return "\n".join(rules) + "\n"
