"""Presets: each shows what it says in the numbers that are drawn of it, and those are of its settings."""

import dataclasses

import pytest

from vimpo_core import cli
from vimpo_core.config import TrainConfig
from vimpo_core.labs.presets import PRESETS, on_how_many_seeds, other_seeds, recorded, recorded_settings

EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@EACH
def test_what_is_drawn_of_a_preset_was_recorded_with_its_settings_and_shows_what_it_says(preset):
    assert recorded_settings()[preset.key] == {config.algorithm: config for config in preset.configs}
    rows = recorded()[preset.key]
    assert all(rows[config.algorithm][-1]["step"] == config.steps for config in preset.configs)
    assert preset.holds(rows) and preset.figure(rows).endswith(".")


@EACH
def test_what_a_preset_says_was_tried_on_further_seeds_and_its_card_says_on_how_many(preset):
    tried = other_seeds()[preset.key]
    assert len(tried) >= 2 and all(one["holds"] for one in tried.values())
    assert on_how_many_seeds(preset.key) == f"Shown on {len(tried) + 1} of {len(tried) + 1} seeds."


@EACH
def test_a_preset_that_showed_something_else_is_noticed(preset):
    """The recorded run of another preset in its place, or one that stood still."""
    still = {
        a: [{"step": 0} | {n: rows[0].get(n, 0.5) for n in preset.curves}] * 2
        for a, rows in recorded()[preset.key].items()
    }
    assert not preset.holds(still)


def test_a_preset_on_the_command_line_has_its_settings_and_what_is_typed_counts_before_them():
    def configs(*typed):
        return cli.configs_of(cli.parsed(["train", *typed]))

    assert configs() == [TrainConfig()]
    for key, preset in PRESETS.items():
        assert configs("--preset", key) == preset.configs, "as Play on the page"
        assert [configs("--preset", key, "--algorithm", a) for a in preset.algorithms] == [[c] for c in preset.configs]
    less = configs("--preset", "noisy", "--reward-noise", "0.1", "--seed", "3", "--actor-coef", "0.2")
    assert less == [
        TrainConfig(reward_noise=0.1, seed=3, actor_coef=0.2),
        TrainConfig(algorithm="grpo", reward_noise=0.1, seed=3),
    ]
    flat = PRESETS["flat"].config("grpo")
    assert flat == dataclasses.replace(TrainConfig(algorithm="grpo"), beta=5e-4, steps=60), "it reads no c_A"
