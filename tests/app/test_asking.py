"""`app.waiting` without a page: who is asked when, what is kept for whom, and that a request is over only once it was
seen to be.
"""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
import streamlit as st

from app import waiting
from app.waiting import Question
from vimpo_core.mistake import Mistake
from vimpo_core.service.classroom import Member
from vimpo_core.service.helper_process import Asked


class Service:
    """Keeps what it was asked, and the future it gave."""

    def __init__(self):
        self.asked, self.future = [], Future()

    def question(self, key, name="name", **more):
        def ask(timeout, asker, is_wanted=None, **progress):
            self.asked.append((key, timeout, *progress))
            self.asker, self.is_wanted, self.future = asker, is_wanted, Asked(None, timeout, is_wanted)
            return self.future

        return Question(name, (key,), ask, "Doing", 30, **more)


@pytest.fixture
def service(new_session):
    st.cache_resource.clear()
    new_session()
    return Service()


@pytest.fixture
def new_session(monkeypatch):
    return lambda: monkeypatch.setattr(st, "session_state", {})


def answered(service, question, answer):
    assert waiting.ahead(question) is None
    service.future.set_result(answer)
    return waiting.ahead(question)


def test_an_answer_is_asked_for_once_for_all_sessions(service, new_session):
    question = service.question("a")
    assert answered(service, question, 7) == 7
    new_session()
    assert waiting.ahead(question) == 7 and waiting.pending("name") is None
    waiting.send(question)
    assert waiting.ahead(waiting.pending("name")) == 7 and service.asked == [("a", 30)]


def test_equal_keys_under_other_names_are_other_answers(service):
    assert answered(service, service.question("a", "one"), 1) == 1
    assert waiting.ahead(service.question("a", "two")) is None and len(service.asked) == 2


def test_a_new_question_under_a_name_cancels_the_old_one(service):
    waiting.ahead(service.question("a"))
    old = service.future
    waiting.ahead(service.question("b"))
    assert old.cancelled() and not service.future.cancelled()


def test_a_request_that_failed_is_not_sent_again_until_it_is_forgotten(service):
    question = service.question("a")
    waiting.ahead(question)
    service.future.set_exception(Mistake("no"))
    assert waiting.ahead(question) is None and not waiting.is_underway(question) and len(service.asked) == 1
    waiting.forget("name")
    assert waiting.ahead(question) is None and waiting.is_underway(question) and len(service.asked) == 2


def test_a_request_that_ends_after_it_was_looked_at_is_not_taken_for_failed(service):
    question = service.question("a")
    assert waiting.ahead(question) is None
    service.future.set_result(7)
    assert waiting.is_underway(question)
    assert waiting.ahead(question) == 7 and not waiting.is_underway(question)


def test_only_the_newest_answers_are_kept(service, monkeypatch):
    monkeypatch.setattr(waiting, "_KEPT", 2)
    questions = [service.question(key) for key in "abc"]
    for question in questions:
        answered(service, question, question.key)
    assert [waiting.kept(question) for question in questions] == [None, ("b",), ("c",)]
    monkeypatch.setattr(waiting, "_KEPT_BYTES", 1000)  # nor more than they may weigh, but for the newest
    assert answered(service, service.question("d"), bytes(2000)) == bytes(2000)
    assert [waiting.kept(question) for question in questions] == [None] * 3


def test_progress_goes_to_those_that_tell_it(service):
    waiting.send(service.question("a", tells_progress=True))
    waiting.send(service.question("b"))
    assert service.asked == [("a", 30, "progress"), ("b", 30)]


def test_the_limit_runs_from_when_the_process_takes_a_question_up(service):
    waiting.send(service.question("a"))
    request = st.session_state["name"]
    at = request.started
    assert waiting._how_far(request, at + 5) == (0.0, "the process is starting, 5 s")
    service.future.place = lambda: 3
    assert waiting._how_far(request, at + 50) == (0.0, "3 questions ahead, 50 s")
    service.future.place, service.future.inner = (lambda: 0), Future()
    service.future.inner.set_running_or_notify_cancel()
    assert waiting._how_far(request, at + 174) == (0.0, "0 of at most 30 s")
    assert waiting._how_far(request, at + 189) == (0.5, "15 of at most 30 s")


# ---- who still waits


def test_what_a_page_does_not_look_at_any_more_is_cancelled_when_it_was_drawn(service):
    left, seen, job = service.question(1, "a"), service.question(2, "b"), service.question(3, "c", until="end")
    sent = []
    for question in (left, seen, job):
        waiting.ahead(question)
        sent.append(service.future)
    waiting.begin_page()
    waiting.ahead(seen)
    waiting.end_page()
    assert [future.cancelled() for future in sent] == [True, False, False]
    assert waiting.pending("a") is None and waiting.pending("c") == job


def test_an_answer_that_comes_after_its_page_was_left_is_kept_for_the_next(service):
    question = service.question("a", until="end")
    waiting.ahead(question)
    waiting.forget("name")
    service.future.set_result(7)
    assert waiting.ahead(question) == 7 and len(service.asked) == 1


def test_nobody_waits_for_what_was_told_to_somebody_else_or_where_the_browser_is_gone(service, monkeypatch):
    now, there = [100.0], [True]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting.runtime, "exists", lambda: True)
    browsers = SimpleNamespace(get_client=lambda session: "a socket" if there[0] else None)
    monkeypatch.setattr(waiting.runtime, "get_instance", lambda: browsers)
    waiting.ahead(service.question("a"))
    is_wanted, future = service.is_wanted, service.future
    now[0] = 500.0
    assert is_wanted()
    there[0] = False
    assert is_wanted()  # a bad line is back soon
    now[0] += waiting._GONE_SECONDS
    assert not is_wanted()
    there[0] = True
    assert is_wanted()
    future.set_result(1)
    assert not is_wanted()


def test_what_was_given_up_while_the_browser_was_away_is_asked_anew_and_what_the_reader_cancelled_is_not(service):
    question = service.question("a")
    waiting.ahead(question)
    service.future.cancel()  # as the queue does
    assert waiting.ahead(question) is None and waiting.is_underway(question) and len(service.asked) == 2
    waiting.cancel("name")
    assert waiting.ahead(question) is None and not waiting.is_underway(question) and len(service.asked) == 2


def test_a_browser_of_a_class_has_one_turn_in_however_many_tabs(service):
    waiting.ahead(service.question("a"))
    assert service.asker == ""
    st.session_state[waiting.cache.MEMBER] = Member(7, False)
    waiting.ahead(service.question("b"))
    assert service.asker == 7
