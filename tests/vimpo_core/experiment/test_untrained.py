"""What the untrained model solves, with each seed's draws (docs/measure_untrained.py)."""

import importlib.util

from vimpo_core.config import TrainConfig
from vimpo_core.experiment import estimates, plan
from vimpo_core.lm import loading, models
from vimpo_core.measure import evaluate
from vimpo_core.paths import ROOT
from vimpo_core.tasks.registry import task_of

spec = importlib.util.spec_from_file_location("measure_untrained", ROOT / "docs" / "measure_untrained.py")
measure_untrained = importlib.util.module_from_spec(spec)
spec.loader.exec_module(measure_untrained)


def test_the_untrained_model_is_measured_as_a_trained_run_of_that_seed_would_be(tmp_path):
    file = tmp_path / "e.toml"
    file.write_text('name = "e"\nquestion = "q"\ntest_prompts = 16\nseeds = [4, 5]\n[[arm]]\nname = "A"\n', "utf-8")
    found = measure_untrained.measured(plan.read(file))
    policy = loading.load_policy(TrainConfig())
    with models.merged(policy) as model:
        for run in found:
            true = evaluate.outcomes(policy, model, task_of(TrainConfig()), "test", 16, run["seed"])
            assert run["outcomes"] == estimates.packed(**true)
    assert [run["seed"] for run in found] == [4, 5]
    assert found[0]["outcomes"]["sampled"] != found[1]["outcomes"]["sampled"]
