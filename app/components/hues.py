"""One hue an algorithm in every chart of the app; blue and orange are kept for the sign of a token's credit."""

SHADES = {
    "light": {"vimpo": ("#6a43c9", "#a88ce6", "#3d2480"), "grpo": ("#0b7d72", "#55b3a9", "#074a44")},
    "dark": {"vimpo": ("#b59cff", "#7f62d6", "#dccfff"), "grpo": ("#4fd1bf", "#2a9486", "#b3efe5")},
}
"""theme -> algorithm -> shades; runs of the same algorithm differ in shade."""

SOFT = {"light": "#8a6a00", "dark": "#d9bf57"}
"""The soft optimum's value, by theme. What was found by trying has the colour of the text."""


def hues_css(root: str) -> str:
    """Style rules for a component whose root element, selected by `root`, says data-theme="dark" where it is dark: each
    algorithm's first shade as --vimpo and --grpo, and as the colour of what says data-style="vimpo" or "grpo".
    """
    places = {"light": root, "dark": f'{root}[data-theme="dark"]'}
    rules = [
        f"{places[theme]} {{ {' '.join(f'--{name}: {shades[0]};' for name, shades in of.items())} }}"
        for theme, of in SHADES.items()
    ]
    rules += [f'[data-style="{name}"] {{ color: var(--{name}); }}' for name in SHADES["light"]]
    return "\n".join(rules) + "\n"
