"""How long a chapter takes somebody who reads it alone: its words at a reading speed, what there is to do, the waits.

Every promised minute of the course is worked out here. A test counts the words that a reader really meets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WORDS_A_MINUTE = 120
"""Half of what people read of easy prose: these are new terms, with numbers and symbols between them."""
PREDICTION_SECONDS = 60
FORMULA_SECONDS = 30
LOOK_SECONDS = 20
"""For a row of tokens, a plot or a table."""
PRESS_SECONDS = 15
"""For a button or a slider, and a look at what has changed."""


@dataclass(frozen=True)
class Effort:
    """What a chapter asks of its reader up to its end, without what stays folded.

    words: visible ones, the longest reply included; words_on_press: those that the presses bring one after another.
    wait_seconds: for what is computed meanwhile, measured on two busy cores.
    """

    words: int
    words_on_press: int = 0
    looks: int = 0
    presses: int = 0
    formulas: int = 0
    predictions: int = 1
    wait_seconds: int = 0

    @property
    def seconds(self) -> float:
        doing = (
            self.predictions * PREDICTION_SECONDS
            + self.formulas * FORMULA_SECONDS
            + self.looks * LOOK_SECONDS
            + self.presses * PRESS_SECONDS
        )
        return (self.words + self.words_on_press) * 60 / WORDS_A_MINUTE + doing + self.wait_seconds

    @property
    def minutes(self) -> int:
        """What is promised: whole minutes, rounded up."""
        return math.ceil(self.seconds / 60)
