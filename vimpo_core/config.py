"""What a run is made of, checked on construction. The help, limits and safe range of every setting live beside it,
so the command line and the Train page say the same words.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from vimpo_core.mistake import Mistake
from vimpo_core.numbers import percent
from vimpo_core.rules import RULES, Surrogate
from vimpo_core.tasks import registry

ALGORITHMS = tuple(RULES)
"""What each is, in words and formulas: `rules.RULES`."""


def _setting(default, help, *, low=None, high=None, safe=None, choices=None, symbol=None):
    """A dataclass field with its help sentence, hard limits `low..high` (inclusive) and recommended range `safe`."""
    metadata = {"help": help, "low": low, "high": high, "safe": safe, "choices": choices, "symbol": symbol}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of one training run. Raises Mistake naming the setting, the value got and what is allowed."""

    algorithm: str = _setting(
        "vimpo",
        "The learning rule: VIMPO (Value-Implicit Policy Optimization) credits each token, GRPO (Group Relative "
        "Policy Optimization) the whole solution; Every rule, on the Inspect page, sets all of them side by side.",
        choices=ALGORITHMS,
    )
    steps: int = _setting(100, "How many updates to make.", low=1, high=10_000, safe=(50, 300))
    seed: int = _setting(0, "Fixes prompts, samples and initial adapter: same seed, same run.", low=0, high=2**31 - 1)
    beta: float = _setting(
        0.1,
        "Reward per nat of log-ratio: sets the scale of V. Small: values look flat; large: the policy may hardly move.",
        low=1e-6,
        high=10.0,
        safe=(0.02, 0.3),
        symbol="beta",
    )
    beta_end: float = _setting(
        0.0, "Beta at the last step, reached linearly; 0 keeps beta as it is.", low=0.0, high=10.0
    )
    actor_coef: float = _setting(
        0.05,
        "Weight c_A of the actor loss beside the value loss. It amplifies what was learned; too large, it runs away.",
        low=0.0,
        high=10.0,
        safe=(0.0, 0.1),
        symbol="c_A",
    )
    actor_schedule: str = _setting(
        "constant",
        "Keep c_A, let it fall linearly to 0 at the last step, or let it rise linearly from 0.",
        choices=("constant", "fall", "rise"),
    )
    actor_coef_rule: str = _setting(
        "fixed",
        "Fixed: c_A is the weight itself. Adaptive: c_A is the actor's pull on the log-probabilities as a share of the "
        "value loss's, whatever their scales.",
        choices=("fixed", "adaptive"),
    )
    gae_lambda: float = _setting(
        1.0,
        "How far a token's credit reaches back: 0 is the one-step term, 1 its sum to the end.",
        low=0.0,
        high=1.0,
        safe=(0.9, 1.0),
        symbol="lambda",
    )
    value_loss: str = _setting(
        "squared",
        "How the terminal residual is punished: its square, huber (linear beyond huber_delta), or its square after "
        "division by the batch's reward spread (normalised).",
        choices=("squared", "huber", "normalised"),
    )
    huber_delta: float = _setting(
        0.5, "Residual in reward units beyond which the huber value loss grows linearly.", low=1e-3, high=10.0
    )
    baseline: str = _setting(
        "group_mean",
        "What the value loss compares a solution's reward with: the mean of its whole group, as published, or of the "
        "other solutions. The group mean holds the solution itself, so groups of G end where beta G / (G - 1) would.",
        choices=("group_mean", "leave_one_out"),
    )
    cap_v0: float = _setting(
        0.0,
        "Highest value V_0 that the value loss gives a problem: a baseline above it is lowered to it, so that easy "
        "problems still push right solutions up; 0 sets no limit. The authors' vimpo_cap_v0.",
        low=0.0,
        high=10.0,
    )
    kl_estimator: str = _setting(
        "exact",
        "How kappa's KL is found: exactly over the vocabulary, from the sampled token (k2, k3), or over the policy's "
        "most probable tokens (top-k). k1 would make every token's credit identically 0.",
        choices=("exact", "k2", "k3", "top-k"),
    )
    kl_top_k: int = _setting(
        4, "Tokens that the top-k estimate of KL counts one by one; the rest are one lump.", low=1, high=1024
    )
    refresh_every: int = _setting(
        0,
        "Steps after which the current policy becomes the reference, again and again; 0 keeps the reference for ever.",
        low=0,
        high=10_000,
    )
    loss_average: str = _setting(
        "tokens",
        "Over what GRPO's loss is averaged: all tokens of the batch alike, or first within each solution, as "
        "published.",
        choices=("tokens", "solutions"),
    )
    critic_lr: float = _setting(
        3e-3, "Adam's step size for PPO's learned critic.", low=1e-6, high=1.0, safe=(1e-3, 1e-2)
    )
    critic_updates: int = _setting(
        4, "Critic updates on each batch; they cost little beside the sampling.", low=1, high=64, safe=(1, 8)
    )
    critic_clip: float = _setting(
        0.2, "How far a value may move from the one it had when the batch was sampled.", low=1e-3, high=10.0
    )
    vine_rollouts: int = _setting(
        4, "Rollouts from every prefix for VinePPO's Monte Carlo values.", low=1, high=256, safe=(4, 16)
    )
    resample_rounds: int = _setting(
        3,
        "How often DAPO draws another problem in the place of one whose solutions all earned the same.",
        low=0,
        high=20,
    )
    reference_rollouts: int = _setting(
        8,
        "Solutions of the reference to each problem of a step: their success rate is A*-PO's estimate of V*.",
        low=1,
        high=256,
        safe=(4, 32),
    )
    top_entropy_quantile: float = _setting(
        0.2,
        "Share of the batch's tokens, those of highest entropy, on which GRPO with the high-entropy mask learns; 1 is "
        "GRPO.",
        low=0.01,
        high=1.0,
        safe=(0.1, 1.0),
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
        1.0,
        "Gradients longer than this are shortened to it; 0 shortens none. Rules whose losses differ by a factor alone "
        "are the same to Adam only at 0.",
        low=0.0,
        high=1e6,
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
        1,
        "Optimizer updates on the same batch; above 1 the clip starts to act, where the rule has one.",
        low=1,
        high=16,
        safe=(1, 4),
    )
    lora_rank: int = _setting(8, "Rank of the LoRA adapter that is trained.", low=1, high=64, safe=(4, 16))
    lora_layers: int = _setting(
        0,
        "Layers, counted from the output, that the adapter sits on; 0 means all. Layers below are computed once for "
        "policy and reference, and an adapter on a few makes a step of a large model cheaper and its files smaller.",
        low=0,
        high=1000,
    )
    task: str = _setting(
        "chain",
        "What the model is asked: " + "; ".join(f"{k.form}, {k.words}" for k in registry.TASKS.values()) + ".",
    )
    prompt_style: str = _setting(
        "plain",
        "How a problem is worded: as it is; few-shot, after some solved ones; chat, in the model's own chat template.",
        choices=registry.PROMPT_STYLES,
    )
    max_new_tokens: int = _setting(
        0, "Tokens that a solution may have; 0 means as many as the task says.", low=0, high=4096
    )
    partial_rewards: str = _setting(
        "kept",
        "Whether an answer that is nearly right earns what the task's judge gives it, between 0 and 1, or exactly "
        "nothing.",
        choices=registry.PARTIAL_REWARDS,
    )
    operands: int = _setting(
        5,
        "Numbers in each problem: more operands, longer solutions. The bundled reference knows 3 to 6.",
        low=3,
        high=8,
    )
    reward_noise: float = _setting(
        0.0,
        "Share of training rewards that are flipped, as a careless grader would.",
        low=0.0,
        high=0.5,
        safe=(0.0, 0.4),
    )
    reward_noise_unit: str = _setting(
        "solution",
        "What flips together: each solution by itself, or all solutions to a problem at once, as in the paper's own "
        "experiments.",
        choices=("solution", "group"),
    )
    clip_low: float = _setting(0.2, "PPO clip below 1.", low=0.0, high=1.0)
    clip_high: float = _setting(0.28, "PPO clip above 1.", low=0.0, high=10.0)
    dual_clip: float = _setting(10.0, "Bound on the loss of a token with negative advantage.", low=1.0, high=1e6)
    eval_every: int = _setting(10, "Steps between measurements on validation problems.", low=1, high=10_000)
    eval_prompts: int = _setting(
        128,
        "Validation problems in a measurement, never trained on; 0 measures nothing while training. The command line's "
        "final numbers use up to 512 test problems.",
        low=0,
        high=4096,
    )
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
        "bundled",
        "The reference model: bundled, a folder in transformers format, org/name[@revision] of the Hugging Face hub, a "
        ".gguf file, or a PEFT adapter's folder, whose adapter the run then begins with.",
    )
    device: str = _setting("cpu", "Where to train; cuda needs an NVIDIA graphics card.", choices=("cpu", "cuda"))
    threads: int = _setting(1, "CPU threads of the worker.", low=1, high=256)

    def __post_init__(self):
        is_ours = self.task != registry.RECORDED  # how large a run was that somebody recorded is not ours to limit
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name), is_ours))
        if self.micro_batch_size and self.micro_batch_size > self.batch_size:
            raise Mistake(
                f"micro_batch_size must be at most prompts_per_step x group_size = {self.batch_size}, "
                f"got {self.micro_batch_size}. Lower it, or use 0 for the whole batch."
            )
        registry.check(self)

    def at(self, step: int) -> TrainConfig:
        """The settings in force at a step: beta and c_A as their schedules have them there."""
        share = min(step / self.steps, 1.0)
        beta = self.beta + share * (self.beta_end - self.beta) if self.beta_end else self.beta
        scale = {"constant": 1.0, "fall": 1 - share, "rise": share}[self.actor_schedule]
        if beta == self.beta and scale == 1.0:
            return self
        return dataclasses.replace(self, beta=beta, actor_coef=scale * self.actor_coef)

    @property
    def batch_size(self) -> int:
        return self.prompts_per_step * self.group_size

    @property
    def kl_tokens(self) -> int:
        """Tokens that kappa's KL counts one by one where it is the top-k estimate, else 0."""
        return self.kl_top_k if self.kl_estimator == "top-k" else 0

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Build from a mapping. Raises Mistake naming an unknown setting and what exists."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise Mistake(f"unknown setting {unknown[0]!r}. Known: {', '.join(sorted(known))}.")
        return cls(**values)


def setting(name: str) -> dict[str, Any]:
    """help, low, high, safe, choices, symbol and default of one setting of `TrainConfig`."""
    f = TrainConfig.__dataclass_fields__[name]
    return {**f.metadata, "default": f.default, "type": type(f.default)}


def flips_text(share: float, unit: str) -> str:
    """Whose rewards are flipped, in a few words: "25 % of the rewards", "the rewards of 25 % of the groups"."""
    whole = "the rewards of " if unit == "group" else ""
    return f"{whole}{percent(share)} of the {'groups' if unit == 'group' else 'rewards'}"


def _checked(f, value, is_limited):
    kind, limits = type(f.default), f.metadata
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise Mistake(f"{f.name} must be {_kind_name(kind)}, got {value!r}. Default: {f.default!r}.")
    if f.name == "kl_estimator" and value == "k1":
        raise Mistake(
            "kl_estimator must not be k1: it is the log-ratio of the sampled token itself, so rho - kappa would be 0 "
            f"for every token and no value could be read. Use {', '.join(limits['choices'])}."
        )
    if limits["choices"] and value not in limits["choices"]:
        raise Mistake(f"{f.name} must be one of {', '.join(limits['choices'])}, got {value!r}.")
    if limits["low"] is not None and not limits["low"] <= value <= (limits["high"] if is_limited else math.inf):
        raise Mistake(
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


HIGHEST_TRIED_RATE = 8e-3
"""The largest learning rate that the tuning of an experiment here tried."""
STABLE_BALANCE, SMALL_BETA_EDGE, EDGE = 0.1, 0.3, 1.0
"""Balances that the experiment "levers" tried: at the first nothing broke, at the second runs with a small beta had
collapsed, at the third all had."""
READABLE_BETA = (0.1, 0.3)
"""Betas of the bundled runs, where V_t moves far enough to be looked at."""


def safe_text(name: str) -> str:
    """The recommended range of a setting in words: "0.02 to 0.3"."""
    low, high = setting(name)["safe"]
    return f"{low:g} to {high:g}"


def balance(config: TrainConfig, mean_length: float) -> float:
    """b = c_A / (0.4 T beta): the actor's pull relative to the value loss, T = mean solution length in tokens. No
    unit.
    """
    return config.actor_coef / (0.4 * mean_length * config.beta)


_MOST_MEASURED, _MEASURED = 0.25, 0.1
"""Solutions to held-out problems for each one that is trained on, while training: from where on a remark is made, and
what it proposes; of the bundled model, where all is quick, above 1. With .25 measuring takes some 15 % of a run's time:
the final measurement comes on top (a tenth at most), and such a solution costs about .6 of one that is trained on.
"""


def advice(config: TrainConfig, mean_length: float) -> list[Advice]:
    """Remarks on settings that are known to fail. `mean_length`: tokens a solution, > 0."""
    remarks = []
    if config.learning_rate > HIGHEST_TRIED_RATE:
        remarks.append(
            Advice(
                "learning_rate",
                "danger",
                f"Learning rate {config.learning_rate:g}: no experiment here went above {HIGHEST_TRIED_RATE:g}, and "
                f"1e-2 destroyed VIMPO and GRPO. Use {safe_text('learning_rate')}.",
            )
        )
    rule = RULES[config.algorithm]
    if rule.value:
        # An adaptive c_A is itself the share of the pulls, whatever beta and length.
        is_weight = rule.advantages is not None and config.actor_coef_rule == "fixed"
        b = balance(config, mean_length) if is_weight else 0.0
        facts = f"c_A {config.actor_coef:g} at beta {config.beta:g} and {mean_length:.0f} tokens gives balance {b:.2g}"
        stable = STABLE_BALANCE * config.actor_coef / b if b else 0.0
        way_out = f"Use c_A {stable:.2g} or less, or raise beta."
        if b > SMALL_BETA_EDGE:
            remarks.append(
                Advice(
                    "actor_coef",
                    "danger",
                    f"{facts}: such runs have run away (collapsed at {EDGE:g}, at small beta at {SMALL_BETA_EDGE:g}). "
                    f"{way_out}",
                )
            )
        elif b > STABLE_BALANCE:
            remarks.append(
                Advice(
                    "actor_coef",
                    "caution",
                    f"{facts}: up to {STABLE_BALANCE:g} runs were stable, at {SMALL_BETA_EDGE:g} those with a small "
                    f"beta collapsed. {way_out}",
                )
            )
        if config.beta < 5e-3:
            remarks.append(
                Advice(
                    "beta",
                    "note",
                    f"Beta {config.beta:g}: values will look flat. It learns as well, but V_t moves by beta times a "
                    f"few nats; use {READABLE_BETA[0]:g} to {READABLE_BETA[1]:g} to read it.",
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
    if config.reward_noise >= 0.5:
        remarks.append(
            Advice(
                "reward_noise",
                "danger",
                "Half of the rewards flipped: a reward then says nothing about right or wrong, and nothing can be "
                f"learned. Use {setting('reward_noise')['safe'][1]:g} or less.",
            )
        )
    if config.updates_per_batch > 1 and rule.surrogate is Surrogate.PLAIN:
        remarks.append(
            Advice(
                "updates_per_batch",
                "caution",
                f"{config.updates_per_batch} updates a batch: this rule has no ratio and no clip, so after the first "
                f"update it goes on "
                "with the solutions of a policy that is no longer there. Use 1, or a rule with a ratio.",
            )
        )
    measurements = sum(step % config.eval_every == 0 for step in range(config.steps)) + 1  # the last step's is one
    trained = config.steps * config.batch_size
    measured = 2 * config.eval_prompts * measurements / trained
    if measured > (1 if config.model == "bundled" else _MOST_MEASURED):
        remarks.append(
            Advice(
                "eval_prompts",
                "note",
                f"Measurements take {measured:.2g} solutions to held-out problems for each one that is trained on. Use "
                f"eval_prompts {max(1, int(_MEASURED * trained / (2 * measurements)))}, 0 for none, or measure less "
                "often.",
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
