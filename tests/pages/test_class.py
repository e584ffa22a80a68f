"""The door of a class, what a student may do on the pages, and the teacher's board."""

import csv
import io
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.runtime.app_session import AppSession
from streamlit.web.server.starlette import starlette_routes

from app import cache, gate
from app.course import chapters, class_board, class_projector
from app.runs import acting
from tests.pages.opening import again, open_page, payloads, press, said, words
from tests.support.fakes import make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.service.class_runs import ClassRuns
from vimpo_core.service.classroom import ENVIRONMENT, Classroom, Member

CODE = "lantern"


@pytest.fixture
def room(runs, monkeypatch):
    """A class on the tests' runs folder, which the pages know of as those of its web server do."""
    monkeypatch.setenv(ENVIRONMENT, "http://lab.local:8501")
    make_fake_run(runs.path, steps=1, prompts_per_step=1, group_size=2)
    return Classroom(runs.path)


@pytest.fixture
def key(room):
    return room.open_up(CODE, 2)


def is_door(page):
    return [field.label for field in page.text_input] == ["Join code"]


def give(page, code):
    page.text_input[0].set_value(code)
    page.button[0].click()
    return again(page)


def student(path, **query):
    page = give(open_page(path, **query), CODE)
    assert not is_door(page)
    return page


def labels(page):
    return [widget.label for widget in [*page.button, *page.selectbox, *page.text_input, *page.expander]]


def test_nothing_is_shown_before_the_code_and_the_page_of_the_link_after_it(room, key):
    page = open_page("runs")
    assert is_door(page) and len(page.button) == 1
    page = give(page, "guess")
    assert is_door(page) and "not the join code" in page.error[0].value
    page = give(page, "  LANTERN")
    assert "Runs" in " ".join(one.value for one in [*page.title, *page.markdown]) and not page.error
    assert room.seats() == (1, 4)


def test_without_a_class_there_is_no_door(runs):
    assert not is_door(open_page("runs"))
    assert gate.member() is None


def test_a_student_brings_no_file_and_names_none(room, key):
    assert "Bring a run" not in labels(student("runs"))
    page = student("train")
    model = next(box for box in page.selectbox if box.label == "Model")
    problems = next(box for box in page.selectbox if box.label == "Problems")
    assert model.options == ["bundled"]
    assert not any(option.startswith(("file:", "math:")) for option in problems.options)


def test_the_teachers_link_opens_the_board_and_leaves_the_address(room, key):
    page = open_page("teach", key=key)
    assert "key" not in page.query_params and not is_door(page)
    shown = said(" ".join(one.value for one in page.markdown))
    assert "http://lab.local:8501" in shown and CODE in shown
    assert is_door(open_page("teach", key="guess"))
    page = student("teach")
    assert "your teacher's" in page.info[0].value.replace("\\", "") and not page.get("segmented_control")


def test_a_held_reveal_waits_for_the_teacher_and_the_answer_is_handed_in(room, key):
    room.set_phase("identity", "held")
    page = student("learn", chapter="3")
    page.radio[0].set_value("same")
    again(page)
    next(button for button in page.button if button.label == "Commit and see").click()
    again(page)
    assert room.hand_ins() == {("identity", "dropped"): {"same": 1}}
    said = " ".join(one.value for one in page.markdown)
    assert "once your teacher goes on" in said and "Not quite." not in said
    room.set_phase("identity", "free")
    said = " ".join(one.value for one in again(page).markdown)
    assert "Not quite." in said


def test_a_closed_question_takes_no_answer_and_says_so(room, key):
    page = student("learn", chapter="3")
    page.radio[0].set_value("same")
    again(page)
    room.set_phase("identity", "closed")  # as the student is about to press
    next(button for button in page.button if button.label == "Commit and see").click()
    again(page)
    assert any("has closed this question" in one.value for one in page.warning)
    assert any("no more answers are taken" in one.value for one in again(page).info)
    assert next(button for button in page.button if button.label == "Commit and see").disabled
    assert room.hand_ins() == {}


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_the_server_reads_no_file_of_a_student_and_those_of_the_teacher(room, key, monkeypatch, who):
    """Put before Streamlit's own address for files: a session that it hears of as none is refused before its body."""
    server, kept = SimpleNamespace(is_active_session=lambda session: True, get_client=lambda session: "socket"), []
    files = SimpleNamespace(add_file=lambda session_id, file: kept.append(file.name))
    monkeypatch.setattr(gate, "runtime", SimpleNamespace(get_instance=lambda: server))
    monkeypatch.setattr(gate, "_UPLOADERS", set())
    monkeypatch.setattr(starlette_routes, "is_xsrf_enabled", lambda: False)
    client = TestClient(Starlette(routes=starlette_routes.create_upload_routes(server, files, None)))
    page = student("runs") if who == "student" else open_page("runs", key=key)
    assert not is_door(page)
    sent = client.put("/_stcore/upload_file/test session id/1", files={"file": ("run.json", b"{}")})
    assert (sent.status_code, kept) == ((400, []) if who == "student" else (204, ["run.json"]))


def test_one_browser_neither_clears_what_all_share_nor_takes_everybodys_turn(room, key, monkeypatch):
    cleared, waited = [], []
    assert callable(AppSession._handle_clear_cache_request)  # Streamlit's own, under the name that is replaced
    monkeypatch.setattr(AppSession, "_handle_clear_cache_request", lambda self: cleared.append(self))
    monkeypatch.setattr(gate, "sleep", waited.append)
    monkeypatch.setattr(gate, "_TURNS", {})
    monkeypatch.setattr(gate, "_BURST", 3.0)
    monkeypatch.setattr(gate, "_TURNS_A_SECOND", 0.01)  # so that no slow machine earns one meanwhile
    page = student("runs")
    AppSession._handle_clear_cache_request(None)
    assert cleared == []
    again(page)
    assert waited and set(waited) == {100.0}


def test_a_student_sees_others_runs_apart_and_cannot_change_them(room, key):
    page = student("runs")
    (groups,) = [one["groups"] for one in payloads(page) if "groups" in one]
    assert [(group["title"], [row["own"] for row in group["rows"]]) for group in groups] == [("Your class's", [False])]


def test_a_browser_that_asks_for_what_its_list_does_not_offer_is_refused(room, key, monkeypatch):
    monkeypatch.setattr(acting.run_table.cache, "runs_dir", lambda: ClassRuns(room.path.parent, room, Member(1, False)))
    monkeypatch.setattr(acting.st, "session_state", {})
    for what in ("unfollow", "resume", "delete", "save"):
        acting.do({"do": what, "keys": ["vimpo-1"], "add": [], "remove": [], "name": "mine", "note": "mine"})
        assert "not yours" in acting.said()["text"], what


def test_the_exported_hand_ins_say_what_was_answered_and_whether_it_was_right(room, key):
    member = room.member(room.join(CODE, "10.0.0.9"))
    room.hand_in("identity", "dropped", "other", member)
    room.hand_in("identity", "dropped", "=gone", Member(9, False))
    rows = list(csv.DictReader(io.StringIO(class_board._as_csv(chapters.chapters()).decode())))
    assert [(row["browser"], row["choice"], row["is_right"]) for row in rows] == [
        ("1", "other", "True"),
        ("9", "'=gone", ""),
    ]
    assert rows[0]["answer"].startswith("To another policy")


def read(page):
    return said(words(page) + " ".join(one.label for one in page.get("page_link")))


def test_a_student_reads_their_name_and_seed_and_plays_with_it(room, key):
    room.join(CODE, "10.0.0.9")
    page = student("train")
    name = room.names()[2]
    assert f"You are {name}. Unless you set another, your runs have seed 2" in read(page).replace(
        "*", ""
    ) and f"You are {name}" in read(page)
    assert next(field for field in page.number_input if field.label == "Seed").value == 2
    assert "other than in" not in read(page)
    press(page, "Play")
    assert {run.config.seed for run in cache.runs_dir().list() if run.state == "queued"} == {2}


def test_a_name_is_changed_on_the_class_page_and_one_that_is_hostile_or_taken_is_refused(room, key):
    room.join(CODE, "10.0.0.9")
    page = student("classroom")
    for typed, answer in (("<b>x</b>", "begins with"), (room.names()[1], "is called that"), ("Ada", "You are Ada")):
        page.text_input[0].set_value(typed)
        press(page, "Change it")
        assert answer in " ".join(one.value for one in [*page.warning, *page.success]), typed
    assert room.names()[2] == "Ada" and "### You are Ada" in words(page)


def test_what_the_teacher_pins_stands_on_start_and_is_gone_when_it_is_unpinned_or_deleted(room, key):
    teacher = Member(9, True)
    assert "Pinned" not in read(student("start"))
    room.pin({"run": "vimpo-1", "step": "1"}, teacher)
    page = student("start")
    assert "Pinned by your teacher: **VIMPO beta 0.1, seed 0**, step 1" in read(page)
    (link,) = [one for one in page.get("page_link") if one.label == "Look at it"]
    assert "run=vimpo-1" in link.proto.query_string and "step=1" in link.proto.query_string
    room.unpin(teacher)
    assert "Pinned" not in read(again(page))
    room.pin({"run": "vimpo-99"}, teacher)
    assert "Pinned" not in read(again(page))


def test_the_teacher_alone_pins_on_inspect(room, key):
    page = open_page("teach", key=key)
    page.switch_page("../pages/inspector.py")
    press(again(page), "Pin for the class")
    assert room.pinned().view.keys() == {"run", "step", "group", "sample"} and room.pinned().run == "vimpo-1"
    press(page, "Unpin")
    assert room.pinned() is None and "Pin for the class" not in labels(student("inspector"))


def test_the_board_for_the_projector_has_nothing_to_press_and_no_word_for_the_teacher(room, key, monkeypatch):
    assert is_door(open_page("board", show="guess"))
    member = room.member(room.join(CODE, "10.0.0.9"))
    room.rename("Ada", member)
    ClassRuns(room.path.parent, room, member).submit([TrainConfig(steps=3, prompts_per_step=1, group_size=2)])
    room.show_chapter("identity")
    room.set_phase("identity", "held")
    room.hand_in("identity", "dropped", "same", member)
    room.pin({"run": "vimpo-1"}, Member(9, True))
    page = open_page("board", show=room.board_key())
    widgets = (
        "button",
        "text_input",
        "toggle",
        "selectbox",
        "page_link",
        "download_button",
        "radio",
        "segmented_control",
    )
    assert [kind for kind in widgets if page.get(kind)] == []
    shown = read(page)
    for there in ("http://lab.local:8501", CODE, "Ada", "is next", "The identity", "The reveal waits", "has answered"):
        assert there in shown, there
    assert "Pinned" in shown and key not in shown
    room.set_phase("identity", "free")
    assert "whoever has answered sees" in read(again(page))
    monkeypatch.setattr(class_projector.class_queue, "places", lambda: 1 / 0)
    page = again(page)
    assert "One moment." in read(page) and not page.error and not page.exception


def test_the_board_compares_the_runs_of_all_students_with_one_press(room, key):
    for address in ("10.0.0.8", "10.0.0.9"):
        member = room.member(room.join(CODE, address))
        run_id = make_fake_run(room.path.parent, steps=1, prompts_per_step=1, group_size=2, seed=member.number)
        room.own([run_id], member)
    page = open_page("teach", key=key)
    (link,) = [one for one in page.get("page_link") if one.label.startswith("Compare")]
    assert link.label == "Compare all 2 finished runs of your class"
    assert link.proto.query_string == "runs=vimpo-3%2Cvimpo-2"


def test_a_student_reads_who_cancelled_their_run(room, key):
    page = student("train")
    press(page, "Play")
    ClassRuns(room.path.parent, room, Member(9, True)).command(room_job(room), "stop")
    assert "Stopped. Your teacher cancelled it." in read(again(page)).replace("*", "")


def room_job(room):
    return cache.RunsDir(room.path.parent).jobs()[-1].job_id
