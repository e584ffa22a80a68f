"""What goes wrong, as data: seven failures with a question, the settings that show each, what is measured, and the
verdict.

A demonstration is short real training by `failure_runs`, seen here as points that arrive one by one. The verdict is
computed from those points and put in words; nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vimpo_core.config import READABLE_BETA, STABLE_BALANCE, TrainConfig, balance
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import percent

UPDATES = 24
"""Of a training in a demonstration; record n describes the policy after n updates."""
LAST = 10
"""Records at the end over which a verdict averages."""

SEEDS = (0, 1, 2, 3, 4)
"""That a page offers: with one alone nobody could tell a mechanism from luck."""

HEALTHY = TrainConfig(
    steps=UPDATES,
    operands=4,
    prompts_per_step=16,
    group_size=8,
    beta=0.1,
    actor_coef=0.0,
    learning_rate=2e-3,
    lr_schedule="constant",
    warmup_steps=3,
    eval_every=6,
    eval_prompts=256,
    snapshot_every=10_000,
)
"""128 short solutions an update: accuracy rises by 0.2 within seconds, seed after seed. Half of them did not do
that.
"""

Point = dict
"""One measurement: {"plot": index, "x": number, "y": {line: number, or None where there is none}}."""


@dataclass(frozen=True)
class Line:
    """One line of a plot. role: "ill" shows the failure, "well" what it is compared with."""

    key: str
    label: str
    role: str


@dataclass(frozen=True)
class Plot:
    """What is measured. unit: of y, "" for none; x_label, x_max: the horizontal axis; domain: fixed limits of y, or
    None.

    is_log: y in powers of ten, where a line at exactly 0 cannot be shown.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    x_label: str = "updates"
    x_max: int = UPDATES
    domain: tuple[float, float] | None = None
    is_log: bool = False


@dataclass(frozen=True)
class Failure:
    """One thing that goes wrong.

    question: what to predict before looking; configs: the settings of the trainings, the ill one first; settings: what
    stands beside the curves about them; verdict: the points in words, called once all have come.
    """

    key: str
    title: str
    question: str
    configs: tuple[TrainConfig, ...]
    settings: tuple[str, ...]
    plots: tuple[Plot, ...]
    verdict: Callable[[Sequence[Point]], str]
    why: str
    way_out: str

    @property
    def setup(self) -> str:
        """What both trainings have in common, in words."""
        one = self.configs[0]
        return (
            f"{one.steps} updates of {one.batch_size} solutions to problems with {one.operands} numbers, "
            f"learning rate {one.learning_rate:g}"
        )


def values_of(points: Sequence[Point], plot: int, line: str) -> list[float]:
    """The numbers of one line in order; what is not a number is left out."""
    found = (p["y"].get(line) for p in points if p["plot"] == plot)
    return [value for value in found if value is not None and math.isfinite(value)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _late(points, plot, line) -> float:
    return _mean(values_of(points, plot, line)[-LAST:])


def _change(accuracies: Sequence[float]) -> str:
    """The first and the last accuracy in words; a difference within two standard errors is called noise."""
    first, last = accuracies[0], accuracies[-1]
    noise = 2 * math.sqrt((first * (1 - first) + last * (1 - last)) / HEALTHY.eval_prompts)
    if abs(last - first) <= noise:
        return f"did not change beyond the noise of measuring it ({first:.2f}, {last:.2f}, noise {noise:.2f})"
    return f"{'rose' if last > first else 'fell'} from {first:.2f} to {last:.2f}"


def k1_refusal() -> str:
    """What the settings say to whoever asks for k1."""
    try:
        TrainConfig(kl_estimator="k1")
    except Mistake as refusal:
        return str(refusal)
    raise AssertionError("k1 must be refused: it leaves no credit")


# --- verdicts: the measured numbers in words -------------------------------------------------------------------------


def _flat_values(points) -> str:
    ill, well = _late(points, 0, "ill"), _late(points, 0, "well")
    return (
        f"Over a solution V_t moved by **{ill:.2g}** at beta {FLAT_BETA:g} and by **{well:.2g}** at beta "
        f"{HEALTHY.beta:g}, mean of the last {LAST} records. The accuracy on {HEALTHY.eval_prompts} new problems "
        f"{_change(values_of(points, 1, 'ill'))} at beta {FLAT_BETA:g}; at beta {HEALTHY.beta:g} it "
        f"{_change(values_of(points, 1, 'well'))}."
    )


def _no_learning(points) -> str:
    ill, well = _late(points, 1, "ill"), _late(points, 1, "well")
    return (
        f"At beta {LARGE_BETA:g} the accuracy {_change(values_of(points, 0, 'ill'))}; at beta {HEALTHY.beta:g} it "
        f"{_change(values_of(points, 0, 'well'))}. The policy is **{ill:.2g} nats** a token away from the reference, "
        f"against {well:.2g}, and the value loss is left with a residual **{_late(points, 2, 'ill'):.1f} times** what "
        f"there was to explain, against {_late(points, 2, 'well'):.1f}. A policy that never moved has exactly 1."
    )


def _runaway(points) -> str:
    reward = values_of(points, 0, "ill")
    lowest = next((x for x, r in enumerate(reward) if r <= 0.05), None)
    when = (
        f"fell to {reward[lowest]:.2f} after **{lowest} updates**"
        if lowest is not None
        else f"ended at {reward[-1]:.2f}"
    )
    return (
        f"With c_A {RUNAWAY_COEF:g} the mean reward began at {reward[0]:.2f} and {when}; the policy is "
        f"{_late(points, 1, 'ill'):.2g} nats a token away from the reference. With c_A {STABLE_COEF:g} the last "
        f"{LAST} records have {_late(points, 0, 'well'):.2f} at {_late(points, 1, 'well'):.2g} nats."
    )


def _k1_cancels(points) -> str:
    largest = max(map(abs, values_of(points, 0, "ill")))
    return (
        f"On the same tokens the mean size of δ after {UPDATES} updates is **{values_of(points, 0, 'well')[-1]:.2g}** "
        f"with the exact KL, and its largest value with k1 in all {UPDATES + 1} records is **{largest:g}**. The other "
        f"plot shows one "
        "solution token by token. With every δ at 0 there is no V_t to see, no advantage for the actor, and a residual "
        "that no policy can make smaller. Ask the trainer for k1 and it says:\n\n"
        f"> {k1_refusal()}"
    )


def _dead_groups(points) -> str:
    grpo, vimpo = values_of(points, 1, "well"), values_of(points, 1, "ill")
    return (
        f"In the last {LAST} records **{percent(_late(points, 0, 'ill'))}** of the groups of {TINY_GROUP} agreed, and "
        f"{percent(_late(points, 0, 'well'))} of the groups of {HEALTHY.group_size}, at the same number of solutions. "
        f"The largest gradient that GRPO's loss took from such groups is **{max(grpo):g}**. The value loss took "
        f"{vimpo[0]:g} before the first update and {_late(points, 1, 'ill'):.1g} late: with nothing to explain it "
        f"only pulls the sum of δ back to 0."
    )


def _loss_zero(points) -> str:
    gradient = values_of(points, 1, "ill")
    largest = max(map(abs, values_of(points, 0, "ill")))
    return (
        f"The actor's loss never left 0 by more than **{largest:.1g}**, yet its gradient was {gradient[0]:g} only "
        f"before the first update and **{_late(points, 1, 'ill'):.2g}** late. The value loss began at "
        f"{values_of(points, 0, 'well')[0]:.4f}: half the mean square of R minus its group's mean, since every δ was 0."
    )


def _bf16_noise(points) -> str:
    noise, signal = values_of(points, 0, "ill"), values_of(points, 0, "well")
    return (
        f"In bf16 the log-ratio of a token is off by **{_mean(noise):.2g} nats** on average. The log-ratio itself is "
        f"{signal[0]:.2g} after 1 update, **{signal[0] / noise[0]:.2g} times** that noise, and {signal[-1]:.2g} after "
        f"{len(signal)} updates, **{signal[-1] / noise[-1]:.2g} times**."
    )


# --- the seven -------------------------------------------------------------------------------------------------------

FLAT_BETA, LARGE_BETA = 5e-4, 5.0
RUNAWAY_COEF, STABLE_COEF = 1.0, 0.01
TINY_GROUP = 2
TYPICAL_LENGTH = 14.0
"""Tokens of a solution to a problem with four numbers, for the balance."""

_FLAT, _LARGE = replace(HEALTHY, beta=FLAT_BETA), replace(HEALTHY, beta=LARGE_BETA)
_QUICK = replace(HEALTHY, eval_every=10_000, eval_prompts=8)
"""Where accuracy is not what is looked at."""
_RUNAWAY, _STABLE = replace(_QUICK, actor_coef=RUNAWAY_COEF), replace(_QUICK, actor_coef=STABLE_COEF)
_TINY = replace(_QUICK, prompts_per_step=HEALTHY.batch_size // TINY_GROUP, group_size=TINY_GROUP)
_SHORT = replace(_QUICK, steps=20, learning_rate=3e-4)
_BOTH = replace(_QUICK, actor_coef=0.02)


def _balance(config: TrainConfig) -> str:
    return f"c_A {config.actor_coef:g} at beta {config.beta:g}: balance {balance(config, TYPICAL_LENGTH):.2g}"


_ACCURACY = f"Accuracy on {HEALTHY.eval_prompts} new problems"


def _pair(ill: str, well: str) -> tuple[Line, Line]:
    return Line("ill", ill, "ill"), Line("well", well, "well")


_ALL = (
    Failure(
        "flat_values",
        "Beta too small: flat values",
        f"The same training at a beta {HEALTHY.beta / FLAT_BETA:g} times smaller: what happens to V_t, and what to "
        f"learning?",
        (_FLAT, HEALTHY),
        (f"beta {FLAT_BETA:g}", f"beta {HEALTHY.beta:g}"),
        (
            Plot(
                "How far V_t moves within a solution", "reward", _pair(f"beta {FLAT_BETA:g}", f"beta {HEALTHY.beta:g}")
            ),
            Plot(_ACCURACY, "", _pair(f"beta {FLAT_BETA:g}", f"beta {HEALTHY.beta:g}"), domain=(0, 1)),
        ),
        _flat_values,
        "V_t adds up beta times log-ratios. At a small beta the value loss cannot explain the reward with ratios of a "
        "sensible size, so its gradient stays that of REINFORCE: it learns, but beta times a few tenths of a nat is "
        "nothing to read.",
        f"To look at V_t, use beta {READABLE_BETA[0]:g} to {READABLE_BETA[1]:g}.",
    ),
    Failure(
        "no_learning",
        "Beta too large: no learning",
        f"The same training at a beta {LARGE_BETA / HEALTHY.beta:g} times larger: will the policy move further, or "
        f"less far?",
        (_LARGE, HEALTHY),
        (f"beta {LARGE_BETA:g}", f"beta {HEALTHY.beta:g}"),
        (
            Plot(_ACCURACY, "", _pair(f"beta {LARGE_BETA:g}", f"beta {HEALTHY.beta:g}"), domain=(0, 1)),
            Plot("KL to the reference", "nats a token", _pair(f"beta {LARGE_BETA:g}", f"beta {HEALTHY.beta:g}")),
            Plot("Residual / target", "", _pair(f"beta {LARGE_BETA:g}", f"beta {HEALTHY.beta:g}")),
        ),
        _no_learning,
        f"A log-ratio of {0.5 / LARGE_BETA:g} nats is already worth half a reward. Every small move overshoots the "
        "reward that it should explain, and the loss pulls it back: its steps go into undoing the ones before.",
        "Lower beta. Above 1 hardly anything moves.",
    ),
    Failure(
        "runaway",
        "c_A too large: the actor runs away",
        f"The actor's weight {RUNAWAY_COEF / STABLE_COEF:.0f} times larger: does it learn faster, or does it break, "
        f"and how would you notice?",
        (_RUNAWAY, _STABLE),
        (_balance(_RUNAWAY), _balance(_STABLE)),
        (
            Plot("Mean reward", "", _pair(f"c_A {RUNAWAY_COEF:g}", f"c_A {STABLE_COEF:g}"), domain=(0, 1)),
            Plot("KL to the reference", "nats a token", _pair(f"c_A {RUNAWAY_COEF:g}", f"c_A {STABLE_COEF:g}")),
        ),
        _runaway,
        "The actor holds no reward: it pushes on in the direction in which the policy has moved already, right or "
        "wrong. Too strong, it amplifies its own last step faster than the value loss can correct it.",
        f"Keep the balance c_A / (0.4 T beta) at {STABLE_BALANCE:g} or below, T being the tokens of a solution.",
    ),
    Failure(
        "k1_cancels",
        "The k1 estimate cancels",
        "κ with the sampled token's own log-ratio in the place of the exact KL: what is left of δ?",
        (_QUICK,),
        ("k1: κ = beta (log π − log π_ref)", "exact: κ = beta KL over the whole vocabulary"),
        (
            Plot("Mean size of δ", "reward", _pair("k1", "exact KL")),
            Plot(
                "δ of one solution after the last update", "reward", _pair("k1", "exact KL"), x_label="token", x_max=18
            ),
        ),
        _k1_cancels,
        "k1 estimates the KL at a token by its log-ratio, which is ρ / beta itself: ρ − κ is then 0 for every token "
        "of every policy. It is a fine estimate of the KL's mean and useless here. The value loss would still push as "
        "REINFORCE does, since κ is held constant, but no push could ever satisfy it.",
        "Use the exact KL, or k2, k3 or top-k where the vocabulary is too large for it.",
    ),
    Failure(
        "dead_groups",
        "Dead groups: everybody agrees",
        f"{HEALTHY.batch_size} solutions an update in groups of {TINY_GROUP} or in groups of {HEALTHY.group_size}: how "
        "many groups teach nothing?",
        (_TINY, _QUICK),
        (
            f"{_TINY.prompts_per_step} groups of {TINY_GROUP}",
            f"{HEALTHY.prompts_per_step} groups of {HEALTHY.group_size}",
        ),
        (
            Plot(
                "Share of groups whose solutions all earned the same",
                "",
                _pair(f"groups of {TINY_GROUP}", f"groups of {HEALTHY.group_size}"),
                domain=(0, 1),
            ),
            Plot(f"Gradient from the dead groups of {TINY_GROUP}", "", _pair("value loss", "GRPO's loss")),
        ),
        _dead_groups,
        "The target is R minus the group's mean: 0 for everybody where all agree. Small groups agree by chance, and "
        f"all groups agree more often as the policy gets better. Small groups move the goal, too: their mean holds "
        f"the solution itself, so groups of {TINY_GROUP} aim where a beta {TINY_GROUP / (TINY_GROUP - 1):g} times as "
        f"large would (chapter 3).",
        "Larger groups, harder problems, or DAPO's way: draw another problem in the place of a dead one.",
    ),
    Failure(
        "loss_zero",
        "“Why is my loss 0?”",
        "The actor's loss is printed as 0.000 at every step: is anything being learned from it?",
        (_BOTH,),
        (_balance(_BOTH), "one update a batch"),
        (
            Plot("Loss", "", (Line("ill", "actor L_A", "ill"), Line("well", "value L_V", "well"))),
            Plot(
                "Length of its gradient in log π",
                "",
                (Line("ill", "actor L_A", "ill"), Line("well", "value L_V", "well")),
            ),
        ),
        _loss_zero,
        "On a fresh batch every ratio is 1, so the surrogate is minus the mean advantage, and whitened advantages "
        "have mean 0. The value says nothing; the gradient does not vanish. Only before the first update do both: all "
        "advantages are 0. The value loss in turn does not go to 0: single solutions are luckier or unluckier than "
        "their prefixes.",
        "Watch the reward, the KL and the gradient, not the loss.",
    ),
    Failure(
        "bf16_noise",
        "The noise floor of bf16",
        "The same tokens scored in bf16 and in fp32: is the signal of the first updates above the rounding?",
        (_SHORT,),
        ("noise: what bf16 changes in log π − log π_ref", "signal: the size of log π − log π_ref in fp32"),
        (Plot("A token's log-ratio", "nats", _pair("noise of bf16", "signal"), x_max=_SHORT.steps, is_log=True),),
        _bf16_noise,
        "bf16 keeps 8 bits of a number. Policy and reference are rounded apart, and credit is the difference of two "
        "large log-probabilities, so the rounding of both stays in it at its full size.",
        "Score policy and reference in fp32. Train in bf16 if you must.",
    ),
)

FAILURES: dict[str, Failure] = {failure.key: failure for failure in _ALL}
