"""The derivation's steps by name, for whoever lists them without loading sympy; a test compares it with
`derivation.steps`.
"""

from __future__ import annotations

OUTLINE: dict[str, tuple[str, str]] = {
    "cost": ("shared", "What drifting from the reference costs"),
    "slope": ("shared", "One choice: the slope"),
    "tilt": ("shared", "The reference, tilted"),
    "normaliser": ("local", "What the normaliser is worth"),
    "identity": ("local", "The identity"),
    "recurrence": ("local", "Values, token by token"),
    "soft_value": ("soft", "Values that count the cost"),
    "soft_identity": ("soft", "The soft identity"),
    "soft_wrong": ("soft", "What β KL would do here"),
    "anchors": ("local", "Two anchors, one gap"),
    "loss": ("local", "The value loss"),
    "gradient": ("local", "Its gradient"),
    "reinforce": ("local", "Small β: REINFORCE"),
    "reference": ("local", "Before training there is no credit"),
    "k1": ("local", "Why the KL must not be estimated by k1"),
}
"""key -> (branch, title), in the order of reading."""
