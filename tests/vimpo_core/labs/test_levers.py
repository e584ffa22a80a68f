"""The two levers: real updates on one batch; what the actor cannot do alone; presses replayed are presses made."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.support.waiting import PATIENCE
from vimpo_core import credit
from vimpo_core.labs.levers import MOST_PRESSES, PROMPTS, SAMPLES, Levers, Moment
from vimpo_core.service.labs import LabService, Told


@pytest.fixture(scope="module")
def press():
    """Presses in this process: `press("va", beta=0.2)`."""
    from vimpo_core.labs import lever_updates

    return lambda presses, **settings: lever_updates.press(Levers(presses=presses, **settings))


def mask_of(pressed):
    mask = np.zeros(pressed.after.logprobs.shape, dtype=bool)
    for row, trace in enumerate(pressed.solutions):
        mask[row, : len(trace.ids)] = True
    return mask


def assert_same_moment(a, b):
    for field in fields(Moment):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def test_the_batch_holds_groups_that_do_not_agree_and_policy_and_reference_are_one(press):
    pressed = press("")
    assert len(pressed.solutions) == PROMPTS * SAMPLES and pressed.lever is None and pressed.grad_norm is None
    for group in range(PROMPTS):
        assert {t.reward for t in pressed.solutions if t.group_id == group} == {0.0, 1.0}
    for name in ("kl", "td_terms", "advantages", "whitened"):
        assert not getattr(pressed.after, name).any(), name
    for row, trace in enumerate(pressed.solutions):
        np.testing.assert_array_equal(pressed.after.logprobs[row, : len(trace.ids)], trace.ref_logprob)
        assert (pressed.after.values[row] == trace.group_mean_reward).all()


def test_the_actor_alone_moves_nothing_however_often_it_is_pressed(press):
    first, fifth = press("a"), press("aaaaa", actor_coef=1.0)
    assert_same_moment(first.before, first.after)
    assert_same_moment(first.before, fifth.after)
    assert fifth.grad_norm == 0


def test_the_value_loss_moves_first_and_then_the_actor_has_something_to_amplify(press):
    by_value, by_actor = press("v"), press("va")
    assert by_value.after.value_loss < by_value.before.value_loss
    assert np.abs(by_value.after.logprobs - by_value.before.logprobs).max() > 0.01
    assert by_actor.grad_norm > 0
    assert np.abs(by_actor.after.logprobs - by_actor.before.logprobs).max() > 0.001


def test_both_together_is_the_value_loss_alone_at_the_start_and_where_c_A_is_0(press):
    assert_same_moment(press("b", actor_coef=1.0).after, press("v", actor_coef=1.0).after)
    assert_same_moment(press("bbb", actor_coef=0.0).after, press("vvv", actor_coef=0.0).after)
    differs = press("bb", actor_coef=1.0).after.logprobs - press("vv", actor_coef=1.0).after.logprobs
    assert np.abs(differs).max() > 1e-4


def test_a_moment_is_what_credit_makes_of_its_log_probabilities(press):
    pressed = press("vvb")
    mask, after = mask_of(pressed), pressed.after
    reference = np.zeros_like(after.logprobs)
    for row, trace in enumerate(pressed.solutions):
        reference[row, : len(trace.ids)] = trace.ref_logprob
    rewards, baseline = (
        np.array([getattr(t, name) for t in pressed.solutions], dtype=np.float32)
        for name in ("reward", "group_mean_reward")
    )
    delta = credit.td_terms(after.logprobs, reference, after.kl, mask, pressed.asked.beta)
    close = {"rtol": 1e-4, "atol": 1e-6}  # float32 added up in another order
    np.testing.assert_allclose(after.td_terms, delta, **close)
    np.testing.assert_allclose(after.values, credit.implied_values(delta, mask, baseline), **close)
    np.testing.assert_allclose(after.residual, after.values[:, -1] - rewards, **close)
    assert after.value_loss == pytest.approx(0.5 * float((after.residual**2).mean()), rel=1e-4)


def test_lambda_decides_which_tokens_the_actor_pushes(press):
    pressed = press("vvv")
    mask, after = mask_of(pressed), pressed.after
    for reach, pushes in ((0.0, after.whitened_at_0), (1.0, after.whitened_at_1)):
        expected = credit.whiten(credit.gae(after.td_terms, mask, reach), mask)
        np.testing.assert_allclose(pushes, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.whitened, after.whitened_at_1)
    row = max(range(len(mask)), key=lambda i: pressed.solutions[i].first_wrong or -1)
    mistake = pressed.solutions[row].first_wrong
    assert (after.whitened_at_1[row, : mistake + 1] < 0).all()
    assert after.whitened_at_0[row].argmin() == mistake and (after.whitened_at_0[row, :mistake] > 0).all()
    alone, far = press("vvva", gae_lambda=0.0), press("vvva")
    np.testing.assert_array_equal(alone.before.whitened, after.whitened_at_0)
    assert_same_moment(far.before, after)
    assert np.abs(alone.after.logprobs - far.after.logprobs).max() > 1e-3


def test_a_replayed_list_of_presses_gives_what_pressing_one_by_one_gave(press):
    from vimpo_core.labs import lever_updates

    one_by_one = [press("vab"[:count]) for count in range(1, 4)][-1]
    lever_updates._states.clear()
    at_once = press("vab")
    assert_same_moment(one_by_one.after, at_once.after)
    assert_same_moment(one_by_one.before, press("va").after)


def test_another_visitors_presses_between_change_nothing(press):
    from vimpo_core.labs import lever_updates

    undisturbed = press("vvv")
    lever_updates._states.clear()
    press("vv")
    press("bba", batch=1, learning_rate=3e-3)
    assert_same_moment(press("vvv").after, undisturbed.after)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"batch": -1}, "batch must be between 0 and 999, got -1"),
        ({"presses": "vx"}, "presses are letters of v, a, b, got 'x'"),
        ({"presses": "v" * (MOST_PRESSES + 1)}, "at most 40 presses, got 41"),
        ({"beta": float("nan")}, "beta must be between 1e-06 and 10, got nan"),
        ({"learning_rate": 1.0}, "learning_rate must be between"),
    ],
)
def test_what_cannot_be_pressed_is_said_in_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(Levers(), **wrong)


@pytest.mark.slow
def test_the_lab_process_presses_as_this_one_does_and_a_cancelled_failure_stops_no_press(press):
    service, told = LabService(), Told()
    try:
        with pytest.raises(ValueError, match="there is no failure 'nothing'"):
            service.reproduce("nothing", 0, told, timeout=PATIENCE).result(PATIENCE)
        failure = service.reproduce("flat_values", 0, told, timeout=PATIENCE)
        pressed = service.press(Levers(presses="v"), PATIENCE)
        failure.cancel()
        assert_same_moment(pressed.result(PATIENCE).after, press("v").after)
    finally:
        told.close()
        service.close()
