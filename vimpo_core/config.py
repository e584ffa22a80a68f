"""What a run is made of, checked on construction. The help, limits and safe range of every setting live beside it,
so the command line and the Train page say the same words.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

ALGORITHMS = ("vimpo", "grpo")


def _setting(default, help, *, low=None, high=None, safe=None, choices=None, symbol=None):
    """A dataclass field with its help sentence, hard limits `low..high` (inclusive) and recommended range `safe`."""
    metadata = {"help": help, "low": low, "high": high, "safe": safe, "choices": choices, "symbol": symbol}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of one training run. Raises ValueError naming the setting, the value got and what is allowed."""

    algorithm: str = _setting(
        "vimpo", "The learning rule: VIMPO credits each token, GRPO the whole solution.", choices=ALGORITHMS
    )
    steps: int = _setting(100, "How many updates to make.", low=1, high=10_000, safe=(50, 300))
    seed: int = _setting(
        0, "Fixes prompts, samples and initial adapter: same seed, same run.", low=0, high=2**31 - 1
    )
    beta: float = _setting(
        0.1,
        "Reward per nat of log-ratio: sets the scale of V. Small: values look flat; large: the policy may hardly move.",
        low=1e-6,
        high=10.0,
        safe=(0.02, 0.5),
        symbol="beta",
    )
    actor_coef: float = _setting(
        0.05,
        "Weight c_A of the actor loss beside the value loss. It amplifies what was learned; too large, it runs away.",
        low=0.0,
        high=10.0,
        safe=(0.0, 0.1),
        symbol="c_A",
    )
    gae_lambda: float = _setting(
        1.0,
        "How far a token's credit reaches back: 0 is the one-step term, 1 its sum to the end.",
        low=0.0,
        high=1.0,
        safe=(0.9, 1.0),
        symbol="lambda",
    )
    learning_rate: float = _setting(
        3e-3, "Adam's step size for the adapter, at its highest.", low=1e-6, high=1.0, safe=(3e-4, 4e-3)
    )
    lr_schedule: str = _setting(
        "linear",
        "Keep the learning rate, or let it fall linearly to a tenth.",
        choices=("constant", "linear"),
    )
    warmup_steps: int = _setting(10, "Steps over which the learning rate rises from 0.", low=0, high=1000)
    max_grad_norm: float = _setting(
        1.0, "Gradients longer than this are shortened to it.", low=1e-3, high=1e6
    )
    prompts_per_step: int = _setting(16, "Different problems in a step.", low=1, high=256, safe=(8, 32))
    group_size: int = _setting(
        8,
        "Solutions sampled for each problem; their mean reward is the baseline.",
        low=2,
        high=64,
        safe=(4, 16),
    )
    updates_per_batch: int = _setting(
        1, "Optimizer updates on the same batch; above 1 the clip starts to act.", low=1, high=16, safe=(1, 4)
    )
    lora_rank: int = _setting(8, "Rank of the LoRA adapter that is trained.", low=1, high=64, safe=(4, 16))
    operands: int = _setting(5, "Numbers in each problem: more operands, longer solutions.", low=3, high=6)
    reward_noise: float = _setting(
        0.0,
        "Share of training rewards that are flipped, as a careless grader would.",
        low=0.0,
        high=0.5,
        safe=(0.0, 0.4),
    )
    clip_low: float = _setting(0.2, "PPO clip below 1.", low=0.0, high=1.0)
    clip_high: float = _setting(0.28, "PPO clip above 1.", low=0.0, high=10.0)
    dual_clip: float = _setting(
        10.0, "Bound on the loss of a token with negative advantage.", low=1.0, high=1e6
    )
    eval_every: int = _setting(10, "Steps between measurements on held-out problems.", low=1, high=10_000)
    eval_prompts: int = _setting(128, "Held-out problems in a measurement.", low=8, high=4096)
    snapshot_every: int = _setting(
        5, "Steps between saved adapters: Inspect can score a solution of yours at these.", low=1, high=10_000
    )
    micro_batch_size: int = _setting(
        0,
        "Rows that go through the network at once; 0 means the whole batch. Changes memory, not the result.",
        low=0,
        high=4096,
    )
    model: str = _setting(
        "bundled", 'The reference model: "bundled", or a local folder in transformers format.'
    )
    device: str = _setting(
        "cpu", "Where to train; cuda needs an NVIDIA graphics card.", choices=("cpu", "cuda")
    )
    threads: int = _setting(1, "CPU threads of the worker.", low=1, high=256)

    def __post_init__(self):
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name)))
        if self.micro_batch_size and self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"micro_batch_size must be at most prompts_per_step x group_size = {self.batch_size}, "
                f"got {self.micro_batch_size}. Lower it, or use 0 for the whole batch."
            )

    @property
    def batch_size(self) -> int:
        return self.prompts_per_step * self.group_size

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Build from a mapping. Raises ValueError naming an unknown setting and what exists."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown setting {unknown[0]!r}. Known: {', '.join(sorted(known))}.")
        return cls(**values)


def setting(name: str) -> dict[str, Any]:
    """help, low, high, safe, choices, symbol and default of one setting of `TrainConfig`."""
    f = TrainConfig.__dataclass_fields__[name]
    return {**f.metadata, "default": f.default, "type": type(f.default)}


def _checked(f, value):
    kind, limits = type(f.default), f.metadata
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ValueError(f"{f.name} must be {_kind_name(kind)}, got {value!r}. Default: {f.default!r}.")
    if limits["choices"] and value not in limits["choices"]:
        raise ValueError(f"{f.name} must be one of {', '.join(limits['choices'])}, got {value!r}.")
    if limits["low"] is not None and not limits["low"] <= value <= limits["high"]:
        raise ValueError(
            f"{f.name} must be between {limits['low']:g} and {limits['high']:g}, got {value:g}. Default: {f.default!r}."
        )
    return value


def _kind_name(kind) -> str:
    return {int: "a whole number", float: "a finite number", str: "text"}[kind]


@dataclass(frozen=True)
class Advice:
    """One colleague's remark about a choice of settings. level "caution" has failed sometimes, "danger" regularly."""

    setting: str
    level: Literal["note", "caution", "danger"]
    text: str


def balance(config: TrainConfig, mean_length: float) -> float:
    """b = c_A / (0.4 T beta): the actor's pull relative to the value loss, T = mean solution length in tokens. No unit."""
    return config.actor_coef / (0.4 * mean_length * config.beta)


def advice(config: TrainConfig, mean_length: float) -> list[Advice]:
    """Remarks on settings that are known to fail (DESIGN.md section 2). `mean_length`: tokens a solution, > 0."""
    remarks = []
    if config.learning_rate >= 5e-3:
        remarks.append(
            Advice(
                "learning_rate",
                "danger",
                f"Learning rate {config.learning_rate:g}: 1e-2 destroyed both algorithms here. Use 3e-4 to 3e-3.",
            )
        )
    if config.algorithm == "vimpo":
        b = balance(config, mean_length)
        facts = f"c_A {config.actor_coef:g} at beta {config.beta:g} and {mean_length:.0f} tokens gives balance {b:.2g}"
        stable = 0.1 * 0.4 * mean_length * config.beta
        way_out = f"Use c_A {stable:.2g} or less, or raise beta."
        if b > 0.3:
            remarks.append(
                Advice(
                    "actor_coef",
                    "danger",
                    f"{facts}: such runs have run away (collapsed above 1, at small beta from 0.3). {way_out}",
                )
            )
        elif b > 0.1:
            remarks.append(
                Advice(
                    "actor_coef",
                    "caution",
                    f"{facts}: below 0.1 runs were stable, above it small beta degraded. {way_out}",
                )
            )
        if config.beta < 5e-3:
            remarks.append(
                Advice(
                    "beta",
                    "note",
                    f"Beta {config.beta:g}: values will look flat. It learns as well, but V_t moves by beta times a few nats; "
                    "use 0.1 to 0.3 to read it.",
                )
            )
        if config.beta > 1.0:
            remarks.append(
                Advice(
                    "beta",
                    "caution",
                    f"Beta {config.beta:g}: a tiny log-ratio already explains the reward, so the policy hardly moves.",
                )
            )
    if config.group_size < 4:
        remarks.append(
            Advice(
                "group_size",
                "note",
                f"Groups of {config.group_size}: many groups agree on the reward and teach nothing that step.",
            )
        )
    return remarks
