"""The course without a browser: chapters 1 and 2 with right and wrong answers, a teacher's links, progress, the
contents.
"""

import re
from concurrent.futures import Future
from urllib.parse import parse_qsl

import numpy as np
import pytest
import streamlit as st

from app.course import bundled, chapters, progress, teacher
from app.course.chapters import pair
from app.course.lesson import Option, Question, filled, text_of
from app.course.link import lock_of
from tests.pages.opening import (
    StubService,
    again,
    open_app,
    open_page,
    payload_with,
    payloads,
    press,
    widget,
    words,
)
from vimpo_core.measure.truth import PrefixValues
from vimpo_core.service import scoring as service
from vimpo_core.service.film import Film
from vimpo_core.service.scoring import PrefixTruth
from vimpo_core.solutions import lenses

THERE = chapters.chapters()


class Answering(StubService):
    """Answers a film with the recorded frame at every step, and tries with the same value everywhere."""

    def solution_truth(self, run_dir, step, prompt, solution, rollouts, ids):
        prefixes = len(ids) + 1
        values = PrefixValues(np.ones((prefixes, rollouts), dtype=bool), np.zeros(prefixes, dtype=bool))
        return done(PrefixTruth(values, values))

    def film_solution(self, run_dir, prompt, solution, ids):
        trace = pair._solution(first_run())
        moved = trace.with_(logprob=trace.logprob - 0.5, step=20)
        return done(Film([trace, moved], {}))


def done(value):
    future = Future()
    future.set_result(value)
    return future


def first_run():
    return bundled.runs()[bundled.run_ids()[0]]


@pytest.fixture(autouse=True)
def scoring(monkeypatch):
    stub = Answering()
    monkeypatch.setattr(service, "scoring_service", lambda: stub)
    return stub


def learn(**query):
    return open_page("learn", **query)


def strips(at):
    return payload_with(at, "rows")


def revealed(at):
    """What the reveal of chapter 1 draws; None before."""
    return payload_with(at, "readings")


def mark(at, token):
    key = next(c.key for c in at.get("bidi_component") if "blame.strip.ask" in (c.key or ""))
    at.session_state[key] = {"view": {"token": token}}
    return again(at)


def blame(at, token):
    at = mark(at, token)
    return press(at, next(b.label for b in at.button if b.label.startswith(("Blame", "Mark"))))


def commit(at, choice):
    widget(at.radio, "Your prediction").set_value(choice)
    return press(again(at), "Commit and see")


# --- contents --------------------------------------------------------------------------------------------------------


def test_the_contents_list_the_chapters_that_are_there_and_open_them():
    at = learn()
    said = words(at)
    for chapter in THERE:
        assert chapter.title in said and chapter.teaser in said
    at = press(at, "Open")
    assert at.title[0].value == THERE[0].title


def test_an_unknown_chapter_gets_the_contents_with_a_sentence():
    at = learn(chapter="99")
    assert "not there" in at.info[0].value and THERE[0].title in words(at)


@pytest.mark.parametrize("chapter", THERE, ids=lambda chapter: chapter.key)
def test_a_chapter_has_a_plan_and_every_option_a_reply_of_its_own(chapter):
    assert chapter.plan.aims and chapter.plan.asks and chapter.plan.misconceptions
    for question in chapter.questions:
        replies = [option.reply for option in question.options]
        assert all(replies) and len(set(replies)) == len(replies)
    names = [control.name for control in chapter.controls]
    assert len(set(names)) == len(names) and not {"chapter", "hide", "large", "lock"} & set(names)
    for control in chapter.controls:
        values = [text_of(option) for option in control.found()]
        assert len(set(values)) == len(values) and not any(set(",:") & set(value) for value in values)
        assert control.first() in control.found()


# --- chapter 1 -------------------------------------------------------------------------------------------------------


def test_chapter_1_reveals_nothing_before_a_token_is_blamed():
    at = learn(chapter=1)
    shown = strips(at)
    assert shown["rows"] == [] and shown["first_wrong"] is None and shown["token"] is None
    assert widget(at.button, "Mark a token first").disabled
    assert "forgotten" not in words(at) and "surprisal" not in words(at).lower()


@pytest.mark.parametrize(
    ("offset", "reply"),
    [(0, "that is where it went wrong"), (-1, "Up to there every step was right"), (1, "too late")],
)
def test_chapter_1_answers_each_kind_of_mark_specifically(offset, reply):
    at = learn(chapter=1)
    trace = _trace()
    at = blame(at, trace.first_wrong + offset)
    assert reply in words(at)
    shown = revealed(at)
    rows = {row["label"]: row for row in shown["more"]}
    assert list(rows) == ["You", "Surprisal", "The truth, Q − V"]
    assert rows["You"]["picks"] == [trace.first_wrong + offset] and shown["first_wrong"] == trace.first_wrong
    config = first_run().config
    own, other = shown["readings"]
    assert (own["rule"], other["rule"]) == ("vimpo", "grpo")
    delta = config.beta * np.array(own["per_beta"])
    np.testing.assert_allclose(delta, lenses.credit_of(trace, config.beta), atol=1e-4)
    assert (shown["beta"], shown["gae_lambda"], shown["rule"]) == (config.beta, config.gae_lambda, "vimpo")
    assert shown["above_group"] == pytest.approx(trace.reward - trace.group_mean_reward, abs=1e-4)


def test_chapter_1_folds_the_real_models_words_and_shows_them_when_they_are_opened():
    def drawn(at):
        return [p for p in payloads(at) if "readings" in p]

    assert not drawn(learn(chapter=1, more="real"))
    assert len(drawn(blame(learn(chapter=1), 0))) == 1
    small, of_real = drawn(blame(learn(chapter=1, more="real"), 0))
    assert small["more"][0]["label"] == "You"
    assert [reading["rule"] for reading in of_real["readings"]] == ["vimpo", "grpo"]


def test_chapter_1_opens_with_a_solution_whose_tokens_share_the_credit_of_the_mistake_at_lambda_1():
    at = blame(learn(chapter=1), 0)
    shown = revealed(at)
    delta = shown["beta"] * np.array(shown["readings"][0]["per_beta"])
    wrong = shown["first_wrong"]
    carried = np.cumsum(delta[::-1])[::-1][: wrong + 1]  # credit at lambda 1, the mistake's and all before it
    assert shown["gae_lambda"] == 1 and delta.argmin() == wrong
    np.testing.assert_allclose(carried, delta[wrong], rtol=0.05)
    assert "at 1, as VIMPO trains here, each token also gets every credit that follows it" in words(at)


def test_chapter_1_of_the_grpo_run_says_which_rule_trained_it():
    shown = revealed(blame(learn(chapter=1, run="grpo"), 0))
    assert shown["rule"] == "grpo" and not shown["is_trained"]
    assert [reading["rule"] for reading in shown["readings"]] == ["grpo", "vimpo"]


def test_chapter_1_says_who_is_ahead_over_the_step_as_counted():
    from app.course.chapters import blame as chapter

    at = blame(learn(chapter=1), 0)
    counts = chapter.counts(first_run())
    assert f"**{counts['delta']}**" in words(at) and f"**{counts['surprisal']}**" in words(at)
    assert ("surprisal is ahead" in words(at)) == (int(counts["surprisal"]) > int(counts["delta"]))


def test_chapter_1_keeps_the_first_answer_and_asks_anew_for_another_solution():
    at = blame(learn(chapter=1), 0)
    widget(at.get("button_group"), "Solution").set_value(2)
    at = again(at)
    assert strips(at)["rows"] == [] and progress_of(at)["blame"]["blame"].details == (0, 1, 0)
    widget(at.get("button_group"), "Solution").set_value(1)
    assert revealed(again(at))


def test_start_this_chapter_again_forgets_and_the_browser_is_told():
    at = blame(learn(chapter=1), 0)
    assert stored(at) == {"blame": {"blame": ["before", [0, 1, 0]]}}
    at = press(at, "Start this chapter again")
    assert strips(at)["rows"] == [] and stored(at) == {"blame": None}


def test_all_answers_are_forgotten_for_the_next_person():
    at = commit(learn(chapter=2), "zero")
    at = press(at, "All chapters")
    at.switch_page("../pages/learn.py")
    at.query_params.clear()
    at = press(again(at), "Forget all my answers")
    assert stored(at) == {"pair": None} and "done" not in words(at)


def _trace():
    from app.course.chapters import blame as chapter

    return chapter._case(first_run(), 1).trace


def progress_of(at):
    return at.session_state["course.answers"]


def stored(at):
    return payload_with(at, "changes")["changes"]


# --- chapter 2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "reply"),
    [
        ("zero", "the policy still"),
        ("flat", "GRPO"),
        ("unlikely", "property of one network"),
        ("mistake", "would have to know"),
    ],
)
def test_chapter_2_runs_through_whatever_was_answered(choice, reply):
    at = learn(chapter=2)
    assert strips(at)["rows"] == [] and strips(at)["bars"][0][0]["share"] is None, (
        "nothing of the policy is shown before"
    )
    at = commit(at, choice)
    assert reply in words(at).lower() or reply in words(at)
    assert set(strips(at)["rows"][0]["values"]) == {0.0}
    policy, reference = strips(at)["bars"][3]
    assert policy["share"] == reference["share"]
    assert not at.radio
    asked = at.markdown[[m.value.startswith("**Predict.**") for m in at.markdown].index(True) + 1].value
    lines = dict.fromkeys(asked.split("  \n"))
    (right,) = [line for line in lines if "**0, for every token** (right" in line]
    (own,) = [line for line in lines if "your answer)" in line]
    assert right.startswith(":green[") and (own == right) == (choice == "zero")
    assert own == right or own.startswith(":red[")


def test_chapter_2_slider_shows_the_credit_of_its_step():
    at = commit(learn(chapter=2), "zero")
    widget(at.select_slider, "Training step").set_value(20)
    at = again(at)
    beta = first_run().config.beta
    trace = pair._solution(first_run())
    expected = lenses.credit_of(trace.with_(logprob=trace.logprob - 0.5), beta)
    np.testing.assert_allclose(strips(at)["rows"][0]["values"], expected, atol=1e-4)
    assert "After 20 updates" in words(at)


def test_chapters_are_done_once_every_question_is_answered():
    at = commit(learn(chapter=2), "flat")
    at = press(at, "All chapters")
    assert words(at).count("done") == 1


def test_without_bundled_runs_a_chapter_says_the_next_step(runs):
    for number in (1, 2):
        assert "make-demos" in learn(chapter=number).info[0].value
    for part in ("link", "plan", "hand-ins"):
        open_page("teach", part=part)
    open_page("notation")


# --- a teacher's link ------------------------------------------------------------------------------------------------


def test_a_link_restores_every_control_of_chapters_1_and_2():
    at = learn(chapter=1, run="grpo", example=3)
    assert widget(at.selectbox, "Run").value == "grpo"
    assert widget(at.get("button_group"), "Solution").value == 3
    at = commit(learn(chapter=2, run="vimpo-beta-0.1", step=20), "zero")
    assert widget(at.selectbox, "Run").value == "vimpo-beta-0.1"
    assert widget(at.select_slider, "Training step").value == 20


def test_a_hidden_control_is_not_drawn_and_keeps_its_value_whatever_the_rest_of_the_address_says():
    fixed = strips(learn(chapter=1, hide="run:vimpo-beta-0.1,example:2"))["text"]
    at = learn(chapter=1, hide="run:vimpo-beta-0.1,example:2", run="grpo", example=5)
    assert not at.selectbox and not at.get("button_group")
    assert strips(at)["text"] == fixed != strips(learn(chapter=1))["text"]


def test_chapter_2_calls_grpos_advantage_what_grpo_trains_with():
    said = words(commit(learn(chapter=2), "flat")).replace("−", "-")
    advantage, above = re.search(r"GRPO's advantage, ([-+.\d]+) here.*?its group, ([-+.\d]+), over", said).groups()
    share = -float(above)  # the solution earned 0, so what it lies below is the group's share of right ones
    size = first_run().config.group_size
    spread = (share * (1 - share) * size / (size - 1)) ** 0.5
    assert float(advantage) == pytest.approx(float(above) / spread, abs=0.01)


@pytest.mark.parametrize("value", ["EVIL", "-1", "9" * 400, "nan", "<b>x</b>", ""])
def test_absurd_values_in_a_link_fall_back_with_one_sentence(value):
    at = learn(chapter=1, example=value)
    assert len(at.info) == 1 and strips(at)["text"] == strips(learn(chapter=1))["text"]
    at = learn(chapter=1, hide=f"example:{value}")
    assert not at.get("button_group") and strips(at)["text"] == strips(learn(chapter=1))["text"]


def test_a_locked_reveal_waits_for_the_word():
    at = commit(learn(chapter=2, lock=lock_of("Wombat")), "flat")
    assert "GRPO's advantage" not in words(at) and not at.select_slider
    widget(at.text_input, "Word").set_value("walrus")
    assert "not the word" in words(again(at))
    widget(at.text_input, "Word").set_value(" wom bat ")
    at = again(at)
    assert "GRPO's advantage" in words(at) and at.select_slider


def test_a_locked_chapter_keeps_the_solution_and_the_mark_and_hides_what_the_reveal_would_show():
    right = _trace().first_wrong
    at = blame(learn(chapter=1, lock=lock_of("Wombat")), right)
    (row,) = strips(at)["rows"]
    assert strips(at)["text"] == strips(learn(chapter=1))["text"]
    assert row["label"] == "You" and row["picks"] == [right]
    assert strips(at)["first_wrong"] is None and "mistake" not in row["says"] and "Right." not in words(at)
    at = commit(learn(chapter=2, lock=lock_of("Wombat")), "flat")
    assert "(your answer)" in words(at) and "(right)" not in words(at) and ":red[" not in words(at)


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("http://127.0.0.1:8501/teach", True),
        ("http://localhost:8501/teach", True),
        ("http://[::1]:8501/teach", True),
        ("http://teacher-laptop.local:8501/teach", False),
        ("http://192.168.1.7:8501/teach", False),
    ],
)
def test_a_link_that_only_this_computer_can_open_says_so_and_how_to_let_a_class_in(url, is_warned):
    assert teacher.is_of_this_computer(url) == is_warned


def test_the_teachers_page_warns_of_its_own_address(monkeypatch):
    monkeypatch.setattr(type(st.context), "url", property(lambda context: "http://127.0.0.1:8501/teach?part=link"))
    at = open_page("teach")
    assert at.code[0].value.startswith("http://127.0.0.1:8501/learn?chapter=1")
    assert "Only this computer can open this address" in at.warning[0].value


def test_a_damaged_lock_gets_one_sentence():
    at = commit(learn(chapter=2, lock="<b>x</b>"), "zero")
    assert "damaged" in at.warning[0].value and not at.text_input and not at.select_slider


def test_the_teacher_reveals_by_button():
    at = open_page("teach")
    widget(at.text_input, "Word that unlocks the reveal").set_value("wombat")
    widget(at.selectbox, "Chapter").set_value(2)
    at = press(again(at), "Open it as the teacher")
    at.switch_page("../pages/learn.py")  # AppTest itself stays where it was
    at = commit(at, "zero")
    assert not at.text_input and not at.select_slider
    assert press(at, "Reveal").select_slider


def test_the_form_makes_the_link_that_it_describes():
    at = open_page("teach")
    widget(at.selectbox, "Solution").set_value(3)
    at.checkbox(key="teach.blame.example.hidden").check()
    widget(at.checkbox, "Large type").check()
    widget(at.checkbox, "Hide the way to other chapters").check()
    at = again(at)
    address = at.code[0].value
    assert address.endswith("learn?chapter=1&run=vimpo-beta-0.3&hide=example:3,onward&large=1")
    at = press(at, "Open it as a student")
    assert not at.get("button_group") and "All chapters" not in [b.label for b in at.button]


# --- the toolkit -----------------------------------------------------------------------------------------------------


def test_text_without_its_number_is_refused_and_formulas_keep_their_braces():
    assert filled(r"{a} of $x_{b}$", a=3) == r"3 of $x_{b}$"
    with pytest.raises(ValueError, match=r"no value for \{b\}"):
        filled("{a} {b}", a=3)


def test_a_question_needs_a_right_option():
    with pytest.raises(ValueError, match="one of them right"):
        Question("q", "?", (Option("a", "A", "no"), Option("b", "B", "no")))


@pytest.mark.parametrize(
    "held",
    [
        {"pair": {"zero": ["nonsense", []]}},
        {"pair": {"zero": ["zero", [-1]]}},
        {"pair": {"zero": ["zero", [True]]}},
        {"pair": {"zero": "zero"}},
        {"pair": ["zero"]},
        {"pair": {"zero": ["zero", [1, 2, 3, 4, 5]]}},
        {"<script>": {"zero": ["zero", []]}},
    ],
)
def test_what_the_browser_kept_is_taken_over_only_where_it_is_an_answer(held):
    assert progress._valid(held, THERE) == {}
    assert progress._valid({"pair": {"zero": ["flat", [3]]}}, THERE)["pair"]["zero"].choice == "flat"


def test_the_start_page_leads_to_the_course():
    at = open_app()
    link = next(link.proto for link in at.get("page_link") if link.proto.label == "Start the course")
    at = learn(**dict(parse_qsl(link.query_string)))
    assert at.title[0].value == THERE[0].title
    assert payloads(at)
