"""Runs that another tool recorded, on the pages: each section works with what is there and says what is not."""

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from app.inspector.sections import SECTIONS
from tests.pages.opening import again, one, open_inspect, open_page, payload_with, press, widget, words
from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.runs.store import RunStore
from vimpo_core.service import rescore
from vimpo_core.types import CreditTrace

DATA = Path(__file__).parents[1] / "data" / "incoming" / "trl"


def scored(trace: CreditTrace, seed: int) -> CreditTrace:
    """The same with what a re-scoring finds; made up."""
    rng, length = np.random.default_rng(seed), len(trace.text)
    found = {name: np.float32(-rng.exponential(0.5, length)) for name in ("logprob", "ref_logprob")}
    found |= {name: np.float32(rng.exponential(0.1, length)) for name in ("kl", "entropy")}
    said = dict.fromkeys(found, "recomputed (a model, temperature 1)")
    return trace.with_(ids=np.arange(length, dtype=np.int32), provenance=trace.provenance | said, **found)


@pytest.fixture
def brought(runs):
    """A folder of TRL's completions, text alone."""
    return import_run(recognise([(DATA / "plain", "plain")]), runs.path / "trl-1", "yesterday's run")


@pytest.mark.parametrize("section", [None, *SECTIONS])
def test_every_section_works_with_text_and_rewards_and_says_what_is_not_there(brought, section):
    at = open_inspect(run="trl-1", **({"more": section} if section else {}))
    drawn = payload_with(at, "lenses")
    assert drawn["of_words"] and drawn["arrays"]["logprob"] is None and "Score it again" in drawn["advice"]
    assert {"tool_advantage", "grpo"} <= {name for name, values in drawn["arrays"].items() if values}
    said = words(at)
    assert "Words, not tokens: TRL did not record tokens." in said and "nobody here judged it" in said
    picked = [option for label in ("Prompt", "Solution") for option in widget(at.selectbox, label).options]
    assert picked and all("reward" in option and "right" not in option for option in picked)
    if section == "film":
        assert "Not recorded: a run brought from TRL holds no adapter" in said
    if section in ("truth", "branch"):
        assert "comes without the judge that paid its rewards. A policy could write on from here" in said
    if section == "scatter":
        assert "Not recorded: the sum needs log-probabilities of both models and KL." in said


def test_after_a_re_scoring_the_least_explained_solution_opens_at_a_press(brought):
    traces = brought.traces(2)
    with RunStore.open(brought.run_dir, writable=True) as store:
        note = {"when": "now", "steps": [1, 2], "names": ["a model", "its base"]}
        store.put_rescored([scored(trace, i) for i, trace in enumerate(traces[:5])], note)
    at = open_inspect(run="trl-1", step=2, more="scatter")
    assert "recomputed (a model, temperature 1)" in words(at)
    assert "By which rule TRL trained was not recorded" in words(at) and "GRPO does not train" not in words(at)
    assert "Solutions of 2 steps were scored under one model (a model against its base)" in words(at)
    press(at, "Least explained")
    from vimpo_core.solutions import picks

    found = picks.least_explained(brought.traces(2), 0.1)
    trace = brought.traces(2)[found.index]
    assert [one(at.query_params[name]) for name in ("group", "sample")] == [str(trace.group_id), str(trace.sample_idx)]
    assert widget(at.button, "Open the one farthest from the line").disabled


class Inline:
    """A service process that answers here and now."""

    def ask(self, function, *args, timeout, asker, is_wanted=None, **options):
        future = Future()
        try:
            future.set_result(function(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def test_from_text_alone_to_token_credit_and_back(brought, monkeypatch):
    monkeypatch.setattr(rescore, "rescore_service", Inline)
    at = open_inspect(run="trl-1", step=2, more="rescore")
    assert "sampled before that step's update, so by the policy of 1 update. No model lies beside" in words(at)
    widget(at.selectbox, "Model that wrote them").select("bundled")
    again(at)
    press(at, "Check it")
    said = words(at)
    assert "Of 8 solutions only the text was recorded" in said and "cannot be known in 8" in said
    assert "No reference is named" in said and "python -m vimpo_core rescore trl-1 --model bundled" in at.code[-1].value
    widget(at.selectbox, "Solutions").select("group")
    widget(at.selectbox, "Reference").select("bundled")
    again(at)
    press(at, "Check it")
    button = next(b for b in at.button if b.label.startswith("Score 4 solutions"))
    button.click()
    again(at)
    assert "Scored 4 solutions under the bundled model against the bundled model" in at.success[0].value
    assert "Of this step 4 solutions were scored again and 4 are as recorded." in words(at)
    assert payload_with(at, "lenses")["arrays"]["logprob"] is not None
    press(at, "Take it back")
    assert payload_with(at, "lenses")["arrays"]["logprob"] is None


def test_other_columns_of_its_row_are_shown_as_they_are(runs, tmp_path):
    row = '{"prompt": "q", "completion": "a", "reward": 1, "tool <b>": "**x** \\u202e"}'
    (tmp_path / "rows.jsonl").write_text(row)
    import_run(recognise([(tmp_path / "rows.jsonl", "rows")]), runs.path / "table-1", "a table of mine")
    at = open_inspect(run="table-1")
    assert "Brought from a table." in words(at)
    assert at.expander[0].label == "1 other column of its row"
    shown = at.expander[0].table[0].value
    assert [str(cell) for cell in shown.to_numpy().ravel()] == ["`tool <b>`", r"\*\*x\*\* ⟨RLO⟩"]


@pytest.mark.parametrize("page", ["runs", "compare", "scorecard", "train", "start"])
def test_the_other_pages_open_with_it(brought, page):
    at = open_page(page, **({"runs": "trl-1"} if page == "compare" else {}))
    said = words(at)
    if page == "runs":
        (group,) = payload_with(at, "groups")["groups"]
        (line,) = group["rows"]
        assert group["title"] == "Brought" and [head[1] for head in group["heads"]][4:6] == ["First", "Last"]
        assert line["settings"] == "TRL completions · 16 solutions · 4 groups of 4 · text alone"
        assert [one["words"] for one in line["links"]] == ["Inspect", "Re-score"] and line["state"] == "Brought"
    if page == "scorecard":
        assert "Not recorded: a run brought from TRL holds no adapter" in said
