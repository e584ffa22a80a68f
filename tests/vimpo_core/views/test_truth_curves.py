"""What the curves of "Is it right?" send to the browser and say, on a solution whose truth is written down by hand."""

import numpy as np
import pytest

from vimpo_core.measure.truth import PrefixValues, places_of, soft_value
from vimpo_core.solutions import ledger
from vimpo_core.types import CreditTrace, StopReason
from vimpo_core.views.truth_curves import reading, truth_payload

BETA = 0.1
TEXT = ("2", "+", "9", ".")


def trace(delta=(0.0, -0.1, -0.4, 0.0), reward=0.0, first_wrong=2, mean=0.5, **changes):
    """KL is 0, so delta_t is beta log(pi/pi_ref): what is asked for."""
    logprob = -np.ones(4)
    made = CreditTrace(
        step=5,
        group_id=0,
        sample_idx=0,
        prompt_text="2+7=",
        prompt_ids=(1,),
        gold="9",
        reward=reward,
        group_mean_reward=mean,
        finish_reason=StopReason.EOS,
        ids=np.arange(4),
        text=TEXT,
        mask=np.ones(4, bool),
        logprob=logprob,
        ref_logprob=logprob - np.array(delta) / BETA,
        kl=np.zeros(4),
        entropy=np.zeros(4),
        first_wrong=first_wrong,
    )
    return made.with_(**changes)


def prefixes(*successes, tries=16):
    """Success counts of the five prefixes; the last one is exact."""
    outcomes = np.array([np.arange(tries) < k for k in successes])
    return PrefixValues(outcomes, np.array([False] * 4 + [True]))


WRONG = prefixes(14, 14, 13, 0, 0)


def test_implied_numbers_are_those_of_the_credit_view():
    payload = truth_payload(trace(), WRONG, WRONG, BETA)
    assert payload["anchor"] == "start" and payload["values"] == [0.5, 0.5, 0.4, 0.0, 0.0]
    assert payload["advantages"] == [0.0, -0.1, -0.4, 0.0] and payload["grpo"] == -0.5
    book = ledger.ledger(trace(), BETA, 0.0)
    assert payload["decimals"]["implied"] == book.reward_decimals


def test_without_a_group_the_curve_is_anchored_at_the_end_with_the_reward_added():
    payload = truth_payload(trace(mean=float("nan"), reward=1.0), WRONG, WRONG, BETA)
    assert payload["anchor"] == "end" and payload["values"] == [1.5, 1.5, 1.4, 1.0, 1.0]
    assert payload["grpo"] is None


def test_what_was_not_recorded_is_missing_and_the_truth_is_drawn_alone():
    bare = trace(ref_logprob=None)
    payload = truth_payload(bare, WRONG, WRONG, BETA)
    assert payload["values"] is None and payload["advantages"] is None
    assert len(payload["monte_carlo"]["value"]) == 5
    first, second = reading(bare, WRONG, BETA)
    assert "not recorded" in first and "#2" in second


def test_shown_differences_are_those_of_the_shown_values():
    tried = prefixes(85, 170, 33, 7, 0, tries=256)
    payload = truth_payload(trace(), tried, tried, BETA)
    value = payload["monte_carlo"]["value"]
    assert payload["difference"]["value"] == pytest.approx(np.diff(value), abs=1e-9)
    assert payload["rollouts"] == 256 and payload["monte_carlo"]["low"][-1] == payload["monte_carlo"]["high"][-1]


def test_beta_moves_the_soft_and_the_implied_curve_and_leaves_monte_carlo():
    small, large = (truth_payload(trace(), WRONG, prefixes(8, 8, 4, 1, 0), beta) for beta in (0.1, 1.0))
    assert small["monte_carlo"] == large["monte_carlo"]
    assert small["advantages"] != large["advantages"]
    assert large["soft"]["value"][0] == pytest.approx(float(soft_value(0.5, 1.0)), abs=5e-4)
    assert small["version"] != large["version"]


def test_a_learned_critic_joins_the_curves_and_its_steps_end_at_the_reward():
    judged = trace(reward=1.0, critic_values=np.array([0.5, 0.25, 0.75, 0.9], np.float32))
    payload = truth_payload(judged, WRONG, WRONG, BETA)
    assert payload["critic"] == [0.5, 0.25, 0.75, 0.9]
    assert payload["critic_steps"] == pytest.approx([-0.25, 0.5, 0.15, 0.1])
    without = truth_payload(trace(), WRONG, WRONG, BETA)
    assert without["critic"] is None and without["critic_steps"] is None


def test_both_point_at_the_same_token():
    first, second = reading(trace(), WRONG, BETA)
    assert "both point at token #2 “9”, the first wrong one." in first
    assert "start-anchored" in second and "of 4 prefixes" in second


def test_two_tokens_that_few_tries_cannot_tell_apart():
    said = reading(trace(delta=(0, -0.4, -0.1, 0)), prefixes(16, 16, 12, 4, 0), BETA)[0]
    assert "points at token #1 “+”" in said and "Monte Carlo at token #2 “9”" in said
    assert "overlap, so 16 tries do not tell them apart." in said and said.endswith("The first wrong token is #2.")


def test_monte_carlo_contradicts_implied_credit():
    said = reading(trace(delta=(0, -0.4, -0.1, 0)), prefixes(250, 250, 250, 0, 0, tries=256), BETA)[0]
    assert "do not overlap: Monte Carlo contradicts implied credit, with 0.00 at #1." in said


def test_no_credit_before_learning_and_no_clear_drop():
    assert "policy and reference are the same" in reading(trace(delta=(0, 0, 0, 0)), WRONG, BETA)[0]
    flat = prefixes(0, 0, 0, 0, 0)
    assert "no token whose Q − V is clearly below 0 in 16 tries" in reading(trace(), flat, BETA)[0]


def test_credit_that_blames_no_token_is_said_to_blame_none():
    said = reading(trace(delta=(0, 0, 0.2, -0.002)), WRONG, BETA)[0]
    assert said.startswith("Implied credit blames no token (lowest 0.00), Monte Carlo points at token #2 “9”, −0.81")


def test_in_a_right_solution_the_largest_rise_is_asked_for():
    right = trace(delta=(0.3, 0, 0, 0), reward=1.0, first_wrong=None)
    said = reading(right, prefixes(4, 16, 16, 16, 16), BETA)[0]
    assert "both point at token #0 “2”." in said


def test_a_flipped_reward_does_not_turn_the_direction():
    flipped = trace(reward=1.0, rewards={"verifier": 0.0})
    assert "both point at token #2" in reading(flipped, WRONG, BETA)[0]


def test_what_was_not_tried_is_missing_and_stretches_stand_for_it():
    """Prefixes 0, 1 and 4 of 0 to 4: token 0 by itself, tokens 1 to 3 together."""
    tried = PrefixValues(WRONG.outcomes[[0, 1, 4]], WRONG.is_exact[[0, 1, 4]])
    payload = truth_payload(trace(), tried, tried, BETA, places=(0, 1, 4))
    assert payload["monte_carlo"]["value"] == [0.875, 0.875, None, None, 0.0]
    assert payload["difference"]["value"] == [0.0, None, None, None]
    (stretch,) = payload["stretches"]
    assert (stretch["from"], stretch["to"], stretch["value"]) == (1, 4, -0.875)
    first, second = reading(trace(), tried, BETA, tried, places=(0, 1, 4))
    assert first.startswith("2 of 4 prefixes were tried, 2 were left out. It falls most over tokens #1 to #3: −0.88 (")
    assert first.endswith("implied credit adds up to −0.50 there.") and "of 2 prefixes" in second


def test_places_are_where_steps_begin_or_spread_evenly():
    assert places_of(9, (0, 3, 7)) == (0, 3, 7, 9)
    assert places_of(101, most=4) == (0, 1, 34, 67, 100, 101)
