"""The Start page without a browser: its picture, its numbers, its two ways on, and what it says without bundled
runs.
"""

from urllib.parse import parse_qsl

import numpy as np
import pytest

from app import cache
from tests.pages.opening import open_app, open_inspect, payload_with, words
from tests.support.fakes import make_fake_run
from vimpo_core import rules
from vimpo_core.runs.folder import RunsDir
from vimpo_core.solutions import lenses, picks
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.views import rules_view


@pytest.fixture
def bundled(runs):
    """The folder of bundled runs, still empty."""
    return cache.DEMOS


def payload_of(at):
    return payload_with(at, "rows")


def rows_of(at):
    return {row["label"]: row for row in payload_of(at)["rows"]}


def test_without_bundled_runs_it_says_how_to_make_them(bundled):
    at = open_app()
    assert at.title[0].value == "Who gets the blame?"
    assert "`python -m vimpo_core make-demos`" in at.info[0].value
    assert [b.label for b in at.button] == ["Train it yourself"]
    assert [link.proto.label for link in at.get("page_link")] == ["Start the course"]


def test_it_shows_the_clearest_wrong_solution_of_the_newest_step_with_honest_counts(bundled):
    make_fake_run(bundled, beta=0.1, steps=6)
    run_id = make_fake_run(bundled, beta=0.3, steps=12)
    traces = RunsDir(bundled).open(run_id).traces(12)
    example = picks.clearest_example(traces, 0.3)
    trace = traces[example.index]
    at = open_app()
    payload = payload_of(at)
    assert payload["text"] == list(trace.text) and payload["token"] == payload["first_wrong"] == trace.first_wrong
    delta = lenses.credit_of(trace, 0.3)
    np.testing.assert_allclose(rows_of(at)["δ, VIMPO-trained"]["values"], delta, atol=1e-4)
    said = " ".join(m.value for m in at.markdown)
    assert f"lowest, −{abs(delta.min()):.2f}" in said
    assert f"in {example.hits} of the {example.wrong} wrong solutions" in said
    assert f"`{trace.answer}`" in said and f"`{trace.gold}`" in said


def test_the_pushes_are_the_gradients_that_train_at_the_runs_own_settings_on_one_scale(bundled):
    run_id = make_fake_run(bundled, beta=0.3, actor_coef=0.1, steps=12)
    store = RunsDir(bundled).open(run_id)
    traces, config = store.traces(12), store.config()
    batch = rules_view.batch_of(traces, config, ChainTask(config.operands).max_new_tokens)
    index = picks.clearest_example(traces, 0.3).index
    rows = rows_of(open_app())
    for key, label in (("grpo", "GRPO would push"), ("vimpo", "VIMPO pushes")):
        weights = rules.weights(key, batch.sampled, config, batch.token_budget)
        over = np.sqrt((weights**2).sum() / batch.sampled.completion_mask.sum())
        expected = weights[index, : len(traces[index].ids)] / over
        np.testing.assert_allclose(rows[label]["values"], expected, atol=1e-4)
    assert rows["GRPO would push"]["scale"] == rows["VIMPO pushes"]["scale"]


def test_what_pushes_and_what_is_read_off_stand_under_headings_of_their_own(bundled):
    make_fake_run(bundled, steps=12)
    headed = [(row["heading"], row["label"]) for row in payload_of(open_app())["rows"] if row["heading"]]
    assert headed == [
        ("What each rule pushes, at the λ it trains with", "GRPO would push"),
        ("What can be read off a trained policy: credit δ", "δ, VIMPO-trained"),
    ]


def test_the_bundled_picture_says_nothing_that_every_rule_contradicts(tmp_path, monkeypatch):
    """Both pushes nearly flat at lambda 1, and the map read off VIMPO's policy nearly that of GRPO's."""
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(tmp_path))
    at = open_app()
    rows = {label: np.array(row["values"]) for label, row in rows_of(at).items()}
    wrong, said = payload_of(at)["first_wrong"], words(at)
    before = rows["VIMPO pushes"][: wrong + 1]
    assert np.ptp(rows["GRPO would push"]) == 0 and np.ptp(before) < 0.1 * abs(before).min()
    assert "Training blames nearly every token alike" in said and "at λ 1, with which it trains" in said
    read, other = rows["δ, VIMPO-trained"], rows["δ, GRPO-trained"]
    assert read.argmin() == other.argmin() == wrong
    assert np.corrcoef(read, other)[0, 1] > 0.99
    assert "the bundled GRPO run gives nearly the same map" in said


def test_look_closer_leads_to_the_same_token(bundled):
    run_id = make_fake_run(bundled, steps=6)
    at = open_app()
    shown = payload_of(at)
    link = next(link.proto for link in at.get("page_link") if link.proto.label == "Look closer")
    query = dict(parse_qsl(link.query_string))
    assert query["run"] == run_id
    closer = payload_with(open_inspect(**query), "arrays")
    assert (closer["text"], closer["token"]) == (shown["text"], shown["token"])


def test_a_grpo_run_alone_makes_no_picture(bundled):
    make_fake_run(bundled, algorithm="grpo", steps=4)
    assert "make-demos" in open_app().info[0].value


def test_a_half_written_bundled_run_is_passed_over(bundled):
    make_fake_run(bundled, steps=4)
    (bundled / "vimpo-9").mkdir()
    (bundled / "vimpo-9" / "run.db").write_bytes(b"not a database")
    assert payload_of(open_app())["text"]
