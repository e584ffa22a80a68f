"""Does it add up, Reward against telescope, Take it along: the sections without a browser."""

import json
from concurrent.futures import Future
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import streamlit as st

from app import cache
from app.inspector import telescope
from tests.pages.opening import StubService, one, open_inspect, payload_with, payloads, press, widget
from tests.support.fakes import FakeTrainer, make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.formats import trace_files
from vimpo_core.measure import checks
from vimpo_core.measure.checks import ExpectedDeltas
from vimpo_core.mistake import Mistake
from vimpo_core.service import scoring as service
from vimpo_core.types import CreditTrace


class FakeService(StubService):
    def expected_deltas(self, run_dir, step, prompt, solution, ids):
        return self.asked_for(run_dir.name, step, prompt, solution, ids)


@pytest.fixture
def scoring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(service, "scoring_service", lambda: fake)
    return fake


def table(at) -> dict[str, str]:
    """claim -> its line of the table, markdown marks taken off."""
    text = next(m.value for m in at.markdown if m.value.startswith("| |"))
    lines = [line.replace("\\", "").split(" | ") for line in text.splitlines()[2:]]
    return {cells[1]: " | ".join(cells) for cells in lines}


def summary(at) -> str:
    return next(m.value for m in at.markdown if "for this solution**" in m.value)


# --- does it add up --------------------------------------------------------------------------------------------------


def test_the_model_is_asked_once_and_its_answer_fills_the_line(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = open_inspect(more="sums", step=10, group=1, sample=2)
    trace = runs.open(run_id).trace(10, 1, 2)
    assert scoring.asked == [(run_id, 10, trace.prompt_text, trace.completion_text, tuple(trace.ids.tolist()))]
    claim = checks.CLAIMS["expectation"]
    assert "not checked" in table(at)[claim] and "Being computed" in table(at)[claim]
    assert any(b.label == "Cancel" for b in at.button)
    kl = trace.kl.astype(np.float64)
    scoring.future.set_result(ExpectedDeltas(kl + 1e-7, kl))
    at.run()
    assert "holds" in table(at)[claim] and "10⁻⁸ (10⁻⁶) reward" in table(at)[claim]
    assert len(scoring.asked) == 1 and not any(b.label == "Cancel" for b in at.button)


def test_what_does_not_hold_is_said_in_words_first_and_explained(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = open_inspect(more="sums", step=10, group=1, sample=2)
    trace = runs.open("vimpo-1").trace(10, 1, 2)
    scoring.future.set_result(ExpectedDeltas(trace.kl + 0.5, trace.kl))
    at.run()
    assert ":red[" in summary(at) and "do not hold" in summary(at)
    lines = list(table(at).values())
    wrong = [line for line in lines if "does not hold" in line]
    assert wrong and lines[: len(wrong)] == wrong
    assert "another reference" in table(at)[checks.CLAIMS["expectation"]]


def test_a_step_without_an_adapter_says_which_were_kept(runs, scoring):
    make_fake_run(runs.path, steps=10, snapshot_every=5)
    at = open_inspect(more="sums", step=7)
    assert "no adapter of step 7 was kept (kept: 0, 5, 10)" in table(at)[checks.CLAIMS["expectation"]]
    assert not scoring.asked and not at.exception


def test_a_failed_request_can_be_repeated(runs, scoring):
    make_fake_run(runs.path, steps=5)
    at = open_inspect(more="sums", step=5)
    scoring.future.set_exception(Mistake("the adapter of step 5 does not match its checksum."))
    at.run()
    assert "checksum" in at.warning[0].value and "no answer" in table(at)[checks.CLAIMS["expectation"]]
    press(at, "Ask the model again")
    assert len(scoring.asked) == 2


def test_the_whole_step_is_checked_and_leads_to_the_first_offender(runs, scoring):
    # The fake trainer's KL is made up: its alternatives contradict it at every step with alternatives.
    make_fake_run(runs.path, steps=5)
    failed = checks.step_checks(runs.open("vimpo-1").traces(5), 0.1, 1.0)["kl_bound"]
    first = runs.open("vimpo-1").traces(5)[failed[0]]
    at = open_inspect(more="sums", step=5, group=3, sample=3)
    assert any(f"not so for {len(failed)} of them" in m.value for m in at.markdown)
    at.button("sums.kl_bound").click().run()
    assert one(at.query_params["group"]) == str(first.group_id)
    assert one(at.query_params["sample"]) == str(first.sample_idx)


# --- reward against telescope ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"group_mean_reward": float("nan")}, "It stands alone: there is no group mean V₀."),
        ({"reward": float("nan")}, "Its reward was not recorded."),
        (
            {"config": TrainConfig(algorithm="a_star_po")},
            "There is no V*: the reference's success rate on the prompt was not measured.",
        ),
    ],
    ids=["alone", "no reward", "no V*"],
)
def test_a_sum_with_nothing_to_be_compared_with_says_why_as_the_runs_own_loss_has_it(change, why):
    (trace, *_) = FakeTrainer(TrainConfig(prompts_per_step=1, group_size=2)).step().traces
    said = telescope._nothing(SimpleNamespace(traces=[trace.with_(**change)]))
    assert said == f"The sum has nothing to be compared with at this step. {why}"


def drawn(at):
    return payload_with(at, "points")


def test_every_solution_of_the_step_is_a_point(runs):
    make_fake_run(runs.path, steps=6)
    at = open_inspect(more="scatter", step=6, group=2, sample=5)
    payload, traces = drawn(at), runs.open("vimpo-1").traces(6)
    assert len(payload["points"]) == len(traces)
    assert (payload["group"], payload["sample"]) == (2, 5)
    own = [p for p in payload["points"] if p["own"]]
    assert {p["group"] for p in own} == {2} and {p["y"] for p in own} == {
        t.reward - t.group_mean_reward for t in traces if t.group_id == 2
    }


def test_an_opened_point_goes_to_the_address():
    from streamlit.testing.v1 import AppTest

    def script(point):
        import streamlit as st

        from app.inspector import telescope

        st.session_state[telescope.KEY] = {"open": point}
        st.query_params["token"] = "7"
        telescope._open()

    def address(point):
        return AppTest.from_function(script, kwargs={"point": point}).run().query_params

    assert {k: v[0] for k, v in address({"group": 3, "sample": 1}).items()} == {"group": "3", "sample": "1"}
    assert list(address({"group": "<b>", "sample": 1})) == ["token"]


@pytest.mark.parametrize("more", ["sums", "scatter", "take"])
def test_a_run_without_credit_arrays_is_not_filled_with_zeros(runs, scoring, monkeypatch, more):
    make_fake_run(runs.path, steps=4)
    bare = [t.with_(kl=None, topk=None) for t in runs.open("vimpo-1").traces(4)]
    monkeypatch.setattr("vimpo_core.runs.store.RunStore.traces", lambda self, step: bare)
    at = open_inspect(more=more, step=4)
    assert not at.exception
    if more == "scatter":
        assert drawn(at) is None and "Not recorded" in at.info[0].value
    if more == "sums":
        assert "Not recorded: KL" in table(at)[checks.CLAIMS["telescope"]]


# --- take it along ---------------------------------------------------------------------------------------------------


def test_the_link_opens_exactly_this_view(runs):
    make_fake_run(runs.path, steps=6)
    at = open_inspect(more="take", step=5, group=3, sample=4, token=2, lens="kl", beta=0.25)
    query = {k: v[0] for k, v in parse_qs(urlsplit(at.code[0].value).query).items()}
    assert query == {
        "run": "vimpo-1",
        "step": "5",
        "group": "3",
        "sample": "4",
        "token": "2",
        "lens": "kl",
        "beta": "0.25",
        "lambda": "1",
    }
    again = open_inspect(**query)
    folded = payloads(at)[0]
    assert payloads(again)[0] == folded | {"folded": False} != folded and not again.info


def test_the_link_pins_what_the_page_chose_by_itself(runs):
    make_fake_run(runs.path, steps=6)
    query = parse_qs(urlsplit(open_inspect(more="take").code[0].value).query)
    assert {"run", "step", "group", "sample", "token", "lens"} <= set(query)


def test_the_four_files_and_the_whole_run_are_offered_and_written_when_asked_for(runs, monkeypatch):
    make_fake_run(runs.path, steps=6)
    offered = {}
    button = st.download_button

    def noted(label, data, file_name, mime, **options):
        offered[file_name] = data
        return button(label, data, file_name, mime, **options)

    monkeypatch.setattr(st, "download_button", noted)
    at = open_inspect(more="take", step=5, group=3, sample=4)
    assert not at.exception
    whole = ["vimpo-1.jsonl", "vimpo-1.parquet", "vimpo-1-unipo.json"]
    one = [f"vimpo-1-step5-prompt3-solution4.{kind}" for kind in ("html", "json", "csv", "parquet")]
    assert [name for name in offered if not name.endswith(".zip")] == one + whole
    written = {name: offered[name]() for name in one + whole}
    assert len(written["vimpo-1.jsonl"].splitlines()) == 1 + sum(len(runs.open("vimpo-1").traces(n)) for n in range(7))
    record = json.loads(written[one[1]])["records"][0]
    trace: CreditTrace = trace_files.trace_of(record)
    assert trace.logprob.tobytes() == runs.open("vimpo-1").trace(5, 3, 4).logprob.tobytes()


def code_in(at, language):
    return next(block.value for block in at.code if block.language == language)


def test_code_is_offered_for_python_and_the_command_line(runs):
    make_fake_run(runs.path, steps=10, snapshot_every=5)
    at = open_inspect(more="take", step=5, group=3, sample=4)
    python, shell = code_in(at, "python"), at.code[-1].value
    assert "store.trace(step=5, group_id=3, sample_idx=4)" in python
    assert [line.split()[3] for line in shell.splitlines()] == ["score", "export"]
    assert adapters_offered(at) == (1, ["python -m vimpo_core export-adapter vimpo-1 --step 5"])
    at = open_inspect(more="take", step=7, group=3, sample=4)
    shell = at.code[-1].value
    assert [line.split()[3] for line in shell.splitlines()] == ["export"], "no adapter to score with"
    assert adapters_offered(at) == (0, [])


def adapters_offered(at):
    """How many PEFT folders can be downloaded, and the commands that write one."""
    buttons = [button.proto.label for button in at.get("download_button")]
    commands = [block.value.partition(" --runs-dir")[0] for block in at.code if "export-adapter" in block.value]
    return buttons.count("PEFT folder"), commands


def test_a_bundled_run_that_shares_its_name_is_found_in_its_own_folder(runs):
    make_fake_run(runs.path, steps=2)
    run_id = make_fake_run(cache.DEMOS, steps=4)
    at = open_inspect(run=f"bundled/{run_id}", more="take")
    assert "bundled" in code_in(at, "python") and "--runs-dir" in at.code[-1].value


# --- a typed solution ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["sums", "scatter", "take"])
def test_a_typed_solution_works_as_far_as_it_stands_alone(runs, scoring, more):
    make_fake_run(runs.path, steps=5)
    trace = runs.open("vimpo-1").traces(5)[0]
    typed = trace.with_(group_mean_reward=float("nan"), sampler_logprob=None)
    scoring.score_solution = lambda *args, **options: done([typed])
    at = open_inspect(mode="typed", problem="2+3=", solution="5.", more=more)
    assert not at.exception
    if more == "sums":
        assert "stands alone" in table(at)[checks.CLAIMS["telescope"]].lower()
    if more == "scatter":
        assert drawn(at) is None and "stands alone" in at.info[0].value
    if more == "take":
        query = parse_qs(urlsplit(at.code[0].value).query)
        assert query["mode"] == ["typed"] and query["solution"] == [typed.completion_text]
        assert "score_solution" in code_in(at, "python") and widget(at.text_area, "Solution").value == "5."


def done(value):
    future = Future()
    future.set_result(value)
    return future
