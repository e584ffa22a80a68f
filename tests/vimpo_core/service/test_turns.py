"""Whose question comes next, with letters for browsers: A1 is the first question of browser A."""

from vimpo_core.service.turns import Turns


def added(*questions):
    turns = Turns()
    for question in questions:
        turns.add(question, question[0])
    return turns


def taken(turns, count=99):
    return [found for _ in range(count) if (found := turns.take())]


def test_a_browsers_second_question_waits_behind_everybodys_first():
    assert taken(added("A1", "A2", "A3", "B1", "C1", "B2")) == ["A1", "B1", "C1", "A2", "B2", "A3"]


def test_also_behind_a_first_that_came_later_while_the_round_lasts():
    turns = added("A1", "B1")
    assert taken(turns, 1) == ["A1"]
    turns.add("A2", "A")  # the next stage of what was just answered
    turns.add("C1", "C")
    assert taken(turns) == ["B1", "C1", "A2"]


def test_who_comes_late_begins_in_the_round_that_lasts_and_catches_nothing_up():
    turns = added("A1", "A2", "A3", "A4")
    assert taken(turns, 3) == ["A1", "A2", "A3"]
    for late in ("B1", "B2", "B3"):
        turns.add(late, "B")
    assert taken(turns) == ["B1", "A4", "B2", "B3"]


def test_a_question_in_place_of_one_that_was_dropped_keeps_the_round():
    turns = added("A1", "B1", "B2")
    turns.drop("A1")
    turns.add("A2", "A")
    assert taken(turns) == ["B1", "A2", "B2"]


def test_how_many_are_ahead_is_how_many_are_taken_before():
    questions = "A1", "A2", "B1", "C1", "B2"
    turns = added(*questions)
    ahead = {question: turns.ahead(question) for question in questions}
    assert taken(turns) == sorted(questions, key=ahead.get)
    assert turns.ahead("A1") is None


def test_when_nobody_waits_all_is_forgotten():
    turns = added("A1", "A2")
    assert taken(turns) == ["A1", "A2"]
    turns.add("A3", "A")
    turns.add("B1", "B")
    assert taken(turns) == ["A3", "B1"]
    assert not turns._next and not turns.waiting()
