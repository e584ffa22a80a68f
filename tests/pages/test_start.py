"""The Start page without a browser: its picture, its numbers, its ways on, and what it says without bundled runs."""

from urllib.parse import parse_qsl

import numpy as np
import pytest

from app import cache
from tests.pages.opening import open_app, open_inspect, payload_with, press, words
from tests.support.fakes import make_fake_run
from vimpo_core import rules
from vimpo_core.labs.presets import PRESETS
from vimpo_core.runs.folder import RunsDir
from vimpo_core.solutions import lenses, picks
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.views import rules_view, solution_table


@pytest.fixture
def bundled(runs):
    """The folder of bundled runs, still empty."""
    return cache.DEMOS


def payload_of(at):
    return payload_with(at, "readings")


def links(at):
    return {link.proto.label: dict(parse_qsl(link.proto.query_string)) for link in at.get("page_link")}


def test_without_bundled_runs_it_says_how_to_make_them(bundled):
    at = open_app()
    assert at.title[0].value == "Who gets the blame?"
    assert "`python -m vimpo_core make-demos`" in at.info[0].value
    assert list(links(at)) == ["Start the course"] and at.button[0].label == "Train it yourself"


def test_it_shows_the_clearest_wrong_solution_of_the_newest_step_with_honest_counts(bundled):
    make_fake_run(bundled, beta=0.1, steps=6)
    run_id = make_fake_run(bundled, beta=0.3, steps=12)
    traces = RunsDir(bundled).open(run_id).traces(12)
    example = picks.clearest_example(traces, 0.3)
    trace = traces[example.index]
    at = open_app()
    payload = payload_of(at)
    assert payload["text"] == list(trace.text) and payload["first_wrong"] == trace.first_wrong
    assert (payload["beta"], payload["gae_lambda"]) == (0.3, 1.0)
    np.testing.assert_allclose(0.3 * np.array(payload["readings"][0]["per_beta"]), lenses.credit_of(trace, 0.3))
    said = words(at)
    known = [one for one in traces if one.first_wrong is not None and not picks.is_correct(one)]
    surprising = sum(solution_table.blamed(one, one.logprob) == one.first_wrong for one in known)
    assert len(known) == example.wrong
    counts = f"δ names the mistake in {example.hits}, surprisal in {surprising}."
    assert f"clearest of {example.wrong} wrong solutions: {counts}" in said
    assert f"`{trace.answer}`" in said and f"`{trace.gold}`" in said


def test_how_hard_a_rule_pushes_in_the_end_is_the_gradient_that_trains_at_the_runs_own_settings(bundled):
    run_id = make_fake_run(bundled, beta=0.3, actor_coef=0.1, steps=12)
    store = RunsDir(bundled).open(run_id)
    traces, config = store.traces(12), store.config()
    batch = rules_view.batch_of(traces, config, ChainTask(config.operands).max_new_tokens)
    index, hardest = picks.clearest_example(traces, 0.3).index, []
    for key in ("grpo", "vimpo"):
        weights = rules.weights(key, batch.sampled, config, batch.token_budget)
        hardest.append(abs(weights[index]).max() / np.sqrt((weights**2).sum() / batch.sampled.completion_mask.sum()))
    said = words(open_app())
    assert f"GRPO’s push is {hardest[0]:.2f} times its usual one, VIMPO’s, at λ 1, {hardest[1]:.2f} times" in said


def test_the_bundled_picture_has_the_credit_of_every_rule_and_hides_neither_what_is_flat_nor_what_is_faint(
    tmp_path, monkeypatch
):
    """GRPO and VIMPO flat at lambda 1, VIMPO's push faint, and the map read off its policy nearly that of GRPO's."""
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(tmp_path))
    at = open_app()
    payload, query = payload_of(at), links(at)["Look closer"]
    shown = payload_with(open_inspect(**query, more="rules"), "group_rule")
    rules_of = {row["key"]: row for row in shown["rows"]}

    def credit(rule):
        told = rules_of[rule]["credit"]
        return np.array(told["values"]) / 10 ** told["decimals"]

    delta, other = (payload["beta"] * np.array(one["per_beta"]) for one in payload["readings"])
    carried = np.cumsum(delta[::-1])[::-1]
    for rule, own in (("grpo", payload["above_group"]), ("vimpo", carried), ("vimpo_value", delta)):
        np.testing.assert_allclose(credit(rule), own + np.zeros(len(delta)), atol=2e-3)  # Every rule rounds nats first
    wrong = payload["first_wrong"]
    assert payload["gae_lambda"] == 1 and np.ptp(carried[: wrong + 1]) < 0.1 and carried.argmin() != wrong
    assert delta.argmin() == other.argmin() == wrong and np.corrcoef(delta, other)[0, 1] > 0.99
    pushed = max(abs(v) for v in rules_of["vimpo"]["push"]["values"]) / 100
    assert pushed < 0.5 and f"VIMPO’s, at λ 1, {pushed:.2f} times: faint" in words(at)


def test_one_press_trains_a_first_run(bundled):
    make_fake_run(bundled, steps=4)
    press(open_app(), "Train it yourself")
    (job,) = cache.runs_dir().jobs()
    assert [cache.runs_dir().open(run_id).config() for run_id in job.run_ids] == PRESETS["first"].configs


def test_look_closer_leads_to_the_same_token(bundled):
    run_id = make_fake_run(bundled, steps=6)
    at = open_app()
    shown, query = payload_of(at), links(at)["Look closer"]
    assert query["run"] == run_id
    closer = payload_with(open_inspect(**query), "arrays")
    assert (closer["text"], closer["token"]) == (shown["text"], shown["first_wrong"])


def test_a_grpo_run_alone_makes_no_picture(bundled):
    make_fake_run(bundled, algorithm="grpo", steps=4)
    assert "make-demos" in open_app().info[0].value


def test_a_half_written_bundled_run_is_passed_over(bundled):
    make_fake_run(bundled, steps=4)
    (bundled / "vimpo-9").mkdir()
    (bundled / "vimpo-9" / "run.db").write_bytes(b"not a database")
    assert payload_of(open_app())["text"]
