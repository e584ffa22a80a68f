"""A model of one's own on the Train page: looked at, fetched, tried before a run is made, and trained again."""

import shutil
from concurrent.futures import Future

import pytest

from tests.pages.opening import open_page, widget, words
from tests.support.fakes import make_fake_run
from vimpo_core.lm import gguf_files
from vimpo_core.mistake import Mistake
from vimpo_core.paths import BUNDLED_MODEL
from vimpo_core.service import model_service


class AtOnce:
    """A service that answers in this process; `refused` is what trying a model comes to."""

    def __init__(self, refused=""):
        self.refused, self.asked = refused, []

    def ask(self, function, *arguments, timeout=None, progress=None, asker=None, is_wanted=None):
        self.asked.append((function.__name__, *arguments))
        future = Future()
        if function is model_service.try_run and self.refused:
            future.set_exception(Mistake(self.refused))
        else:
            future.set_result({"look": LOOKED, "get": "some/model@0", "try_run": []}[function.__name__])
        return future


NOT_HERE = ["/gone/away", "~nobody-of-that-name/x", "x" * 5000, "some/model"]
LOOKED = {
    "model": "mine",
    "architecture": "llama",
    "parameters": 1_234_567,
    "memory": 2 * 10**9,
    "machine_memory": 16 * 10**9,
    "adapted": {"q_proj": 3},
    "adapter_parameters": 768,
    "reads_tokens": 128,
    "switched_off": {"temperature": 0.6},
    "notes": [],
    "refused": "",
}


@pytest.fixture
def service(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VIMPO_MODELS_DIR", str(tmp_path / "models"))
    found = AtOnce()
    monkeypatch.setattr(model_service, "model_service", lambda: found)
    # AppTest cannot type what is not offered, as a person can.
    monkeypatch.setattr(gguf_files, "all_converted", lambda: [tmp_path / "mine", *NOT_HERE])
    return found


@pytest.fixture
def mine(tmp_path):
    return str(shutil.copytree(BUNDLED_MODEL, tmp_path / "mine"))


def choosing(model, **query):
    at = open_page("train", **query)
    return widget(at.selectbox, "Model").set_value(model).run()


def test_what_is_known_of_the_model_stands_below_its_name(runs, service, mine):
    shown = words(choosing(mine))
    for said in ("1,234,567", "about 2.0 GB of 16.0 GB", "q_proj (3)", "temperature 0.6"):
        assert said in shown
    assert [name for name, *_ in service.asked] == ["look"]


def test_start_tries_the_model_and_keeps_it_in_the_run(runs, service, mine):
    at = choosing(mine)
    widget(at.button, "Play").click().run()
    assert not at.exception
    assert {run.config.model for run in runs.list()} == {mine}
    assert all(run.name.endswith("seed 0, mine") for run in runs.list())
    assert "model mine" in words(at)


def test_a_model_that_cannot_be_trained_makes_no_run(runs, service, mine):
    service.refused = "the model in mine gives other numbers for padded prompts. Use another."
    at = choosing(mine)
    widget(at.button, "Play").click().run()
    assert "gives other numbers for padded prompts" in words(at)
    assert runs.list() == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("/gone/away", "No model at /gone/away: config.json is missing."),
        ("~nobody-of-that-name/x", "names a home that is not there"),
        ("x" * 5000, "the name is too long"),
        ("some/model", "Fetch it from the Hugging Face hub: python -m vimpo_core models get some/model"),
    ],
)
def test_a_model_that_is_not_here_is_a_sentence_and_no_run(runs, service, model, said):
    at = choosing(model)
    widget(at.button, "Play").click().run()
    assert said in words(at)
    assert runs.list() == []


def test_nothing_is_fetched_before_the_button_is_pressed(runs, service):
    at = choosing("some/model")
    assert service.asked == []
    widget(at.button, "Look at it first").click().run()
    assert [name for name, *_ in service.asked] == ["look"] and "1,234,567" in words(at)
    service.asked.clear()
    widget(at.button, "Fetch it from the Hugging Face hub").click().run()
    assert service.asked == [("get", "some/model")]


def test_a_new_run_beside_one_of_ones_own_model_trains_that_model(runs, service, mine):
    make_fake_run(runs.path, steps=2, model=mine)
    at = open_page("train")  # the form is drawn once, with the bundled model
    at.query_params["job"] = "job-1"
    at.run()
    widget(at.button, "New run").click().run()
    assert widget(at.selectbox, "Model").value == mine
    widget(at.button, "Start training").click().run()
    assert runs.list()[0].config.model == mine


def test_a_model_with_a_short_name_is_offered_and_says_what_fetching_it_takes(runs, service):
    at = open_page("train")
    widget(at.selectbox, "Model").set_value("smollm2").run()
    assert not at.exception and "smollm2 is not on this machine yet" in words(at)
    assert widget(at.button, "Fetch it (98 MB, Apache-2.0)")
