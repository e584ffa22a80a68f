"""tree_views: what is drawn equals `tabular` to the digits shown, adds up to the last one, and edits do what they
say.
"""

import base64

import numpy as np
import pytest

from vimpo_core.tree import tabular, tree_lab
from vimpo_core.tree.tree_lab import DESCENTS, FRAME_ARRAYS, REWARD_UNIT, STEPS, TreeSettings

SETTINGS = [
    TreeSettings(),
    TreeSettings(vocab=3, depth=4, seed=1, beta=0.05),
    TreeSettings(vocab=4, depth=4, seed=2, beta=2.0),
    TreeSettings(vocab=2, depth=5, seed=3, beta=0.02),
]
HALF = 0.5000001
"""Rounding moves a number by at most half a unit."""


def made(settings):
    tree, reference = tree_lab.make_tree(settings)
    return tree, reference, tree_lab.tree_payload(tree, reference, settings.beta)


def flat(levels):
    return np.concatenate([level.reshape(-1) for level in levels])


def policies_of(tree, reference, beta):
    return {
        "reference": reference,
        "local": tabular.local_fixed_point(tree, reference, beta),
        "soft": tabular.soft_optimum(tree, reference, beta)[0],
    }


def decoded(payload):
    numbers = np.frombuffer(base64.b64decode(payload["frames"]), dtype="<i2")
    nodes = len(payload["soft"])
    frames = numbers.reshape(STEPS + 1, len(FRAME_ARRAYS), nodes)
    return {name: frames[:, k] for k, name in enumerate(FRAME_ARRAYS)}


def terms(payload, values, kappa):
    """What a drawing shows of every path: delta, rho, kappa [leaves, depth] and the residual, whole thousandths."""
    vocab, depth = payload["vocab"], payload["depth"]
    starts = [(vocab**d - 1) // (vocab - 1) for d in range(depth + 2)]
    levels = [np.array(values[starts[d] : starts[d + 1]]) for d in range(depth + 1)]
    met = np.stack([np.repeat(level, vocab**depth // level.size) for level in levels], axis=1)
    paid = np.array(kappa[: starts[depth]])
    at = np.stack([np.repeat(paid[starts[d] : starts[d + 1]], vocab ** (depth - d)) for d in range(depth)], axis=1)
    delta = np.diff(met, axis=1)
    rewards = np.array(payload["rewards"]) * REWARD_UNIT
    return delta, delta + at, at, met[:, -1] - rewards, met[:, 0]


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_number_is_tabulars_rounded(settings):
    tree, reference, payload = made(settings)
    beta = settings.beta
    assert payload["rewards"] == tree.rewards.tolist()
    _, soft_values, _ = tabular.soft_optimum(tree, reference, beta)
    exact_soft = flat([*soft_values, tree.rewards]) * REWARD_UNIT
    np.testing.assert_allclose(payload["soft"], exact_soft, rtol=0, atol=HALF, equal_nan=False)
    for name, policy in policies_of(tree, reference, beta).items():
        shown = payload["policies"][name]
        exact = {
            "probability": np.append(1, np.exp(flat(policy))) * tree_lab.PROBABILITY_UNIT,
            "plain": flat([*tabular.plain_values(tree, policy)[0], tree.rewards]) * REWARD_UNIT,
            "implied": flat(tabular.implied_values(tree, policy, reference, beta)) * REWARD_UNIT,
            "implied_rho": flat(tabular.implied_values(tree, policy, reference, beta, False)) * REWARD_UNIT,
            "kappa": beta * flat(tabular.kl(policy, reference)) * REWARD_UNIT,
        }
        for key, numbers in exact.items():
            np.testing.assert_allclose(shown[key], numbers, rtol=0, atol=HALF, err_msg=f"{name} {key}", equal_nan=False)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("with_kappa", [True, False])
def test_the_terms_shown_recombine_exactly_and_are_near_tabulars(settings, with_kappa):
    tree, reference, payload = made(settings)
    beta = settings.beta
    for name, policy in policies_of(tree, reference, beta).items():
        shown = payload["policies"][name]
        kappa = shown["kappa"] if with_kappa else [0] * len(shown["kappa"])
        delta, rho, paid, residual, start = terms(payload, shown["implied" if with_kappa else "implied_rho"], kappa)
        # To the last digit: rho - kappa = delta, and what they leave open is the residual.
        assert (rho - paid == delta).all()
        rewards = np.array(payload["rewards"]) * REWARD_UNIT
        assert (delta.sum(axis=1) - (rewards - start) == residual).all()
        ratio = [p - r for p, r in zip(policy, reference, strict=True)]
        exact_rho = beta * tabular.along_paths(tree, ratio) * REWARD_UNIT
        exact_residual = tabular.path_residuals(tree, policy, reference, beta, with_kappa) * REWARD_UNIT
        np.testing.assert_allclose(rho, exact_rho, rtol=0, atol=1.5000001, equal_nan=False)
        np.testing.assert_allclose(residual, exact_residual, rtol=0, atol=HALF, equal_nan=False)
    own = payload["policies"]["local" if with_kappa else "soft"]
    residual = terms(payload, own["implied" if with_kappa else "implied_rho"], own["kappa"])[3]
    assert not residual.any(), "at its own optimum nothing is left open"


@pytest.mark.parametrize("loss", list(DESCENTS))
def test_the_frames_are_the_descent_and_the_curves_are_theirs(loss):
    settings = TreeSettings(beta=0.2)
    tree, reference = tree_lab.make_tree(settings)
    payload = tree_lab.tree_payload(tree, reference, 0.2, loss)
    with_kappa = DESCENTS[loss]
    policies = tabular.descent(tree, reference, 0.2, STEPS, tree_lab.LEARNING_RATE, with_kappa)
    frames, curves = decoded(payload), payload["curves"][loss]
    ends = policies_of(tree, reference, 0.2)
    for step in (0, 1, 17, STEPS):
        policy = policies[step]
        exact = {
            "probability": np.append(1, np.exp(flat(policy))) * tree_lab.PROBABILITY_UNIT,
            "plain": flat([*tabular.plain_values(tree, policy)[0], tree.rewards]) * REWARD_UNIT,
            "implied": flat(tabular.implied_values(tree, policy, reference, 0.2, with_kappa)) * REWARD_UNIT,
            "kappa": np.append(0.2 * flat(tabular.kl(policy, reference)), 0 * tree.rewards) * REWARD_UNIT,
        }
        for key, numbers in exact.items():
            np.testing.assert_allclose(frames[key][step], numbers, rtol=0, atol=HALF, err_msg=key, equal_nan=False)
        loss_then = tabular.value_loss(tree, policy, reference, 0.2, with_kappa)
        assert curves["loss"][step] == pytest.approx(loss_then, abs=1e-6)
        for name in ("local", "soft"):
            away = tabular.path_total_variation(policy, ends[name])
            assert curves[name][step] == pytest.approx(away, abs=1e-5)


@pytest.mark.parametrize("beta", [0.02, 0.2, 2.0])
def test_each_curve_ends_at_its_own_optimum_and_away_from_the_other_where_they_differ(beta):
    tree, reference = tree_lab.make_tree(TreeSettings())
    payload = tree_lab.tree_payload(tree, reference, beta)
    for loss, own, other in (("kappa", "local", "soft"), ("rho", "soft", "local")):
        curves = payload["curves"][loss]
        assert curves[own][-1] <= 0.01
        assert curves[other][-1] == pytest.approx(payload["apart"], abs=0.01)
        assert curves["loss"][-1] < 1e-4
    if beta < 2:
        assert payload["apart"] > 0.3


def test_frames_are_made_only_where_they_are_asked_for():
    _, _, payload = made(TreeSettings())
    assert payload["frames"] is None


def test_more_share_only_adds_rewards_and_edits_change_only_what_they_name():
    some, reference = tree_lab.make_tree(TreeSettings(share=30))
    more, same = tree_lab.make_tree(TreeSettings(share=60))
    assert (more.rewards >= some.rewards).all() and more.rewards.sum() > some.rewards.sum()
    np.testing.assert_array_equal(flat(reference), flat(same))
    edited = ((), (20, 50, 30)), ((1, 0), (1, 1, 98))
    rewards = (1,) + (0,) * 26
    tree, moved = tree_lab.make_tree(TreeSettings(share=30, rewards=rewards, edited=edited))
    assert tree.rewards.tolist() == list(rewards)
    np.testing.assert_allclose(np.exp(moved[0][0]), [0.2, 0.5, 0.3], equal_nan=False)
    np.testing.assert_allclose(np.exp(moved[2][3]), [0.01, 0.01, 0.98], equal_nan=False)
    assert sum((a != b).any(axis=1).sum() for a, b in zip(moved, reference, strict=True)) == 2


def test_equal_rewards_leave_nothing_to_learn():
    _, _, payload = made(TreeSettings(rewards=(1,) * 27))
    assert payload["is_flat"] and payload["apart"] == 0
    assert payload["policies"]["local"]["probability"] == payload["policies"]["reference"]["probability"]


@pytest.mark.parametrize(
    "weights, token, percent, expected",
    [
        ((5000, 3000, 2000), 0, 50, (50, 30, 20)),  # as it was
        ((50, 30, 20), 0, 80, (80, 12, 8)),  # 3 : 2 stays 3 : 2
        ((50, 30, 20), 1, 1, (71, 1, 28)),  # 5 : 2 of 99 is 70.7 : 28.3
        ((50, 30, 20), 0, 500, (98, 1, 1)),  # each sibling keeps 1 percent
        ((50, 30, 20), 0, -5, (1, 59, 40)),
        ((100, 0, 0), 0, 40, (40, 30, 30)),  # nothing to go by: equal shares
        ((1, 99), 0, 99, (99, 1)),
    ],
)
def test_siblings_share_what_is_left_as_before(weights, token, percent, expected):
    assert tree_lab.rescaled(weights, token, percent) == expected


def test_rescaled_percentages_always_sum_to_100_and_leave_at_least_1():
    rng = np.random.default_rng(0)
    for _ in range(300):
        vocab = int(rng.integers(2, 5))
        weights = tuple(int(w) for w in rng.integers(0, 10_000, vocab))
        token, percent = int(rng.integers(vocab)), int(rng.integers(-10, 120))
        percents = tree_lab.rescaled(weights, token, percent)
        assert sum(percents) == 100 and min(percents) >= 1
        TreeSettings(vocab=vocab, depth=2, edited=(((), percents),))


def test_the_likeliest_leaf_is_rewarded_and_the_references_favourite():
    tree, reference = tree_lab.make_tree(TreeSettings())
    tokens = tree_lab.likeliest_leaf(tree, reference)
    chances = np.exp(tabular.path_logprobs(reference)) * tree.rewards
    assert tree_lab.row_of(tokens, 3) == np.argmax(chances)


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"vocab": 4, "depth": 5}, "has 1,024 leaves, more than the 256 that can be drawn"),
        ({"rewards": (1, 0)}, "rewards must be 27 numbers 0 or 1"),
        ({"rewards": (2,) * 27}, "rewards must be 27 numbers 0 or 1"),
        ({"edited": (((0, 0, 0), (1, 1, 98)),)}, "which this tree has not"),
        ({"edited": (((3,), (1, 1, 98)),)}, "which this tree has not"),
        ({"edited": (((), (0, 2, 98)),)}, "at least 1 that sum to 100"),
        ({"edited": (((), (50, 50)),)}, "needs 3 percentages"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        TreeSettings(**wrong)
