"""What a declared experiment may say, and the sentence with the line for what it may not."""

import pytest

from tests.support.experiments import SMALL, written
from vimpo_core.experiment import plan
from vimpo_core.experiment.plan import Arm
from vimpo_core.experiment.toml_lines import line_numbers


def test_blocks_are_the_product_of_what_varies(tmp_path):
    found = written(tmp_path, SMALL.replace("[tune]", "[vary]\nreward_noise = [0.0, 0.25]\noperands = [4, 5]\n[tune]"))
    assert [plan.block_label(block) for block in found.blocks] == [
        "reward_noise 0, operands 4",
        "reward_noise 0, operands 5",
        "reward_noise 0.25, operands 4",
        "reward_noise 0.25, operands 5",
    ]


def test_nothing_varied_is_one_block_and_the_first_arm_is_the_one_compared_with(tmp_path):
    found = written(tmp_path)
    assert found.blocks == ({},) and found.compare_to == "GRPO" and found.title == "small"


def test_an_arm_wins_over_the_base_and_tuning_over_both(tmp_path):
    found = written(tmp_path, SMALL.replace("[tune]", "beta = 0.2\nlearning_rate = 1e-4\n[tune]"))
    grpo, vimpo = found.arms
    config = found.config(grpo, {"beta": 0.3}, {"learning_rate": 3e-3}, seed=7, steps=9)
    assert (config.algorithm, config.beta, config.learning_rate) == ("grpo", 0.3, 3e-3)
    assert (config.seed, config.steps, config.group_size) == (7, 9, 2)
    assert found.config(vimpo, {}, {}, 7, 9).learning_rate == 1e-4


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("group_size = 2", "group_sise = 2", 9, "unknown key 'group_sise' in [base]. Did you mean group_size?"),
        ("steps = 4", "stepz = 4", 4, "unknown key 'stepz' in the experiment. Did you mean steps?"),
        ("trials = 2", "trials = 0", 12, "trials must be a whole number from 1 to 1000, got 0"),
        ("seeds = [900]", "seeds = [100]", 13, "seed 100 is among the final seeds too"),
        ("seeds = [100, 101]", "seeds = [100, 100]", 6, "seeds must be a list of different whole numbers"),
        ("seeds = [100, 101]\n", "", None, "seeds is missing"),
        ('algorithm = "grpo"', 'algorithm = "grppo"', 18, "algorithm must be one of"),
        (
            'algorithm = "grpo"',
            'algorithm = "grpo"\nseed = 3',
            19,
            "seed is the same for all arms: set seeds at the top",
        ),
        ("[1e-3, 3e-3]", "[1e-3, 3.0]", 19, "learning_rate must be between 1e-06 and 1, got 3"),
        ("[1e-3, 3e-3]", "[1e-3, 1e-3]", 19, "learning_rate lists a value twice"),
        ("[1e-3, 3e-3]", "1e-3", 19, "learning_rate must be a list of values here, got 0.001"),
        ("{learning_rate", "{clip_lou", 19, "unknown key 'clip_lou' in [arm.ranges]. Did you mean clip_low?"),
        ("eval_every = 2", "eval_every = [2]", 10, "eval_every must be one value here, got [2]"),
        ("eval_every = 2", "operands = 9", 10, "operands must be between 3 and"),
        ("eval_every = 2", "micro_batch_size = 50", 10, "micro_batch_size must be at most"),
        ('name = "VIMPO"', 'name = "GRPO"', 21, "two arms are called 'GRPO'"),
        ('name = "VIMPO"', "beta = 0.1", 20, 'name is missing in [[arm]]. Add name = "..."'),
        (
            'name = "VIMPO"',
            'name = "VIMPO"\nlearning_rate = 1e-3\nranges = {learning_rate = [1.0]}',
            22,
            "learning_rate is both fixed and in ranges",
        ),
        ('name = "VIMPO"', 'name = "VIMPO"\nranges = 3', 22, "ranges must be a table of settings, got 3"),
        ('name = "small"', 'name = "../up"', 2, "name must be letters, digits, - and _"),
        ('name = "small"', 'name = "small', 2, "this is not TOML"),
        ('name = "small"', 'name = "small"\ncompare_to = "PPO"', 3, "compare_to must be one of GRPO, VIMPO, got 'PPO'"),
        (
            'name = "small"',
            'name = "small"\ncredit = {set = "mine"}',
            3,
            "set must be one of fixed, own, style, got 'mine'",
        ),
        ("[tune]", "[vary]\nlearning_rate = [1e-3]\n[tune]", 21, "learning_rate is varied for all arms in [vary]"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_line(tmp_path, old, new, line, words):
    assert old in SMALL
    with pytest.raises(ValueError) as error:
        written(tmp_path, SMALL.replace(old, new, 1))
    message = str(error.value)
    place = f"small.toml, line {line}: " if line else "small.toml: "
    assert place in message and words in message and "\n" not in message


def test_ranges_without_tuning_are_refused(tmp_path):
    text = SMALL[: SMALL.index("[tune]")] + SMALL[SMALL.index("[[arm]]") :]
    with pytest.raises(ValueError, match=r"line 14: ranges need a \[tune\] table"):
        written(tmp_path, text)


def test_an_experiment_needs_an_arm(tmp_path):
    with pytest.raises(ValueError, match=r"needs at least one \[\[arm\]\]"):
        written(tmp_path, SMALL[: SMALL.index("[[arm]]")])


def test_lines_are_found_past_strings_comments_and_nested_tables():
    text = '''# a = 1
a = """
b = 2
[c]
"""
"d" = [ # e = 1
  1,
]
f = { g = 1, h = { i = [
2] }, j = "k = {" }
[[arm]]
l = 1
[arm.m]
n = 1
[[arm]]
l = 2
'''
    assert line_numbers(text) == {
        ("a",): 2,
        ("d",): 6,
        ("f",): 9,
        ("f", "g"): 9,
        ("f", "h"): 9,
        ("f", "h", "i"): 9,
        ("f", "j"): 10,
        ("arm", 0): 11,
        ("arm", 0, "l"): 12,
        ("arm", 0, "m"): 13,
        ("arm", 0, "m", "n"): 14,
        ("arm", 1): 15,
        ("arm", 1, "l"): 16,
    }


RANGES = {"learning_rate": (1e-3, 3e-3, 1e-2), "beta": (0.1, 0.2)}


def test_trials_are_different_points_drawn_by_the_name_alone():
    arm = Arm("A", {}, RANGES)
    drawn = arm.trials(4)
    assert len(drawn) == 4 and len({tuple(point.items()) for point in drawn}) == 4
    assert all(point["learning_rate"] in RANGES["learning_rate"] and point["beta"] in (0.1, 0.2) for point in drawn)
    assert Arm("A", {"beta": 0.3}, RANGES).trials(4) == drawn
    assert any(Arm(name, {}, RANGES).trials(4) != drawn for name in "BCDE")


def test_a_product_smaller_than_the_number_of_trials_is_tried_whole():
    assert len(Arm("A", {}, RANGES).trials(50)) == 6 == Arm("A", {}, RANGES).range_size
