"""How each learning rule looks in every chart, strip, report and live curve: hue, dash and marker. Constants alone.

Blue and orange are kept for the sign of a token's credit, red for wrong. The hues were searched for the largest least
distance between any two under normal vision and the three kinds of colour blindness, VIMPO, GRPO and the soft optimum's
gold given. So many hues alone cannot be told apart by everybody: each rule has a dash pattern and a marker of its own
besides.
"""

LIGHT = {
    "reinforce": ("#4a4d54", "#898c94", "#21242a"),
    "reinforce_baseline": ("#1d6174", "#599aae", "#003441"),
    "rloo": ("#7d5a47", "#b28c77", "#4f2f1d"),
    "otb": ("#b846b1", "#d966d2", "#870b82"),
    "grpo": ("#0b7d72", "#41a296", "#054b44"),
    "dr_grpo": ("#2d4333", "#69816f", "#0b2012"),
    "dapo": ("#595d17", "#939855", "#2f3100"),
    "grpo_entropy": ("#4e804c", "#859983", "#235522"),
    "ppo": ("#a0015b", "#ed5d9c", "#580030"),
    "vineppo": ("#04510e", "#4f9250", "#002301"),
    "vimpo_value": ("#6e0887", "#b359ce", "#350043"),
    "vimpo": ("#6a43c9", "#9a7cfd", "#410192"),
    "vimpo_soft": ("#8a6a00", "#af8e38", "#543f00"),
    "a_star_po": ("#694837", "#9f7b69", "#3f2111"),
}
"""Rule -> shades on a light ground; runs of one rule differ in shade. The first is fit for text (4.5:1), all for lines
(3:1).
"""

DARK = {
    "reinforce": ("#8d9386", "#63685c", "#b9beb4"),
    "reinforce_baseline": ("#17a9cb", "#0c6f86", "#84d2ea"),
    "rloo": ("#f0e1d9", "#a99b94", "#fdf3ed"),
    "otb": ("#b84df4", "#9a3fd0", "#cc93f3"),
    "grpo": ("#4fd1bf", "#03897b", "#a8f8eb"),
    "dr_grpo": ("#71f29b", "#0daa58", "#e0ffe6"),
    "dapo": ("#c9fa4d", "#88af0a", "#eaffc4"),
    "grpo_entropy": ("#70bc81", "#37844d", "#96e3a6"),
    "ppo": ("#f85fb2", "#bc207e", "#feb2d6"),
    "vineppo": ("#5aa63c", "#2f7604", "#98cd86"),
    "vimpo_value": ("#fea8f6", "#b464ae", "#fef0fc"),
    "vimpo": ("#b59cff", "#7359b5", "#ded6fd"),
    "vimpo_soft": ("#d9bf57", "#927b07", "#ffeeac"),
    "a_star_po": ("#eb9c88", "#af6553", "#feccbf"),
}
"""The same on a dark ground."""

DASHES = {
    "reinforce": (3, 7),
    "reinforce_baseline": (9, 8),
    "rloo": (11, 3, 4, 3),
    "otb": (6, 3, 6, 9),
    "grpo": (7, 5),
    "dr_grpo": (7, 3, 2, 3),
    "dapo": (10, 3, 2, 3, 2, 3),
    "grpo_entropy": (7, 5, 2, 5),
    "ppo": (4, 3),
    "vineppo": (4, 3, 4, 8),
    "vimpo_value": (18, 4),
    "vimpo": (),
    "vimpo_soft": (18, 4, 3, 4),
    "a_star_po": (18, 4, 3, 4, 3, 4),
}
"""Rule -> lengths of dash and gap in pixels; () is a solid line. Dots are kept for the truth."""

MARKERS = {
    "reinforce": "plus",
    "reinforce_baseline": "hexagon",
    "rloo": "pentagon",
    "otb": "house",
    "grpo": "square",
    "dr_grpo": "triangle-down",
    "dapo": "cross",
    "grpo_entropy": "half-moon",
    "ppo": "diamond",
    "vineppo": "star",
    "vimpo_value": "triangle-up",
    "vimpo": "circle",
    "vimpo_soft": "hourglass",
    "a_star_po": "arrow",
}
"""Rule -> shape of its points."""
