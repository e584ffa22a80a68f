"""config: what is allowed, what is refused and in which words, and when a colleague would say something."""

import ast
import dataclasses
import functools
import inspect
import json
import math
import re
from pathlib import Path

import pytest

from vimpo_core import config
from vimpo_core.config import TrainConfig, advice, balance, setting
from vimpo_core.tasks import chain

FIELDS = {f.name: f for f in dataclasses.fields(TrainConfig)}
LIMITED = [name for name in FIELDS if setting(name)["low"] is not None]
NUMBERS = [name for name in FIELDS if setting(name)["type"] in (int, float)]
CHOICES = [name for name in FIELDS if setting(name)["choices"]]


def build(name, value):
    """A config with one setting changed; the batch is large enough for every micro batch."""
    roomy = {"prompts_per_step": 256, "group_size": 64} if name == "micro_batch_size" else {}
    if name == "operands":
        roomy = {"model": "a folder"}  # the bundled reference does not know them all
    return TrainConfig(**{**roomy, name: value})


def test_defaults_are_the_ones_seen_to_work():
    c = TrainConfig()
    assert (c.learning_rate, c.lr_schedule, c.lora_rank, c.warmup_steps) == (3e-3, "linear", 8, 10)
    assert (c.prompts_per_step, c.group_size, c.batch_size) == (16, 8, 128)
    assert c.beta == 0.1 and 0.3 * c.beta <= c.actor_coef <= c.beta
    assert (c.clip_low, c.clip_high, c.dual_clip) == (0.2, 0.28, 10.0)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_sentence_of_help_and_a_default_inside_its_limits(name):
    s = setting(name)
    assert s["help"].endswith(".") and len(s["help"].split()) >= 4
    assert s["default"] == getattr(TrainConfig(), name)
    if s["safe"]:
        assert s["low"] <= s["safe"][0] <= s["default"] <= s["safe"][1] <= s["high"]


@functools.cache
def read_settings() -> frozenset[str]:
    """What the library reads of a run's settings: x in config.x, run.config.x, config.at(step).x, and self.x in
    TrainConfig's own methods. Not what a network's own config.json holds."""
    root, found = Path(config.__file__).parent, set()
    for path in root.rglob("*.py"):
        if path.stem in ("models", "model_files", "model_trial"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                of = ast.unparse(node.value)
                if re.search(r"(^|(?<!model)[._])config$|\.at\([^()]*\)$", of):
                    found.add(node.attr)
    own = [getattr(member, "fget", member) for name, member in vars(TrainConfig).items() if name[0] != "_"]
    for method in filter(inspect.isfunction, own):
        found |= set(re.findall(r"self\.(\w+)", inspect.getsource(method)))
    return frozenset(found)


def test_every_setting_is_read_somewhere_in_the_library():
    assert set(FIELDS) - read_settings() == set()


def test_config_and_task_agree_on_how_many_numbers_a_problem_may_have():
    assert setting("operands")["high"] == chain.LONGEST
    longest = "1" + "+1" * (chain.LONGEST - 1)
    assert len(chain.parse(longest)[0]) == chain.LONGEST and chain.parse(longest + "+1") is None
    assert chain.ChainTask(chain.LONGEST).typical_length > chain.ChainTask(chain.LONGEST - 1).typical_length


def test_a_made_up_setting_is_read_nowhere():
    made_up = {
        "temperature",
        "top_p",
        "name",
        "value",
        "steps_total",
        "rewards",
        "step",
        "weights",
        "path",
        "label",
        "entropy",
        "gamma",
        "betta",
        "hidden_size",
        "vocab_size",
        "text",
        "items",
    }
    assert made_up & read_settings() == set()


@pytest.mark.parametrize("name", LIMITED)
def test_limits_are_inclusive_and_named_in_the_message(name):
    s = setting(name)
    for edge in (s["low"], s["high"]):
        assert getattr(build(name, s["type"](edge)), name) == edge
    for outside in (s["low"] - 1, s["high"] + 1):
        with pytest.raises(ValueError) as error:
            build(name, s["type"](outside))
        message = str(error.value)
        assert message.startswith(f"{name} must be between ") and f"got {outside:g}" in message
        assert f"{s['low']:g}" in message and f"{s['high']:g}" in message


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [True, None, "1", [1], math.nan, math.inf, -math.inf], ids=repr)
def test_what_is_not_a_finite_number_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a (whole|finite) number, got .*\. Default: "):
        build(name, value)


def test_a_whole_number_is_a_fine_decimal_but_not_the_reverse():
    assert TrainConfig(beta=1).beta == 1.0 and type(TrainConfig(beta=1).beta) is float
    with pytest.raises(ValueError, match=r"steps must be a whole number, got 10\.0"):
        TrainConfig(steps=10.0)


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_outside_the_list_is_refused_with_the_list(name):
    with pytest.raises(ValueError, match=rf"^{name} must be one of ") as error:
        build(name, "nothing of the kind")
    for choice in setting(name)["choices"]:
        assert choice in str(error.value)
        if name != "prompt_style":  # chain has no words to style; the other kinds' tests use each
            assert getattr(build(name, choice), name) == choice


def test_a_micro_batch_larger_than_the_batch_is_refused():
    assert TrainConfig(micro_batch_size=128).micro_batch_size == 128
    with pytest.raises(ValueError, match=r"at most prompts_per_step x group_size = 128, got 129\."):
        TrainConfig(micro_batch_size=129)


def test_a_config_survives_json_and_cannot_be_changed():
    c = TrainConfig(algorithm="grpo", beta=0.3, seed=7, lr_schedule="linear")
    assert TrainConfig.from_dict(json.loads(json.dumps(c.to_dict()))) == c
    with pytest.raises(dataclasses.FrozenInstanceError):
        c.beta = 1.0


def test_an_unknown_setting_is_named_with_what_exists():
    with pytest.raises(ValueError, match=r"^unknown setting 'betta'\. Known: .*\bbeta\b"):
        TrainConfig.from_dict({"betta": 0.1})


# ---- advice; 20 tokens a solution, so that balance b = c_A / (8 beta) ----

LENGTH = 20.0


def levels(**settings):
    return {a.setting: a.level for a in advice(TrainConfig(**settings), LENGTH)}


def test_an_adaptive_actor_weight_is_a_share_and_has_no_balance_to_warn_of():
    runaway = {"beta": 0.02, "actor_coef": 0.2}
    assert levels(**runaway)["actor_coef"] == "danger"
    assert "actor_coef" not in levels(**runaway, actor_coef_rule="adaptive")


def test_balance_worked_example():
    # 0.08 / (0.4 * 20 * 0.1) = 0.1
    assert balance(TrainConfig(beta=0.1, actor_coef=0.08), LENGTH) == pytest.approx(0.1, rel=1e-12)


def test_defaults_need_no_advice():
    assert levels() == {}
    assert levels(algorithm="grpo") == {}


@pytest.mark.parametrize(
    ("settings", "setting_name", "level"),
    [
        ({"learning_rate": 1e-2}, "learning_rate", "danger"),
        ({"learning_rate": 1e-2, "algorithm": "grpo"}, "learning_rate", "danger"),
        ({"actor_coef": 0.07}, "actor_coef", None),  # b = 0.0875
        ({"actor_coef": 0.09}, "actor_coef", "caution"),  # b = 0.1125
        ({"actor_coef": 0.25}, "actor_coef", "danger"),  # b = 0.3125
        ({"beta": 0.02}, "actor_coef", "danger"),  # c_A 0.05 at a fifth of the beta: b = 0.3125
        ({"actor_coef": 0.25, "algorithm": "grpo"}, "actor_coef", None),  # GRPO has no actor term
        ({"beta": 5e-4, "actor_coef": 0.0}, "beta", "note"),
        ({"beta": 2.0}, "beta", "caution"),
        ({"beta": 2.0, "algorithm": "grpo"}, "beta", None),
        ({"group_size": 2}, "group_size", "note"),
    ],
)
def test_advice_is_given_where_a_choice_is_known_to_fail(settings, setting_name, level):
    assert levels(**settings).get(setting_name) == level


def test_advice_on_the_actor_names_a_value_that_needs_none():
    (remark,) = (a for a in advice(TrainConfig(actor_coef=0.5), LENGTH) if a.setting == "actor_coef")
    suggested = float(re.search(r"Use c_A ([0-9.e-]+) or less", remark.text).group(1))
    assert "actor_coef" not in levels(actor_coef=suggested)
    assert all(a.text.endswith(".") for a in advice(TrainConfig(actor_coef=0.5, beta=2.0, group_size=2), LENGTH))


LOW_BETA = (
    "values will look flat. It learns as well, but V_t moves by beta times a few nats; use 0.1 to 0.3 to read it."
)
HIGH_BETA = "a tiny log-ratio already explains the reward, so the policy hardly moves."
NO_RATIO = (
    "this rule has no ratio and no clip, so after the first update it goes on with the solutions of a policy that is "
    "no longer there. Use 1, or a rule with a ratio."
)
RAN_AWAY = "such runs have run away (collapsed at 1, at small beta at 0.3). Use c_A 0.1 or less, or raise beta."
ON_THE_WAY = "up to 0.1 runs were stable, at 0.3 those with a small beta collapsed. Use c_A 0.1 or less, or raise beta."


@pytest.mark.parametrize(
    ("settings", "remarks"),
    [
        # The largest learning rate that was tried is none to warn of.
        ({"learning_rate": 8e-3}, []),
        (
            {"learning_rate": 8.1e-3},
            [
                (
                    "learning_rate",
                    "danger",
                    "Learning rate 0.0081: no experiment here went above 0.008, and 1e-2 destroyed VIMPO and GRPO. "
                    "Use 0.0003 to 0.004.",
                )
            ],
        ),
        # At beta 1/8 and 20 tokens the balance is c_A itself.
        ({"beta": 0.125, "actor_coef": 0.1}, []),
        (
            {"beta": 0.125, "actor_coef": 0.11},
            [("actor_coef", "caution", f"c_A 0.11 at beta 0.125 and 20 tokens gives balance 0.11: {ON_THE_WAY}")],
        ),
        (
            {"beta": 0.125, "actor_coef": 0.3},
            [("actor_coef", "caution", f"c_A 0.3 at beta 0.125 and 20 tokens gives balance 0.3: {ON_THE_WAY}")],
        ),
        (
            {"beta": 0.125, "actor_coef": 0.31},
            [("actor_coef", "danger", f"c_A 0.31 at beta 0.125 and 20 tokens gives balance 0.31: {RAN_AWAY}")],
        ),
        (
            {"beta": 0.125, "actor_coef": 0.31, "algorithm": "vimpo_soft"},
            [("actor_coef", "danger", f"c_A 0.31 at beta 0.125 and 20 tokens gives balance 0.31: {RAN_AWAY}")],
        ),
        ({"beta": 0.125, "actor_coef": 0.31, "algorithm": "vimpo_value"}, []),
        ({"beta": 0.125, "actor_coef": 0.31, "algorithm": "grpo"}, []),
        ({"beta": 5e-3, "actor_coef": 0.0}, []),
        ({"beta": 4.9e-3, "actor_coef": 0.0}, [("beta", "note", f"Beta 0.0049: {LOW_BETA}")]),
        ({"beta": 4.9e-3, "algorithm": "vimpo_value"}, [("beta", "note", f"Beta 0.0049: {LOW_BETA}")]),
        ({"beta": 4.9e-3, "algorithm": "grpo"}, []),
        ({"beta": 1.0}, []),
        ({"beta": 1.1}, [("beta", "caution", f"Beta 1.1: {HIGH_BETA}")]),
        ({"beta": 1.1, "algorithm": "grpo"}, []),
        ({"reward_noise": 0.49}, []),
        (
            {"reward_noise": 0.5},
            [
                (
                    "reward_noise",
                    "danger",
                    "Half of the rewards flipped: a reward then says nothing about right or wrong, and nothing can be "
                    "learned. Use 0.4 or less.",
                )
            ],
        ),
        # 10 steps of 16 solutions, measured twice on 40 problems in two ways: as many as are trained; a tenth is 4
        ({"steps": 10, "prompts_per_step": 4, "group_size": 4, "eval_every": 10, "eval_prompts": 40}, []),
        (
            {"steps": 10, "prompts_per_step": 4, "group_size": 4, "eval_every": 10, "eval_prompts": 80},
            [
                (
                    "eval_prompts",
                    "note",
                    "Measurements take 2 solutions to held-out problems for each one that is trained on. Use "
                    "eval_prompts 4, 0 for none, or measure less often.",
                )
            ],
        ),
        ({"updates_per_batch": 1, "algorithm": "rloo"}, []),
        (
            {"updates_per_batch": 2, "algorithm": "rloo"},
            [("updates_per_batch", "caution", f"2 updates a batch: {NO_RATIO}")],
        ),
        ({"updates_per_batch": 2, "algorithm": "ppo"}, []),
        ({"group_size": 4}, []),
        (
            {"group_size": 3},
            [("group_size", "note", "Groups of 3: many groups agree on the reward and teach nothing that step.")],
        ),
    ],
)
def test_advice_starts_just_beyond_what_was_seen_to_work(settings, remarks):
    assert [dataclasses.astuple(remark) for remark in advice(TrainConfig(**settings), LENGTH)] == remarks


def test_every_remark_that_applies_is_made_in_one_order():
    settings = {"learning_rate": 1e-2, "beta": 2e-3, "reward_noise": 0.5, "group_size": 2}
    assert list(levels(**settings)) == ["learning_rate", "actor_coef", "beta", "reward_noise", "group_size"]


@pytest.mark.parametrize(("length", "balance_is"), [(10.0, 0.25), (20.0, 0.125), (25.0, 0.1), (50.0, 0.05)])
def test_longer_solutions_lower_the_balance(length, balance_is):
    made = TrainConfig(beta=0.1, actor_coef=0.1)
    assert balance(made, length) == pytest.approx(balance_is)
    told = [a.text for a in advice(made, length)]
    assert all(f"and {length:.0f} tokens gives balance" in text for text in told)
    assert len(told) == (balance_is > 0.1)


# ---- schedules and the new refusals


def test_without_a_schedule_the_settings_are_the_same_at_every_step():
    c = TrainConfig()
    assert c.at(0) is c and c.at(c.steps) is c


def test_beta_goes_linearly_to_its_end():
    c = TrainConfig(steps=100, beta=0.1, beta_end=0.3)
    assert [c.at(step).beta for step in (0, 50, 100, 200)] == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_the_actor_weight_falls_to_0_or_rises_from_it():
    fall, rise = (TrainConfig(steps=10, actor_coef=0.4, actor_schedule=name) for name in ("fall", "rise"))
    assert [fall.at(step).actor_coef for step in (0, 5, 10)] == pytest.approx([0.4, 0.2, 0.0])
    assert [rise.at(step).actor_coef for step in (0, 5, 10)] == pytest.approx([0.0, 0.2, 0.4])


def test_the_k1_estimate_is_refused_with_its_reason():
    with pytest.raises(ValueError, match="log-ratio of the sampled token itself, so rho - kappa would be 0"):
        TrainConfig(kl_estimator="k1")


def test_more_operands_than_the_bundled_reference_knows_need_a_model_of_ones_own():
    with pytest.raises(ValueError, match=r"knows 3 to 6 operands, got 7.*make-reference"):
        TrainConfig(operands=7)
    assert TrainConfig(operands=7, model="a folder").operands == 7


@pytest.mark.parametrize("algorithm", ["vimpo_value", "grpo", "ppo"])
def test_no_advice_on_an_actor_weight_that_the_rule_does_not_have(algorithm):
    remarks = advice(TrainConfig(algorithm=algorithm, actor_coef=1.0, beta=0.01), 23.0)
    assert "actor_coef" not in {remark.setting for remark in remarks}


def test_pure_noise_and_updates_without_a_ratio_are_advised_against():
    assert levels(reward_noise=0.5)["reward_noise"] == "danger" and "reward_noise" not in levels(reward_noise=0.4)
    for algorithm in ("reinforce", "reinforce_baseline", "rloo"):
        assert levels(algorithm=algorithm, updates_per_batch=2)["updates_per_batch"] == "caution"
        assert "updates_per_batch" not in levels(algorithm=algorithm)
    assert "updates_per_batch" not in levels(algorithm="grpo", updates_per_batch=4)


def test_measuring_that_takes_a_quarter_of_a_runs_solutions_is_remarked_upon():
    def said(**settings):
        return [a.text for a in advice(TrainConfig(**settings), 23.0) if a.setting == "eval_prompts"]

    short = {"model": "smollm2", "steps": 20, "prompts_per_step": 8, "group_size": 8}
    (remark,) = said(**short)  # at steps 0, 10 and 20: 3 x 256 solutions to 20 x 64
    assert "take 0.6 solutions to held-out problems" in remark and "Use eval_prompts 21, 0 for none" in remark
    assert (
        said()
        == said(**short | {"model": "bundled"})
        == said(**short, eval_prompts=21)
        == said(**short, eval_prompts=0)
        == []
    )
    assert len(said(**short, eval_prompts=54)) == 1 and said(**short, eval_prompts=53) == []  # 318 of 1,280
