"""Every interval of an experiment can be worked out again from its results.json, with and without kept outcomes."""

import copy

import numpy as np
import pytest

from tests.support.experiments import SMALL, carried_out, written
from vimpo_core.experiment import estimates, tables
from vimpo_core.intervals import over_seeds, paired_difference, two_way

THREE_SEEDS = SMALL.replace("[100, 101]", "[100, 101, 102]")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    plan = written(folder, THREE_SEEDS)
    assert carried_out(plan, folder / "out") == {}
    return tables.numbers(plan, folder / "out", "x")


@pytest.mark.parametrize("n", [1, 7, 8, 9, 512, 2048])
def test_outcomes_come_back_bit_for_bit(n):
    rng = np.random.default_rng(n)
    sampled, greedy = (rng.random((2, n)) < 0.7).tolist()
    kept = estimates.packed(sampled, greedy)
    assert kept["problems"] == n and len(kept["sampled"]) == 2 * -(-n // 8), "two hex digits for eight problems"
    assert estimates.unpacked(kept, "sampled").tolist() == sampled
    assert estimates.unpacked(kept, "greedy").tolist() == greedy


def test_outcomes_of_different_problems_are_refused():
    with pytest.raises(ValueError, match="same problems, got 2 and 1"):
        estimates.packed([True, False], [True])


def test_results_json_alone_gives_every_interval_again(found):
    stripped = copy.deepcopy(found)
    for arm in stripped["blocks"][0]["arms"]:
        for name in (*estimates.HOWS, *estimates.LIMITS, "difference"):
            del arm[name]
    assert estimates.with_intervals(stripped) == found
    assert estimates.over(found) == "seeds and problems"


def test_accuracies_are_over_seeds_and_problems_and_differences_paired(found):
    grpo, vimpo = found["blocks"][0]["arms"]
    first, second = (
        np.array([estimates.unpacked(run["outcomes"], "greedy") for run in arm["runs"]]) for arm in (vimpo, grpo)
    )
    assert first.shape == (3, 16) and first.mean(axis=1).tolist() == [run["greedy"] for run in vimpo["runs"]]
    expected = two_way(first, 0, 1)
    assert (vimpo["greedy"]["low"], vimpo["greedy"]["high"]) == (expected.low, expected.high)
    gap = paired_difference(first, second)
    assert vimpo["difference"]["greedy"] == vars(gap)


def test_without_kept_outcomes_differences_are_over_seeds_alone_and_accuracies_have_no_interval(found):
    old = copy.deepcopy(found)
    for arm in old["blocks"][0]["arms"]:
        for run in arm["runs"]:
            del run["outcomes"]
    again = estimates.with_intervals(old)
    assert estimates.over(again) == "seeds"
    grpo, vimpo = again["blocks"][0]["arms"]
    assert vimpo["sampled"]["low"] is None and vimpo["sampled"]["high"] is None
    assert vimpo["sampled"]["mean"] == pytest.approx(np.mean([run["sampled"] for run in vimpo["runs"]]))
    gaps = [a["sampled"] - b["sampled"] for a, b in zip(vimpo["runs"], grpo["runs"], strict=True)]
    expected = over_seeds(gaps, -1, 1)
    assert vimpo["difference"]["sampled"] == {**vars(expected), "ahead": sum(gap > 0 for gap in gaps)}


def test_a_difference_pairs_the_seeds_that_both_have(found):
    grpo, vimpo = (arm["runs"] for arm in found["blocks"][0]["arms"])
    one = estimates.difference(vimpo, grpo[1:], "sampled")
    assert one.seeds == 2 and one.low is None, "two seeds in common are too few for an interval"
    assert one.mean == pytest.approx(
        np.mean([a["sampled"] - b["sampled"] for a, b in zip(vimpo[1:], grpo[1:], strict=True)])
    )
    assert estimates.difference(vimpo, [], "sampled") is None
