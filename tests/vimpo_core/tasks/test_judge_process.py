"""A judge that hangs, dies or raises costs one answer, and the next one is judged again."""

import os

import pytest

from tests.support.waiting import PATIENCE, never_returns
from vimpo_core.mistake import Mistake
from vimpo_core.tasks.judge_process import Failed, JudgeProcess

HERE = "tests.vimpo_core.tasks.test_judge_process"


def prepare():
    pass


def double(number):
    if number == "hang":
        while True:
            pass
    if number == "sleep for ever":
        import signal

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as code in C that looks at no signal
        never_returns()
    if number == "die":
        os._exit(1)
    if number == "mistake":
        raise Mistake("the library is missing.")
    return 2 * number


def hash_of(text):
    return hash(text)


@pytest.fixture
def judge():
    made = JudgeProcess(HERE, limit=3)
    yield made
    made.close()


def test_results_come_in_order(judge):
    assert judge.map("double", range(100)) == list(range(0, 200, 2))
    assert judge.map("double", []) == []


@pytest.mark.parametrize(
    ("item", "words"),
    [("hang", "took longer than"), ("sleep for ever", "took longer than"), ("die", "died"), (None, "TypeError")],
)
def test_one_bad_answer_costs_itself_alone(judge, item, words, monkeypatch):
    asked = JudgeProcess._asked

    def soon(self, work, items, seconds):
        """What no alarm wakes is killed at once, and nothing else, however slow the machine."""
        return asked(self, work, items, 0.5 if "sleep for ever" in items else PATIENCE)

    monkeypatch.setattr(JudgeProcess, "_asked", soon)
    first, bad, last = judge.map("double", [1, item, 3])
    assert (first, last) == (2, 6)
    assert isinstance(bad, Failed)
    assert words in bad


def test_a_mistake_is_said_to_whoever_asks(judge):
    with pytest.raises(Mistake, match=r"the library is missing"):
        judge.map("double", [1, "mistake"])


def test_hashes_are_the_same_in_every_judge(judge):
    other = JudgeProcess(HERE)
    try:
        assert judge.map("hash_of", ["text"]) == other.map("hash_of", ["text"])
    finally:
        other.close()
