"""Two solutions side by side: what is compared with what, and that shown differences are those of shown numbers."""

import json

import numpy as np
import pytest

from tests.support.hostile import hostile_trace
from vimpo_core.paths import DEMOS
from vimpo_core.runs.store import RunStore
from vimpo_core.service.scoring import branch_solution, score_solution
from vimpo_core.views import pair_view

PROMPT, SLIP = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("abcd", "abcd", [0, 1, 2, 3]),
        ("abcd", "abXd", [0, 1, 2, 3]),  # one changed: place by place
        ("abcd", "abXcd", [0, 1, -1, 2, 3]),  # one more: from the end
        ("abcd", "abd", [0, 1, 3]),  # one less
        ("abcd", "abcdX", [0, 1, 2, 3, -1]),
        ("abcd", "X", [3]),
        ("a", "XYZ", [-1, -1, 0]),
    ],
)
def test_edits_are_aligned_by_place_then_from_the_end(first, second, expected):
    assert pair_view.aligned_by_end(first, second).tolist() == expected


def test_branches_are_compared_up_to_the_fork():
    assert pair_view.aligned_at_fork("abcd", "abXYZ").tolist() == [0, 1, 2, -1, -1]
    assert pair_view.aligned_at_fork("ab", "abc").tolist() == [0, 1, -1]


def edited(real_run, text):
    return (score_solution(real_run, 4, PROMPT, t)[0] for t in (SLIP, text))


def test_shown_differences_are_those_of_shown_numbers(real_run):
    first, second = edited(real_run, SLIP.replace("10+42", "1+42"))
    counterpart = pair_view.aligned_by_end(first.ids.tolist(), second.ids.tolist())
    payload = pair_view.pair_payload(first, second, ("a", "b"), counterpart, 0.1, 1.0, 0.5)
    a, b = payload["sides"]
    for t, c in enumerate(payload["counterpart"]):
        if c < 0:
            assert payload["differences"]["td_terms"][t] is None
            continue
        assert payload["differences"]["td_terms"][t] == b["td_terms"][t] - a["td_terms"][c]
        assert payload["differences"]["values"][t] == b["values"][t + 1] - a["values"][c + 1]
    assert payload["fork"] == 18 and payload["kind"] == "edit" and payload["tries"] is None
    assert a["values"][:19] == b["values"][:19]  # one prompt, one start: the curves part at the edit
    json.dumps(payload, allow_nan=False)


def test_without_a_group_the_value_counts_from_zero(real_run):
    first, second = edited(real_run, SLIP.replace("10+42", "20+42"))
    counterpart = pair_view.aligned_by_end(first.ids.tolist(), second.ids.tolist())
    payload = pair_view.pair_payload(first, second, ("a", "b"), counterpart, 0.1, 1.0, float("nan"))
    assert payload["baseline"] is None and [s["values"][0] for s in payload["sides"]] == [0, 0]


def test_a_branch_travels_with_its_tries(real_run):
    branch = branch_solution(real_run, 4, PROMPT, SLIP, 17, "20", k=128)
    counterpart = pair_view.aligned_at_fork(branch.solution.ids.tolist(), branch.trace.ids.tolist())
    tries = pair_view.Tried(branch.before, 17), pair_view.Tried(branch.after, 17)
    payload = pair_view.pair_payload(branch.solution, branch.trace, ("a", "b"), counterpart, 0.1, 1.0, 0.5, tries)
    before, after = payload["tries"]
    assert (before["label"], after["label"]) == ("1", "20")
    assert sum(e["count"] for e in after["endings"]) <= 128 and len(after["endings"]) <= pair_view.SHOWN_ENDINGS
    assert after["left_out"] == len(branch.after.endings) - len(after["endings"])
    json.dumps(payload, allow_nan=False)


def test_hostile_text_and_numbers_that_are_not_finite_travel_harmlessly():
    trace = hostile_trace()
    payload = pair_view.pair_payload(trace, trace, ("a", "b"), np.arange(len(trace.text)), 0.1, 1.0, 0.5)
    said = json.dumps(payload, allow_nan=False)
    assert "\\u202e" not in said and payload["sides"][0]["td_terms"][3] is None


def test_two_policies_are_compared_token_by_token_and_each_says_whom_it_blames():
    with RunStore.open(DEMOS / "vimpo-beta-0.1") as store:
        first = store.trace(100, 8, 2)
    second = first.with_(logprob=first.ref_logprob, kl=np.zeros_like(first.kl))
    payload = pair_view.policies_payload(first, second, ("A", "B"), ("a", "b"), 0.1, 1.0, 0.5)
    ours, theirs = (side["td_terms"] for side in payload["sides"])
    assert payload["differences"]["td_terms"] == [b - a for a, b in zip(ours, theirs, strict=True)]
    assert payload["kind"] == "policies" and payload["fork"] is None
    lowest, nobody = payload["details"]
    assert lowest.endswith("at #19 “1”, the first wrong token") and nobody == "blames no token alone"
    with pytest.raises(ValueError, match="same tokens"):
        pair_view.policies_payload(first, second.with_(ids=second.ids + 1), ("A", "B"), ("a", "b"), 0.1, 1.0, 0.5)
