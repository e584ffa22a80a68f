"""The hand-in: written by the course and read back, and whatever else somebody may upload."""

import json
from dataclasses import dataclass

import pytest

from app.course import chapters, hand_in
from app.course.progress import Answer
from tests.pages.opening import open_page, words
from vimpo_core import __version__

THERE = chapters.chapters()
ANSWERS = {"blame": {"blame": Answer("before", (0, 1, 3))}, "pair": {"zero": Answer("zero")}}


@dataclass
class Upload:
    name: str
    content: bytes

    @property
    def size(self):
        return len(self.content)

    def getvalue(self):
        return self.content


def ours(**changes):
    content = json.loads(hand_in.written(ANSWERS, THERE)) | changes
    return json.dumps(content).encode()


def count(*contents):
    return hand_in.counted([Upload(f"{n}.json", content) for n, content in enumerate(contents)], THERE)


def test_what_was_written_is_counted_and_holds_no_details():
    written = hand_in.written(ANSWERS, THERE)
    other = hand_in.written({"pair": {"zero": Answer("flat")}}, THERE)
    found = count(written, other)
    assert found.files == 2 and not found.problems
    assert found.answers[("pair", "zero")] == {"zero": 1, "flat": 1}
    assert found.answers[("blame", "blame")] == {"before": 1}
    assert set(json.loads(written)) == {"format", "version", "lab", "course", "id", "answers"}
    assert json.loads(written)["lab"] == __version__


def test_a_hand_in_of_before_which_does_not_say_its_lab_is_counted():
    of_before = json.loads(hand_in.written(ANSWERS, THERE))
    del of_before["lab"]
    assert count(json.dumps(of_before).encode()).files == 1


def test_a_hand_in_of_before_the_course_was_cut_into_lessons_is_counted():
    of_before = json.loads(hand_in.written(ANSWERS, THERE)) | {"course": "5212339f"}
    assert count(json.dumps(of_before).encode()).files == 1


def test_two_students_with_the_same_answers_count_twice_and_one_file_twice_counts_once():
    first, second = (hand_in.written(ANSWERS, THERE) for _ in range(2))
    assert count(first, second).files == 2
    found = count(first, first)
    assert found.files == 1 and "counted once" in found.problems[0]


DEEP = b'{"a":' * 3_000 + b"1" + b"}" * 3_000
HOSTILE = {
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "not JSON": b"<script>alert(1)</script>",
    "a list": b"[]",
    "a number": b"1" + b"0" * 9_000,
    "nested": b"[" * 9_000,
    "nested too large": DEEP,
    "too large": b" " * (hand_in.MOST_BYTES + 1),
    "pickle": b"cos\nsystem\n(S'true'\ntR.",
    "not a number": ours(answers=None).replace(b"null", b"NaN"),
    "a name twice": ours().replace(b'"answers"', b'"format": "vimpo-lab-hand-in", "answers"'),
    "more than ours": ours(name="Ada"),
    "no answers": ours(answers=None),
    "answers in a list": ours(answers=[["blame", "blame"]]),
    "unknown chapter": ours(answers={"<img src=x>": {"blame": "hit"}}),
    "unknown question": ours(answers={"blame": {"no": "hit"}}),
    "unknown choice": ours(answers={"blame": {"blame": "<b>x</b>"}}),
    "a choice that is a list": ours(answers={"blame": {"blame": ["hit"]}}),
    "a choice that is true": ours(answers={"blame": {"blame": True}}),
    "another version": ours(version=2),
    "another course": ours(course="00000000"),
    "an id that is text": ours(id="<b>x</b>"),
    "an id that is long": ours(id="0" * 5_000),
    "a lab that is text": ours(lab="<b>x</b>"),
    "a lab that is a list": ours(lab=["0.2.0"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_ours_is_named_in_one_sentence_and_not_counted(name):
    found = count(HOSTILE[name], ours())
    assert found.files == 1 and len(found.problems) == 1
    problem = found.problems[0]
    assert problem.startswith("0.json ") and problem.endswith(".") and problem.count(". ") <= 1 and len(problem) < 160
    for part in ("<img", "<b>", "Ada", "alert"):
        assert part not in problem


def test_a_file_name_is_cut_and_more_files_than_allowed_are_not_read():
    found = hand_in.counted([Upload("x" * 900, b"")], THERE)
    assert len(found.problems[0]) < 150
    found = hand_in.counted([Upload("a.json", b"{}")] * (hand_in.MOST_FILES + 5), THERE)
    assert len(found.problems) == hand_in.MOST_FILES + 1 and "Only the first" in found.problems[-1]


def test_the_teacher_sees_counts_and_names_of_refused_files_only():
    at = open_page("teach", part="hand-ins")
    uploader = at.get("file_uploader")[0]
    uploader.set_value(
        [
            ("good.json", ours(), "application/json"),
            ("**bad**.json", HOSTILE["unknown choice"], "application/json"),
        ]
    )
    at.run()
    assert not at.exception
    assert "1 hand-in" in words(at) and "**bad**.json was changed" in words(at)
    assert "x</b>" not in words(at)


def test_a_byte_order_mark_that_an_editor_put_in_front_changes_nothing():
    assert count(b"\xef\xbb\xbf" + ours()) == count(ours())
