"""The family: every credit rule that trains here, each by how it differs from the known one. No torch.

A rule answers "which number does this token's log-probability get pushed by?". It is declared, not coded into a loop:

    credit      what a token is credited with, in reward units: for looking at
    advantages  what enters the actor's surrogate, scaled as the rule scales it; None where the actor has no part
    signal, reach, scale, surrogate, average, value, extras
                choices that carry their words: code asks which one it is, a reader sees what it says

`objective` trains with these lines (torch), the pages read them (NumPy), and `weights` says what the loss's gradient in
each token's log-probability is at the policy that sampled it. Symbols as in README.md, "Symbols".
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace

from vimpo_core import credit

if TYPE_CHECKING:  # the settings list the rules
    from vimpo_core.config import TrainConfig

Array = Any
"""A NumPy array or a torch tensor."""


@dataclass(frozen=True)
class Sampled:
    """A batch as the rules see it: NumPy or torch, [B, T] nats, right-padded; nothing here is optimised.

    kl: what kappa uses, see `kappa_kl`; critic_values: V(s_t) before each token, [B, T], reward units;
    mc_values: success rate from every prefix, [B, T+1]; entropy: of the policy at each state; collision: sum_v pi^2
        there;
    reference_rate: the reference's success rate on each row's prompt, [B], the mean of its `credit.tilted` rewards at
    the rule's beta where they are not all 0 or 1. None where not measured.
    """

    logprobs: Array
    ref_logprobs: Array
    kl: Array
    completion_mask: Array
    rewards: Array
    group_ids: Array
    critic_values: Array | None = None
    mc_values: Array | None = None
    entropy: Array | None = None
    collision: Array | None = None
    reference_rate: Array | None = None


class Choice(StrEnum):
    """What a rule can have in a slot: a key, and the words that a reader sees."""

    words: str

    def __new__(cls, key: str, words: str = ""):  # with its key alone it is looked up
        choice = str.__new__(cls, key)
        choice._value_, choice.words = key, words
        return choice


class Signal(Choice):
    """What the token is judged by."""

    REWARD = "reward", "R"
    ABOVE_GROUP = "above_group", "R − group mean"
    ABOVE_OTHERS = "above_others", "R − mean of the others"
    ABOVE_PLACE = "above_place", "R − weighted mean of the group"
    CRITIC = "critic", "V(next) − V, by a learned critic"
    TRYING = "trying", "V(next) − V, by trying"
    IMPLIED = "implied", "ρ − κ, implied"
    IMPLIED_SOFT = "implied_soft", "ρ, implied"

    @property
    def compares_group(self) -> bool:
        """Whether a solution's credit depends on the other solutions of its prompt."""
        return self in (Signal.ABOVE_GROUP, Signal.ABOVE_OTHERS, Signal.ABOVE_PLACE)


class Reach(Choice):
    """Which tokens a signal credits."""

    EVERY_TOKEN = "every_token", "every token alike"
    THIS_TOKEN = "this_token", "this token alone"
    THIS_PLACE = "this_place", "every token, each against its own place's baseline"
    UNDECIDED = "undecided", "every token of high entropy alike, no other"
    TO_THE_END = "to_the_end", "this token and, times λ, all after it"


class Scale(Choice):
    """How the signal is scaled for the actor."""

    NONE = "none", "as it is"
    GROUP_SPREAD = "group_spread", "over the group's spread"
    WHITENED = "whitened", "whitened over all tokens of the batch"


class Surrogate(Choice):
    """How the actor pushes log pi."""

    NONE = "", "not at all"
    PLAIN = "plain", "A × log π"
    CLIP = "clip", "A × ratio, clipped"


class Average(Choice):
    """What a token counts: over what the loss is averaged. Keys as in `credit.average_weights`."""

    TOKENS = "tokens", "all tokens of the batch"
    SOLUTIONS = "solutions", "(solutions × tokens of each)"
    SUM = "sum", "solutions"
    BUDGET = "budget", "(solutions × token budget)"


class ValueLoss(Choice):
    """The residual of the whole solution that the policy's log-ratios are trained on."""

    NONE = "", "none"
    PLAIN = "plain", "½ (Σ (ρ − κ) − (R − group mean))²"
    SOFT = "soft", "½ (Σ ρ − (R − soft baseline))²"
    OPTIMAL = "optimal", "½ (Σ ρ − (R − V*))²"


class Extra(Choice):
    """What must be measured beside the rollouts, or what of the scores is read beside log-probabilities and KL."""

    CRITIC = "critic", "a value head on the policy's own trunk"
    MONTE_CARLO = "monte_carlo", "rollouts from every prefix"
    RESAMPLE = "resample", "other problems for groups that agree"
    REFERENCE_RATE = "reference_rate", "its success rate on every prompt"
    ENTROPY = "entropy", "the policy's entropy at each token"
    COLLISION = "collision", "Σ π² over the vocabulary at each token"


_ARRAYS = {
    Extra.CRITIC: "critic_values",
    Extra.MONTE_CARLO: "mc_values",
    Extra.ENTROPY: "entropy",
    Extra.COLLISION: "collision",
    Extra.REFERENCE_RATE: "reference_rate",
}
"""extra -> the array of `Sampled` that it is."""
_CRITIC_LOSS = "½ (V − return)², clipped, for the critic alone"

SLOTS = {
    "signal": "What the token is judged by",
    "reach": "How far it reaches",
    "scale": "How it is scaled",
    "surrogate": "How it pushes log π",
    "average": "What a token counts",
    "value": "Value loss",
    "extra": "What it needs besides",
}
"""slot of `Rule.terms` -> what it is about."""

PerToken = Callable[[Sampled, "TrainConfig"], Array]


@dataclass(frozen=True)
class Rule:
    """One algorithm as data.

    paper: arXiv id, or where it was published; formula: this token's credit in one line of plain text; latex: the same;
    differs: one sentence; settings: names in `TrainConfig` that it reads beyond those that all rules read.
    """

    name: str
    paper: str
    formula: str
    latex: str
    differs: str
    signal: Signal
    reach: Reach
    credit: PerToken
    advantages: PerToken | None
    scale: Scale = Scale.NONE
    settings: tuple[str, ...] = ()
    surrogate: Surrogate = Surrogate.CLIP
    average: Average = Average.TOKENS
    value: ValueLoss = ValueLoss.NONE
    extras: frozenset[Extra] = field(default_factory=frozenset)

    @property
    def needs(self) -> tuple[str, ...]:
        """Arrays of `Sampled` that are None unless something more was measured."""
        return tuple(array for name, array in _ARRAYS.items() if name in self.extras)

    @property
    def terms(self) -> dict[str, str]:
        """slot of SLOTS -> what stands there in words, the same slots for all, so that two rules can be compared."""
        weight = "c_A" if self.value and self.advantages is not None else "1"
        besides = ["the reference"] * bool(self.value) + [extra.words for extra in Extra if extra in self.extras]
        found = (
            self.signal.words,
            self.reach.words,
            self.scale.words,
            self.surrogate.words,
            f"{weight} / {self.average.words}",
            _CRITIC_LOSS if Extra.CRITIC in self.extras else self.value.words,
            ", and ".join(besides) or "nothing",
        )
        return dict(zip(SLOTS, found, strict=True))


# ---- what a token is credited with, reward units


def _reward(sampled: Sampled, config: TrainConfig):
    return credit.on_every_token(sampled.rewards, sampled.completion_mask)


def _above_group(sampled: Sampled, config: TrainConfig):
    above = credit.grpo_advantages(sampled.rewards, sampled.group_ids, scale_by_std=False)
    return credit.on_every_token(above, sampled.completion_mask)


def _above_others(sampled: Sampled, config: TrainConfig):
    others = credit.leave_one_out_mean(sampled.rewards, sampled.group_ids)
    return credit.on_every_token(sampled.rewards - others, sampled.completion_mask)


def _above_this_place(sampled: Sampled, config: TrainConfig):
    baseline = credit.optimal_token_baseline(
        sampled.rewards, sampled.group_ids, sampled.logprobs, sampled.collision, sampled.completion_mask
    )
    return credit.on_every_token(sampled.rewards, sampled.completion_mask) - baseline


def _where_undecided(of: PerToken) -> PerToken:
    def kept(sampled: Sampled, config: TrainConfig):
        found = of(sampled, config)
        is_high = credit.high_entropy(sampled.entropy, sampled.completion_mask, config.top_entropy_quantile)
        return array_namespace(found).where(is_high, found, 0 * found)

    return kept


def _by_critic(sampled: Sampled, config: TrainConfig):
    terms = credit.critic_td_terms(sampled.critic_values, sampled.completion_mask, sampled.rewards)
    return credit.gae(terms, sampled.completion_mask, config.gae_lambda)


def _by_trying(sampled: Sampled, config: TrainConfig):
    return credit.monte_carlo_advantages(sampled.mc_values, sampled.completion_mask)


def _implied_terms(sampled: Sampled, config: TrainConfig):
    return credit.td_terms(sampled.logprobs, sampled.ref_logprobs, sampled.kl, sampled.completion_mask, config.beta)


def _soft_terms(sampled: Sampled, config: TrainConfig):
    return credit.rho(sampled.logprobs, sampled.ref_logprobs, sampled.completion_mask, config.beta)


def _implied(sampled: Sampled, config: TrainConfig):
    return credit.gae(_implied_terms(sampled, config), sampled.completion_mask, config.gae_lambda)


def _soft(sampled: Sampled, config: TrainConfig):
    return credit.gae(_soft_terms(sampled, config), sampled.completion_mask, config.gae_lambda)


# ---- what enters the surrogate


def _over_spread(sampled: Sampled, config: TrainConfig):
    scaled = credit.grpo_advantages(sampled.rewards, sampled.group_ids)
    return credit.on_every_token(scaled, sampled.completion_mask)


def _whitened(of: PerToken) -> PerToken:
    return lambda sampled, config: credit.whiten(of(sampled, config), sampled.completion_mask)


# ---- the rules

_ONE_RULE = (
    "With one update a batch, REINFORCE with the group baseline, RLOO and Dr. GRPO are one rule: their gradients "
    "differ by a factor (1, G / (G − 1), 1 / token budget), which Adam does not see; only max_grad_norm does."
)
_CLIP_SETTINGS = ("clip_low", "clip_high", "dual_clip")
_VALUE_SETTINGS = ("beta", "beta_end", "value_loss", "huber_delta", "cap_v0", "refresh_every")
_KL_SETTINGS = ("kl_estimator", "kl_top_k")
_ACTOR_SETTINGS = ("actor_coef", "actor_schedule", "actor_coef_rule", "gae_lambda", *_CLIP_SETTINGS)


RULES: dict[str, Rule] = {
    "reinforce": Rule(
        "REINFORCE",
        "Williams 1992",
        "A = R",
        r"A_t = R",
        "The plain policy gradient: a right solution is made more likely, a wrong one is left alone.",
        Signal.REWARD,
        Reach.EVERY_TOKEN,
        _reward,
        _reward,
        surrogate=Surrogate.PLAIN,
        average=Average.SUM,
    ),
    "reinforce_baseline": Rule(
        "REINFORCE, group baseline",
        "Williams 1992",
        "A = R − group mean",
        r"A_t = R - \bar R",
        "REINFORCE minus the mean reward of the solutions to the same prompt: wrong solutions are pushed down too. "
        + _ONE_RULE,
        Signal.ABOVE_GROUP,
        Reach.EVERY_TOKEN,
        _above_group,
        _above_group,
        surrogate=Surrogate.PLAIN,
        average=Average.SUM,
    ),
    "rloo": Rule(
        "RLOO",
        "2402.14740",
        "A = R − mean of the others",
        r"A_t = R - \frac{1}{G-1}\sum_{j \ne i} R_j",
        "REINFORCE with the mean of the other solutions as baseline, so that no solution is compared with itself. "
        + _ONE_RULE,
        Signal.ABOVE_OTHERS,
        Reach.EVERY_TOKEN,
        _above_others,
        _above_others,
        surrogate=Surrogate.PLAIN,
        average=Average.SUM,
    ),
    "otb": Rule(
        "Optimal token baseline",
        "2602.07078",
        "A = R − Σ R W / Σ W over the group's solutions at this place",
        r"A_t = R - \frac{\sum_i R_i W_t^i}{\sum_i W_t^i},\; W_t = \sum_{k \le t} \bigl(1 - 2\pi_k + \sum_v "
        r"\pi_{kv}^2\bigr)",
        "Each place in the solution has its own baseline: the group's rewards, weighted by how much each solution has "
        "stirred the gradient so far, which makes the gradient's variance small. As verl 0.9.1 has it, on the clipped "
        "ratio; where one solution alone is left its baseline is 0.",
        Signal.ABOVE_PLACE,
        Reach.THIS_PLACE,
        _above_this_place,
        _above_this_place,
        settings=_CLIP_SETTINGS,
        extras=frozenset({Extra.COLLISION}),
    ),
    "grpo": Rule(
        "GRPO",
        "2402.03300",
        "A = (R − group mean) / group spread",
        r"A_t = \frac{R - \bar R}{\sigma_R}",
        "PPO without a critic: the group baseline over the group's spread, on every token. Here without its KL term, "
        "averaged over all tokens of the batch and clipped at 0.2 and 0.28 (the paper: first within each solution, "
        "one width); VIMPO's authors do so too.",
        Signal.ABOVE_GROUP,
        Reach.EVERY_TOKEN,
        _above_group,
        _over_spread,
        Scale.GROUP_SPREAD,
        settings=("loss_average", *_CLIP_SETTINGS),
    ),
    "dr_grpo": Rule(
        "Dr. GRPO",
        "2503.20783",
        "A = R − group mean, over a fixed token budget",
        r"A_t = R - \bar R",
        "GRPO without the division by the group's spread and by the solution's length, which favour some questions "
        "and lengths. " + _ONE_RULE,
        Signal.ABOVE_GROUP,
        Reach.EVERY_TOKEN,
        _above_group,
        _above_group,
        settings=_CLIP_SETTINGS,
        average=Average.BUDGET,
    ),
    "dapo": Rule(
        "DAPO",
        "2503.14476",
        "A = (R − group mean) / group spread, agreeing groups drawn again",
        r"A_t = \frac{R - \bar R}{\sigma_R}",
        "GRPO over all tokens alike, a clip that is wider above, and dynamic sampling: a problem whose solutions all "
        "earned the same is replaced, here resample_rounds times at most. The paper's soft penalty on overlong "
        "solutions is not here.",
        Signal.ABOVE_GROUP,
        Reach.EVERY_TOKEN,
        _above_group,
        _over_spread,
        Scale.GROUP_SPREAD,
        settings=("resample_rounds", *_CLIP_SETTINGS),
        extras=frozenset({Extra.RESAMPLE}),
    ),
    "grpo_entropy": Rule(
        "GRPO, high-entropy tokens",
        "2506.01939",
        "A = (R − group mean) / group spread on the tokens of highest entropy, 0 elsewhere",
        r"A_t = \frac{R - \bar R}{\sigma_R}\,\mathbf 1\bigl[H_t \ge \tau\bigr]",
        "GRPO that learns only where the policy was undecided: on the fifth of the batch's tokens whose entropy is "
        "highest (top_entropy_quantile). As in TRL the others still count in the average.",
        Signal.ABOVE_GROUP,
        Reach.UNDECIDED,
        _where_undecided(_above_group),
        _where_undecided(_over_spread),
        Scale.GROUP_SPREAD,
        settings=("top_entropy_quantile", "loss_average", *_CLIP_SETTINGS),
        extras=frozenset({Extra.ENTROPY}),
    ),
    "ppo": Rule(
        "PPO, learned critic",
        "1707.06347",
        "A = Σ λ^k δ, δ = V(next) − V by a value head",
        r"A_t = \sum_{k \ge t} \lambda^{k-t} \bigl(V_\phi(s_{k+1}) - V_\phi(s_k)\bigr),\; V_\phi(s_T) := R",
        "A value head on the policy's own trunk learns V(s) from the rewards; generalised advantage estimation "
        "(1506.02438) turns it into credit.",
        Signal.CRITIC,
        Reach.TO_THE_END,
        _by_critic,
        _whitened(_by_critic),
        Scale.WHITENED,
        settings=("gae_lambda", "critic_lr", "critic_updates", "critic_clip", *_CLIP_SETTINGS),
        extras=frozenset({Extra.CRITIC}),
    ),
    "vineppo": Rule(
        "VinePPO",
        "2410.01679",
        "A = V(next) − V by trying",
        r"A_t = \hat V^\pi(s_{t+1}) - \hat V^\pi(s_t)",
        "PPO whose values come from finishing prefixes several times instead of from a critic: unbiased, and dear. "
        "Here from every token; the paper tries from the beginnings of reasoning steps.",
        Signal.TRYING,
        Reach.THIS_TOKEN,
        _by_trying,
        _whitened(_by_trying),
        Scale.WHITENED,
        settings=("vine_rollouts", *_CLIP_SETTINGS),
        extras=frozenset({Extra.MONTE_CARLO}),
    ),
    "vimpo_value": Rule(
        "VIMPO, value loss alone",
        "2606.20008",
        "δ = β log(π/π_ref) − β KL, read off; learned by the value loss",
        r"\delta_t = \beta \log\tfrac{\pi}{\pi_\mathrm{ref}} - \beta\,\mathrm{KL}_t",
        "VIMPO without its actor: the residual pushes every token of a solution alike, and the token credit is only "
        "read off.",
        Signal.IMPLIED,
        Reach.THIS_TOKEN,
        _implied_terms,
        None,
        settings=(*_VALUE_SETTINGS, "baseline", *_KL_SETTINGS),
        average=Average.SUM,
        surrogate=Surrogate.NONE,
        value=ValueLoss.PLAIN,
    ),
    "vimpo": Rule(
        "VIMPO",
        "2606.20008",
        "A = Σ λ^k δ, δ = β log(π/π_ref) − β KL",
        r"A_t = \sum_{k \ge t} \lambda^{k-t} \Bigl(\beta \log\tfrac{\pi}{\pi_\mathrm{ref}} - "
        r"\beta\,\mathrm{KL}_k\Bigr)",
        "No critic: the values are read off the policy and its reference. The reward enters through the value loss "
        "alone; the actor amplifies what the policy has already moved.",
        Signal.IMPLIED,
        Reach.TO_THE_END,
        _implied,
        _whitened(_implied),
        Scale.WHITENED,
        settings=(*_VALUE_SETTINGS, "baseline", *_KL_SETTINGS, *_ACTOR_SETTINGS),
        value=ValueLoss.PLAIN,
    ),
    "vimpo_soft": Rule(
        "VIMPO, soft",
        "ours, after 2606.20008",
        "A = Σ λ^k ρ, ρ = β log(π/π_ref)",
        r"A_t = \sum_{k \ge t} \lambda^{k-t} \beta \log\tfrac{\pi}{\pi_\mathrm{ref}}",
        "VIMPO without the KL term, on a soft baseline: it goes towards the KL-regularised (soft) optimum instead of "
        "the local fixed point. Ours: the authors keep soft values for experiments, their code refuses them together "
        "with an actor, and their soft baseline is the group mean of R − β Σ KL; ours is β log mean exp(R/β) over the "
        "group.",
        Signal.IMPLIED_SOFT,
        Reach.TO_THE_END,
        _soft,
        _whitened(_soft),
        Scale.WHITENED,
        settings=(*_VALUE_SETTINGS, *_ACTOR_SETTINGS),
        value=ValueLoss.SOFT,
    ),
    "a_star_po": Rule(
        "A*-PO",
        "2505.20686",
        "ρ = β log(π/π_ref), read off; learned by regressing Σ ρ on R − V*",
        r"\rho_t = \beta \log\tfrac{\pi}{\pi_\mathrm{ref}},\; \sum_t \rho_t \to R - V^*,\; V^* = \beta \log "
        r"\mathbb{E}_{\pi_\mathrm{ref}} e^{R/\beta}",
        "The whole solution's log-ratio is regressed on its optimal advantage R − V*, V* estimated from the "
        "reference's own solutions to the prompt: pushed alike on every token, and its optimum is the soft one. The "
        "paper estimates V* once for every training prompt and with a larger β than it regresses with (0.5 and 0.001 "
        "in its scripts), and samples one solution a prompt; here one β, prompts new at every step, and a group of "
        "solutions each.",
        Signal.IMPLIED_SOFT,
        Reach.THIS_TOKEN,
        _soft_terms,
        None,
        settings=("beta", "beta_end", "value_loss", "huber_delta", "refresh_every", "reference_rollouts"),
        average=Average.SUM,
        surrogate=Surrogate.NONE,
        value=ValueLoss.OPTIMAL,
        extras=frozenset({Extra.REFERENCE_RATE}),
    ),
}
"""Key -> rule; the keys are the choices of `TrainConfig.algorithm`, in this order. How one looks:
`views.rule_styles`.
"""


_RULE_SETTINGS = {name for rule in RULES.values() for name in rule.settings} - {"beta"}
"""Settings that only some rules read; at beta the value loss is measured for all of them."""


def is_read(name: str, algorithms: Collection[str]) -> bool:
    """Whether one of these rules reads a setting."""
    return name not in _RULE_SETTINGS or any(name in RULES[key].settings for key in algorithms)


def readers(name: str) -> list[str]:
    """The names of the rules that read a setting that only some read; none where all do."""
    return [rule.name for rule in RULES.values() if name in rule.settings] if name in _RULE_SETTINGS else []


def average_of(rule: Rule, config: TrainConfig) -> Average:
    """What the actor's loss is averaged over: GRPO's is a setting, the others' is part of the rule."""
    return Average(config.loss_average) if "loss_average" in rule.settings else rule.average


def kappa_kl(config: TrainConfig, logprobs, ref_logprobs, kl, top_k_kl=None):
    """The KL that kappa uses by `config.kl_estimator`: nats, [B, T].

    Args:
        kl: exact; top_k_kl: over the most probable tokens, needed where the estimate is "top-k".
    """
    if config.kl_estimator in ("k2", "k3"):
        return credit.sampled_kl(logprobs, ref_logprobs, config.kl_estimator)
    return top_k_kl if config.kl_estimator == "top-k" else kl


def value_terms(rule: Rule, sampled: Sampled, config: TrainConfig):
    """What the rule's value loss sums over a solution: rho - kappa, or rho alone; float [B, T], reward units."""
    return (_implied_terms if rule.value is ValueLoss.PLAIN else _soft_terms)(sampled, config)


def value_baseline(rule: Rule, sampled: Sampled, config: TrainConfig):
    """What the rule's value loss subtracts from each solution's reward: float [B], reward units."""
    if rule.value is ValueLoss.OPTIMAL:
        return credit.soft_value(sampled.reference_rate, config.beta)
    if rule.value is ValueLoss.SOFT:
        return credit.capped(credit.soft_baseline(sampled.rewards, sampled.group_ids, config.beta), config.cap_v0)
    return credit.prompt_baseline(sampled.rewards, sampled.group_ids, config.baseline, config.cap_v0)


def baseline_name(rule: Rule, config: TrainConfig) -> str:
    """What `value_baseline` is, in words."""
    if rule.value is ValueLoss.OPTIMAL:
        return "V*"
    mean = "mean of the others" if config.baseline == "leave_one_out" else "group mean"
    capped = f", capped at {config.cap_v0:g}" if config.cap_v0 else ""
    return ("soft baseline" if rule.value is ValueLoss.SOFT else mean) + capped


def terms_of(rule: Rule, config: TrainConfig) -> dict[str, str]:
    """`Rule.terms` with its value loss as these settings have it."""
    if not rule.value:
        return rule.terms
    of = baseline_name(rule, replace(config, cap_v0=0.0))
    if config.cap_v0 and rule.value is not ValueLoss.OPTIMAL:
        of = f"min({of}, {config.cap_v0:g})"
    terms = "Σ (ρ − κ)" if rule.value is ValueLoss.PLAIN else "Σ ρ"
    residual = f"{terms} − (R − {of})"
    value = {
        "squared": f"½ ({residual})²",
        "huber": f"huber({residual}), linear beyond {config.huber_delta:g}",
        "normalised": f"½ ({residual})² / mean (R − {of})²",
    }[config.value_loss]
    if rule.value is ValueLoss.PLAIN and config.kl_estimator != "exact":
        value += f", κ by {config.kl_estimator}"
    return rule.terms | {"value": value}


def residual(rule: Rule, sampled: Sampled, config: TrainConfig):
    """Terminal residual of each solution that the rule's value loss punishes, and its target: float [B], reward units.

    Raises:
        ValueError: the rule has no value loss.
    """
    if not rule.value:
        raise ValueError(f"{rule.name} has no value loss, so no residual. Choose a VIMPO rule.")
    terms = value_terms(rule, sampled, config)
    baseline = value_baseline(rule, sampled, config)
    found = credit.terminal_residual(terms, sampled.completion_mask, sampled.rewards, baseline)
    return found, sampled.rewards - baseline


def weights(key: str, sampled: Sampled, config: TrainConfig, token_budget: int):
    """What the rule's loss pushes each token's log-probability by: -dL/dlogprob at the policy that sampled, float [B,
    T].

    At that policy the PPO ratio is 1 and nothing is clipped. Positive: made more likely. An adaptive c_A is worked out
    as in training.

    Args:
        key: of RULES; token_budget: `task.max_new_tokens`, which Dr. GRPO divides by.

    Raises:
        ValueError: the rule needs an array that was not measured.
    """
    rule = RULES[key]
    if missing := [name for name in rule.needs if getattr(sampled, name) is None]:
        raise ValueError(f"{rule.name} needs {missing[0]}, which was not measured here. Measure it first.")
    parts = []
    if rule.value:
        parts.append(_value_weights(rule, sampled, config))
    if rule.advantages is not None:
        average = credit.average_weights(
            sampled.completion_mask, average_of(rule, config), token_budget, sampled.logprobs.dtype
        )
        actor = rule.advantages(sampled, config) * average
        parts.append(actor_weight(config, parts[0], actor) * actor if rule.value else actor)
    return sum(parts[1:], parts[0])


def actor_weight(config: TrainConfig, value_gradient, actor_gradient):
    """c_A as it multiplies the actor's loss: the setting itself, or, adaptive, the setting times the ratio of the two
    gradients' lengths in the log-probabilities (0 while the actor is silent). Scalar."""
    if config.actor_coef_rule == "fixed":
        return config.actor_coef
    xp = array_namespace(actor_gradient)
    value, actor = (xp.sqrt(xp.sum(g**2)) for g in (value_gradient, actor_gradient))
    is_silent = actor == 0
    return xp.where(is_silent, 0 * actor, config.actor_coef * value / xp.where(is_silent, actor + 1, actor))


def _value_weights(rule: Rule, sampled: Sampled, config: TrainConfig):
    xp = array_namespace(sampled.logprobs)
    found, target = residual(rule, sampled, config)
    if config.value_loss == "huber":
        found = xp.clip(found, -config.huber_delta, config.huber_delta)
    elif config.value_loss == "normalised":
        found = found / credit.spread_or_one(target) ** 2
    share = credit.average_weights(sampled.completion_mask, "sum", 1, sampled.logprobs.dtype)
    return -config.beta * found[:, None] * share
