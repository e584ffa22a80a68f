"""Settings of VIMPO beside those of GRPO."""

from __future__ import annotations

from dataclasses import dataclass, field

from trl import GRPOConfig

from vimpo_core.config import TrainConfig

_LAB = TrainConfig()


@dataclass
class VIMPOConfig(GRPOConfig):
    """GRPO's settings, each with the meaning it has there, and VIMPO's own (arXiv 2606.20008).

    `beta` stays GRPO's: a penalty by the k3 estimate, off by default. VIMPO's is `vimpo_beta`. The clip of the actor is
    GRPO's too, with defaults that make it this lab's dual clip: epsilon 0.2, epsilon_high 0.28, delta 10.
    """

    vimpo_beta: float = field(
        default=_LAB.beta, metadata={"help": "VIMPO's beta, reward per nat: rho = beta (log pi - log pi_ref)."}
    )
    actor_coef: float = field(
        default=_LAB.actor_coef, metadata={"help": "c_A, the weight of the actor beside the value loss; 0 is without."}
    )
    gae_lambda: float = field(
        default=_LAB.gae_lambda, metadata={"help": "lambda of the token advantages, from 0 to 1."}
    )
    epsilon_high: float | None = field(
        default=_LAB.clip_high, metadata={"help": "Upper clip of the ratio, above 1; GRPO's, with another default."}
    )
    delta: float | None = field(
        default=_LAB.dual_clip,
        metadata={"help": "Two-sided clip of the ratio where the advantage is negative; GRPO's, with another default."},
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.vimpo_beta > 0:
            raise ValueError(f"vimpo_beta must be above 0, got {self.vimpo_beta}. Rewards of 0 and 1 go with 0.1.")
        if not self.actor_coef >= 0:
            raise ValueError(f"actor_coef must be 0 or more, got {self.actor_coef}. Use 0 for the value loss alone.")
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError(f"gae_lambda must be from 0 to 1, got {self.gae_lambda}. The paper uses 1.")
