"""The seven failures: each demonstration shows what it says, by its numbers, and its verdict quotes them."""

import math
from unittest import mock

import numpy as np
import pytest

from vimpo_core.labs.failures import FAILURES, HEALTHY, TYPICAL_LENGTH, values_of
from vimpo_core.service.labs import Told

SEED = 0


@pytest.fixture(scope="module")
def points_of():
    """The points of a demonstration, each run once, and each training of theirs once: several set an ill one beside the
    same healthy one.
    """
    from vimpo_core.labs import failure_runs

    kept, trained, real = {}, {}, failure_runs._records

    def records(configs):
        for config in configs:
            if config not in trained:
                trained[config] = [record for (record,) in real((config,))]
        return zip(*(trained[config] for config in configs), strict=False)

    def run(key):
        if key not in kept:
            kept[key] = []
            failure_runs.reproduce(key, SEED, kept[key].append)
        return kept[key]

    with mock.patch.object(failure_runs, "_records", records):
        yield run


@pytest.mark.slow
@pytest.mark.parametrize("key", FAILURES)
def test_every_plot_gets_points_of_its_lines_within_its_axis_and_a_verdict_without_gaps(points_of, key):
    failure, points = FAILURES[key], points_of(key)
    assert {point["plot"] for point in points} == set(range(len(failure.plots)))
    for point in points:
        plot = failure.plots[point["plot"]]
        assert set(point["y"]) <= {line.key for line in plot.lines} and 0 <= point["x"] <= plot.x_max
    said = failure.verdict(points)
    assert said.endswith(".") and "nan" not in said and "inf" not in said


@pytest.mark.slow
def test_flat_values_are_flat_and_learn_all_the_same(points_of):
    points = points_of("flat_values")
    assert max(values_of(points, 0, "ill")) < 0.002 < 0.02 < np.mean(values_of(points, 0, "well")[-10:])
    for line in ("ill", "well"):
        first, *_, last = values_of(points, 1, line)
        assert last > first + 0.1  # two standard errors of the difference of two accuracies on 256 problems are 0.09
    assert FAILURES["flat_values"].verdict(points).count("rose from") == 2


@pytest.mark.slow
def test_a_large_beta_keeps_the_policy_at_its_reference_with_more_left_to_explain_than_at_the_start(
    points_of,
):
    points = points_of("no_learning")
    first, *_, last = values_of(points, 0, "ill")
    assert abs(last - first) < 0.1 < values_of(points, 0, "well")[-1] - first
    assert np.mean(values_of(points, 1, "ill")[-10:]) < 0.3 * np.mean(values_of(points, 1, "well")[-10:])
    assert np.mean(values_of(points, 2, "ill")[-10:]) > 2
    assert values_of(points, 2, "ill")[0] == pytest.approx(1, abs=1e-6)
    assert "did not change beyond the noise" in FAILURES["no_learning"].verdict(points)


def test_a_verdict_does_not_say_that_a_run_learned_when_it_did_not():
    said = FAILURES["flat_values"].verdict(
        [{"plot": 0, "x": 0, "y": {"ill": 0.001, "well": 0.1}}]
        + [{"plot": 1, "x": x, "y": {"ill": 0.6 - x / 24, "well": 0.6}} for x in (0, 6)]
    )
    assert "fell from 0.60 to 0.35" in said and "did not change beyond the noise" in said


@pytest.mark.slow
def test_the_refusal_of_k1_is_quoted_with_its_way_out(points_of):
    said = FAILURES["k1_cancels"].verdict(points_of("k1_cancels"))
    assert "\n\n> kl_estimator must not be k1" in said and "Use exact" in said


@pytest.mark.slow
def test_a_large_c_a_destroys_what_a_small_one_keeps(points_of):
    points = points_of("runaway")
    assert values_of(points, 0, "ill")[-1] <= 0.05 and values_of(points, 0, "well")[-1] > 0.5
    assert "after **" in FAILURES["runaway"].verdict(points)


@pytest.mark.slow
def test_k1_makes_every_delta_exactly_0_on_tokens_where_the_exact_kl_does_not(points_of):
    points = points_of("k1_cancels")
    for plot in (0, 1):
        assert set(values_of(points, plot, "ill")) == {0.0}
        assert any(values_of(points, plot, "well"))


def test_with_k1_the_value_loss_still_pushes_as_reinforce_does():
    """What the page says about it: kappa is held constant, so the gradient is - beta (R - baseline) / B on every
    token.
    """
    import torch

    from vimpo_core import credit, losses

    logprobs = torch.tensor([[-0.5, -1.0], [-0.2, -2.0]], dtype=torch.float64, requires_grad=True)
    reference = logprobs.detach() - 0.3
    mask, rewards, groups = (
        torch.ones(2, 2, dtype=torch.bool),
        torch.tensor([1.0, 0.0]).double(),
        torch.zeros(2),
    )
    loss = losses.value_loss(logprobs, reference, logprobs.detach() - reference, mask, rewards, groups, 0.1)
    target = rewards - credit.group_mean(rewards, groups)
    assert loss.item() == pytest.approx(0.5 * (target**2).mean().item())
    (gradient,) = torch.autograd.grad(loss, logprobs)
    torch.testing.assert_close(gradient, (-0.1 * target / 2)[:, None].expand(2, 2))


@pytest.mark.slow
def test_dead_groups_are_more_where_groups_are_tiny_and_give_grpo_exactly_no_gradient(points_of):
    points = points_of("dead_groups")
    assert np.mean(values_of(points, 0, "ill")) > np.mean(values_of(points, 0, "well")) + 0.2
    assert set(values_of(points, 1, "well")) == {0.0}
    by_value = values_of(points, 1, "ill")
    assert by_value[0] == 0 and max(by_value) > 0


@pytest.mark.slow
def test_the_actors_loss_is_0_at_every_update_and_its_gradient_only_before_the_first(points_of):
    points = points_of("loss_zero")
    assert max(map(abs, values_of(points, 0, "ill"))) < 1e-6  # float32's rounding of a mean of whitened numbers
    first, *others = values_of(points, 1, "ill")
    assert first == 0 and min(others) > 1e-3
    assert min(values_of(points, 0, "well")) > 0.001


@pytest.mark.slow
def test_the_first_update_is_within_the_noise_of_bf16_and_the_last_far_above(points_of):
    points = points_of("bf16_noise")
    noise, signal = values_of(points, 0, "ill"), values_of(points, 0, "well")
    assert 1e-3 < np.mean(noise) < 2e-2
    assert signal[0] < 2 * noise[0] and signal[-1] > 4 * noise[-1]


def test_numbers_that_are_none_are_left_out():
    points = [{"plot": 0, "x": x, "y": {"ill": y}} for x, y in enumerate((1.0, None, math.nan, 2.0))]
    assert values_of(points, 0, "ill") == [1.0, 2.0] and values_of(points, 0, "well") == []


def test_what_was_told_is_read_in_order_and_nothing_comes_back_after_closing():
    told = Told()
    assert told.so_far() == []
    for x in range(3):
        told.tell({"x": x})
    with open(told._path, "a", encoding="ascii") as file:
        file.write('{"x": 3')  # half a line
    assert told.so_far() == [{"x": x} for x in range(3)]
    told.close()
    told.tell({"x": 9})
    assert told.so_far() == []


def test_the_healthy_side_is_within_the_advice():
    from vimpo_core.config import advice

    assert [remark for remark in advice(HEALTHY, TYPICAL_LENGTH) if remark.level != "note"] == []
