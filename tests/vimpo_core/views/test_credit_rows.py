"""The rows of Start and chapter 1: what the browser works out of the payload is what trains, at any lambda and beta."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from tests.support.fakes import make_fake_run
from tests.support.needs import missing
from tests.support.waiting import PATIENCE
from vimpo_core.paths import ASSETS
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.views import rules_view
from vimpo_core.views.credit_rows import credit_rows
from vimpo_core.views.credit_view import inspector_payload

STEP, BETA = 12, 0.3
SCRIPT = """
import { readFileSync } from "node:fs";
const { alike, carried, deltaAt } = await import("%s");
const { payload, choices } = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify(choices.map(([lambda, beta]) => {
  const [grpo, delta] = [alike(payload.above_group, payload.counts), deltaAt(payload.readings[0].per_beta, beta)];
  return { grpo, vimpo: carried(delta, payload.counts, lambda), vimpo_value: delta };
})));
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A step's solutions, one with tokens that do not count, and the settings of their run."""
    folder = tmp_path_factory.mktemp("runs")
    store = RunsDir(folder).open(make_fake_run(folder, steps=STEP, beta=BETA))
    traces = store.traces(STEP)
    mask = traces[0].mask.copy()
    mask[1:3] = False
    return [traces[0].with_(mask=mask), *traces[1:]], store.config()


def in_the_browser(payload, choices):
    """rule -> its row, by the browser's own script, for each lambda and beta."""
    if shutil.which("node") is None:
        missing("there is no node on this machine", "VIMPO_NEED_NODE")
    script = SCRIPT % (ASSETS / "components" / "credit_rows" / "reach.js").as_uri()
    given = json.dumps({"payload": payload, "choices": choices})
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_browser_works_out_the_credit_of_every_rule_at_any_lambda_and_beta(run):
    traces, config = run
    choices = [(1.0, BETA), (0.0, BETA), (0.5, 0.07), (0.93, 0.6)]
    for index in (0, 1, 5):
        shown = in_the_browser(credit_rows(traces[index], config), choices)
        for (gae_lambda, beta), rows in zip(choices, shown, strict=True):
            read = replace(config, beta=beta, gae_lambda=gae_lambda)
            batch = rules_view.batch_of(traces, read, ChainTask(5).max_new_tokens)
            for rule, judged in rules_view.judge(batch, rows).items():
                expected = judged.credit_of(index, len(traces[index].ids))
                np.testing.assert_allclose(rows[rule], expected, atol=1e-12)  # the same float64 sums


@pytest.mark.parametrize("name", ["vimpo-beta-0.3", "grpo"])
def test_inspects_first_view_pushes_what_start_and_every_rule_say(name):
    """Of every 16th solution of a bundled run's last step: to the digit of Every rule, and to those that Start says."""
    with RunStore.open(ASSETS / "demos" / name) as store:
        config, traces = store.config(), store.traces(100)
    batch = rules_view.batch_of(traces, config, ChainTask(5).max_new_tokens)
    judged = rules_view.judge(batch, ("grpo", "vimpo"))
    for index in range(0, len(traces), 16):
        payload = inspector_payload(traces, index, config.beta, config.gae_lambda)
        pushes, digits = payload["pushes"], payload["decimals"]["reward"]
        (vimpo, own), (grpo, fewer) = (
            rules_view.shown_credit(batch, judged[key], key, index) for key in ("vimpo", "grpo")
        )
        assert own == digits and pushes["vimpo"] == vimpo.tolist()
        np.testing.assert_allclose(np.array(pushes["grpo"]) / 10**digits, grpo / 10**fewer, atol=0.51 / 10**fewer)
        start = credit_rows(traces[index], config)
        assert (pushes["above_group"], pushes["rule"]) == (start["above_group"], start["rule"])
        assert start["names"].items() <= pushes["names"].items()
        read = config.beta * np.array(start["readings"][0]["per_beta"])
        np.testing.assert_allclose(np.array(payload["arrays"]["td_terms"]) / 10**digits, read, atol=0.005)
        assert pushes["is_as_trained"] == (name != "grpo")
        assert payload["scales"]["reward"] >= start["scale"]["max"] > 0 or start["scale"]["max"] == 0
    assert not inspector_payload(traces, 0, config.beta, 0.5)["pushes"]["is_as_trained"]


def test_the_scale_holds_every_row_as_trained_and_what_the_run_trained_with_is_said(run):
    traces, config = run
    payload = credit_rows(traces[1], config, {"grpo": traces[1].with_(logprob=traces[1].ref_logprob)})
    (rows,) = in_the_browser(payload, [(config.gae_lambda, config.beta)])
    assert payload["scale"]["max"] >= max(abs(v) for row in rows.values() for v in row)
    assert payload["is_trained"] and not credit_rows(traces[1], replace(config, algorithm="grpo"))["is_trained"]
    assert [one["rule"] for one in payload["readings"]] == ["vimpo", "grpo"]
    np.testing.assert_allclose(payload["readings"][1]["per_beta"], -traces[1].kl, atol=1e-6)  # no log-ratio: KL alone


def test_what_is_not_finite_or_not_known_is_none(run):
    traces, config = run
    holed = traces[1].logprob.copy()
    holed[2] = -np.inf
    payload = credit_rows(traces[1].with_(logprob=holed, group_mean_reward=float("nan")), config)
    assert payload["above_group"] is None and payload["readings"][0]["per_beta"][2] is None
    json.dumps(payload, allow_nan=False)
