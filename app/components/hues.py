"""One hue an algorithm in every chart of the app; blue and orange are kept for the sign of a token's credit."""

SHADES = {
    "light": {"vimpo": ("#6a43c9", "#a88ce6", "#3d2480"), "grpo": ("#0b7d72", "#55b3a9", "#074a44")},
    "dark": {"vimpo": ("#b59cff", "#7f62d6", "#dccfff"), "grpo": ("#4fd1bf", "#2a9486", "#b3efe5")},
}
"""theme -> algorithm -> shades; runs of the same algorithm differ in shade."""

SOFT = {"light": "#8a6a00", "dark": "#d9bf57"}
"""The soft optimum's value, by theme. What was found by trying has the colour of the text."""
