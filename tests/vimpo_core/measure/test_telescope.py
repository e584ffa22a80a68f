"""Reward against telescope: the picture is the value loss, point by point."""

import numpy as np
import pytest

from tests.support.hostile import hostile_trace
from vimpo_core.config import TrainConfig
from vimpo_core.measure.telescope import reward_against_telescope, trained_otherwise
from vimpo_core.runs.store import RunStore


def trace_with(total: float, reward: float, mean: float, beta: float = 0.5):
    """A solution of two tokens whose credits sum to `total`: beta (log pi - log pi_ref - KL) with KL 0."""
    zeros = np.zeros(2, np.float32)
    return hostile_trace(
        ids=np.arange(2, dtype=np.int32),
        text=("1", "."),
        mask=np.ones(2, bool),
        logprob=zeros,
        kl=zeros,
        ref_logprob=np.array([-total / beta, 0], np.float32),
        reward=reward,
        group_mean_reward=mean,
        topk=None,
    )


def test_a_point_is_the_sum_of_the_credits_beside_the_reward_beyond_the_mean():
    found = reward_against_telescope([trace_with(0.25, 1.0, 0.5), trace_with(-0.75, 0.0, 0.5)], beta=0.5)
    assert [(p.x, p.y) for p in found.points] == [(0.25, 0.5), (-0.75, -0.5)]
    # By hand: residuals -0.25 and -0.25; half their mean square is 0.03125; without credit 0.125.
    assert (found.value_loss, found.untouched_loss) == (0.03125, 0.125)
    assert found.explained == 0.75


def test_on_the_line_nothing_is_left_to_learn():
    found = reward_against_telescope([trace_with(0.5, 1.0, 0.5), trace_with(-0.5, 0.0, 0.5)], beta=0.5)
    assert found.value_loss == 0 and found.explained == 1


def test_its_loss_is_the_one_that_trained(real_run):
    store = RunStore.open(real_run)
    for row in store.metrics():
        found = reward_against_telescope(store.traces(row["step"]), store.config().beta)
        # Training sums float32.
        assert found.value_loss == pytest.approx(row["value_loss"], rel=1e-5)
        if row["residual_ratio"] is not None:
            assert found.explained == pytest.approx(1 - row["residual_ratio"] ** 2, abs=1e-5)


def test_before_learning_every_sum_is_zero(real_run):
    store = RunStore.open(real_run)
    found = reward_against_telescope(store.traces(0), store.config().beta)
    assert {p.x for p in found.points} == {0.0} and found.explained == 0


def test_what_was_not_recorded_is_left_out_and_counted():
    sound = trace_with(0.25, 1.0, 0.5)
    traces = [
        sound,
        sound.with_(kl=None),
        sound.with_(group_mean_reward=float("nan")),
        sound.with_(kl=sound.kl + np.inf),
    ]
    found = reward_against_telescope(traces, beta=0.5)
    assert [p.index for p in found.points] == [0] and found.missing == 3
    assert np.isnan(reward_against_telescope(traces[1:], beta=0.5).value_loss)


@pytest.mark.parametrize(
    "settings, says",
    [
        ({}, ""),
        ({"algorithm": "vimpo_value", "gae_lambda": 0.5}, ""),
        ({"algorithm": "grpo"}, "GRPO does not train on it"),
        ({"algorithm": "a_star_po"}, ""),
        ({"algorithm": "vimpo_soft"}, ""),
        ({"baseline": "leave_one_out", "kl_estimator": "k3", "cap_v0": 0.5}, ""),
        ({"baseline": "leave_one_out", "value_loss": "huber", "huber_delta": 0.25}, "beyond 0.25 (huber)"),
        ({"value_loss": "normalised"}, "over the mean square of its targets"),
    ],
)
def test_a_run_that_trained_on_another_loss_than_the_pictures_is_said_to(settings, says):
    said = trained_otherwise(TrainConfig(**settings))
    assert says in said and bool(says) == bool(said)
