"""The bundled runs of a real language model, whose base weights are not there: every page shows what was recorded and
says with which command the weights come.
"""

import numpy as np
import pytest

from app import cache
from app.inspector.sections import SECTIONS
from tests.pages.opening import StubService, open_app, open_page, payload_with, words
from vimpo_core.mistake import Mistake
from vimpo_core.paths import REAL
from vimpo_core.runs.store import RunStore
from vimpo_core.service import examples, film, scoring
from vimpo_core.solutions import lenses

RUN, OTHER = "smollm2-vimpo", "smollm2-grpo"


@pytest.fixture(autouse=True)
def without_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("VIMPO_MODELS_DIR", str(tmp_path / "models"))


@pytest.fixture
def scoring_process(monkeypatch):
    """One that never answers: what is drawn is what was recorded."""

    class Silent(StubService):
        def __getattr__(self, name):
            return lambda *request, **_: self.asked_for(name)

    silent = Silent()
    for name in ("scoring_service", "scorecard_service"):
        monkeypatch.setattr(scoring, name, lambda: silent)


def test_one_press_on_start_shows_a_real_models_words_and_the_truth_that_was_tried():
    at = open_app()
    assert payload_with(at, "readings")["first_wrong"] is not None  # the small model's, as ever
    at.button_group[0].set_value("real").run()
    assert not at.exception
    shown, said = payload_with(at, "readings"), words(at)
    kept = cache.traces(REAL, RUN, _created(RUN), examples.step_of(REAL / RUN))
    index, example = next(iter(examples.read(REAL / RUN, kept).items()))
    (truth,) = shown["more"]
    assert shown["first_wrong"] is None and "red underline" in said
    assert truth["values"] == pytest.approx(example.truth.advantages()) and truth["scale"] is None  # that of the three
    own, other = (np.array(one["per_beta"]) for one in shown["readings"])
    assert 0.1 * own == pytest.approx(lenses.credit_of(kept[index], 0.1))
    assert 0.1 * other == pytest.approx(lenses.credit_of(example.other, 0.1))
    drops = [int(one.truth.advantages().argmin()) for one in examples.read(REAL / RUN, kept).values()]
    found = [kept[i] for i in examples.read(REAL / RUN, kept)]
    hits = sum(int(lenses.credit_of(t, 0.1).argmin()) == drop for t, drop in zip(found, drops, strict=True))
    surprising = sum(int(t.logprob.argmin()) == drop for t, drop in zip(found, drops, strict=True))
    assert f"in {hits} of the {len(found)} wrong" in said and f"points there in {surprising}" in said
    assert "SmolLM2-135M-Instruct" in said and "python -m vimpo_core models get smollm2" in said


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("inspector", {"run": RUN}),
        ("inspector", {"run": OTHER, "step": 0}),
        *(("inspector", {"run": RUN, "step": 10, "more": more}) for more in SECTIONS),
        ("compare", {"runs": f"{RUN},{OTHER}"}),
    ],
)
def test_what_was_recorded_is_drawn_without_the_weights(page, query, scoring_process):
    at = open_page(page, **query)
    assert at.get("bidi_component") and not at.error and not at.warning


@pytest.mark.parametrize(
    ("page", "query"), [("scorecard", {"run": RUN}), ("runs", {}), ("inspector", {"mode": "typed"})]
)
def test_pages_that_need_the_weights_open_without_them(page, query, scoring_process):
    at = open_page(page, **{"run": RUN} | query)
    assert not at.error and not at.warning


def _created(run_id):
    return next(run.created for run in cache.summaries(REAL) if run.run_id == run_id)


def test_what_needs_the_weights_is_refused_with_the_command_that_gets_them():
    with RunStore.open(REAL / RUN) as store:
        trace = store.traces(20)[0]
    asked = (trace.prompt_text, trace.completion_text)
    for ask in (
        lambda: scoring.score_solution(REAL / RUN, 20, *asked),
        lambda: scoring.solution_truth(REAL / RUN, 20, *asked, 16),
        lambda: film.film_solution(REAL / RUN, *asked),
    ):
        with pytest.raises(Mistake, match="python -m vimpo_core models get smollm2"):
            ask()
