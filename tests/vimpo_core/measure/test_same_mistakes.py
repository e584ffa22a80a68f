"""The same mistakes read off several policies: what is averaged, what is drawn again, what is compared with what."""

import numpy as np
import pytest

from vimpo_core.measure.same_mistakes import averaged, found_by, pairs


def test_each_reading_is_judged_on_every_solution():
    suspicion = {"delta/a": [np.array([0.0, 2.0, 1.0]), np.array([1.0, 0.0])], "delta/b": [np.zeros(3), np.zeros(2)]}
    found = found_by(suspicion, [1, 1])
    np.testing.assert_allclose(found["delta/a"], [[1, 1, 1], [0, 1, 0]])  # named at once; the only other is ahead
    np.testing.assert_allclose(found["delta/b"], [[1 / 3, 1, 0.5], [1 / 2, 1, 0.5]])  # ties share their places


def test_problems_are_drawn_again_so_that_copies_of_a_solution_narrow_no_interval():
    rng = np.random.default_rng(0)
    rows, problems = rng.random((40, 3)), [f"{i}+1=" for i in range(40)]
    once, tripled = averaged(rows, problems), averaged(np.tile(rows, (3, 1)), problems * 3)
    assert once.auc.low < rows[:, 2].mean() < once.auc.high
    for a, b in ((once.auc, tripled.auc), (once.top1, tripled.top1)):
        assert (a.mean, a.low, a.high) == pytest.approx((b.mean, b.low, b.high))


def test_no_order_of_runs_changes_an_interval_and_the_difference_turned_round_is_its_mirror():
    rng = np.random.default_rng(1)
    rows, problems = rng.normal(size=(30, 3)), [f"{i % 20}*2=" for i in range(30)]
    order = rng.permutation(30)
    there, back = averaged(rows, problems), averaged(-rows[order], [problems[i] for i in order])
    assert (back.auc.mean, back.auc.low, back.auc.high) == pytest.approx(
        (-there.auc.mean, -there.auc.high, -there.auc.low)
    )


def test_delta_is_compared_with_every_other_delta_and_with_what_needs_less():
    assert pairs(["a", "b"]) == [
        ("delta/a", "delta/b"),
        ("delta/a", "surprisal/a"),
        ("delta/a", "surprisal_reference"),
        ("delta/b", "surprisal/b"),
        ("delta/b", "surprisal_reference"),
    ]
    assert np.isnan(averaged(np.zeros((0, 3)), []).auc.mean)
