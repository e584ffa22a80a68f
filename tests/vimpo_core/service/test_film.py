"""The film of a solution: a frame a snapshot, each what scoring at that step gives; damage costs one frame."""

import shutil
import sqlite3
from contextlib import closing
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.support.waiting import PATIENCE
from vimpo_core.formats import film_gif
from vimpo_core.formats.about import about_film, problem_words, run_words
from vimpo_core.runs.snapshots import load_snapshot
from vimpo_core.runs.store import RunStore
from vimpo_core.service.film import draw_gif, film_solution
from vimpo_core.service.scoring import score_solution
from vimpo_core.views import credit_view

PROMPT, SLIP = "9+2+9+7*6=", "9+2+9+42;11+9+42;10+42;52."
ARRAYS = ("ids", "logprob", "ref_logprob", "kl", "entropy")


def change(run_dir, statement, *values):
    with closing(sqlite3.connect(run_dir / "run.db")) as connection, connection:
        connection.execute(statement, values)


def damage(run_dir, step):
    change(run_dir, "UPDATE snapshots SET blob = zeroblob(length(blob)) WHERE step = ?", step)


@pytest.fixture
def copied(real_run, tmp_path):
    return shutil.copytree(real_run, tmp_path / "vimpo-1")


def test_each_frame_is_what_scoring_at_its_step_gives(real_run):
    film = film_solution(real_run, PROMPT, SLIP)
    assert [frame.step for frame in film.frames] == [0, 2, 4] and not film.problems
    for frame in film.frames:
        (alone,) = score_solution(real_run, frame.step, PROMPT, SLIP)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(frame, name), getattr(alone, name), err_msg=name)
        assert np.isnan(frame.group_mean_reward) and frame.first_wrong == alone.first_wrong == 17


def test_the_film_as_a_gif_is_a_frame_a_step_in_the_scales_colours_and_always_the_same_bytes(real_run, tmp_path):
    film = film_solution(real_run, PROMPT, SLIP)
    about = about_film(film.frames[0], run_words("mine", "vimpo-1", "vimpo"), 0.1, 1.0)
    told: list[tuple[int, int]] = []
    drawn = film_gif.film_gif(film.frames, "td_terms", 0.1, 1.0, about, tell=lambda *share: told.append(share))
    assert drawn == film_gif.film_gif(film.frames, "td_terms", 0.1, 1.0, about) and told == [(1, 3), (2, 3), (3, 3)]
    assert drawn != draw_gif(film, "td_terms", 0.1, 1.0, about, "dark")
    payload = credit_view.film_payload(film.frames, 0.1, 1.0)
    cells, left_out = film_gif.laid_out(payload)
    assert [cell.index for cell in cells] == list(range(len(payload["text"]))) and left_out == (0, 0)
    assert all(cell.x + cell.width <= film_gif.WIDTH - 2 * film_gif.MARGIN for cell in cells)
    with Image.open(BytesIO(drawn)) as picture:
        assert picture.width == film_gif.WIDTH and picture.n_frames == 3 and picture.info["loop"] == 0
        first, last = (_colours_at_the_end(picture, at) for at in (0, 2))
    assert len(first) == 1, "no token has credit before training"
    assert len(last) > 1


def _colours_at_the_end(picture, frame: int) -> set:
    """Colours of a line of pixels below the letters of the tokens, in the one row that they take."""
    picture.seek(frame)
    page = np.asarray(picture.convert("RGB"))
    red = (page == (198, 32, 58)).all(axis=2)  # below the first wrong token
    row = int(np.argmax(red.any(axis=1))) - 8
    return {tuple(colour) for colour in page[row, film_gif.MARGIN : -film_gif.MARGIN].tolist()}


def test_a_long_film_is_bounded_and_says_what_it_leaves_out():
    assert film_gif.chosen(3) == [0, 1, 2] and len(film_gif.chosen(5000)) == film_gif.MOST_FRAMES
    assert film_gif.chosen(5000)[0] == 0 and film_gif.chosen(5000)[-1] == 4999
    text = ["word"] * 900
    cells, (before, behind) = film_gif.laid_out(
        {"text": text, "line_starts": [0], "units": [], "first_wrong": 600, "note": ""}
    )
    assert 600 in [cell.index for cell in cells] and max(cell.row for cell in cells) == film_gif.MOST_ROWS - 1
    assert before + len(cells) + behind == 900 and before and behind
    title = problem_words("Example\n" * 300 + "What is asked?")
    assert title.startswith("… ") and title.endswith("What is asked?") and len(title.split("\n")) == 6
    assert problem_words("One\n\nshort\n\nproblem\n") == "One\nshort\nproblem"
    font = film_gif._font(film_gif.WORDS, 14)
    assert "".join(film_gif.wrapped("x" * 500, font, 200, 99)) == "x" * 500
    assert all(font.getlength(line) <= 200 for line in film_gif.wrapped("ab " * 90 + "y" * 90, font, 200, 3))


def test_a_film_leaves_the_policies_that_others_hold_alone(real_run):
    before = score_solution(real_run, 4, PROMPT, SLIP)[0].logprob
    film_solution(real_run, PROMPT, "62.")
    np.testing.assert_array_equal(score_solution(real_run, 4, PROMPT, SLIP)[0].logprob, before)
    assert load_snapshot(real_run, 4) is load_snapshot(real_run, 4)


def test_a_sampled_solution_keeps_its_own_tokens_and_agrees_with_what_was_recorded(real_run):
    """Recorded in a batch of 12 and scored again alone: sums in another order, 1e-5 nats."""
    recorded = RunStore.open(real_run).traces(4)[5]
    ids = tuple(int(i) for i in recorded.ids)
    frame = film_solution(real_run, recorded.prompt_text, recorded.completion_text, ids).frames[-1]
    np.testing.assert_array_equal(frame.ids, recorded.ids)
    for name in ("logprob", "ref_logprob", "kl"):
        np.testing.assert_allclose(getattr(frame, name), getattr(recorded, name), atol=1e-5)


def test_a_damaged_snapshot_costs_its_own_frame_and_one_sentence(real_run, copied):
    damage(copied, 2)
    film = film_solution(copied, PROMPT, SLIP)
    assert [frame.step for frame in film.frames] == [0, 4]
    assert list(film.problems) == [2]
    assert film.problems[2].startswith("the adapter of step 2 in run vimpo-1 does not match its checksum")
    np.testing.assert_array_equal(film.frames[1].logprob, film_solution(real_run, PROMPT, SLIP).frames[2].logprob)


def test_when_every_snapshot_is_damaged_the_sentence_is_an_error(copied):
    for step in (0, 2, 4):
        damage(copied, step)
    with pytest.raises(ValueError, match="the adapter of step 0 in run vimpo-1 does not match its checksum"):
        film_solution(copied, PROMPT, SLIP)


def test_a_run_without_snapshots_says_so(copied):
    change(copied, "DELETE FROM snapshots")
    with pytest.raises(ValueError, match="run vimpo-1 kept no adapter, so there is no film of it"):
        film_solution(copied, PROMPT, SLIP)


@pytest.mark.parametrize(
    ("prompt", "solution", "said"),
    [
        (PROMPT, "6x.", "the solution has 'x', which is outside"),
        (PROMPT, "", "the solution is empty"),
        ("9+", SLIP, "a problem is 2 to 8"),
    ],
)
def test_a_bad_request_is_refused_as_in_scoring(real_run, prompt, solution, said):
    with pytest.raises(ValueError, match=said):
        film_solution(real_run, prompt, solution)


def test_the_service_gives_the_film_of_this_process(real_run, scoring_process):
    film = scoring_process.ask(film_solution, real_run, PROMPT, SLIP, timeout=PATIENCE).result(PATIENCE)
    here = film_solution(real_run, PROMPT, SLIP)
    for a, b in zip(film.frames, here.frames, strict=True):
        np.testing.assert_array_equal(a.logprob, b.logprob)
    with pytest.raises(ValueError, match="the solution is empty"):
        scoring_process.ask(film_solution, real_run, PROMPT, "", timeout=PATIENCE).result(PATIENCE)


# ---- what is drawn


def test_the_payload_has_the_numbers_of_the_credit_view_in_every_frame(real_run):
    frames = film_solution(real_run, PROMPT, SLIP).frames
    payload = credit_view.film_payload(frames, 0.2, 0.9)
    assert [frame["step"] for frame in payload["frames"]] == [0, 2, 4]
    for frame, drawn in zip(frames, payload["frames"], strict=True):
        alone = credit_view.inspector_payload([frame], 0, 0.2, 0.9)["arrays"]
        assert drawn["arrays"] == {name: alone[name] for name in credit_view.FILM_ARRAYS}
    assert not any(payload["frames"][0]["arrays"]["td_terms"]), "no credit before learning"


def test_one_scale_holds_every_credit_of_every_frame(real_run):
    payload = credit_view.film_payload(film_solution(real_run, PROMPT, SLIP).frames, 0.2, 1.0)
    unit = 10 ** payload["decimals"]["reward"]
    largest = max(
        abs(value) / unit
        for frame in payload["frames"]
        for name in ("td_terms", "advantages", "rho", "kappa")
        for value in frame["arrays"][name]
    )
    assert 0 < largest <= payload["scales"]["reward"] <= 2 * largest
    assert {lens["key"] for lens in payload["lenses"]} == set(credit_view.FILM_LENSES)
    assert (
        payload["baseline"] is None
        and payload["version"]
        != credit_view.film_payload(film_solution(real_run, PROMPT, SLIP).frames, 0.3, 1.0)["version"]
    )


def test_a_film_at_step_0_alone_has_an_empty_scale_and_no_division_by_it(real_run):
    first = film_solution(real_run, PROMPT, SLIP).frames[:1]
    assert credit_view.film_payload(first, 0.1, 1.0)["scales"]["reward"] == 0
