"""Names that tell runs apart: what differs from earlier runs of the same name, or a number."""

import pytest

from tests.support.fakes import make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.measure.comparison import Member, arms
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.names import LONGEST_NAME, arm_names, default_name, told_apart

GRPO = TrainConfig(algorithm="grpo")


@pytest.mark.parametrize(
    "changes, name",
    [
        ({}, "GRPO, seed 0 (2)"),
        ({"learning_rate": 2e-3}, "GRPO, seed 0, learning rate 0.002"),
        ({"beta": 0.3}, "GRPO, seed 0 (2)"),  # its rule reads no beta
        ({"threads": 4}, "GRPO, seed 0 (2)"),  # changes no number
        ({"group_size": 4, "steps": 40}, "GRPO, seed 0, 40 steps"),  # one of them is enough
        ({"reward_noise": 0.2}, "GRPO, seed 0, 20 % flips"),
    ],
)
def test_a_made_name_holds_what_differs_from_an_earlier_run_of_the_name_or_a_number(changes, name):
    other = TrainConfig(algorithm="grpo", **changes)
    assert told_apart([(default_name(GRPO), GRPO), (default_name(other), other)]) == ("GRPO, seed 0", name)


def test_a_third_run_is_told_apart_from_both_and_no_older_name_changes():
    runs = [("mine", GRPO), ("mine", TrainConfig(algorithm="grpo", steps=40)), ("mine", TrainConfig(steps=40))]
    assert told_apart(runs) == ("mine", "mine, 40 steps", "mine, VIMPO")
    assert told_apart(runs[:2]) == told_apart(runs)[:2]


def test_names_of_runs_whose_settings_nobody_recorded_get_a_number_that_is_free():
    runs = [("theirs", None), ("theirs", None), ("theirs (2)", None), ("x" * LONGEST_NAME, None)] * 2
    found = told_apart(runs)
    assert found[:4] == ("theirs", "theirs (3)", "theirs (2)", "x" * LONGEST_NAME)
    assert len(set(found)) == len(runs) and max(map(len, found)) == LONGEST_NAME


def test_runs_are_named_apart_when_they_are_made_and_old_ones_of_one_name_in_the_list(tmp_path):
    make_fake_run(tmp_path, "grpo", steps=1)
    make_fake_run(tmp_path, "grpo", steps=1)
    make_fake_run(tmp_path, "grpo", steps=1, learning_rate=2e-3)
    runs = RunsDir(tmp_path)
    made = [runs.open(run_id).header()["name"] for run_id in ("grpo-1", "grpo-2", "grpo-3")]
    assert made == ["GRPO, seed 0", "GRPO, seed 0 (2)", "GRPO, seed 0, learning rate 0.002"]
    for run_id in ("grpo-2", "grpo-3"):
        with runs.open_writable(run_id) as store:  # as earlier versions called them
            store.update_header({"name": "GRPO, seed 0"})
    assert [(run.name, run.given_name) for run in runs.list()] == [
        ("GRPO, seed 0, learning rate 0.002", "GRPO, seed 0"),
        ("GRPO, seed 0 (2)", "GRPO, seed 0"),
        ("GRPO, seed 0", "GRPO, seed 0"),
    ]


def test_an_arm_is_called_by_rule_and_beta_and_by_what_differs_only_where_two_would_be_called_alike():
    faster = {"learning_rate": 2e-3}
    settings = ({}, {"beta": 0.3, "actor_coef": 0.1}, faster, {**faster, "seed": 1})
    configs = [TrainConfig(**one) for one in settings]
    members = [Member(str(i), default_name(config), config) for i, config in enumerate(configs)]
    members.append(Member("4", "the best one", TrainConfig(steps=9)))
    named = arm_names(arms(members[::-1]))  # newest first
    told = ("VIMPO beta 0.1", "VIMPO beta 0.3", "VIMPO beta 0.1, learning rate 0.002", "the best one")
    assert named == told[::-1]
