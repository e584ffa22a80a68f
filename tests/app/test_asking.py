"""`app.waiting` without a page: who is asked when, what is kept for whom, and that a request is over only once it was
seen to be.
"""

from concurrent.futures import Future

import pytest
import streamlit as st

from app import waiting
from app.waiting import Question
from vimpo_core.mistake import Mistake


class Service:
    """Keeps what it was asked, and the future it gave."""

    def __init__(self):
        self.asked, self.future = [], Future()

    def question(self, key, name="name", **more):
        def ask(timeout, **progress):
            self.asked.append((key, timeout, *progress))
            self.future = Future()
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


def test_progress_goes_to_those_that_tell_it(service):
    waiting.send(service.question("a", tells_progress=True))
    waiting.send(service.question("b"))
    assert service.asked == [("a", 30, "progress"), ("b", 30)]


def test_the_limit_runs_from_when_the_process_takes_a_question_up(service):
    waiting.send(service.question("a"))
    request = st.session_state["name"]
    at = request.started
    assert waiting._how_far(request, at + 50) == (0.0, "behind what was asked before, 50 s")
    service.future.set_running_or_notify_cancel()
    assert waiting._how_far(request, at + 174) == (0.0, "0 of at most 30 s")
    assert waiting._how_far(request, at + 189) == (0.5, "15 of at most 30 s")
