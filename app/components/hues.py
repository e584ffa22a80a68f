"""One hue an algorithm in every chart of the app; blue and orange are kept for the sign of a token's credit, red for wrong.

The hues were searched for the largest least distance between any two under normal vision and the three kinds of colour
blindness, VIMPO, GRPO and the soft optimum's gold given. Eleven hues alone cannot be told apart by everybody: each algorithm
has a dash pattern and a marker of its own besides.
"""

SHADES = {
    "light": {
        "reinforce": ("#4a4d54", "#898c94", "#21242a"),
        "reinforce_baseline": ("#1d6174", "#599aae", "#003441"),
        "rloo": ("#7d5a47", "#b28c77", "#4f2f1d"),
        "grpo": ("#0b7d72", "#41a296", "#054b44"),
        "dr_grpo": ("#2d4333", "#69816f", "#0b2012"),
        "dapo": ("#595d17", "#939855", "#2f3100"),
        "ppo": ("#a0015b", "#ed5d9c", "#580030"),
        "vineppo": ("#04510e", "#4f9250", "#002301"),
        "vimpo_value": ("#6e0887", "#b359ce", "#350043"),
        "vimpo": ("#6a43c9", "#9a7cfd", "#410192"),
        "vimpo_soft": ("#8a6a00", "#af8e38", "#543f00"),
    },
    "dark": {
        "reinforce": ("#8d9386", "#63685c", "#b9beb4"),
        "reinforce_baseline": ("#17a9cb", "#0c6f86", "#84d2ea"),
        "rloo": ("#f0e1d9", "#a99b94", "#fdf3ed"),
        "grpo": ("#4fd1bf", "#03897b", "#a8f8eb"),
        "dr_grpo": ("#71f29b", "#0daa58", "#e0ffe6"),
        "dapo": ("#c9fa4d", "#88af0a", "#eaffc4"),
        "ppo": ("#f85fb2", "#bc207e", "#feb2d6"),
        "vineppo": ("#5aa63c", "#2f7604", "#98cd86"),
        "vimpo_value": ("#fea8f6", "#b464ae", "#fef0fc"),
        "vimpo": ("#b59cff", "#7359b5", "#ded6fd"),
        "vimpo_soft": ("#d9bf57", "#927b07", "#ffeeac"),
    },
}
"""theme -> algorithm -> shades; runs of the same algorithm differ in shade. The first is fit for text (4.5:1), all for lines (3:1)."""

DASHES = {
    "reinforce": (3, 7),
    "reinforce_baseline": (9, 8),
    "rloo": (11, 3, 4, 3),
    "grpo": (7, 5),
    "dr_grpo": (7, 3, 2, 3),
    "dapo": (10, 3, 2, 3, 2, 3),
    "ppo": (4, 3),
    "vineppo": (4, 3, 4, 8),
    "vimpo_value": (18, 4),
    "vimpo": (),
    "vimpo_soft": (18, 4, 3, 4),
}
"""algorithm -> lengths of dash and gap in pixels; () is a solid line. Dots are kept for the truth."""

MARKERS = {
    "reinforce": "plus",
    "reinforce_baseline": "hexagon",
    "rloo": "pentagon",
    "grpo": "square",
    "dr_grpo": "triangle-down",
    "dapo": "cross",
    "ppo": "diamond",
    "vineppo": "star",
    "vimpo_value": "triangle-up",
    "vimpo": "circle",
    "vimpo_soft": "hourglass",
}
"""algorithm -> shape of its points."""

SOFT = {"light": "#8a6a00", "dark": "#d9bf57"}
"""The soft optimum's value, by theme: the hue of the algorithm that goes there. What was found by trying has the colour of the text."""


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
