"""What other tools leave out: whatever arrays a solution has, every view works with those and says so of the rest."""

import json
import math
from itertools import chain, combinations

import numpy as np
import pytest

from vimpo_core.config import TrainConfig
from vimpo_core.formats import export
from vimpo_core.formats.reproduce import Place
from vimpo_core.measure import checks
from vimpo_core.measure.telescope import reward_against_telescope
from vimpo_core.rules import RULES
from vimpo_core.solutions import lenses, picks, reading
from vimpo_core.types import CreditTrace, StopReason
from vimpo_core.views import credit_view, rule_diff, rules_view

ARRAYS = ("logprob", "ref_logprob", "kl", "entropy")
SOME = list(chain.from_iterable(combinations(ARRAYS, n) for n in range(len(ARRAYS) + 1)))
WORDS = ("Two ", "and ", "three ", "is ", "six.")
CONFIG = TrainConfig(algorithm="grpo")
HEADER = {"run_id": "trl-1", "algorithm": "grpo", "model": {"id": ""}, "name": "a run"}


def solution(has=(), sample=0, reward=0.0, seed=0, **changes):
    """Five words of a run of another tool with the arrays that `has` names, and nothing else."""
    rng = np.random.default_rng(seed + sample)
    made = {name: np.float32(-rng.exponential(0.5, len(WORDS))) for name in ARRAYS[:2]}
    made |= {name: np.float32(rng.exponential(0.1, len(WORDS))) for name in ARRAYS[2:]}
    fields = {
        "step": 5, "group_id": 0, "sample_idx": sample, "prompt_text": "2+3=", "prompt_ids": (), "gold": "",
        "reward": reward, "group_mean_reward": 0.5, "finish_reason": None, "text": WORDS,
        "ids": np.full(len(WORDS), -1, np.int32), "mask": np.ones(len(WORDS), bool), "config": CONFIG,
        "group_rewards": (0.0, 1.0), "rewards": {"accuracy": reward},
    }  # fmt: skip
    return CreditTrace(**fields | {name: made[name] for name in has} | changes)


def pair(has=(), **changes):
    return [solution(has, 0, 0.0, **changes), solution(has, 1, 1.0, **changes)]


@pytest.mark.parametrize("has", SOME, ids="+".join)
def test_every_view_works_with_the_arrays_that_are_there(has):
    traces = pair(has)
    payload = credit_view.inspector_payload(traces, 0, 0.1, 1.0)
    json.dumps(payload, allow_nan=False)
    for name in ARRAYS:
        assert (payload["arrays"][name] is not None) == (name in has)
    is_credited = set(ARRAYS[:3]) <= set(has)
    assert (payload["arrays"]["td_terms"] is not None) == is_credited == (not payload["missing"])
    assert (payload["arrays"]["rho"] is not None) == (set(ARRAYS[:2]) <= set(has))
    assert payload["arrays"]["grpo"] is not None
    first = lenses.first_lens(traces[0])
    assert first == "td_terms" or lenses.lens_values(traces, 0, first, 0.1, 1.0) is not None

    batch = rules_view.batch_of(traces, CONFIG, 40)
    judged = rules_view.judge(batch)
    json.dumps(rules_view.rules_payload(batch, judged, 0, "grpo"), allow_nan=False)
    assert (judged["vimpo"].credit is not None) == is_credited
    assert (judged["vimpo_soft"].credit is not None) == (set(ARRAYS[:2]) <= set(has))  # rho alone needs no KL
    assert judged["grpo"].push is not None and (judged["grpo_entropy"].push is not None) == ("entropy" in has)
    assert len(rules_view.rule_rows(batch, judged, 0, 2)) == len(RULES)
    for key in RULES:
        worked = rule_diff.working(batch, judged, key, 0, 2)
        assert worked.why_not or worked.weight == pytest.approx(judged[key].weights[0, 2])

    failed = checks.step_checks(traces, 0.1, 1.0)
    assert not any(failed[name] for name in ("telescope", "anchors", "digits", "shapes", "group", "end"))
    found = reward_against_telescope(traces, 0.1)
    assert (len(found.points), found.missing) == ((2, 0) if is_credited else (0, 2))
    assert (picks.least_explained(traces, 0.1) is not None) == is_credited
    taken = export.Taken(HEADER, traces, 0, Place("trl-1", 5, True, False), 0.1, 1.0)
    for name in export.FORMATS:
        assert export.FORMATS[name].write(taken)


def test_a_solution_that_was_scored_again_is_judged_by_every_rule_beside_those_that_were_not():
    scored, rest = pair(ARRAYS, seed=3)[0], [solution((), 1, 1.0), solution((), 2, 0.25)]
    traces = [scored.with_(group_mean_reward=1.25 / 3), *(t.with_(group_mean_reward=1.25 / 3) for t in rest)]
    batch = rules_view.batch_of(traces, CONFIG, 40)
    judged = rules_view.judge(batch)
    credit = judged["vimpo"].credit_of(0, len(WORDS))
    assert credit == pytest.approx(lenses.lens_values(traces, 0, "advantages", CONFIG.beta, 1.0))
    assert judged["vimpo"].credit_of(1, len(WORDS)) is None and judged["vimpo"].why_no_credit(1) == "recorded"
    rows = {row["key"]: row for row in rules_view.rules_payload(batch, judged, 1)["rows"]}
    assert rows["vimpo"]["push"]["values"] is None and rows["grpo"]["push"]["values"] is not None
    # Its group is the whole one: the baseline of the value loss is the mean of all three rewards.
    shown = rule_diff.working(batch, judged, "vimpo_value", 0, 2)
    total = reading.td_terms(scored, CONFIG.beta).sum()
    residual = total - (0.0 - 1.25 / 3)
    assert shown.weight == pytest.approx(-CONFIG.beta * residual / 3)


@pytest.mark.parametrize("has", [(), ARRAYS], ids=["words", "scored"])
def test_without_a_reward_nothing_that_needs_it_is_drawn(has):
    traces = [t.with_(reward=math.nan, group_mean_reward=math.nan, group_rewards=(math.nan,) * 2) for t in pair(has)]
    payload = credit_view.inspector_payload(traces, 0, 0.1, 1.0)
    json.dumps(payload, allow_nan=False)
    assert payload["reward"] is None and payload["arrays"]["grpo"] is None
    assert payload["arrays"]["values_from_end"] is None
    assert (payload["arrays"]["td_terms"] is not None) == bool(has)
    batch = rules_view.batch_of(traces, CONFIG, 40)
    judged = rules_view.judge(batch)
    assert judged["grpo"].no_credit == "reward" and judged["vimpo"].no_push == ("reward" if has else "recorded")
    assert (judged["vimpo"].credit is not None) == bool(has)
    json.dumps(rules_view.rules_payload(batch, judged, 0, "grpo"), allow_nan=False)
    assert reading.why_no_anchor(traces[0]) == "its reward was not recorded"
    assert picks.least_explained(traces, 0.1) is None and picks.lowest_reward(traces) is None
    checks.step_checks(traces, 0.1, 1.0)
    export.FORMATS["html"].write(export.Taken(HEADER, traces, 0, Place("trl-1", 5, True, False), 0.1, 1.0))


def test_the_advantage_of_its_tool_is_a_lens_of_its_own_and_only_where_there_is_one():
    own = np.array([0.1, -0.2, np.nan, 0.0, 2.0], np.float32)
    traces = [solution(tool_arrays={"advantages": own, "token_kl": own}), solution(sample=1, tool_advantage=-0.5)]
    first, second = (credit_view.inspector_payload(traces, i, 0.1, 1.0) for i in (0, 1))
    assert first["arrays"]["tool_advantage"] == [100, -200, None, 0, 2000]
    assert second["arrays"]["tool_advantage"] == [-500] * len(WORDS)
    assert first["tool"] == [{"name": "token_kl", "values": [0.1, -0.2, None, 0.0, 2.0]}] and second["tool"] == []
    assert lenses.first_lens(traces[0]) == "tool_advantage" and lenses.first_lens(traces[1]) == "td_terms"
    bare = credit_view.inspector_payload([solution()], 0, 0.1, 1.0)
    assert "tool_advantage" not in [lens["key"] for lens in bare["lenses"]]


def test_what_nobody_here_judged_is_neither_right_nor_wrong():
    traces = [solution(reward=0.2), solution(sample=1, reward=0.9), solution(sample=2, reward=0.2)]
    assert not any(map(picks.is_judged, traces)) and {picks.judgement(t) for t in traces} == {"not judged"}
    assert picks.lowest_reward(traces) == picks.Pick(0, None)
    assert picks.lowest_reward(traces[:1]) is None
    assert picks.is_judged(traces[0].with_(rewards={"verifier": 0.2}))


def test_the_pick_of_the_largest_residual_is_the_one_that_the_picture_shows_farthest_from_its_line():
    traces = [*pair(ARRAYS, seed=5), solution((), 2, 1.0), solution(ARRAYS, 3, 0.0, finish_reason=StopReason.EOS)]
    points = reward_against_telescope(traces, 0.1).points
    farthest = max(points, key=lambda point: abs(point.x - point.y))
    assert picks.least_explained(traces, 0.1) == picks.Pick(farthest.index, None)


def holed(name, value, is_counted):
    """A pair whose first solution has no number for its second word in one array; that word counts, or does not."""
    first, second = pair(ARRAYS)
    values = getattr(first, name).copy()
    values[1] = value
    mask = np.array([True, is_counted, True, True, True])
    return [first.with_(**{name: values}, mask=mask), second]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_hole_where_no_token_counts_changes_no_rule(name, value):
    whole, holes = (rules_view.batch_of(holed(name, v, False), CONFIG, 40) for v in (-0.5, value))
    expected, found = rules_view.judge(whole), rules_view.judge(holes)
    json.dumps(rules_view.rules_payload(holes, found, 0, "grpo"), allow_nan=False)
    for key in RULES:
        assert found[key].why_no_push(0) == expected[key].why_no_push(0)
        for array in ("credit", "weights"):
            np.testing.assert_equal(getattr(found[key], array), getattr(expected[key], array))
        if not expected[key].no_push:
            assert found[key].weights[0, 1] == 0.0 and rule_diff.working(holes, found, key, 0, 1).why_not == "masked"
            worked = rule_diff.working(holes, found, key, 0, 0)  # before it: passed over, not an end
            assert worked.weight == pytest.approx(found[key].weights[0, 0])
    assert found["vimpo"].weights[0, 0] != 0.0


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_solution_with_a_hole_where_a_token_counts_lacks_the_array_and_the_others_do_not(value):
    batch = rules_view.batch_of(holed("logprob", value, True), CONFIG, 40)
    judged = rules_view.judge(batch)
    json.dumps(rules_view.rules_payload(batch, judged, 0, "vimpo"), allow_nan=False)
    assert [judged["vimpo"].why_no_credit(i) for i in (0, 1)] == ["recorded", ""]
    assert np.isfinite(judged["vimpo"].credit[1]).all() and judged["grpo"].why_no_push(0) == ""
