"""A solution is read as the loss of its run has it: V_0, credit, residual and value loss of the pages are those that
trained.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch

from tests.support.real import SMALL
from vimpo_core import credit, rules
from vimpo_core.config import TrainConfig
from vimpo_core.formats import export, trace_files
from vimpo_core.formats.export import Taken
from vimpo_core.formats.reproduce import Place
from vimpo_core.learning import objective
from vimpo_core.measure import checks
from vimpo_core.measure.telescope import reward_against_telescope
from vimpo_core.rules import RULES
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions import ledger, lenses, reading
from vimpo_core.trainer import Trainer
from vimpo_core.views import credit_view, rules_view

SETTINGS = {
    "as published": {},
    "leave one out": {"baseline": "leave_one_out"},
    "cap": {"cap_v0": 0.3},
    "leave one out, cap": {"baseline": "leave_one_out", "cap_v0": 0.3},
    "k2": {"kl_estimator": "k2"},
    "k3": {"kl_estimator": "k3"},
    "top-k": {"kl_estimator": "top-k", "kl_top_k": 2},
    "value loss alone": {"algorithm": "vimpo_value", "baseline": "leave_one_out", "kl_estimator": "k3"},
    "soft": {"algorithm": "vimpo_soft"},
    "soft, cap": {"algorithm": "vimpo_soft", "cap_v0": 0.3},
    "A*-PO": {"algorithm": "a_star_po"},
    "flips": {"reward_noise": 0.4, "baseline": "leave_one_out"},
    "flips of groups": {"algorithm": "a_star_po", "reward_noise": 0.4, "reward_noise_unit": "group"},
    "beta moves": {"beta_end": 0.3, "algorithm": "vimpo_soft"},
    "reads it off": {"algorithm": "grpo", "baseline": "leave_one_out", "cap_v0": 0.3, "kl_estimator": "k3"},
}
STEPS = 3


@pytest.fixture(scope="module", params=SETTINGS)
def trained(request, tmp_path_factory):
    """Config, the last batch as the trainer measured it, and the same step as a page reads it from the run's file."""
    config = dataclasses.replace(
        SMALL,
        steps=STEPS,
        learning_rate=4e-3,
        warmup_steps=0,
        snapshot_every=1,
        prompts_per_step=6,
        group_size=4,
        operands=3,
        eval_prompts=0,
        **SETTINGS[request.param],
    )
    trainer, seen = Trainer(config), []
    collect = trainer._collect

    def watched(step):
        metrics, experience = collect(step)
        seen.append(experience)
        return metrics, experience

    trainer._collect = watched
    store = RunStore.create(tmp_path_factory.mktemp("run") / "run", config, {"name": "run"})
    while not trainer.done:
        record = trainer.step()
        store.commit_step(record)
    return config, seen[-1], store.traces(record.step), record


def in_float64(experience):
    """The batch with every measurement in double precision."""

    def double(value):
        return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    scored = {f.name: double(getattr(experience.scores, f.name)) for f in dataclasses.fields(experience.scores)}
    rest = {f.name: double(getattr(experience, f.name)) for f in dataclasses.fields(experience)}
    return dataclasses.replace(experience, **rest | {"scores": dataclasses.replace(experience.scores, **scored)})


def test_v0_credit_and_residual_of_a_page_are_those_of_the_loss(trained):
    config, experience, traces, record = trained
    at, batch = config.at(record.step), in_float64(experience)
    rule, read = reading.read_by(at, at.beta)
    sampled = batch.sampled(read, batch.scores, batch.scores.logprobs)
    residual, target = rules.residual(rule, sampled, read)
    delta = rules.value_terms(rule, sampled, read)
    assert delta.abs().max() > 1e-3  # there is something to compare
    for row, trace in enumerate(traces):
        assert trace.reward - reading.anchor(trace, at.beta) == pytest.approx(float(target[row]), abs=1e-12)
        assert reading.residual(trace, at.beta) == pytest.approx(float(residual[row]), abs=1e-12)
        shown = lenses.credit_of(trace, at.beta)
        np.testing.assert_allclose(shown, delta[row, : len(shown)].numpy(), rtol=0, atol=1e-12)


def test_the_value_loss_of_a_page_is_the_one_that_trained(trained):
    config, experience, traces, record = trained
    at = config.at(record.step)
    found = reward_against_telescope(traces, at.beta)
    assert found.missing == 0
    if RULES[config.algorithm].value:
        batch = in_float64(experience)
        logprobs = batch.scores.logprobs.detach().requires_grad_()
        _, metrics = objective.loss(at, batch, batch.scores, logprobs)
        assert found.value_loss == pytest.approx(metrics["value_loss"], abs=1e-12)
    assert found.value_loss == pytest.approx(record.metrics["value_loss"], rel=1e-5)


def test_the_digits_of_a_page_are_those_numbers_rounded(trained):
    config, _, traces, record = trained
    beta = config.at(record.step).beta
    for index, trace in enumerate(traces):
        payload = credit_view.inspector_payload(traces, index, beta, config.gae_lambda)
        unit = 10 ** payload["decimals"]["reward"]
        assert payload["baseline"] / unit == pytest.approx(reading.anchor(trace, beta), abs=0.51 / unit)
        # Every nat is rounded once, and an estimate of KL is worked out from rounded ones.
        room = (4 * beta * 10**-ledger.NATS_DECIMALS + 1.5 / unit) * len(trace.ids) + 1 / unit
        assert payload["residual"] / unit == pytest.approx(reading.residual(trace, beta), abs=room)
        assert (payload["arrays"]["kappa"] is None) == (payload["kl_name"] == "") == (not reading.has_kappa(trace))


def test_every_check_holds_or_says_why_it_cannot(trained):
    config, _, traces, record = trained
    beta = config.at(record.step).beta
    failed = {name: rows for name, rows in checks.step_checks(traces, beta, config.gae_lambda).items() if rows}
    assert not failed
    found = {c.name: c for c in checks.solution_checks(traces, 0, beta, config.gae_lambda)}
    assert all(found[name].passed for name in ("telescope", "anchors", "digits", "group"))
    assert all(c.explanation for c in found.values())


def test_a_broken_number_is_caught_whatever_the_loss(trained, monkeypatch):
    config, _, traces, record = trained
    beta = config.at(record.step).beta
    right = reading.td_terms
    monkeypatch.setattr(reading, "td_terms", lambda trace, b: right(trace, b) + 0.01)
    assert checks.telescope(traces[0], beta).passed is False


def test_every_rule_shows_the_runs_own_rule_with_the_same_digits(trained):
    config, _, traces, record = trained
    at = config.at(record.step)
    key = config.algorithm if RULES[config.algorithm].value else "vimpo"
    if key != config.algorithm:
        return  # Every rule reads the settings that its run did not use as they stand
    batch = rules_view.batch_of(traces, at, 40)
    for index, trace in enumerate(traces):
        ours, theirs = (
            rules_view.ledger_of(batch, key, index),
            ledger.ledger(trace, at.beta, at.gae_lambda),
        )
        np.testing.assert_array_equal(ours.arrays["td_terms"], theirs.arrays["td_terms"])
        assert (ours.baseline, ours.residual) == (theirs.baseline, theirs.residual)
    judged = rules_view.judge(batch, [key])[key]
    if RULES[key].advantages is None:
        np.testing.assert_allclose(
            judged.credit_of(0, len(traces[0].ids)),
            lenses.credit_of(traces[0], at.beta),
            rtol=0,
            atol=1e-12,
        )


def test_exported_tables_hold_the_runs_own_numbers(trained):
    config, _, traces, record = trained
    beta = config.at(record.step).beta
    table = trace_files.token_table(traces, 0, "run", beta, config.gae_lambda)
    assert table["v0"][0] == reading.anchor(traces[0], beta)
    np.testing.assert_array_equal(table["td_terms"], lenses.credit_of(traces[0], beta))
    assert (table["kappa"] is None) == (not reading.has_kappa(traces[0]))
    assert table["values"][-1] - traces[0].reward == pytest.approx(reading.residual(traces[0], beta), abs=1e-12)


def test_a_solution_read_back_from_json_is_read_alike(trained):
    config, _, traces, record = trained
    beta = config.at(record.step).beta
    written = json.loads(trace_files.to_json(traces[0], {"config": config.to_dict()}))
    again = trace_files.trace_of(written["records"][0]).with_(config=TrainConfig.from_dict(written["header"]["config"]))
    assert reading.residual(again, beta) == reading.residual(traces[0], beta)


def test_the_offline_page_names_the_v0_it_shows(trained):
    config, _, traces, record = trained
    beta = config.at(record.step).beta
    place = Place("run", record.step, True, True)
    header = {"run_id": "run", "algorithm": config.algorithm, "model": {}}
    facts = dict(export.facts(Taken(header, traces, 0, place, beta, config.gae_lambda)))
    name = reading.anchor_name(traces[0])
    assert facts[f"reward, {name}"].endswith(f"{reading.anchor(traces[0], beta):.4g}")
    assert facts.get("how it is read", "") == reading.note(traces[0])


def test_one_solution_and_its_step_are_read_alike(real_run):
    store = RunStore.open(real_run)
    for trace in store.traces(2):
        alone = store.trace(2, trace.group_id, trace.sample_idx)
        assert alone.group_rewards == trace.group_rewards and len(alone.group_rewards) == SMALL.group_size
        assert alone.config == trace.config == store.config()


# --- by hand ---------------------------------------------------------------------------------------------------------


def by_hand(**changes):
    """Two tokens with known nats: log-ratios 0.5 and -1, KL 0.2 and 0.1, rewards of the group 1, 0, 0, 1, this one the
    first.
    """
    from tests.support.hostile import hostile_trace

    config = {name: changes.pop(name) for name in list(changes) if name in TrainConfig.__dataclass_fields__}
    values = {
        "ids": np.arange(2, dtype=np.int32),
        "text": ("1", "."),
        "mask": np.ones(2, bool),
        "topk": None,
        "entropy": None,
        "sampler_logprob": None,
        "logprob": np.array([-0.5, -2.0], np.float32),
        "ref_logprob": np.array([-1.0, -1.0], np.float32),
        "kl": np.array([0.25, 0.125], np.float32),
        "reward": 1.0,
        "group_mean_reward": 0.5,
        "group_rewards": (1.0, 0.0, 0.0, 1.0),
        "config": TrainConfig(**config),
    }
    return hostile_trace(**values | changes)


@pytest.mark.parametrize(
    "changes, anchor, delta, name",
    [
        ({}, 0.5, [0.5 * 0.5 - 0.125, -0.5 - 0.0625], "group mean"),
        ({"baseline": "leave_one_out"}, 1 / 3, [0.125, -0.5625], "mean of the others"),
        ({"cap_v0": 0.25}, 0.25, [0.125, -0.5625], "group mean, capped at 0.25"),
        ({"kl_estimator": "k2"}, 0.5, [0.25 - 0.5 * 0.125, -0.5 - 0.5 * 0.5], "group mean"),
        (
            {"kl_estimator": "k3"},
            0.5,
            [0.25 - 0.5 * (np.exp(-0.5) - 0.5), -0.5 - 0.5 * (np.e - 2)],
            "group mean",
        ),
        (
            {"kl_estimator": "top-k", "top_k_kl": np.array([0.125, 0.0], np.float32)},
            0.5,
            [0.25 - 0.0625, -0.5],
            "group mean",
        ),
        ({"algorithm": "vimpo_soft"}, 0.5 * np.log((np.e**2 + 1) / 2), [0.25, -0.5], "soft baseline"),
        (
            {"algorithm": "a_star_po", "reference_rate": 0.25},
            0.5 * np.log(0.75 + 0.25 * np.e**2),
            [0.25, -0.5],
            "V*",
        ),
        ({"algorithm": "grpo", "baseline": "leave_one_out"}, 0.5, [0.125, -0.5625], "group mean"),
    ],
)
def test_by_hand_at_beta_one_half(changes, anchor, delta, name):
    trace = by_hand(**changes)
    assert reading.anchor(trace, 0.5) == pytest.approx(anchor, abs=1e-12)
    assert reading.anchor_name(trace) == name
    np.testing.assert_allclose(lenses.credit_of(trace, 0.5), delta, rtol=0, atol=1e-12)
    assert reading.residual(trace, 0.5) == pytest.approx(sum(delta) - (1 - anchor), abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, ""),
        ({"algorithm": "grpo", "kl_estimator": "k3"}, ""),  # it has no value loss, so nothing sums another KL
        ({"baseline": "leave_one_out", "cap_v0": 0.5}, ""),  # a scorecard starts V at the prompt's own value
        ({"kl_estimator": "k2"}, "takes the k2 estimate from the sampled token, half its log-ratio squared."),
        ({"kl_estimator": "top-k"}, "takes the KL over the policy's most probable tokens."),
        ({"algorithm": "vimpo_soft"}, "subtracts no KL."),
        ({"algorithm": "a_star_po"}, "subtracts no KL."),
    ],
)
def test_what_a_scorecard_reads_says_where_the_runs_own_loss_sums_something_else(settings, says):
    said = reading.exact_note(TrainConfig(**settings))
    assert said == (says and f"Here δ has the exact KL, for every run alike; this run's own value loss {says}")


def test_a_trace_of_no_run_is_read_as_published():
    trace = by_hand().with_(config=None)
    np.testing.assert_array_equal(lenses.credit_of(trace, 0.5), lenses.credit_of(by_hand(), 0.5))
    assert reading.anchor(trace, 0.5) == 0.5 and not reading.note(trace)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"kl_estimator": "top-k"}, "top-k KL"),
        ({"kl": None}, "KL"),
    ],
)
def test_what_the_loss_took_and_was_not_recorded_is_missing_never_another_kl(changes, says):
    trace = by_hand(**changes)
    assert lenses.credit_of(trace, 0.5) is None and reading.missing(trace) == [says]
    payload = credit_view.inspector_payload([trace], 0, 0.5, 1.0)
    assert payload["missing"] == [says] and payload["arrays"]["td_terms"] is None
    assert payload["residual"] is None
    assert not any(c.passed is False for c in checks.solution_checks([trace], 0, 0.5, 1.0))


def test_an_estimate_from_the_token_needs_no_recorded_kl():
    trace = by_hand(kl_estimator="k3", kl=None)
    assert lenses.credit_of(trace, 0.5) is not None
    assert lenses.lens_values([trace], 0, "kappa", 0.5, 1.0) is not None


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"algorithm": "a_star_po"}, "was not measured"),
        ({"group_mean_reward": float("nan"), "group_rewards": ()}, "stands alone"),
        (
            {"algorithm": "vimpo_soft", "group_mean_reward": float("nan"), "group_rewards": ()},
            "no soft baseline",
        ),
        ({"baseline": "leave_one_out", "group_rewards": ()}, "not recorded"),
    ],
)
def test_no_v0_is_said_in_a_sentence_and_shown_as_missing(changes, says):
    trace = by_hand(**changes)
    assert says in reading.why_no_anchor(trace) and np.isnan(reading.anchor(trace, 0.5))
    payload = credit_view.inspector_payload([trace], 0, 0.5, 1.0)
    assert payload["baseline"] is None and payload["residual"] is None
    assert reward_against_telescope([trace], 0.5).missing == 1
    assert checks.telescope(trace, 0.5).passed is None and says in checks.telescope(trace, 0.5).explanation


def test_a_typed_solution_has_a_start_where_v_star_was_measured():
    trace = by_hand(algorithm="a_star_po", reference_rate=0.5, group_mean_reward=float("nan"), group_rewards=())
    assert reading.anchor(trace, 0.5) == pytest.approx(float(credit.soft_value(np.array(0.5), 0.5)), abs=1e-12)


@pytest.mark.parametrize("algorithm", RULES)
def test_the_text_of_a_value_loss_at_the_published_settings_is_the_declared_one(algorithm):
    rule = RULES[algorithm]
    assert rules.terms_of(rule, TrainConfig(algorithm=algorithm)) == rule.terms


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"baseline": "leave_one_out"}, "½ (Σ (ρ − κ) − (R − mean of the others))²"),
        ({"cap_v0": 0.9}, "½ (Σ (ρ − κ) − (R − min(group mean, 0.9)))²"),
        ({"kl_estimator": "k3"}, "½ (Σ (ρ − κ) − (R − group mean))², κ by k3"),
        (
            {"value_loss": "huber", "huber_delta": 0.25},
            "huber(Σ (ρ − κ) − (R − group mean)), linear beyond 0.25",
        ),
        ({"algorithm": "vimpo_soft", "cap_v0": 0.9}, "½ (Σ ρ − (R − min(soft baseline, 0.9)))²"),
        ({"algorithm": "a_star_po", "cap_v0": 0.9}, "½ (Σ ρ − (R − V*))²"),
    ],
)
def test_the_text_of_a_value_loss_follows_the_settings(settings, text):
    config = TrainConfig(**settings)
    assert rules.terms_of(RULES[config.algorithm], config)["value"] == text


@pytest.mark.parametrize("estimator", ["k2", "k3", "top-k"])
def test_a_run_without_a_value_loss_is_measured_by_the_exact_kl(estimator):
    """Its own settings of the value loss train nothing, so they change none of its numbers."""
    rule, read = reading.read_by(TrainConfig(algorithm="grpo", kl_estimator=estimator, cap_v0=0.5), 0.1)
    assert rule is RULES["vimpo"] and read == TrainConfig(beta=0.1)
