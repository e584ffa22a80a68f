"""The Inspect page without a browser: links, pickers, quick picks, typed solutions, and runs that cannot be shown."""

import pytest
from pebble import ProcessExpired
from streamlit.testing.v1 import AppTest

from app import cache
from tests.pages.opening import StubService, one, open_inspect, payloads, press, widget
from tests.support.fakes import make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.service import scoring as service
from vimpo_core.solutions import picks


def drawn(at):
    return payloads(at)[0]


def test_an_empty_store_says_the_next_step(runs):
    at = open_inspect()
    assert "make-demos" in at.info[0].value and at.button[0].label == "Train a run"


def test_it_opens_on_the_newest_step_at_a_mistake(runs):
    run_id = make_fake_run(runs.path, steps=12)
    at = open_inspect()
    traces = runs.open(run_id).traces(12)
    example = picks.clearest_example(traces, 0.1)
    payload = drawn(at)
    assert payload["text"] == list(traces[example.index].text)
    assert payload["token"] == payload["first_wrong"] == example.token
    assert payload["lens"] == "td_terms" and payload["name"] == "read off the VIMPO policy" and payload["beta"] == 0.1


def test_a_link_opens_the_same_view(runs):
    run_id = make_fake_run(runs.path, steps=6)
    trace = runs.open(run_id).trace(5, 3, 4)
    at = open_inspect(run=run_id, step=5, group=3, sample=4, token=2, lens="kl", beta=0.25, **{"lambda": 0.9})
    payload = drawn(at)
    assert payload["text"] == list(trace.text)
    assert (payload["token"], payload["lens"], payload["beta"], payload["gae_lambda"]) == (2, "kl", 0.25, 0.9)
    assert not at.info
    assert (
        payload["arrays"]["td_terms"] == drawn(open_inspect(step=5, group=3, sample=4, beta=0.25))["arrays"]["td_terms"]
    )


@pytest.mark.parametrize("value", ["EVIL", "-1", "999999", "nan", "", "<b>x</b>"])
def test_invalid_values_in_the_link_fall_back_with_a_note_each(runs, value):
    make_fake_run(runs.path, steps=2)
    names = ("run", "step", "group", "sample", "token", "lens", "beta", "lambda", "mode")
    at = open_inspect(**dict.fromkeys(names, value))
    notes = [info.value.replace("\\", "") for info in at.info]
    assert sorted(note.split()[4] for note in notes) == sorted(names)
    assert not set(names) & set(at.query_params)
    assert drawn(at)["text"] == drawn(open_inspect())["text"]


def test_the_pickers_write_the_address_and_forget_what_hung_on_the_old_choice(runs):
    run_id = make_fake_run(runs.path, steps=6)
    at = open_inspect(group=1, sample=2, token=1)
    widget(at.selectbox, "Prompt").set_value(4).run()
    assert one(at.query_params["group"]) == "4"
    assert "sample" not in at.query_params and "token" not in at.query_params
    widget(at.select_slider, "Training step").set_value(3).run()
    assert one(at.query_params["step"]) == "3" and not at.exception
    assert drawn(at)["text"] in [list(t.text) for t in runs.open(run_id).traces(3) if t.group_id == 4]


def test_beta_and_lambda_change_the_reading_not_the_record(runs):
    make_fake_run(runs.path, steps=6)
    at = open_inspect(group=0, sample=0)
    before = drawn(at)
    widget(at.select_slider, "beta").set_value(0.2).run()
    widget(at.select_slider, "lambda").set_value(0.5).run()
    after = drawn(at)
    assert one(at.query_params["beta"]) == "0.2" and one(at.query_params["lambda"]) == "0.5"
    assert after["arrays"]["logprob"] == before["arrays"]["logprob"]
    assert after["arrays"]["rho"] != before["arrays"]["rho"]


def test_quick_picks_jump_to_the_telling_tokens_of_the_step(runs):
    run_id = make_fake_run(runs.path, steps=12)
    traces = runs.open(run_id).traces(12)
    at = open_inspect()
    for label, pick in (
        ("Most positive", picks.most_positive(traces, 0.1)),
        ("Most negative", picks.most_negative(traces, 0.1)),
        ("First wrong one", picks.first_wrong(traces)),
    ):
        press(at, label)
        payload = drawn(at)
        assert (payload["text"], payload["token"]) == (list(traces[pick.index].text), pick.token), label


def test_a_quick_pick_without_an_answer_says_why(runs):
    make_fake_run(runs.path, steps=4)
    at = press(open_inspect(step=0), "Most negative")
    assert "every credit is 0 before learning" in at.info[0].value
    assert any("untrained" in c.value for c in at.caption)


def test_a_selection_in_the_browser_goes_to_the_address():
    # AppTest runs no JavaScript: this is the callback with what the browser would report.
    def script(selection):
        import streamlit as st

        from app.inspector import inspection

        st.session_state[inspection.VIEW_KEY] = {"view": selection}
        inspection.remember_selection()

    def address(selection):
        return AppTest.from_function(script, kwargs={"selection": selection}).run().query_params

    assert {k: one(v) for k, v in address({"token": 3, "lens": "entropy"}).items()} == {
        "token": "3",
        "lens": "entropy",
    }
    assert {k: one(v) for k, v in address({"token": 0, "lens": "td_terms"}).items()} == {"token": "0"}
    assert not address({"token": "<b>", "lens": "EVIL"})


def test_the_verdict_names_answer_gold_and_first_wrong_token(runs):
    make_fake_run(runs.path, steps=12)
    at = press(open_inspect(), "First wrong one")
    line = next(m.value for m in at.markdown if "first wrong token" in m.value)
    payload = drawn(at)
    assert ":red-badge" in line and f"#{payload['first_wrong']} " in line and "gold `" in line


def test_a_grpo_run_is_named_as_such(runs):
    make_fake_run(runs.path, algorithm="grpo", steps=4)
    assert drawn(open_inspect())["name"] == "read off the GRPO policy"


@pytest.mark.parametrize(("algorithm", "said"), [("vimpo", "as trained"), ("grpo", "only to read by")])
def test_beta_is_called_as_trained_only_where_the_rule_has_one(runs, algorithm, said):
    make_fake_run(runs.path, algorithm=algorithm, steps=4)
    slider = widget(open_inspect().select_slider, "beta")
    assert slider.format_func(slider.value) == f"{slider.value:g} ({said})"


def test_a_half_written_run_is_explained_and_the_others_still_work(runs):
    run_id, damaged = make_fake_run(runs.path, steps=4), make_fake_run(runs.path, "grpo", steps=1)
    file = runs.path / damaged / "run.db"
    file.write_bytes(file.read_bytes()[:6000])  # its first page still bears the lab's mark
    assert drawn(open_inspect())["text"]
    at = open_inspect(run=damaged)
    assert len(at.warning) == 1 and "cannot be read" in at.warning[0].value.replace("\\", "")
    assert not at.get("bidi_component")
    widget(at.selectbox, "Run").set_value(run_id).run()
    assert not at.exception and drawn(at)["text"]


def test_a_run_without_a_step_says_so(runs):
    runs.submit([TrainConfig(steps=3)])
    at = open_inspect()
    assert "no step yet" in at.warning[0].value


def test_an_own_run_wins_over_a_bundled_one_of_the_same_name(runs):
    make_fake_run(runs.path, steps=2)
    run_id = make_fake_run(cache.DEMOS, steps=4)
    at = open_inspect()
    assert widget(at.selectbox, "Run").options[0].endswith(f"({run_id})")
    at = open_inspect(run=f"bundled/{run_id}")
    assert drawn(at)["text"] and not at.info


# --- typed solutions -------------------------------------------------------------------------------------------------


class FakeService(StubService):
    def score_solution(self, run_dir, step, prompt, solution):
        return self.asked_for(run_dir.name, step, prompt, solution)


@pytest.fixture
def scoring(monkeypatch):
    fake = FakeService()
    monkeypatch.setattr(service, "scoring_service", lambda: fake)
    return fake


def type_in(at, problem, solution):
    widget(at.text_input, "Problem").set_value(problem)
    widget(at.text_area, "Solution").set_value(solution)
    return press(at, "Score")


def test_a_typed_solution_is_scored_and_shown(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    at = open_inspect(mode="typed", step=5)
    assert not scoring.asked
    type_in(at, "2+3*4=", "2+12;14.")
    assert scoring.asked == [(run_id, 5, "2+3*4=", "2+12;14.")]
    assert any(b.label == "Cancel" for b in at.button)
    trace = runs.open(run_id).traces(5)[0]
    scoring.future.set_result([trace.with_(group_mean_reward=float("nan"))])
    at.run()
    payload = drawn(at)
    assert payload["text"] == list(trace.text)
    assert payload["baseline"] is None and payload["arrays"]["grpo"] is None
    assert len(scoring.asked) == 1


@pytest.mark.parametrize("is_same", [False, True])
def test_a_text_that_the_model_wrote_in_other_tokens_is_said_to_be_cut_otherwise(runs, scoring, is_same):
    run_id = make_fake_run(runs.path, steps=5)
    trace = runs.open(run_id).traces(5)[0]
    names = ("ids", "mask", "logprob", "ref_logprob", "kl", "entropy")
    joined = trace.with_(
        text=(trace.text[0] + trace.text[1], *trace.text[2:]),
        topk=None,
        first_wrong=None,
        **{name: getattr(trace, name)[1:] for name in names},
    )
    scored = trace if is_same else joined
    at = type_in(open_inspect(mode="typed", step=5), trace.prompt_text, trace.completion_text)
    scoring.future.set_result([scored.with_(group_mean_reward=float("nan"))])
    at.run()
    assert drawn(at)["text"] == list(scored.text)
    said = [info.value for info in at.info if "in other tokens" in info.value]
    assert bool(said) != is_same
    for sentence in said:
        count = len(trace.text)
        assert f"solution 1 of prompt 1 of step 5, but the model wrote it in other tokens: {count} then" in sentence
        assert f"at token #0: `{trace.text[0]}` `{trace.text[1]}` sampled, `{joined.text[0]}` here" in sentence


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Mistake("the solution has 'x', which the model does not know."), "The solution has 'x'"),
        (TimeoutError(), "longer than 30 s"),
        (ProcessExpired("worker died"), "ended unexpectedly"),
    ],
)
def test_an_error_is_said_beside_the_text_which_stays(runs, scoring, error, said):
    make_fake_run(runs.path, steps=5)
    at = type_in(open_inspect(mode="typed"), "2+3=", "5x.")
    scoring.future.set_exception(error)
    at.run()
    assert said in at.warning[0].value.replace("\\", "")
    assert widget(at.text_area, "Solution").value == "5x."
    assert not at.get("bidi_component") and len(scoring.asked) == 1


def test_cancel_ends_the_wait_and_keeps_the_text(runs, scoring):
    make_fake_run(runs.path, steps=5)
    at = type_in(open_inspect(mode="typed"), "2+3=", "5.")
    press(at, "Cancel")
    at.run()
    assert scoring.future.cancelled() and "Cancelled" in at.info[0].value
    assert widget(at.text_area, "Solution").value == "5."


def test_a_link_with_a_typed_solution_scores_it_once(runs, scoring):
    make_fake_run(runs.path, steps=5)
    at = open_inspect(mode="typed", problem="2+3=", solution="5.")
    assert len(scoring.asked) == 1
    at.run()
    assert len(scoring.asked) == 1


def test_hostile_text_reaches_the_page_as_marked_text_only(runs, scoring):
    run_id = make_fake_run(runs.path, steps=5)
    at = type_in(open_inspect(mode="typed"), "2+3=", "5.")
    hostile = ("\u202e", "<img src=x onerror=alert(1)>", "`](x)", "\x00")
    trace = runs.open(run_id).traces(5)[0]
    some = {name: getattr(trace, name)[:4] for name in ("ids", "mask", "logprob", "ref_logprob", "kl", "entropy")}
    answer = "**`<script>`\u202e"
    scoring.future.set_result([trace.with_(text=hostile, topk=None, first_wrong=1, answer=answer, **some)])
    at.run()
    assert not at.exception
    assert drawn(at)["text"] == ["⟨RLO⟩", "<img src=x onerror=alert(1)>", "`](x)", "␀"]
    line = next(m.value for m in at.markdown if "first wrong token" in m.value)
    assert "`**ˋ<script>ˋ⟨RLO⟩`" in line


def test_a_run_whose_beta_was_scheduled_is_read_at_the_beta_of_the_step(runs):
    make_fake_run(runs.path, steps=4, beta=0.1, beta_end=0.3)
    at = open_inspect(run="vimpo-1", step=2)
    beta = next(s for s in at.select_slider if s.label == "beta")
    assert beta.value == pytest.approx(0.2)


def test_a_right_answer_after_a_wrong_step_is_said_as_what_it_is(runs):
    run_id = make_fake_run(runs.path, steps=30, prompts_per_step=32)
    traces = runs.open(run_id).traces(30)
    trace = next(t for t in traces if picks.judgement(t) == "right answer, wrong step")
    at = open_inspect(run=run_id, step=30, group=trace.group_id, sample=trace.sample_idx)
    (line,) = [m.value for m in at.markdown if "first wrong token" in m.value and "badge" in m.value]
    assert "right answer, wrong step" in line
    assert "but the answer is right, and the reward reads nothing else" in line
