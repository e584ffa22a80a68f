"""The section "Every rule" without a browser: what is sent, measured, ranked, compared and said."""

import numpy as np
import pytest
import streamlit as st

from app import cache
from app.inspector import rules
from tests.pages.opening import (
    Address,
    StubService,
    again,
    one,
    open_inspect,
    payload_with,
    press,
    widget,
    words,
)
from tests.support.fakes import make_fake_run
from vimpo_core import rules as family
from vimpo_core.measure.truth import PrefixValues
from vimpo_core.rules import RULES, SLOTS
from vimpo_core.service import scoring
from vimpo_core.service.scoring import PrefixTruth
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.views.rules_view import batch_of, settings_at


class FakeService(StubService):
    def step_values(self, run_dir, step, tries, progress):
        return self.asked_for(run_dir.name, step, tries)

    def reference_rewards(self, run_dir, step, tries, progress):
        return self.asked_for("V*", run_dir.name, step, tries)

    def solution_truth(self, run_dir, step, prompt, solution, tries, ids):
        return self.asked_for(run_dir.name, step, prompt, solution, tries)

    def score_solution(self, *request):
        return self.asked_for(*request)


@pytest.fixture
def measuring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(scoring, "scoring_service", lambda: fake)
    return fake


@pytest.fixture
def run(runs):
    return make_fake_run(runs.path, steps=10, prompts_per_step=4)


def open_rules(**query):
    return open_inspect(more="rules", **query)


def strips(at):
    return payload_with(at, "rows")


def row(at, key):
    return next(row for row in strips(at)["rows"] if row["key"] == key)


def found_values(traces):
    random = np.random.default_rng(0)
    return [np.append(random.random(len(t.ids)), t.reward) for t in traces]


def test_every_rule_has_a_row_and_a_line_of_the_table(runs, run, measuring):
    at = open_rules(step=10)
    assert [row["key"] for row in strips(at)["rows"]] == list(RULES)
    table = next(m.value for m in at.markdown if m.value.startswith("| Rule |")).replace("\\", "")
    for rule in RULES.values():
        assert f"| **{rule.name}** |" in table and rule.differs in table
    assert "https://arxiv.org/abs/2606.20008" in table and "no critic in this run" in table
    assert not measuring.asked


def test_pushes_are_the_trained_weights_over_their_root_mean_square(runs, run):
    at = open_rules(step=10, group=1, sample=2)
    store = runs.open(run)
    traces, config = store.traces(10), store.config()
    batch = batch_of(traces, settings_at(config, 10, config.beta, config.gae_lambda), 54)
    weights = family.weights("vimpo", batch.sampled, batch.config, ChainTask(5).max_new_tokens)
    rms = np.sqrt((weights[batch.sampled.completion_mask] ** 2).mean())
    index = next(i for i, t in enumerate(traces) if (t.group_id, t.sample_idx) == (1, 2))
    shown = np.array(row(at, "vimpo")["push"]["values"]) / 100
    assert shown == pytest.approx(weights[index, : len(shown)] / rms, abs=0.006)


def test_the_sliders_move_what_depends_on_them_and_nothing_else(runs, run):
    at = open_rules(step=10)
    before = strips(at)["rows"]
    widget(at.select_slider, "beta").set_value(0.5)
    after = strips(again(at))["rows"]
    moved = {b["key"] for b, a in zip(before, after, strict=True) if b != a}
    assert moved == {"vimpo", "vimpo_value", "vimpo_soft", "a_star_po"}
    assert "Read at beta 0.5; the run had 0.1 at this step." in words(at)


def test_monte_carlo_values_are_measured_once_for_everybody_and_refined(runs, run, measuring):
    at = open_rules(step=10)
    assert "not measured" in row(at, "vineppo")["push"]["why_not"]
    press(at, "Measure Monte Carlo values")
    assert measuring.asked == [(run, 10, 16)] and widget(at.button, "Cancel")
    traces = runs.open(run).traces(10)
    measuring.future.set_result(found_values(traces))
    again(at)
    assert row(at, "vineppo")["push"]["values"] and "16 tries from every prefix of each of the 32" in words(at)
    press(open_rules(step=10), "Refine Monte Carlo values to 64 tries")
    assert measuring.asked[1:] == [(run, 10, 64)]


def test_what_is_it_right_has_tried_vineppo_reads_on_that_solution(runs, run, measuring):
    at = open_inspect(more="truth", step=10, group=1, sample=2)
    trace = runs.open(run).trace(10, 1, 2)
    tries = np.zeros((len(trace.ids) + 1, 16), bool)
    tries[: len(trace.ids) // 2] = True
    values = PrefixValues(tries, np.arange(len(trace.ids) + 1) == len(trace.ids))
    measuring.future.set_result(PrefixTruth(values, values))
    again(at)
    at = open_rules(step=10, group=1, sample=2)
    assert row(at, "vineppo")["credit"]["values"] and not row(at, "vineppo")["credit"]["why_not"]
    assert "Of this solution alone Is it right? has found Monte Carlo values, by 16 tries" in words(at)
    assert any(b.label == "Measure Monte Carlo values" for b in at.button)  # of the whole step
    assert "not measured" in row(open_rules(step=10, group=1, sample=3), "vineppo")["credit"]["why_not"]


def test_v_star_is_measured_on_demand_with_its_provenance(runs, run, measuring):
    at = open_rules(step=10)
    assert "success rate on the prompt was not measured" in row(at, "a_star_po")["push"]["why_not"]
    press(at, "Measure V*")
    assert measuring.asked == [("V*", run, 10, 16)] and widget(at.button, "Cancel")
    measuring.future.set_result([[0, 0, 0, 1]] * 32)
    again(at)
    assert row(at, "a_star_po")["push"]["values"]
    assert "16 solutions of the reference to every prompt, by the verifier's own verdicts" in words(at)
    # What is measured is kept for everybody, and Monte Carlo values stay to be measured.
    assert row(open_rules(step=10), "a_star_po")["push"]["values"]
    assert any(b.label == "Measure Monte Carlo values" for b in at.button)
    press(at, "Refine V* to 64 tries")
    press(at, "Cancel")
    assert "Cancelled: V* was not measured." in words(at)


def test_v_star_that_the_run_recorded_is_not_measured_again(runs, run, measuring, monkeypatch):
    recorded = [t.with_(reference_rate=0.5) for t in runs.open(run).traces(10)]
    monkeypatch.setattr(cache, "traces", lambda *_: recorded)
    at = open_rules(step=10)
    assert row(at, "a_star_po")["push"]["values"] and "V* is from the success rates that the run recorded" in words(at)
    assert not any("V*" in b.label for b in at.button)


def test_what_the_run_recorded_itself_is_not_measured_again(runs, run, measuring, monkeypatch):
    recorded = runs.open(run).traces(10)
    with_values = [
        t.with_(mc_values=values, critic_values=values[:-1])
        for t, values in zip(recorded, found_values(recorded), strict=True)
    ]
    monkeypatch.setattr(cache, "traces", lambda *_: with_values)
    at = open_rules(step=10)
    assert row(at, "vineppo")["push"]["values"] and row(at, "ppo")["push"]["values"]
    assert "those that the run recorded: 4 tries" in words(at)
    assert not any("Monte Carlo" in b.label for b in at.button)


def test_measuring_can_be_cancelled_and_asked_for_again(runs, run, measuring):
    at = press(open_rules(step=10), "Measure Monte Carlo values")
    press(at, "Cancel")
    assert measuring.future.cancelled() and "Cancelled: Monte Carlo values were not measured." in words(at)
    press(at, "Measure Monte Carlo values")
    assert len(measuring.asked) == 2


def test_without_an_adapter_of_the_step_the_way_is_named(runs, run, measuring):
    at = open_rules(step=7)
    assert "no adapter of step 7 was kept (kept: 0, 5, 10)" in words(at)
    assert not any(b.label == "Measure Monte Carlo values" for b in at.button)


def test_the_whole_prompt_shows_one_rule_on_each_of_its_solutions(runs, run):
    at = open_rules(step=10, group=1, sample=3, whole="group", rule="dr_grpo")
    payload = strips(at)
    assert payload["group_rule"] == "Dr. GRPO" and [r["sample"] for r in payload["group"]] == list(range(8))
    assert [r["is_chosen"] for r in payload["group"]].index(True) == 3
    assert strips(open_rules(step=10, group=1, sample=3))["group"] == []


def test_two_rules_of_the_address_are_compared_slot_by_slot(runs, run):
    at = open_rules(step=10, a="dr_grpo", b="grpo", token=2)
    diff = payload_with(at, "slots")
    assert diff["names"] == ["Dr. GRPO", "GRPO"]
    assert [slot["title"] for slot in diff["slots"]] == [*SLOTS.values(), "Gradient weight on this token"]
    assert [slot["title"] for slot in diff["slots"] if slot["is_different"]] == [
        SLOTS["scale"],
        SLOTS["average"],
    ]
    assert all(diff["slots"][-1]["lines"]) and diff["why_not"] == ["", ""]
    assert [formula.value.strip("$\n") for formula in at.latex] == [
        RULES["dr_grpo"].latex,
        RULES["grpo"].latex,
    ]
    assert "Unrounded weights: Dr. GRPO" in words(at)


def test_disagreements_lead_to_their_token_and_their_solution(runs, run):
    at = open_rules(step=10, a="vimpo", b="grpo")
    token = next(b for b in at.button if b.label.startswith("#"))
    token.click()
    again(at)
    assert one(at.query_params["token"]) == token.label[1:]
    opener = next(b for b in at.button if b.label == "Open" and not b.disabled)
    opener.click()
    again(at)
    trace = runs.open(run).traces(10)[int(opener.key.removeprefix("rules.open."))]
    assert (one(at.query_params["group"]), one(at.query_params["sample"])) == (
        str(trace.group_id),
        str(trace.sample_idx),
    )


def test_a_typed_solution_shows_credit_and_says_what_needs_a_group(runs, run, measuring):
    trace = runs.open(run).trace(10, 0, 0)
    at = open_rules(mode="typed", problem=trace.prompt_text, solution=trace.completion_text, step=10)
    measuring.future.set_result(
        [trace.with_(group_mean_reward=float("nan"), critic_values=np.zeros(len(trace.ids), np.float32))]
    )
    again(at)
    assert strips(at)["lens"] == "credit" and strips(at)["group"] == []
    assert row(at, "grpo")["credit"]["values"] is None and row(at, "ppo")["credit"]["values"] is not None
    assert "needs a group" in words(at) and "typed one stands alone" in payload_with(at, "slots")["why_not"][1]
    press(at, "Measure Monte Carlo values")
    assert measuring.asked[-1] == (run, 10, trace.prompt_text, trace.completion_text, 16)
    tried = PrefixValues(np.ones((len(trace.ids) + 1, 16), bool), np.zeros(len(trace.ids) + 1, bool))
    measuring.future.set_result(PrefixTruth(tried, tried))
    assert row(again(at), "vineppo")["credit"]["values"] == [0] * len(trace.ids)


def test_the_note_says_that_the_value_loss_alone_is_flat_and_its_row_is(runs, run):
    at = open_rules(step=10)
    assert "value loss alone pushes every token of a solution alike" in words(at)
    value = row(at, "vimpo_value")
    assert value["push"]["is_flat"] and not value["credit"]["is_flat"]


@pytest.mark.parametrize(
    ("view", "address"),
    [
        ({"token": 3, "lens": "credit"}, {"token": "3", "reading": "credit"}),
        ({"token": 3, "lens": "push", "sample": 2}, {"token": "3", "sample": "2"}),
        ({"token": "<b>", "lens": "x", "sample": "y"}, {}),
        (None, {}),
    ],
)
def test_what_was_chosen_goes_to_the_address(monkeypatch, view, address):
    query = Address({})
    monkeypatch.setattr(st, "query_params", query)
    monkeypatch.setattr(st, "session_state", {rules.KEY: {"view": view}})
    rules._remember()
    assert query == address
