"""Second readings: the bundled ones are what scoring gives now, and none of another policy or other tokens is used."""

import json
import shutil

import numpy as np
import pytest

from vimpo_core.make.demos import READ_BY
from vimpo_core.measure.scorecard import is_localisable
from vimpo_core.paths import DEMOS
from vimpo_core.runs.store import RunStore
from vimpo_core.service import kept_reports, scoring, second_reading


def last_traces(run_dir):
    with RunStore.open(run_dir) as store:
        return store.traces(store.trace_steps()[-1])


@pytest.mark.parametrize("run_id, other", READ_BY.items())
def test_every_wrong_solution_is_kept_as_the_other_policy_scores_it_now(run_id, other):
    traces = last_traces(DEMOS / run_id)
    read = second_reading.read(DEMOS / run_id, traces)
    assert (read.run_id, read.step) == (other, 100)
    wrong = {i for i, trace in enumerate(traces) if is_localisable(trace)}
    assert wrong <= read.traces.keys()
    for index in sorted(wrong)[::10]:
        trace, kept = traces[index], read.traces[index]
        now = scoring.score_solution(
            DEMOS / other, 100, trace.prompt_text, trace.completion_text, ids=tuple(map(int, trace.ids))
        )[0]
        for name in ("logprob", "ref_logprob", "kl"):
            # Another processor may add floats in another order.
            np.testing.assert_allclose(getattr(kept, name), getattr(now, name), atol=1e-4)
        np.testing.assert_allclose(kept.ref_logprob, trace.ref_logprob, atol=1e-3)  # one reference for both


def test_a_reading_by_a_policy_that_changed_is_not_used(tmp_path, monkeypatch):
    for name in ("vimpo-beta-0.3", "grpo"):
        shutil.copytree(DEMOS / name, tmp_path / name)
    traces = last_traces(tmp_path / "vimpo-beta-0.3")
    assert second_reading.read(tmp_path / "vimpo-beta-0.3", traces)
    monkeypatch.setattr(kept_reports, "METHOD", -1)  # as any change of what the fingerprint is of
    assert second_reading.read(tmp_path / "vimpo-beta-0.3", traces) is None


def test_only_solutions_with_these_very_tokens_have_a_reading():
    run_dir = DEMOS / "vimpo-beta-0.3"
    traces = last_traces(run_dir)
    index = next(iter(second_reading.read(run_dir, traces).traces))
    other = traces[index].with_(ids=traces[index].ids + 1)
    assert second_reading.read(run_dir, [other]) is None
    assert second_reading.read(run_dir, [traces[index]]).traces.keys() == {0}


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"run_id": "grpo", "step": 7})])
def test_a_missing_or_damaged_file_is_no_reading(tmp_path, text):
    shutil.copytree(DEMOS / "grpo", tmp_path / "grpo")
    assert second_reading.read(tmp_path / "grpo", last_traces(DEMOS / "grpo")) is None  # its other run is not there
    (tmp_path / "grpo" / second_reading.FILE).write_text(text, encoding="utf-8")
    assert second_reading.read(tmp_path / "grpo", last_traces(DEMOS / "grpo")) is None
