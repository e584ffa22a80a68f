"""The Train page without a browser: what it shows in each state of the store, and what its buttons do."""

import dataclasses
import os
import re
import shlex
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from app import cache
from app.components.solutions import StepSolutions
from app.train import presets, training
from tests.pages.opening import again, one, open_page, payload_with, payloads, widget, words
from tests.support.fakes import FakeTrainer, make_fake_run
from tests.support.waiting import PATIENCE, eventually
from vimpo_core import cli
from vimpo_core.config import TrainConfig
from vimpo_core.labs.presets import PRESETS
from vimpo_core.runs import worker
from vimpo_core.types import RunState


@contextmanager
def working(runs, job_id, steps):
    """A worker thread that has made `steps` steps of a job and holds still in the middle of the next."""
    reached, go_on = threading.Event(), threading.Event()

    class Held(FakeTrainer):
        def step(self):
            if self.next_step == steps:
                reached.set()
                assert go_on.wait(PATIENCE)
            return super().step()

    thread = threading.Thread(target=worker.main, args=(runs.path, Held), kwargs={"only_job": job_id})
    thread.start()
    assert reached.wait(PATIENCE)
    try:
        yield go_on
    finally:
        if not go_on.is_set():
            runs.command(job_id, "stop")
        go_on.set()
        thread.join()


def open_train(**query):
    return open_page("train", **query)


def test_empty_store_shows_the_form_with_the_defaults(runs):
    at = open_train()
    assert "### Train" in words(at)
    assert {n.label: n.value for n in at.number_input}["Learning rate"] == TrainConfig().learning_rate
    assert not widget(at.button, "Play").disabled


def test_first_view_shows_what_the_chosen_preset_recorded(runs):
    cards, curves = payloads(open_train(preset="runaway"))
    assert cards["chosen"] == "runaway" and [card["key"] for card in cards["cards"]] == list(PRESETS)
    assert [run["name"] for run in curves["runs"]] == ["VIMPO", "VIMPO, value loss alone"]
    assert curves["x_max"] == 40 and curves["charts"][0]["id"] == "reward_mean"
    assert [len(card["curves"]) for card in cards["cards"]] == [2, 3, 3, 2, 2], "some beside the first run's"


def test_last_run_is_offered_when_nothing_is_at_work(runs):
    make_fake_run(runs.path, steps=3)
    (link,) = [link.proto for link in open_train().get("page_link") if link.proto.label == "Last run"]
    assert link.help == "VIMPO, finished, step 3."


def test_a_last_run_without_a_step_is_offered_without_naming_none(runs):
    job_id = runs.submit([TrainConfig(steps=3)])
    runs.command(job_id, "stop")
    (link,) = [link.proto for link in open_train().get("page_link") if link.proto.label == "Last run"]
    assert link.help == "VIMPO, stopped, no step yet."


def test_every_setting_says_what_it_does_and_what_is_safe(runs):
    at = open_train()
    for field in [*at.number_input, *at.selectbox]:
        assert field.help and field.help.split(".")[0], field.label
    assert "Safe: 0.02 to 0.3" in next(n.help for n in at.number_input if n.label == "Beta")


def test_start_queues_both_algorithms_with_the_typed_settings_and_puts_the_job_in_the_link(runs):
    at = open_train()
    widget(at.number_input, "Beta").set_value(0.3).run()
    widget(at.button, "Play").click().run()
    assert not at.exception
    (job,) = runs.jobs()
    assert at.query_params["job"] == job.job_id
    configs = [runs.open(run_id).config() for run_id in job.run_ids]
    assert [c.algorithm for c in configs] == ["vimpo", "grpo"] and {c.beta for c in configs} == {0.3}
    assert "Queued" in words(at) and "VIMPO + GRPO" in words(at)


def test_before_its_first_step_a_training_says_what_it_waits_for_and_that_the_machine_is_busy(runs, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (40.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    job = runs.submit([TrainConfig(steps=3)])
    said = words(open_train(job=job))
    assert "A training process is starting. 0 s so far. This machine is busy: some 40 processes share 2 cores" in said
    monkeypatch.setattr(os, "getloadavg", lambda: (2.0, 0.0, 0.0))
    taken = dataclasses.replace(training.find_job(job), state=RunState.RUNNING)  # none of its runs has begun
    assert training.state_lines(taken) == ["**Starting.** The training process has taken it."]
    assert "loads the model" in training.waiting_words(taken) and "busy" not in training.waiting_words(taken)


def test_one_algorithm_makes_one_run(runs):
    at = open_train()
    at.session_state["train.algorithms"] = ["grpo"]
    at.run()
    widget(at.button, "Play").click().run()
    assert [run.algorithm for run in runs.list()] == ["grpo"]


def test_advice_stands_where_a_choice_is_known_to_fail(runs):
    at = open_train()
    assert "balance" not in words(at)
    widget(at.number_input, "Actor weight c_A").set_value(0.5).run()
    assert "balance 0.54" in words(at)
    widget(at.number_input, "Learning rate").set_value(0.01).run()
    assert "1e-2 destroyed VIMPO and GRPO" in words(at)


def test_all_that_is_impossible_stands_at_its_field_in_the_words_of_the_page_and_hides_no_advice(runs):
    at = open_train()
    for label, value in {"Steps": 70, "Group size": 1, "Flipped rewards": 0.6, "Learning rate": 0.01}.items():
        widget(at.number_input, label).set_value(value).run()
    said = words(at)
    assert "1 is not possible. Type a number from 2 to 64." in said
    assert "0.6 is not possible. Type a number from 0 to 0.5." in said
    assert "1e-2 destroyed VIMPO and GRPO" in said
    assert not re.search("group_size|reward_noise", said)
    assert widget(at.button, "Play").disabled
    assert {n.label: n.value for n in at.number_input}["Steps"] == 70


def test_a_code_name_in_a_remark_is_the_name_of_its_field(runs):
    at = open_train()
    widget(at.number_input, "Steps").set_value(1).run()
    assert "Use “Validation problems” 3, 0 for none" in words(at)


def test_rewards_of_which_half_are_flipped_get_a_remark(runs):
    at = open_train()
    widget(at.number_input, "Flipped rewards").set_value(0.5).run()
    assert "Half of the rewards flipped" in words(at) and not widget(at.button, "Play").disabled


# ---- presets


@pytest.mark.parametrize("key", PRESETS)
def test_play_starts_the_preset_that_the_address_names(runs, key):
    at = open_train(preset=key)
    widget(at.button, "Play").click().run()
    (job,) = runs.jobs()
    assert [runs.open(run_id).config() for run_id in job.run_ids] == PRESETS[key].configs
    assert one(at.query_params["job"]) == job.job_id and "preset" not in at.query_params


def test_a_preset_that_there_is_not_is_said_and_starts_nothing(runs):
    at = open_train(preset="gone", play="1")
    assert "The link asks for preset 'gone'" in words(at) and runs.jobs() == []


def test_reset_undoes_what_was_typed(runs):
    at = open_train(preset="noisy")
    widget(at.number_input, "Beta").set_value(0.2).run()
    assert "1 other than in “Noisy rewards”" in words(at)
    widget(at.button, "Reset").click().run()
    assert {n.label: n.value for n in at.number_input}["Beta"] == 0.1
    assert {n.label: n.value for n in at.number_input}["Flipped rewards"] == 0.25 and "other than" not in words(at)


def test_the_command_line_beside_the_form_makes_the_same_runs(runs):
    at = open_train(preset="readable")
    widget(at.number_input, "Learning rate").set_value(1 / 300).run()
    widget(at.text_input, "Name").set_value("Ann's; rm -rf *").run()
    typed = [shlex.split(line) for line in at.code[0].value.splitlines()]
    widget(at.button, "Play").click().run()
    made = [runs.open(run_id) for run_id in runs.jobs()[0].run_ids]
    for words_of_it, store in zip(typed, made, strict=True):
        assert words_of_it[:4] == ["python", "-m", "vimpo_core", "train"]
        parsed = cli.parsed(words_of_it[3:])
        assert cli.configs_of(parsed) == [store.config()]
        assert parsed.name == store.header()["name"]


def test_a_preset_that_is_picked_for_the_next_run_fills_its_form(monkeypatch):
    kept = {"train.picked": "runaway", "train.beta": 0.2}
    monkeypatch.setattr(presets.st, "session_state", kept)
    presets._pick()
    assert (kept["train.actor_coef"], kept["train.steps"], kept["train.beta"]) == (1.0, 40, 0.1)
    assert kept["train.algorithms"] == ["vimpo", "vimpo_value"]


# ---- one press on another page


def test_a_press_elsewhere_starts_its_preset_once_and_the_address_follows(runs):
    at = open_train()
    at.session_state["routes.play"] = "first"
    again(at)
    (job,) = runs.jobs()
    assert payload_with(at, "query") == {"page": "train", "query": f"job={job.job_id}"}
    assert "VIMPO + GRPO" in words(again(at)) and len(runs.jobs()) == 1
    open_train()
    assert len(runs.jobs()) == 1, "a reload starts nothing"


def test_a_press_elsewhere_while_something_trains_shows_that_and_says_so(runs):
    job_id = runs.submit([TrainConfig(algorithm="rloo", steps=30)])
    at = open_train()
    at.session_state["routes.play"] = "first"
    again(at)
    assert [job.job_id for job in runs.jobs()] == [job_id]
    assert "RLOO" in words(at) and "no other was started" in words(at)


# ---- a job


def test_finished_run_shows_its_curves_and_solutions_and_ways_on(runs):
    make_fake_run(runs.path, steps=3)
    at = open_train(job="job-1")
    curves, solutions = payloads(at)
    assert curves["x_max"] == 3 and curves["runs"][0]["last_step"] == 3
    assert solutions["heading"] == "Solutions of step 3" and len(solutions["problems"]) == 4
    assert "Finished" in words(at)
    assert {"Look closer", "Compare"} <= {link.proto.label for link in at.get("page_link")}


def test_paired_solutions_answer_the_same_prompt_on_one_scale(runs):
    job_id = runs.submit([TrainConfig(algorithm=a, steps=3) for a in ("vimpo", "grpo")])
    worker.main(runs.path, FakeTrainer, only_job=job_id)
    solutions = payloads(open_train(job=job_id))[1]
    assert [s["name"] for s in solutions["problems"][0]["solutions"]] == ["VIMPO", "GRPO"]
    shown = [v for p in solutions["problems"] for s in p["solutions"] for v in s["strip"]["values"]]
    assert 0 < max(map(abs, shown)) <= solutions["scale"]["max"]


def test_running_job_is_found_without_a_link_and_its_new_steps_arrive(runs):
    job_id = runs.submit([TrainConfig(steps=30)])
    with working(runs, job_id, steps=5):
        at = open_train()
        assert payload_with(at, "query")["query"] == f"job={job_id}"
        assert "Running" in words(at) and "step 4/30" in words(at) and "left" in words(at)
        assert not widget(at.button, "Pause").disabled and widget(at.button, "Play").disabled
    at.run()
    assert "Stopped" in words(at) and not widget(at.button, "Resume").disabled


def test_pause_and_stop_reach_the_queue(runs):
    job_id = runs.submit([TrainConfig(steps=30)])
    with working(runs, job_id, steps=2):
        at = open_train()
        widget(at.button, "Pause").click().run()
        assert runs.jobs()[0].command == "pause"
        widget(at.button, "Stop").click().run()
        assert runs.jobs()[0].command == "stop"


def test_resume_makes_a_new_job_that_the_old_link_follows(runs):
    job_id = runs.submit([TrainConfig(steps=30)])
    with working(runs, job_id, steps=2):
        pass
    at = open_train(job=job_id)
    widget(at.button, "Resume").click().run()
    assert runs.jobs()[-1].state == RunState.QUEUED
    assert payload_with(open_train(job=job_id), "query")["query"] == f"job={runs.jobs()[-1].job_id}" != f"job={job_id}"


def test_job_that_waits_says_how_many_are_before_it_and_about_how_long(runs):
    first, second, third = (runs.submit([TrainConfig(steps=steps)]) for steps in (30, 80, 30))
    with working(runs, first, steps=1):
        assert "1 ahead of it, about a few seconds." in words(open_train(job=second))  # 30 steps of 0.21 s
        assert "2 ahead of it, about 25 s." in words(open_train(job=third))  # and 81
        runs.pause_queue(True)
        cache.waits.clear()
        assert "2 ahead of it; for how long is not known" in words(open_train(job=third))


def test_a_cancelled_job_never_looks_as_if_it_waited_though_its_runs_hear_of_it_later(runs):
    job_id = runs.submit([TrainConfig(steps=30), TrainConfig(steps=30, algorithm="grpo")])
    runs.queue.move(job_id, RunState.QUEUED, RunState.STOPPED)  # as `command` does, before it tells the runs
    assert {run.state for run in runs.list()} == {RunState.STOPPED}
    at = open_train(job=job_id)
    assert "Stopped." in words(at) and "Queued" not in words(at)
    widget(at.button, "Resume").click().run()
    assert set(runs.jobs()[-1].run_ids) == {"vimpo-1", "grpo-1"}


def test_link_to_a_job_that_is_gone_says_so_and_shows_the_form(runs):
    at = open_train(job="job-99")
    assert "no job 'job-99' any more" in words(at) and "job" not in at.query_params
    assert not widget(at.button, "Play").disabled


def test_job_of_a_half_written_run_is_treated_as_gone(runs):
    job_id = runs.submit([TrainConfig(steps=3)])
    (runs.path / "vimpo-1" / "run.db").write_bytes(b"")
    assert "### Train" in words(open_train(job=job_id))


@pytest.mark.browser
def test_zoom_hover_and_open_note_survive_new_steps(served, address, page):
    """In a real browser, against a real server: what AppTest cannot see."""
    job_id = served.submit([TrainConfig(steps=30, prompts_per_step=4, group_size=4)])
    page.set_viewport_size({"width": 1440, "height": 1250})
    with working(served, job_id, steps=12) as go_on:
        page.goto(f"{address}/train?job={job_id}")
        box = page.get_by_role("img", name="Mean reward").bounding_box()
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 110, box["y"] + 60, steps=4)
        page.mouse.up()
        page.get_by_role("button", name="What Value loss means").click()
        page.mouse.move(box["x"] + 80, box["y"] + 60)
        status = page.locator(".status")
        expect(status).to_have_text(re.compile("^Step "))
        hovered = status.inner_text()
        go_on.set()
        expect(page.get_by_text("Finished.")).to_be_visible()
        expect(status).to_have_text(hovered, use_inner_text=True)
        expect(page.get_by_role("button", name="Show all steps")).to_be_visible()
        expect(page.get_by_role("region", name="About Value loss")).to_be_visible()


def test_the_two_algorithms_are_spelled_out_before_anything_is_chosen(runs):
    assert "VIMPO is Value-Implicit, GRPO Group Relative Policy Optimization." in words(open_page("train"))


def test_coloured_tokens_of_grpo_are_said_to_be_read_off():
    def step(algorithm):
        return StepSolutions("r", TrainConfig(algorithm=algorithm), 1, [])

    assert training.whose_credit([step("vimpo"), step("vimpo_value")]) == ""
    said = training.whose_credit([step("vimpo"), step("grpo")])
    assert "tokens of GRPO are coloured" in said and "not what GRPO trains by" in said


def test_the_curves_say_which_problems_their_accuracies_are_of():
    sights = [SimpleNamespace(config=TrainConfig(eval_prompts=n), rows=[]) for n in (128, 64, 64)]
    assert "of the 64 and 128 validation problems" in training.whose_problems(sights)


def test_a_rule_whose_name_holds_a_star_is_shown_with_it(runs):
    run_id = make_fake_run(runs.path, algorithm="a_star_po", steps=2)
    job = training.find_job(next(job.job_id for job in runs.jobs() if run_id in job.run_ids))
    assert training.names(job) == r"A\*\-PO"


# ---- problems of one's own


def test_a_task_in_words_has_its_own_fields_and_no_operands(runs):
    at = open_train()
    assert "Numbers in a problem" in {n.label for n in at.number_input}
    widget(at.selectbox, "Problems").set_value("gym").run()
    assert not at.exception
    assert "Numbers in a problem" not in {n.label for n in at.number_input}
    assert {"Data set", "Further options"} <= {t.label for t in at.text_input}
    assert "Task gym needs the name of a data set" in words(at)
    assert widget(at.button, "Play").disabled
    widget(at.text_input, "Data set").set_value("chain_sum").run()
    assert not widget(at.button, "Play").disabled


def test_a_look_at_a_file_shows_rows_and_refused_gold_answers(runs, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("question,answer\n<b>What is 1 + 1?</b>,2\nCapital of France?,Paris\n")
    at = open_train()
    widget(at.selectbox, "Problems").set_value("file").run()
    widget(at.text_input, "File").set_value(str(path)).run()
    widget(at.button, "Look at the problems").click().run()
    eventually(lambda: at.run() and len(at.dataframe) == 1)
    shown = at.dataframe[0].value
    assert list(shown["gold answer"]) == ["2", "Paris"]
    assert shown["its judge says"].iloc[0] == "correct"
    assert "1 gold answers are refused by the task's own judge" in words(at)


def test_the_form_begins_with_a_runs_task(runs):
    from app.train import task_card

    config = TrainConfig(task="file:/a/b.csv?prompt=q&read=number&ask=Think.", prompt_style="chat", model="any folder")
    kept = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_card.st, "session_state", kept)
        task_card.put(config, "train.{}")
    assert kept["train.task.kind"] == "file"
    assert kept["train.task.file.argument"] == "/a/b.csv"
    assert (kept["train.task.file.prompt"], kept["train.task.file.read"]) == ("q", "number")
    assert kept["train.prompt_style"] == "chat"


@pytest.mark.parametrize("name", ["../../etc/pass wd.csv", "a\x00b.CSV", "\u202e.csv", ".csv", "x" * 300 + ".csv"])
def test_a_given_file_is_kept_under_a_harmless_name(tmp_path, monkeypatch, name):
    from pathlib import Path

    from app.train import task_card

    monkeypatch.setenv("VIMPO_PROBLEMS_DIR", str(tmp_path / "problems"))
    path = Path(task_card.kept(name, b"question,answer\n1,2\n"))
    assert path.parent == tmp_path / "problems"
    assert re.fullmatch(r"[\w-]{1,49}(\.csv)?", path.name, re.ASCII)
    assert path.read_bytes() == b"question,answer\n1,2\n"
