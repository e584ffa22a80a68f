"""What if?: what is forced is forced, tries are those of the truth, counts are verdicts, lineage and exports hold."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from tests.support.waiting import PATIENCE
from vimpo_core.intervals import phi_of_pairs
from vimpo_core.measure import branches
from vimpo_core.measure.branches import Ending, Judged, Tries
from vimpo_core.service.scoring import branch_solution, score_solution, solution_truth
from vimpo_core.solutions import lenses
from vimpo_core.tasks.chain import ChainTask, first_wrong, problem_from
from vimpo_core.types import StopReason

PROMPT, SLIP = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."
SLIPPED = 17


@pytest.fixture(scope="module")
def branch(real_run):
    return branch_solution(real_run, 4, PROMPT, SLIP, SLIPPED, "2", k=32, seed=3)


def same(a, b):
    return (
        a.id == b.id
        and a.before.endings == b.before.endings
        and a.after.endings == b.after.endings
        and np.array_equal(a.after.outcomes, b.after.outcomes)
        and np.array_equal(a.trace.logprob, b.trace.logprob)
    )


# ---- trying


def test_the_same_request_is_the_same_branch_and_another_seed_another_one(real_run, branch):
    assert same(branch, branch_solution(real_run, 4, PROMPT, SLIP, SLIPPED, "2", k=32, seed=3))
    other = branch_solution(real_run, 4, PROMPT, SLIP, SLIPPED, "2", k=32, seed=4)
    assert other.id != branch.id and other.after.endings != branch.after.endings


def test_more_tries_keep_the_first_ones(real_run, branch):
    more = branch_solution(real_run, 4, PROMPT, SLIP, SLIPPED, "2", k=64, seed=3)
    np.testing.assert_array_equal(more.after.outcomes[:32], branch.after.outcomes)


def test_every_ending_begins_with_the_prefix_and_what_was_forced(branch):
    own = tuple(branch.solution.ids.tolist())
    assert branch.before.start == own[: SLIPPED + 1]
    assert branch.after.start == (*own[:SLIPPED], *branch.forced) and branch.forced_text == ("2",)
    for tries in (branch.before, branch.after):
        assert all(e.ids[: len(tries.start)] == tries.start for e in tries.endings)
    assert all("".join(e.judged.text).startswith("9+2+9+42;11+9+42;2") for e in branch.after.endings)


def test_counts_are_the_verifiers(branch):
    problem, task = problem_from(PROMPT), ChainTask(5)
    for tries in (branch.before, branch.after):
        assert sum(e.count for e in tries.endings) == tries.n == 32
        assert [e.count for e in tries.endings] == sorted((e.count for e in tries.endings), reverse=True)
        assert len({e.ids for e in tries.endings}) == len(tries.endings)
        right = 0
        for ending in tries.endings:
            text = "".join(ending.judged.text)
            verdict = task.verify(problem, text, StopReason.EOS if text.endswith(".") else StopReason.LENGTH)
            assert (ending.judged.reward, ending.judged.status) == (verdict.reward, verdict.status)
            assert ending.judged.first_wrong == first_wrong(PROMPT, text)
            right += ending.count * int(verdict.reward)
        assert tries.successes == right


def test_the_tries_are_the_rollouts_of_the_value_curve_at_the_same_prefix(real_run, branch):
    """The same uniforms: equal but for the last float32 digit of a probability, which may turn a draw once in
    thousands.
    """
    before = solution_truth(real_run, 4, PROMPT, SLIP, 32, seed=3).policy
    after = solution_truth(real_run, 4, PROMPT, SLIP.replace("10+42", "20+42"), 32, seed=3).policy
    for tries, values in ((branch.before, before), (branch.after, after)):
        low, high = (bound[SLIPPED + 1] for bound in values.bounds())
        assert low <= tries.rate()[0] <= high
        assert (tries.outcomes != values.outcomes[SLIPPED + 1]).sum() <= 1


def test_both_solutions_are_scored_as_score_does(real_run, branch):
    (own,) = score_solution(real_run, 4, PROMPT, SLIP)
    np.testing.assert_array_equal(branch.solution.logprob, own.logprob)
    (most,) = score_solution(real_run, 4, PROMPT, branch.trace.completion_text)
    np.testing.assert_array_equal(branch.trace.logprob, most.logprob)
    assert branch.trace.ids.tolist() == list(branch.after.endings[0].ids)


def test_tokens_say_the_same_as_text(real_run, branch):
    ids = tuple(branch.solution.ids.tolist())
    assert same(branch, branch_solution(real_run, 4, PROMPT, ids, SLIPPED, branch.forced, k=32, seed=3))


def test_several_tokens_can_be_forced(real_run):
    found = branch_solution(real_run, 4, PROMPT, SLIP, SLIPPED, "20+42;", k=8)
    assert len(found.forced) == 6
    assert all("".join(e.judged.text).startswith("9+2+9+42;11+9+42;20+42;") for e in found.after.endings)


def test_a_forced_end_is_exact(real_run):
    found = branch_solution(real_run, 4, PROMPT, SLIP, SLIPPED, ".", k=8)
    assert found.after.is_exact and found.after.rate() == (0.0, 0.0, 0.0)
    assert [e.count for e in found.after.endings] == [8]


def test_a_solution_that_never_ends_can_be_branched(real_run):
    found = branch_solution(real_run, 4, PROMPT, "9+2+9+42;11+9", 10, "0", k=8)
    assert found.solution.finish_reason == StopReason.LENGTH
    endless = branch_solution(real_run, 4, PROMPT, "9" * 60, 3, "8", k=8)
    assert all(len(e.ids) <= ChainTask(5).max_new_tokens for e in endless.after.endings)


def test_the_implied_difference_is_beta_times_that_of_the_log_ratios(branch):
    ratios = [float(t.logprob[SLIPPED]) - float(t.ref_logprob[SLIPPED]) for t in (branch.solution, branch.trace)]
    assert branches.implied_difference(branch, 0.3) == pytest.approx(0.3 * (ratios[1] - ratios[0]), abs=1e-5)


@pytest.mark.parametrize(
    ("solution", "position", "forced", "k", "said"),
    [
        (SLIP, 25, "2", 8, r"^token #25 is the end of the solution: .* Select an earlier token\.$"),
        ("62.5;", 3, "2", 8, r"^the solution already ended at token #2\. Select"),
        (SLIP, 26, "2", 8, r"^there is no token #26: the solution has #0 to #25\."),
        (SLIP, -1, "2", 8, r"^there is no token #-1"),
        (SLIP, 17, "2x☃", 8, r"^the text to force has 'x', '☃', which is outside the model's vocabulary"),
        (SLIP, 17, "", 8, r"^there is nothing to force"),
        (SLIP, 17, "1", 8, r"^that is what the solution has at token #17 already"),
        (SLIP, 17, "2.2", 8, r"^what is forced goes on after the end mark"),
        (SLIP, 17, "2" * 14, 8, r"^the policy writes at most 30 tokens, and this would reach token #30"),
        ("9" * 60, 40, "2", 8, r"^the policy writes at most 30 tokens"),
        (SLIP, 17, "2", 0, r"^the number of tries must be within 1\.\.256, got 0"),
        (SLIP, 17, "2", 10_000, r"^the number of tries must be within"),
        ("", 0, "2", 8, r"^the solution is empty"),
        ("9?", 0, "2", 8, r"^the solution has '\?', which is outside the model's vocabulary"),
    ],
)
def test_bad_input_is_one_sentence(real_run, solution, position, forced, k, said):
    with pytest.raises(ValueError, match=said):
        branch_solution(real_run, 4, PROMPT, solution, position, forced, k=k)


def test_a_run_without_the_snapshot_and_a_damaged_one_say_so(real_run, tmp_path):
    copied = shutil.copytree(real_run, tmp_path / "vimpo-1")
    with closing(sqlite3.connect(copied / "run.db")) as connection, connection:
        connection.execute("UPDATE snapshots SET blob = zeroblob(length(blob)) WHERE step = 2")
        connection.execute("DELETE FROM snapshots WHERE step = 4")
    with pytest.raises(ValueError, match="the adapter of step 2 in run vimpo-1 does not match its checksum"):
        branch_solution(copied, 2, PROMPT, SLIP, SLIPPED, "2")
    with pytest.raises(ValueError, match="step 4"):
        branch_solution(copied, 4, PROMPT, SLIP, SLIPPED, "2")
    assert branch_solution(copied, 0, PROMPT, SLIP, SLIPPED, "2", k=8).k == 8


def test_the_child_process_gives_the_same_branch(real_run, branch, scoring_process):
    request = (real_run, 4, PROMPT, SLIP, SLIPPED, "2", 32, 3)
    assert same(branch, scoring_process.ask(branch_solution, *request, timeout=PATIENCE).result(PATIENCE))
    with pytest.raises(ValueError, match="outside the model's vocabulary"):
        scoring_process.ask(branch_solution, real_run, 4, PROMPT, SLIP, SLIPPED, "é", timeout=PATIENCE).result(PATIENCE)


# ---- alternatives and differences


def test_alternatives_are_the_most_probable_others(branch):
    found = branches.alternatives(branch.solution, SLIPPED)
    assert int(branch.solution.ids[SLIPPED]) not in {a.id for a in found}
    assert len({a.id for a in found}) == len(found) and "2" in {a.text for a in found}
    assert [a.logprob for a in found] == sorted((a.logprob for a in found), reverse=True)
    assert branches.alternatives(branch.solution.with_(topk=None), SLIPPED) == []


def tries_with(outcomes, is_exact=False):
    outcomes = np.array(outcomes, dtype=bool)
    judged = Judged(("a",), 1.0, "correct", "1", None)
    return Tries((1,), outcomes, is_exact, (Ending((1,), len(outcomes), judged),))


def test_paired_tries_give_a_narrower_interval_where_they_agree():
    chance = np.random.default_rng(0)
    first = chance.random(64) < 0.5
    second = first | (chance.random(64) < 0.3)
    paired = branches.difference(tries_with(first), tries_with(second))
    unpaired = branches.difference(tries_with(first), tries_with(second), same_seed=False)
    assert phi_of_pairs(first, second) > 0.2
    assert paired[0] == unpaired[0] == pytest.approx(second.mean() - first.mean())
    assert paired[2] - paired[1] < unpaired[2] - unpaired[1]
    assert paired[1] <= paired[0] <= paired[2]


def test_tries_of_different_numbers_can_be_compared():
    rate, low, high = branches.difference(tries_with([True] * 8), tries_with([False] * 32))
    assert rate == -1 and low <= -0.9 and high < -0.5


def test_two_exact_rates_differ_exactly():
    assert branches.difference(tries_with([0] * 8, True), tries_with([1] * 8, True)) == (1, 1, 1)


# ---- the tree


@pytest.fixture(scope="module")
def family(real_run, branch):
    """A branch, one that grew from it, one that grew from that, and a second one of the solution."""
    child = branch_solution(real_run, 4, PROMPT, tuple(branch.trace.ids.tolist()), 23, "9", k=8, parent=branch.id)
    grandchild = branch_solution(real_run, 4, PROMPT, tuple(child.trace.ids.tolist()), 0, "8", k=8, parent=child.id)
    second = branch_solution(real_run, 4, PROMPT, SLIP, 0, "8", k=8)
    return branch, child, grandchild, second


def test_lineage_is_kept_listed_and_removed_as_a_whole(family):
    tree = ()
    for one in family:
        tree = branches.added(tree, one)
    first, child, grandchild, second = family
    assert [(d, b.id) for d, b in branches.outline(tree)] == [
        (0, first.id),
        (1, child.id),
        (2, grandchild.id),
        (0, second.id),
    ]
    np.testing.assert_array_equal(child.solution.ids, first.trace.ids)
    assert branches.removed(tree, child.id) == (first, second)
    assert branches.removed(tree, first.id) == (second,)
    assert branches.added(tree, second) is tree
    with pytest.raises(ValueError, match="is gone"):
        branches.added((second,), child)


def test_the_id_holds_the_lineage(branch):
    assert replace(branch, parent="another").id != branch.id == replace(branch, name="mine").id


def test_a_name_replaces_the_made_one_and_hides_nothing(family):
    tree = branches.renamed(family, family[0].id, "  the \u202e right one  ")
    assert branches.title(tree[0]) == "the ⟨RLO⟩ right one" and branches.title(tree[1]).startswith("#23 ")
    assert branches.title(branches.renamed(tree, tree[0].id, " ")[0]) == "#17 1 → 2"
    assert len(branches.renamed(tree, tree[0].id, "x" * 1000)[0].name) == branches.LONGEST_NAME


def test_a_full_tree_says_so(branch):
    tree = tuple(replace(branch, seed=seed) for seed in range(branches.MOST_BRANCHES))
    with pytest.raises(ValueError, match="a tree holds 40 branches"):
        branches.added(tree, replace(branch, seed=-1))


# ---- export


def test_an_exported_tree_makes_every_branch_again(real_run, family):
    exported = json.loads(
        branches.as_json(branches.export(family, {"run_id": "vimpo-1"}, family[0].solution, 0.1, 1.0, 0.25))
    )
    assert (exported["schema"], exported["schema_version"]) == ("vimpo-lab-branches", 1)
    assert exported["solution"]["text"] == SLIP and exported["baseline"] == 0.25
    ids = [b["id"] for b in exported["branches"]]
    for position, (stated, one) in enumerate(zip(exported["branches"], family, strict=True)):
        assert stated["parent"] in ("", *ids[:position])
        settings = dict(stated["settings"])
        for name in ("solution_ids", "forced_ids"):
            settings[name.removesuffix("_ids")] = tuple(settings.pop(name))
        again = branch_solution(real_run, **settings, parent=stated["parent"])
        assert again.id == stated["id"] == one.id
        assert [(e.count, "".join(e.judged.text)) for e in again.after.endings] == [
            (e["count"], e["text"]) for e in stated["after"]["endings"]
        ]
        assert stated["after"]["successes"] == one.after.successes
        last = 0.25 + lenses.credit_of(one.trace, 0.1).sum()
        assert stated["most_frequent"]["values"][-1] == pytest.approx(last, rel=1e-5)


def test_numbers_that_are_not_finite_are_null(branch):
    broken = branch.trace.logprob.copy()
    broken[0] = -np.inf
    one = replace(branch, trace=branch.trace.with_(logprob=broken))
    exported = json.loads(branches.as_json(branches.export((one,), {}, branch.solution, 0.1, 1.0, float("nan"))))
    assert exported["baseline"] is None and exported["branches"][0]["most_frequent"]["values"] is None
    assert exported["branches"][0]["most_frequent"]["logprob"][0] is None


def test_the_largest_tree_stays_small(branch):
    endings = tuple(Ending((*range(30), i), 1, Judged(("9",) * 45, 0.0, "incorrect", "99", 3)) for i in range(256))
    many = replace(branch.after, endings=endings)
    tree = tuple(replace(branch, seed=s, before=many, after=many) for s in range(branches.MOST_BRANCHES))
    exported = branches.export(tree, {}, branch.solution, 0.1, 1.0, 0.5)
    assert len(branches.as_json(exported)) < 3_000_000
    assert exported["branches"][0]["after"]["endings_left_out"] == 256 - branches.EXPORTED_ENDINGS
