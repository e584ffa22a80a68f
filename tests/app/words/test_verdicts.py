"""Sentences about an experiment, on results made by hand: a clear one, an open one, one seed, missing, diverged,
damaged.
"""

import dataclasses
import json
import re

import numpy as np
import pytest

from app.words import verdicts
from vimpo_core.experiment import estimates, plan, tables
from vimpo_core.intervals import paired_difference
from vimpo_core.paths import ROOT

FIVE = (0.7, 0.72, 0.74, 0.7, 0.74)
OPEN = (-0.024, 0.016, -0.004, -0.024, 0.016)
AHEAD = (0.03, 0.07, 0.05, 0.03, 0.07)
BEHIND = (-0.03, -0.07, -0.05, -0.03, -0.07)
"""VIMPO minus GRPO in each of five seeds: means -0.4 and +-5 points, standard deviation 2 points, so the t interval (4
degrees of freedom, 2.776) reaches 2.776 x 2 / sqrt(5) = 2.5 points to either side."""


def arm(name, shares, greedy=None, diverged=(), missing=(), at_edge=(), range_size=12):
    """An arm as `experiment.tables` writes it, without outcomes. shares, greedy: accuracies of its runs."""
    seeds = [seed for seed in range(10, 10 + len(shares) + len(missing)) if seed not in missing]
    return {
        "name": name,
        "algorithm": name.lower(),
        "missing": list(missing),
        "at_edge": list(at_edge),
        "trials": [{}] * 6,
        "range_size": range_size,
        "chosen": {"learning_rate": 0.002},
        "runs": [
            {
                "seed": seed,
                "sampled": share,
                "greedy": likeliest,
                "state": "diverged" if seed in diverged else "finished",
                "cpu_seconds": 20.0,
                "tokens_sampled": 1e5,
                "kl": 0.04,
                "auc": None,
                "pearson": None,
            }
            for seed, share, likeliest in zip(seeds, shares, greedy or shares, strict=True)
        ],
    }


def write(folder, *arms, noise=0.0, base=None, name=""):
    settings = {"reward_noise": noise} if noise else {}
    found = {
        "base": base or {},
        "steps": 100,
        "test_prompts": 512,
        "compare_to": "GRPO",
        "blocks": [{"settings": settings, "arms": list(arms)}],
    }
    path = folder / (name or verdicts.SOURCES[noise]) / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return folder


def pair(gaps, shares=FIVE, greedy=None, **more):
    """GRPO, and VIMPO ahead of it by `gaps` in sampled and by `greedy` in greedy accuracy, seed by seed."""
    greedy = [share + gap for share, gap in zip(shares, greedy or gaps, strict=True)]
    return arm("GRPO", shares), arm("VIMPO", [s + g for s, g in zip(shares, gaps, strict=True)], greedy, **more)


@pytest.mark.parametrize(
    ("gap", "says", "who"),
    [
        (
            OPEN,
            "VIMPO minus GRPO, sampled: −0.4 points, 95 % −2.9 to +2.1, ahead in 2 of 5 seeds: no difference that 5 "
            "seeds can show.",
            "open",
        ),
        (
            AHEAD,
            "VIMPO minus GRPO, sampled: +5.0 points, 95 % +2.5 to +7.5, ahead in 5 of 5 seeds: VIMPO is better here.",
            "first",
        ),
        (
            BEHIND,
            "VIMPO minus GRPO, sampled: −5.0 points, 95 % −7.5 to −2.5, ahead in 0 of 5 seeds: GRPO is better here.",
            "second",
        ),
    ],
)
def test_the_difference_is_judged_by_its_interval(tmp_path, gap, says, who):
    folder = write(tmp_path, *pair(gap))
    assert verdicts.difference(verdicts.match(0.0, folder)) == says
    assert verdicts.who_leads(0.0, folder) == who


def test_greedy_accuracy_is_said_beside_sampled_and_does_not_decide(tmp_path):
    folder = write(tmp_path, *pair(OPEN, greedy=AHEAD))
    said = "VIMPO minus GRPO, greedy: +5.0 points, 95 % +2.5 to +7.5, ahead in 5 of 5 seeds: VIMPO is better here."
    assert verdicts.difference(verdicts.match(0.0, folder), verdicts.GREEDY) == said
    line = verdicts.short_answer(folder)[0]
    assert "sampled: −0.4 points" in line and line.endswith(said)
    assert verdicts.who_leads(0.0, folder) == "open"


def test_both_measures_stand_in_the_short_answer_as_two_sentences(tmp_path):
    folder = write(tmp_path, *pair(AHEAD, greedy=BEHIND))
    found = verdicts.match(0.0, folder)
    both = f"{verdicts.difference(found)} {verdicts.difference(found, verdicts.GREEDY)}"
    assert verdicts.short_answer(folder)[0] == f"On clean rewards, {both}"


@pytest.mark.parametrize(
    ("gaps", "says"),
    [
        (AHEAD, "+5.0 points, 95 % +2.5 to +7.5: better"),
        (BEHIND, "−5.0 points, 95 % −7.5 to −2.5: worse"),
        (OPEN, "−0.4 points, 95 % −2.9 to +2.1: no difference that 5 seeds can show"),
        (AHEAD[:2], "VIMPO: not measured yet."),  # two seeds have no interval
    ],
)
def test_one_switch_is_judged_by_the_interval_of_its_difference_to_the_defaults(tmp_path, gaps, says):
    assert verdicts.switch("VIMPO", tmp_path) == "VIMPO: not measured yet."
    folder = write(tmp_path, *pair(gaps, FIVE[: len(gaps)]), name="switches")
    assert verdicts.switch("VIMPO", folder) == says
    assert verdicts.switch("GRPO", folder) == "GRPO: not measured yet."  # nothing is set beside itself


def test_the_price_says_how_much_of_its_range_tuning_covered(tmp_path):
    shares = (0.7, 0.7)
    vimpo = arm("VIMPO", shares, range_size=72)
    assert verdicts.price(verdicts.match(0.0, write(tmp_path, arm("GRPO", shares), vimpo))) == (
        "Tuning tried 6 of 12 settings of GRPO and 6 of 72 settings of VIMPO: as many trials cover less of the rule "
        "with more settings. Chosen: GRPO learning_rate 0.002; VIMPO learning_rate 0.002. What another tuning would "
        "have chosen is in no interval. A run took 20 CPU seconds with GRPO and 20 CPU seconds with VIMPO."
    )
    assert "cover less" not in verdicts.price(verdicts.match(0.0, write(tmp_path, *pair(OPEN))))
    untuned = vimpo | {"range_size": 0, "chosen": {}, "trials": []}
    assert verdicts.price(verdicts.match(0.0, write(tmp_path, arm("GRPO", shares), untuned))) == ""


def test_what_is_not_measured_is_said_for_each_share(tmp_path):
    assert verdicts.match(0.25, tmp_path) is None and verdicts.who_leads(0.25, tmp_path) == "open"
    write(tmp_path, *pair(OPEN), noise=0.25)
    clean, quarter, most = verdicts.short_answer(tmp_path)
    assert clean == "On clean rewards: not measured yet."
    assert quarter.startswith("With 25 % of the rewards flipped, VIMPO minus GRPO, sampled: −0.4 points")
    assert most == "With 40 % of the rewards flipped: not measured yet."


def test_a_result_that_was_asked_for_again_never_stands_alone(tmp_path):
    write(tmp_path, *pair(AHEAD), noise=0.4)
    write(tmp_path, *pair(OPEN), noise=0.4, name="noise_again")
    said = verdicts.short_answer(tmp_path)[-1]
    assert "VIMPO is better here. Asked again, with more trials and other seeds, VIMPO minus GRPO" in said
    assert said.endswith("no difference that 5 seeds can show.") and "whole group" not in said
    write(tmp_path, *pair(BEHIND), noise=0.4, name="group_noise")
    words = [words for words, _ in verdicts.matches_again(0.4, tmp_path)]
    assert len(words) == 2 and "whole group flipped together" in words[1]
    assert verdicts.short_answer(tmp_path)[-1].endswith("GRPO is better here.")


def test_intervals_are_worked_out_from_the_runs_whatever_the_file_says(tmp_path):
    grpo, vimpo = pair(OPEN)
    vimpo["difference"] = {"sampled": {"mean": 0.5, "low": 0.4, "high": 0.6, "seeds": 5, "ahead": 5}}
    found = verdicts.match(0.0, write(tmp_path, grpo, vimpo))
    assert found.gap.mean == pytest.approx(-0.004) and found.gap.low == pytest.approx(-0.004 - 2.776445 * 0.02 / 5**0.5)
    assert "to which other problems would add, and accuracies have none" in verdicts.warnings(found)[0]


def test_kept_outcomes_put_the_problems_into_the_interval(tmp_path):
    rng = np.random.default_rng(0)
    outcomes = rng.random((2, 5, 64)) < np.array([0.7, 0.75])[:, None, None]
    arms = pair(OPEN)
    for side, rows in zip(arms, outcomes, strict=True):
        for run, row in zip(side["runs"], rows, strict=True):
            run["outcomes"] = estimates.packed(row, row)
    found = verdicts.match(0.0, write(tmp_path, *arms))
    expected = paired_difference(outcomes[1], outcomes[0])
    assert (found.gap.low, found.gap.high) == (expected.low, expected.high)
    assert found.over == "seeds and problems" and verdicts.warnings(found) == []


def test_a_missing_arm_counts_as_not_measured(tmp_path):
    unfinished = arm("VIMPO", [])
    assert verdicts.match(0.0, write(tmp_path, arm("GRPO", [0.7]), unfinished)) is None
    assert verdicts.match(0.0, write(tmp_path, arm("GRPO", [0.7, 0.71]))) is None


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed"), (2, "2 seeds")])
def test_fewer_than_three_seeds_never_decide(tmp_path, seeds, words):
    found = verdicts.match(0.0, write(tmp_path, *pair(AHEAD[:seeds], shares=(0.7,) * seeds)))
    assert f"on {words}, which cannot show a difference" in verdicts.difference(found)
    assert verdicts.who_leads(0.0, tmp_path) == "open"
    assert found.first.low is None and found.gap.low is None


def test_without_a_shared_seed_there_is_no_difference(tmp_path):
    vimpo = arm("VIMPO", [0.8, 0.8], missing=(10,))
    found = verdicts.match(0.0, write(tmp_path, arm("GRPO", [0.7]), vimpo))
    assert found.gap is None and "no seed has a result of both" in verdicts.difference(found)


def test_diverged_and_missing_runs_and_edges_are_warned_of(tmp_path):
    grpo = arm("GRPO", [0.7, 0.7, 0.7], missing=(12,))
    vimpo = arm("VIMPO", [0.7, 0.1, 0.2], diverged=(11, 12), at_edge=("beta", "actor_coef"))
    said = " ".join(verdicts.warnings(verdicts.match(0.0, write(tmp_path, grpo, vimpo))))
    assert "GRPO has no result yet for seed 12." in said
    assert "VIMPO diverged with seeds 11, 12: they count as at the last saved step." in said
    assert "Tuning chose beta, c_A of VIMPO at the edge of their range" in said
    assert len(verdicts.warnings(verdicts.match(0.0, write(tmp_path, *pair(OPEN))))) == 1, "no outcomes were kept"


@pytest.mark.parametrize(("noisy", "who"), [(BEHIND, "first"), (OPEN, "open"), (AHEAD, "second")])
def test_who_loses_more_compares_the_two_differences(tmp_path, noisy, who):
    write(tmp_path, *pair(OPEN))
    write(tmp_path, *pair(noisy, shares=(0.5,) * 5), noise=0.25)
    clean, flipped = (verdicts.match(noise, tmp_path) for noise in (0.0, 0.25))
    found, said = verdicts.loss_by_noise(clean, flipped)
    assert found == who
    assert "With 25 % flipped GRPO loses 22.0 points" in said
    more = (sum(OPEN) - sum(noisy)) / 5
    assert f"{verdicts.points(more)} points" in said
    assert ("cannot tell" in said) == (who == "open")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"base": {}, "blocks": [{}]}'])
def test_damaged_results_get_one_sentence(tmp_path, text):
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"family/results\.json is .*Write the report again"):
        verdicts.match(0.0, tmp_path)


def test_new_results_are_read_again(tmp_path):
    write(tmp_path, *pair(OPEN))
    assert verdicts.who_leads(0.0, tmp_path) == "open"
    write(tmp_path, *pair(AHEAD), base={"operands": 5})
    assert verdicts.who_leads(0.0, tmp_path) == "first"


def test_every_share_is_declared_in_the_experiment_that_it_is_read_from():
    for noise, name in verdicts.SOURCES.items():
        declared = plan.read(ROOT / "experiments" / f"{name}.toml")
        assert noise in [block.get("reward_noise", declared.base.get("reward_noise", 0.0)) for block in declared.blocks]
        assert set(verdicts.PAIR) <= {arm.name for arm in declared.arms} and declared.compare_to == verdicts.PAIR[1]
    assert verdicts.HOW in tables.HOWS


# ---- tables of cases, on both sides of every threshold


def side(name, mean=0.7, **changes):
    made = verdicts.Side(
        name,
        name.lower(),
        mean,
        None,
        None,
        ((10, mean, False), (11, mean, False)),
        (),
        (),
        6,
        12,
        (("beta", 0.1),),
        20.0,
    )
    return dataclasses.replace(made, **changes)


def matched(gap=None, first=None, second=None, noise=0.0, over="seeds and problems", greedy=None):
    first, second = first or side("VIMPO"), second or side("GRPO")
    return verdicts.Match(noise, first, second, gap, greedy, 100, 512, over)


def gap_of(mean, low, high, seeds=5, ahead=3):
    return verdicts.Gap(mean, low, high, seeds, ahead)


@pytest.mark.parametrize(
    ("low", "high", "leader", "words"),
    [
        (0.001, 0.2, "first", "VIMPO is better here."),
        (0.0, 0.2, "open", "no difference that 5 seeds can show."),
        (-0.2, 0.2, "open", "no difference that 5 seeds can show."),
        (-0.2, 0.0, "open", "no difference that 5 seeds can show."),
        (-0.2, -0.001, "second", "GRPO is better here."),
        (None, None, "open", "cannot show a difference: other seeds may come out otherwise."),
        (None, 0.2, "open", "cannot show a difference: other seeds may come out otherwise."),
        (0.1, None, "open", "cannot show a difference: other seeds may come out otherwise."),
    ],
)
def test_an_arm_leads_only_where_the_interval_leaves_0_out(low, high, leader, words):
    gap = gap_of(0.01, low, high)
    assert gap.leader == leader
    assert verdicts.difference(matched(gap)).endswith(words)
    assert verdicts.difference(matched(gap, greedy=gap_of(0.5, 0.4, 0.6))).endswith(words)
    assert verdicts.difference(matched(gap_of(0.5, 0.4, 0.6), greedy=gap), verdicts.GREEDY).endswith(words)


@pytest.mark.parametrize(("seeds", "words"), [(1, "on one seed, which"), (2, "on 2 seeds, which")])
def test_the_number_of_seeds_is_said(seeds, words):
    assert words in verdicts.difference(matched(gap_of(0.1, None, None, seeds)))


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0"),
        (0.0004, "0.0"),
        (-0.0004, "0.0"),
        (0.0006, "+0.1"),
        (-0.0006, "−0.1"),
        (0.013, "+1.3"),
        (-0.4, "−40.0"),
        (1.0, "+100.0"),
    ],
)
def test_points_have_a_sign_unless_they_round_to_0(share, text):
    assert verdicts.points(share) == text


@pytest.mark.parametrize(
    ("vimpo", "grpo", "is_uneven"),
    [
        ({}, {}, False),
        # 6 of 12 and 12 of 24 are the same share of the settings.
        ({"trials": 12, "range_size": 24}, {}, False),
        ({"range_size": 24}, {}, True),
        ({}, {"trials": 5}, True),
    ],
)
def test_tuning_is_uneven_where_it_tried_another_share_of_the_settings(vimpo, grpo, is_uneven):
    said = verdicts.price(matched(first=side("VIMPO", **vimpo), second=side("GRPO", **grpo)))
    assert ("cover less" in said) is is_uneven and "Chosen: GRPO beta 0.1; VIMPO beta 0.1." in said


@pytest.mark.parametrize("untuned", [{"range_size": 0}, {"chosen": ()}])
def test_there_is_no_price_where_an_arm_was_not_tuned(untuned):
    assert verdicts.price(matched(first=side("VIMPO", **untuned))) == ""
    assert verdicts.price(matched(second=side("GRPO", **untuned))) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"missing": (12,)}, ["GRPO has no result yet for seed 12."]),
        ({"missing": (12, 13)}, ["GRPO has no result yet for seeds 12, 13."]),
        (
            {"seeds": ((10, 0.7, True), (11, 0.7, False))},
            ["GRPO diverged with seed 10: it counts as at the last saved step."],
        ),
        (
            {"seeds": ((10, 0.7, True), (11, 0.7, True))},
            ["GRPO diverged with seeds 10, 11: they count as at the last saved step."],
        ),
        ({"at_edge": ("beta",)}, ["Tuning chose beta of GRPO at the edge of its range: the best may lie beyond."]),
        (
            {"at_edge": ("beta", "clip")},
            ["Tuning chose beta, clip of GRPO at the edge of their range: the best may lie beyond."],
        ),
    ],
)
def test_warnings_count_one_and_many(changes, said):
    assert verdicts.warnings(matched(second=side("GRPO", **changes))) == said


@pytest.mark.parametrize(("over", "count"), [("seeds", 1), ("seeds and problems", 0)])
def test_an_interval_over_seeds_alone_is_warned_of(over, count):
    assert len(verdicts.warnings(matched(over=over))) == count


@pytest.mark.parametrize(
    ("clean", "noisy", "who", "says"),
    [
        # Lower half: 3 points of the clean gap down with 4 of the noisy one up are 5; upper half: 5 up with 12 down are
        # 13.
        ((0.2, 0.17, 0.25), (0.1, -0.02, 0.14), "first", "+10.0 points, 95 % +5.0 to +23.0: VIMPO loses more."),
        (
            (0.1, 0.07, 0.15),
            (0.1, -0.02, 0.14),
            "open",
            "0.0 points, 95 % −5.0 to +13.0: these seeds cannot tell which of them loses more.",
        ),
        ((-0.1, -0.13, -0.05), (0.1, -0.02, 0.14), "second", "−20.0 points, 95 % −25.0 to −7.0: GRPO loses more."),
        # An interval that ends at 0 holds it.
        (
            (0.25, 0.25, 0.25),
            (0.25, 0.25, 0.25),
            "open",
            "0.0 points, 95 % 0.0 to 0.0: these seeds cannot tell which of them loses more.",
        ),
        ((0.25, None, 0.5), (0.25, 0.25, 0.25), "open", "; so few seeds cannot tell which of them loses more."),
        ((0.25, 0.0, None), (0.25, 0.25, 0.25), "open", "; so few seeds cannot tell which of them loses more."),
        ((0.25, 0.25, 0.25), (0.25, None, 0.5), "open", "; so few seeds cannot tell which of them loses more."),
        ((0.25, 0.25, 0.25), (0.25, 0.0, None), "open", "; so few seeds cannot tell which of them loses more."),
        (None, (0.25, 0.25, 0.25), "open", "; so few seeds cannot tell which of them loses more."),
        ((0.25, 0.25, 0.25), None, "open", "; so few seeds cannot tell which of them loses more."),
    ],
)
def test_half_widths_of_two_differences_add_as_squares(clean, noisy, who, says):
    before = matched(clean and gap_of(*clean), side("VIMPO", 0.9), side("GRPO", 0.7))
    after = matched(noisy and gap_of(*noisy), side("VIMPO", 0.6), side("GRPO", 0.5), noise=0.75)
    found, said = verdicts.loss_by_noise(before, after)
    assert found == who and said.endswith(says)
    assert re.match(r"With 75 % flipped GRPO loses 20\.0 points and VIMPO 30\.0[.;] ", said)


def test_a_share_that_no_experiment_measures_has_no_match_whatever_lies_in_the_folder(tmp_path):
    folder = write(tmp_path, *pair(AHEAD))
    (folder / "results.json").write_text((folder / "family" / "results.json").read_text())
    assert verdicts.match(0.1, folder) is None and verdicts.matches_again(0.1, folder) == []


def test_another_experiment_is_read_where_it_is_named(tmp_path):
    write(tmp_path, *pair(OPEN))
    write(tmp_path, *pair(AHEAD), name="clean")
    assert verdicts.match(0.0, tmp_path).gap.leader == "open"
    assert verdicts.match(0.0, tmp_path, "clean").gap.leader == "first"


@pytest.mark.parametrize(
    ("noise", "names"),
    [
        (0.0, ["clean", "real_tuned", "real_wider"]),
        (0.25, ["group_noise", "real_tuned"]),
        (0.4, ["noise_again", "group_noise"]),
    ],
)
def test_each_share_has_the_experiments_that_asked_again(tmp_path, noise, names):
    for name in ("clean", "noise_again", "group_noise", "real_tuned", "real_wider"):
        write(tmp_path, *pair(AHEAD), noise=noise, name=name)
    assert [source for source, _ in verdicts.AGAIN[noise]] == names
    assert len(verdicts.matches_again(noise, tmp_path)) == len(names)


@pytest.mark.parametrize("base", [{"reward_noise": 0.4}, {"reward_noise": 0.4, "operands": 5}])
def test_the_share_is_the_one_of_the_file_where_a_block_does_not_say_it(tmp_path, base):
    write(tmp_path, *pair(AHEAD), base=base)
    assert verdicts.match(0.0, tmp_path) is None
    assert verdicts.match(0.4, tmp_path, "family").gap.leader == "first"


def test_runs_stand_in_the_order_of_their_seeds_with_what_became_of_them(tmp_path):
    vimpo = arm("VIMPO", (0.7, 0.1, 0.2), diverged=(11,))
    vimpo["runs"].reverse()
    found = verdicts.match(0.0, write(tmp_path, arm("GRPO", (0.5, 0.5, 0.5)), vimpo))
    assert found.first.seeds == ((10, 0.7, False), (11, 0.1, True), (12, 0.2, False))
    assert found.first.diverged == (11,) and found.second.diverged == ()
    assert (found.first.trials, found.first.range_size, found.first.cpu_seconds) == (6, 12, 20.0)
    assert (found.steps, found.test_prompts, found.gap.seeds, found.gap.ahead) == (100, 512, 3, 1)


def test_a_share_is_said_in_percent(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "SOURCES", {0.75: "noise"})
    assert verdicts.short_answer(tmp_path) == ("With 75 % of the rewards flipped: not measured yet.",)
