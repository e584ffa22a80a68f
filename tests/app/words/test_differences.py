"""docs/differences.md: the options it names exist, and its numbers about this lab are this lab's."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from app.words.differences import differences
from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.lm import scores
from vimpo_core.paths import DEMOS
from vimpo_core.rules import RULES
from vimpo_core.runs.folder import RunsDir

ROWS = {row.what: row for row in differences()}
SETTINGS = {f.name for f in dataclasses.fields(TrainConfig)}


def test_the_table_is_whole_and_names_what_the_authors_do_otherwise():
    assert len(ROWS) > 15 and all(all(dataclasses.astuple(row)) for row in ROWS.values())
    for what in (
        "Reward flips",
        "The group's own mean",
        "Soft values",
        "Cap on V_0",
        "Adaptive c_A",
        "KL over the top k",
    ):
        assert what in ROWS


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_option_that_a_row_names_exists(row):
    assert row.option == "none" or row.options
    for name in row.options:
        assert name in SETTINGS or name in RULES, name


def test_this_labs_side_is_its_defaults():
    config = TrainConfig()
    assert f"beta {config.beta:g}, c_A {config.actor_coef:g}" in ROWS["Beta and c_A"].ours
    assert f"{config.prompts_per_step} prompts x {config.group_size} solutions" in ROWS["Size"].ours
    assert f"rank {config.lora_rank}" in ROWS["Size"].ours and config.learning_rate == 3e-3
    assert f"huber ({config.huber_delta:g})" in ROWS["Value loss"].ours
    assert f"{config.clip_low:g} / {config.clip_high:g}" in ROWS["GRPO to compare with"].theirs
    assert f"shortened to {config.max_grad_norm:g}" == ROWS["Long gradients"].ours
    assert config.beta_end == 0 and config.actor_schedule == "constant" and config.actor_coef_rule == "fixed"


def test_what_single_flips_do_to_groups_is_counted_on_the_bundled_run():
    """Groups that agree after each solution flips with probability 1/4, by the exact chance; the push by 500 draws."""
    said, flip = ROWS["Reward flips"].consequence, 0.25
    with RunsDir(DEMOS, read_only=True).open("grpo") as store:
        traces = store.traces(100)
    rewards, groups = np.array([t.reward for t in traces]), np.array([t.group_id for t in traces])
    by_group = [rewards[groups == group] for group in set(groups)]
    agreeing = [group.min() == group.max() for group in by_group]
    assert f"{np.mean(agreeing):.0%}".replace("%", " %") in said
    ones = [(group.sum(), len(group) - group.sum()) for group in by_group]
    chance = [flip**a * (1 - flip) ** b + flip**b * (1 - flip) ** a for a, b in ones]
    assert f"leaves {np.mean(chance):.0%}".replace("%", " %") in said
    rng, lengths = np.random.default_rng(0), np.array([len(t.ids) for t in traces])
    in_agreement = np.isin(groups, [g for g, agrees in zip(set(groups), agreeing, strict=True) if agrees])
    shares = []
    for _ in range(500):
        seen = np.where(rng.random(len(rewards)) < flip, 1 - rewards, rewards)
        push = np.abs(credit.grpo_advantages(seen, groups)) * lengths
        shares.append(push[in_agreement].sum() / push.sum())
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05), "half of the push"


def test_the_example_of_top_k_is_what_both_ways_give():
    p, q = torch.tensor([0.6, 0.4]), torch.tensor([0.9, 0.1])
    dropped = (p * (p / q).log())[0].item()
    lumped = scores.lumped_kl(p.log(), q.log(), 1).item()
    exact = credit.exact_kl(p.log(), q.log()).item()
    assert (
        f"theirs is {dropped:.3f} and ours {lumped:.3f}, the exact KL being {exact:.3f}"
        in ROWS["KL over the top k"].consequence
    )


def test_the_example_of_whitening_is_right():
    taken = 1 - 1e-4 / math.sqrt(1e-4**2 + 1e-8)
    assert f"takes {taken:.0%} off".replace("%", " %") in ROWS["Whitening"].consequence
