"""A reproduced failure that several browsers look at: shared, left by one, ended by the last, queued, not started."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from app.course import chapters
from app.course.widgets import failures as failures_view
from tests.pages.opening import again, open_page, press, widget, words

NUMBER = next(chapter.number for chapter in chapters.ALL if chapter.key == "goes_wrong")


class StubLab:
    """A lab whose trainings measure nothing until the test says so. waits: what it starts is still queued."""

    def __init__(self):
        self.started, self.waits, self.error = [], False, None

    def warm_up_failures(self):
        return Future()

    def reproduce(self, key, seed, told, timeout, **who):
        if self.error:
            raise self.error
        future = Future()
        if not self.waits:
            future.set_running_or_notify_cancel()
        self.started.append((key, seed, told, future))
        self.is_wanted = who["is_wanted"]
        return future


@pytest.fixture(autouse=True)
def lab(monkeypatch):
    stub = StubLab()
    monkeypatch.setattr(failures_view, "lab_service", lambda: stub)
    failures_view.warm_up.clear()
    failures_view._demonstrations_on.clear()
    return stub


def reader(**query):
    at = open_page("learn", chapter=NUMBER, failure="runaway", **query)
    widget(at.radio, "Your prediction").set_value("flat_learns")
    return press(again(at), "Commit and see")


def labels(at):
    return {button.label for button in at.button}


def finish(lab):
    *_, told, future = lab.started[-1]
    for x in range(25):
        for plot in (0, 1):
            told.tell({"plot": plot, "x": x, "y": {"ill": 0.0 if x else 0.5, "well": 0.6}})
    future.set_result(None)


def test_every_seed_is_a_demonstration_of_its_own(lab):
    press(reader(), "Show it")
    other = reader(seed=3)
    assert "Show it" in labels(other) and "seed 3" in words(other)
    press(other, "Show it")
    assert [(key, seed) for key, seed, *_ in lab.started] == [("runaway", 0), ("runaway", 3)]


def test_who_cancels_leaves_it_to_the_others(lab, monkeypatch):
    monkeypatch.setattr(failures_view, "_session", lambda: "a")
    first = press(reader(), "Show it")
    monkeypatch.setattr(failures_view, "_session", lambda: "b")
    second = reader()
    second = again(press(second, "Cancel"))
    assert "Show it" in labels(second) and not lab.started[0][-1].cancelled()
    finish(lab)
    monkeypatch.setattr(failures_view, "_session", lambda: "a")
    assert "Way out." in words(again(again(first)))
    second = again(press(second, "Show it"))
    assert len(lab.started) == 1 and "Way out." in words(second)


def test_the_last_who_cancels_ends_the_training(lab):
    lab.waits = True
    at = again(press(press(reader(), "Show it"), "Cancel"))
    assert lab.started[0][-1].cancelled() and "Show it" in labels(at)


def test_what_nobody_looks_at_any_more_is_given_up_and_can_be_started_anew(lab, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(failures_view, "time", SimpleNamespace(monotonic=lambda: now[0]))
    press(reader(), "Show it")
    now[0] += failures_view._LEFT_SECONDS - 1
    assert lab.is_wanted()
    now[0] += 2
    assert not lab.is_wanted()
    failures_view._demonstrations()["runaway", 0].future = given_up = Future()
    given_up.cancel()  # as the queue does
    assert len(lab.started) == 1
    press(reader(), "Show it")
    assert len(lab.started) == 2


def test_run_it_again_trains_at_once(lab):
    at = press(reader(), "Show it")
    finish(lab)
    at = again(again(at))
    at = again(press(at, "Run it again"))
    assert len(lab.started) == 2 and "Cancel" in labels(at)


def test_waiting_for_another_training_is_not_called_training(lab):
    lab.waits = True
    at = again(press(reader(), "Show it"))
    assert "waiting until another failure has been shown" in str(at.get("progress")[0].proto)


def test_a_training_that_cannot_start_says_one_sentence_and_can_be_tried_again(lab):
    lab.error = OSError("no space left on device")
    at = press(reader(), "Show it")
    assert [w.value.replace("\\", "") for w in at.warning] == [
        "The training could not be started. No space left on device. Try it again."
    ]
    lab.error = None
    assert "Cancel" in labels(again(press(at, "Show it")))


def test_readers_that_ask_at_the_moment_it_ends_all_get_every_point():
    """The file goes with the first of them; the others must not read it as empty."""
    from vimpo_core.service.labs import Told

    for _ in range(20):
        told, future, found = Told(), Future(), []
        shown = failures_view.Demonstration(told, future)
        told.tell({"x": 1})
        gate = threading.Barrier(4)

        def read(shown=shown, gate=gate, found=found):
            gate.wait()
            found.append(len(shown.so_far()))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for each in readers:
            each.start()
        gate.wait()
        future.set_result(None)
        for each in readers:
            each.join()
        assert found == [1, 1, 1] and len(shown.so_far()) == 1
