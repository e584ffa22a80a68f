"""What is said of every metric: a table of values on both sides of every threshold, and every remark against every
rule.
"""

import dataclasses

import numpy as np
import pytest

from app.words import judges
from tests.vimpo_core.test_rules import BUDGET, make_sampled
from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.measure import comparison
from vimpo_core.measure.metrics import METRICS, Metric, last_value
from vimpo_core.rules import RULES, average_of

STANDARD = {
    "operands": 5,
    "steps": 100,
    "prompts_per_step": 16,
    "group_size": 8,
    "eval_prompts": 128,
    "beta": 0.1,
    "learning_rate": 1e-3,
    "warmup_steps": 10,
    "max_grad_norm": 1.0,
    "resample_rounds": 3,
}


def remark(name, value, rows, **settings):
    return judges.remark(name, value, TrainConfig(**STANDARD | settings), rows)


def after(name, value, start=None, step=20, beside=None, **settings):
    """The remark on `value` at `step` of a run that began at `start`; beside: other metrics of that step."""
    first = [] if start is None else [{"step": 0, name: start}]
    return remark(name, value, [*first, {"step": step, name: value} | (beside or {})], **settings)


def untrained(name, value, **settings):
    return remark(name, value, [{"step": 0, name: value}], **settings)


def in_a_row(name, values, **settings):
    return remark(name, values[-1], [{"step": i, name: v} for i, v in enumerate(values)], **settings)


# ---- thresholds, both sides

BY_NAME = {
    # 128 problems: a share of .4 is known to 2 sqrt(.4 x .6 / 128) = .0866
    "sampled_accuracy": [
        (
            0.313,
            {"start": 0.4},
            "Below where it began (40 %). Look at KL and entropy, then lower the learning rate or c_A.",
        ),
        (0.314, {"start": 0.4}, "Within the noise of where it began (40 %). No clear gain yet"),
        (0.486, {"start": 0.4}, "Within the noise of where it began (40 %). No clear gain yet"),
        (
            0.487,
            {"start": 0.4},
            "Up 9 points from 40 % before training. With 128 validation problems it is known to about ±9",
        ),
        (0.4, {"start": 0.4, "step": 10}, "Within the noise of where it began (40 %). Give it more steps."),
        (0.4, {"start": 0.4, "step": 11}, "Within the noise of where it began (40 %). No clear gain yet"),
        (0.4, {"start": 0.4, "step": 30, "warmup_steps": 30}, "Give it more steps."),
        (0.4, {"start": 0.4, "step": 31, "warmup_steps": 30}, "No clear gain yet"),
        (0.0017, {"start": 0.0}, "Within the noise of where it began (0 %)"),
        (0.0018, {"start": 0.0}, "Up 0 points from 0 %"),
        (0.404, {"start": 0.3}, "Up 10 points from 30 %"),
        (0.3, {"start": 0.4, "algorithm": "grpo"}, "then lower the learning rate."),
    ],
    # 2 sqrt(.8 x .2 / 128) = .0707
    "greedy_accuracy": [
        (0.469, {"beside": {"sampled_accuracy": 0.5}}, "Greedy below sampled is unusual"),
        (
            0.471,
            {"beside": {"sampled_accuracy": 0.5}},
            "favourite token. The gap to sampled accuracy (50 %) is what the dice still cost.",
        ),
        (0.729, {"start": 0.8}, "It fell from 80 %"),
        (0.730, {"start": 0.8}, "What the model answers when it always takes its favourite token."),
    ],
    "reward_mean": [
        (0.971, {}, "Nearly every solution is right"),
        (0.970, {}, "Share of this step's 128 training solutions that were right."),
        (0.030, {}, "Share of this step's 128 training solutions that were right."),
        (0.029, {}, "Nearly every solution is wrong"),
        (0.65, {"reward_noise": 0.25}, "averages 0.75. This value suggests a true accuracy near 80 %."),
        (0.20, {"reward_noise": 0.25}, "near 0 %."),
        (0.80, {"reward_noise": 0.25}, "near 100 %."),
        (0.51, {"reward_noise": 0.49}, "near 100 %."),
        (0.50, {"reward_noise": 0.5}, "averages 0.50. At one half the reward says nothing at all."),
        (0.60, {"reward_noise": 0.25, "reward_noise_unit": "group"}, "Whole groups flip, 16 draws a step"),
    ],
    "reward_mean_kept": [
        (0.7, {"algorithm": "dapo", "beside": {"reward_mean": 0.8}}, "All that was first sampled averages 0.800."),
        (0.7, {"algorithm": "dapo"}, "DAPO replaced groups that agree, so this says little about accuracy."),
    ],
    "value_loss": [
        (
            0.150,
            {"start": 0.1},
            "Lower means beta times the log-ratios account for the reward better. It also falls when groups agree",
        ),
        (
            0.151,
            {"start": 0.1},
            "Above its start (0.100): the log-ratios overshoot the reward. Lower beta or the learning rate.",
        ),
        (0.151, {"start": 0.1, "algorithm": "grpo"}, "overshoot the reward. A smaller beta to read by fits better."),
        (1.0, {"start": 0.0}, "Lower means"),
        (1.0, {}, "Lower means"),
    ],
    "residual_ratio": [
        (1.051, {}, "Above 1: on this batch"),
        (1.050, {}, "explain almost nothing of who was right."),
        (0.951, {}, "explain almost nothing of who was right."),
        (
            0.950,
            {},
            "log-ratios explain 10 % of the reward's variance within groups. Even a perfect V ends at 0.35 with "
            "groups of 8",
        ),
        (0.9, {"group_size": 4}, "ends at 0.50 with groups of 4"),
        (0.9, {"reward_noise": 0.1}, "Even a perfect V stays above 0.35"),
        (0.9, {}, "ends at 0.35 with groups of 8: the group's mean is a guess too."),
        (0.9, {"baseline": "leave_one_out"}, "with groups of 8: the mean of the others is a guess too."),
        (0.9, {"baseline": "leave_one_out", "algorithm": "grpo"}, "the group's mean is a guess too."),
        (0.9, {"cap_v0": 0.3}, "explain 19 % of the mean square of R minus its capped baseline. Where V_0 is capped"),
        (1.0, {"beta": 4.9e-3}, "At such a small beta that is normal"),
    ],
    "actor_loss": [
        (1.00, {"updates_per_batch": 2}, "Its size says little"),
        (1.01, {"updates_per_batch": 2}, "Large for a clipped surrogate"),
        (-1.01, {"updates_per_batch": 2}, "Large for a clipped surrogate"),
        (0.0, {"actor_coef": 0.0}, "c_A is 0"),
        (0.0, {"actor_coef": 0.0, "algorithm": "grpo"}, "The ratio is 1"),
    ],
    "kl_mean": [
        (
            1.01,
            {},
            "Far from the reference. Unless accuracy is high, the policy is running away: lower the learning rate or "
            "c_A. It costs beta x KL = 0.101",
        ),
        (
            1.00,
            {},
            "The policy is moving away from the reference, as it must to learn. It costs beta x KL = 0.100 reward a "
            "token.",
        ),
        (1e-4, {}, "The policy is moving away"),
        (9.9e-5, {}, "so its token credit is numerically flat."),
        (9.9e-5, {"algorithm": "grpo"}, "so credit read off its log-ratios is numerically flat."),
        (1.01, {"algorithm": "grpo"}, "running away: lower the learning rate."),
        (0.5, {"step": 50, "beta_end": 0.3}, "beta x KL = 0.100 reward"),
    ],
    "entropy_mean": [
        (0.0199, {"start": 0.2}, "Almost deterministic"),
        (0.0200, {"start": 0.2}, "Down from 0.200"),
        (
            0.1990,
            {"start": 0.2},
            "Down from 0.200 as slips are suppressed. What stays is mostly the style of the separators, 0.94 nats "
            "each.",
        ),
        (0.2000, {"start": 0.2}, "About as at the start (0.200)"),
        (0.2600, {"start": 0.2}, "About as at the start (0.200)"),
        (0.2601, {"start": 0.2}, "Higher than at the start (0.200)"),
    ],
    "length_mean": [
        (28.76, {"start": 23.0}, "Longer than at the start (23.0)"),
        (28.75, {"start": 23.0}, "Steady"),
        (18.41, {"start": 23.0}, "Steady"),
        (18.39, {"start": 23.0}, "Shorter than at the start (23.0)"),
    ],
    "clip_fraction": [
        (0.0, {"updates_per_batch": 1}, "0 by construction"),
        (0.301, {"updates_per_batch": 2}, "Many tokens are clipped"),
        (0.300, {"updates_per_batch": 2}, "Some tokens have moved"),
        (1e-6, {"updates_per_batch": 2}, "Some tokens have moved"),
        (0.0, {"updates_per_batch": 2}, "the clip does nothing"),
    ],
    "clip_fraction_last": [
        (0.301, {"updates_per_batch": 2}, "Many tokens are clipped"),
        (0.300, {"updates_per_batch": 2}, "Some tokens have moved"),
    ],
    "dead_group_share": [
        (0.701, {"algorithm": "grpo"}, "Most groups agree"),
        (0.700, {"algorithm": "grpo"}, "In these groups every advantage is 0: GRPO learns nothing from them."),
    ],
    "dead_group_share_kept": [
        (0.101, {"algorithm": "dapo"}, "After 3 further draws these groups still agree"),
        (0.100, {"algorithm": "dapo"}, "nearly every group has right and wrong solutions"),
    ],
    "grad_norm_last": [
        (0.201, {"beside": {"grad_norm": 0.1}}, "More than twice the mean over the step's updates (0.100)"),
        (0.200, {"beside": {"grad_norm": 0.1}}, "In line with"),
        (9.0, {}, "In line with"),
    ],
    "grad_norm": [
        (0.501, {"max_grad_norm": 0.5}, "Longer than 0.5, so it is shortened"),
        (0.500, {"max_grad_norm": 0.5}, "Below the limit of 0.5"),
        (7.0, {"max_grad_norm": 0.0}, "Nothing is shortened in this run."),
    ],
    "learning_rate": [
        (9e-4, {"step": 8}, "Still warming up to 0.001"),
        (1e-3, {"step": 9}, "Falling linearly from 0.001 to a tenth of it at step 100."),
        (1e-3, {"step": 9, "lr_schedule": "constant"}, "Constant after the warm-up."),
    ],
    # 128 solutions of 10 tokens: 1280 trained on
    "tokens_sampled": [
        (1536, {"start": 1000, "beside": {"length_mean": 10.0}}, "2,536 since the start"),
        (1537, {"start": 1000, "beside": {"length_mean": 10.0}}, "1.2 times what is trained on"),
        (1537, {}, "1,537 since the start"),
    ],
    "critic_loss": [
        (0.200, {"start": 0.2}, "The critic starts from 0 everywhere"),
        (0.199, {"start": 0.2}, "Down from 0.200"),
    ],
    "critic_explained": [
        (0.0, {}, "The critic knows no more than a constant"),
        (0.01, {}, "V(s) explains 1 % of who was right"),
    ],
    "value_range": [
        (0.0099, {}, "Too small to be seen"),
        (0.12, {}, "V moves by 12 % of the reward"),
        (0.0, {"step": 0}, "V stays where it began"),
    ],
    "mistake_auc": [
        (0.61, {}, "lower at the mistake than at most"),
        (0.6, {}, "About as good as guessing"),
        (0.4, {}, "It points elsewhere"),
        (0.5, {"step": 0}, "no token stands out"),
    ],
    "tokens_per_second": [
        (9e3, {"threads": 1}, "Speed of this machine with one thread;"),
        (9e3, {"threads": 2}, "Speed of this machine with 2 threads;"),
    ],
    "cpu_seconds": [
        (0.2, {"step": 20}, "the remaining 80 steps cost about 16.0 CPU seconds."),
        (0.2, {"step": 99}, "the remaining 1 steps cost about 0.200"),
        (0.2, {"step": 100}, "nothing remains to be trained"),
    ],
    "measuring_cpu_seconds": [
        (0.1, {"beside": {"cpu_seconds": 0.5, "sampled_accuracy": 0.5}}, "So far 20 % of this run's CPU time went"),
        (0.1, {"beside": {"cpu_seconds": 0.5, "sampled_accuracy": 0.5}}, " Lower eval_prompts, or raise eval_every."),
        (0.1, {"beside": {"cpu_seconds": 1.0, "sampled_accuracy": 0.5}}, "10 % of this run's CPU time went to"),
        (0.1, {"start": 0.1, "beside": {"cpu_seconds": 0.0}}, "was not recorded at every step"),
    ],
    "sampled_reward": [(0.5, {}, "On 128 validation problems, known to about ±0.09 or better.")],
    "greedy_reward": [
        (0.5, {"beside": {"validation_problems": 8.0}}, "On 8 validation problems, known to about ±0.35")
    ],
    "validation_problems": [(8.0, {}, "128 were asked for (eval_prompts)")],
    "wall_seconds": [
        (0.401, {"beside": {"cpu_seconds": 0.2}}, "Much longer than its CPU time"),
        (0.400, {"beside": {"cpu_seconds": 0.2}}, "Close to its CPU time"),
        (0.141, {"beside": {"cpu_seconds": 0.2}}, "Close to its CPU time"),
        (0.139, {"beside": {"cpu_seconds": 0.2}}, "Shorter than its CPU time"),
        (0.4, {}, "Its CPU time was not measured"),
    ],
}


def test_every_metric_has_its_table():
    assert set(BY_NAME) == set(METRICS)


@pytest.mark.parametrize(
    ("name", "value", "settings", "words"),
    [(name, *case) for name, cases in BY_NAME.items() for case in cases],
)
def test_a_value_is_told_what_to_make_of_it(name, value, settings, words):
    assert words in after(name, value, **settings)


@pytest.mark.parametrize("beta", [5e-3, 0.1])
def test_an_ordinary_beta_is_no_excuse_for_a_flat_v(beta):
    assert after("residual_ratio", 1.0, beta=beta).endswith("of who was right.")


# ---- before any training, and without a history


@pytest.mark.parametrize(
    ("name", "value", "settings", "words"),
    [
        ("sampled_accuracy", 0.4, {}, "The reference model before any learning. With 128 validation problems"),
        ("sampled_accuracy", 0.361, {}, "it is known to about ±8 points."),  # .0849
        ("entropy_mean", 0.2, {}, "The reference's own uncertainty"),
        ("length_mean", 23.0, {}, "Solutions to 5 numbers have this length"),
        ("residual_ratio", 1.0, {}, "Exactly 1"),
        ("kl_mean", 0.0, {}, "so no token carries credit yet."),
        ("kl_mean", 0.0, {"algorithm": "grpo"}, "so credit read off their log-ratios is 0 everywhere."),
        ("value_loss", 0.09, {}, "half the mean square of R around its baseline: all of it unexplained."),
        ("value_loss", 0.09, {"algorithm": "a_star_po"}, "R around V*"),
        (
            "value_loss",
            0.09,
            {"updates_per_batch": 2},
            "Lower means",
        ),  # the mean over updates: the second is no longer the reference
        ("value_loss", 0.09, {"algorithm": "grpo", "updates_per_batch": 2}, "all of it unexplained"),
        ("actor_loss", 0.0, {}, "0: before learning every advantage is exactly 0"),
        ("actor_loss", 0.0, {"updates_per_batch": 2}, "Its size says little"),
        ("actor_loss", 0.0, {"algorithm": "grpo"}, "whether right or wrong solutions are longer"),
    ],
)
def test_the_step_before_training_is_known_for_what_it_is(name, value, settings, words):
    assert words in untrained(name, value, **settings)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sampled_accuracy", "The reference model before any learning."),
        ("entropy_mean", "The reference's own uncertainty"),
        ("length_mean", "Solutions to 5 numbers"),
        ("learning_rate", "Falling linearly"),
        ("critic_loss", "The critic starts from 0"),
        ("cpu_seconds", "the remaining 100 steps cost about 50.0"),
        ("mistake_auc", "About as good as guessing: 0.50 over the last step (one alone jumps by 0.1 and more)."),
    ],
)
def test_a_value_alone_is_not_compared_with_anything(name, words):
    assert words in remark(name, 0.5, [])


# ---- what a history shows


def test_where_the_mistake_is_lowest_is_a_mean_over_the_last_ten_steps_that_measured_it():
    values = [0.0, 0.0, *[0.5] * 9, None, 0.7]
    rows = [{"step": step + 1, "mistake_auc": value} for step, value in enumerate(values)]
    said = "About as good as guessing: 0.52 over the last 10 steps (one alone jumps by 0.1 and more)."
    assert remark("mistake_auc", 0.7, rows) == said


STEEP = [0.5] * 30 + [0.1] + [0.15] * 9


@pytest.mark.parametrize(
    ("values", "is_steep"),
    [
        ([0.1] * 40 + [0.201], True),
        ([0.1] * 40 + [0.2], False),
        ([0.1] * 39 + [0.201], False),  # 40 values: the first learning is not over
        ([0.0] * 40 + [0.2], False),
        ([*STEEP, 0.21], True),  # against the value ten steps before, neither eleven nor nine
    ],
)
def test_a_steep_rise_of_kl_is_one_within_ten_steps(values, is_steep):
    assert ("More than doubled within ten steps" in in_a_row("kl_mean", values)) == is_steep


@pytest.mark.parametrize(
    ("values", "is_spike"),
    [
        ([0.1] * 10 + [1.01], True),
        ([0.1] * 10 + [1.0], False),
        ([0.1] * 9 + [1.01], False),
        ([1.0] * 30 + [0.1] * 20 + [1.01], True),  # the last twenty are the usual
        ([1.0] * 30 + [0.1] * 9 + [1.01], False),
        ([0.1] + [1.0] * 10 + [0.1] * 10 + [1.01], False),  # not the last 21
        ([0.1] * 5 + [1.0] * 5 + [1.01], False),  # the middle one of an even number is the upper
        ([None] * 15 + [0.1] * 9 + [1.01], False),
    ],
)
def test_a_spike_of_the_gradient_is_ten_times_the_median_of_the_last_twenty(values, is_spike):
    assert ("A spike" in in_a_row("grad_norm", values)) == is_spike


def test_a_spike_that_nothing_shortens_is_not_called_harmless():
    spike = [0.1] * 10 + [2.0]
    assert "harmless because it is shortened" in in_a_row("grad_norm", spike)
    assert "Nothing shortens it here" in in_a_row("grad_norm", spike, max_grad_norm=0.0)


def test_tokens_are_counted_over_all_steps_and_one_without_a_number_counts_nothing():
    assert "35 since the start" in in_a_row("tokens_sampled", [10, None, 25])


# ---- every remark against every rule

SHOWN = {
    "longer": "whether right or wrong solutions are longer",
    "whitened": "whitened advantages average 0",
    "undecided": "hold more of the undecided tokens",
    "weighted": "a weighted baseline does not bring to 0",
    "by solution": "the advantages of a group average 0",
    "plain": "without a ratio or a clip",
    "none": "has no actor",
}
"""What the actor's loss shows with one update a batch."""
ACTOR = {
    "reinforce": "plain",
    "reinforce_baseline": "plain",
    "rloo": "plain",
    "otb": "weighted",
    "grpo": "longer",
    "dr_grpo": "longer",
    "dapo": "longer",
    "grpo_entropy": "undecided",
    "ppo": "whitened",
    "vineppo": "whitened",
    "vimpo_value": "none",
    "vimpo": "whitened",
    "vimpo_soft": "whitened",
    "a_star_po": "none",
}


@pytest.mark.parametrize("algorithm", RULES)
def test_the_actor_loss_is_said_to_show_what_it_shows_of_each_rule(algorithm):
    value = None if ACTOR[algorithm] == "none" else 0.2
    row = [{"step": 20} | ({} if value is None else {"actor_loss": value})]
    told = remark("actor_loss", value, row, algorithm=algorithm)
    assert SHOWN[ACTOR[algorithm]] in told
    assert not any(words in told for key, words in SHOWN.items() if key != ACTOR[algorithm])


def at_ratio_one(algorithm, sampled, **settings):
    """The clipped surrogate where the ratio is 1."""
    config = TrainConfig(algorithm=algorithm, **settings)
    rule, mask = RULES[algorithm], sampled.completion_mask
    average = credit.average_weights(mask, average_of(rule, config), BUDGET, np.float64)
    return -float((rule.advantages(sampled, config) * average).sum())


def equally_long(sampled):
    """The same batch, all solutions as long as the longest."""
    rng = np.random.default_rng(9)
    shape = sampled.logprobs.shape
    logprobs = -rng.exponential(1.0, shape)
    return dataclasses.replace(
        sampled,
        completion_mask=np.ones(shape, bool),
        logprobs=logprobs,
        collision=np.exp(logprobs) ** 2 + rng.random(shape) * np.exp(logprobs),
        entropy=rng.exponential(0.5, shape),
    )


@pytest.mark.parametrize("algorithm", [key for key, shown in ACTOR.items() if shown not in ("plain", "none")])
def test_what_is_said_of_the_actor_loss_is_so(algorithm):
    ragged = make_sampled(2)
    found, same_length = (at_ratio_one(algorithm, s) for s in (ragged, equally_long(ragged)))
    is_zero = [abs(x) < 1e-9 for x in (found, same_length)]
    expected = {"whitened": [True, True], "longer": [False, True]}.get(ACTOR[algorithm], [False, False])
    assert is_zero == expected


def test_an_average_over_each_solution_first_brings_the_actor_loss_to_0():
    assert abs(at_ratio_one("grpo", make_sampled(2), loss_average="solutions")) < 1e-9
    assert SHOWN["by solution"] in after("actor_loss", 0.0, algorithm="grpo", loss_average="solutions")
    assert abs(at_ratio_one("grpo_entropy", make_sampled(2), loss_average="solutions")) > 1e-3
    assert SHOWN["undecided"] in after("actor_loss", 0.2, algorithm="grpo_entropy", loss_average="solutions")


DEAD = {
    "reinforce": "does not compare within groups",
    "ppo": "does not compare within groups",
    "vineppo": "does not compare within groups",
    "otb": "one solution alone is left",
    "dapo": "replaced by other problems",
    "a_star_po": "R is compared with V*",
    "vimpo": "pulls their log-ratios back to zero",
    "vimpo_value": "pulls their log-ratios back to zero",
    "vimpo_soft": "pulls their log-ratios back to zero",
}


@pytest.mark.parametrize("algorithm", RULES)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_agreeing_groups_are_said_to_teach_nothing_only_where_they_do(algorithm, share):
    told = after("dead_group_share", share, algorithm=algorithm)
    words = DEAD.get(algorithm, f"{RULES[algorithm].name} learns nothing from them")
    is_idle = algorithm not in DEAD or "pulls" in words
    assert ("Most groups agree" if is_idle and share == 0.9 else words) in told
    if RULES[algorithm].value in ("plain", "soft"):
        assert "pushed alike" in after("dead_group_share", share, algorithm=algorithm, cap_v0=0.5)


@pytest.mark.parametrize("algorithm", RULES)
def test_the_price_of_kl_is_named_where_the_rule_pays_it(algorithm):
    pays = algorithm in ("vimpo", "vimpo_value")
    assert ("It costs beta x KL" in after("kl_mean", 0.05, algorithm=algorithm)) == pays


@pytest.mark.parametrize("algorithm", RULES)
def test_c_a_is_a_way_out_only_where_it_is_read(algorithm):
    reads = "actor_coef" in RULES[algorithm].settings
    told = (
        after("sampled_accuracy", 0.1, start=0.5, algorithm=algorithm),
        after("kl_mean", 2.0, algorithm=algorithm),
        after("grad_norm", float("nan"), algorithm=algorithm),
    )
    assert ["c_A" in one for one in told] == [reads] * 3


@pytest.mark.parametrize("name", ["kl_mean", "value_loss", "residual_ratio"])
def test_what_is_not_finite_is_put_down_to_the_reference_where_the_rule_does_not_train_on_it(name):
    assert "gives a token probability 0" in after(name, float("inf"), algorithm="grpo")
    assert "the run has diverged here" in after(name, float("inf"))
    assert "the run has diverged here" in after("grad_norm", float("inf"), algorithm="grpo")


TARGETS = {"a_star_po": "the mean square of R − V*", "vimpo_soft": "the mean square of R − soft baseline"}


@pytest.mark.parametrize("algorithm", RULES)
def test_the_residual_is_said_to_explain_the_rules_own_target(algorithm):
    told = after("residual_ratio", 0.6, algorithm=algorithm)
    target = TARGETS.get(algorithm, "the reward's variance within groups")
    assert f"explain 64 % of {target}." in told
    assert ("Even a perfect V" in told) == (algorithm not in TARGETS)
    assert ("does not train it; it is measured at the same beta" in told) == (not RULES[algorithm].value)
    capped = after("residual_ratio", 0.6, algorithm=algorithm, cap_v0=0.5)
    is_capped = algorithm in ("vimpo", "vimpo_value", "vimpo_soft")
    assert ("R minus its capped baseline" in capped) == is_capped
    assert ("Where V_0 is capped" in capped) == (algorithm in ("vimpo", "vimpo_value"))


@pytest.mark.parametrize("algorithm", RULES)
def test_the_value_loss_is_said_to_fall_with_agreeing_groups_only_where_it_does(algorithm):
    assert ("It also falls when groups agree" in after("value_loss", 0.1, algorithm=algorithm)) == (
        algorithm != "a_star_po"
    )
    capped = after("value_loss", 0.1, algorithm=algorithm, cap_v0=0.5)
    assert ("It also falls" in capped) == (not RULES[algorithm].value)


# ---- what was not measured


@pytest.mark.parametrize("algorithm", RULES)
def test_what_a_rule_never_has_is_said_with_the_reason(algorithm):
    rule = RULES[algorithm]
    reasons = {
        "actor_loss": ("has no actor", rule.advantages is None),
        "clip_fraction": ("nothing to clip", rule.surrogate != "clip"),
        "clip_fraction_last": ("nothing to clip" if rule.surrogate != "clip" else "One update a batch", True),
        "grad_norm_last": ("One update a batch", True),
        "reward_mean_kept": ("trains on all that it samples", algorithm != "dapo"),
        "dead_group_share_kept": ("trains on all that it samples", algorithm != "dapo"),
        "critic_loss": ("has no learned critic", algorithm != "ppo"),
        "critic_explained": ("has no learned critic", algorithm != "ppo"),
        "reward_mean": ("never", False),
    }
    for name, (reason, is_never) in reasons.items():
        told = remark(name, None, [{"step": 20}], algorithm=algorithm)
        assert reason in told if is_never else told == "Not measured yet.", name


def test_a_metric_that_was_measured_once_is_not_said_to_be_impossible():
    rows = [{"step": 10, "critic_loss": 0.2}, {"step": 11}]
    assert remark("critic_loss", None, rows) == "Not measured at this step; last measured at step 10."
    rows = [{"step": 10, "critic_loss": 0.2}, {"step": 11, "critic_loss": None}]
    assert remark("critic_loss", None, rows) == "Not a finite number at this step, so nothing is drawn."


# ---- how a value is written


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e6, "1.0e+06"),
        (999_999, "999,999"),
        (1240, "1,240"),
        (100, "100"),
        (99.9, "99.9"),
        (10, "10.0"),
        (9.99, "9.99"),
        (1, "1.00"),
        (0.999, "0.999"),
        (1e-3, "0.001"),
        (9.9e-4, "9.9e-04"),
        (1e-6, "1.0e-06"),
        (9.9e-7, "≈ 0"),
        (0, "0.000"),
        (-0.25, "−0.250"),
        (-1240, "−1,240"),
        (-9.9e-7, "≈ 0"),
    ],
)
def test_a_value_has_three_significant_digits(value, shown):
    assert METRICS["grad_norm"].text(value) == shown


def test_a_share_is_written_in_percent():
    assert METRICS["clip_fraction"].text(0.714) == "71 %" and METRICS["reward_mean"].text(0.714) == "0.714"


def test_every_judge_is_of_a_metric_and_every_metric_of_the_lab_has_one():
    assert set(judges.JUDGES) == set(METRICS)


def test_a_further_metric_is_one_entry_shown_with_what_to_expect_of_it(monkeypatch):
    """The recipe of ARCHITECTURE.md: whoever adds a metric need not write a judge."""
    further = Metric("spread", "Spread", "nats", "How far apart.", "Between 1 and 2.", "neither")
    monkeypatch.setitem(METRICS, "spread", further)
    rows = [{"step": 0, "spread": 1.25}, {"step": 1, "spread": 1.5}]
    assert judges.remark("spread", 1.5, TrainConfig(), rows) == "Expected: Between 1 and 2."
    assert judges.remark("spread", None, TrainConfig(), [{"step": 0}]) == "Not measured yet."
    assert further.text(1.5) == "1.50" and last_value(rows, "spread") == 1.5
    assert comparison.curves(rows, TrainConfig()).along("spread", "step")[1].tolist() == [1.25, 1.5]
