"""ARCHITECTURE's recipe: a further rule is an entry in `rules.RULES` and its look in `views.rule_styles`, nothing
else.
"""

import dataclasses

import pytest

from app.components.hues import style_of
from app.words import judges
from vimpo_core import rules
from vimpo_core.config import TrainConfig, advice
from vimpo_core.measure.metrics import METRICS
from vimpo_core.rules import RULES
from vimpo_core.trainer import Trainer
from vimpo_core.views import rule_styles, rules_view

KEY = "half"


@pytest.fixture(scope="module")
def further_rule():
    """GRPO with half the advantage, under a name of its own."""
    rule = dataclasses.replace(
        RULES["grpo"],
        name="Half of GRPO",
        advantages=lambda sampled, config: 0.5 * RULES["grpo"].advantages(sampled, config),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rules.RULES, KEY, rule)
        for table, look in (
            (rule_styles.LIGHT, ("#333333", "#777777", "#111111")),
            (rule_styles.DARK, ("#dddddd", "#999999", "#ffffff")),
            (rule_styles.DASHES, (1, 2, 3, 4)),
            (rule_styles.MARKERS, "circle"),
        ):
            patch.setitem(table, KEY, look)
        # What a new process would find: the choices are the rules there are.
        field = TrainConfig.__dataclass_fields__["algorithm"]
        patch.setattr(field, "metadata", {**field.metadata, "choices": tuple(RULES)})
        yield rule


@pytest.fixture(scope="module")
def records(further_rule):
    config = TrainConfig(
        algorithm=KEY, steps=2, prompts_per_step=4, group_size=4, eval_prompts=8, warmup_steps=1, seed=3
    )
    trainer, found = Trainer(config), []
    while not trainer.done:
        found.append(trainer.step())
    return config, found


def test_it_trains(records):
    _, found = records
    assert [record.step for record in found] == [0, 1, 2]
    assert all(name in found[0].metrics for name in ("actor_loss", "clip_fraction", "grad_norm"))


def test_its_push_is_shown_beside_the_others_on_a_solution(records):
    config, found = records
    batch = rules_view.batch_of(found[0].traces, config, 30)
    payload = rules_view.rules_payload(batch, rules_view.judge(batch), 0)
    rows = {row["key"]: row for row in payload["rows"]}
    assert rows[KEY]["name"] == "Half of GRPO"
    assert rows[KEY]["push"]["values"] is not None and set(rows) == set(RULES)


def test_its_metrics_are_judged_and_its_settings_advised_on(records):
    config, found = records
    history = [{"step": float(record.step)} | record.metrics for record in found]
    remarks = [judges.remark(metric.name, history[-1].get(name), config, history) for name, metric in METRICS.items()]
    assert all(remarks) and not [remark for remark in remarks if "VIMPO" in remark]
    assert [a.level for a in advice(dataclasses.replace(config, learning_rate=1e-2), 14)] == ["danger"]


def test_its_look_is_known_to_the_browser(further_rule):
    assert style_of(KEY) == {"hues": {"light": "#333333", "dark": "#dddddd"}, "dash": [1, 2, 3, 4]}
