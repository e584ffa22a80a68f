"""A class: who may come in, whose runs are whose, one job a student, and hand-ins that survive the server."""

import dataclasses
import sqlite3
import threading

import pytest

from tests.support.fakes import make_fake_run
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs.store import StoreError
from vimpo_core.service import class_runs
from vimpo_core.service.class_runs import ClassRuns
from vimpo_core.service.classroom import Classroom, Member
from vimpo_core.types import RunState

CODE = "red lantern"
CONFIG = TrainConfig(steps=1, prompts_per_step=1, group_size=2)


@pytest.fixture
def room(tmp_path):
    room = Classroom(tmp_path / "runs")
    room.open_up(CODE, 20)
    return room


def joined(room, address="10.0.0.2"):
    return room.member(room.join(CODE, address))


def test_the_code_lets_a_browser_in_however_it_is_written_and_the_token_is_its_place_from_then_on(room):
    token = room.join("Red-LANTERN ", "10.0.0.2")
    assert room.member(token) == Member(1, False)
    assert Classroom(room.path.parent).member(token) == Member(1, False)  # at the next start too
    assert [room.member(wrong) for wrong in ("", None, "x", token * 9)] == [None] * 4
    assert token not in room.path.read_bytes().decode("latin1")


def test_after_five_wrong_codes_an_address_waits_longer_each_time_and_others_do_not(room):
    for n in range(5):
        with pytest.raises(Mistake, match="not the join code"):
            room.join("guess", "10.0.0.9", now=100.0 + n)
    waits = []
    for now in (104.5, 106.5, 107.0, 110.6):
        with pytest.raises(Mistake) as told:
            room.join("guess", "10.0.0.9", now=now)
        waits.append(str(told.value))
    assert waits[0] == "too many wrong codes from here. Wait 2 seconds, then try again"
    assert waits[1].startswith("that is not") and "Wait 4 seconds" in waits[2] and waits[3].startswith("that is not")
    with pytest.raises(Mistake, match="Wait 8 seconds"):
        room.join(CODE, "10.0.0.9", now=110.6)
    assert room.member(room.join(CODE, "10.0.0.3", now=110.6))
    assert room.member(room.join(CODE, "10.0.0.9", now=2000.0))


def test_the_seats_are_counted_and_the_teachers_link_works_once_the_terminal_showed_it(room):
    room.open_up(CODE, 2)
    for _ in range(4):  # two browsers a student
        joined(room)
    with pytest.raises(Mistake, match="all 4 seats"):
        joined(room)
    key = room.open_up(CODE, 3)
    for _ in range(3):  # however often the teacher's link is opened, it takes no seat
        assert room.member(room.join_as_teacher(key)).is_teacher
    assert room.seats() == (4, 6)
    with pytest.raises(Mistake, match="not the link"):
        room.join_as_teacher("guess")
    joined(room)


def test_a_class_goes_on_whatever_its_code_and_only_a_new_one_forgets(room):
    token = room.join(CODE, "10.0.0.2")
    room.own(["vimpo-1"], room.member(token))
    room.hand_in("blame", "first", "18", room.member(token))
    room.set_phase("blame", "closed")
    room.open_up("another word", 2)
    assert (room.member(token).number, room.owners(), room.code()) == (1, {"vimpo-1": 1}, "another word")
    with pytest.raises(Mistake, match="not the join code"):
        room.join(CODE, "10.0.0.2")
    room.open_up("another word", 2, is_new=True)
    assert (room.member(token), room.owners(), room.hand_ins(), room.phases()) == (None, {}, {}, {})


@pytest.mark.parametrize(
    ("code", "seats", "words"), [("abc", 2, "4 to 40"), ("x" * 41, 2, "got 41"), ("good", 0, "1 to")]
)
def test_a_code_that_is_soon_guessed_and_a_class_of_nobody_are_refused(tmp_path, code, seats, words):
    with pytest.raises(Mistake, match=words):
        Classroom(tmp_path).open_up(code, seats)
    assert not list(tmp_path.iterdir())


def test_a_student_changes_their_own_runs_alone_and_a_teacher_all(room):
    runs_dir = room.path.parent
    foreign = make_fake_run(runs_dir, steps=1, prompts_per_step=1, group_size=2)
    student, other, teacher = joined(room), joined(room), Member(9, True)
    runs = ClassRuns(runs_dir, room, student)
    runs.submit([CONFIG])
    (mine,) = runs.jobs()[-1].run_ids
    for change in (
        lambda: runs.delete(foreign),
        lambda: runs.rename(foreign, "mine now"),
        lambda: runs.resume([foreign]),
        lambda: ClassRuns(runs_dir, room, other).rename(mine, "stolen"),
        lambda: ClassRuns(runs_dir, room, other).command(runs.jobs()[-1].job_id, "stop"),
        runs.empty_bin,
    ):
        with pytest.raises(Mistake, match=r"not yours|is \w+ \w+'s, so you|only the teacher"):
            change()
    runs.rename(mine, "Monday")
    assert {run.run_id: run.given_name for run in runs.list()}[mine] == "Monday"
    ClassRuns(runs_dir, room, teacher).delete(foreign)
    with pytest.raises(Mistake, match="not yours"):
        runs.restore(foreign)


def test_a_student_has_one_job_at_a_time_and_the_next_after_it(room):
    runs = ClassRuns(room.path.parent, room, joined(room))
    job = runs.submit([CONFIG])
    for again in (lambda: runs.submit([CONFIG]), lambda: runs.fork("vimpo-1", 0, CONFIG)):
        with pytest.raises(Mistake, match="you have a job already, which is queued: vimpo-1"):
            again()
    runs.command(job, "stop")
    runs.submit([CONFIG])
    teacher = ClassRuns(room.path.parent, room, Member(9, True))
    teacher.submit([CONFIG])
    teacher.submit([CONFIG])


def test_a_second_hand_in_replaces_the_first_and_all_are_there_at_the_next_start_until_deleted(room):
    student, other = joined(room), joined(room)
    room.set_phase("blame", "held")
    room.hand_in("blame", "first", "19", student)
    room.hand_in("blame", "first", "18", student)
    room.hand_in("blame", "first", "18", other)
    again = Classroom(room.path.parent)
    assert again.hand_ins() == {("blame", "first"): {"18": 2}}
    assert [row[:4] for row in again.hand_in_rows()] == [("blame", "first", n, "18") for n in (1, 2)]
    with pytest.raises(Mistake, match="at most 200"):
        room.hand_in("blame", "first", "1" * 10_000_000, student)
    assert (room.forget_hand_ins(), room.hand_ins()) == (2, {})


def test_whoever_has_seen_the_reveal_cannot_change_what_they_had_predicted(room):
    student = joined(room)
    room.hand_in("blame", "first", "19", student)
    room.hand_in("blame", "first", "18", student)
    assert room.hand_ins()["blame", "first"] == {"19": 1}
    room.set_phase("blame", "held")
    room.hand_in("levers", "first", "none", student)
    room.set_phase("blame", "free")
    room.hand_in("blame", "first", "18", student)
    assert room.hand_ins()["blame", "first"] == {"19": 1}


def test_a_closed_question_takes_no_answer_and_keeps_those_it_has(room):
    student = joined(room)
    room.set_phase("blame", "held")
    room.hand_in("blame", "first", "18", student)
    room.set_phase("blame", "closed")
    with pytest.raises(Mistake, match="closed this question"):
        room.hand_in("blame", "first", "1", student)
    room.hand_in("levers", "first", "none", student)
    assert Classroom(room.path.parent).phases() == {"blame": "closed"}
    assert room.hand_ins()["blame", "first"] == {"18": 1}


def test_a_student_names_no_file_of_the_teachers_computer(room, tmp_path):
    (tmp_path / "grades.csv").write_text("prompt,answer\n1,2\n")
    named = [{"model": str(tmp_path)}, {"model": "org/name"}, {"task": f"file:{tmp_path}/grades.csv"}]
    for setting in named:
        with pytest.raises(Mistake, match="only the teacher can bring"):
            ClassRuns(room.path.parent, room, joined(room)).submit([TrainConfig(**setting)])
    assert ClassRuns(room.path.parent, room, Member(9, True)).list() == []


def test_every_browser_has_a_name_of_its_own_that_stays_and_that_it_may_change_to_nobody_elses(room):
    one, two = joined(room), joined(room)
    assert one.name and one.name != two.name and room.names() == {1: one.name, 2: two.name}
    with pytest.raises(Mistake, match="somebody in your class is called that, or nearly that"):
        room.rename(one.name.upper(), two)
    assert room.rename("Ada  L.", two) == "Ada L."
    with pytest.raises(Mistake, match="somebody"):
        room.rename("ada-l", one)
    again = Classroom(room.path.parent)
    assert again.names() == {1: one.name, 2: "Ada L."}
    room.rename("Ada Lovelace", two)  # hers to leave, and anybody's then
    assert room.rename("Ada L", one) == "Ada L"
    key = room.open_up(CODE, 20)
    assert room.member(room.join_as_teacher(key)).name == "" and len(room.names()) == 2


def test_a_class_of_an_earlier_version_goes_on_with_names_for_those_who_joined(room):
    token = room.join(CODE, "10.0.0.2")
    with sqlite3.connect(room.path) as connection:
        connection.executescript("DROP TABLE names; DROP TABLE stopped; PRAGMA user_version = 1;")
    again = Classroom(room.path.parent)
    name = again.member(token).name
    assert name and again.names() == {1: name} and again.member(token).name == name
    assert again.pinned() is None


def test_runs_are_called_after_whose_they_are_now(room):
    student = joined(room)
    runs = ClassRuns(room.path.parent, room, student)
    runs.submit([CONFIG], "Monday")
    room.rename("Ada", student)
    (run,) = runs.list()
    assert (run.name, run.given_name) == ("Ada: Monday", "Monday")


def test_the_teacher_alone_pins_and_what_is_pinned_can_be_read_but_not_changed_until_it_is_unpinned(room):
    student, teacher = joined(room), Member(9, True)
    runs = ClassRuns(room.path.parent, room, student)
    runs.submit([CONFIG])
    for change in (lambda: room.pin({"run": "vimpo-1"}, student), lambda: room.unpin(student)):
        with pytest.raises(Mistake, match="only the teacher can"):
            change()
    for view in ({}, {"run": "x" * 2000}):
        with pytest.raises(Mistake, match="must name a run"):
            room.pin(view, teacher)
    room.pin({"run": "vimpo-1", "step": "4"}, teacher)
    assert Classroom(room.path.parent).pinned().view == {"run": "vimpo-1", "step": "4"}  # at the next start too
    assert runs.open("vimpo-1").config() == CONFIG
    for change in (runs.delete, lambda run: runs.rename(run, "x"), lambda run: runs.label(run, ["x"])):
        with pytest.raises(Mistake, match="is pinned for your class"):
            change("vimpo-1")
    runs.command("job-1", "stop")  # whether it trains is still theirs to say
    room.unpin(teacher)
    assert room.pinned() is None
    runs.delete("vimpo-1")


def test_a_run_that_the_teacher_cancelled_says_so_until_it_goes_on(room):
    student, teacher = joined(room), ClassRuns(room.path.parent, room, Member(9, True))
    runs = ClassRuns(room.path.parent, room, student)
    runs.submit([CONFIG])
    teacher.submit([CONFIG])
    teacher.command("job-1", "stop")
    teacher.command("job-2", "stop")
    assert room.stopped_by_teacher() == {"vimpo-1"}
    runs.resume(["vimpo-1"])
    assert room.stopped_by_teacher() == set()


def test_two_presses_at_once_make_one_job(room):
    student = joined(room)
    told = []

    def press():
        try:
            told.append(ClassRuns(room.path.parent, room, student).submit([CONFIG]))
        except Mistake as error:
            told.append(str(error))

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(room.owners()) == 1 and sum("you have a job already" in one for one in told) == 3


def test_a_students_run_that_holds_still_goes_on_once_others_have_waited_long_enough(room, monkeypatch):
    first, second = joined(room), joined(room)
    monkeypatch.setattr(class_runs, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(class_runs, "_paused_since", {})
    monkeypatch.setattr(ClassRuns, "ensure_worker", lambda self: None)
    runs, others = (ClassRuns(room.path.parent, room, one) for one in (first, second))
    runs.submit([CONFIG])
    job = runs.queue.take()
    held = dataclasses.replace(job, state=RunState.PAUSED)
    monkeypatch.setattr(ClassRuns, "_resolved", lambda self, job: held if job.job_id == "job-1" else job)
    runs.queue.set_command("job-1", "pause")
    monkeypatch.setattr(class_runs, "LONGEST_PAUSE", 0.0)
    runs.wake_worker()
    assert runs.queue.read_command("job-1") == "pause"  # nobody waits
    others.submit([CONFIG])
    monkeypatch.setattr(class_runs, "LONGEST_PAUSE", 100.0)
    others.wake_worker()
    assert runs.queue.read_command("job-1") == "pause"
    monkeypatch.setattr(class_runs, "LONGEST_PAUSE", 0.0)
    others.wake_worker()
    assert runs.queue.read_command("job-1") == "play"


def test_a_damaged_file_and_a_newer_one_are_said_and_left(room):
    connection = sqlite3.connect(room.path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(Mistake, match="newer version"):
        room.hand_ins()
    room.path.write_bytes(b"not a database" * 1000)
    with pytest.raises((Mistake, StoreError), match=r"class\.db in runs is damaged"):
        room.seats()
