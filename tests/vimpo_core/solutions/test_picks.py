"""Which solution and token is picked: tables of cases on both sides of every threshold, and at every tie."""

import numpy as np
import pytest

from vimpo_core.solutions import picks
from vimpo_core.solutions.picks import Example, Group, Pick
from vimpo_core.types import CreditTrace, StopReason

NAN = float("nan")


def trace(*delta, wrong=None, reward=0.0, group=0, mask=None, **changes):
    """One token a number, which is its credit at beta 1: KL is 0 and the policy's log-probability 0."""
    found = np.array(delta, dtype=np.float64)
    made = CreditTrace(
        step=1,
        group_id=group,
        sample_idx=0,
        prompt_text=f"{group}+1=",
        prompt_ids=(1,),
        gold=str(group + 1),
        reward=reward,
        group_mean_reward=0.5,
        finish_reason=StopReason.EOS,
        ids=np.arange(len(found)),
        text=("x",) * len(found),
        mask=np.ones(len(found), bool) if mask is None else np.array(mask, bool),
        logprob=np.zeros(len(found)),
        ref_logprob=-found,
        kl=np.zeros(len(found)),
        first_wrong=wrong,
    )
    return made.with_(**changes)


# Right for every way to tell, and what `first_wrong` and `clearest_example` must then pass over.
RIGHT = {"reward": 1.0}


@pytest.mark.parametrize(
    ("known", "is_right"),
    [
        ({"reward": 1.0}, True),
        ({"reward": 0.0}, False),
        ({"reward": 0.5}, False),
        ({"reward": -1.0}, False),
        ({"reward": 0.0, "status": "correct"}, True),
        ({"reward": 1.0, "status": "incorrect"}, False),
        ({"reward": 1.0, "status": "rejected"}, False),
        ({"rewards": {"verifier": 1.0}, "reward": 0.0, "status": "incorrect"}, True),
        ({"rewards": {"verifier": 0.0}, "reward": 1.0, "status": "correct"}, False),
        ({"rewards": {"verifier": 0.5}}, False),
        ({"rewards": {"length": 1.0}, "reward": 0.0}, False),
    ],
)
def test_the_verifier_is_believed_before_the_status_and_the_status_before_the_reward(known, is_right):
    assert picks.is_correct(trace(0.0, **known)) is is_right


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"status": "correct"}, "right"),
        ({"status": "correct", "wrong": 0}, "right answer, wrong step"),
        ({"status": "rejected"}, "no answer"),
        ({"status": "rejected", "wrong": 0}, "no answer"),
        ({"status": "rejected", "answer": "so"}, "answer refused"),
        ({"status": "incorrect"}, "wrong"),
        ({"status": "incorrect", "wrong": 0}, "wrong"),
        ({}, "not judged"),
        ({"rewards": {"verifier": 1.0}}, "right"),
    ],
)
def test_answer_and_step_are_judged_together(known, words):
    assert picks.judgement(trace(0.0, **known)) == words


def test_few_shot_prompts_are_told_apart_by_what_they_do_not_share():
    shots = "Backwards: cat, dog\ndog, cat\n\n"
    prompts = [f"{shots}Backwards: {words}" for words in ("kiwi, bread", "kiwi, egg")]
    assert picks.told_apart(prompts) == ["…Backwards: kiwi, bread", "…Backwards: kiwi, egg"]
    assert picks.told_apart(prompts[:1]) == prompts[:1], "alone it is told whole"
    assert picks.told_apart(["9+2=", "9+3="]) == ["9+2=", "9+3="]
    # 24 characters are left out, 23 are not; what lies between the first and the last by name is no matter.
    long, short = (["\n".join(("x" * n, w)) for w in ("b", "c", "ab")] for n in (23, 22))
    assert picks.told_apart(long) == ["…b", "…c", "…ab"] and picks.told_apart(short) == short
    assert picks.told_apart([long[0], long[0]]) == ["…b", "…b"]
    lines = ["\n".join(("x" * 23, first, "=")) for first in ("a", "b")]
    assert picks.told_apart(lines) == ["…a\n=", "…b\n="], "only what all share is left out"


@pytest.mark.parametrize(
    ("reward", "rewards", "is_flipped"),
    [
        (1.0, {"verifier": 0.0}, True),
        (0.0, {"verifier": 1.0}, True),
        (1.0, {"verifier": 1.0}, False),
        (float(np.float32(0.1)), {"verifier": 0.1}, False),  # as a trainer keeps it
        (0.5 + 2e-6, {"verifier": 0.5}, True),
        (1.0, {}, False),
        (1.0, {"length": 0.0}, False),
    ],
)
def test_a_reward_is_flipped_where_the_verifier_gave_another(reward, rewards, is_flipped):
    assert picks.is_flipped(trace(0.0, reward=reward, rewards=rewards)) is is_flipped


def test_the_first_solution_that_failed_and_the_one_with_the_lowest_reward():
    step = [trace(0.0, reward=r) for r in (1.0, 0.5, NAN, 0.25, 0.25)]
    assert picks.first_failed(step) == Pick(1, None)
    assert picks.lowest_reward(step) == Pick(3, None)
    assert picks.first_failed(step[:1]) is picks.lowest_reward(step[:1]) is None
    assert picks.lowest_reward([trace(0.0, reward=r) for r in (NAN, 0.5, 0.5)]) is None, "all earned the same"
    assert picks.lowest_reward([trace(0.0, reward=NAN)]) is None
    assert picks.lowest_reward([trace(0.0, reward=r) for r in (None, 1.0, 0.5)]) == Pick(2, None)
    assert picks.first_failed([]) is None


def test_the_solution_that_its_credits_explain_least():
    # |sum of the credit - (reward - group mean)|, the group mean being .5
    step = [trace(0.25, 0.25, reward=1.0), trace(0.0, reward=1.0), trace(0.5, 0.25, reward=0.0)]
    assert picks.least_explained(step, 1.0) == Pick(2, None)
    assert picks.least_explained(step[:2], 1.0) == Pick(1, None)
    assert picks.least_explained([trace(0.0, kl=None), step[0]], 1.0) == Pick(1, None), "0 is more than not known"
    assert picks.least_explained([trace(0.0, kl=None)], 1.0) is None


def test_groups_keep_the_order_of_the_step_and_may_lie_apart():
    traces = [trace(0.0, group=g, reward=r) for g, r in ((2, 1.0), (0, 0.0), (2, 0.0), (2, 1.0))]
    assert picks.groups(traces) == [Group(2, "2+1=", "3", (0, 2, 3), 2), Group(0, "0+1=", "1", (1,), 0)]
    assert picks.groups([]) == []


@pytest.mark.parametrize(
    ("traces", "highest", "lowest"),
    [
        ([trace(0.25, -0.5, 0.125)], Pick(0, 0), Pick(0, 1)),
        ([trace(0.25, -0.5), trace(0.5, -0.25)], Pick(1, 0), Pick(0, 1)),
        # Ties go to the first solution, and in it to the first token.
        ([trace(0.5, -0.5), trace(0.5, -0.5)], Pick(0, 0), Pick(0, 1)),
        ([trace(0.0, 0.5, 0.5, -0.5, -0.5)], Pick(0, 1), Pick(0, 3)),
        # However small, it is credit; 0 is none.
        ([trace(0.0, 2.0**-20, -(2.0**-20))], Pick(0, 1), Pick(0, 2)),
        ([trace(0.0, 0.0)], None, None),
        ([trace(-0.5, -0.25)], None, Pick(0, 0)),
        ([trace(0.5, 0.25)], Pick(0, 0), None),
        # Masked and undefined credit is not looked at.
        ([trace(0.5, 0.25, -0.5, -0.25, mask=(0, 1, 0, 1))], Pick(0, 1), Pick(0, 3)),
        ([trace(NAN, 0.25, -0.25)], Pick(0, 1), Pick(0, 2)),
        ([trace(float("inf"), float("-inf"), 0.25, -0.25)], Pick(0, 2), Pick(0, 3)),
        # Solutions without a token, or without the arrays that credit needs, are passed over.
        ([trace(), trace(0.5, -0.5)], Pick(1, 0), Pick(1, 1)),
        ([trace(1.0, -1.0, kl=None), trace(0.5, -0.5)], Pick(1, 0), Pick(1, 1)),
        ([trace()], None, None),
        ([], None, None),
    ],
)
def test_the_extremes_of_a_step(traces, highest, lowest):
    assert picks.most_positive(traces, 1.0) == highest
    assert picks.most_negative(traces, 1.0) == lowest


@pytest.mark.parametrize(
    ("traces", "found"),
    [
        ([trace(0, 0, 0, wrong=2)], Pick(0, 2)),
        ([trace(0, 0, wrong=0)], Pick(0, 0)),
        ([trace(0, 0, **RIGHT), trace(0, 0, wrong=1), trace(0, 0, wrong=0)], Pick(1, 1)),
        # A right answer with a wrong step is right.
        ([trace(0, 0, wrong=1, **RIGHT), trace(0, 0, wrong=0)], Pick(1, 0)),
        # A known wrong token goes before one that is not known; without any, the first wrong solution at its start.
        ([trace(0, 0), trace(0, 0, wrong=1)], Pick(1, 1)),
        ([trace(0, 0, **RIGHT), trace(0, 0), trace(0, 0)], Pick(1, 0)),
        ([trace(0, 0, **RIGHT), trace(0, 0, wrong=0, **RIGHT)], None),
        ([], None),
    ],
)
def test_the_first_wrong_solution(traces, found):
    assert picks.first_wrong(traces) == found


@pytest.mark.parametrize(
    ("traces", "found"),
    [
        ([trace(0.0, -0.5, -0.125, wrong=1)], Example(0, 1, 0.375, 1, 1)),
        # The lowest credit stands elsewhere: the solution counts, and is no example.
        ([trace(0.0, -0.5, -0.125, wrong=2)], None),
        ([trace(0.0, -0.5, wrong=0), trace(-0.5, 0.0, wrong=0)], Example(1, 0, 0.5, 1, 2)),
        ([trace(-0.5, 0.0, wrong=0), trace(-0.5, 0.5, wrong=0)], Example(1, 0, 1.0, 2, 2)),
        ([trace(-0.5, 0.5, wrong=0), trace(-0.5, 0.0, wrong=0)], Example(0, 0, 1.0, 2, 2)),
        # Equal margins: the first solution. Equal credit in one solution: its first token has the lowest.
        ([trace(-0.5, 0.0, wrong=0), trace(0.0, -0.5, wrong=1)], Example(0, 0, 0.5, 2, 2)),
        ([trace(-0.5, -0.5, wrong=0)], Example(0, 0, 0.0, 1, 1)),
        ([trace(-0.5, -0.5, wrong=1)], None),
        # Credit must be negative, however little.
        ([trace(-(2.0**-20), 0.0, wrong=0)], Example(0, 0, 2.0**-20, 1, 1)),
        ([trace(0.0, 0.5, wrong=0)], None),
        ([trace(0.25, 0.5, wrong=0)], None),
        # Nothing to compare with: the margin is from 0.
        ([trace(-0.5, wrong=0)], Example(0, 0, 0.5, 1, 1)),
        ([trace(-0.5, NAN, wrong=0)], Example(0, 0, 0.5, 1, 1)),
        # Masked tokens do not count.
        ([trace(-1.0, -0.5, -0.25, wrong=1, mask=(0, 1, 1))], Example(0, 1, 0.25, 1, 1)),
        # Right, without a known wrong token, or without credit: passed over, not counted.
        (
            [
                trace(-1.0, 0.0, wrong=0, **RIGHT),
                trace(-1.0, 0.0),
                trace(-1.0, 0.0, wrong=0, kl=None),
                trace(-0.5, 0.0, wrong=0),
            ],
            Example(3, 0, 0.5, 1, 1),
        ),
        ([], None),
    ],
)
def test_the_clearest_example_and_how_typical_it_is(traces, found):
    assert picks.clearest_example(traces) == found


def test_beta_scales_the_margin_alone():
    traces = [trace(-0.5, 0.0, wrong=0), trace(0.5, -0.5, wrong=1)]
    assert picks.clearest_example(traces, 0.5) == Example(1, 1, 0.5, 2, 2)
