"""The table of solutions says of each what the credit view, the scorecard and "least explained" say of it."""

import json

import numpy as np

from vimpo_core.measure import scorecard
from vimpo_core.paths import DEMOS
from vimpo_core.runs.store import RunStore
from vimpo_core.service import second_reading
from vimpo_core.solutions import picks
from vimpo_core.views import credit_view
from vimpo_core.views.solution_table import POINTS_NOWHERE, rows_of, table_payload

RUN = DEMOS / "vimpo-beta-0.1"
SIGNALS = {"own": "implied_advantage", "surprisal": "surprisal_policy"}


def bundled(step=100):
    with RunStore.open(RUN) as store:
        return store.traces(step)


def test_a_reading_hits_where_the_scorecard_gives_it_the_whole_point():
    traces = bundled()
    rows = rows_of(traces, 0.1)
    wrong = [i for i, trace in enumerate(traces) if scorecard.is_localisable(trace)]
    found = scorecard.signals(traces, 0.1, 1.0)
    for name, signal in SIGNALS.items():
        hits = [rows[i][name] == rows[i]["target"] for i in wrong]
        assert hits == [scorecard.localise(found[signal][i], traces[i].first_wrong)[0] == 1 for i in wrong]
        assert 0 < sum(hits) < len(wrong)


def test_lowest_credit_and_residual_have_the_digits_of_the_credit_view_and_name_the_least_explained():
    traces = bundled()
    rows = rows_of(traces, 0.1)
    for index in (0, 66, 127):
        shown = credit_view.inspector_payload(traces, index, 0.1, 1.0)
        assert rows[index]["residual"] == shown["residual"]
        assert rows[index]["lowest"] == shown["arrays"]["td_terms"][rows[index]["own"][0]]
    farthest = max(range(len(rows)), key=lambda i: abs(rows[i]["residual"]))
    assert farthest == picks.least_explained(traces, 0.1).index


def test_another_policys_reading_stands_where_it_was_scored_alone():
    traces = bundled()
    read = second_reading.read(RUN, traces).traces
    rows = rows_of(traces, 0.1, read)
    assert {i for i, row in enumerate(rows) if row["other"] is not None} == set(read)
    for index, trace in read.items():
        assert rows[index]["other"] == rows_of([trace], 0.1)[0]["own"]


def test_an_untrained_policy_blames_nobody_and_what_was_not_recorded_is_none():
    trace = bundled(0)[0]
    alike = trace.with_(logprob=trace.ref_logprob, kl=np.zeros_like(trace.kl))
    assert rows_of([alike], 0.1)[0]["own"] == POINTS_NOWHERE
    bare = trace.with_(
        logprob=None, ref_logprob=None, kl=None, entropy=None, first_wrong=None, status="", rewards={}, reward=np.nan
    )
    row = rows_of([bare], 0.1)[0]
    assert [row[name] for name in ("own", "other", "surprisal", "lowest", "residual", "target", "reward")] == [None] * 7
    assert row["length"] == len(trace.text) and row["verdict"] == ""
    json.dumps(table_payload([row], 0.1), allow_nan=False)
