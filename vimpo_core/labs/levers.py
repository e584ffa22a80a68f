"""Two levers on one small batch: step the value loss, the actor, or both, and see what every token's numbers did.

What is asked and what comes back, without torch; the updates themselves are made by `lever_updates` in a process of its
own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vimpo_core.mistake import Mistake
from vimpo_core.types import CreditTrace

LEVERS = {"v": "value", "a": "actor", "b": "both"}
"""A press's letter -> which loss the update descends: L_V, L_A, or L_V + c_A L_A."""

MOST_PRESSES = 40
MOST_BATCH = 999
PROMPTS, SAMPLES, OPERANDS = 2, 4, 4
"""The batch: solutions of each prompt, sampled from the reference; prompts whose solutions all agree are passed
over.
"""

LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3)
BETAS = (0.02, 0.05, 0.1, 0.2, 0.3)
ACTOR_COEFS = (0.0, 0.01, 0.05, 0.2, 1.0)
LAMBDAS = (0.0, 0.5, 0.9, 1.0)


_RANGES = (
    ("learning_rate", 1e-6, 0.1),
    ("beta", 1e-6, 10.0),
    ("actor_coef", 0.0, 10.0),
    ("gae_lambda", 0.0, 1.0),
)


@dataclass(frozen=True)
class Levers:
    """What is asked: the batch's number, every press since the untrained policy, and the settings of all of them.

    presses: letters of LEVERS in order, "" before the first. Raises Mistake, one sentence, on anything out of range.
    """

    batch: int = 0
    presses: str = ""
    learning_rate: float = 1e-3
    beta: float = 0.1
    actor_coef: float = 0.05
    gae_lambda: float = 1.0

    def __post_init__(self):
        if not 0 <= self.batch <= MOST_BATCH:
            raise Mistake(f"batch must be between 0 and {MOST_BATCH}, got {self.batch}. Choose another.")
        if unknown := sorted(set(self.presses) - set(LEVERS)):
            raise Mistake(f"presses are letters of {', '.join(LEVERS)}, got {unknown[0]!r}. Press reset.")
        if len(self.presses) > MOST_PRESSES:
            raise Mistake(f"at most {MOST_PRESSES} presses, got {len(self.presses)}. Press undo or reset.")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise Mistake(f"{name} must be between {low:g} and {high:g}, got {value:g}. Move its slider.")


@dataclass(frozen=True)
class Moment:
    """The policy on the batch after some presses. B solutions, T tokens, 0 where masked.

    logprobs, kl: nats, float32 [B, T]; td_terms (delta), advantages (raw): reward units, [B, T]; whitened: what the
    actor pushes by, no unit, [B, T]; whitened_at_0, whitened_at_1: the same at lambda 0 and 1;
    values: start-anchored V_t, reward units, [B, T+1]; residual: terminal residual, reward units, [B].
    value_loss: squared reward units; actor_loss: no unit; clip_fraction: share of tokens that the PPO clip holds.
    """

    logprobs: np.ndarray
    kl: np.ndarray
    td_terms: np.ndarray
    values: np.ndarray
    advantages: np.ndarray
    whitened: np.ndarray
    whitened_at_0: np.ndarray
    whitened_at_1: np.ndarray
    residual: np.ndarray
    value_loss: float
    actor_loss: float
    clip_fraction: float


@dataclass(frozen=True)
class Pressed:
    """The batch before and after the last press; both the untrained policy where nothing was pressed yet.

    solutions: the sampled solutions as they were scored then (pi = pi_ref), prompt by prompt. grad_norm: length of the
    last press's gradient in the adapter before it was clipped, None before a press.
    """

    asked: Levers
    solutions: tuple[CreditTrace, ...]
    before: Moment
    after: Moment
    grad_norm: float | None

    @property
    def lever(self) -> str | None:
        """Letter of the last press, None before one."""
        return self.asked.presses[-1:] or None
