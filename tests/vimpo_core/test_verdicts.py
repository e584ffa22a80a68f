"""Sentences about an experiment, on results made by hand: a clear one, an open one, one seed, missing, diverged, damaged."""

import json

import pytest

from vimpo_core import verdicts
from vimpo_core.experiment import plan, tables
from vimpo_core.paths import ROOT


def arm(name, shares, gap=None, diverged=(), missing=(), at_edge=(), greedy=None, range_size=12):
    """An arm as `experiment.tables` writes it. gap, greedy: (mean, low, high, ahead)."""
    seeds = [seed for seed in range(10, 10 + len(shares) + len(missing)) if seed not in missing]
    mean = sum(shares) / len(shares)
    differences = {
        how: found
        and dict(zip(("mean", "low", "high", "ahead"), found, strict=True)) | {"seeds": len(shares)}
        for how, found in (("sampled", gap), ("greedy", greedy))
    }
    return {
        "name": name, "algorithm": name.lower(), "missing": list(missing), "at_edge": list(at_edge), "trials": [{}] * 6,
        "sampled": {"mean": mean, "low": mean - 0.02, "high": mean + 0.02, "seeds": len(shares)},
        "difference": gap and differences, "range_size": range_size, "chosen": {"learning_rate": 0.002},
        "cpu_seconds": {"mean": 20.0},
        "runs": [
            {"seed": seed, "sampled": share, "state": "diverged" if seed in diverged else "finished"}
            for seed, share in zip(seeds, shares, strict=True)
        ],
    }  # fmt: skip


def write(folder, *arms, noise=0.0, base=None):
    settings = {"reward_noise": noise} if noise else {}
    found = {
        "base": base or {}, "steps": 100, "test_prompts": 512,
        "blocks": [{"settings": settings, "arms": list(arms)}],
    }  # fmt: skip
    path = folder / verdicts.SOURCES[noise] / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return folder


def pair(gap, noise=0.0, shares=(0.7, 0.72, 0.74, 0.7, 0.74), **more):
    return (arm("GRPO", shares), arm("VIMPO", [share + gap[0] for share in shares], gap, **more))


OPEN, AHEAD, BEHIND = (
    (-0.004, -0.021, 0.013, 2), (0.05, 0.018, 0.082, 5), (-0.05, -0.082, -0.018, 0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "says", "who"),
    [
        (
            OPEN,
            "VIMPO minus GRPO, sampled: −0.4 points, 95 % −2.1 to +1.3, ahead in 2 of 5 seeds: no difference that 5 seeds can show.",
            "open",
        ),
        (
            AHEAD,
            "VIMPO minus GRPO, sampled: +5.0 points, 95 % +1.8 to +8.2, ahead in 5 of 5 seeds: VIMPO is better here.",
            "first",
        ),
        (
            BEHIND,
            "VIMPO minus GRPO, sampled: −5.0 points, 95 % −8.2 to −1.8, ahead in 0 of 5 seeds: GRPO is better here.",
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
    said = "VIMPO minus GRPO, greedy: +5.0 points, 95 % +1.8 to +8.2, ahead in 5 of 5 seeds: VIMPO is better here."
    assert verdicts.difference(verdicts.match(0.0, folder), verdicts.GREEDY) == said
    line = verdicts.short_answer(folder)[0]
    assert "sampled: −0.4 points" in line and line.endswith(said)
    assert verdicts.who_leads(0.0, folder) == "open"


def test_the_price_says_how_much_of_its_range_tuning_covered(tmp_path):
    shares = (0.7, 0.7)
    vimpo = arm("VIMPO", shares, OPEN, range_size=72)
    assert verdicts.price(verdicts.match(0.0, write(tmp_path, arm("GRPO", shares), vimpo))) == (
        "Tuning tried 6 of 12 settings of GRPO and 6 of 72 settings of VIMPO: as many trials cover less of the rule with more "
        "settings. Chosen: GRPO learning_rate 0.002; VIMPO learning_rate 0.002. A run took 20 CPU seconds with GRPO and 20 CPU "
        "seconds with VIMPO."
    )
    assert "cover less" not in verdicts.price(verdicts.match(0.0, write(tmp_path, *pair(OPEN))))
    untuned = vimpo | {"range_size": 0, "chosen": {}, "trials": []}
    assert verdicts.price(verdicts.match(0.0, write(tmp_path, arm("GRPO", shares), untuned))) == ""


def test_what_is_not_measured_is_said_for_each_share(tmp_path):
    assert verdicts.match(0.25, tmp_path) is None and verdicts.who_leads(0.25, tmp_path) == "open"
    write(tmp_path, *pair(OPEN, noise=0.25), noise=0.25)
    clean, quarter, most = verdicts.short_answer(tmp_path)
    assert clean == "On clean rewards: not measured yet."
    assert quarter.startswith("With 25 % of the rewards flipped, VIMPO minus GRPO, sampled: −0.4 points")
    assert most == "With 40 % of the rewards flipped: not measured yet."


def test_a_result_that_was_asked_for_again_never_stands_alone(tmp_path, monkeypatch):
    write(tmp_path, *pair(AHEAD, noise=0.4), noise=0.4)
    monkeypatch.setitem(verdicts.SOURCES, 0.4, verdicts.AGAIN[0.4])  # where `write` puts the second answer
    write(tmp_path, *pair(OPEN, noise=0.4), noise=0.4)
    monkeypatch.undo()
    said = verdicts.short_answer(tmp_path)[-1]
    assert "VIMPO is better here. Asked again" in said and said.endswith(
        "no difference that 5 seeds can show."
    )


def test_a_missing_arm_counts_as_not_measured(tmp_path):
    unfinished = arm("VIMPO", [0.7]) | {"sampled": None, "runs": []}
    assert verdicts.match(0.0, write(tmp_path, arm("GRPO", [0.7]), unfinished)) is None
    assert verdicts.match(0.0, write(tmp_path, arm("GRPO", [0.7, 0.71]))) is None


def test_one_seed_never_decides(tmp_path):
    found = verdicts.match(0.0, write(tmp_path, *pair((0.05, 0.02, 0.08, 1), shares=(0.7,))))
    assert "on one seed, which cannot show a difference" in verdicts.difference(found)
    assert verdicts.who_leads(0.0, tmp_path) == "open"
    assert verdicts.accuracy(found.first) == "VIMPO 75.0 % (one seed, so no interval over seeds)"


def test_without_a_shared_seed_there_is_no_difference(tmp_path):
    found = verdicts.match(0.0, write(tmp_path, arm("GRPO", [0.7]), arm("VIMPO", [0.8])))
    assert found.gap is None and "no seed has a result of both" in verdicts.difference(found)


def test_diverged_and_missing_runs_and_edges_are_warned_of(tmp_path):
    grpo = arm("GRPO", [0.7, 0.7, 0.7], missing=(12,))
    vimpo = arm("VIMPO", [0.7, 0.1, 0.2], OPEN, diverged=(11, 12), at_edge=("beta",))
    said = " ".join(verdicts.warnings(verdicts.match(0.0, write(tmp_path, grpo, vimpo))))
    assert "GRPO has no result yet for seed 12." in said
    assert "VIMPO diverged with seeds 11, 12: they count as at the last saved step." in said
    assert "Tuning chose beta of VIMPO at the edge of its range" in said
    assert verdicts.warnings(verdicts.match(0.0, write(tmp_path, *pair(OPEN)))) == []


@pytest.mark.parametrize(("noisy", "who"), [(BEHIND, "first"), (OPEN, "open"), (AHEAD, "second")])
def test_who_loses_more_compares_the_two_differences(tmp_path, noisy, who):
    write(tmp_path, *pair(OPEN))
    write(tmp_path, *pair(noisy, noise=0.25, shares=(0.5, 0.5, 0.5, 0.5, 0.5)), noise=0.25)
    clean, flipped = (verdicts.match(noise, tmp_path) for noise in (0.0, 0.25))
    found, said = verdicts.loss_by_noise(clean, flipped)
    assert found == who
    assert "With 25 % flipped GRPO loses 22.0 points" in said
    more = OPEN[0] - noisy[0]
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
        assert noise in [
            block.get("reward_noise", declared.base.get("reward_noise", 0.0)) for block in declared.blocks
        ]
        assert (
            set(verdicts.PAIR) <= {arm.name for arm in declared.arms}
            and declared.compare_to == verdicts.PAIR[1]
        )
    assert verdicts.HOW in tables.HOWS
