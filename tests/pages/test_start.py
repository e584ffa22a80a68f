"""The Start page without a browser: its picture, its numbers, its two ways on, and what it says without bundled runs."""

import pytest

from app import cache
from tests.fakes import make_fake_run
from tests.pages.opening import open_app, payloads, press
from vimpo_core import picks, views
from vimpo_core.runs import RunsDir


@pytest.fixture
def bundled(runs):
    """The folder of bundled runs, still empty."""
    return cache.DEMOS


def payload_of(at):
    return payloads(at)[0]


def test_without_bundled_runs_it_says_how_to_make_them(bundled):
    at = open_app()
    assert at.title[0].value == "Who gets the blame?"
    assert "`python -m vimpo_core make-demos`" in at.info[0].value
    assert [b.label for b in at.button] == ["Train it yourself", "Start the course"]


def test_it_shows_the_clearest_wrong_solution_of_the_newest_step_with_honest_counts(bundled):
    make_fake_run(bundled, beta=0.1, steps=6)
    run_id = make_fake_run(bundled, beta=0.3, steps=12)
    traces = RunsDir(bundled).open(run_id).traces(12)
    example = picks.clearest_example(traces, 0.3)
    trace = traces[example.index]
    at = open_app()
    payload = payload_of(at)
    assert (
        payload["text"] == list(trace.text)
        and payload["token"] == payload["first_wrong"] == trace.first_wrong
    )
    assert payload["layout"] == "start" and payload["scales"]["reward"] == payload["scales"]["grpo"]
    delta = views.credit_of(trace, 0.3)[trace.first_wrong]
    assert payload["headlines"]["lens"] == f"one token −{abs(delta):.2f}"
    said = " ".join(m.value for m in at.markdown)
    assert f"In {example.hits} of the {example.wrong} wrong solutions" in said
    assert f"`{trace.answer}`" in said and f"`{trace.gold}`" in said


def test_look_closer_leads_to_the_same_token(bundled):
    run_id = make_fake_run(bundled, steps=6)
    at = open_app()
    shown = payload_of(at)
    press(at, "Look closer")
    assert at.query_params["run"] == run_id
    closer = payload_of(at)
    assert closer["layout"] == "inspect"
    assert (closer["text"], closer["token"]) == (shown["text"], shown["token"])


def test_a_grpo_run_alone_makes_no_picture(bundled):
    make_fake_run(bundled, algorithm="grpo", steps=4)
    assert "make-demos" in open_app().info[0].value


def test_a_half_written_bundled_run_is_passed_over(bundled):
    make_fake_run(bundled, steps=4)
    (bundled / "vimpo-9").mkdir()
    (bundled / "vimpo-9" / "run.db").write_bytes(b"not a database")
    assert payload_of(open_app())["text"]
