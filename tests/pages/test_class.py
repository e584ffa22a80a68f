"""The door of a class, what a student may do on the pages, and the teacher's board."""

import csv
import io
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.runtime.app_session import AppSession
from streamlit.web.server.starlette import starlette_routes

from app import gate
from app.course import chapters, class_board
from app.runs import acting
from tests.pages.opening import again, open_page, payloads, said
from tests.support.fakes import make_fake_run
from vimpo_core.service.classroom import ENVIRONMENT, Classroom, ClassRuns, Member

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
    room.set_phase("identity", "closed")
    page = student("learn", chapter="3")
    page.radio[0].set_value("same")
    again(page)
    next(button for button in page.button if button.label == "Commit and see").click()
    again(page)
    assert any("has closed this question" in one.value for one in page.warning)
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
