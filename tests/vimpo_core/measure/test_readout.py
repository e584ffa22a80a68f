"""What a step's solutions let one read off: range of V and AUC of the mistake, on numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest

from tests.support.fakes import FakeTrainer
from vimpo_core.config import TrainConfig
from vimpo_core.measure import readout

CONFIG = TrainConfig(steps=1, prompts_per_step=1, group_size=2, beta=0.5)


def trace(log_ratio, first_wrong, reward=0.0):
    """A solution whose KL is 0: delta is beta times its log-ratio."""
    found = FakeTrainer(CONFIG).step().traces[0]
    count = len(log_ratio)
    arrays = {"ids": np.zeros(count, np.int32), "mask": np.ones(count, bool), "entropy": np.zeros(count, np.float32)}
    numbers = {"logprob": np.array(log_ratio, np.float32) - 5, "ref_logprob": np.full(count, -5.0, np.float32)}
    return dataclasses.replace(
        found,
        **arrays,
        **numbers,
        kl=np.zeros(count, np.float32),
        sampler_logprob=numbers["logprob"],
        text=("1",) * count,
        topk=None,
        collision=None,
        first_wrong=first_wrong,
        reward=reward,
        rewards={"verifier": reward},
        config=CONFIG,
    )


def test_how_far_v_moves_and_where_credit_points_are_those_worked_out_by_hand():
    # delta .2 -.6 .1: V from V_0 by 0 .2 -.4 -.3, a range of .6; the mistake, token 1, is below both others.
    # delta -.2 .4: V by 0 -.2 .2, a range of .4; the mistake, token 1, is above the other.
    traces = [trace([0.4, -1.2, 0.2], first_wrong=1), trace([-0.4, 0.8], first_wrong=1)]
    assert readout.of_step(traces, 0.5) == {"value_range": pytest.approx(0.5), "mistake_auc": pytest.approx(0.5)}
    right = trace([0.4, 0.4], first_wrong=None, reward=1.0)
    assert readout.of_step([traces[0], right], 0.5)["mistake_auc"] == 1.0


def test_without_a_mistake_that_is_known_or_a_number_that_is_finite_nothing_is_made_up():
    assert set(readout.of_step([trace([0.4], first_wrong=None)], 0.5)) == {"value_range"}
    assert readout.of_step([trace([-np.inf], first_wrong=0)], 0.5) == {}
