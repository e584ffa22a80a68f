"""The minutes that the course promises: its words are counted on the page, and a lesson fits its fifty minutes."""

import pytest

from app.course import chapters, plan
from app.course.chapters import LESSON, SECOND
from app.course.effort import PREDICTION_SECONDS, WORDS_A_MINUTE, Effort
from app.course.progress import Answer
from app.course.widgets import failures as failures_view
from app.course.widgets import levers as levers_view
from tests.pages.opening import again, one, open_page, press, read_words, words
from tests.pages.test_chapters import StubLab
from tests.pages.test_course import Answering
from vimpo_core.service import scoring

MOST_BEFORE = 350
MOST_ALONE = 45
"""Minutes of a fresh reader for the three chapters of the lesson."""
ROOM = 60
"""Words by which a chapter may be shorter than it says."""


@pytest.fixture(autouse=True)
def services(monkeypatch, tmp_path):
    scored, lab = Answering(), StubLab(tmp_path)
    monkeypatch.setattr(scoring, "scoring_service", lambda: scored)
    for module in (levers_view, failures_view):
        monkeypatch.setattr(module, "lab_service", lambda: lab)
        module.warm_up.clear()


def answered(at, chapter):
    """The page after the answer that is replied to at greatest length."""
    (question,) = chapter.questions
    longest = max(question.options, key=lambda option: len(chapter.say(option.reply) if chapter.key != "blame" else ""))
    details = (0, 1, 0) if chapter.key == "blame" else ()
    at.session_state["course.answers"] = {chapter.key: {question.key: Answer(longest.key, details)}}
    return again(at)


@pytest.mark.parametrize("chapter", chapters.ALL, ids=lambda chapter: chapter.key)
def test_a_chapter_has_the_words_that_its_minutes_are_worked_out_from(chapter):
    at = open_page("learn", chapter=chapter.number)
    assert len(read_words(at)) <= MOST_BEFORE
    promised = chapter.module.EFFORT
    assert promised.words - ROOM <= len(read_words(answered(at, chapter))) <= promised.words
    assert promised.minutes == chapter.minutes <= chapter.class_minutes
    assert f"about {chapter.minutes} minutes" in words(at)


def test_the_lesson_of_three_chapters_fits_fifty_minutes_and_a_fresh_reader_needs_less_than_45():
    lesson = chapters.of_part(LESSON)
    assert [chapter.number for chapter in lesson] == [1, 5, 7]
    assert sum(chapter.minutes for chapter in lesson) <= MOST_ALONE
    left = plan.LESSON_MINUTES - sum(chapter.class_minutes for chapter in lesson)
    assert left >= plan.ARRIVING_MINUTES
    second = sum(chapter.class_minutes for chapter in chapters.of_part(SECOND))
    assert second <= plan.LESSON_MINUTES - plan.ARRIVING_MINUTES


def test_minutes_are_words_at_a_reading_speed_and_what_there_is_to_do_rounded_up():
    assert Effort(words=WORDS_A_MINUTE).seconds == 60 + PREDICTION_SECONDS
    assert Effort(words=WORDS_A_MINUTE, predictions=0).minutes == 1
    assert Effort(words=WORDS_A_MINUTE, predictions=0, wait_seconds=1).minutes == 2


def test_the_plan_is_the_lessons_unless_the_address_names_chapters():
    said = words(open_page("teach", part="plan"))
    order = [said.index(f": {chapter.number} {chapter.title}") for chapter in chapters.of_part(LESSON)]
    assert order == sorted(order) and "The identity" not in said
    at = press(open_page("teach", part="plan"), SECOND.title)
    assert "The identity" in words(at) and "Two levers" not in words(at)
    assert one(at.query_params["chapters"]) == "2,3,4"
    said = words(open_page("teach", part="plan", chapters="2,3"))
    assert "2 A policy is a pair" in said and "3 The identity" in said and "Two levers" not in said


def test_a_reader_goes_on_through_the_lesson_and_then_to_the_second():
    numbers = [chapters.ALL[0].number]
    while (following := chapters.after(chapters.ALL[numbers[-1] - 1])) is not None:
        numbers.append(following.number)
    assert numbers == [1, 5, 7, 2, 3, 4, 6]


@pytest.mark.parametrize("number", [7, 4, 6])
def test_a_part_ends_at_links_that_lead_on(number):
    at = answered(open_page("learn", chapter=number), chapters.ALL[number - 1])
    links = {link.proto.label: link.proto for link in at.get("page_link")}
    assert {"Your own problem", "Your own model", "All results"} <= set(links)
    assert any(link.page.startswith("https://arxiv.org/abs/") for link in links.values())
