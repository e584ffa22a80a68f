"""Scoring on demand: the child's numbers are those of the process itself, a stuck child is killed, mistakes are a
sentence.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from tests.support.waiting import NO_TIME, PATIENCE, never_returns
from vimpo_core.paths import ROOT
from vimpo_core.runs.store import RunStore
from vimpo_core.service.progress import Progress
from vimpo_core.service.requests import MAX_SOLUTION_CHARACTERS
from vimpo_core.service.scoring import score_solution, scoring_service

PROMPT, SLIP = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."


def asked(process, *request, **options):
    return process.ask(*request, timeout=PATIENCE, **options).result(PATIENCE)


def assert_same_trace(a, b):
    for name in ("ids", "logprob", "ref_logprob", "kl", "entropy"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(a.topk.logprob, b.topk.logprob)
    assert (a.topk.text, a.text, a.provenance) == (b.topk.text, b.text, b.provenance)
    assert (a.status, a.answer, a.first_wrong, a.gold) == (b.status, b.answer, b.first_wrong, b.gold)


def test_a_request_over_its_time_is_killed_and_the_next_one_gets_the_numbers_of_this_process(scoring_process, real_run):
    with pytest.raises(TimeoutError):
        scoring_process.ask(never_returns, timeout=NO_TIME).result(PATIENCE)
    (from_child,) = asked(scoring_process, score_solution, real_run, 4, PROMPT, SLIP)
    (from_here,) = score_solution(real_run, 4, PROMPT, SLIP)
    assert_same_trace(from_child, from_here)
    assert from_child.kl.any()  # a trained policy, not the reference


def test_errors_come_out_of_the_child_as_they_are(scoring_process, real_run):
    with pytest.raises(ValueError, match=r"^the solution is empty: got 0 characters\."):
        asked(scoring_process, score_solution, real_run, 4, PROMPT, "")
    (trace,) = asked(scoring_process, score_solution, real_run, 4, PROMPT, SLIP)
    assert trace.first_wrong == 17


def test_a_cancelled_request_leaves_the_service_at_work(scoring_process, real_run):
    running, waiting = (scoring_process.ask(never_returns, timeout=PATIENCE) for _ in range(2))
    for request in (waiting, running):
        request.cancel()
        with pytest.raises(CancelledError):
            request.result(PATIENCE)
    assert asked(scoring_process, score_solution, real_run, 4, PROMPT, "62.")[0].reward == 1.0


def test_the_service_is_one_a_process():
    assert scoring_service() is scoring_service()
    scoring_service().close()
    scoring_service.cache_clear()


def test_the_web_process_scores_without_importing_torch(real_run):
    program = f"""
import json, sys
from pathlib import Path
from vimpo_core.service.scoring import ScoringService, score_solution

if __name__ == "__main__":
    service = ScoringService()
    service.warm_up()
    asked = (Path({str(real_run)!r}), 4, {PROMPT!r}, {SLIP!r})
    (trace,) = service.ask(score_solution, *asked, timeout={PATIENCE}).result({PATIENCE})
    service.close()
    heavy = [name for name in ("torch", "transformers", "peft") if name in sys.modules]
    print(json.dumps([trace.first_wrong, float(trace.kl[17]), heavy]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    first_wrong, kl, heavy = json.loads(done.stdout)
    (trace,) = score_solution(real_run, 4, PROMPT, SLIP)
    assert (first_wrong, kl) == (17, float(trace.kl[17]))
    assert heavy == []


# ---- what a score says


def test_the_untrained_model_gives_no_credit():
    (trace,) = score_solution(None, 0, PROMPT, SLIP)
    assert not trace.kl.any()
    np.testing.assert_array_equal(trace.logprob, trace.ref_logprob)
    assert (trace.step, trace.gold, trace.answer, trace.status) == (0, "62", "52", "incorrect")
    assert trace.first_wrong == 17
    assert np.isnan(trace.group_mean_reward)


def test_each_snapshot_is_scored_as_itself(real_run):
    rows = [score_solution(real_run, step, PROMPT, SLIP)[0].logprob for step in (0, 2, 4)]
    assert not np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[1], rows[2])


def test_a_recorded_solution_typed_again_gets_the_recorded_numbers(real_run):
    """The trainer scores it in a batch, the service alone: float32 rounds differently, see test_sampler."""
    store = RunStore.open(real_run)
    for recorded in store.traces(4)[::5]:
        (typed,) = score_solution(real_run, 4, recorded.prompt_text, recorded.completion_text)
        assert typed.text == recorded.text
        for name in ("logprob", "ref_logprob", "kl", "entropy"):
            np.testing.assert_allclose(getattr(typed, name), getattr(recorded, name), rtol=0, atol=1e-4, err_msg=name)
        assert (typed.status, typed.answer, typed.first_wrong) == (
            recorded.status,
            recorded.answer,
            recorded.first_wrong,
        )


def test_a_solution_without_its_end_is_scored_as_cut_off():
    (trace,) = score_solution(None, 0, PROMPT, "9+2+9+42;11")
    assert (trace.finish_reason, trace.status, trace.first_wrong) == ("length", "rejected", None)


@pytest.mark.parametrize("prompt", ["1+1=", "99-99=", "9+2+9+7*6=", "1*1*1*1*1*1="])
def test_problems_of_any_allowed_length_are_scored(prompt):
    (trace,) = score_solution(None, 0, prompt, "2.")
    assert trace.prompt_text == prompt


# ---- mistakes


MISTAKES = [  # (prompt, solution, what is said)
    (PROMPT, "", "the solution is empty: got 0 characters. Type at least one, ending with the end mark."),
    (
        PROMPT,
        "1" * (MAX_SOLUTION_CHARACTERS + 1),
        "the solution has 12001 characters, the limit is 12000. Shorten it.",
    ),
    (PROMPT, "1" * 200, "problem and solution are 210 tokens, the model reads 128. Shorten the solution."),
    (
        PROMPT,
        "62 x.",
        "the solution has ' ', 'x', which is outside the model's vocabulary. Remove or replace it.",
    ),
    (
        PROMPT,
        "6\u202e2.",
        "the solution has '\\u202e', which is outside the model's vocabulary. Remove or replace it.",
    ),
    (
        "9+2",
        SLIP,
        "a problem is 2 to 8 numbers joined by + - * and closed by =, got '9+2'. Try 9+2+9+7*6=.",
    ),
    (
        "what is 1+1?",
        SLIP,
        "a problem is 2 to 8 numbers joined by + - * and closed by =, got 'what is 1+1?'. Try 9+2+9+7*6=.",
    ),
    (
        "",
        SLIP,
        "a problem is 2 to 8 numbers joined by + - * and closed by =, got ''. Try 9+2+9+7*6=.",
    ),
    (
        "99*99=",
        SLIP,
        "every number on the way must be within 0..99, which '99*99=' leaves. Use smaller numbers.",
    ),
]


@pytest.mark.parametrize(("prompt", "solution", "sentence"), MISTAKES)
def test_a_mistake_gets_one_sentence(prompt, solution, sentence):
    with pytest.raises(ValueError) as caught:
        score_solution(None, 0, prompt, solution)
    assert str(caught.value) == sentence


def test_a_step_without_snapshot_names_those_there_are(real_run):
    with pytest.raises(ValueError) as caught:
        score_solution(real_run, 3, PROMPT, SLIP)
    assert str(caught.value).startswith("run vimpo-1 holds no adapter of step 3.")
    assert all(step in str(caught.value) for step in ("0", "2", "4"))


def test_a_run_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(ValueError, match="run gone is unreadable: its folder does not exist"):
        score_solution(tmp_path / "gone", 0, PROMPT, SLIP)


def test_a_damaged_snapshot_is_found_and_the_others_still_score(real_run, tmp_path):
    run_dir = shutil.copytree(real_run, tmp_path / "vimpo-1")
    connection = sqlite3.connect(run_dir / "run.db")
    blob = bytearray(connection.execute("SELECT blob FROM snapshots WHERE step = 4").fetchone()[0])
    blob[len(blob) // 2] ^= 1
    connection.execute("UPDATE snapshots SET blob = ? WHERE step = 4", (bytes(blob),))
    connection.commit()
    connection.close()
    with pytest.raises(ValueError, match=r"the adapter of step 4 in run vimpo-1 does not match its checksum"):
        score_solution(run_dir, 4, PROMPT, SLIP)
    assert_same_trace(score_solution(run_dir, 2, PROMPT, SLIP)[0], score_solution(real_run, 2, PROMPT, SLIP)[0])


# ---- ground truth and scorecards


def test_progress_that_is_told_after_its_end_leaves_no_file_behind():
    progress = Progress()
    progress.tell(70, 100)
    progress.tell(3, 4)
    assert progress.share() == 0.75
    progress.close()
    progress.tell(4, 4)
    assert progress.share() == 0 and not Path(progress._path).exists()


def test_a_scorecard_in_the_process_is_the_command_line_one_with_progress(scoring_process, real_run):
    from vimpo_core.runs.store import RunStore
    from vimpo_core.service import truth_report

    progress = Progress()
    found = asked(scoring_process, truth_report.shared_report, real_run, 2, "fixed", 4, 4, progress=progress)
    with RunStore.open(real_run) as store:
        assert found == truth_report.truth_report(store, 2, "fixed", 4, 4)
    assert progress.share() == 0.0  # its file is gone


def test_a_sampled_solution_is_tried_by_its_own_tokens(scoring_process, real_run):
    from vimpo_core.runs.store import RunStore
    from vimpo_core.service.scoring import solution_truth

    with RunStore.open(real_run) as store:
        trace = store.trace(2, 0, 0)
    ids = tuple(trace.ids.tolist())
    request = (real_run, 2, trace.prompt_text, trace.completion_text, 4)
    found = asked(scoring_process, solution_truth, *request, ids=ids)
    assert found.policy.outcomes.shape == (len(ids) + 1, 4)
    assert (found.policy.outcomes == solution_truth(*request).policy.outcomes).all()
